"""Entries as a table: one row per signature, the readings as lists, as ``docs/formats.md`` lays segments out.

A table keeps everything that was signed, so the very bytes come back from it and nothing else need be stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from subak.core.canon.entry import HEADER_BYTES, SIGNATURE_BYTES, Columns, RawEntry, columns, fault, rebuild
from subak.core.canon.ids import KEY_BYTES, signer_id
from subak.core.canon.signatures import verify
from subak.core.kind import BYTES, WORDS, Schema

MONEY = pl.Decimal(38, 0)
"""How a ``u128`` is stored; it holds values below 10^38, which both Polars and DuckDB can read."""
_HEAD: dict[str, Any] = {
    "position": pl.UInt64,
    "subject": pl.Binary,
    "signer": pl.Binary,
    "sequence": pl.UInt64,
    "start_unix_s": pl.Int64,
    "interval_seconds": pl.UInt32,
    "rows": pl.UInt16,
}
_VALUES: dict[str, Any] = {"u63": pl.Int64, "u128": MONEY, **dict.fromkeys(BYTES, pl.Binary)}
_BLOCK = 1 << 16


def frame_schema(schema: Schema) -> pl.Schema:
    """Names and types of the columns of a table of this schema's Entries, in order."""
    return pl.Schema({**_HEAD, **{field.name: pl.List(_VALUES[field.type]) for field in schema.fields}, "signature": pl.Binary})


def unfit(schema: Schema, entry: RawEntry) -> str | None:
    """Why ``frame`` would not take the Entry, in words; None if it would. Beyond ``entry.fault``: a ``u128`` must be below 10^38."""
    why = fault(schema, entry)
    if why is not None or all(field.type != "u128" for field in schema.fields):
        return why
    start = HEADER_BYTES
    for field in schema.fields:
        if field.type == "u128":
            for at in range(start, len(entry.signed), 8 * schema.row_words):
                value = int.from_bytes(entry.signed[at : at + 16], "big")
                if value >= 10**38:
                    return f"{field.name} is {value}, not below 10^38"
        start += 8 * WORDS[field.type]
    return None


def frame(entries: Sequence[RawEntry], schema: Schema, positions: NDArray[np.uint64] | int = 0) -> pl.DataFrame:
    """The Entries as a table with the columns of ``frame_schema``, in their order.

    ``positions`` are their places in the verifier's log, or the first one's if they stand one after another. All are of one network, which
    the table does not hold. ``ValueError`` names an Entry or value that does not fit.
    """
    if isinstance(positions, int):
        positions = np.arange(positions, positions + len(entries), dtype=np.uint64)
    if len(positions) != len(entries):
        raise ValueError(f"{len(positions)} positions for {len(entries)} Entries")
    if not entries:
        return pl.DataFrame(schema=frame_schema(schema))
    parts = columns(schema, entries)
    lists = {field.name: _lists(_values(field.name, field.type, parts.fields[field.name]), parts.rows) for field in schema.fields}
    return pl.DataFrame(
        {
            "position": positions,
            "subject": _binary(parts.subject),
            "signer": _binary(parts.signer),
            "sequence": parts.sequence,
            "start_unix_s": parts.start_unix_s,
            "interval_seconds": parts.interval_seconds,
            "rows": parts.rows,
            **lists,
            "signature": _binary(parts.signature),
        },
        schema=frame_schema(schema),
    )


def signed_rows(frame: pl.DataFrame, schema: Schema, network: bytes) -> list[bytes]:
    """The signed bytes of each row, as they were before ``frame``.

    ``ValueError`` names a column whose types, lengths or values no Entry has: such a table did not come from Entries.
    """
    return rebuild(network, schema, to_columns(frame, schema)) if len(frame) else []


def raw_rows(frame: pl.DataFrame, schema: Schema, network: bytes) -> list[bytes]:
    """Each row as the bytes of an Entry, signature included: what a host sent."""
    return [signed + signature for signed, signature in zip(signed_rows(frame, schema, network), frame["signature"].to_list(), strict=True)]


def valid(frame: pl.DataFrame, schema: Schema, network: bytes, keys: pl.DataFrame) -> NDArray[np.bool_]:
    """Whether each row carries its asset's own signature under the strict rule.

    ``keys`` has a row per asset: ``asset``, ``curve``, ``key``. False for an unknown asset, a signer id that is not the key's, and an
    unknown curve. Hosts post to several verifiers, so a Book holds most Entries several times; a copy is not verified again.
    """
    good = np.zeros(len(frame), np.bool_)
    known: dict[bytes, bool] = {}
    owners = keys.select(pl.col("asset").alias("subject"), "curve", "key")
    for start in range(0, len(frame), _BLOCK):
        block = frame.slice(start, _BLOCK)
        joined = block.select("subject").join(owners, on="subject", how="left", maintain_order="left", validate="m:1")
        rows = zip(
            joined["curve"].to_list(),
            joined["key"].to_list(),
            block["signer"].to_list(),
            block["signature"].to_list(),
            signed_rows(block, schema, network),
            strict=True,
        )
        for row, (curve, key, signer, signature, signed) in enumerate(rows, start):
            name = sha256(signed + signature).digest()
            if name not in known:
                known[name] = (
                    curve in KEY_BYTES
                    and len(key) == KEY_BYTES[curve]
                    and signer == signer_id(curve, key)
                    and verify(curve, key, signature, signed)
                )
            good[row] = known[name]
    return good


