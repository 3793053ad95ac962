from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import polars as pl
import pytest
from signed_entries import NETWORK, READING, RESET, entry

from subak.archive.segments import UnsoundSegment, read_segment, segment_path, write_segment, write_segments
from subak.archive.store import FolderArchive, NotThere, WrongContent, content_hash
from subak.archive.tables import write_parquet
from subak.core.canon.segment import frame_schema, raw_rows
from subak.core.nouns.book import SegmentRef
from subak.core.nouns.document import Hash

VERIFIER = bytes(range(20))


@pytest.fixture
def archive(tmp_path: Path) -> FolderArchive:
    return FolderArchive(tmp_path)


@pytest.fixture
def ref(archive: FolderArchive) -> SegmentRef:
    return write_segment(archive, [(40 + n, entry(1, n, [(n, 2, 3)] * (n + 1))) for n in range(5)], READING, NETWORK, VERIFIER)


def test_a_segment_gives_back_what_was_sent(archive: FolderArchive, ref: SegmentRef) -> None:
    assert ref == SegmentRef(schema="energy.reading", sha=ref.sha, rows=5, verifier=ref.verifier, position=40)
    assert content_hash(archive.get(segment_path(ref))) == ref.sha
    table = read_segment(archive, ref, READING, NETWORK)
    assert table.schema == frame_schema(READING)
    entries = [entry(1, n, [(n, 2, 3)] * (n + 1)) for n in range(5)]
    assert raw_rows(table, READING, NETWORK) == [one.signed + one.signature for one in entries]


def test_duckdb_reads_a_segment(archive: FolderArchive, ref: SegmentRef) -> None:
    table = duckdb.read_parquet(str(archive.root / segment_path(ref)))
    found = table.project("position, sequence, list_sum(export_wh), octet_length(signature)")
    assert found.fetchall() == [(40 + n, n, n * (n + 1), 64) for n in range(5)]


def test_the_log_becomes_one_segment_per_schema(archive: FolderArchive) -> None:
    logged = [(10 + n, entry(1, n, schema=RESET if n in (1, 6) else READING)) for n in range(8)]
    refs = write_segments(archive, logged, {READING.id: READING, RESET.id: RESET}, NETWORK, VERIFIER, most_entries=4)
    found = [(ref.schema, ref.position, ref.rows) for ref in refs]
    assert found == [("energy.reading", 10, 4), ("energy.reset", 11, 2), ("energy.reading", 15, 2)]
    assert read_segment(archive, refs[1], RESET)["position"].to_list() == [11, 16]
    with pytest.raises(KeyError):
        write_segments(archive, logged, {READING.id: READING}, NETWORK, VERIFIER)


def test_an_honest_verifier_writes_no_unsound_segment(archive: FolderArchive) -> None:
    for some, message in (
        ([], "a segment of 0 Entries"),
        ([(3, entry(1, 0)), (3, entry(1, 1))], "must rise"),
        ([(3, entry(1, 0, network=bytes(32)))], "an Entry of the network 0000"),
        ([(3, entry(1, 0, schema=RESET))], "schema id"),
    ):
        with pytest.raises(ValueError, match=message):
            write_segment(archive, some, READING, NETWORK, VERIFIER)


def test_other_bytes_are_refused(archive: FolderArchive, ref: SegmentRef) -> None:
    (archive.root / segment_path(ref)).write_bytes(b"other")
    with pytest.raises(WrongContent, match=f"expected {ref.sha.hex()}"):
        read_segment(archive, ref, READING)
    with pytest.raises(NotThere):
        read_segment(archive, msgspec.structs.replace(ref, sha=Hash(bytes(32))), READING)


def _set(name: str, values: Callable[[list[Any]], list[Any]]) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda table: table.with_columns(pl.Series(name, values(table[name].to_list()), dtype=table.schema[name]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop("sequence"), "has the columns"),
        (lambda table: table.with_columns(pl.col("rows").cast(pl.UInt32)), "has the columns"),
        (lambda table: table.with_columns(more=1), "has the columns"),
        (lambda table: table[:4], "has 4 Entries, its reference says 5"),
        (lambda table: pl.concat([table, table]), "has 10 rows, at most 5"),
        (lambda table: table.reverse(), "must rise from 40"),
        (_set("position", lambda values: [1, *values[1:]]), "start at 1 "),
        (_set("rows", lambda values: [2, *values[1:]]), "export_wh has 1 values in Entry 0, which has 2 rows"),
        (_set("rows", lambda values: [0, *values[1:]]), "rows is 0"),
        (_set("export_wh", lambda values: [[-1], *values[1:]]), "export_wh is -1"),
        (_set("export_wh", lambda values: [[None], *values[1:]]), "export_wh holds nulls"),
        (_set("export_wh", lambda values: [[7], [], *values[2:]]), "export_wh has 0 values in Entry 1"),
        (_set("start_unix_s", lambda values: [-9, *values[1:]]), "start_unix_s is -9"),
        (_set("subject", lambda values: [b"short", *values[1:]]), "subject has 5 bytes, not 32"),
        (_set("signer", lambda values: [None, *values[1:]]), "nulls"),
        (_set("signature", lambda values: [bytes(65), *values[1:]]), "signature has 65 bytes, not 64"),
    ],
)
def test_an_unsound_segment_is_refused(
    archive: FolderArchive, ref: SegmentRef, change: Callable[[pl.DataFrame], pl.DataFrame], message: str
) -> None:
    metadata = {"format": "subak/segment/1", "network": "0x" + NETWORK.hex(), "schema": READING.text, "verifier": "0x" + VERIFIER.hex()}
    data = write_parquet(change(read_segment(archive, ref, READING)), metadata)
    unsound = msgspec.structs.replace(ref, sha=Hash(content_hash(data)))
    archive.put(segment_path(unsound), data)
    with pytest.raises(UnsoundSegment, match=message):
        read_segment(archive, unsound, READING, NETWORK)


def test_a_segment_says_what_it_is(archive: FolderArchive, ref: SegmentRef) -> None:
    with pytest.raises(UnsoundSegment, match="'network': '0x0001"):
        read_segment(archive, ref, READING, bytes(32))
    with pytest.raises(UnsoundSegment, match="'verifier'"):
        read_segment(archive, msgspec.structs.replace(ref, verifier=bytes(20)), READING)
    table = read_segment(archive, ref, READING)
    data = write_parquet(table)
    nameless = msgspec.structs.replace(ref, sha=Hash(content_hash(data)))
    archive.put(segment_path(nameless), data)
    with pytest.raises(UnsoundSegment, match="'schema': None"):
        read_segment(archive, nameless, READING)
    with pytest.raises(ValueError, match=r"segment of energy\.reading read as energy\.reset"):
        read_segment(archive, ref, RESET)
