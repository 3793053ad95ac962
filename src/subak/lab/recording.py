"""Real homes, recorded: their meters as a pure function of network time.

Ten homes in Fontana, California (CityLearn 2.0.0, MIT; origin EPRI, Sierra Crest homes). The package carries June 2017; how the numbers
were made from the source, and what became of the hours in which the clock was changed, stands in ``tests/data/make_fontana.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

DATA: Final = Path(__file__).parent / "data"
JUNE_2017: Final = DATA / "fontana-2017-06.parquet"
"""Hours of June 2017, local time: 2017-06-01 07:00 to 2017-07-01 07:00 UTC."""
CLEAR_SKY: Final = DATA / "clear-sky-fontana-2017-06.parquet"
"""The energy kind's limit table for them, 2017-05-31 to 2017-07-02 UTC, as ``kinds.energy.policy.build_clear_sky`` makes it."""

CELL: Final = 0x8729A004BFFFFFF
"""The H3 cell (resolution 7) that holds 34.11 N, 117.46 W; the note on the data places all homes there."""
RATED_W: Final = {1: 4000, 2: 4000, 3: 4000, 4: 5000, 5: 4000, 6: 4000, 7: 4000, 8: 4000, 9: 4000, 12: 5000}
"""Rated power of each home's panels, from the source's ``schema.json``."""
FIRST_COUNTER_WH: Final = 1_000_000
"""Every counter's value before the recording; not 0, which means "no data" in SunSpec."""
HOUR_S: Final = 3600
_NIGHT_PERMILLE: Final = 300


class Cheat(StrEnum):
    """How a dishonest home lies."""

    DOUBLED = "doubled"
    """Its inverter reports twice the production; what is left after the load is exported on paper."""
    NIGHT_EXPORT = "night_export"
    """It adds 300 W per kW of rated power to production and export whenever the sun is down."""


@dataclass(frozen=True)
class Counters:
    """What a home's registers read, in Wh."""

    export_wh: int
    import_wh: int
    generation_wh: int


@dataclass(frozen=True)
class _Meter:
    ends_unix_s: NDArray[np.int64]
    """End of each recorded hour."""
    counters: NDArray[np.int64]
    """Shape (hours + 1, 3): before the first hour, and after each."""


class Recording:
    """Hours of homes, played as meters that step at each recorded hour's end."""

    def __init__(self, hours: pl.DataFrame, sky: pl.DataFrame) -> None:
        """``hours``: home, start_unix_s, generation_wh, load_wh. ``sky``: the limit table; says when it is dark for the night exporter."""
        self._hours = {int(home): part.sort("start_unix_s") for (home,), part in sorted(hours.partition_by("home", as_dict=True).items())}
        self._dark_unix_s = sky.filter(pl.col("dark") & (pl.col("cell") == CELL))["start_unix_s"].to_numpy()
        self._meters: dict[tuple[int, Cheat | None], _Meter] = {}
        self.first_unix_s: int = int(hours["start_unix_s"].to_numpy().min())
        """Start of the first recorded hour."""
        self.end_unix_s: int = int(hours["start_unix_s"].to_numpy().max()) + HOUR_S
        """End of the last recorded hour; counters stand still after it."""

    @classmethod
    def load(cls, hours: Path = JUNE_2017, sky: Path = CLEAR_SKY) -> Self:
        """Read a recording and its limit table from Parquet."""
        return cls(pl.read_parquet(hours), pl.read_parquet(sky))

    @property
    def homes(self) -> tuple[int, ...]:
        """Numbers of the recorded homes, in order."""
        return tuple(self._hours)

    def rated_w(self, home: int) -> int:
        """Rated power of the home's panels, in W. Raises KeyError for a home that is not recorded."""
        return RATED_W[home]

    def counters_at(self, home: int, unix_s: int, cheat: Cheat | None = None) -> Counters:
        """What the home's registers read at a network time (Unix seconds). Raises KeyError for a home that is not recorded.

        Export is max(0, generation - load) of each recorded hour, import the reverse. A register steps when its hour has ended; it stands
        at ``FIRST_COUNTER_WH`` before the recording and still after it, and in an hour that the recording lacks.
        """
        meter = self._meters.get((home, cheat)) or self._meter(home, cheat)
        export_wh, import_wh, generation_wh = meter.counters[np.searchsorted(meter.ends_unix_s, unix_s, side="right")].tolist()
        return Counters(export_wh, import_wh, generation_wh)

    def _meter(self, home: int, cheat: Cheat | None) -> _Meter:
        hours = self._hours[home]
        start, generation, load = (hours[name].to_numpy() for name in ("start_unix_s", "generation_wh", "load_wh"))
        if cheat is Cheat.DOUBLED:
            generation = 2 * generation
        export, bought = np.maximum(generation - load, 0), np.maximum(load - generation, 0)
        if cheat is Cheat.NIGHT_EXPORT:
            extra = np.where(np.isin(start, self._dark_unix_s), RATED_W[home] * _NIGHT_PERMILLE // 1000, 0)
            generation, export = generation + extra, export + extra
        steps = np.stack((export, bought, generation), axis=1)
        counters = FIRST_COUNTER_WH + np.concatenate((np.zeros((1, 3), np.int64), steps.cumsum(axis=0)))
        meter = self._meters[home, cheat] = _Meter(start + HOUR_S, counters)
        return meter


@cache
def june_2017() -> Recording:
    """The recording that the package carries."""
    return Recording.load()


def counters_at(home: int, unix_s: int, cheat: Cheat | None = None) -> Counters:
    """``Recording.counters_at`` of the recording that the package carries."""
    return june_2017().counters_at(home, unix_s, cheat)
