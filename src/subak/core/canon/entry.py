"""The bytes of an Entry: ``docs/formats.md``, "Entry".

A batch is cut into Entries by their headers alone, without knowing any schema; the schema then turns many Entries into columns, and
columns give back the very bytes that were signed, so that an archive keeps columns only.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from subak.core.kind import BYTES, WORDS, Field, Schema

TAG = b"subak/e1"
"""The first bytes of every Entry."""
HEADER_BYTES = 112
"""Everything before the payload."""
SIGNATURE_BYTES = 64
"""Both curves' signatures are this long."""
MAX_ROWS = 1024
"""Rows that one signature may cover."""
MAX_ROW_WORDS = 512
"""Words of 8 bytes that a row may have."""
MAX_BATCH_BYTES = 1 << 20
"""What a verifier takes in one request."""

_HEADER = struct.Struct(">8s32s8s32s8sQQIHH")
_HEADER_DTYPE = np.dtype(
    [
        ("tag", "V8"),
        ("network", "u1", 32),
        ("schema", "u1", 8),
        ("subject", "u1", 32),
        ("signer", "u1", 8),
        ("sequence", ">u8"),
        ("start_unix_s", ">u8"),
        ("interval_seconds", ">u4"),
        ("rows", ">u2"),
        ("row_words", ">u2"),
    ]
)

Value = int | bytes
"""A value of a row: an integer for ``u63`` and ``u128``, else bytes."""


class Malformed(ValueError):
    """The bytes are not a batch of Entries from ``offset`` on."""

    def __init__(self, offset: int, detail: str) -> None:
        super().__init__(f"at byte {offset}: {detail}")
        self.offset = offset
        """Where the Entry that cannot be read starts."""
        self.detail = detail
        """The values that disagree, in words."""


class RawEntry(NamedTuple):
    """One Entry as its header describes it. A tuple, since intake makes hundreds of thousands a second."""

    network: bytes
    """Network id, 32 bytes."""
    schema_id: bytes
    """Schema id, 8 bytes."""
    subject: bytes
    """The asset it speaks about, 32 bytes."""
    signer: bytes
    """Signer id of the key, 8 bytes."""
    sequence: int
    """Its name among the subject's Entries, u64; it decides nothing about pay."""
    start_unix_s: int
    """Start of the first row, seconds, below 2^63."""
    interval_seconds: int
    """Length of each row's interval; 0 for schemas that speak of an instant."""
    rows: int
    """Number of rows, 1 to 1024."""
    row_words: int
    """Words of 8 bytes in each row, 1 to 512."""
    signed: bytes
    """Header and payload: what the signature covers."""
    signature: bytes
    """64 bytes."""

    @property
    def payload(self) -> bytes:
        """The rows, ``rows × row_words`` words."""
        return self.signed[HEADER_BYTES:]

    @property
    def digest(self) -> bytes:
        """SHA-256 of the signed bytes: the Entry's identity, 32 bytes."""
        return entry_digest(self.signed)


@dataclass(frozen=True)
class Columns:
    """n Entries of one network and one schema as arrays; row i of the Entry k is at ``rows[:k].sum() + i`` in ``fields``."""

    subject: NDArray[np.uint8]
    """(n, 32)"""
    signer: NDArray[np.uint8]
    """(n, 8)"""
    sequence: NDArray[np.uint64]
    """(n,)"""
    start_unix_s: NDArray[np.int64]
    """(n,) seconds"""
    interval_seconds: NDArray[np.uint32]
    """(n,)"""
    rows: NDArray[np.uint16]
    """(n,) rows of each Entry"""
    fields: Mapping[str, NDArray[Any]]
    """Every field over all rows: ``u63`` as int64 (total,); the others as bytes, ``u128`` as (total, 16)."""
    signature: NDArray[np.uint8]
    """(n, 64)"""

    def __len__(self) -> int:
        return len(self.sequence)


def entry_digest(signed: bytes) -> bytes:
    """SHA-256 of the signed bytes, 32 bytes. Never of the signature, which is malleable on some curves."""
    return hashlib.sha256(signed).digest()


def pack(
    *,
    network: bytes,
    schema: Schema,
    subject: bytes,
    signer: bytes,
    sequence: int,
    start_unix_s: int,
    interval_seconds: int,
    rows: Sequence[Sequence[Value]],
) -> bytes:
    """The signed bytes of an Entry; append the signature to send it. ``ValueError`` names a value that does not fit."""
    for name, value, length in (("network", network, 32), ("subject", subject, 32), ("signer", signer, 8)):
        if len(value) != length:
            raise ValueError(f"{name} has {length} bytes, not {len(value)}")
    if not 1 <= len(rows) <= MAX_ROWS or not 1 <= schema.row_words <= MAX_ROW_WORDS:
        raise ValueError(f"{len(rows)} rows of {schema.row_words} words: an Entry has 1 to {MAX_ROWS} rows of 1 to {MAX_ROW_WORDS} words")
    for name, number, bits in (("sequence", sequence, 64), ("start_unix_s", start_unix_s, 63), ("interval_seconds", interval_seconds, 32)):
        if not 0 <= number < 1 << bits:
            raise ValueError(f"{name} = {number} is not in [0, 2^{bits})")
    header = _HEADER.pack(TAG, network, schema.id, subject, signer, sequence, start_unix_s, interval_seconds, len(rows), schema.row_words)
    return header + b"".join(_pack_row(schema, row) for row in rows)


