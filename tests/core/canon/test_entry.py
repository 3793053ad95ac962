from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subak.core.canon import ed25519
from subak.core.canon.entry import (
    HEADER_BYTES,
    MAX_ROW_WORDS,
    Malformed,
    RawEntry,
    columns,
    cut,
    entry_digest,
    fault,
    pack,
    rebuild,
    unpack_rows,
)
from subak.core.kind import Field, Schema

READING = Schema("energy.reading", 1, (Field("export_wh"), Field("import_wh"), Field("generation_wh")))
WIDE = Schema("example.wide", 1, (Field("count"), Field("money_wei", "u128"), Field("to", "address"), Field("digest", "bytes32")))
NETWORK = hashlib.sha256(b"network").digest()
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "u63": st.integers(0, 2**63 - 1),
    "u128": st.integers(0, 2**128 - 1),
    "address": st.binary(min_size=20, max_size=20),
    "bytes32": st.binary(min_size=32, max_size=32),
}


def sized(length: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=length, max_size=length)


def facts(schema: Schema) -> st.SearchStrategy[dict[str, Any]]:
    """Everything that ``pack`` takes but network and schema."""
    return st.fixed_dictionaries(
        {
            "subject": sized(32),
            "signer": sized(8),
            "sequence": st.integers(0, 2**64 - 1),
            "start_unix_s": st.integers(0, 2**63 - 1),
            "interval_seconds": st.integers(0, 2**32 - 1),
            "rows": st.lists(st.tuples(*(VALUES[field.type] for field in schema.fields)), min_size=1, max_size=5),
        }
    )


def entry_bytes(schema: Schema = READING, signature: bytes = bytes(64), **changes: Any) -> bytes:
    values: dict[str, Any] = {
        "network": NETWORK,
        "subject": b"s" * 32,
        "signer": b"k" * 8,
        "sequence": 1,
        "start_unix_s": 1496275200,
        "interval_seconds": 3600,
        "rows": [(1, 2, 3), (4, 5, 6)],
    }
    return pack(schema=schema, **(values | changes)) + signature


def schema_of(text: str) -> Schema:
    name, rest = text.split("/")
    version, fields = rest.rstrip(")").split("(")
    return Schema(name, int(version), tuple(Field(*field.split(":")) for field in fields.split(",")))


def test_golden(vectors: Callable[[str], Any]) -> None:
    """Packing gives the bytes, the bytes give the values back, and the signature holds."""
    for golden in vectors("entries.json")["entries"]:
        schema = schema_of(golden["schema"])
        rows = [tuple(int(value) if isinstance(value, str) else value for value in row) for row in golden["rows"]]
        names = ("network", "subject", "signer", "interval_seconds")
        signed = pack(
            schema=schema,
            rows=rows,
            sequence=int(golden["sequence"]),
            start_unix_s=int(golden["start_unix_s"]),
            **{name: golden[name] for name in names},
        )
        assert signed == golden["signed"], golden["note"]
        assert entry_digest(signed) == golden["digest"] == hashlib.sha256(signed).digest()
        assert ed25519.sign(golden["seed"], signed) == golden["signature"]
        assert ed25519.verify(golden["key"], golden["signature"], signed)
        (entry,) = cut(signed + golden["signature"])
        assert (entry.sequence, entry.start_unix_s, entry.rows) == (int(golden["sequence"]), int(golden["start_unix_s"]), len(rows))
        assert tuple(getattr(entry, name) for name in names) == tuple(golden[name] for name in names)
        assert unpack_rows(schema, entry.payload) == rows
        assert fault(schema, entry) is None


def test_the_layout_of_the_formats() -> None:
    """Offsets as docs/formats.md gives them, read without the code."""
    data = entry_bytes(sequence=2**64 - 2, start_unix_s=7, interval_seconds=9, signature=b"z" * 64)
    assert data[:8] == b"subak/e1"
    assert data[8:40] == NETWORK
    assert data[40:48] == hashlib.sha256(b"energy.reading/1(export_wh:u63,import_wh:u63,generation_wh:u63)").digest()[:8]
    assert data[48:80] == b"s" * 32
    assert data[80:88] == b"k" * 8
    numbers = [int.from_bytes(data[start:end], "big") for start, end in ((88, 96), (96, 104), (104, 108), (108, 110), (110, 112))]
    assert numbers == [2**64 - 2, 7, 9, 2, 3]
    assert [int.from_bytes(data[at : at + 8], "big") for at in range(112, 160, 8)] == [1, 2, 3, 4, 5, 6]
    assert data[160:] == b"z" * 64


