"""Beside the disk: serve customers, sign what is kept, answer for it."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from subak.core.kind import Asked, Assets, Context, Desk
from subak.core.settlement import OFFER

from ..rules.judge import HOUR_S, draw, epoch_seconds
from ..rules.schemas import ANSWER, PIECES, ROOT, SET, SIGNED
from ..rules.tree import PIECE_KIB
from .config import StorageTable, read_table
from .index import DiskFailed, Full, Offered, SignedSet
from .server import serve
from .service import Limits, Service
from .store import Store

log = logging.getLogger("subak.storage")

ROWS: Final = 128
"""Answers in one Entry: with their leaves and paths a quarter of the largest body that intake takes."""
OFFER_SECONDS: Final = 30 * 86_400
"""Network time for which an offer holds; it is renewed after half of it."""
LAST_CALL: Final = 12
"""A set that changed is signed when so much of an epoch is left: a twelfth."""
FORCE_EPOCHS: Final = 2
"""A set that was not asked about so many epochs later did not come into force, and is signed again."""
POLLS: Final = 60
"""Tasks are asked for so often in an epoch until they are there."""
_CONNECTIONS: Final = 512
_BACKLOG: Final = 1024


class StorageWorker:
    """Serves the folder of one asset.

    Promises: a set that changed is signed at the beginning of every epoch and again before its end; the tasks of an epoch are answered
    once, from the set that they are about, though newer ones were signed meanwhile.
    """

    def __init__(self, table: StorageTable, limits: Limits | None = None) -> None:
        self.table, self.limits = table, limits
        self.port = 0
        """Port that it listens on, once it runs."""

    async def run(self, desk: Desk) -> None:
        """Until cancelled. Errors: StoreRefused if the folder cannot be used; OSError if the address cannot."""
        with _listen(*self.table.listen_on()) as listening:
            store = await asyncio.to_thread(Store, Path(self.table.path), self.table.capacity_kib())
            service = Service(store, desk, self.limits)
            duties = _Duties(self.table, desk, service)
            try:
                await duties.take_up()
                self.port = listening.getsockname()[1]
                async with asyncio.TaskGroup() as tasks:
                    for duty in (serve(service.answer, listening, _CONNECTIONS), duties.sign_always(), duties.answer_always()):
                        tasks.create_task(duty)
            finally:
                service.close()
                store.close()


class _Duties:
    """What the network expects of a host, epoch by epoch."""

    def __init__(self, table: StorageTable, desk: Desk, service: Service) -> None:
        self.table, self.desk, self.service, self.store = table, desk, service, service.store
        self._thread = service.in_thread
        self._in_force_unix_s = 0
        """When the set was signed that tasks were last asked about."""

    async def take_up(self) -> None:
        """Show places again in the set that was posted last."""
        posted = [signed for signed, posted in await self._thread(self.store.sets) if posted]
        if posted:
            self.service.signed = posted[-1], await self._thread(self.store.tree, posted[-1].number)

    async def sign_always(self) -> None:
        """Tell what is kept here, and for how much: as an epoch begins, and once more before it ends."""
        clock = self.desk.clock
        await self.desk.until(clock.genesis_unix_s)
        while True:
            with _said("signing"):
                await self._offer()
                await self._sign()
            now = self.desk.now()
            epoch_ends = clock.end_unix_s(clock.epoch_at(int(now)))
            last_call = epoch_ends - clock.epoch_seconds // LAST_CALL
            await self.desk.until(last_call if now < last_call else epoch_ends)

    async def answer_always(self) -> None:
        """Answer the tasks of each epoch, once."""
        clock = self.desk.clock
        epoch = max(clock.epoch_at(int(self.desk.now())), 0)
        while True:
            await self.desk.until(clock.first_unix_s(epoch))
            asked = await self._asked(epoch)
            if asked is not None:
                self._in_force_unix_s = asked.carried[SIGNED]
                with _said(f"answering for epoch {epoch}"):
                    if await self._thread(self.store.last_answered) < epoch:
                        await self._answer(epoch, asked)
            epoch = max(epoch + 1, clock.epoch_at(int(self.desk.now())))

    async def _offer(self) -> None:
        """Say what a KiB hour costs, unless the same was said lately."""
        now, table = int(self.desk.now()), self.table
        terms = (table.price, table.per_units, table.capacity_kib(), table.endpoint)
        last = await self._thread(self.store.offered)
        if last is not None:
            if last[1:5] == terms and last.valid_until_unix_s - now > OFFER_SECONDS // 2:
                return
            now = max(now, last.unix_s + 1)
        offer = Offered(now, *terms, now + OFFER_SECONDS)
        endpoint = table.endpoint.encode("ascii").ljust(128, b"\0")
        self.desk.put(OFFER, now, 0, [(table.price, table.per_units, offer.capacity, offer.valid_until_unix_s, endpoint)])
        await self._thread(self.store.offer, offer)

    async def _sign(self) -> None:
        """Sign what is kept, if it changed or the last set did not come into force; and post what an interrupted run had signed."""
        last = None
        for last, posted in await self._thread(self.store.sets):
            if not posted:
                await self._post(last)
        now = int(self.desk.now())
        too_long_ago = now - (1 + FORCE_EPOCHS) * self.desk.clock.epoch_seconds
        is_lost = last is not None and last.pieces > 0 and self._in_force_unix_s < last.unix_s < too_long_ago
        made = await self._thread(self.store.sign, now, is_lost)
        if made is not None:
            await self._post(made[0])
            self.service.signed = made

    async def _post(self, signed: SignedSet) -> None:
        if signed.pieces * PIECE_KIB > self.table.capacity_kib():
            log.error("the set has %d slots, more than %s holds: it will be refused until some are deleted", signed.pieces, self.table.size)
        self.desk.put(SET, signed.unix_s, 0, [(signed.root, signed.pieces)])
        await self._thread(self.store.posted, signed.number)

    async def _asked(self, epoch: int) -> Asked | None:
        """What is asked in an epoch; None if nobody can tell before its Book is closed."""
        clock = self.desk.clock
        while True:
            asked = await self.desk.tasks(epoch)
            now = self.desk.now()
            if asked is not None or now >= clock.close_unix_s(epoch):
                return asked
            await self.desk.until(min(now + max(1, clock.epoch_seconds // POLLS), clock.close_unix_s(epoch)))

    async def _answer(self, epoch: int, asked: Asked) -> None:
        clock = self.desk.clock
        context = Context(asked.parameters, {}, clock.first_unix_s(epoch), clock.end_unix_s(epoch), epoch, asked.seed)
        leaves = _leaves(self.desk.asset, asked, context)
        if not leaves:
            return
        root, signed_unix_s = root_of(asked.carried), asked.carried[SIGNED]
        found = [signed for signed, _ in await self._thread(self.store.sets) if (signed.root, signed.unix_s) == (root, signed_unix_s)]
        if not found:
            log.error("epoch %d asks about a set with root %s, which was not signed from %s", epoch, root.hex(), self.table.path)
            return
        signed = found[0]
        proofs = await self._thread(self.store.proofs, signed.number, leaves)
        rows = [(epoch, task, *_shown(*proofs[leaf])) for task, leaf in enumerate(leaves) if leaf in proofs]
        for first in range(0, len(rows), ROWS):
            some = rows[first : first + ROWS]
            self.desk.put(ANSWER, int(self.desk.now()) - len(some), 1, some)
        await self._thread(self.store.answered, epoch)
        if len(rows) == len(leaves):
            await self._charge(signed, context)
        else:
            log.error("epoch %d: %d of %d tasks could not be answered, so it is not paid", epoch, len(leaves) - len(rows), len(leaves))
        # An older set never comes into force again.
        await self._thread(self.store.forget_before, signed.number)

    async def _charge(self, signed: SignedSet, context: Context) -> None:
        """Each lane owes for its pieces in the set, at the price that was offered before the epoch began."""
        offer = await self._thread(self.store.offered, context.first_unix_s)
        if offer is None:
            return
        for lane, pieces in sorted((await self._thread(self.store.held, signed.number)).items()):
            kib_hours_down = pieces * PIECE_KIB * epoch_seconds(context) // HOUR_S
            money_down = kib_hours_down * offer.price // offer.per_units
            if money_down:
                self.desk.owe(lane, money_down)


def root_of(carried: Mapping[str, int]) -> bytes:
    """The root of the set in force, from the carried values; zeros if there is none."""
    return b"".join(carried[name].to_bytes(8, "big", signed=True) for name in ROOT)


def _shown(leaf: bytes, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    return leaf, b"".join(path).ljust(1024, b"\0")


def from_table(table: Mapping[str, Any]) -> StorageWorker:
    """The worker that a ``source`` table in ``host.toml`` describes; see ``StorageTable``. Errors: ValueError naming the key."""
    return StorageWorker(read_table(table))


def _leaves(asset: bytes, asked: Asked, context: Context) -> list[int]:
    """The leaf of each task; empty if nothing is asked."""
    me = Assets(cell=np.zeros(1, np.uint64), rated=np.zeros(1, np.int64), id=np.frombuffer(asset, np.uint8).reshape(1, 32))
    carried = {name: np.array([value], np.int64) for name, value in asked.carried.items()}
    drawn = draw(me, carried, context)
    return drawn["leaf"][:, 0].tolist() if drawn and asked.carried[PIECES] else []


def _listen(address: str, port: int) -> socket.socket:
    """A listening socket. The protocol is named, since asyncio turns Nagle's delay off only where it is: 40 ms a request."""
    listening = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise OSError(error.errno, f"cannot listen on {address} port {port}: {error.strerror}") from error
    return listening


@contextmanager
def _said(what: str) -> Iterator[None]:
    """A disk that fails is said and tried again later; serving goes on."""
    try:
        yield
    except (Full, DiskFailed) as error:
        log.error("%s: %s", what, error)
