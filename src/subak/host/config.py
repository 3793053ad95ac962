"""``host.toml``: which devices this host serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from subak.core.nouns import Address, Hash
from subak.core.nouns.document import convert
from subak.host.agent import Device, Lending, Price
from subak.host.keys import load_or_create
from subak.kinds.registry import installed


class PriceTable(msgspec.Struct, frozen=True):
    """What a device's work costs."""

    money: int
    """Payment units."""
    per_units: int
    """For so many units of the kind's work."""
    capacity: int
    """In the kind's rated unit."""
    days: int = 365
    """How long each offer holds."""


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
    source: dict[str, Any]
    """What the kind's part beside it needs."""
    interval_seconds: int = 3600
    """Length of an interval."""
    curve: int | None = None
    """Curve of its key: 1 Ed25519, 2 P-256; unsaid, whatever the file holds."""
    price: PriceTable | None = None
    """What a meter's work costs; without it nothing is offered."""


class HostFile(msgspec.Struct, frozen=True):
    """``host.toml``."""

    outbox: str
    """SQLite file that keeps Entries, relative to host.toml."""
    devices: tuple[DeviceTable, ...]
    """What it serves."""
    ledger: str = "ledger.sqlite"
    """SQLite file of what each lane was served, relative to host.toml."""
    lend: int = 0
    """The most payment units that a lane is served before a voucher covers them; 0 serves no lanes."""

    def lending(self, folder: Path) -> Lending | None:
        """What it trusts its customers with; ``folder`` is that of host.toml."""
        return Lending(folder / self.ledger, self.lend) if self.lend else None


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
                key=load_or_create(path.parent / table.key, table.curve),
                source=kind.host(table.source),
                interval_seconds=table.interval_seconds,
                price=Price(**msgspec.structs.asdict(table.price)) if table.price else None,
            )
        )
    return file, devices
