"""A network of one host: a desk whose verifier judges every epoch by the real rules, lanes with real keys, and time that tests pass."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from storage_sets import Signed, a_set, an_answer, assets, grid, in_force, named

from subak.chain.accounts import Account, recover
from subak.core.canon.entry import MAX_BATCH_BYTES, pack
from subak.core.canon.passes import Pass, make_pass, pass_fault
from subak.core.kind import Asked, Context, Judged, Schema
from subak.core.nouns.network import Clock
from subak.kinds.storage import kind
from subak.kinds.storage.host.config import storage_table
from subak.kinds.storage.host.service import Limits
from subak.kinds.storage.host.worker import StorageWorker, from_table
from subak.kinds.storage.rules.schemas import ANSWER, SET

GENESIS = 1_700_000_000 // 3600 * 3600
CLOCK = Clock(genesis_unix_s=GENESIS, epoch_seconds=3600, grace_seconds=300, attempt_seconds=600, challenge_seconds=600)
PARAMETERS = {"tasks_per_day": 240}
"""Ten tasks an epoch."""


@dataclass(frozen=True)
class Posted:
    """An Entry that the host put on its desk."""

    schema: Schema
    start_unix_s: int
    interval_seconds: int
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Lane:
    """A customer's lane."""

    id: bytes
    key: Account

    def headers(self, asset: bytes, until_unix_s: int = 0) -> dict[str, str]:
        """A pass for this host, for the first day unless it says until when."""
        until_unix_s = until_unix_s or GENESIS + 80_000
        return {"authorization": make_pass(asset, self.id, until_unix_s, self.key.sign_digest).header}


@dataclass
class VillageDesk:
    """Implements ``core.kind.Desk``."""

    asset: bytes = field(default_factory=lambda: named("the host"))
    clock: Clock = CLOCK
    time: int = GENESIS - 10
    posted: list[Posted] = field(default_factory=list)
    owed: Counter[bytes] = field(default_factory=Counter)
    judged: dict[int, Judged] = field(default_factory=dict)
    lost: set[Schema] = field(default_factory=set)
    """Entries of these schemas are lost on the way."""

    def __post_init__(self) -> None:
        self._lanes: dict[str, Lane] = {}
        self._keys: dict[bytes, bytes] = {}
        self._asked = {0: Asked(b"", {column.name: column.start for column in kind.rules.carried})}
        self._carried = in_force([None])
        self._lines: list[Signed] = []
        self._targets: list[float] = []
        self._news = asyncio.Condition()

    def lane(self, name: str, known: bool = True) -> Lane:
        """The lane of this name, which this host may serve if it is known."""
        lane = self._lanes.setdefault(name, Lane(named(name), Account.random()))
        if known:
            self._keys[lane.id] = lane.key.address
        return lane

    def now(self) -> int:
        return self.time

    async def until(self, unix_s: int) -> None:
        self._targets.append(unix_s)
        try:
            async with self._news:
                self._news.notify_all()
                await self._news.wait_for(lambda: self.time >= unix_s)
        finally:
            self._targets.remove(unix_s)

    def put(self, schema: Schema, start_unix_s: int, interval_seconds: int, rows: Sequence[Sequence[Any]]) -> None:
        signed = pack(
            network=bytes(32),
            schema=schema,
            subject=self.asset,
            signer=bytes(8),
            sequence=len(self.posted),
            start_unix_s=start_unix_s,
            interval_seconds=interval_seconds,
            rows=rows,
        )
        assert len(signed) + 64 <= MAX_BATCH_BYTES
        self.posted.append(Posted(schema, start_unix_s, interval_seconds, rows))
        if schema in (SET, ANSWER) and schema not in self.lost:
            self._lines += [self._line(schema, start_unix_s + interval_seconds * (k + 1), row) for k, row in enumerate(rows)]
        self.tell()

    async def tasks(self, epoch: int) -> Asked | None:
        return self._asked.get(epoch)

    async def admit(self, lane: bytes, until_unix_s: int, signature: bytes) -> str | None:
        if lane not in self._keys:
            return f"lane {lane.hex()} is not open"
        return pass_fault(Pass(lane, until_unix_s, signature), self.asset, self._keys[lane], self.time, recover)

    def owe(self, lane: bytes, money: int) -> None:
        self.owed[lane] += money

    def account(self, lane: bytes) -> Mapping[str, int]:
        return {"owed": self.owed[lane], "covered": 0, "exposure": self.owed[lane], "bound": 1000}

    def rows(self, schema: Schema) -> list[Posted]:
        """What was put of one schema."""
        return [each for each in self.posted if each.schema is schema]

    async def when(self, holds: Callable[[], bool]) -> None:
        """Until something that the host does makes this true."""
        async with asyncio.timeout(20):
            async with self._news:
                await self._news.wait_for(holds)

    def idle(self) -> bool:
        """The worker has nothing to do before time passes: both its duties wait for it."""
        return sum(target > self.time for target in self._targets) == 2

    async def go_to(self, unix_s: int) -> None:
        """Let time pass, and the worker do what is due."""
        self.time = max(self.time, unix_s)
        await self._tell()
        await self.when(self.idle)

    def close_epoch(self, epoch: int) -> Judged:
        """What the verifiers do: judge the epoch's lines. The next epoch's tasks are known from then on."""
        of, lines = assets([self.asset]), sorted(self._lines, key=lambda line: line.end_unix_s)
        self._lines = []
        asked = self._asked[epoch]
        context = Context(PARAMETERS, {}, self.clock.first_unix_s(epoch), self.clock.end_unix_s(epoch), epoch, asked.seed)
        judged = self.judged[epoch] = kind.rules.judge(grid([lines]), of, self._carried, context)
        self._carried = dict(judged.carried)
        seed = hashlib.sha256(b"%d" % epoch + judged.reasons.tobytes()).digest()
        self._asked[epoch + 1] = Asked(seed, {name: int(column[0]) for name, column in self._carried.items()}, PARAMETERS)
        return judged

    def carried(self, name: str) -> int:
        """What the rules remember about the host."""
        return int(self._carried[name][0])

    def earned(self, epoch: int) -> int:
        return int(self.judged[epoch].work["kib_hours"].sum())

    def tell(self) -> None:
        """Something happened."""
        self._telling = asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    @staticmethod
    def _line(schema: Schema, end_unix_s: int, row: Sequence[Any]) -> Signed:
        if schema is SET:
            return a_set(end_unix_s, *row)
        epoch, task, leaf, path = row
        return an_answer(end_unix_s, epoch, task, leaf, [path])