@pytest.mark.parametrize("schema", [READING, WIDE])
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_round_trip_through_columns(schema: Schema, data: st.DataObject) -> None:
    several = data.draw(st.lists(facts(schema), max_size=6))
    signed = [pack(network=NETWORK, schema=schema, **values) for values in several]
    batch = b"".join(item + bytes([number]) * 64 for number, item in enumerate(signed))
    entries = list(cut(batch))
    assert [entry.signed for entry in entries] == signed
    assert [entry.signature for entry in entries] == [bytes([number]) * 64 for number in range(len(signed))]
    assert [unpack_rows(schema, entry.payload) for entry in entries] == [values["rows"] for values in several]
    assert [entry.digest for entry in entries] == [entry_digest(item) for item in signed]

    table = columns(schema, entries)
    assert len(table) == len(several)
    for name in ("sequence", "start_unix_s", "interval_seconds"):
        assert getattr(table, name).tolist() == [values[name] for values in several]
    assert [row.tobytes() for row in table.subject] == [values["subject"] for values in several]
    assert table.rows.tolist() == [len(values["rows"]) for values in several]
    rows = [row for values in several for row in values["rows"]]
    for number, field in enumerate(schema.fields):
        found = table.fields[field.name]
        if field.type == "u63":
            assert found.tolist() == [row[number] for row in rows]
        elif field.type == "u128":
            assert [int.from_bytes(value.tobytes(), "big") for value in found] == [row[number] for row in rows]
        else:
            assert [value.tobytes() for value in found] == [row[number] for row in rows]
    assert rebuild(NETWORK, schema, table) == signed
    assert [row.tobytes() for row in table.signature] == [entry.signature for entry in entries]


def test_any_buffer_is_cut() -> None:
    data = entry_bytes() * 3
    assert list(cut(bytearray(data))) == list(cut(memoryview(data))) == list(cut(data))
    assert list(cut(b"")) == []


