"""Own data on storage hosts, as far as bills need to know: who keeps it, and what of it lies in the sets that hosts are asked about."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from subak.customer.billing import EpochWork, Kept
from subak.kinds.storage.customer import Fault, NoSuchFile, Store
from subak.kinds.storage.customer.index import Index
from subak.kinds.storage.customer.remote import Passes
from subak.kinds.storage.rules.schemas import PIECES, ROOT


class Keeping:
    """The files of a storage customer's folder. Safe to use from several threads; the customer may put and get files meanwhile."""

    def __init__(self, folder: Path) -> None:
        """Opens the folder; see ``kinds.storage.customer.Store``."""
        self._folder = folder
        self._index = Index(folder)

    def close(self) -> None:
        """Let the folder go."""
        self._index.close()

    def assets(self) -> set[bytes]:
        """Who keeps any of it."""
        return set(self._index.usage())

    def ask(self, passes: Passes, now: float) -> list[str]:
        """Have every host show the places of our pieces in the set that it signed last; in words, what went wrong.

        Call it several times an epoch: a set can be asked about only while it is the host's newest. ``passes`` gives the value of
        ``authorization`` for an asset's host at a network time, ``now`` is that time.
        """
        return asyncio.run(self._ask(passes, now)) if self.assets() else []

    def kept(self, work: EpochWork, most_per_million: int) -> list[Kept]:
        """What each asset kept for us in an epoch, 0 KiB if it has not shown it. ``most_per_million``: highest price."""
        proven = [self._index.proven(sets_of(carried)) for carried in work.carried]
        least = {asset: min((each.get(asset, 0) for each in proven), default=0) for asset in sorted(self.assets())}
        return [Kept(asset, kib, most_per_million) for asset, kib in least.items()]

    async def _ask(self, passes: Passes, now: float) -> list[str]:
        async with Store(self._folder, passes, now=lambda: now) as store:
            faults: list[Fault] = []
            for file in self._index.ls():
                with suppress(NoSuchFile):  # removed meanwhile
                    faults += await store.ask_places(file.name)
        return [str(fault) for fault in faults]


def sets_of(carried: Mapping[bytes, Mapping[str, int]]) -> dict[bytes, tuple[bytes, int]]:
    """Root and slots of the set that each asset is asked about, from what the storage rules carry; assets without one are left out."""
    return {asset: (_bytes(row[name] for name in ROOT), row[PIECES]) for asset, row in carried.items() if row.get(PIECES, 0)}


def _bytes(words: Iterable[int]) -> bytes:
    return b"".join(word.to_bytes(8, "big", signed=True) for word in words)
