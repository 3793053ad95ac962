"""A customer's files on other people's disks: put, get, ls, rm; sealed here, any k of n hosts give them back."""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import sqlite3
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Self, TypeVar

from ..rules.tree import piece_root
from . import keys
from .codec import FILE_ID_BYTES, Code, Codec, SealBroken, key_name
from .errors import (
    BadName,
    Cause,
    Fault,
    HostFailed,
    NoRoom,
    NoSuchFile,
    PutFailed,
    SourceChanged,
    StoreError,
    TooFewHosts,
    WrongKey,
)
from .fetch import Fetch
from .index import File, Host, Index, Proof, Putting, Stored
from .remote import Passes, Patience, Remote, unhexed

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all) of the file."""
_Result = TypeVar("_Result")

SEGMENTS_IN_FLIGHT: Final = 6
"""So many segments are in memory at once: with 4 of 10, 2.5 MiB each."""
MOST_NAME_BYTES: Final = 1024
_AT_ONCE: Final = 64
"""Pieces of one host that are asked about or deleted before the index is told."""
_REST_SECONDS: Final = 600.0
"""A host that could not be told to delete is left in peace for so long."""
_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class Fetched:
    """A file that was fetched whole and verified."""

    size_bytes: int
    """Bytes of the file."""
    faults: tuple[Fault, ...]
    """Hosts that failed on the way and were replaced."""


@dataclass(frozen=True)
class Proven:
    """What hosts have shown to lie in sets that are final."""

    kib: Mapping[bytes, int]
    """Proven KiB by asset id; 0 for a host that has shown nothing."""
    faults: tuple[Fault, ...]
    """Hosts that failed to answer, or answered wrongly."""


class Store:
    """A customer's files. For one event loop; several processes may share a folder.

    Promises: a file is listed if and only if all its pieces were acknowledged by their hosts, whatever happened to the process; hosts see
    only ciphertext; what ``get`` writes is what ``put`` read, byte for byte, or there is no file. Memory is bounded by
    ``SEGMENTS_IN_FLIGHT`` segments, whatever the file's size.
    """

    def __init__(
        self,
        folder: Path,
        passes: Passes,
        *,
        code: Code | None = None,
        now: Callable[[], float] = time.time,
        patience: Patience | None = None,
    ) -> None:
        """``folder``: the master key (``key``) and the index lie there; a new key is made with the first index.

        ``passes`` pays for requests, ``now`` is network time. ``code``: k of n for new files, 4 of 10 if not said. What a process that died
        was storing is given up. Errors: WrongKey; KeyFileRefused if others can reach the key file.
        """
        with _room(folder):
            self._index = Index(folder)
            try:
                self._key = self._master_key(folder / "key")
                self._index.reclaim()
            except BaseException:
                self._index.close()
                raise
        self.code = code or Code()
        """k of n for files that are put from now on."""
        self._passes = passes
        self._now = now
        self._patience = patience or Patience()
        self._remotes: dict[Host, Remote] = {}
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="store")
        self._resting: dict[bytes, float] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of connections and the index."""
        for remote in self._remotes.values():
            remote.close()
        self._pool.shutdown()
        self._index.close()

    async def put(
        self, path: Path, name: str, hosts: Sequence[Host], *, code: Code | None = None, progress: Progress | None = None
    ) -> Stored:
        """Store a file: piece *j* of every segment at the *j*-th of ``hosts``, of which the first n different ones are used.

        Returns when every piece is acknowledged and the index is durable. Errors: BadName, NameTaken, TooFewHosts; PutFailed names the
        hosts that failed; SourceChanged; StoreError if the file cannot be read. After any error nothing is listed, and what was placed is
        removed, or remembered for ``sweep``.
        """
        code = code or self.code
        _check_name(name)
        chosen = list({host.asset: host for host in reversed(hosts)}.values())[::-1][: code.n]
        if len(chosen) < code.n:
            raise _too_few(len(chosen), code)
        with _source(path) as (source, before):
            size_bytes = before.st_size
            file_id = secrets.token_bytes(FILE_ID_BYTES)
            with _room(self._index.path):
                self._index.reclaim()
                putting = self._index.begin(file_id, name, size_bytes, code, chosen)
                try:
                    codec = Codec(self._key, file_id, size_bytes, code)
                    await self._send(putting, codec, source, name, [self._remote(host) for host in chosen], progress)
                    _check_unchanged(path, before, os.fstat(source))
                    self._index.finish(putting, int(self._now()))
                except BaseException as error:
                    await self._in_thread(self._index.abandon, putting)
                    if isinstance(error, StoreError | OSError):
                        for host in chosen:
                            self._resting.pop(host.asset, None)
                        await self.sweep()
                    raise
        return self._index.file(name).stored

    async def get(self, name: str, path: Path, *, progress: Progress | None = None) -> Fetched:
        """Fetch a file to ``path``, readable by its owner only; what was there is replaced when all of it is verified.

        Any k of a segment's n hosts suffice. Errors: NoSuchFile; Unreadable names the hosts that failed; NoRoom; WrongKey; StoreError if
        ``path`` cannot be written. After any error ``path`` is as it was and nothing else is left.
        """
        file = self._index.file(name)
        stored = file.stored
        fetch = Fetch(stored, [self._remote(host) for host in stored.hosts], self._patience)
        codec = Codec(self._key, file.id, stored.size_bytes, stored.code)
        with _room(path):
            if path.is_dir():
                raise StoreError(f"{path} is a folder, name a file in it")
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
            try:
                try:
                    _check_room(path, handle, stored.size_bytes)
                    await self._receive(file, codec, fetch, handle, progress)
                    await self._in_thread(os.fsync, handle)
                finally:
                    os.close(handle)
                os.replace(temporary, path)
            except BaseException:
                os.unlink(temporary)
                raise
            _sync_folder(path.parent)
        return Fetched(stored.size_bytes, fetch.faults)

    def ls(self) -> list[Stored]:
        """Every stored file, by name."""
        return self._index.ls()

    def stat(self, name: str) -> Stored:
        """One stored file. Errors: NoSuchFile."""
        return self._index.file(name).stored

    async def rm(self, name: str) -> tuple[Fault, ...]:
        """Remove a file: from the list at once, from its hosts as far as they can be reached; see ``sweep``. Errors: NoSuchFile."""
        await self._in_thread(self._index.remove, name)
        return await self.sweep(at_once=True)

    async def sweep(self, *, at_once: bool = False) -> tuple[Fault, ...]:
        """Delete at hosts what no file needs any more: removed files, puts that failed or whose process died.

        Gives the hosts that could not be told, with the number of pieces they still have; they stay remembered, and are asked again by a
        later call: after ten minutes, or ``at_once``. Never raises for what hosts do.
        """
        if at_once:
            self._resting.clear()
        self._index.reclaim()
        faults = await asyncio.gather(*(self._sweep_host(host) for host in self._index.unwanted()))
        return tuple(fault for fault in faults if fault is not None)

    def usage(self) -> dict[bytes, int]:
        """KiB of all stored files at each host, by asset id."""
        return self._index.usage()

    def moved(self, asset: bytes, endpoint: str) -> None:
        """A host is at another address now."""
        self._index.moved(asset, endpoint)

    async def ask_places(self, name: str) -> tuple[Fault, ...]:
        """Ask each host of a file for the places of its pieces in the set it signed last, and keep what is proven; see ``proven``.

        Asks only for what is not proven in that set yet. Errors: NoSuchFile.
        """
        file = self._index.file(name)
        found = await asyncio.gather(*(self._ask_host(file, place, host) for place, host in enumerate(file.stored.hosts)))
        return tuple(fault for faults in found for fault in faults)

    def proven(self, sets: Mapping[bytes, tuple[bytes, int]], name: str | None = None) -> dict[bytes, int]:
        """KiB that each host has shown to lie in its set, by asset id; of one file or of all.

        ``sets``: (root, slots) of each host's set as public final state has it. It was signed earlier, so it was asked about earlier.
        """
        return self._index.proven(sets, name)

    async def verify_places(self, name: str, sets: Mapping[bytes, tuple[bytes, int]]) -> Proven:
        """``ask_places``, then ``proven`` for the file: what the customer pays for. Errors: NoSuchFile."""
        faults = await self.ask_places(name)
        return Proven(self._index.proven(sets, name), faults)

    async def _send(
        self, putting: Putting, codec: Codec, source: int, name: str, remotes: Sequence[Remote], progress: Progress | None
    ) -> None:
        """Seal segment after segment in a thread, while those before are on their way."""
        done_bytes = 0
        slots = asyncio.Semaphore(SEGMENTS_IN_FLIGHT)

        async def send(number: int, roots: Sequence[bytes], pieces: Sequence[bytes]) -> None:
            nonlocal done_bytes
            placed = zip(remotes, roots, pieces, strict=True)
            results = await asyncio.gather(*(remote.put(root, piece) for remote, root, piece in placed), return_exceptions=True)
            slots.release()
            faults = [result.fault for result in results if isinstance(result, HostFailed)]
            if faults:
                raise PutFailed(name, faults, codec.code.n)
            for result in results:
                if result is not None:
                    raise result
            done_bytes += codec.code.carried_bytes(codec.size_bytes, number)
            if progress:
                progress(done_bytes, codec.size_bytes)

        with _first_error():
            async with asyncio.TaskGroup() as sending:
                for number in range(codec.code.segments(codec.size_bytes)):
                    await slots.acquire()
                    roots, pieces = await self._in_thread(self._seal, putting, codec, source, number)
                    sending.create_task(send(number, roots, pieces))

    def _seal(self, putting: Putting, codec: Codec, source: int, number: int) -> tuple[list[bytes], list[bytes]]:
        """Names and pieces of a segment; the names are in the index when this returns."""
        wanted = codec.code.carried_bytes(codec.size_bytes, number)
        content = os.pread(source, wanted, number * codec.code.segment_bytes)
        if len(content) != wanted:
            raise SourceChanged(f"segment {number} has {len(content)} bytes instead of {wanted}: the file got shorter while it was stored")
        pieces = codec.seal(number, content)
        roots = [piece_root(piece) for piece in pieces]
        self._index.sealed(putting, number, roots)
        return roots, pieces

    async def _receive(self, file: File, codec: Codec, fetch: Fetch, handle: int, progress: Progress | None) -> None:
        done_bytes = 0
        slots = asyncio.Semaphore(SEGMENTS_IN_FLIGHT)

        def unseal(number: int, pieces: Mapping[int, bytes]) -> int:
            try:
                content = codec.open(number, pieces)
            except SealBroken:
                raise WrongKey(
                    f"segment {number} of {file.stored.name!r} does not open, though its pieces are those that were stored: "
                    "the key or the index is not the one that it was stored with"
                ) from None
            at = number * codec.code.segment_bytes
            written = 0
            while written < len(content):
                written += os.pwrite(handle, content[written:], at + written)
            return written

        async def receive(number: int) -> None:
            nonlocal done_bytes
            pieces = await fetch.segment(number, self._index.roots(file, number))
            written = await self._in_thread(unseal, number, pieces)
            slots.release()
            done_bytes += written
            if progress:
                progress(done_bytes, codec.size_bytes)

        with _first_error():
            async with asyncio.TaskGroup() as receiving:
                for number in range(file.stored.segments):
                    await slots.acquire()
                    receiving.create_task(receive(number))

    async def _sweep_host(self, host: Host) -> Fault | None:
        if self._resting.get(host.asset, 0.0) > time.monotonic():
            return Fault(host.asset, host.endpoint, Cause.UNREACHABLE, "failed before", self._index.unwanted().get(host, 0))
        remote = self._remote(host)
        while roots := self._index.unwanted_at(host.asset, _AT_ONCE):
            results = await asyncio.gather(*(remote.delete(root) for root in roots), return_exceptions=True)
            self._index.deleted(host.asset, [root for root, result in zip(roots, results, strict=True) if result is None])
            for result in results:
                if isinstance(result, HostFailed):
                    self._resting[host.asset] = time.monotonic() + _REST_SECONDS
                    return replace(result.fault, pieces=self._index.unwanted().get(host, 0))
                if result is not None:
                    raise result
        return None

    async def _ask_host(self, file: File, place: int, host: Host) -> list[Fault]:
        remote = self._remote(host)
        known = {(proof.set_root, proof.slots): set(proof.segments) for proof in self._index.proofs(file, place)}
        current: tuple[bytes, int] | None = None
        faults: dict[Cause, Fault] = {}
        rest = list(range(file.stored.segments))
        while rest:
            proven = known.get(current, set()) if current else set()
            # The first answer says which set is the last one.
            batch = [segment for segment in rest if segment not in proven][: _AT_ONCE if current else 1]
            rest = [segment for segment in rest if segment not in proven and segment not in batch]
            try:
                roots = [self._index.roots(file, segment)[place] for segment in batch]
            except NoSuchFile:
                break
            found = await asyncio.gather(*(remote.place(root) for root in roots), return_exceptions=True)
            shown: dict[tuple[bytes, int], set[int]] = {}
            for segment, result in zip(batch, found, strict=True):
                if isinstance(result, HostFailed):
                    before = faults.get(result.fault.cause)
                    faults[result.fault.cause] = replace(before, pieces=before.pieces + 1) if before else result.fault
                elif isinstance(result, BaseException):
                    raise result
                elif result is not None:
                    current = unhexed(result.set_root), result.pieces
                    shown.setdefault(current, set()).add(segment)
                    known.setdefault(current, set()).add(segment)
            self._index.prove(file, place, [Proof(root, slots, frozenset(each)) for (root, slots), each in shown.items()])
            if faults.keys() & {Cause.UNREACHABLE, Cause.SLOW, Cause.REFUSED}:
                break
        return list(faults.values())

    def _remote(self, host: Host) -> Remote:
        if host not in self._remotes:
            self._remotes[host] = Remote(host, self._passes, self._now, self._patience)
        return self._remotes[host]

    async def _in_thread(self, function: Callable[..., _Result], *args: object) -> _Result:
        """Runs there. If the caller is cancelled, what the thread uses must not be closed under it."""
        task = asyncio.get_running_loop().run_in_executor(self._pool, partial(function, *args))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            task.exception()
            raise

    def _master_key(self, path: Path) -> bytes:
        sealed_with = self._index.fact("key")
        try:
            key = keys.load(path)
        except FileNotFoundError:
            if sealed_with:
                raise WrongKey(
                    f"the master key {path} is gone: without it the files of this index cannot be opened; bring it back"
                ) from None
            try:
                key = keys.create(path)
            except FileExistsError:
                key = keys.load(path)
        if self._index.fact("key", key_name(key)) != key_name(key):
            raise WrongKey(f"{path} holds another master key than the one that the files of {self._index.path} were sealed with")
        return key


