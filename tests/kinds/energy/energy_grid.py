"""Grids of recorded homes, and policies to judge them by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from subak.core.kind import Assets, Column, Context, Judged, Lines
from subak.kinds.energy import kind
from subak.lab.recording import CELL, HOUR_S, Cheat, Recording

RULES = kind.rules


def names(codes: NDArray[np.uint8]) -> list[str]:
    """Reason names; ``ok`` for the core's plain acceptance."""
    by_code = {0: "ok", **{reason.code: reason.name for reason in RULES.reasons}}
    return [by_code[code] for code in codes.tolist()]


def never_judged(count: int) -> dict[str, Column]:
    """The carried columns of assets that are new."""
    return {column.name: np.full(count, column.start, np.int64) for column in RULES.carried}


def assets(count: int, rated_w: int | Sequence[int], cell: int | None = None) -> Assets:
    """Homes in one cell."""
    cells = np.full(count, CELL if cell is None else cell, np.uint64)
    return Assets(cells, np.broadcast_to(np.array(rated_w, np.int64), count).copy(), np.zeros((count, 32), np.uint8))


def sky_context(first_unix_s: int, limit: NDArray[np.int64], dark: NDArray[np.bool_]) -> Context:
    """A policy whose table holds these hours for the homes' cell."""
    hours = len(limit)
    start = first_unix_s + HOUR_S * np.arange(hours)
    table = {"cell": np.full(hours, CELL, np.uint64), "start_unix_s": start, "limit_wh_per_kw": limit, "dark": dark}
    return Context({}, {"clear_sky": table}, first_unix_s, first_unix_s + HOUR_S * hours)


def table_context(table: pl.DataFrame) -> Context:
    """A policy with a built table."""
    start = table["start_unix_s"].to_numpy()
    return Context({}, {"clear_sky": {name: table[name].to_numpy() for name in table.columns}}, int(start[0]), int(start[-1]) + HOUR_S)


def played(
    recording: Recording, homes: Sequence[int], cheat: Cheat | None = None, seconds: int = HOUR_S, first_unix_s: int | None = None
) -> Lines:
    """Readings of the homes every so many seconds, from the recording's beginning or a later time to its end. Within a recorded hour the
    counters grow evenly, rounded down; the first reading is the one that ends where the others begin."""
    hours = np.arange(recording.first_unix_s, recording.end_unix_s + 1, HOUR_S)
    samples = [[recording.counters_at(home, int(hour), cheat) for home in homes] for hour in hours]
    ends = np.arange(recording.first_unix_s if first_unix_s is None else first_unix_s, recording.end_unix_s + 1, seconds)
    hour, into_hour_s = np.divmod(ends - hours[0], HOUR_S)
    next_hour = np.minimum(hour + 1, len(hours) - 1)
    fields = {}
    for name in ("export_wh", "import_wh", "generation_wh"):
        counter = np.array([[getattr(sample, name) for sample in row] for row in samples], np.int64)
        fields[name] = counter[hour] + (counter[next_hour] - counter[hour]) * into_hour_s[:, None] // HOUR_S
    shape = len(ends), len(homes)
    end = np.repeat(ends[:, None], len(homes), axis=1)
    return Lines(np.ones(shape, np.bool_), np.zeros(shape, np.uint8), end - seconds, end, fields)


def judged(
    recording: Recording,
    context: Context,
    homes: Sequence[int],
    cheat: Cheat | None = None,
    seconds: int = HOUR_S,
    first_unix_s: int | None = None,
) -> tuple[Lines, Judged]:
    """The homes' readings and what the rules found."""
    lines = played(recording, homes, cheat, seconds, first_unix_s)
    rated = [recording.rated_w(home) for home in homes]
    return lines, RULES.judge(lines, assets(len(homes), rated), never_judged(len(homes)), context)
