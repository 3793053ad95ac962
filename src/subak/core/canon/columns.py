"""A hash of tables that depends on their values alone, not on a file format: ``docs/formats.md``, "Columns hash"."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
import polars as pl
from numpy.typing import NDArray

from subak.core.canon.json import encode

_CHUNK = 1 << 18
_INTEGERS: dict[type[pl.DataType], str] = {
    pl.UInt16: "u16",
    pl.UInt32: "u32",
    pl.UInt64: "u64",
    pl.Int8: "i8",
    pl.Int16: "i16",
    pl.Int32: "i32",
    pl.Int64: "i64",
}


class Column(TypedDict):
    """What the hash of a table says about one column."""

    type: str
    """``bool``, ``u8``, ``u16`` .. ``i64``, ``money``, ``text``, ``binary``, ``binary(n)`` or ``list[...]``."""
    rows: int
    """Number of values."""
    sha256: str
    """Of the column's canonical bytes, 0x hex."""


def columns_hash(tables: Mapping[str, pl.DataFrame]) -> bytes:
    """32 bytes that name the tables' values; the order of rows counts, the order of tables and columns does not.

    Money is ``Decimal(p, 0)`` or ``Int128`` (the two hash alike), in [0, 2^127). Raises ``ValueError`` on a null or on money below zero and
    ``TypeError`` on a type without canonical bytes, naming table and column.
    """
    return hashlib.sha256(b"subak/columns/1" + encode(columns_manifest(tables))).digest()


def columns_manifest(tables: Mapping[str, pl.DataFrame]) -> dict[str, dict[str, Column]]:
    """What ``columns_hash`` hashes: table to column to type, rows and SHA-256."""
    return {name: {column.name: _column(f"{name}.{column.name}", column) for column in tables[name]} for name in tables}


def binary_rows(column: pl.Series, length: int) -> NDArray[np.uint8]:
    """A binary column whose values all have ``length`` bytes as an array (n, length); ``ValueError`` on a null or on another length."""
    if column.null_count() or (len(column) and not (column.bin.size() == length).all()):
        raise ValueError(f"{column.name} must hold values of {length} bytes")
    return _flat(column).reshape(-1, length)


def binary_series(name: str, rows: NDArray[np.uint8]) -> pl.Series:
    """The inverse of ``binary_rows``: an array (n, length) as a binary column, without a Python object for each row."""
    return pl.Series(name, np.ascontiguousarray(rows)).cast(pl.List(pl.UInt8)).cast(pl.Binary)


def _column(path: str, column: pl.Series) -> Column:
    digest = hashlib.sha256()
    kind = _feed(digest, path, column)
    return {"type": kind, "rows": len(column), "sha256": "0x" + digest.hexdigest()}


def _feed(digest: Any, path: str, column: pl.Series) -> str:
    """Gives the column's canonical bytes to ``digest`` and returns its type's name."""
    if column.null_count():
        raise ValueError(f"{path} holds a null")
    dtype = column.dtype
    if dtype in (pl.Boolean, pl.UInt8):
        digest.update(np.ascontiguousarray(column.cast(pl.UInt8).to_numpy()))
        return "bool" if dtype == pl.Boolean else "u8"
    if (name := _INTEGERS.get(dtype.base_type())) is not None:
        _feed_words(digest, column.to_numpy())
        return name
    if dtype == pl.Int128 or (isinstance(dtype, pl.Decimal) and dtype.scale == 0):
        _feed_money(digest, path, column.cast(pl.Int128))
        return "money"
    if dtype == pl.Binary:
        return _feed_binary(digest, column)
    if dtype == pl.String:
        data = column.cast(pl.Binary)
        _feed_lengths(digest, data.bin.size().to_numpy())
        digest.update(_flat(data))
        return "text"
    if isinstance(dtype, pl.List):
        _feed_lengths(digest, column.list.len().to_numpy())
        return f"list[{_feed(digest, path, column.explode(empty_as_null=False))}]"
    raise TypeError(f"{path}: {dtype} has no canonical bytes")


def _feed_words(digest: Any, values: NDArray[Any]) -> None:
    """Each integer as 8 bytes, big-endian, two's complement."""
    wide = np.uint64 if values.dtype.kind == "u" else np.int64
    for start in range(0, len(values), _CHUNK):
        digest.update(values[start : start + _CHUNK].astype(wide, copy=False).byteswap())


def _feed_lengths(digest: Any, lengths: NDArray[Any]) -> None:
    digest.update(lengths.astype(">u4"))


def _feed_money(digest: Any, path: str, column: pl.Series) -> None:
    """Each amount as 16 bytes, big-endian. NumPy has no such integer, so Polars divides them into two words."""
    if len(column) and column.min() < 0:  # type: ignore[operator]
        raise ValueError(f"{path} holds money below zero")
    words = np.empty((len(column), 2), ">u8")
    words[:, 0] = (column // 2**64).cast(pl.UInt64).to_numpy()
    words[:, 1] = (column % pl.Series([2**64], dtype=pl.Int128)).cast(pl.UInt64).to_numpy()
    digest.update(words)


def _feed_binary(digest: Any, column: pl.Series) -> str:
    """Values of one length are concatenated and the type names it; otherwise the lengths come first, or two columns could look alike."""
    lengths = column.bin.size().to_numpy()
    fixed = len(lengths) > 0 and int(lengths.min()) == int(lengths.max())
    if not fixed:
        _feed_lengths(digest, lengths)
    digest.update(_flat(column))
    return f"binary({lengths[0]})" if fixed else "binary"


def _flat(column: pl.Series) -> NDArray[np.uint8]:
    """The bytes of a binary column, one value after another."""
    flat: NDArray[np.uint8] = column.cast(pl.List(pl.UInt8)).explode(empty_as_null=False).to_numpy()
    return np.ascontiguousarray(flat)
