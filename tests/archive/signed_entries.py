"""Signed Entries for tests."""

from __future__ import annotations

from functools import cache
from typing import Any

from subak.core.canon import ed25519
from subak.core.canon.entry import RawEntry, Value, cut, pack
from subak.core.canon.ids import ED25519, signer_id
from subak.core.kind import Field, Schema

NETWORK = bytes(range(32))
READING = Schema("energy.reading", 1, (Field("export_wh"), Field("import_wh"), Field("generation_wh")))
RESET = Schema("energy.reset", 1, READING.fields)


@cache
def seed_of(asset: int) -> bytes:
    return asset.to_bytes(32, "big")


def asset_of(asset: int) -> bytes:
    return b"asset" + asset.to_bytes(27, "big")


def raw(asset: int = 1, sequence: int = 0, rows: list[tuple[Value, ...]] | None = None, schema: Schema = READING, **changes: Any) -> bytes:
    """The bytes of an Entry that the asset's device signed, with the header changed as asked."""
    header: dict[str, Any] = {
        "network": NETWORK,
        "subject": asset_of(asset),
        "signer": signer_id(ED25519, ed25519.public_key(seed_of(asset))),
        "start_unix_s": 1_500_000_000 + 3600 * sequence,
        "interval_seconds": 3600,
    } | changes
    signed = pack(schema=schema, sequence=sequence, rows=rows or [(sequence + 1, 2, 3)], **header)
    return signed + ed25519.sign(seed_of(asset), signed)


def entry(*args: Any, **changes: Any) -> RawEntry:
    return next(cut(raw(*args, **changes)))
