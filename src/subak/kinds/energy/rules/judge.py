"""The law of a meter: what each signed reading is worth.

A meter's counters only ever grow. What a reading is paid for is how far they grew since the *mark*, the last counters that were counted;
who signed how many readings in between does not matter. Four things can go wrong, and each has one answer:

* **A counter falls.** Inverters that wake up or restart show old or small values for a while. The reading is held and the mark stays, so
  that whatever comes next is measured from the value before the fall. Only a signed reset may start lower.
* **A reading is missing.** The next one covers the gap under the same physical bounds. It counts, but earns no bootstrap reward.
* **The growth is impossible** for the rated power, the night, a clear sky, or against the home's own production. It is refused and the
  mark moves to the refused counters: refused energy never comes back with a later reading. (Otherwise a home that doubles its counter is
  paid 1.94 times the honest amount over a month, because every refused noon is paid in the evening.)
* **An impossible value was a spike** and the counters fall back. Then the mark before the first refusal still holds; *restore* keeps it.

Nothing is ever cut down to a bound and paid: a clamped lie still pays.

Limits are known by the clock hour, so the bootstrap reward is earned by the clock hour, however it is cut into readings:

* **Shorter readings** must fit the hour's limits together. The reading that completes the hour brings the reward for all of it, provided
  that nothing in it was missing or refused. So an hour in quarters earns what one reading would have earned, or nothing.
* **A reading that reaches over several hours** counts within the sum of their limits, but earns no reward: a noon that cannot be would
  hide in the evening. (Rewarded, a day in one line pays a home that doubles its counter 3.1 times the honest amount.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from subak.core.kind import Assets, Codes, Column, Context, Judged, Lines, Mask

from .clear_sky import HOUR_S, ClearSky
from .schemas import (
    ALREADY_COUNTED,
    AT_NIGHT,
    BASELINE,
    CLEAR_SKY,
    COUNTER_DROPPED,
    COUNTER_STAYED_LOW,
    COUNTERS,
    EXPORT,
    EXPORT_OVER_GENERATION,
    FIRST_IMPOSSIBLE,
    FIRST_UNREWARDED,
    HOUR,
    HOUR_BROKEN,
    LAST_UNREWARDED,
    MARK,
    METER_RESET,
    NO_DATA,
    NO_LIMIT_TABLE,
    OUT_OF_RANGE,
    OVER_CLEAR_SKY,
    OVER_NAMEPLATE,
    PARAMETERS,
    PART_OF_HOUR,
    PLAIN,
    RESET,
    RESTORE,
    REWARDED_EXPORT,
    SCHEMAS,
    SPANS_GAP,
    TOO_COARSE,
    WHOLE,
)

MOST_WH: Final = 1 << 50
"""No counter is larger (1,126 TWh); differences and their sums stay far inside 63 bits."""
MOST_W: Final = 1 << 31
"""No single asset is rated higher (2.1 GW)."""

_TIME: Final = 0
_COUNTERS: Final = slice(1, 4)
_EXPORT, _GENERATION = 1, 3
_BOTH: Final = slice(1, 4, 2)
"""Export and generation."""
_RESET: Final = SCHEMAS.index(RESET)


@dataclass(frozen=True)
class Law:
    """The policy's parameters for this kind, checked."""

    meter_quantum_wh: int
    margin_permille: int
    slack_permille: int
    hold_seconds: int

    @classmethod
    def of(cls, parameters: Mapping[str, int]) -> Self:
        """Raises ValueError when the policy, not a line, is malformed."""
        law = cls(**{name: int(parameters.get(name, value)) for name, value in PARAMETERS.items()})
        if not (0 <= law.meter_quantum_wh <= 1 << 20 and 0 <= law.margin_permille <= 10_000 and 0 <= law.slack_permille <= 1_000):
            raise ValueError(f"energy: a parameter is out of range: {law}")
        if not 0 <= law.hold_seconds <= 1 << 40:
            raise ValueError(f"energy: hold_seconds is out of range: {law}")
        return law


