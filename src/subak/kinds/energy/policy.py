"""Builds the clear-sky table. Floats and pvlib live here, before settlement; ``judge`` only sees the whole numbers that come out."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Final

import numpy as np
import polars as pl

HOUR_S: Final = 3600
LINKE_TURBIDITY: Final = 2.0
"""Very clean, dry air, everywhere and always. An upper limit should not depend on a climatology: a site whose air is better than its
monthly mean would be refused for it."""
ORIENTATIONS: Final = ((0.0, 180.0), *((tilt, azimuth) for tilt in (15.0, 30.0, 45.0) for azimuth in np.arange(0.0, 360.0, 45.0)))
"""Tilt and azimuth (degrees) of the roofs that a limit allows for."""
_STEP_S: Final = 300


def build_clear_sky(cells: Iterable[int], first_unix_s: int, end_unix_s: int) -> pl.DataFrame:
    """The limit table of ``energy``: the most that 1 kW may produce in each hour under a clear sky, whatever its tilt and direction.

    ``cells`` are H3 indexes; the place is the cell's centre at sea level. The span is in Unix seconds, whole hours, end exclusive.

    Columns: cell u64, start_unix_s i64, limit_wh_per_kw i64, dark bool; sorted by cell and start, every hour present. The limit is the
    largest plane-of-array irradiance over ``ORIENTATIONS``, the mean of six samples in the hour, rounded up (1 W/m2 is 1 W per kW).
    An hour is dark if the sun's apparent elevation is at or below the horizon at every twelfth of it, ends included.

    Sources: Ineichen and Perez 2002 (clear sky), Hay and Davies 1980 (tilted planes), both as in pvlib. Needs the extra ``policy``.
    Raises ValueError if the span is not in whole hours, or empty.
    """
    if first_unix_s % HOUR_S or end_unix_s % HOUR_S or end_unix_s <= first_unix_s:
        raise ValueError(f"a clear-sky table covers whole hours, not {first_unix_s} .. {end_unix_s}")
    parts = [_one_cell(cell, first_unix_s, end_unix_s) for cell in sorted(set(cells))]
    schema = {"cell": pl.UInt64, "start_unix_s": pl.Int64, "limit_wh_per_kw": pl.Int64, "dark": pl.Boolean}
    return pl.concat(parts) if parts else pl.DataFrame(schema=schema)


def _one_cell(cell: int, first_unix_s: int, end_unix_s: int) -> pl.DataFrame:
    import h3
    from pvlib import atmosphere, clearsky, irradiance, solarposition

    pd = import_module("pandas")  # pvlib speaks it; like pvlib, it has no types
    latitude, longitude = h3.cell_to_latlng(h3.int_to_str(cell))
    hours = (end_unix_s - first_unix_s) // HOUR_S
    steps = HOUR_S // _STEP_S
    times = pd.to_datetime(np.arange(first_unix_s, end_unix_s + 1, _STEP_S), unit="s", utc=True)
    sun = solarposition.get_solarposition(times, latitude, longitude)

    up = sun["apparent_elevation"].to_numpy() > 0
    dark = ~(up[:-1].reshape(hours, steps).any(axis=1) | up[steps::steps])

    # The odd steps are the middles of six equal parts of each hour.
    middle = sun.iloc[1::2]
    zenith, azimuth = middle["apparent_zenith"], middle["azimuth"]
    airmass = atmosphere.get_absolute_airmass(atmosphere.get_relative_airmass(zenith))
    extra = irradiance.get_extra_radiation(middle.index)
    clear = clearsky.ineichen(zenith, airmass, LINKE_TURBIDITY, dni_extra=extra)
    best = np.zeros(hours)
    for tilt, direction in ORIENTATIONS:
        plane = irradiance.get_total_irradiance(
            tilt, direction, zenith, azimuth, clear["dni"], clear["ghi"], clear["dhi"], dni_extra=extra, model="haydavies"
        )["poa_global"]
        best = np.maximum(best, plane.fillna(0.0).to_numpy().reshape(hours, -1).mean(axis=1))
    return pl.DataFrame(
        {
            "cell": np.full(hours, cell, np.uint64),
            "start_unix_s": np.arange(first_unix_s, end_unix_s, HOUR_S),
            "limit_wh_per_kw": np.ceil(best).astype(np.int64),
            "dark": dark,
        }
    )