def unpack_rows(schema: Schema, payload: bytes) -> list[tuple[Value, ...]]:
    """The rows of a well-formed payload as values, for people and for single Entries; many Entries go through ``columns``."""
    width = 8 * schema.row_words
    return [_unpack_row(schema, payload[at : at + width]) for at in range(0, len(payload), width)]


def cut(batch: bytes | bytearray | memoryview) -> Iterator[RawEntry]:
    """The Entries of a batch in order, by their headers alone.

    Raises ``Malformed`` where the bytes stop being Entries: a wrong tag, zero or too many rows or words, a start of 2^63 or more, too few
    bytes. Entries before that place were given already and stay good.
    """
    data = batch if isinstance(batch, bytes) else bytes(batch)
    unpack_from, end, offset = _HEADER.unpack_from, len(data), 0
    make = tuple.__new__
    while offset < end:
        if end - offset < HEADER_BYTES:
            raise Malformed(offset, f"{end - offset} bytes left, but a header has {HEADER_BYTES}")
        tag, network, schema_id, subject, signer, sequence, start, interval, rows, words = unpack_from(data, offset)
        payload = offset + HEADER_BYTES + 8 * rows * words
        if tag != TAG or not 0 < rows <= MAX_ROWS or not 0 < words <= MAX_ROW_WORDS or start >= 1 << 63 or payload + SIGNATURE_BYTES > end:
            raise Malformed(offset, _header_fault(tag, rows, words, start, payload + SIGNATURE_BYTES - offset, end - offset))
        after = payload + SIGNATURE_BYTES
        # Twice as fast as RawEntry(...), which checks the number of arguments again.
        yield make(
            RawEntry,
            (network, schema_id, subject, signer, sequence, start, interval, rows, words, data[offset:payload], data[payload:after]),
        )
        offset = after


def fault(schema: Schema, entry: RawEntry) -> str | None:
    """Why the Entry does not fit the schema, naming the values that disagree; None if it does."""
    if entry.schema_id != schema.id:
        return f"schema id {entry.schema_id.hex()} is not {schema.text}, which is {schema.id.hex()}"
    if entry.row_words != schema.row_words:
        return f"row_words is {entry.row_words}, but {schema.text} has {schema.row_words}"
    step, start = 8 * entry.row_words, HEADER_BYTES
    for field in schema.fields:
        if field.type == "u63":
            # The first byte of each such word, all at once: below 0x80 is the same as ASCII.
            if not entry.signed[start::step].isascii():
                return f"{field.name} is 2^63 or more"
        elif field.type == "address" and any(entry.signed[start + at :: step].strip(b"\0") for at in range(12)):
            return f"{field.name} is not an address: its first 12 bytes are not zero"
        start += 8 * WORDS[field.type]
    return None


def columns(schema: Schema, entries: Sequence[RawEntry]) -> Columns:
    """Entries of one network and one schema as arrays. ``ValueError`` names the first Entry that does not fit."""
    headers = np.frombuffer(b"".join([entry.signed[:HEADER_BYTES] for entry in entries]), _HEADER_DTYPE)
    payload = np.frombuffer(b"".join([entry.signed[HEADER_BYTES:] for entry in entries]), np.uint8)
    signatures = np.frombuffer(b"".join([entry.signature for entry in entries]), np.uint8).reshape(-1, SIGNATURE_BYTES)
    foreign = (headers["schema"] != np.frombuffer(schema.id, np.uint8)).any(axis=1) | (headers["row_words"] != schema.row_words)
    foreign |= (headers["network"] != headers["network"][:1]).any(axis=1)
    if foreign.any():
        number = int(np.argmax(foreign))
        raise ValueError(f"entry {number}: {fault(schema, entries[number]) or 'another network than the first'}")
    fields = _unpack_fields(schema, payload.reshape(-1, 8 * schema.row_words))
    if fields is None:
        number, why = next((number, why) for number, entry in enumerate(entries) if (why := fault(schema, entry)))
        raise ValueError(f"entry {number}: {why}")
    return Columns(
        subject=np.ascontiguousarray(headers["subject"]),
        signer=np.ascontiguousarray(headers["signer"]),
        sequence=headers["sequence"].astype(np.uint64),
        start_unix_s=headers["start_unix_s"].astype(np.int64),
        interval_seconds=headers["interval_seconds"].astype(np.uint32),
        rows=headers["rows"].astype(np.uint16),
        fields=fields,
        signature=signatures,
    )


