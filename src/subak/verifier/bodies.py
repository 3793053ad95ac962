"""Bodies of untrusted bytes, read into Entries: binary batches, and the JSON that people write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from subak.core.canon.entry import TAG, Malformed, RawEntry, Value, cut, pack
from subak.core.kind import BYTES, Schema

_RESUMED = 64


class Unreadable(NamedTuple):
    """Something in the place of an Entry."""

    reason: str
    detail: str


class BodyRefused(ValueError):
    """A whole body that holds no readable Entries."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def read_batch(body: bytes, network: bytes) -> list[RawEntry | Unreadable]:
    """The Entries of a batch. After bytes that are none reading goes on, up to 64 times, where the next Entry of the network starts; that
    may be inside of the Entry before, which was cut short and took bytes of its neighbour for its own."""
    every: list[RawEntry | Unreadable] = []
    start, mark = 0, TAG + network
    for _ in range(_RESUMED):
        last = end = start
        try:
            for entry in cut(body[start:] if start else body):
                every.append(entry)
                last, end = end, end + len(entry.signed) + len(entry.signature)
            return every
        except Malformed as error:
            neighbour = body.find(mark, last + 1, end + len(mark) - 1)
            if neighbour >= 0:
                every[-1] = Unreadable("malformed", f"at byte {last}: cut short, another Entry starts at byte {neighbour}")
                start = neighbour
                continue
            every.append(Unreadable("malformed", f"at byte {end}: {error.detail}"))
            start = body.find(mark, end + 1)
            if start < 0:
                return every
    every.append(Unreadable("malformed", f"at byte {start}: not read on after {_RESUMED} places that are no Entries"))
    return every


def read_json(
    body: bytes, network: bytes, schemas: Mapping[str, Schema], most_entries: int, most_bytes: int
) -> list[RawEntry | Unreadable]:
    """The Entries that people wrote, as the bytes they stand for; ``schemas`` by ``name/version``. Errors: BodyRefused."""
    try:
        every = msgspec.json.decode(body, type=_JsonBatch).entries
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise BodyRefused("malformed", f"not the JSON of a batch: {error}") from None
    entries = [_entry_of_json(one, network, schemas) for one in every[: most_entries + 1]]
    size = sum(len(entry.signed) + len(entry.signature) for entry in entries if isinstance(entry, RawEntry))
    if size > most_bytes:
        raise BodyRefused("too_large", f"the Entries have {size} bytes when they are signed, at most {most_bytes}")
    return entries


def _entry_of_json(one: msgspec.Raw, network: bytes, schemas: Mapping[str, Schema]) -> RawEntry | Unreadable:
    try:
        told = msgspec.json.decode(one, type=_JsonEntry, strict=False)
        schema = schemas.get(told.schema)
        if schema is None:
            return Unreadable("unknown_schema", f"schema is {told.schema[:80]!r}, known are {sorted(schemas)}")
        signed = pack(
            network=network,
            schema=schema,
            subject=_hex(told.subject),
            signer=_hex(told.signer),
            sequence=told.sequence,
            start_unix_s=told.start_unix_s,
            interval_seconds=told.interval_seconds,
            rows=[_row_of_json(schema, row) for row in told.rows],
        )
        signature = _hex(told.signature)
        if len(signature) != 64:
            return Unreadable("malformed", f"signature has {len(signature)} bytes, not 64")
        return next(cut(signed + signature))
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        return Unreadable("malformed", str(error)[:300])


def _row_of_json(schema: Schema, row: Mapping[str, int | str]) -> list[Value]:
    names = [field.name for field in schema.fields]
    if row.keys() != set(names):
        raise ValueError(f"a row has the fields {sorted(row)}, {schema.text} has {names}")
    return [_value_of_json(field.name, field.type, row[field.name]) for field in schema.fields]


def _value_of_json(name: str, kind: str, value: int | str) -> Value:
    if kind in BYTES:
        return _hex(value)
    if isinstance(value, int):
        return value
    # Canonical JSON writes integers beyond 2^53 as strings.
    if not value.isdecimal() or not value.isascii() or len(value) > 39:
        raise ValueError(f"{name} is {value[:60]!r}, not a whole number")
    return int(value)


def _hex(text: int | str) -> bytes:
    if not isinstance(text, str) or not text.startswith("0x"):
        raise ValueError(f"bytes are 0x-hex, got {str(text)[:80]!r}")
    return bytes.fromhex(text[2:])


class _JsonBatch(msgspec.Struct):
    entries: list[msgspec.Raw]


class _JsonEntry(msgspec.Struct, forbid_unknown_fields=True):
    schema: str
    subject: str
    signer: str
    sequence: int
    start_unix_s: int
    interval_seconds: int
    rows: list[dict[str, int | str]]
    signature: str