def judge(lines: Lines, assets: Assets, carried: Mapping[str, Column], context: Context) -> Judged:
    """Give every line a reason and its work; see ``Rules.judge``.

    Raises ValueError if a parameter of the policy is out of range, KeyError if the policy lacks the clear-sky table; never for a line.
    """
    law = Law.of(context.parameters)
    sky = ClearSky(context.tables[CLEAR_SKY], assets.cell)
    rating_is_real = (assets.rated >= 0) & (assets.rated < MOST_W)
    rated_w = np.where(rating_is_real, assets.rated, 0)
    mark = np.stack([carried[name] for name in MARK])
    restore = np.stack([carried[name] for name in RESTORE])
    whole_since_s = carried[WHOLE].copy()
    hour_so_far = np.stack([carried[name] for name in HOUR])

    reasons = np.zeros(lines.present.shape, np.uint8)
    work = {unit: np.zeros(lines.present.shape, np.int64) for unit in (EXPORT, REWARDED_EXPORT)}

    for k, present in enumerate(lines.present):
        now = np.stack((lines.end_unix_s[k], *(lines.fields[name][k] for name in COUNTERS)))
        is_reset = lines.schema[k] == _RESET

        # Where to measure from: the mark, or what it was before a spike that has gone away again.
        fell = _any_below(now, mark)
        spike_is_over = fell & (restore[_TIME] > 0) & ~_any_below(now, restore)
        before = np.where(spike_is_over, restore, mark) if spike_is_over.any() else mark
        still_low = fell & ~spike_is_over

        grown = now - before
        span = sky.over(before[_TIME], now[_TIME])
        span_s = np.where(span.known, grown[_TIME], 0)
        hour_export_wh, hour_generation_wh = hour_so_far + grown[_BOTH]
        is_amid_hour = now[_TIME] < span.full_hour_unix_s

        # The first condition that holds names the reason.
        reasons[k] = reason = _first(
            ((now[_COUNTERS] > MOST_WH).any(axis=0) | ~rating_is_real, OUT_OF_RANGE),
            (is_reset & (now[_TIME] > mark[_TIME]), METER_RESET),
            (~is_reset & (now[_COUNTERS] == 0).any(axis=0), NO_DATA),
            (~is_reset & (mark[_TIME] == 0) & (now[_TIME] > 0), BASELINE),
            (now[_TIME] <= mark[_TIME], ALREADY_COUNTED),
            (still_low & (now[_TIME] - mark[_TIME] > law.hold_seconds), COUNTER_STAYED_LOW),
            (still_low, COUNTER_DROPPED),
            (~span.known, NO_LIMIT_TABLE),
            (grown[_GENERATION] > rated_w * span_s // HOUR_S + law.meter_quantum_wh, OVER_NAMEPLATE),
            (hour_generation_wh > rated_w * span.hours + law.meter_quantum_wh, OVER_NAMEPLATE),
            # Two quanta: honest roofs were recorded with up to 1.9 Wh in an hour after sunset, which a counter of whole Wh shows as 2.
            (span.dark & (np.maximum(hour_generation_wh, hour_export_wh) > 2 * law.meter_quantum_wh), AT_NIGHT),
            (hour_generation_wh > _clear_sky_wh(law, rated_w, span.limit_wh_per_kw, span.hours), OVER_CLEAR_SKY),
            (hour_export_wh > hour_generation_wh + law.meter_quantum_wh, EXPORT_OVER_GENERATION),
            (lines.start_unix_s[k] != before[_TIME], SPANS_GAP),
            (span.hours > 1, TOO_COARSE),
            (whole_since_s > span.full_hour_unix_s - HOUR_S, HOUR_BROKEN),
            (is_amid_hour, PART_OF_HOUR),
            otherwise=PLAIN,
        )

        plain = present & (reason == PLAIN)
        whole = plain | (present & (reason == PART_OF_HOUR))
        counted = whole | (present & (reason >= FIRST_UNREWARDED) & (reason <= LAST_UNREWARDED))
        np.copyto(work[EXPORT][k], grown[_EXPORT], where=counted)
        np.copyto(work[REWARDED_EXPORT][k], hour_export_wh, where=plain)

        impossible = present & (reason >= FIRST_IMPOSSIBLE)
        settled = counted | (present & ((reason == BASELINE) | (reason == METER_RESET)))
        moves = settled | impossible
        if impossible.any():
            np.copyto(restore, mark, where=impossible & (restore[_TIME] == 0))
        if restore[_TIME].any():
            np.copyto(restore, 0, where=settled)
        np.copyto(whole_since_s, now[_TIME], where=moves & ~whole)
        # Refused energy takes no room in its hour, and a new meter gives none back.
        hour_goes_on = is_amid_hour & (span.hours == 1)
        np.add(hour_so_far, grown[_BOTH], out=hour_so_far, where=counted & hour_goes_on)
        np.copyto(hour_so_far, 0, where=moves & ~hour_goes_on)
        np.copyto(mark, now, where=moves)

    return Judged(reasons, work, dict(zip((*MARK, *RESTORE, WHOLE, *HOUR), (*mark, *restore, whole_since_s, *hour_so_far), strict=True)))


def _any_below(now: NDArray[np.int64], then: NDArray[np.int64]) -> Mask:
    below: Mask = np.logical_or.reduce(now[_COUNTERS] < then[_COUNTERS], axis=0)
    return below


def _first(*conditions: tuple[NDArray[np.bool_], int], otherwise: int) -> Codes:
    """The code of the first condition that holds, per asset."""
    codes = np.full(len(conditions[0][0]), otherwise, np.uint8)
    for condition, code in reversed(conditions):
        np.copyto(codes, np.uint8(code), where=condition)
    return codes


def _clear_sky_wh(law: Law, rated_w: Column, limit_wh_per_kw: Column, hours: Column) -> Column:
    """The most that may be produced: the margin over the limit, and a slack of rated power for each hour, rounded down to whole Wh.

    rated / 1000 x limit x margin / 1000 + rated x hours x slack / 1000, with one division by a million at the end. Done in two parts,
    so that no product leaves 63 bits: per watt below 2^47 millionths of a Wh, whole Wh below 2^28 and rest below 2^20 times 2^31 W.
    """
    millionths_per_w = law.margin_permille * limit_wh_per_kw + 1000 * law.slack_permille * hours
    per_w = millionths_per_w // 1_000_000
    rest = millionths_per_w - per_w * 1_000_000
    allowed: Column = rated_w * per_w + rated_w * rest // 1_000_000
    return allowed