@dataclass
class House:
    """A host that runs."""

    desk: VillageDesk
    worker: StorageWorker
    client: httpx.AsyncClient
    folder: Path

    async def put(self, lane: Lane, root: bytes, piece: bytes) -> httpx.Response:
        return await self.client.put(f"/v1/pieces/{root.hex()}", content=piece, headers=lane.headers(self.desk.asset))

    async def get(self, lane: Lane, root: bytes) -> httpx.Response:
        return await self.client.get(f"/v1/pieces/{root.hex()}", headers=lane.headers(self.desk.asset))

    async def delete(self, lane: Lane, root: bytes) -> httpx.Response:
        return await self.client.delete(f"/v1/pieces/{root.hex()}", headers=lane.headers(self.desk.asset))

    async def place(self, lane: Lane, root: bytes) -> httpx.Response:
        return await self.client.get(f"/v1/pieces/{root.hex()}/place", headers=lane.headers(self.desk.asset))

    async def epoch(self, number: int) -> None:
        """The epoch begins; the Book of the epoch before is closed, so that tasks are known, and answered."""
        desk = self.desk
        await desk.go_to(desk.clock.first_unix_s(number))
        if number:
            closes = desk.clock.close_unix_s(number - 1)
            await desk.go_to(closes)
            desk.close_epoch(number - 1)
            await desk.go_to(closes + desk.clock.epoch_seconds // 30)

    async def last_call(self, number: int) -> None:
        """The last twelfth of the epoch begins."""
        await self.desk.go_to(self.desk.clock.end_unix_s(number) - self.desk.clock.epoch_seconds // 12)


def a_table(folder: Path, size: str = "16MiB", **more: Any) -> dict[str, Any]:
    return storage_table(folder, size, endpoint="http://127.0.0.1:7460", listen="127.0.0.1:0", **more)


@asynccontextmanager
async def a_house(
    folder: Path, desk: VillageDesk | None = None, size: str = "16MiB", limits: Limits | None = None, **more: Any
) -> AsyncIterator[House]:
    """A worker beside a folder, and a client."""
    desk = desk or VillageDesk()
    worker = from_table(a_table(folder, size, **more))
    worker.limits = limits
    running = asyncio.create_task(worker.run(desk))
    running.add_done_callback(lambda _: desk.tell())
    try:
        await desk.when(lambda: running.done() or desk.idle())
        if running.done():
            await running
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{worker.port}", timeout=20) as client:
            yield House(desk, worker, client, folder)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
