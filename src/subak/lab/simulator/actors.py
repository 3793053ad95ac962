"""Who takes part: verifiers that run the real code over pretend clock, chain and wire, and homes that send what they signed."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, cast

import msgspec
import polars as pl

from subak.archive.books import schemas_of
from subak.archive.log import EntryLog
from subak.archive.store import FolderArchive
from subak.chain.challenges import key_of
from subak.chain.channels import Channels
from subak.chain.contracts import Sender
from subak.chain.settlement import Settlement as Chain
from subak.chain.stake import Stake
from subak.core.canon.json import encode
from subak.core.canon.vouchers import Voucher
from subak.core.nouns.book import LINES
from subak.kinds.registry import installed
from subak.lab.simulator.ground import Ground, Home
from subak.lab.simulator.sharing import Shared, SharingClosing, SharingFollower
from subak.lab.simulator.wire import Answer, InTurn, Killed, Line, Passes, Wire
from subak.verifier.clerk import Clerk, Countersigned, Refused
from subak.verifier.closing import Closing
from subak.verifier.faults import Faults
from subak.verifier.heartbeat import Heartbeat
from subak.verifier.intake import BATCH, Intake
from subak.verifier.journal import Journal
from subak.verifier.known import Known
from subak.verifier.lines import Lines
from subak.verifier.listed import Listed
from subak.verifier.redeeming import Redeeming
from subak.verifier.service import NOT_NOW, Service

SILENT: Answer = (0, b"", b"")
"""What is heard of an actor that does not run."""


class _NoLines:
    """Nobody sells anything here."""

    def table(self, redeemed: object, taken: object) -> pl.DataFrame:
        return pl.DataFrame(schema=LINES)


class _CrashingJournal(Journal):
    """A journal on a disk whose power may go off before and after every write."""

    def __init__(self, folder: Path, step: Callable[[str], None]) -> None:
        self._step = step
        super().__init__(folder)

    def _keep(self, name: str, raw: bytes) -> bytes:
        self._step(f"before {name}")
        kept = super()._keep(name, raw)
        self._step(f"after {name}")
        return kept


@dataclass
class Running:
    """What a verifier has in memory."""

    service: Service
    """The real service; its thread never runs, the simulator ticks."""
    entries: EntryLog
    """The real log."""
    clerk: Clerk | None = None
    """The real clerk, where there are customers."""
    lines: Lines | None = None
    """What it redeemed."""


@dataclass
class Character:
    """How a verifier behaves beside what its closing does."""

    closing: type[SharingClosing] = SharingClosing
    """Its closing; the honest one's is the real one."""
    honest: bool = True
    """Whether the promises to honest verifiers hold for it."""
    proofs: bool = True
    """Whether an honest one brings proofs of others' wrongs to the chain."""
    withholds: tuple[str, ...] = ()
    """Paths that begin so are not handed to others."""
    friends: str = ""
    """Whoever has the same name here is handed them all the same."""
    yields: bool = False
    """Whether it hands them to all, once somebody paid to have data asked for."""
    log: type[EntryLog] = EntryLog
    """Its log; the honest one's is the real one."""


