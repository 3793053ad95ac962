from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subak.core.canon.columns import binary_rows, binary_series, columns_hash, columns_manifest

MONEY = pl.Decimal(38, 0)
INTEGERS = {"u16": pl.UInt16, "u32": pl.UInt32, "u64": pl.UInt64, "i8": pl.Int8, "i16": pl.Int16, "i32": pl.Int32, "i64": pl.Int64}


def plain(values: list[Any], kind: str) -> bytes:
    """A column's canonical bytes, as the table in docs/formats.md says, value by value."""
    if kind in ("bool", "u8"):
        return bytes(values)
    if kind in INTEGERS:
        return b"".join(value.to_bytes(8, "big", signed=kind[0] == "i") for value in values)
    if kind == "money":
        return b"".join(int(value).to_bytes(16, "big") for value in values)
    if kind.startswith("binary("):
        return b"".join(values)
    lengths = b"".join(len(value.encode() if kind == "text" else value).to_bytes(4, "big") for value in values)
    if kind == "text":
        return lengths + "".join(values).encode()
    if kind == "binary":
        return lengths + b"".join(values)
    return lengths + plain([item for value in values for item in value], kind.removeprefix("list[").removesuffix("]"))


COLUMNS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "bool": (pl.Boolean, st.booleans()),
    "u8": (pl.UInt8, st.integers(0, 255)),
    **{
        name: (dtype, st.integers(-(2 ** (int(name[1:]) - 1)), 2 ** (int(name[1:]) - 1) - 1))
        if name[0] == "i"
        else (dtype, st.integers(0, 2 ** int(name[1:]) - 1))
        for name, dtype in INTEGERS.items()
    },
    "money": (pl.Int128, st.integers(0, 2**127 - 1)),
    "text": (pl.String, st.text(st.characters(codec="utf-8"), max_size=5)),
    "list[i64]": (pl.List(pl.Int64), st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4)),
    "list[u8]": (pl.List(pl.UInt8), st.lists(st.integers(0, 255), max_size=4)),
    "list[list[text]]": (pl.List(pl.List(pl.String)), st.lists(st.lists(st.text("ab", max_size=2), max_size=2), max_size=2)),
}


@pytest.mark.parametrize("kind", COLUMNS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_canonical_bytes_of_every_type(kind: str, data: st.DataObject) -> None:
    dtype, value = COLUMNS[kind]
    values = data.draw(st.lists(value, max_size=8))
    manifest = columns_manifest({"t": pl.DataFrame({"c": pl.Series(values, dtype=dtype)})})
    assert manifest["t"]["c"] == {"type": kind, "rows": len(values), "sha256": "0x" + hashlib.sha256(plain(values, kind)).hexdigest()}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=2), max_size=6))
def test_canonical_bytes_of_binary(values: list[bytes]) -> None:
    kind = f"binary({len(values[0])})" if len({len(value) for value in values}) == 1 else "binary"
    manifest = columns_manifest({"t": pl.DataFrame({"c": pl.Series(values, dtype=pl.Binary)})})
    assert manifest["t"]["c"] == {"type": kind, "rows": len(values), "sha256": "0x" + hashlib.sha256(plain(values, kind)).hexdigest()}


def example() -> dict[str, pl.DataFrame]:
    return {
        "accounts": pl.DataFrame(
            {
                "account": pl.Series([b"a" * 20, b"b" * 20], dtype=pl.Binary),
                "rewards": pl.Series([10**30, 0], dtype=pl.Int128).cast(MONEY),
                "kind": pl.Series(["energy", ""], dtype=pl.String),
            }
        ),
        "verdicts": pl.DataFrame(
            {
                "sequence": pl.Series([1, 2**64 - 1, 3], dtype=pl.UInt64),
                "reasons": pl.Series([[0], [], [0, 64]], dtype=pl.List(pl.UInt8)),
                "work": pl.Series([[512], [], [0, -5]], dtype=pl.List(pl.Int64)),
                "listed": pl.Series([True, False, True], dtype=pl.Boolean),
            }
        ),
    }


def test_golden() -> None:
    """A change here splits the network: it needs a new tag."""
    assert columns_hash(example()).hex() == "f11beddc828244bac184d1de8e44750793642e17d41018180388dfe442d3b654"
    manifest = columns_manifest(example())
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(b"subak/columns/1" + text.encode()).digest() == columns_hash(example())