def to_columns(frame: pl.DataFrame, schema: Schema) -> Columns:
    """The table as arrays, its values checked: ``ValueError`` as ``signed_rows`` gives, also for a table without rows."""
    expected = frame_schema(schema)
    differing = [name for name, dtype in expected.items() if frame.schema.get(name) != dtype]
    if differing:
        raise ValueError(f"columns of {schema.text}: {differing} are {[frame.schema.get(name) for name in differing]}")
    if nulls := [name for name in expected if frame[name].null_count()]:
        raise ValueError(f"columns of {schema.text}: {nulls} hold nulls")
    if not len(frame):
        raise ValueError(f"no Entries of {schema.text}")
    rows = frame["rows"].to_numpy()
    if not rows.all():
        raise ValueError("rows is 0 in an Entry")
    start = frame["start_unix_s"].to_numpy()
    if start.min() < 0:
        raise ValueError(f"start_unix_s is {start.min()}")
    return Columns(
        subject=_bytes("subject", frame["subject"], 32),
        signer=_bytes("signer", frame["signer"], 8),
        sequence=frame["sequence"].to_numpy(),
        start_unix_s=start,
        interval_seconds=frame["interval_seconds"].to_numpy(),
        rows=rows,
        fields={field.name: _flat(field.name, field.type, frame[field.name], rows) for field in schema.fields},
        signature=_bytes("signature", frame["signature"], SIGNATURE_BYTES),
    )


def _flat(name: str, kind: str, lists: pl.Series, rows: NDArray[np.uint16]) -> NDArray[Any]:
    lengths = lists.list.len().to_numpy()
    if (lengths != rows).any():
        entry = int(np.argmax(lengths != rows))
        raise ValueError(f"{name} has {lengths[entry]} values in Entry {entry}, which has {rows[entry]} rows")
    flat = lists.explode(empty_as_null=False)
    if flat.null_count():
        raise ValueError(f"{name} holds nulls")
    if kind in BYTES:
        return _bytes(name, flat, BYTES[kind])
    below = flat.filter(flat < 0)
    if len(below):
        raise ValueError(f"{name} is {below[0]}")
    if kind == "u63":
        return flat.to_numpy()
    amounts, words = flat.cast(pl.Int128), np.empty((len(flat), 2), ">u8")
    divisor = pl.Series([1 << 64], dtype=pl.Int128)
    words[:, 0] = (amounts // divisor).cast(pl.UInt64).to_numpy()
    words[:, 1] = (amounts % divisor).cast(pl.UInt64).to_numpy()
    return words.view(np.uint8)


def _values(name: str, kind: str, flat: NDArray[Any]) -> pl.Series:
    if kind in BYTES:
        return _binary(flat)
    if kind == "u63":
        return pl.Series(flat)
    words = flat.view(">u8").astype(np.uint64)
    # The high word is compared before the product, which would wrap from 2^127 on.
    if len(words) and int(words[:, 0].max()) > 10**38 >> 64:
        raise ValueError(f"{name} is at least {int(words[:, 0].max()) << 64}, not below 10^38")
    amounts = pl.Series(words[:, 0]).cast(pl.Int128) * pl.Series([1 << 64], dtype=pl.Int128) + pl.Series(words[:, 1]).cast(pl.Int128)
    most = amounts.max()
    if isinstance(most, int) and most >= 10**38:
        raise ValueError(f"{name} is {most}, not below 10^38")
    return amounts.cast(MONEY)


def _lists(flat: pl.Series, rows: NDArray[np.uint16]) -> pl.Series:
    """``flat`` cut into one list per Entry."""
    if (rows == rows[0]).all():
        return flat.reshape((len(rows), int(rows[0]))).arr.to_list()
    entry = np.repeat(np.arange(len(rows)), rows)
    return pl.DataFrame({"entry": entry, "value": flat}).group_by("entry", maintain_order=True).agg("value")["value"]


def _bytes(name: str, column: pl.Series, length: int) -> NDArray[np.uint8]:
    """Byte strings of one length as (n, length)."""
    sizes = column.bin.size().to_numpy()
    if (sizes != length).any():
        raise ValueError(f"{name} has {sizes[np.argmax(sizes != length)]} bytes, not {length}")
    return column.cast(pl.List(pl.UInt8)).explode(empty_as_null=False).to_numpy().reshape(-1, length)


def _binary(rows: NDArray[np.uint8]) -> pl.Series:
    """(n, length) as byte strings."""
    return pl.Series(rows).cast(pl.List(pl.UInt8)).cast(pl.Binary)