def _check_name(name: str) -> None:
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise BadName(f"{name!r} is not text: give it a name in UTF-8") from None
    if not 1 <= length <= MOST_NAME_BYTES or "\0" in name:
        raise BadName(f"a name has 1 to {MOST_NAME_BYTES} bytes and no zero among them, this one has {length}")


def _too_few(count: int, code: Code) -> TooFewHosts:
    smaller = Code(max(1, count * code.k // code.n), count) if count else None
    remedy = f"name more, or choose a smaller code, such as Code({smaller.k}, {smaller.n})" if smaller else "name some"
    return TooFewHosts(f"{count} different hosts are named, but {code.k} of {code.n} needs {code.n}: {remedy}")


@contextmanager
def _source(path: Path) -> Iterator[tuple[int, os.stat_result]]:
    """A regular file, open for reading, and what it is like before."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise StoreError(f"{path} is not a file with bytes of its own, only such can be stored")
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from None
    try:
        yield handle, os.fstat(handle)
    finally:
        os.close(handle)


def _check_unchanged(path: Path, before: os.stat_result, after: os.stat_result) -> None:
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise SourceChanged(f"{path} was written to while it was stored ({before.st_size} bytes before, {after.st_size} after): try again")


def _check_room(path: Path, handle: int, size_bytes: int) -> None:
    disk = os.fstatvfs(handle)
    if disk.f_bavail * disk.f_frsize < size_bytes:
        raise NoRoom(f"{path} needs {size_bytes} bytes, its disk has {disk.f_bavail * disk.f_frsize} left")


@contextmanager
def _room(path: Path) -> Iterator[None]:
    """Errors of the disk that ``path`` is on, in words."""
    try:
        yield
    except OSError as error:
        full = error.errno in _FULL
        raise (NoRoom if full else StoreError)(f"{path} cannot be written: {error.strerror or error}") from None
    except sqlite3.DatabaseError as error:
        full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        raise (NoRoom if full else StoreError)(f"{path} cannot be written: {error}") from None


@contextmanager
def _first_error() -> Iterator[None]:
    """What went wrong first, without the group around it; the others follow from it."""
    try:
        yield
    except BaseExceptionGroup as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