def changed(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


GOOD = entry_bytes()


@pytest.mark.parametrize(
    ("batch", "offset", "detail"),
    [
        (b"{}", 0, "2 bytes left, but a header has 112"),
        (b"GET / HTTP/1.1" * 20, 0, "starts with b'subak/e1', not b'GET / HT'"),
        (changed(GOOD, 7, b"2"), 0, "not b'subak/e2'"),
        (GOOD[:-1], 0, "2 rows of 3 words need 224 bytes, but 223 are left"),
        (GOOD + GOOD[:50], 224, "50 bytes left, but a header has 112"),
        (GOOD + GOOD[:112], 224, "need 224 bytes, but 112 are left"),
        (GOOD + b"\n", 224, "1 bytes left"),
        (changed(GOOD, 108, b"\0\0"), 0, "rows is 0, not 1 to 1024"),
        (changed(GOOD, 108, b"\x04\x01"), 0, "rows is 1025, not 1 to 1024"),
        (changed(GOOD, 108, b"\x04\x00"), 0, "1024 rows of 3 words need 24752 bytes, but 224 are left"),
        (changed(GOOD, 110, b"\0\0"), 0, "row_words is 0, not 1 to 512"),
        (changed(GOOD, 110, b"\x02\x01"), 0, "row_words is 513, not 1 to 512"),
        (changed(GOOD, 96, b"\x80"), 0, "start_unix_s is 9223372038351051008, 2^63 or more"),
    ],
)
def test_malformed_batches_say_where_and_why(batch: bytes, offset: int, detail: str) -> None:
    found: list[RawEntry] = []
    with pytest.raises(Malformed) as caught:
        found.extend(cut(batch))
    assert caught.value.offset == offset
    assert detail in caught.value.detail
    assert str(caught.value) == f"at byte {offset}: {caught.value.detail}"


def test_what_came_before_the_fault_is_kept() -> None:
    found: list[RawEntry] = []
    with pytest.raises(Malformed, match="at byte 448"):
        found.extend(cut(GOOD * 2 + b"rubbish"))
    assert [entry.signed for entry in found] == [GOOD[:-64]] * 2


@settings(max_examples=300)
@given(st.binary(max_size=400), st.integers(0, 300), st.integers(0, 400))
def test_no_bytes_do_harm(noise: bytes, at: int, end: int) -> None:
    """Whatever comes is cut into pieces that give the bytes back, or is Malformed."""
    batch = changed(GOOD * 2, at, noise)[:end]
    pieces: list[bytes] = []
    good = len(batch)
    try:
        pieces.extend(entry.signed + entry.signature for entry in cut(batch))
    except Malformed as error:
        good = error.offset
    assert b"".join(pieces) == batch[:good]


def test_an_entry_that_does_not_fit_its_schema() -> None:
    other = Schema("energy.reading", 2, READING.fields)
    narrow = Schema("energy.reading", 1, READING.fields[:2])
    wide: dict[str, Any] = {"rows": [(1, 2, b"a" * 20, b"d" * 32)]}
    rows_at, address_at = HEADER_BYTES, HEADER_BYTES + 24
    twice = changed(entry_bytes(), rows_at + 24 + 8, b"\xff")
    cases = [
        (READING, entry_bytes(schema=other), "schema id"),
        (READING, changed(entry_bytes(), 108, b"\0\1\0\6"), "row_words is 6, but energy.reading/1"),
        (narrow, changed(entry_bytes(), 40, narrow.id), "row_words is 3"),
        (READING, changed(entry_bytes(), rows_at, b"\x80"), "export_wh is 2^63 or more"),
        (READING, twice, "import_wh is 2^63 or more"),
        (WIDE, changed(entry_bytes(schema=WIDE, **wide), address_at + 11, b"\1"), "to is not an address"),
        (WIDE, changed(entry_bytes(schema=WIDE, **wide), rows_at, b"\x80"), "count is 2^63 or more"),
    ]
    for schema, data, why in cases:
        entries = list(cut(data))
        assert why in (fault(schema, entries[0]) or "")
        good = list(cut(entry_bytes(schema=schema, rows=[(1, 2, 3)[: len(schema.fields)]] if schema != WIDE else wide["rows"])))
        with pytest.raises(ValueError, match="entry 1") as caught:
            columns(schema, good + entries)
        assert why in str(caught.value)


def test_columns_are_of_one_network() -> None:
    with pytest.raises(ValueError, match="entry 1: another network"):
        columns(READING, list(cut(entry_bytes() + entry_bytes(network=bytes(32)))))


def test_columns_whose_lengths_disagree() -> None:
    table = columns(READING, list(cut(GOOD)))
    short = dataclasses.replace(table, fields=dict(table.fields) | {"import_wh": np.zeros(1, np.int64)})
    with pytest.raises(ValueError, match="import_wh has 1 values for 2 rows"):
        rebuild(NETWORK, READING, short)
    negative = dataclasses.replace(table, fields=dict(table.fields) | {"import_wh": np.array([1, -1])})
    with pytest.raises(ValueError, match="import_wh is below zero"):
        rebuild(NETWORK, READING, negative)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"network": b"n"}, "network has 32 bytes, not 1"),
        ({"subject": b""}, "subject has 32 bytes"),
        ({"signer": bytes(9)}, "signer has 8 bytes"),
        ({"sequence": 2**64}, "sequence = 18446744073709551616"),
        ({"sequence": -1}, "sequence = -1"),
        ({"start_unix_s": 2**63}, "start_unix_s"),
        ({"interval_seconds": 2**32}, "interval_seconds"),
        ({"rows": []}, "0 rows"),
        ({"rows": [(1, 2, 3)] * 1025}, "1025 rows"),
        ({"rows": [(1, 2)]}, "has 3 values, not 2"),
        ({"rows": [(1, 2, 2**63)]}, "generation_wh"),
        ({"rows": [(1, 2, -1)]}, "generation_wh"),
        ({"rows": [(1, b"2", 3)]}, "import_wh"),
        ({"schema": WIDE, "rows": [(1, 2**128, bytes(20), bytes(32))]}, "money_wei"),
        ({"schema": WIDE, "rows": [(1, 2, bytes(32), bytes(32))]}, "to takes 20 bytes"),
        ({"schema": Schema("too.wide", 1, tuple(Field(f"f{number}") for number in range(MAX_ROW_WORDS + 1)))}, "rows of 513 words"),
    ],
)
def test_what_cannot_be_packed_is_named(change: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why.replace("(", r"\(")):
        entry_bytes(**change)
