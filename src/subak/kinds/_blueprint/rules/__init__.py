"""The law of the blueprint kind. Pure: it imports only ``subak.core`` and NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from subak.core.kind import (
    ACCEPTED,
    FIRST_KIND_REASON,
    Assets,
    Carried,
    Column,
    Context,
    Field,
    Judged,
    Lines,
    Reason,
    Schema,
    Status,
    Tasks,
)

BASELINE, ALREADY_COUNTED, TICKS_DROPPED, TOO_FAST = range(FIRST_KIND_REASON, FIRST_KIND_REASON + 4)
HOUR_S: Final = 3600
MOST_TICKS: Final = 1 << 50
"""Larger counters, rates and times are refused before anything is multiplied."""


class BlueprintRules:
    """Pays for the growth of a counter of ticks, at most ``rated`` ticks an hour. Implements ``core.kind.Rules``."""

    name: str = "blueprint"
    version: int = 1
    schemas: tuple[Schema, ...] = (Schema("blueprint.reading", 1, (Field("ticks"),)),)
    reasons: tuple[Reason, ...] = (
        Reason(BASELINE, "baseline", Status.ACCEPTED, "the first reading: counting starts here"),
        Reason(ALREADY_COUNTED, "already_counted", Status.ACCEPTED, "this time was already counted; nothing more to pay"),
        Reason(TICKS_DROPPED, "ticks_dropped", Status.HELD, "the counter ran backwards; held until it is back above its last value"),
        Reason(TOO_FAST, "too_fast", Status.REFUSED, "more ticks than the rated capacity allows in this time"),
    )
    work_units: tuple[str, ...] = ("ticks",)
    carried: tuple[Carried, ...] = (Carried("mark_unix_s"), Carried("mark_ticks"))

    @property
    def tables(self) -> Mapping[str, tuple[str, ...]]:
        """It needs none."""
        return {}

    def judge(self, lines: Lines, assets: Assets, carried: Mapping[str, Column], context: Context) -> Judged:
        """Row by row, so that each line sees what the one before it left; a refused value becomes the mark and never comes back."""
        mark_s, mark = carried["mark_unix_s"].copy(), carried["mark_ticks"].copy()
        reasons = np.zeros(lines.present.shape, np.uint8)
        work = np.zeros(lines.present.shape, np.int64)
        rated = np.clip(assets.rated, 0, 1 << 30)
        for k, present in enumerate(lines.present):
            end_s, ticks = lines.end_unix_s[k], lines.fields["ticks"][k]
            grown = ticks - mark
            most = rated * np.clip(end_s - mark_s, 0, 1 << 32) // HOUR_S
            reasons[k] = np.select(
                [ticks > MOST_TICKS, end_s <= mark_s, mark_s == 0, grown < 0, grown > most],
                [TOO_FAST, ALREADY_COUNTED, BASELINE, TICKS_DROPPED, TOO_FAST],
                ACCEPTED,
            )
            counted = present & (reasons[k] == ACCEPTED)
            work[k, counted] = grown[counted]
            moves = present & (ticks <= MOST_TICKS) & (counted | (reasons[k] == BASELINE) | (reasons[k] == TOO_FAST))
            mark_s[moves], mark[moves] = end_s[moves], ticks[moves]
        return Judged(reasons, {"ticks": work}, {"mark_unix_s": mark_s, "mark_ticks": mark})

    def draw(self, assets: Assets, carried: Mapping[str, Column], context: Context) -> Tasks:
        """Nothing is asked: devices report by themselves."""
        return {}

    def price(self, work: Mapping[str, Column], context: Context) -> Mapping[str, Column]:
        """The bootstrap pot is divided by ticks."""
        return {"bootstrap": work["ticks"]}
