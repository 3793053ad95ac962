"""A host of the storage kind over HTTP: what ``storage.wire`` says, request by request."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from subak.core.canon.passes import Pass, read_pass
from subak.core.kind import Desk

from ..rules.tree import PIECE_BYTES, PIECE_KIB, SetTree, piece_root
from ..wire import REASONS, Account, Place, Placed, Status, problem, read_root
from .index import DiskFailed, Full, SignedSet
from .server import Answer, Headers, Late, Request
from .store import Store

log = logging.getLogger("subak.storage")

T = TypeVar("T")

PIECE: Final = b"application/octet-stream"
PROBLEM: Final = b"application/problem+json"


@dataclass(frozen=True)
class Limits:
    """Bounds of the service; seconds are real ones."""

    bodies: int = 32
    """How many pieces may be on their way at once; more are asked to come again."""
    body_seconds: float = 60.0
    """How long a piece may take to arrive."""
    disk_threads: int = 4
    """Threads that hash, write and read: enough to share syncs; more of them only wait for each other."""


class Refused(Exception):
    """The request ends with a problem."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        # Exactly a string: what a desk says may be a subclass, which cannot be written as JSON.
        self.reason, self.detail = reason, str(detail)


class Service:
    """Serves one store at one desk. A piece is hashed once, when it arrives; hashing and the disk never hold the event loop."""

    def __init__(self, store: Store, desk: Desk, limits: Limits | None = None) -> None:
        self.store, self.desk, self.limits = store, desk, limits or Limits()
        self.signed: tuple[SignedSet, SetTree] | None = None
        """The last set that was signed and posted, which places are shown in."""
        self._threads = ThreadPoolExecutor(self.limits.disk_threads, thread_name_prefix="storage")
        self._bodies = 0

    async def answer(self, request: Request) -> Answer:
        """Answers one HTTP request."""
        try:
            return await self._answer(request)
        except Refused as refused:
            return _refusal(refused)

    async def in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        """The result of work that hashes or waits for the disk."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, functools.partial(work, *arguments))

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown()

    async def _answer(self, request: Request) -> Answer:
        method, path, headers = request.method, request.path, request.headers
        methods: Mapping[str, Callable[[], Awaitable[Answer]]]
        match path.split("/"):
            case ["", "v1", "status"]:
                methods = {"GET": self._status}
            case ["", "v1", "account"]:
                methods = {"GET": functools.partial(self._account, headers)}
            case ["", "v1", "pieces", name]:
                methods = {
                    "PUT": functools.partial(self._put, name, request),
                    "GET": functools.partial(self._get, name, headers),
                    "DELETE": functools.partial(self._delete, name, headers),
                }
            case ["", "v1", "pieces", name, "place"]:
                methods = {"GET": functools.partial(self._place, name, headers)}
            case _:
                raise Refused("unknown_path", f"{path[:100]} is not served here")
        if method not in methods:
            raise Refused("wrong_method", f"{path[:100]} takes {', '.join(methods)}, not {method}")
        try:
            return await methods[method]()
        except Full as error:
            raise Refused("full", str(error)) from None
        except DiskFailed as error:
            log.error("%s %s: %s", method, path, error)
            raise Refused("disk_failed", "the host's disk failed; try again later or elsewhere") from None

    async def _status(self) -> Answer:
        pieces, kept = self.store.counts()
        return _json(200, Status("0x" + self.desk.asset.hex(), self.store.capacity_kib, kept * PIECE_KIB, pieces))

    async def _account(self, headers: Headers) -> Answer:
        shown = _pass_of(headers)
        # Whoever is not served because of what it owes must be able to see how much that is.
        why_not = await self.desk.admit(shown.lane, shown.until_unix_s, shown.signature)
        account = self.desk.account(shown.lane)
        if why_not is not None and not account.get("owed"):
            raise Refused("not_admitted", why_not)
        return _json(200, Account(*(int(account.get(name, 0)) for name in Account.__struct_fields__)))

    async def _put(self, name: str, request: Request) -> Answer:
        root = _root_of(name)
        _check_length(request)
        shown = await self._admitted(request.headers)
        if self._bodies >= self.limits.bodies:
            raise Refused("busy", f"{self._bodies} pieces are on their way; come again")
        self._bodies += 1
        try:
            piece = await self._piece(request)
            slot, is_new = await self.in_thread(self._keep, root, piece, shown.lane)
        finally:
            self._bodies -= 1
        return _json(201 if is_new else 200, Placed("0x" + root.hex(), slot))

    async def _piece(self, request: Request) -> bytearray:
        seconds = self.limits.body_seconds
        try:
            return await request.read(seconds)
        except Late as late:
            raise Refused("slow_body", f"{late.size_bytes} bytes came in {seconds} s") from None

    def _keep(self, root: bytes, piece: bytearray, lane: bytes) -> tuple[int, bool]:
        """In one go: each change of threads costs more than half of the hash."""
        found = piece_root(piece)
        if found != root:
            raise Refused("hash_differs", f"the bytes are piece {found.hex()}, not {root.hex()}")
        return self.store.put(root, piece, lane)

    async def _get(self, name: str, headers: Headers) -> Answer:
        root = _root_of(name)
        await self._admitted(headers)
        piece = await self.in_thread(self.store.get, root)
        if piece is None:
            raise Refused("unknown_piece", f"{root.hex()} is not kept here")
        return Answer(200, PIECE, piece)

    async def _delete(self, name: str, headers: Headers) -> Answer:
        root = _root_of(name)
        shown = await self._admitted(headers)
        if not await self.in_thread(self.store.delete, root, shown.lane):
            if await self.in_thread(self.store.has, root):
                raise Refused("other_lane", f"{root.hex()} was put by another lane than {shown.lane.hex()}")
            raise Refused("unknown_piece", f"{root.hex()} is not kept here")
        return Answer(204)

    async def _place(self, name: str, headers: Headers) -> Answer:
        root = _root_of(name)
        await self._admitted(headers)
        slot = None
        if self.signed is not None:
            signed, tree = self.signed
            slot = await self.in_thread(self.store.slot_in, signed.number, root)
        if slot is None:
            if await self.in_thread(self.store.has, root):
                raise Refused("not_yet", f"{root.hex()} is kept, and will be in the next set")
            raise Refused("unknown_piece", f"{root.hex()} is not kept here")
        path = ["0x" + each.hex() for each in tree.place_path(slot)]
        return _json(200, Place("0x" + signed.root.hex(), signed.pieces, slot, path))

    async def _admitted(self, headers: Headers) -> Pass:
        shown = _pass_of(headers)
        why_not = await self.desk.admit(shown.lane, shown.until_unix_s, shown.signature)
        if why_not is not None:
            raise Refused("not_admitted", why_not)
        return shown


def _check_length(request: Request) -> None:
    if request.length < 0 or b"transfer-encoding" in request.headers:
        raise Refused("length_required", f"no content-length; a piece has {PIECE_BYTES} bytes")
    if request.length != PIECE_BYTES:
        raise Refused("wrong_size", f"content-length is {request.length}, a piece has {PIECE_BYTES} bytes")
    if request.headers.get(b"content-encoding", b"identity") != b"identity":
        raise Refused("bad_request", "a piece comes as it is, not compressed")


def _pass_of(headers: Headers) -> Pass:
    try:
        return read_pass(headers.get(b"authorization", b"").decode("latin-1"))
    except ValueError as error:
        raise Refused("not_admitted", f"no pass: {error}") from None


def _root_of(name: str) -> bytes:
    root = read_root(name)
    if root is None:
        raise Refused("bad_request", f"a piece is named by 64 hex digits, not {name[:80]!r}")
    return root


def _refusal(refused: Refused) -> Answer:
    told = problem(refused.reason, refused.detail)
    later = ((b"retry-after", b"1"),) if refused.reason in ("busy", "disk_failed") else ()
    return Answer(REASONS[refused.reason][0], PROBLEM, msgspec.json.encode(told), later)


def _json(status: int, value: msgspec.Struct) -> Answer:
    return Answer(status, body=msgspec.json.encode(value))
