"""The loop beside the devices: read, sign, keep, post, let go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import msgspec

from subak.chain.channels import Channels, fold_lanes
from subak.chain.rpc import Rpc, RpcError, RpcUnreachable
from subak.chain.snapshot import Follower
from subak.core.canon.entry import SIGNATURE_BYTES, entry_digest, pack
from subak.core.kind import Schema, Source, Worker
from subak.core.nouns import Network
from subak.core.settlement import OFFER, POSSESSION
from subak.host.desk import AssetDesk, Till
from subak.host.exposure import Exposure
from subak.host.keys import DeviceKey
from subak.host.outbox import Outbox

log = logging.getLogger("subak.host")

Promised = tuple[str, tuple[bytes, ...]]
"""An acknowledgement, JSON, and the digests of what it is for; none if they are not known here."""

DAY_S = 86_400
LANES_SECONDS = 1.0
ENOUGH_WITNESSES = 2
"""An Entry leaves the outbox when this many verifiers (or all, if there are fewer) saw it in a final Book."""
SLOWEST_RETRY_SECONDS = 5.0
STALE_SECONDS = 1.0
"""Answers about the time older than this, against the newest one, do not count."""
FASTEST_POLL_SECONDS = 0.05
SLOWEST_POLL_SECONDS = 10.0
FOR_GOOD = frozenset(
    {"malformed", "wrong_network", "wrong_shape", "wrong_kind", "bad_signature", "bad_interval", "too_late", "conflicting_sequence"}
)
"""Refusals that no later try mends; docs/intake.md explains each."""


@dataclass(frozen=True)
class Price:
    """What a meter's work costs."""

    money: int
    """Payment units."""
    per_units: int
    """For so many units of the kind's work."""
    capacity: int
    """In the kind's rated unit."""
    days: int = 365
    """How long the offer holds; it is renewed after half of that."""


@dataclass(frozen=True)
class Device:
    """One asset that this host serves."""

    asset: bytes
    """Its id."""
    owner: bytes
    """Account that holds it, 20 bytes."""
    key: DeviceKey
    """Signs its Entries."""
    source: Source | Worker
    """Reads its registers, or works beside it."""
    interval_seconds: int
    """Length of an interval in network time; a worker has its own times."""
    price: Price | None = None
    """What its work costs; None offers nothing, or leaves that to the worker."""