def rebuild(network: bytes, schema: Schema, columns: Columns) -> list[bytes]:
    """The signed bytes of every Entry, as they were before ``columns``. ``ValueError`` if the arrays disagree."""
    count, total = len(columns), int(columns.rows.sum(dtype=np.int64))
    headers = np.zeros(count, _HEADER_DTYPE)
    headers["tag"] = np.void(TAG)
    headers["network"] = np.frombuffer(network, np.uint8)
    headers["schema"] = np.frombuffer(schema.id, np.uint8)
    for name in ("subject", "signer", "sequence", "start_unix_s", "interval_seconds", "rows"):
        headers[name] = getattr(columns, name)
    headers["row_words"] = schema.row_words
    head = headers.tobytes()
    body = _pack_fields(schema, columns.fields, total).tobytes()
    ends = (8 * schema.row_words * np.cumsum(columns.rows, dtype=np.int64)).tolist()
    starts = [0, *ends][:-1]
    return [
        head[at : at + HEADER_BYTES] + body[start:end]
        for at, start, end in zip(range(0, len(head), HEADER_BYTES), starts, ends, strict=True)
    ]


def _header_fault(tag: bytes, rows: int, words: int, start: int, needed: int, left: int) -> str:
    if tag != TAG:
        return f"an Entry starts with {TAG!r}, not {tag!r}"
    if not 0 < rows <= MAX_ROWS:
        return f"rows is {rows}, not 1 to {MAX_ROWS}"
    if not 0 < words <= MAX_ROW_WORDS:
        return f"row_words is {words}, not 1 to {MAX_ROW_WORDS}"
    if start >= 1 << 63:
        return f"start_unix_s is {start}, 2^63 or more"
    return f"{rows} rows of {words} words need {needed} bytes, but {left} are left"


def _pack_row(schema: Schema, row: Sequence[Value]) -> bytes:
    if len(row) != len(schema.fields):
        raise ValueError(f"a row of {schema.text} has {len(schema.fields)} values, not {len(row)}")
    return b"".join(_pack_value(field, value) for field, value in zip(schema.fields, row, strict=True))


def _pack_value(field: Field, value: Value) -> bytes:
    if (length := BYTES.get(field.type)) is not None:
        if not isinstance(value, bytes) or len(value) != length:
            raise ValueError(f"{field.name} takes {length} bytes, not {value!r}")
        return bytes(8 * WORDS[field.type] - length) + value
    bits = 63 if field.type == "u63" else 128
    if not isinstance(value, int) or not 0 <= value < 1 << bits:
        raise ValueError(f"{field.name} = {value!r} is not an integer in [0, 2^{bits})")
    return value.to_bytes(8 * WORDS[field.type], "big")


def _unpack_row(schema: Schema, row: bytes) -> tuple[Value, ...]:
    values: list[Value] = []
    start = 0
    for field in schema.fields:
        end = start + 8 * WORDS[field.type]
        length = BYTES.get(field.type)
        values.append(int.from_bytes(row[start:end], "big") if length is None else row[end - length : end])
        start = end
    return tuple(values)


def _unpack_fields(schema: Schema, rows: NDArray[np.uint8]) -> dict[str, NDArray[Any]] | None:
    """Every field over rows of bytes (total, 8 · row_words); None if a value is out of its range."""
    fields: dict[str, NDArray[Any]] = {}
    start = 0
    for field in schema.fields:
        end = start + 8 * WORDS[field.type]
        if field.type == "u63":
            values = rows.view(">i8")[:, start // 8].astype(np.int64)
            if (values < 0).any():
                return None
            fields[field.name] = values
        else:
            first = end - BYTES.get(field.type, end - start)
            if rows[:, start:first].any():
                return None
            fields[field.name] = np.ascontiguousarray(rows[:, first:end])
        start = end
    return fields


def _pack_fields(schema: Schema, fields: Mapping[str, NDArray[Any]], total: int) -> NDArray[np.uint8]:
    """The inverse of ``_unpack_fields``."""
    rows = np.zeros((total, 8 * schema.row_words), np.uint8)
    start = 0
    for field in schema.fields:
        end, values = start + 8 * WORDS[field.type], fields[field.name]
        if len(values) != total:
            raise ValueError(f"{field.name} has {len(values)} values for {total} rows")
        if field.type == "u63":
            if total and values.min() < 0:
                raise ValueError(f"{field.name} is below zero")
            rows.view(">i8")[:, start // 8] = values
        else:
            rows[:, end - values.shape[1] : end] = values
        start = end
    return rows