def test_neither_file_nor_order_of_columns_nor_chunks_matter(tmp_path: Path) -> None:
    expected = columns_hash(example())
    files, shuffled, pieces = {}, {}, {}
    for name, table in example().items():
        table.write_parquet(tmp_path / name)
        files[name] = pl.read_parquet(tmp_path / name)
        shuffled[name] = table.select(reversed(table.columns))
        pieces[name] = pl.concat([table[:1], table[1:1], table[1:]], rechunk=False)
    assert columns_hash(files) == expected
    assert columns_hash(dict(reversed(shuffled.items()))) == expected
    assert columns_hash(pieces) == expected
    doubled = {name: pl.concat([table, table]) for name, table in example().items()}
    assert columns_hash({name: table[len(table) // 2 :] for name, table in doubled.items()}) == expected


def test_money_hashes_alike_in_memory_and_in_the_file() -> None:
    amounts = [0, 1, 2**64 - 1, 2**64, 10**38 - 1]
    integers = pl.DataFrame({"rewards": pl.Series(amounts, dtype=pl.Int128)})
    decimals = integers.cast(MONEY)
    assert decimals["rewards"].to_list() == amounts
    assert columns_hash({"t": decimals}) == columns_hash({"t": integers})


def variants() -> dict[str, dict[str, pl.DataFrame]]:
    accounts, verdicts = example()["accounts"], example()["verdicts"]
    changes: dict[str, dict[str, pl.DataFrame]] = {
        "a table more": {"more": accounts},
        "a renamed column": {"accounts": accounts.rename({"kind": "sort"})},
    }
    changes["rows in another order"] = {"accounts": accounts.reverse()}
    changes["a row less"] = {"accounts": accounts[:1]}
    changes["no rows"] = {"accounts": accounts[:0]}
    changes["another type"] = {"verdicts": verdicts.with_columns(pl.col("sequence").cast(pl.Decimal(38, 0)))}
    new: dict[str, list[Any]] = {
        "sequence": [1, 2**64 - 1, 4],
        "reasons": [[0], [0], [64]],
        "work": [[512], [], [0, -6]],
        "listed": [True, True, True],
    }
    for name, values in new.items():
        changes[f"a value of {name}"] = {"verdicts": verdicts.with_columns(pl.Series(name, values, dtype=verdicts[name].dtype))}
    changes["one unit of money"] = {"accounts": accounts.with_columns(pl.col("rewards") + 1)}
    changes["one byte of a key"] = {"accounts": accounts.with_columns(account=pl.Series([b"a" * 20, b"b" * 19 + b"c"]))}
    changes["a byte moved to the next key"] = {"accounts": accounts.with_columns(account=pl.Series([b"a" * 19, b"a" + b"b" * 20]))}
    changes["a letter moved to the next text"] = {"accounts": accounts.with_columns(kind=pl.Series(["energ", "y"]))}
    return changes


@pytest.mark.parametrize("change", variants())
def test_every_change_changes_the_hash(change: str) -> None:
    assert columns_hash(example() | variants()[change]) != columns_hash(example())


@pytest.mark.parametrize(
    ("series", "error", "why"),
    [
        (pl.Series([1, None]), ValueError, "t.c holds a null"),
        (pl.Series([[1], None]), ValueError, "t.c holds a null"),
        (pl.Series([[1, None]]), ValueError, "t.c holds a null"),
        (pl.Series([-1], dtype=pl.Int128), ValueError, "t.c holds money below zero"),
        (pl.Series([1.0]), TypeError, "t.c: Float64 has no canonical bytes"),
        (pl.Series([[0.5]]), TypeError, "t.c: Float64"),
        (pl.Series(["1.5"]).cast(pl.Decimal(10, 1)), TypeError, "t.c: Decimal"),
        (pl.Series(["a"], dtype=pl.Categorical), TypeError, "t.c: Categorical"),
    ],
)
def test_what_has_no_canonical_bytes_is_named(series: pl.Series, error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        columns_hash({"t": pl.DataFrame({"c": series})})


@given(st.lists(st.binary(min_size=5, max_size=5), max_size=6))
def test_binary_columns_and_arrays(values: list[bytes]) -> None:
    rows = np.frombuffer(b"".join(values), np.uint8).reshape(-1, 5)
    series = binary_series("key", rows)
    assert series.name == "key"
    assert series.dtype == pl.Binary
    assert series.to_list() == values
    np.testing.assert_array_equal(binary_rows(series, 5), rows)


@pytest.mark.parametrize("values", [[b"ab", b"abc", b"a"], [b"ab", None], [b"abc"]])
def test_a_binary_column_of_another_length_is_refused(values: list[bytes | None]) -> None:
    with pytest.raises(ValueError, match="key must hold values of 2 bytes"):
        binary_rows(pl.Series("key", values, dtype=pl.Binary), 2)