class HostClock:
    """Network time as most verifiers tell it, carried on between answers."""

    def __init__(self, elapsed: Callable[[], float]) -> None:
        """``elapsed``: real seconds that never jump."""
        self.elapsed = elapsed
        self._told: dict[str, tuple[float, float, int]] = {}
        self._news = asyncio.Condition()

    async def hear(self, verifier: str, asked_at: float, unix_s: float, speed: int) -> None:
        """What a verifier answered to a question asked at ``asked_at``."""
        async with self._news:
            self._told[verifier] = (asked_at, unix_s, speed)
            self._news.notify_all()

    async def fresh(self) -> None:
        """Until somebody has answered a question that was asked after this call: a stopped chain shows at once."""
        since = self.elapsed()
        async with self._news:
            await self._news.wait_for(lambda: any(asked_at >= since for asked_at, _, _ in self._told.values()))

    def now(self) -> float:
        """The median of the newest answers: a verifier that lags or lies cannot move it alone."""
        newest = max(asked_at for asked_at, _, _ in self._told.values())
        at = self.elapsed()
        told = [unix_s + (at - asked_at) * speed for asked_at, unix_s, speed in self._told.values() if asked_at > newest - STALE_SECONDS]
        return sorted(told)[len(told) // 2]

    def speed(self) -> int:
        return max(speed for _, _, speed in self._told.values())

    async def until(self, unix_s: float) -> None:
        """Until network time is ``unix_s``, by a fresh answer."""
        while True:
            await self.fresh()
            left = (unix_s - self.now()) / self.speed()
            if left <= 0:
                return
            await asyncio.sleep(min(left, 1.0))


class Agent:
    """Serves some devices of one network.

    Promises: every reading that was signed reaches every verifier that can be reached, in order, and stays in the outbox until final
    Books list it; a read that slipped into the next interval is dropped, never signed for the wrong one.
    """

    def __init__(
        self, network: Network, devices: Sequence[Device], outbox: Outbox, client: httpx.AsyncClient, till: Till | None = None
    ) -> None:
        """``till``: which lanes may be served, for workers."""
        self.network, self.devices, self.outbox, self.client, self.till = network, devices, outbox, client, till
        self.clock = HostClock(asyncio.get_running_loop().time)
        self._posted = {verifier: asyncio.Event() for verifier in network.nodes.verifiers}

    async def run(self) -> None:
        """Until cancelled."""
        verifiers = self.network.nodes.verifiers
        if not verifiers:
            raise ValueError("network.toml names no verifiers under [nodes]: add their addresses")
        loops = [self._let_go(), *(self._serve(device) for device in self.devices)]
        loops += [loop(verifier) for verifier in verifiers for loop in (self._follow_clock, self._post_to)]
        async with asyncio.TaskGroup() as tasks:
            for loop in loops:
                tasks.create_task(loop)

    async def _follow_clock(self, verifier: str) -> None:
        while True:
            asked_at = self.clock.elapsed()
            told = await self._ask(f"{verifier}/v1/clock")
            if told is None:
                await asyncio.sleep(STALE_SECONDS)
                continue
            await self.clock.hear(verifier, asked_at, float(told["network_unix_s"]), int(told["speed"]))
            shortest = min(device.interval_seconds for device in self.devices)
            await asyncio.sleep(min(max(shortest / int(told["speed"]) / 10, FASTEST_POLL_SECONDS), SLOWEST_POLL_SECONDS))

    async def _serve(self, device: Device) -> None:
        await self.clock.fresh()
        if self.outbox.next_sequence(device.asset) == 0:
            self._put(device, POSSESSION, int(self.clock.now()), 0, [device.owner])
        if device.price is not None:
            self._offer(device, device.price)
        if isinstance(device.source, Worker):
            verifiers = self.network.nodes.verifiers
            put = partial(self._put_rows, device)
            await device.source.run(AssetDesk(device.asset, self.network.clock, self.clock, put, self._ask, verifiers, self.till))
        else:
            await self._meter(device, device.source)

    def _offer(self, device: Device, price: Price) -> None:
        """Says what the device's work costs, unless it said the same lately."""
        now = int(self.clock.now())
        said = (price.money, price.per_units, price.capacity)
        if not self.outbox.offered(device.asset, said, now - price.days * DAY_S // 2):
            self._put(device, OFFER, now, 0, [*said, now + price.days * DAY_S, bytes(128)])
            self.outbox.note_offer(device.asset, said, now)

    async def _meter(self, device: Device, source: Source) -> None:
        interval = device.interval_seconds
        await source.row()  # connects and finds out what the device is, which takes longer than a read
        done = 0
        while True:
            # Counters stand still in mid-interval, and several reads of one sample agree. The first row ends where epoch 0 begins.
            boundary = int(self.clock.now() + interval // 2) // interval * interval
            boundary = done = max(boundary, done + interval, self.network.clock.genesis_unix_s)
            await self.clock.until(boundary + interval // 2)
            row = await source.row()
            done_at = self.clock.elapsed()
            await self.clock.fresh()
            slipped = self.clock.now() - (self.clock.elapsed() - done_at) * self.clock.speed() - (boundary + interval // 2)
            if isinstance(row, str):
                log.warning("asset %s: no reading at %d: %s", device.asset.hex()[:8], boundary, row)
            elif abs(slipped) > interval * 2 // 5:
                log.warning("asset %s: the reading at %d took %d s of network time, dropped", device.asset.hex()[:8], boundary, slipped)
            else:
                self._put(device, source.schema, boundary - interval, interval, row)
                if device.price is not None:
                    self._offer(device, device.price)

    def _put(self, device: Device, schema: Schema, start_unix_s: int, interval_seconds: int, row: Sequence[Any]) -> None:
        self._put_rows(device, schema, start_unix_s, interval_seconds, [row])

    def _put_rows(self, device: Device, schema: Schema, start_unix_s: int, interval_seconds: int, rows: Sequence[Sequence[Any]]) -> None:
        sequence = self.outbox.next_sequence(device.asset)
        signed = pack(
            network=self.network.id,
            schema=schema,
            subject=device.asset,
            signer=device.key.signer,
            sequence=sequence,
            start_unix_s=start_unix_s,
            interval_seconds=interval_seconds,
            rows=rows,
        )
        self.outbox.put(device.asset, sequence, signed + device.key.sign(signed))
        for posted in self._posted.values():
            posted.set()

    async def _post_to(self, verifier: str) -> None:
        pause = 0.1
        while True:
            news = self._posted[verifier]
            news.clear()
            entries = self.outbox.unanswered(verifier)
            if not entries:
                await news.wait()
                continue
            answers, promises = await self._post(verifier, entries)
            for document, digests in promises:
                self.outbox.acknowledged(verifier, document, digests)
            if answers:
                self.outbox.answered(verifier, answers)
                pause = 0.1
            else:
                await asyncio.sleep(pause)
                pause = min(2 * pause, SLOWEST_RETRY_SECONDS)

    async def _post(self, verifier: str, entries: Sequence[tuple[int, bytes]]) -> tuple[list[tuple[int, str]], list[Promised]]:
        """What the verifier answered for good, by Entry number, and what it promised; empty if it has to be asked again."""
        try:
            response = await self.client.post(
                f"{verifier}/v1/entries",
                content=b"".join(entry for _, entry in entries),
                headers={"content-type": "application/vnd.subak.entries"},
            )
            told = msgspec.json.decode(response.content)
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            log.info("%s does not answer: %s", verifier, error)
            return [], []
        if response.status_code != 200 and "refused" not in told:
            log.warning("%s refused a body of %d Entries: %s", verifier, len(entries), told.get("detail", response.status_code))
            return [], []
        refused = {each["index"]: each for each in told.get("refused", ())}
        promised = _promised(told, refused.keys(), [entry for _, entry in entries])
        answers = []
        for index, (number, _) in enumerate(entries):
            if index not in refused:
                answers.append((number, promised[index][0]))
            elif refused[index]["reason"] in FOR_GOOD:
                log.warning("%s refused Entry %d: %s", verifier, number, refused[index].get("detail"))
                answers.append((number, msgspec.json.encode(refused[index]).decode()))
        return answers, [each for each in dict.fromkeys(promised.values()) if each[1]]

    async def _let_go(self) -> None:
        needed = min(ENOUGH_WITNESSES, len(self.network.nodes.verifiers))
        while True:
            await asyncio.sleep(2.0)
            for asset in self.outbox.assets():
                witnesses: dict[int, int] = {}
                for verifier in self.network.nodes.verifiers:
                    told = await self._ask(f"{verifier}/v1/assets/0x{asset.hex()}/listed")
                    for first, last in told["sequences"] if told else ():
                        for sequence in range(first, last + 1):
                            witnesses[sequence] = witnesses.get(sequence, 0) + 1
                self.outbox.listed(asset, [(sequence, sequence) for sequence, seen in witnesses.items() if seen >= needed])

    async def _ask(self, url: str, timeout_seconds: float = 5.0) -> dict[str, Any] | None:
        try:
            response = await self.client.get(url, timeout=timeout_seconds)
            told: dict[str, Any] | None = response.json() if response.status_code == 200 else None
        except (httpx.HTTPError, ValueError):
            return None
        return told


def _promised(told: Mapping[str, Any], refused: Collection[int], entries: Sequence[bytes]) -> dict[int, Promised]:
    """By index in the body: the acknowledgement that an Entry is under. Entries that the verifier knew already are under earlier ones;
    digests that are not what was acknowledged are left away, they prove nothing."""
    digests = [entry_digest(entry[:-SIGNATURE_BYTES]) for entry in entries]
    earlier = [(each.pop("indices"), each) for each in map(dict, told.get("known_acknowledgements", ()))]
    known = {index for indices, _ in earlier for index in indices}
    fresh = [index for index in range(len(entries)) if index not in refused and index not in known]
    found: dict[int, Promised] = {}
    for indices, said in [*earlier, (fresh, told.get("acknowledgement"))]:
        theirs = tuple(digests[index] for index in indices)
        whole = said is not None and "0x" + sha256(b"".join(theirs)).hexdigest() == said["entries"]
        document = msgspec.json.encode(said).decode()
        found.update((index, (document, theirs if whole else ())) for index in indices)
    return found


@dataclass(frozen=True)
class Lending:
    """What a host that is paid by lanes trusts its customers with."""

    file: Path
    """Where it is written down what each lane was served."""
    bound: int
    """The most payment units that a lane is served before a voucher covers them."""


async def run(network: Network, devices: Sequence[Device], outbox: Outbox, lending: Lending | None = None) -> None:
    """Run an agent with its own HTTP client until cancelled. Without ``lending`` no worker may serve anybody."""
    async with httpx.AsyncClient(timeout=5.0, limits=httpx.Limits(max_connections=32)) as client, asyncio.TaskGroup() as tasks:
        till = None
        if lending is not None:
            rpc = Rpc(network.nodes.rpc)
            delay = await asyncio.to_thread(Channels(rpc, network.contracts).close_delay_seconds)
            till = Exposure(
                lending.file,
                chain_id=network.chain_id,
                channels=network.contracts.channels,
                close_delay_seconds=delay,
                bound=lending.bound,
                verifiers=network.nodes.verifiers,
                client=client,
            )
            tasks.create_task(_follow_lanes(till, Follower(rpc, network.contracts, network.clock)))
        tasks.create_task(Agent(network, devices, outbox, client, till).run())


async def _follow_lanes(till: Exposure, follower: Follower) -> None:
    """Keep the till told of what the chain says of lanes."""
    seen = -1
    while True:
        try:
            events = await asyncio.to_thread(follower.events)
            if len(events) != seen:
                till.know(fold_lanes(events))
                seen = len(events)
        except (RpcError, RpcUnreachable) as error:
            log.info("the chain does not answer: %s", error)
        await asyncio.sleep(LANES_SECONDS)
