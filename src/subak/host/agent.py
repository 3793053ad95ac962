"""The loop beside the devices: read, sign, keep, post, let go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from subak.core.canon.entry import pack
from subak.core.kind import Schema, Source
from subak.core.nouns import Network
from subak.core.settlement import POSSESSION
from subak.host.keys import DeviceKey
from subak.host.outbox import Outbox

log = logging.getLogger("subak.host")

ENOUGH_WITNESSES = 2
"""An Entry leaves the outbox when this many verifiers (or all, if there are fewer) saw it in a final Book."""
SLOWEST_RETRY_SECONDS = 5.0
CLOCK_TIMEOUT_SECONDS = 0.5
CLOCK_SECONDS = 0.25
"""How old, in real seconds, an answer about the time may be while nothing is read."""
FRESH_SECONDS = 0.05
"""And around a read: a clock that stopped with its chain must not put a reading into the wrong interval."""
FOR_GOOD = frozenset(
    {"malformed", "wrong_network", "wrong_shape", "wrong_kind", "bad_signature", "bad_interval", "too_late", "conflicting_sequence"}
)
"""Refusals that no later try mends; docs/intake.md explains each."""


@dataclass(frozen=True)
class Device:
    """One asset that this host serves."""

    asset: bytes
    """Its id."""
    owner: bytes
    """Account that holds it, 20 bytes."""
    key: DeviceKey
    """Signs its Entries."""
    source: Source
    """Reads its registers."""
    interval_seconds: int
    """Length of an interval in network time."""


class HostClock:
    """Network time as most verifiers tell it, carried on between answers."""

    def __init__(self, ask: Callable[[], Awaitable[Sequence[tuple[float, int]]]], elapsed: Callable[[], float]) -> None:
        """``ask`` gives each answering verifier's (network time, speed); ``elapsed`` is a clock of real seconds."""
        self._ask, self._elapsed = ask, elapsed
        self._unix_s = 0.0
        self._at = float("-inf")
        self._speed = 1
        self._asking = asyncio.Lock()

    async def sync(self, fresh_seconds: float) -> None:
        """Ask again unless the last answer is at most so old. Waits until somebody answers."""
        async with self._asking:
            while self._elapsed() - self._at > fresh_seconds:
                told = await self._ask()
                if told:
                    # The median: a verifier that lags or lies cannot move it alone.
                    self._unix_s, self._speed = sorted(told)[len(told) // 2]
                    self._at = self._elapsed()
                else:
                    await asyncio.sleep(CLOCK_SECONDS)

    def now(self) -> float:
        return self._unix_s + (self._elapsed() - self._at) * self._speed

    async def until(self, unix_s: float) -> None:
        """Until network time is ``unix_s``, by an answer that is fresh."""
        await self.sync(CLOCK_SECONDS)
        while (left := unix_s - self.now()) > 0:
            await asyncio.sleep(min(left / self._speed, CLOCK_SECONDS))
            await self.sync(FRESH_SECONDS if left / self._speed < CLOCK_SECONDS else CLOCK_SECONDS)


class Agent:
    """Serves some devices of one network.

    Promises: every reading that was signed reaches every verifier that can be reached, in order, and stays in the outbox until final
    Books list it; a read that slipped into the next interval is dropped, never signed for the wrong one.
    """

    def __init__(self, network: Network, devices: Sequence[Device], outbox: Outbox, client: httpx.AsyncClient) -> None:
        self.network, self.devices, self.outbox, self.client = network, devices, outbox, client
        self.clock = HostClock(self._clocks, asyncio.get_running_loop().time)
        self._rests_until: dict[str, float] = {}
        self._posted = {verifier: asyncio.Event() for verifier in network.nodes.verifiers}

    async def run(self) -> None:
        """Until cancelled."""
        verifiers = self.network.nodes.verifiers
        if not verifiers:
            raise ValueError("network.toml names no verifiers under [nodes]: add their addresses")
        loops = [self._let_go(), *(self._serve(device) for device in self.devices)]
        loops += [self._post_to(verifier) for verifier in verifiers]
        async with asyncio.TaskGroup() as tasks:
            for loop in loops:
                tasks.create_task(loop)

    async def _clocks(self) -> list[tuple[float, int]]:
        now = asyncio.get_running_loop().time()
        asked = [verifier for verifier in self.network.nodes.verifiers if self._rests_until.get(verifier, 0.0) <= now]
        told = await asyncio.gather(*(self._ask(f"{verifier}/v1/clock", CLOCK_TIMEOUT_SECONDS) for verifier in asked))
        for verifier, answer in zip(asked, told, strict=True):
            if answer is None:
                self._rests_until[verifier] = now + SLOWEST_RETRY_SECONDS
        return [(float(each["network_unix_s"]), int(each["speed"])) for each in told if each is not None]

    async def _serve(self, device: Device) -> None:
        await self.clock.sync(FRESH_SECONDS)
        if self.outbox.next_sequence(device.asset) == 0:
            self._put(device, POSSESSION, int(self.clock.now()), 0, [device.owner])
        interval = device.interval_seconds
        await device.source.row()  # connects and finds out what the device is, which takes longer than a read
        done = 0
        while True:
            # Counters stand still in mid-interval, and several reads of one sample agree. The first row ends where epoch 0 begins.
            boundary = int(self.clock.now() + interval // 2) // interval * interval
            boundary = done = max(boundary, done + interval, self.network.clock.genesis_unix_s)
            await self.clock.until(boundary + interval // 2)
            row = await device.source.row()
            await self.clock.sync(FRESH_SECONDS)
            slipped = self.clock.now() - (boundary + interval // 2)
            if isinstance(row, str):
                log.warning("asset %s: no reading at %d: %s", device.asset.hex()[:8], boundary, row)
            elif not -interval // 3 <= slipped <= interval // 3:
                log.warning("asset %s: the reading at %d took %d s of network time, dropped", device.asset.hex()[:8], boundary, slipped)
            else:
                self._put(device, device.source.schema, boundary - interval, interval, row)

    def _put(self, device: Device, schema: Schema, start_unix_s: int, interval_seconds: int, row: Sequence[Any]) -> None:
        sequence = self.outbox.next_sequence(device.asset)
        signed = pack(
            network=self.network.id,
            schema=schema,
            subject=device.asset,
            signer=device.key.signer,
            sequence=sequence,
            start_unix_s=start_unix_s,
            interval_seconds=interval_seconds,
            rows=[row],
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
            answers = await self._post(verifier, entries)
            if answers:
                self.outbox.answered(verifier, answers)
                pause = 0.1
            else:
                await asyncio.sleep(pause)
                pause = min(2 * pause, SLOWEST_RETRY_SECONDS)

    async def _post(self, verifier: str, entries: Sequence[tuple[int, bytes]]) -> list[tuple[int, str]]:
        """What the verifier answered for good, by Entry number; empty if it has to be asked again."""
        try:
            response = await self.client.post(
                f"{verifier}/v1/entries",
                content=b"".join(entry for _, entry in entries),
                headers={"content-type": "application/vnd.subak.entries"},
            )
            told = msgspec.json.decode(response.content)
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            log.info("%s does not answer: %s", verifier, error)
            return []
        if response.status_code != 200 and "refused" not in told:
            log.warning("%s refused a body of %d Entries: %s", verifier, len(entries), told.get("detail", response.status_code))
            return []
        refused = {each["index"]: each for each in told.get("refused", ())}
        acknowledged = msgspec.json.encode(told.get("acknowledgement")).decode()
        answers = []
        for index, (number, _) in enumerate(entries):
            if index not in refused:
                answers.append((number, acknowledged))
            elif refused[index]["reason"] in FOR_GOOD:
                log.warning("%s refused Entry %d: %s", verifier, number, refused[index].get("detail"))
                answers.append((number, msgspec.json.encode(refused[index]).decode()))
        return answers

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


async def run(network: Network, devices: Sequence[Device], outbox: Outbox) -> None:
    """Run an agent with its own HTTP client until cancelled."""
    async with httpx.AsyncClient(timeout=5.0, limits=httpx.Limits(max_connections=32)) as client:
        await Agent(network, devices, outbox, client).run()
