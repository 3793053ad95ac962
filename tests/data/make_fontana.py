"""Makes the Fontana recordings from the CityLearn CSVs: ``python tests/data/make_fontana.py FOLDER``.

FOLDER holds ``Building_N.csv``, ``schema.json`` and ``LICENSE`` (CityLearn 2.0.0, MIT). Writes the whole year beside this script and June
2017 into ``subak/lab/data``, each with the licence. Columns: home u8, start_unix_s i64 (UTC), generation_wh i64, load_wh i64.

*Time.* Row "Hour h" is the hour that starts at h, on the wall clock of Los Angeles; the first row starts 2016-08-01 00:00. Every day of
the source has 24 rows, also the two days on which the clock was changed. Nothing is invented there: on 2016-11-06 the second 01:00 has no
row, so the UTC hour 09:00 is missing from the recording; on 2017-03-12 the row 02:00, which no clock showed, falls on the same UTC hour as
03:00, and the two are added, so that no energy is lost.

*Energy.* The values are whole watt-minutes but for a few halves and float noise; each is rounded to one (half to even). A counter
shows floor(watt-minutes so far / 60), so an hour's whole Wh are the difference of two such counters: sums over any span are exact to 1 Wh.
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

HOMES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12)
FIRST = datetime(2016, 8, 1)
CLOCK = ZoneInfo("America/Los_Angeles")
HERE = Path(__file__).parent
SHIPPED = HERE.parent.parent / "src" / "subak" / "lab" / "data"


def starts(rows: int) -> list[int]:
    """Start of each row's hour in Unix seconds. A wall clock hour that occurs twice is the first, one that never occurs the next."""
    walls = (FIRST + timedelta(hours=row) for row in range(rows))
    return [int(wall.replace(tzinfo=CLOCK, fold=0).astimezone(UTC).timestamp()) for wall in walls]


def home_hours(folder: Path, home: int, rated_kw: float) -> pl.DataFrame:
    """A home's year, one row per recorded UTC hour."""
    with (folder / f"Building_{home}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    generation = [round(float(row["Solar Generation [W/kW]"]) * rated_kw * 60) for row in rows]
    load = [round(float(row["Equipment Electric Power [kWh]"]) * 60_000) for row in rows]
    hours = (
        pl.DataFrame({"start_unix_s": starts(len(rows)), "generation_wh": generation, "load_wh": load})
        .group_by("start_unix_s")
        .sum()
        .sort("start_unix_s")
    )
    watt_hours = [pl.Series(name, np.diff(hours[name].to_numpy().cumsum() // 60, prepend=0)) for name in ("generation_wh", "load_wh")]
    return hours.with_columns(*watt_hours).insert_column(0, pl.Series("home", [home] * len(hours), pl.UInt8))


def main(folder: Path) -> None:
    """Write both recordings."""
    buildings = json.loads((folder / "schema.json").read_text())["buildings"]
    kilowatts = {home: buildings[f"Building_{home}"]["pv"]["attributes"]["nominal_power"] for home in HOMES}
    year = pl.concat(home_hours(folder, home, kilowatts[home]) for home in HOMES)
    first, after = (int(datetime(2017, month, 1, tzinfo=CLOCK).timestamp()) for month in (6, 7))
    year.write_parquet(HERE / "fontana-year.parquet", compression="zstd", compression_level=19)
    year.filter(pl.col("start_unix_s").is_between(first, after, closed="left")).write_parquet(
        SHIPPED / "fontana-2017-06.parquet", compression="zstd", compression_level=19
    )
    for place in (HERE, SHIPPED):
        shutil.copyfile(folder / "LICENSE", place / "fontana-LICENSE.txt")
    print(f"{len(year)} hours; rated kW: {kilowatts}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
