"""A customer in a process of its own: ``put`` or ``get`` of one file, for tests that kill it or let its disk run full.

Arguments: put|get, the store's folder, path, name, then for put the hosts as number=endpoint. ``--fill`` fills the
disk under way: that of the store for put, that of the path for get.
Prints "done", or the error's class and text.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from small_host import passes

from subak.kinds.storage.customer import Host, Store, StoreError


def fill(folder: Path) -> None:
    """Write until nothing fits any more."""
    with (folder / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass


async def main(what: str, folder: str, path: str, name: str, *rest: str) -> None:
    async with Store(Path(folder), passes) as store:
        full = Path(folder) if what == "put" else Path(path).parent
        progress = (lambda *_: fill(full)) if "--fill" in rest else None
        if what == "put":
            named = [each.split("=") for each in rest if "=" in each]
            hosts = [Host(bytes([int(number)]) * 32, endpoint) for number, endpoint in named]
            await store.put(Path(path), name, hosts, progress=progress)
        else:
            await store.get(name, Path(path), progress=progress)


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
        print("done")
    except StoreError as error:
        print(f"{type(error).__name__}: {error}")
