"""``host.toml``: which devices this host serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from subak.core.nouns import Address, Hash
from subak.core.nouns.document import convert
from subak.host.agent import Device
from subak.host.keys import load_or_create
from subak.kinds.registry import installed


class DeviceTable(msgspec.Struct, frozen=True):
    """One ``[[devices]]`` table."""

    asset: Hash
    """Its asset id."""
    owner: Address
    """Account that holds it."""
    kind: str
    """Which kind's source reads it."""
    key: str
    """Device key file, relative to host.toml; made if it is missing."""
    interval_seconds: int
    """Length of an interval."""
    source: dict[str, Any]
    """What the kind's source needs to reach it."""


class HostFile(msgspec.Struct, frozen=True):
    """``host.toml``."""

    outbox: str
    """SQLite file that keeps Entries, relative to host.toml."""
    devices: tuple[DeviceTable, ...]
    """What it serves."""


def load(path: Path) -> tuple[HostFile, list[Device]]:
    """The file and its devices. Errors: ValueError naming the kind that is not installed, msgspec.ValidationError naming the field."""
    file = convert(msgspec.toml.decode(path.read_bytes()), HostFile)
    devices = []
    for table in file.devices:
        kind = installed().get(table.kind)
        if kind is None or kind.host is None:
            raise ValueError(f"{path}: no installed kind {table.kind} has a host part; installed are {sorted(installed())}")
        devices.append(
            Device(
                asset=table.asset,
                owner=table.owner,
                key=load_or_create(path.parent / table.key),
                source=kind.host(table.source),
                interval_seconds=table.interval_seconds,
            )
        )
    return file, devices
