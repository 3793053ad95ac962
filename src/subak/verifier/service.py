"""A verifier as a process: intake and archive over HTTP, closing in a thread beside it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import msgspec

from subak.archive.books import BookRefused, schemas_of
from subak.archive.log import EntryLog
from subak.archive.store import ArchiveError, FolderArchive
from subak.chain import succession
from subak.chain.accounts import Account
from subak.chain.channels import Channels
from subak.chain.clock import NetworkClock
from subak.chain.contracts import ChainForgot, ChainRefused, Sender
from subak.chain.rpc import NotMined, Rpc, RpcError, RpcUnreachable
from subak.chain.settlement import Settlement as Chain
from subak.chain.snapshot import Follower
from subak.chain.stake import Stake
from subak.core.canon.json import encode
from subak.core.nouns import Network
from subak.kinds.registry import installed
from subak.verifier.board import Board
from subak.verifier.clerk import Clerk
from subak.verifier.closing import Closing
from subak.verifier.faults import Faults
from subak.verifier.heartbeat import Heartbeat
from subak.verifier.intake import Intake
from subak.verifier.journal import Journal
from subak.verifier.known import Known
from subak.verifier.lines import Lines
from subak.verifier.listed import Listed
from subak.verifier.peers import Peers
from subak.verifier.redeeming import Redeeming
from subak.verifier.vouchers_http import PATHS, VouchersHttp

log = logging.getLogger("subak.verifier")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Answer = tuple[int, bytes, bytes]

JSON = b"application/json"
TICK_SECONDS = 0.2
LOOK_SECONDS = 5.0
"""Real seconds between two looks at which Settlement the budget serves."""
NOT_NOW = (ArchiveError, BookRefused, RpcError, RpcUnreachable, NotMined, ChainForgot, ChainRefused)
"""What a later tick, another verifier or the next lead mends."""


class Service:
    """The ASGI application of one verifier."""

    def __init__(
        self,
        network: Network,
        intake: Intake,
        vouchers: VouchersHttp,
        closing: Closing,
        redeeming: Redeeming,
        heartbeat: Heartbeat,
        wrongs: Faults,
        known: Known,
        listed: Listed,
        clock: Callable[[], int],
        behind: Callable[[], str] = lambda: "",
    ) -> None:
        """``behind``: asks the chain what an operator has to know and do if a vote replaced the Settlement, "" while it is served."""
        self.network, self.intake, self.vouchers, self.closing, self.redeeming = network, intake, vouchers, closing, redeeming
        self.heartbeat, self.wrongs, self.known, self.listed, self.clock = heartbeat, wrongs, known, listed, clock
        self._stop = threading.Event()
        self._behind, self._looked_at = behind, -LOOK_SECONDS
        self.behind = ""
        """What it answered last."""
        self._thread = threading.Thread(target=self._close_epochs, name="closing", daemon=True)
        self.faults = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            path = str(scope["path"])
            if path.startswith(("/v1/entries", "/v1/conflicts")):
                await self.intake(scope, receive, send)
            elif path.startswith(PATHS):
                await self.vouchers(scope, receive, send)
            else:
                if scope["method"] in ("GET", "HEAD"):
                    answer = await asyncio.to_thread(self._get, path)
                else:
                    answer = problem(405, "only GET is answered here")
                await _respond(send, answer, scope["method"] != "HEAD")

    def _get(self, path: str) -> Answer:
        match path.strip("/").split("/"):
            case ["v1", "clock"]:
                return _json({"network_unix_s": self.clock(), "speed": self.network.speed})
            case ["v1", "status"]:
                return _json(self.status())
            case ["v1", "assets", asset, "listed"]:
                return _json({"asset": asset, "sequences": self.listed.sequences(_bytes(asset))})
            case ["v1", "tasks", epoch, asset] if epoch.isdecimal() and len(epoch) < 11:
                asked = self.closing.asked(int(epoch), _bytes(asset))
                return (200, JSON, encode(asked)) if asked else problem(404, f"nothing is known of tasks of {asset} in epoch {epoch} yet")
            case ["v1", "heads", epoch] if epoch.isdecimal():
                head = self.closing.journal.head(int(epoch))
                return (200, JSON, encode(head)) if head else problem(404, f"no head for epoch {epoch} yet")
            case ["v1", "votes", first, attempt, round_] if all(each.isdecimal() for each in (first, attempt, round_)):
                vote = self.closing.journal.vote(int(first), int(attempt), int(round_))
                return (200, JSON, encode(vote)) if vote else problem(404, f"no vote on epochs from {first}, attempt {attempt}, yet")
            case ["v1", "votes", first, attempt, round_, "seen"] if all(each.isdecimal() for each in (first, attempt, round_)):
                return (200, JSON, encode(self.closing.journal.heard_votes(int(first), int(attempt), int(round_))))
            case ["v1", "seals", book]:
                seal = self.closing.journal.seal(_bytes(book))
                return (200, JSON, encode(seal)) if seal else problem(404, f"no seal of the Book {book} yet")
            case ["archive", *parts] if parts:
                try:
                    return (200, b"application/octet-stream", self.closing.archive.get("/".join(parts)))
                except (ArchiveError, ValueError) as error:
                    return problem(404, str(error))
            case ["metrics"]:
                return (200, b"text/plain; version=0.0.4", self._metrics().encode())
            case _:
                return problem(404, f"{path} is not served; see docs/formats.md, HTTP at a verifier")

    def status(self) -> Mapping[str, Any]:
        """What an operator wants to know first."""
        finals = self.closing.finals()
        return {
            "verifier": "0x" + self.closing.me.address.hex(),
            "network": "0x" + self.network.id.hex(),
            "network_unix_s": self.clock(),
            "entries": self.closing.entries.durable,
            "heads": self.closing.journal.heads(),
            "settlement": "0x" + self.network.contracts.settlement.hex(),
            "behind": self.behind,
            "last_final": finals[-1].last if finals else None,
            "faults": self.faults,
        }

    def _metrics(self) -> str:
        finals = self.closing.finals()
        values: dict[str, float] = {f"subak_intake_{name}": value for name, value in self.intake.metrics().items()}
        values.update({f"subak_clerk_{name}": value for name, value in self.vouchers.metrics().items()})
        values["subak_log_entries_total"] = self.closing.entries.durable
        values["subak_heads_total"] = self.closing.journal.heads()
        values["subak_final_epochs_total"] = finals[-1].last + 1 if finals else 0
        values["subak_closing_faults_total"] = self.faults
        values["subak_behind"] = int(bool(self.behind))
        return "".join(f"{name} {value}\n" for name, value in values.items())

    def learn(self, now_unix_s: int) -> None:
        """Tell intake, clerk and board what the chain and the log say now."""
        self.intake.know(self.known.assets(now_unix_s))
        self.vouchers.know(self.known.lanes())
        self.vouchers.board.know(self.known.places())
        self.vouchers.board.follow(self.closing.entries)

    def look(self) -> bool:
        """Whether the budget serves this Settlement, asked now; if it does not any more, the log says once what to do. Errors: RpcError,
        RpcUnreachable, ChainRefused."""
        behind = self._behind()
        if behind and behind != self.behind:
            log.warning("%s", behind)
        self.behind = behind
        return not behind

    def _served(self) -> bool:
        """``look``, at most once in a while."""
        if time.monotonic() - self._looked_at >= LOOK_SECONDS:
            self.look()
            self._looked_at = time.monotonic()
        return not self.behind

    def tick(self, now_unix_s: int, served: bool = True) -> None:
        """All that is due at this network time, once. ``served`` as for ``Closing.tick``, with its errors."""
        self.learn(now_unix_s)
        self.redeeming.tick(now_unix_s, self.known.lanes())
        self.heartbeat.tick(now_unix_s)
        self.closing.tick(now_unix_s, served)
        self.wrongs.tick()
        self.listed.update(self.closing.finals())

    def _close_epochs(self) -> None:
        """Tick until stopped. What is not there yet comes with a later tick; anything else is said and tried again."""
        waiting_for = ""
        while not self._stop.wait(TICK_SECONDS):
            try:
                self.tick(self.clock(), self._served())
            except NOT_NOW as error:
                if str(error) != waiting_for:
                    waiting_for = str(error)
                    log.info("not now: %s: %s", type(error).__name__, error)
            except Exception:
                self.faults += 1
                log.exception("a step of closing failed; it is tried again")
                self._stop.wait(1.0)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._thread.start()
                await send({"type": "lifespan.startup.complete"})
            else:
                self._stop.set()
                await asyncio.to_thread(self._thread.join, 10)
                await send({"type": "lifespan.shutdown.complete"})
                return


def make_service(network: Network, folder: Path, me: Account, closing_class: type[Closing] = Closing) -> Service:
    """A verifier whose log, archive and journal are in ``folder``; ``closing_class`` lets an attack be a verifier of its own.

    Errors: LogBroken; RpcUnreachable if the chain does not answer.
    """
    rpc = Rpc(network.nodes.rpc)
    clock = NetworkClock(rpc, network.speed)
    schemas = schemas_of({name: kind.rules for name, kind in installed().items()}).values()
    entries = EntryLog(folder / "log")
    follower = Follower(rpc, network.contracts, network.clock)
    known = Known(follower, network.clock)
    sender = Sender(rpc, me)
    channels = Channels(rpc, network.contracts, sender)
    clerk = Clerk(folder / "clerk.sqlite", me, network.chain_id, network.contracts.channels, channels.close_delay_seconds())
    vouchers = VouchersHttp(clerk, Lines(folder / "lines.sqlite", clerk), Board(), clock.now)
    closing = closing_class(
        network=network,
        me=me,
        archive=FolderArchive(folder / "archive"),
        entries=entries,
        journal=Journal(folder / "journal", succession.folder_of(rpc, network.contracts)),
        peers=Peers(network),
        chain=Chain(rpc, network.contracts, sender),
        follower=follower,
        lines=vouchers.lines,
    )
    intake = Intake(
        network=network.id,
        chain_id=network.chain_id,
        settlement=network.contracts.settlement,
        schemas=tuple(schemas),
        clock=network.clock,
        late_epochs=closing.late_epochs(),
        now=clock.now,
        entries=entries,
        signer=me,
    )
    redeeming = Redeeming(clerk, channels, network.clock)
    heartbeat = Heartbeat(Stake(rpc, network.contracts, sender), me.address, network.clock)
    wrongs = Faults(network, rpc, sender, closing.journal)
    closing.archive.put("network.json", encode(network), replace=True)
    service = Service(
        *(network, intake, vouchers, closing, redeeming, heartbeat, wrongs, known, Listed(closing.archive), clock.now),
        lambda: succession.behind(rpc, network.contracts),
    )
    service.learn(clock.now())
    return service


def problem(status: int, detail: str) -> Answer:
    """RFC 9457 problem document."""
    body = {"type": "about:blank", "title": _TITLES.get(status, "error"), "status": status, "detail": detail}
    return (status, b"application/problem+json", msgspec.json.encode(body))


_TITLES = {404: "Not Found", 405: "Method Not Allowed"}


def _json(value: Any) -> Answer:
    return (200, JSON, msgspec.json.encode(value))


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        return b""


async def _respond(send: Send, answer: Answer, with_body: bool) -> None:
    status, kind, body = answer
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), (b"access-control-allow-origin", b"*")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body if with_body else b""})