class Verifier:
    """A verifier whose disk is a folder. It can be killed at any step and started again."""

    def __init__(
        self, ground: Ground, number: int, folder: Path, character: Character, shared: Shared, now: Callable[[], int], sells: bool
    ) -> None:
        """``now``: true network time; this verifier's own clock may be off by ``skew_s``. ``sells``: whether it is a clerk."""
        self.ground, self.number, self.folder, self.character, self._now = ground, number, folder, character, now
        self._shared, self._sells = shared, sells
        self.owner, self.me = ground.owners[number], ground.signers[number]
        self.skew_s = 0
        """How far its clock is ahead of the chain's."""
        self.fuse = -1
        """After so many steps the power goes off; below 0 never."""
        self.running: Running | None = None
        self.faults: list[str] = []
        """What went wrong in a way that no verifier may."""
        self._friends: set[int] = set()
        self._yielded: set[str] = set()
        archive = FolderArchive(folder / "archive")
        for path, raw in ground.documents.items():
            archive.put(path, raw)
        archive.put("network.json", encode(ground.network), replace=True)

    def start(self, servers: Sequence[Verifier], passes: Passes, loop: asyncio.AbstractEventLoop) -> None:
        """Take up what is on disk."""
        network = self.ground.network
        rpc = Line(self.ground.chain, self.number, passes, self.step)
        self.fuse = -1
        self._friends = {each.number for each in servers if self.character.friends and each.character.friends == self.character.friends}
        entries = self.character.log(self.folder / "log")
        follower = SharingFollower(rpc, network.contracts, network.clock)
        follower.shared = self._shared
        sender = Sender(rpc, self.me)
        clerk, lines = self._clerk() if self._sells else (None, None)
        closing = self.character.closing(
            network=network,
            me=self.me,
            archive=FolderArchive(self.folder / "archive"),
            entries=entries,
            journal=_CrashingJournal(self.folder / "journal", self.step),
            peers=Wire(network, self.number, servers, passes, self.step),
            chain=Chain(rpc, network.contracts, sender),
            follower=follower,
            lines=lines or _NoLines(),
        )
        closing.shared = self._shared
        closing._blocks = InTurn()  # type: ignore[assignment]
        intake = Intake(
            network=network.id,
            chain_id=network.chain_id,
            settlement=network.contracts.settlement,
            schemas=tuple(schemas_of({name: kind.rules for name, kind in installed().items()}).values()),
            clock=network.clock,
            late_epochs=7,
            now=self.clock,
            entries=entries,
            signer=self.me,
            elapsed=lambda: float(self._now()),
        )
        known = Known(follower, network.clock)
        heartbeat = Heartbeat(Stake(rpc, network.contracts, sender), self.me.address, network.clock)
        nobody: Any = None
        wrongs = Faults(network, rpc, sender, closing.journal)
        redeeming: Any = Redeeming(clerk, Channels(rpc, network.contracts, sender), network.clock) if clerk else None
        service = Service(network, intake, nobody, closing, redeeming, heartbeat, wrongs, known, Listed(closing.archive), self.clock)
        self.running = Running(service, entries, clerk, lines)

    def _clerk(self) -> tuple[Clerk, Lines]:
        network = self.ground.network
        delay = Channels(self.ground.chain, network.contracts).close_delay_seconds()
        clerk = Clerk(self.folder / "clerk.sqlite", self.me, network.chain_id, network.contracts.channels, delay)
        return clerk, Lines(self.folder / "lines.sqlite", clerk)

    def countersign(self, voucher: Voucher, signature: bytes) -> Countersigned | Refused:
        """What its clerk says to a customer's voucher. Errors: RpcUnreachable if it cannot ask the chain."""
        running = self.running
        assert running is not None
        assert running.clerk is not None
        return running.clerk.countersign(voucher, signature, self.clock(), running.service.known.lanes().get(voucher.lane))

    def clock(self) -> int:
        return self._now() + self.skew_s

    def step(self, what: str) -> None:
        """Something is about to happen. Errors: Killed, if the power goes off now."""
        if self.fuse == 0:
            raise Killed(what)
        if self.fuse > 0:
            self.fuse -= 1

    def kill(self) -> None:
        """All memory is gone; what was written stays."""
        if self.running is not None:
            self.running.service.intake.close()
            self.running.entries.close()
            if self.running.lines is not None:
                self.running.lines.close()
            if self.running.clerk is not None:
                self.running.clerk.close()
            self.running = None

    def tear(self, entry: bytes, dice: Random) -> None:
        """What a power cut may leave of the record that was being written, whose Entry nobody acknowledged: its beginning, or all of its
        length with zeros where the disk had not been."""
        name, body = dice.choice((("log", entry), ("cuts", entry[:24])))
        received = self.clock().to_bytes(8, "big")
        record = struct.pack(">II", len(body), zlib.crc32(received + body)) + received + body
        there = dice.randrange(1, len(record))
        torn = record[:there].ljust(dice.choice((there, len(record))), b"\0")
        folder = self.folder / "log"
        with open(folder / "cuts" if name == "cuts" else max(folder.glob("*.log")), "ab") as file:
            file.write(torn)

    def tick(self) -> str:
        """One turn of the service's loop; what became of it, in a word."""
        if self.running is None:
            return "off"
        service = self.running.service
        try:
            now = self.clock()
            service.intake.know(service.known.assets(now))
            if self._sells:
                service.redeeming.tick(now, service.known.lanes())
            service.heartbeat.tick(now)
            service.closing.tick(now)
            if self.character.yields:
                self._yield(service.closing)
            if self.character.honest and self.character.proofs:
                service.wrongs.tick()
            service.listed.update(service.closing.finals())
        except NOT_NOW as error:
            return f"{type(error).__name__}: {error}"
        except Killed as killed:
            self.kill()
            return f"killed at {killed}"
        except Exception as error:
            self.faults.append(f"{type(error).__name__}: {error}")
            return f"fault {type(error).__name__}: {error}"
        return "done"

    def answer(self, path: str, asker: int) -> Answer:
        if self.running is None:
            return SILENT
        stranger = asker != self.number and asker not in self._friends
        if stranger and path not in self._yielded and path.startswith(self.character.withholds or ("/nothing",)):
            return (404, b"", b"")
        return self.running.service._get(path)

    def _yield(self, closing: Closing) -> None:
        """If somebody asked for data: hand out all that is there by now."""
        view, asked = closing.chain.view(), self.ground.contract("Challenges")
        if view.opened is not None and asked.call("disputes", key_of(view.opened.first, view.opened.attempt))[5]:
            self._yielded.update(f"/archive/{name}" for name in closing.archive.names("entries/"))

    async def post(self, body: bytes) -> dict[str, Any]:
        """Hand Entries to its real intake; what it answers."""
        assert self.running is not None
        told: list[Any] = []
        headers = [(b"content-type", BATCH.encode()), (b"content-length", str(len(body)).encode())]
        scope = {"type": "http", "method": "POST", "path": "/v1/entries", "headers": headers, "client": ("home", 0)}

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            told.append(message)

        await self.running.service.intake(scope, receive, send)
        return cast(dict[str, Any], msgspec.json.decode(told[1]["body"]))


