"""The customer's files on real hosts, judged by the real rules: what is paid for is what is proven to lie in the set in force."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from storage_sets import named
from village import House, Lane, VillageDesk, a_house

from subak.kinds.storage.customer import Cause, Code, Host, PutFailed, Store
from subak.kinds.storage.host.worker import root_of
from subak.kinds.storage.rules.schemas import PIECES, ROOT

CODE = Code(2, 3)


class Town:
    """Three hosts, and a customer with a lane that all of them know."""

    def __init__(self, houses: list[House]) -> None:
        self.houses = houses
        self.lanes: dict[bytes, Lane] = {house.desk.asset: house.desk.lane("the customer") for house in houses}
        self.hosts = [Host(house.desk.asset, f"http://127.0.0.1:{house.worker.port}") for house in houses]

    def passes(self, asset: bytes, now: float) -> str:
        return self.lanes[asset].headers(asset)["authorization"]

    def sets(self) -> dict[bytes, tuple[bytes, int]]:
        """Root and slots of the sets in force, as the rules carry them."""
        columns = {house.desk.asset: {name: house.desk.carried(name) for name in (*ROOT, PIECES)} for house in self.houses}
        return {asset: (root_of(carried), carried[PIECES]) for asset, carried in columns.items()}

    async def epoch(self, number: int) -> None:
        for house in self.houses:
            await house.epoch(number)

    async def last_call(self, number: int) -> None:
        for house in self.houses:
            await house.last_call(number)


async def town(folder: Path, stack: AsyncExitStack, size: str = "16MiB") -> Town:
    desks = [VillageDesk(asset=named(f"host {number}")) for number in range(CODE.n)]
    return Town([await stack.enter_async_context(a_house(folder / desk.asset.hex()[:8], desk, size)) for desk in desks])


def source(folder: Path, segments: int) -> Path:
    path = folder / "source"
    path.write_bytes(random.Random(segments).randbytes(segments * CODE.segment_bytes))
    return path


def test_a_file_is_put_proven_fetched_and_removed(tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            three = await town(tmp_path, stack)
            store = await stack.enter_async_context(Store(tmp_path / "customer", three.passes, code=CODE))
            file = source(tmp_path, 3)
            await three.epoch(0)
            await store.put(file, "file", three.hosts)
            assert store.usage() == {host.asset: 768 for host in three.hosts}
            assert await store.ask_places("file") == ()

            # Signed before the epoch ends, in force in the next one.
            await three.last_call(0)
            assert await store.ask_places("file") == ()
            assert store.proven(three.sets()) == {host.asset: 0 for host in three.hosts}
            await three.epoch(1)
            assert store.proven(three.sets()) == store.usage()
            assert [house.desk.judged[0].reasons.size > 0 for house in three.houses] == [True] * 3

            # More is put, and hosts sign other sets: what is asked about now was proven in time.
            await store.put(file, "second", three.hosts)
            await three.last_call(1)
            proven = await store.verify_places("second", three.sets())
            assert (proven.kib, proven.faults) == ({host.asset: 0 for host in three.hosts}, ())
            assert await store.ask_places("file") == ()
            assert store.proven(three.sets()) == {host.asset: 768 for host in three.hosts}
            await three.epoch(2)
            assert store.proven(three.sets()) == store.usage() == {host.asset: 1536 for host in three.hosts}
            assert [house.desk.earned(1) for house in three.houses] == [768] * 3

            assert (await store.get("file", tmp_path / "back")).faults == ()
            assert (tmp_path / "back").read_bytes() == file.read_bytes()
            assert await store.rm("file") == ()
            assert store.proven(three.sets()) == {host.asset: 768 for host in three.hosts}

    asyncio.run(story())


def test_hosts_refuse_in_words(tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            three = await town(tmp_path, stack, size="1MiB")
            store = await stack.enter_async_context(Store(tmp_path / "customer", three.passes, code=CODE))
            await three.epoch(0)
            await store.put(source(tmp_path, 3), "file", three.hosts)
            with pytest.raises(PutFailed, match="is full: full: ") as caught:
                await store.put(source(tmp_path, 2), "too much", three.hosts)
            assert {fault.cause for fault in caught.value.faults} == {Cause.FULL}

            stranger = three.hosts[0].asset
            three.lanes[stranger] = three.houses[0].desk.lane("a stranger", known=False)
            (fault,) = (await store.get("file", tmp_path / "back")).faults
            assert (fault.asset, fault.cause) == (stranger, Cause.REFUSED)
            assert "not_admitted: lane" in fault.sentence

            # Another lane may read what it knows the name of, but not delete it.
            three.lanes[stranger] = three.houses[0].desk.lane("another")
            (fault,) = await store.rm("file")
            assert (fault.asset, fault.cause, fault.pieces) == (stranger, Cause.REFUSED, 3)
            assert "other_lane" in fault.sentence
            three.lanes[stranger] = three.houses[0].desk.lane("the customer")
            assert await store.sweep(at_once=True) == ()

    asyncio.run(story())
