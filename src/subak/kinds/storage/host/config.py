"""The ``source`` table of a storage asset in ``host.toml``."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from ..rules.tree import MOST_PIECES, PIECE_BYTES, PIECE_KIB

GIB_MONTH: Final = (1 << 20) * 720
"""KiB hours of a GiB that is kept for 30 days."""
USUAL_PRICE: Final = 4_000
"""Payment units for it: 0.004 of a currency with six decimals."""
USUAL_LISTEN: Final = "0.0.0.0:7460"

_SIZE = re.compile(r"([0-9]{1,12}) ?([KMGT]i?B)", re.ASCII)
_ENDPOINT = re.compile(r"https?://[a-zA-Z0-9.:_\[\]-]+(/[a-zA-Z0-9.:_~%/-]*)?", re.ASCII)
"""Scheme, host, port and path, which all fit into an offer."""
_UNITS: Final[Mapping[str, int]] = {
    prefix + unit: step**power for unit, step in (("B", 1000), ("iB", 1024)) for power, prefix in enumerate("KMGT", 1)
}


class StorageTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a worker needs to know."""

    path: str
    """Folder that the pieces are kept in; made if it is missing."""
    size: str
    """How much of the disk they may take, such as ``20GB`` or ``16GiB``; the asset's rated capacity is its KiB."""
    endpoint: str
    """Where customers reach the service: an http or https address of at most 128 characters."""
    listen: str = USUAL_LISTEN
    """Address and port that it listens on; port 0 takes any."""
    price: int = USUAL_PRICE
    """Payment units for ``per_units``."""
    per_units: int = GIB_MONTH
    """KiB hours."""

    def __post_init__(self) -> None:
        self.capacity_kib()
        self.listen_on()
        if not _ENDPOINT.fullmatch(self.endpoint) or len(self.endpoint) > 128:
            raise ValueError(f"endpoint is {self.endpoint!r}: it takes an http or https address of at most 128 characters")
        if not 0 <= self.price < 1 << 128 or not 0 < self.per_units < 1 << 63:
            raise ValueError(f"price is {self.price} for {self.per_units} units: neither may be negative, nor the units 0")

    def capacity_kib(self) -> int:
        """``size`` in KiB; see ``kib_of``."""
        return kib_of(self.size)

    def listen_on(self) -> tuple[str, int]:
        """Address and port."""
        address, _, port = self.listen.rpartition(":")
        if not address or not port.isdecimal() or int(port) > 65_535:
            raise ValueError(f"listen is {self.listen!r}: it takes address:port, such as {USUAL_LISTEN}")
        return address.strip("[]"), int(port)


def kib_of(size: str) -> int:
    """A size in whole KiB, rounded down: ``20GB`` is 19,531,250 and ``16GiB`` 16,777,216.

    Errors: ValueError for anything else, for less than one piece, and for more than the 4 TiB that one asset can prove.
    """
    found = _SIZE.fullmatch(size.strip())
    if found is None:
        raise ValueError(f"size is {size!r}: it takes a whole number and one of {', '.join(_UNITS)}, such as 20GB")
    kib_down = int(found[1]) * _UNITS[found[2]] // 1024
    if not PIECE_KIB <= kib_down <= MOST_PIECES * PIECE_KIB:
        raise ValueError(f"size is {size}: one asset keeps {PIECE_KIB} KiB to 4 TiB; share a larger disk among several assets")
    return kib_down


def storage_table(
    path: Path,
    size: str,
    *,
    endpoint: str,
    listen: str = USUAL_LISTEN,
    price: int = USUAL_PRICE,
    per_units: int = GIB_MONTH,
) -> dict[str, Any]:
    """The table for a folder; makes the folder. What stands in it already counts as room that the pieces may take.

    Errors: ValueError naming the value that does not fit, also if the disk has less room than ``size``; OSError if there is no such disk.
    """
    path = path.absolute()
    table = StorageTable(str(path), size, endpoint, listen, price, per_units)
    path.mkdir(parents=True, exist_ok=True)
    kept_bytes = sum(each.stat().st_size for each in path.glob("pieces/??/*"))
    free_bytes = shutil.disk_usage(path).free
    # Files take whole blocks, and the index has a few hundred bytes a piece.
    needed_bytes = table.capacity_kib() // PIECE_KIB * (PIECE_BYTES + 1024)
    if kept_bytes + free_bytes < needed_bytes:
        room_mib = (kept_bytes + free_bytes) >> 20
        raise ValueError(f"{path} has room for {room_mib} MiB, {size} needs {needed_bytes >> 20} MiB: name a smaller size or another path")
    return msgspec.structs.asdict(table)


def read_table(table: Mapping[str, Any]) -> StorageTable:
    """The table of ``host.toml``, checked. Errors: ValueError naming the key that is missing, unknown or does not fit."""
    try:
        return msgspec.convert(dict(table), StorageTable)
    except msgspec.ValidationError as error:
        raise ValueError(f"storage: {error}") from error