@dataclass
class Acknowledged:
    """A promise that a home holds."""

    verifier: int
    """Who gave it."""
    asset: bytes
    """Whose Entry."""
    sequence: int
    """Which Entry."""
    received_unix_s: int
    """When, as the verifier says."""


@dataclass
class Posting:
    """An Entry on its way."""

    home: Home
    sequence: int
    raw: bytes
    to: list[int]
    """Verifiers that have not acknowledged it yet."""


@dataclass
class Host:
    """What homes have signed and not yet delivered, and what they were promised."""

    postings: list[Posting] = field(default_factory=list)
    acknowledged: list[Acknowledged] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Reasons that are no passing ones."""

    newest: bytes = b""
    """What was signed last."""

    def sign(self, home: Home, sequence: int, raw: bytes, to: list[int]) -> None:
        self.newest = raw
        self.postings.append(Posting(home, sequence, raw, to))

    def deliver(self, verifiers: Sequence[Verifier], passes: Passes, dice: Random, loop: asyncio.AbstractEventLoop) -> None:
        """Try everyone that has not acknowledged, in any order. A lost answer looks like a lost question."""
        dice.shuffle(self.postings)
        for posting in self.postings:
            asker = 1000 + posting.home.number
            for number in list(posting.to):
                verifier = verifiers[number]
                name = f"{posting.home.number} {posting.sequence}"
                if verifier.running is None or not passes(asker, number, f"post {name}"):
                    continue
                answer = loop.run_until_complete(verifier.post(posting.raw))
                if not passes(number, asker, f"answer {name}"):
                    continue
                promise = answer.get("acknowledgement") or next(iter(answer.get("known_acknowledgements", [])), None)
                if promise is None:
                    reason = answer.get("reason", "")
                    if reason not in _PASSING:
                        self.refused.append(f"home {name} at verifier {number}: {answer}")
                        posting.to.remove(number)
                    continue
                posting.to.remove(number)
                self.acknowledged.append(Acknowledged(number, posting.home.asset, posting.sequence, promise["received_unix_s"]))
        self.postings = [posting for posting in self.postings if posting.to]


_PASSING = ("rate_limited", "busy", "log_unavailable", "unknown_asset", "in_the_future")
"""Reasons for which it is tried again."""
