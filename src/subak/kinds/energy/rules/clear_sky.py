"""The clear-sky table, asked for a whole block of assets at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from subak.core.kind import Column, Mask

HOUR_S: Final = 3600
MOST_SECONDS: Final = 1 << 31
"""No span longer than this (68 years) is judged: rated power (below 2^31 W) times seconds then stays inside 63 bits."""
_MOST_WH_PER_KW: Final = 10_000
"""Ten suns. A higher limit never binds, the nameplate does; cut here so that sums over 2^31 s stay below 2^33."""


@dataclass(frozen=True)
class Sky:
    """What the sky allowed during one span of each asset, each of shape (assets,). Zeros where not ``known``, but for the last."""

    known: Mask
    """The table has every hour that the span touches."""
    hours: Column
    """How many hours it touches, in part or whole."""
    limit_wh_per_kw: Column
    """Sum of their limits."""
    dark: Mask
    """The sun was down in all of them."""
    full_hour_unix_s: Column
    """When the last of them ends; given even where not ``known``."""


class ClearSky:
    """The table's rows for the cells of a block of assets."""

    def __init__(self, table: Mapping[str, NDArray[Any]], cells: NDArray[np.uint64]) -> None:
        start = table["start_unix_s"].astype(np.int64)
        limit = np.clip(table["limit_wh_per_kw"].astype(np.int64), 0, _MOST_WH_PER_KW)
        self._limits_before = np.append(0, limit.cumsum())
        self._dark_before = np.append(0, table["dark"].astype(np.int64).cumsum())
        known, first_row, rows = np.unique(table["cell"].astype(np.uint64), return_index=True, return_counts=True)
        first, last = start[first_row], start[first_row + rows - 1]
        # A cell whose rows are not one for every hour is as good as absent: nothing may be read off the wrong row.
        dense = (first % HOUR_S == 0) & (last - first == (rows - 1) * HOUR_S)
        # One more place, without rows, for the cells that the table lacks.
        place = np.searchsorted(known, cells)
        place[np.append(known, np.uint64(0))[place] != cells] = len(known)
        self._row = np.append(first_row, 0)[place]
        self._rows = np.append(np.where(dense, rows, 0), 0)[place]
        self._first_hour = np.append(first // HOUR_S, 0)[place]

    def over(self, from_unix_s: Column, to_unix_s: Column) -> Sky:
        """The sky between two times (Unix seconds, the second exclusive), one span per asset."""
        offset = from_unix_s // HOUR_S - self._first_hour
        hour_after = -(-to_unix_s // HOUR_S)
        hours = hour_after - self._first_hour - offset
        known = (offset >= 0) & (hours > 0) & (offset <= self._rows - hours) & (to_unix_s - from_unix_s <= MOST_SECONDS)
        hours = np.where(known, hours, 0)
        first = np.where(known, self._row + offset, 0)
        after = first + hours
        limit = self._limits_before[after] - self._limits_before[first]
        dark = self._dark_before[after] - self._dark_before[first] == hours
        return Sky(known, hours, limit, known & dark, hour_after * HOUR_S)
