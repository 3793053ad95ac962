"""One host, as the customer's software talks to it: every answer is checked, every failure has a cause."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import msgspec

from ..rules.tree import PIECE_BYTES, check_place, piece_root
from ..wire import Place, Problem
from .connection import Broken, Endpoint, Silent, Unusable
from .errors import Cause, Fault, HostFailed
from .index import Host

Passes = Callable[[bytes, float], str]
"""(asset id, network time in seconds) to the value of ``authorization``: a pass for this host that holds now. Asked for every request.

May raise LookupError, OSError or ValueError if there can be none, with the reason in words.
"""

_MOST_BYTES: Final = 16 * 1024
"""An answer that is no piece is at most this long."""
_TRIES: Final = 3
"""A connection that breaks may only have been idle for too long."""
_BUSY_SECONDS: Final = 0.1
_AT_ONCE: Final = 6
"""Requests that one host gets at once."""
_CAUSES: Final = {"not_admitted": Cause.REFUSED, "other_lane": Cause.REFUSED, "unknown_piece": Cause.LOST, "full": Cause.FULL}


@dataclass(frozen=True)
class Patience:
    """How long a customer waits for hosts, in seconds."""

    connect: float = 5.0
    """For a connection."""
    answer: float = 20.0
    """For the next byte of an answer."""
    piece: float = 300.0
    """For a whole request. A piece that goes out has all this time: on a slow line many go out at once."""
    spare: float = 0.5
    """For a piece, before another host is asked too; at least four times as long as the others took."""


class Remote:
    """A host at its endpoint. Cancelling a call closes its connection."""

    def __init__(self, host: Host, passes: Passes, now: Callable[[], float], patience: Patience) -> None:
        self.host = host
        self._passes = passes
        self._now = now
        self._patience = patience
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._endpoint: Endpoint | None = None

    def close(self) -> None:
        """Let go of its connections."""
        if self._endpoint is not None:
            self._endpoint.close()

    async def put(self, root: bytes, piece: bytes) -> None:
        """Place a piece there; returns when the host has acknowledged it. Errors: HostFailed."""
        await self._ask("PUT", root, "", {200, 201}, _MOST_BYTES, piece)

    async def get(self, root: bytes) -> tuple[bytes, float]:
        """The piece of this name, verified, and how many seconds it took. Errors: HostFailed."""
        _, piece, seconds = await self._ask("GET", root, "", {200}, PIECE_BYTES)
        if len(piece) != PIECE_BYTES:
            much = f"{len(piece)} bytes" if len(piece) < PIECE_BYTES else "more"
            raise self._failed(Cause.TAMPERED, f"piece {root.hex()[:12]}… came with {much} instead of {PIECE_BYTES} bytes")
        if piece_root(piece) != root:
            raise self._failed(Cause.TAMPERED, f"piece {root.hex()[:12]}… came with other bytes than those that were stored")
        return piece, seconds

    async def delete(self, root: bytes) -> None:
        """The piece is not there any more. Errors: HostFailed."""
        status, body, _ = await self._ask("DELETE", root, "", {204, 404}, _MOST_BYTES)
        if status == 404 and _reason(body) != "unknown_piece":
            raise self._refused(status, body)

    async def place(self, root: bytes) -> Place | None:
        """Where the piece is in the last set that the host says it signed, with a path that holds; None if that set does not have it yet.

        Errors: HostFailed, ``tampered`` if the path does not lead to the set's root.
        """
        status, body, _ = await self._ask("GET", root, "/place", {200, 404}, _MOST_BYTES)
        if status == 404:
            if _reason(body) == "not_yet":
                return None
            raise self._refused(status, body)
        try:
            place = msgspec.json.decode(body, type=Place)
            path, set_root = [unhexed(each) for each in place.path], unhexed(place.set_root)
        except ValueError as error:
            raise self._failed(Cause.FAULTY, f"the place of piece {root.hex()[:12]}… cannot be read: {error}") from None
        if not check_place(root, place.slot, place.pieces, path, set_root):
            where = f"slot {place.slot} of {place.pieces} in set {set_root.hex()[:12]}…"
            raise self._failed(Cause.TAMPERED, f"the path of piece {root.hex()[:12]}… does not lead to {where}")
        return place

    async def _ask(
        self, method: str, root: bytes, below: str, good: set[int], most_bytes: int, content: bytes | None = None
    ) -> tuple[int, bytes, float]:
        """Status, body and seconds of an answer whose status is good. Errors: HostFailed."""
        path = f"/v1/pieces/{root.hex()}{below}"
        silence = self._patience.answer if content is None else self._patience.piece
        breaks, pause = 0, _BUSY_SECONDS
        async with self._gate, self._in_words():
            if self._endpoint is None:
                self._endpoint = Endpoint(self.host.endpoint)
            started = time.monotonic()
            while True:
                header = self._shown()
                connection = await self._endpoint.connect(self._patience.connect)
                try:
                    status, body = await self._endpoint.ask(connection, method, path, header, content, most_bytes, silence)
                except Broken:
                    # Every request may be repeated: the second time changes nothing.
                    breaks += 1
                    if breaks == _TRIES:
                        raise
                    continue
                if status in good:
                    return status, body, time.monotonic() - started
                if _reason(body) != "busy":
                    raise self._refused(status, body)
                await asyncio.sleep(pause)
                pause = min(2 * pause, 2.0)

    def _shown(self) -> str:
        try:
            return self._passes(self.host.asset, self._now())
        except (LookupError, OSError, ValueError) as error:
            raise self._failed(Cause.REFUSED, f"no pass can be made for it: {error}") from error

    @asynccontextmanager
    async def _in_words(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._patience.piece):
                yield
        except TimeoutError:
            raise self._failed(Cause.SLOW, f"not done within {self._patience.piece:g} s") from None
        except Silent as error:
            raise self._failed(Cause.SLOW, str(error)) from None
        except (Broken, Unusable) as error:
            raise self._failed(Cause.UNREACHABLE, str(error)) from None

    def _refused(self, status: int, body: bytes) -> HostFailed:
        """The host's own reason, or what it answered instead."""
        problem = _problem(body)
        sentence = f"{problem.reason}: {problem.detail}"[:500] if problem else f"answered {status}"
        return self._failed(_CAUSES.get(problem.reason if problem else "", Cause.FAULTY), sentence)

    def _failed(self, cause: Cause, sentence: str) -> HostFailed:
        return HostFailed(Fault(self.host.asset, self.host.endpoint, cause, sentence))


def unhexed(text: str) -> bytes:
    """The bytes behind ``0x…``. Errors: ValueError."""
    return bytes.fromhex(text.removeprefix("0x"))


def _problem(body: bytes) -> Problem | None:
    try:
        return msgspec.json.decode(body, type=Problem)
    except ValueError:
        return None


def _reason(body: bytes) -> str:
    problem = _problem(body)
    return problem.reason if problem else ""
