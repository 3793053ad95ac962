"""What an energy device signs, what the rules remember of it, and the words they judge with."""

from __future__ import annotations

from typing import Final

from subak.core.kind import ACCEPTED, FIRST_KIND_REASON, Carried, Field, Reason, Schema, Status

COUNTERS: Final = ("export_wh", "import_wh", "generation_wh")
"""The three registers of a home, in the order of the signed bytes: fed into the grid, drawn from it, produced by the panels."""

_FIELDS = tuple(Field(name) for name in COUNTERS)

READING: Final = Schema("energy.reading", 1, _FIELDS)
"""The counters at the end of an interval."""
RESET: Final = Schema("energy.reset", 1, _FIELDS)
"""The meter was replaced at this instant; its counters now read this."""
SCHEMAS: Final = (READING, RESET)

MARK: Final = ("mark_unix_s", *(f"mark_{name}" for name in COUNTERS))
"""Up to when, and up to which counters, an asset was counted; time 0 is never."""
RESTORE: Final = ("restore_unix_s", *(f"restore_{name}" for name in COUNTERS))
"""The mark before the first of an unbroken run of physical refusals; time 0 is none."""
WHOLE: Final = "whole_since_unix_s"
"""Since when every reading was counted and began where the one before it ended."""
HOUR: Final = ("hour_export_wh", "hour_generation_wh")
"""What was counted so far of the clock hour in which the mark stands; 0 on the full hour, or if the last line reached into this one."""
CARRIED: Final = tuple(Carried(name) for name in (*MARK, *RESTORE, WHOLE, *HOUR))

EXPORT: Final = "export_wh"
"""Work: energy fed into the grid."""
REWARDED_EXPORT: Final = "rewarded_export_wh"
"""Work: the part of it in clock hours that were counted whole; bootstrap rewards are shared by it."""

CLEAR_SKY: Final = "clear_sky"
"""Limit table: by H3 cell and hour (start, Unix seconds, whole hours), the most that 1 kW may produce under a clear sky, in Wh,
and whether the sun is down for the whole hour. Sorted by cell and start, no hour missing between a cell's first and last."""
TABLES: Final = {CLEAR_SKY: ("cell", "start_unix_s", "limit_wh_per_kw", "dark")}

PARAMETERS: Final = {"meter_quantum_wh": 1, "margin_permille": 1100, "slack_permille": 20, "hold_seconds": 7 * 86_400}
"""Parameters and their values where a policy names none: the meter's smallest step; what a roof may yield over the clear-sky limit;
what it may yield beside it, as a part of its rated power; how long a dropped counter is waited for."""

(
    BASELINE,
    ALREADY_COUNTED,
    SPANS_GAP,
    TOO_COARSE,
    HOUR_BROKEN,
    PART_OF_HOUR,
    METER_RESET,
    NO_DATA,
    OUT_OF_RANGE,
    COUNTER_DROPPED,
    COUNTER_STAYED_LOW,
    NO_LIMIT_TABLE,
    OVER_NAMEPLATE,
    AT_NIGHT,
    OVER_CLEAR_SKY,
    EXPORT_OVER_GENERATION,
) = range(FIRST_KIND_REASON, FIRST_KIND_REASON + 16)

FIRST_UNREWARDED, LAST_UNREWARDED = SPANS_GAP, HOUR_BROKEN
"""Between them: counted, without bootstrap reward."""
FIRST_IMPOSSIBLE: Final = OVER_NAMEPLATE
"""From here on: growth that cannot be, which moves the mark."""

PLAIN: Final = ACCEPTED
"""The core's own reason: counted, and a clock hour is complete."""

REASONS: Final = (
    Reason(BASELINE, "baseline", Status.ACCEPTED, "the first reading of this meter: counting starts here"),
    Reason(ALREADY_COUNTED, "already_counted", Status.ACCEPTED, "this time was already counted; nothing more to pay"),
    Reason(SPANS_GAP, "spans_gap", Status.ACCEPTED, "covers a gap: counted, without bootstrap reward"),
    Reason(TOO_COARSE, "too_coarse", Status.ACCEPTED, "does not fit into one clock hour (UTC): counted, without bootstrap reward"),
    Reason(
        HOUR_BROKEN,
        "hour_broken",
        Status.ACCEPTED,
        "part of an hour with something missing or refused: counted, without bootstrap reward",
    ),
    Reason(PART_OF_HOUR, "part_of_hour", Status.ACCEPTED, "counted; the bootstrap reward comes with the reading that completes the hour"),
    Reason(METER_RESET, "meter_reset", Status.ACCEPTED, "the device declared a new meter: counting goes on from its counters"),
    Reason(NO_DATA, "no_data", Status.REFUSED, "a counter reads 0, which SunSpec defines as no data"),
    Reason(OUT_OF_RANGE, "out_of_range", Status.REFUSED, "a counter or the rated power is larger than any real one"),
    Reason(
        COUNTER_DROPPED,
        "counter_dropped",
        Status.HELD,
        "a counter ran backwards; held until it is back above its last value, or the device signs a reset",
    ),
    Reason(
        COUNTER_STAYED_LOW,
        "counter_stayed_low",
        Status.REFUSED,
        "a counter ran backwards and has not come back in time; if the meter was replaced, the device must sign a reset",
    ),
    Reason(
        NO_LIMIT_TABLE,
        "no_limit_table",
        Status.HELD,
        "the policy has no clear-sky limits for this place and time; a later reading will cover it",
    ),
    Reason(OVER_NAMEPLATE, "over_nameplate", Status.REFUSED, "more was produced than the rated power allows in this time"),
    Reason(AT_NIGHT, "at_night", Status.REFUSED, "energy was produced or exported though the sun was down all the time"),
    Reason(OVER_CLEAR_SKY, "over_clear_sky", Status.REFUSED, "more was produced than the rated power could give under a clear sky"),
    Reason(EXPORT_OVER_GENERATION, "export_over_generation", Status.REFUSED, "more was exported than was produced"),
)
