from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subak.core.canon import ed25519
from subak.core.canon.entry import RawEntry, Value, cut, pack
from subak.core.canon.ids import ED25519, P256, signer_id
from subak.core.canon.segment import frame, frame_schema, raw_rows, signed_rows, unfit, valid
from subak.core.kind import Field, Schema

NETWORK = bytes(range(32))
EVERY = Schema("test.every", 1, (Field("wh"), Field("money", "u128"), Field("owner", "address"), Field("root", "bytes32")))
READING = Schema("energy.reading", 1, (Field("export_wh"), Field("import_wh"), Field("generation_wh")))
SEEDS = [bytes([n]) * 32 for n in range(1, 4)]


def entry(schema: Schema, rows: list[tuple[Value, ...]], sequence: int = 0, seed: bytes = SEEDS[0], **changes: Any) -> RawEntry:
    key = ed25519.public_key(seed)
    header: dict[str, Any] = {
        "subject": seed,
        "signer": signer_id(ED25519, key),
        "start_unix_s": 1_500_000_000,
        "interval_seconds": 3600,
    } | changes
    signed = pack(network=NETWORK, schema=schema, sequence=sequence, rows=rows, **header)
    return next(cut(signed + ed25519.sign(seed, signed)))


def readings(counts: list[int]) -> list[RawEntry]:
    return [
        entry(READING, [(n * 100 + row, row, 2**63 - 1 - row) for row in range(count)], n, SEEDS[n % 3]) for n, count in enumerate(counts)
    ]


row = st.tuples(
    st.integers(0, 2**63 - 1), st.integers(0, 10**38 - 1), st.binary(min_size=20, max_size=20), st.binary(min_size=32, max_size=32)
)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(row, min_size=1, max_size=5), min_size=1, max_size=6))
def test_the_signed_bytes_come_back_from_columns(rows: list[list[tuple[Value, ...]]]) -> None:
    entries = [entry(EVERY, some, sequence) for sequence, some in enumerate(rows)]
    table = frame(entries, EVERY, 7)
    assert table.schema == frame_schema(EVERY)
    assert table["position"].to_list() == list(range(7, 7 + len(entries)))
    assert table["money"].to_list() == [[values[1] for values in some] for some in rows]
    assert signed_rows(table, EVERY, NETWORK) == [one.signed for one in entries]
    assert raw_rows(table, EVERY, NETWORK) == [one.signed + one.signature for one in entries]


def test_no_entries_are_an_empty_table() -> None:
    table = frame([], EVERY)
    assert table.schema == frame_schema(EVERY)
    assert signed_rows(table, EVERY, NETWORK) == []
    assert not len(valid(table, EVERY, NETWORK, pl.DataFrame(schema={"asset": pl.Binary, "curve": pl.UInt8, "key": pl.Binary})))


def test_money_that_no_reader_can_hold_is_refused() -> None:
    fits, too_much, wraps = (entry(EVERY, [(0, money, bytes(20), bytes(32))]) for money in (10**38 - 1, 10**38, 2**128 - 1))
    assert unfit(EVERY, fits) is None
    assert unfit(EVERY, too_much) == f"money is {10**38}, not below 10^38"
    for one in (too_much, wraps):
        with pytest.raises(ValueError, match=r"money is .* not below 10\^38"):
            frame([fits, one], EVERY)


def test_positions_must_be_one_for_each_entry() -> None:
    with pytest.raises(ValueError, match="1 positions for 2 Entries"):
        frame(readings([1, 1]), READING, np.zeros(1, np.uint64))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": [1, 3]}, "export_wh has 2 values in Entry 1, which has 3 rows"),
        ({"rows": [1, 0]}, "rows is 0"),
        ({"start_unix_s": [-1, 0]}, "start_unix_s is -1"),
        ({"subject": [bytes(32), bytes(31)]}, "subject has 31 bytes, not 32"),
        ({"export_wh": [[-5], [1, 2]]}, "export_wh is -5"),
        ({"export_wh": [[None], [1, 2]]}, "export_wh holds nulls"),
        ({"signature": [None, bytes(64)]}, r"\['signature'\] hold nulls"),
    ],
)
def test_a_table_that_no_entries_made_is_refused(change: dict[str, list[Any]], message: str) -> None:
    table = frame(readings([1, 2]), READING)
    broken = table.with_columns(pl.Series(name, values, dtype=table.schema[name]) for name, values in change.items())
    with pytest.raises(ValueError, match=message):
        signed_rows(broken, READING, NETWORK)


def test_only_the_assets_own_key_makes_a_row_valid() -> None:
    entries = readings([1, 24, 3, 1, 1, 1])
    foreign = entry(READING, [(1, 1, 1)], 9, SEEDS[0], subject=SEEDS[1])
    forged = entries[4]._replace(signature=bytes(64))
    table = frame([*entries[:4], forged, foreign, *readings([1])], READING)
    keys = pl.DataFrame(
        {
            "asset": pl.Series(SEEDS[:2], dtype=pl.Binary),
            "curve": pl.Series([ED25519, ED25519], dtype=pl.UInt8),
            "key": pl.Series([ed25519.public_key(seed) for seed in SEEDS[:2]], dtype=pl.Binary),
        }
    )
    assert valid(table, READING, NETWORK, keys).tolist() == [True, True, False, True, False, False, True]
    assert not valid(table, READING, bytes(32), keys).any()
    assert not valid(table, READING, NETWORK, keys.with_columns(curve=pl.lit(P256, pl.UInt8))).any()
    assert not valid(table, dataclasses.replace(READING, version=2), NETWORK, keys).any()
