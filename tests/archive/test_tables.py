from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from subak.archive.store import FolderArchive, NotThere, WrongContent
from subak.archive.tables import parse_parquet, read_limit_table, read_tables, write_limit_table, write_parquet, write_tables
from subak.core.canon.columns import columns_hash

TABLES = {
    "assets": pl.DataFrame(
        {
            "asset": pl.Series([bytes(32), b"\1" * 32], dtype=pl.Binary),
            "kind": ["energy", ""],
            "live": [True, False],
            "curve": pl.Series([1, 0], dtype=pl.UInt8),
            "codes": pl.Series([[1, 2], []], dtype=pl.List(pl.UInt8)),
            "rewards": pl.Series([10**37, 0], dtype=pl.Int128).cast(pl.Decimal(38, 0)),
        }
    ),
    "carried.energy": pl.DataFrame(schema={"asset": pl.Binary, "mark_wh": pl.Int64}),
}


@pytest.fixture
def archive(tmp_path: Path) -> FolderArchive:
    return FolderArchive(tmp_path)


def test_tables_come_back_by_their_hash(archive: FolderArchive) -> None:
    name = write_tables(archive, "state", TABLES)
    assert name == columns_hash(TABLES) == write_tables(archive, "state", TABLES)
    assert {path.rsplit("/", 1)[-1] for path in archive.names(f"state/{name.hex()}/")} == {
        "assets.parquet",
        "carried.energy.parquet",
        "manifest.json",
    }
    read = read_tables(archive, "state", name)
    assert all(read[table].equals(TABLES[table]) and read[table].schema == TABLES[table].schema for table in TABLES)
    assert columns_hash(read) == name


def test_money_comes_back_as_money(archive: FolderArchive) -> None:
    wide = {"pools": pl.DataFrame({"dust": pl.Series([1, 2], dtype=pl.Int128)})}
    assert read_tables(archive, "state", write_tables(archive, "state", wide))["pools"]["dust"].dtype == pl.Decimal(38, 0)


def test_changed_values_are_refused(archive: FolderArchive) -> None:
    name = write_tables(archive, "state", TABLES)
    path = archive.root / f"state/{name.hex()}/assets.parquet"
    path.write_bytes(write_parquet(TABLES["assets"].with_columns(live=pl.lit(True))))
    with pytest.raises(WrongContent, match=r"assets\.parquet holds other values than were hashed in \['live'\]"):
        read_tables(archive, "state", name)
    path.write_bytes(write_parquet(TABLES["assets"].drop("kind")))
    with pytest.raises(WrongContent, match=r"\['kind'\]"):
        read_tables(archive, "state", name)
    path.write_bytes(write_parquet(pl.concat([TABLES["assets"]] * 2)))
    with pytest.raises(WrongContent, match="has 4 rows, at most 2"):
        read_tables(archive, "state", name)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(WrongContent, match="no Parquet"):
        read_tables(archive, "state", name)
    manifest = archive.root / f"state/{name.hex()}/manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b" ")
    with pytest.raises(WrongContent, match=f"expected {name.hex()}"):
        read_tables(archive, "state", name)
    with pytest.raises(NotThere):
        read_tables(archive, "state", bytes(32))


def test_a_limit_table_comes_back_as_arrays(archive: FolderArchive) -> None:
    table = pl.DataFrame({"cell": pl.Series([2**63 + 1, 7], dtype=pl.UInt64), "limit_wh_per_kw": [5, -6], "dark": [True, False]})
    sha = write_limit_table(archive, table)
    read = read_limit_table(archive, sha)
    assert read["cell"].tolist() == [2**63 + 1, 7]
    assert read["cell"].dtype == np.uint64
    assert read["limit_wh_per_kw"].tolist() == [5, -6]
    assert read["dark"].tolist() == [True, False]


@pytest.mark.parametrize("column", [[1.5], ["word"], [None], [b"bytes"], [[1]]])
def test_limits_are_whole_numbers(archive: FolderArchive, column: list[object]) -> None:
    with pytest.raises(WrongContent, match="limit table: limit"):
        write_limit_table(archive, pl.DataFrame({"limit": column}))


@pytest.mark.parametrize("damage", range(4))
def test_no_bytes_from_outside_do_more_than_be_refused(damage: int) -> None:
    buffer = io.BytesIO()
    TABLES["assets"].write_parquet(buffer)
    good = buffer.getvalue()
    generator = np.random.default_rng(damage)
    for _ in range(50):
        bad = bytearray(good)
        for at in generator.integers(0, len(bad), 1 + damage * 3):
            bad[at] ^= int(generator.integers(1, 256))
        with suppress(WrongContent):
            assert len(parse_parquet(bytes(bad), "file", 2)) <= 2
