"""Tables of vouchers' lines: kept under their hash, and read from anyone."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from subak.archive.books import assemble_lines
from subak.archive.store import FolderArchive, NotThere, WrongContent, content_hash
from subak.archive.tables import read_lines, write_lines, write_parquet
from subak.core.nouns.book import LINES

GOOD = pl.DataFrame(
    {"lane": [b"\x01" * 32], "seq": [3], "asset": [b"\x02" * 32], "money": [10**30]}, schema={**LINES, "money": pl.Int128}
).cast({"money": pl.Decimal(38, 0)})


def test_lines_come_back_with_the_table_that_they_are_from(tmp_path: Path) -> None:
    archive = FolderArchive(tmp_path)
    shas = [write_lines(archive, GOOD), write_lines(archive, GOOD.with_columns(seq=pl.lit(4, pl.Int64)))]
    lines = assemble_lines(read_lines(archive, sha) for sha in shas)
    assert lines.rows() == [(*GOOD.row(0), 0), (*GOOD.row(0)[:1], 4, *GOOD.row(0)[2:], 1)]
    assert dict(assemble_lines([]).schema) == {**LINES, "table": pl.Int64}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (GOOD.drop("seq"), "has the columns"),
        (GOOD.with_columns(seq=pl.lit("x")), "has the columns"),
        (GOOD.with_columns(lane=pl.lit(b"\x01" * 31)), "lane is not always 32 bytes"),
        (GOOD.with_columns(asset=pl.lit(b"")), "asset is not always 32 bytes"),
        (GOOD.with_columns(money=pl.lit(0, pl.Int64).cast(pl.Decimal(38, 0))), "money is not always above zero"),
        (GOOD.with_columns(money=pl.lit(-1, pl.Int64).cast(pl.Decimal(38, 0))), "money is not always above zero"),
        (GOOD.with_columns(seq=pl.lit(None, pl.Int64)), "holds nulls"),
    ],
    ids=["no seq", "text", "short lane", "no asset", "nothing", "below nothing", "null"],
)
def test_what_nobody_could_have_signed_is_refused(tmp_path: Path, table: pl.DataFrame, words: str) -> None:
    archive = FolderArchive(tmp_path)
    raw = write_parquet(table)
    archive.put(f"lines/{content_hash(raw).hex()}.parquet", raw)
    with pytest.raises(WrongContent, match=words):
        read_lines(archive, content_hash(raw))


def test_lines_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotThere):
        read_lines(FolderArchive(tmp_path), bytes(32))
