"""Pieces in a folder: ``pieces/<first 2 digits>/<root>``, and ``index.sqlite``, which says who put them and in which slot they stand."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import threading
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..rules.tree import EMPTY, LEAF_BYTES, PIECE_BYTES, PIECE_KIB, PIECE_LEAVES, SetTree, piece_levels
from .index import DiskFailed, Full, Index, Offered, SignedSet, disk_errors

log = logging.getLogger("subak.storage")

EVER: Final = 1 << 62
"""A time after all others."""


class StoreRefused(ValueError):
    """The folder cannot be used."""


@dataclass(eq=False)
class _Arrival:
    """A piece on its way in: written and synced under a name of its own."""

    root: bytes
    lane: bytes
    written: Path
    slot: int = -1
    is_new: bool = False
    is_renamed: bool = False
    error: BaseException | None = None
    done: bool = False


class Store:
    """The pieces of one asset. Every method may be called from any thread, and blocks for as long as the disk does.

    Promises: a piece that ``put`` returned for survives a kill and a power cut; every set of ``sets`` can be proven whole, whatever was
    put or deleted since, so a deleted piece leaves the disk when the last of them that has it is forgotten; a disk that is full costs only
    the piece that did not fit. Slots are stable, and those of deleted pieces are used again, the lowest first.
    """

    def __init__(self, folder: Path, capacity_kib: int) -> None:
        """Makes the folder if it is missing, and clears what an interrupted run left.

        Errors: StoreRefused if another process has it, or it has pieces and no index; Full, DiskFailed, OSError.
        """
        self.folder, self.capacity_kib = folder, capacity_kib
        self._shelves = [folder / "pieces" / f"{prefix:02x}" for prefix in range(256)]
        for path in (*self._shelves, folder / "incoming"):
            path.mkdir(parents=True, exist_ok=True)
        self._only_me = (folder / "lock").open("w")
        try:
            self._index = self._opened()
        except BaseException:
            self._only_me.close()
            raise
        for path in (folder / "pieces", folder):
            _sync_folder(path)
        self._lock = threading.Lock()
        self._written: deque[_Arrival] = deque()

    def close(self) -> None:
        """Let the folder go."""
        with self._lock:
            self._index.close()
            self._reader.close()
            self._only_me.close()

    def put(self, root: bytes, piece: bytes | bytearray, lane: bytes) -> tuple[int, bool]:
        """Keep a piece, whose root was checked, for a lane: its slot, and whether it is new. Puts of several threads share their syncs.

        Errors: Full, DiskFailed; after both the folder is as it was.
        """
        if self._kept >= self.capacity_kib // PIECE_KIB:
            # Only then is the lock worth its wait: whoever has it may be syncing. Room is counted again when the piece gets its slot.
            with self._lock:
                self._need_room(root)
        arrival = _Arrival(root, lane, self.folder / "incoming" / secrets.token_hex(8))
        try:
            with disk_errors():
                _write(arrival.written, piece)
            self._written.append(arrival)
            with self._lock:
                # Whoever comes first takes along all that were written by then.
                if not arrival.done:
                    self._take([self._written.popleft() for _ in range(len(self._written))])
        finally:
            if not arrival.is_renamed:
                with suppress(OSError):
                    arrival.written.unlink(missing_ok=True)
        if arrival.error is not None:
            raise arrival.error
        return arrival.slot, arrival.is_new

    def get(self, root: bytes) -> bytes | None:
        """The bytes of a piece that is kept for somebody; None if it is not. Errors: DiskFailed."""
        return self._read(root) if self.has(root) else None

    def has(self, root: bytes) -> bool:
        """Whether the piece is kept for somebody."""
        with self._reading:
            return self._reader.slot(root) is not None

    def delete(self, root: bytes, lane: bytes) -> bool:
        """This lane needs the piece no more; False if it had not put it. Errors: Full, DiskFailed."""
        with self._lock:
            with self._index.transaction():
                deleted = self._index.delete(root, lane)
                gone = deleted and not self._index.names(root)
            if gone:
                self._unlink([root])
            return deleted

    def counts(self) -> tuple[int, int]:
        """How many pieces are kept for somebody, and how many are on the disk."""
        return self._index.live(), self._kept

    def sign(self, unix_s: int, again: bool = False) -> tuple[SignedSet, SetTree] | None:
        """A new set of all that is kept for somebody, not yet posted; None if nothing changed since the last one, unless it is to be signed
        ``again``. Errors: Full, DiskFailed."""
        with self._lock:
            number = self._index.begin_set(again)
            if number is None:
                return None
            roots = self._index.slots(number)
        tree = SetTree(roots)
        with self._lock, self._index.transaction():
            return self._index.signed(number, unix_s, tree.root, tree.pieces), tree

    def sets(self) -> list[tuple[SignedSet, bool]]:
        """Sets that may still be asked about, oldest first, and whether each was posted."""
        with self._lock:
            return self._index.sets()

    def posted(self, number: int) -> None:
        """The set was handed to whoever posts it. Errors: Full, DiskFailed."""
        with self._lock, self._index.transaction():
            self._index.posted(number)

    def tree(self, number: int) -> SetTree:
        """The tree of a set."""
        with self._reading:
            roots = self._reader.slots(number)
        return SetTree(roots)

    def slot_in(self, number: int, root: bytes) -> int | None:
        """Where a piece stands in a set; None if it is not in it."""
        with self._reading:
            return self._reader.slot_in(number, root)

    def proofs(self, number: int, leaves: Collection[int]) -> dict[int, tuple[bytes, list[bytes]]]:
        """Leaf and path of these leaves of a set. Those that cannot be shown are missing, and the log says why."""
        tree, by_slot = self.tree(number), dict[int, list[int]]()
        for leaf in leaves:
            by_slot.setdefault(leaf // PIECE_LEAVES, []).append(leaf)
        proofs = {}
        for slot, asked in by_slot.items():
            root = tree.slot(slot)
            try:
                piece = bytes(PIECE_BYTES) if root == EMPTY else self._read(root)
                levels = None if root == EMPTY else _levels(root, piece)
            except (DiskFailed, ValueError) as error:
                log.error("piece %s in slot %d cannot be shown: %s", root.hex(), slot, error)
                continue
            for leaf in asked:
                at = leaf % PIECE_LEAVES * LEAF_BYTES
                proofs[leaf] = piece[at : at + LEAF_BYTES], tree.path_of(leaf, levels)
        return proofs

    def held(self, number: int) -> Mapping[bytes, int]:
        """How many pieces of a set each lane had put."""
        with self._reading:
            return self._reader.held(number)

    def forget_before(self, number: int) -> None:
        """No set before this one will be asked about again: let go of what only they had. Errors: Full, DiskFailed."""
        with self._lock:
            with self._index.transaction():
                gone = self._index.forget_before(number)
            self._unlink(gone)

    def offered(self, before_unix_s: int = EVER) -> Offered | None:
        """The last offer, or the last one that was signed before a time."""
        with self._lock:
            return self._index.offered(before_unix_s)

    def offer(self, offer: Offered) -> None:
        """Note an offer that was posted. Errors: Full, DiskFailed."""
        with self._lock, self._index.transaction():
            self._index.offer(offer)

    def last_answered(self) -> int:
        """The last epoch whose tasks were answered; -1 if there is none."""
        with self._lock:
            return self._index.last_answered()

    def answered(self, epoch: int) -> None:
        """The tasks of this epoch were answered. Errors: Full, DiskFailed."""
        with self._lock, self._index.transaction():
            self._index.answered(epoch)

    def _opened(self) -> Index:
        """The index, once nobody else has the folder and what was never acknowledged is cleared."""
        try:
            fcntl.flock(self._only_me, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StoreRefused(f"{self.folder} is served by another process; stop it, or name another path") from None
        path = self.folder / "index.sqlite"
        if not path.exists() and any(any(shelf.iterdir()) for shelf in self._shelves):
            raise StoreRefused(f"{self.folder} has pieces, but {path.name} is gone; restore it, or name another path")
        index = Index(path)
        # A second connection reads on while the first one waits for the disk.
        self._reader, self._reading = Index(path), threading.Lock()
        for written in (self.folder / "incoming").iterdir():
            written.unlink()
        self._kept = 0
        for prefix, shelf in enumerate(self._shelves):
            after = bytes([prefix + 1]) if prefix < 255 else b"\xff" * 33
            named = {root.hex() for root in index.named(bytes([prefix]), after)}
            there = {each.name for each in shelf.iterdir()}
            for stray in there - named:
                (shelf / stray).unlink()
            for lost in named - there:
                log.error("%s: piece %s is gone from the disk", self.folder, lost)
            self._kept += len(named)
        return index

    def _need_room(self, root: bytes) -> None:
        most = self.capacity_kib // PIECE_KIB
        if self._kept >= most and not self._index.names(root):
            leaving = self._kept - self._index.live()
            raise Full(f"{self._kept} pieces are kept, at most {most}; {leaving} of them go when a newer set has been settled")

    def _take(self, batch: Sequence[_Arrival]) -> None:
        """Name the written pieces and note who put them: all of them or none, but for those that do not fit."""
        kept_before, new, shelves = self._kept, list[Path](), set[Path]()
        try:
            with self._index.transaction():
                for arrival in batch:
                    with _error_of(arrival):
                        self._name(arrival, new, shelves)
                for shelf in shelves:
                    _sync_folder(shelf)
        except BaseException as error:
            self._kept = kept_before
            # Those that cannot be removed now are when the folder is opened next.
            with suppress(OSError):
                for path in new:
                    path.unlink(missing_ok=True)
            for arrival in batch:
                arrival.error = arrival.error or error
        finally:
            for arrival in batch:
                arrival.done = True

    def _name(self, arrival: _Arrival, new: list[Path], shelves: set[Path]) -> None:
        arrival.is_new = self._index.slot(arrival.root) is None
        if arrival.is_new:
            self._need_room(arrival.root)
        path = self._path(arrival.root)
        # A piece on its way out may have changed on the disk, and one that is kept may be gone from it: the new one takes its place.
        if arrival.is_new or not path.exists():
            if not self._index.names(arrival.root):
                new.append(path)
                self._kept += 1
            arrival.written.rename(path)
            arrival.is_renamed = True
            shelves.add(path.parent)
        arrival.slot = self._index.put(arrival.root, arrival.lane)

    def _unlink(self, roots: Collection[bytes]) -> None:
        """Remove pieces that the index names no more; those that cannot be are when the folder is opened next."""
        self._kept -= len(roots)
        for root in roots:
            with suppress(OSError):
                self._path(root).unlink(missing_ok=True)

    def _read(self, root: bytes) -> bytes:
        with disk_errors():
            return self._path(root).read_bytes()

    def _path(self, root: bytes) -> Path:
        return self._shelves[root[0]] / root.hex()


@contextmanager
def _error_of(arrival: _Arrival) -> Iterator[None]:
    """A piece that does not fit by the count is refused alone."""
    try:
        yield
    except Full as error:
        arrival.error = error


def _levels(root: bytes, piece: bytes) -> list[list[bytes]]:
    levels = piece_levels(piece)
    if levels[-1][0] != root:
        raise ValueError("its bytes have changed on the disk")
    return levels


def _write(path: Path, piece: bytes | bytearray) -> None:
    """A new file, on the disk when this returns."""
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        left = memoryview(piece)
        while left:
            left = left[os.write(opened, left) :]
        os.fsync(opened)
    finally:
        os.close(opened)


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
