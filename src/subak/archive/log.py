"""The append-only log of one verifier: what it took in, in order, durable before it is acknowledged.

Entries are counted; an Entry's position is its number. One *record* holds the Entries that were taken in together, under one
acknowledgement. A *cut* says which positions belong to the close of an epoch. Files:

- ``<first position, 20 digits>.log``: records, each ``length u32 | crc32 u32 | received_unix_s u64 | Entries``; the crc covers what follows
  it, the length counts the Entries' bytes;
- ``cuts``: records of the same frame, whose body is ``epoch u64 | first u64 | end u64``.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple

from subak.archive.files import sync_folder
from subak.core.canon.entry import MAX_BATCH_BYTES, Malformed, RawEntry, cut

MAX_RECORD_BYTES = MAX_BATCH_BYTES
"""Bytes of Entries in one record."""
MAX_FILE_BYTES = 1 << 27
"""A file that has grown beyond this is left for a new one."""
_FRAME = struct.Struct(">IIQ")
_CUT = struct.Struct(">QQQ")


class LogBroken(Exception):
    """The log can no longer promise anything: its disk failed, or a file is not what was written. Restart after mending it."""


class Logged(NamedTuple):
    """One Entry as it stands in the log."""

    position: int
    """Its number."""
    received_unix_s: int
    """Network time when it was taken in."""
    entry: RawEntry
    """The Entry."""


@dataclass(frozen=True)
class Record:
    """Entries that were taken in together."""

    position: int
    """Position of the first one."""
    received_unix_s: int
    """Network time when they were taken in."""
    entries: tuple[RawEntry, ...]
    """The Entries."""


@dataclass(frozen=True)
class Cut:
    """Which positions belong to the close of an epoch."""

    epoch: int
    """The epoch that closed."""
    first: int
    """Position of the first Entry that no earlier cut holds."""
    end: int
    """Position after the last one."""


@dataclass(frozen=True)
class Recovered:
    """What opening the log found."""

    entries: int
    """Entries from the first file that is kept up to the end."""
    torn_bytes: int
    """Bytes after the last whole record, 0 after a clean stop. They were never acknowledged; they were moved to ``torn_file``."""
    torn_file: Path | None
    """Where they are kept, for whoever wants to look."""


class EntryLog:
    """The log in a folder. One process has it open; its threads may call anything at any time."""

    def __init__(self, folder: str | os.PathLike[str], max_file_bytes: int = MAX_FILE_BYTES) -> None:
        """Opens or makes it, and cuts off a torn tail; see ``recovered``.

        Errors: LogBroken if another process has it open, or a record before the tail is not what was written.
        """
        self.folder = Path(folder)
        self._max_file_bytes = max_file_bytes
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock_file = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock_file)
            raise LogBroken(f"{self.folder} is open in another process") from None
        # Held for a write; ``_sync_lock`` for the length of an fdatasync, so that appending goes on meanwhile. Taken in the order
        # _cut_lock, _sync_lock, _lock.
        self._lock = threading.Lock()
        self._sync_lock = threading.Lock()
        self._cut_lock = threading.Lock()
        self._broken: str | None = None
        self._file = self._size = self._end = self._durable = 0
        self._index: dict[int, _Index] = {}
        self._files = sorted(int(file.stem) for file in self.folder.glob("*.log") if file.stem.isdigit()) or [0]
        self._cuts = _read_cuts(self.folder / "cuts")
        self.recovered = self._open_last()
        """What opening found."""
        if self._cuts and self._cuts[-1].end > self._end:
            raise LogBroken(f"{self.folder}: cut of epoch {self._cuts[-1].epoch} ends at {self._cuts[-1].end}, the log at {self._end}")

    @property
    def position(self) -> int:
        """Position of the next Entry."""
        return self._end

    @property
    def durable(self) -> int:
        """Every Entry below this position survives a power cut."""
        return self._durable

    @property
    def first(self) -> int:
        """Position of the first Entry that is still kept."""
        return self._files[0]

    @property
    def cuts(self) -> tuple[Cut, ...]:
        """Every cut, by epoch."""
        return tuple(self._cuts)

    def append(self, entries: list[bytes], received_unix_s: int) -> int:
        """Takes Entries (signed bytes and signature) in as one record and returns the first one's position; durable after ``sync``.

        Errors: ValueError for no Entries or over 1 MiB of them; LogBroken. After an error nothing of it is in the log.
        """
        return self.append_batch(b"".join(entries), len(entries), received_unix_s)

    def append_batch(self, batch: bytes, count: int, received_unix_s: int) -> int:
        """The same for ``count`` Entries that stand one after another in ``batch``."""
        if count < 1 or len(batch) > MAX_RECORD_BYTES:
            raise ValueError(f"a record of {count} Entries and {len(batch)} bytes: at least one, at most {MAX_RECORD_BYTES} bytes")
        head = _head(received_unix_s, batch)
        if self._size >= self._max_file_bytes:
            self._rotate(self._max_file_bytes)
        with self._lock:
            self._check()
            position, offset = self._end, self._size
            self._write(head, batch)
            self._index[self._files[-1]].add(position, offset)
            self._end += count
            return position

    def sync(self) -> int:
        """Makes everything appended before the call durable, with one fdatasync however many records it was; returns ``durable``.

        Errors: LogBroken. After a failed fdatasync the kernel may have dropped what it could not write, so the log takes nothing more.
        """
        with self._sync_lock:
            self._check()
            self._fdatasync()
            return self._durable

    def cut(self, epoch: int) -> Cut:
        """Gives every Entry since the last cut to the close of ``epoch``, durably. Called again for that epoch it returns the same cut.

        Errors: ValueError for an epoch before the last one cut; LogBroken.
        """
        with self._cut_lock:
            for known in reversed(self._cuts):
                if known.epoch == epoch:
                    return known
            if self._cuts and epoch < self._cuts[-1].epoch:
                raise ValueError(f"epoch {epoch} is cut after epoch {self._cuts[-1].epoch}")
            made = Cut(epoch, self._cuts[-1].end if self._cuts else self._files[0], self.sync())
            _append_cut(self.folder / "cuts", made)
            self._cuts.append(made)
        self._rotate(1)
        return made

    def records(self, first: int = 0) -> Iterator[Record]:
        """Records in order, from the one that holds position ``first`` on. Errors: LogBroken at a record that is not what was written."""
        with self._lock:
            files = [*self._files, self._end]
        for start, after in pairwise(files):
            if after > max(start, first):
                yield from self._read(start, after, first)

    def entries(self, first: int, end: int) -> Iterator[Logged]:
        """The Entries of positions ``first`` up to ``end``. Errors: ValueError if the log does not hold them all; LogBroken."""
        if not self.first <= first <= end <= self._end:
            raise ValueError(f"positions {first} to {end}: the log holds {self.first} to {self._end}")
        for record in self.records(first):
            if record.position >= end:
                return
            for position, entry in enumerate(record.entries, record.position):
                if first <= position < end:
                    yield Logged(position, record.received_unix_s, entry)

    def forget(self, before: int) -> int:
        """Deletes files all of whose Entries lie below ``before`` and in a cut; returns the first position still kept.

        For Entries that segments hold and a final Book lists.
        """
        before = min(before, self._cuts[-1].end if self._cuts else 0)
        with self._lock:
            while len(self._files) > 1 and self._files[1] <= before:
                gone = self._files.pop(0)
                self._index.pop(gone, None)
                self._path(gone).unlink()
        return self.first

    def close(self) -> None:
        """Makes everything durable and lets the folder go."""
        try:
            if self._broken is None:
                self.sync()
        finally:
            os.close(self._file)
            os.close(self._lock_file)

    def _path(self, first: int) -> Path:
        return self.folder / f"{first:020d}.log"

    def _check(self) -> None:
        if self._broken is not None:
            raise LogBroken(self._broken)

    def _open_last(self) -> Recovered:
        start = self._files[-1]
        path = self._path(start)
        self._file = _open(path)
        data = path.read_bytes()
        position, good = start, 0
        index = self._index[start] = _Index()
        for _, body in _frames(data):
            index.add(position, good)
            position += len(_entries(body, f"{path}, position {position}"))
            good += _FRAME.size + len(body)
        torn = len(data) - good
        torn_file = None
        if torn:
            torn_file = self.folder / f"{path.stem}.{good}.torn"
            torn_file.write_bytes(data[good:])
            os.ftruncate(self._file, good)
        # What the last run wrote but had not synced may still be in the page cache only.
        os.fsync(self._file)
        sync_folder(self.folder)
        self._size, self._end, self._durable = good, position, position
        return Recovered(position - self._files[0], torn, torn_file)

    def _rotate(self, least_bytes: int) -> None:
        """Starts a new file if the last one has that many bytes."""
        self.sync()
        with self._sync_lock, self._lock:
            self._check()
            if self._size < least_bytes:
                return
            self._fdatasync()
            os.close(self._file)
            self._file = _open(self._path(self._end))
            self._files.append(self._end)
            self._index[self._end] = _Index()
            self._size = 0
            sync_folder(self.folder)

    def _fdatasync(self) -> None:
        end = self._end
        if end > self._durable:
            try:
                os.fdatasync(self._file)
            except OSError as error:
                self._broken = f"fdatasync of {self._path(self._files[-1])}: {error}"
                raise LogBroken(self._broken) from error
            self._durable = end

    def _write(self, head: bytes, body: bytes) -> None:
        try:
            written = os.writev(self._file, (head, body))
            if written < len(head) + len(body):
                rest = (head + body)[written:]
                while rest:
                    rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            try:
                os.ftruncate(self._file, self._size)
            except OSError:
                self._broken = f"write to {self._path(self._files[-1])}: {error}"
            raise LogBroken(f"write to {self._path(self._files[-1])}: {error}") from error
        self._size += len(head) + len(body)

    def _read(self, start: int, after: int, first: int) -> Iterator[Record]:
        """Records of the file that holds positions ``start`` up to ``after``, from the one that holds ``first`` on."""
        path = self._path(start)
        index = self._index.get(start)
        position, offset = index.find(first) if index else (start, 0)
        fresh = None if index else _Index()
        with open(path, "rb") as file:
            file.seek(offset)
            while position < after:
                if (frame := _read_frame(file)) is None:
                    raise LogBroken(f"{path}: the record at byte {offset}, position {position}, is not what was written")
                received_unix_s, body = frame
                entries = _entries(body, f"{path}, position {position}")
                if fresh:
                    fresh.add(position, offset)
                if position + len(entries) > first:
                    yield Record(position, received_unix_s, entries)
                position += len(entries)
                offset += _FRAME.size + len(body)
        if position != after:
            raise LogBroken(f"{path} ends at position {position}, expected {after}")
        if fresh:
            self._index[start] = fresh


class _Index:
    """Where a file's records start, 16 bytes each."""

    def __init__(self) -> None:
        self._positions = array("Q")
        self._offsets = array("Q")

    def add(self, position: int, offset: int) -> None:
        self._offsets.append(offset)
        self._positions.append(position)

    def find(self, position: int) -> tuple[int, int]:
        """Position and offset of the record that holds the position, or of the first one."""
        number = max(0, bisect_right(self._positions, position) - 1)
        return self._positions[number], self._offsets[number]


def _read_frame(file: BinaryIO) -> tuple[int, bytes] | None:
    head = file.read(_FRAME.size)
    if len(head) < _FRAME.size:
        return None
    length = _FRAME.unpack(head)[0]
    return next(_frames(head + file.read(min(length, MAX_RECORD_BYTES))), None)


def _head(received_unix_s: int, body: bytes) -> bytes:
    received = received_unix_s.to_bytes(8, "big")
    return struct.pack(">II", len(body), zlib.crc32(body, zlib.crc32(received))) + received


def _frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The whole records that ``data`` starts with; stops where one is torn."""
    at = 0
    while at + _FRAME.size <= len(data):
        length, crc, received_unix_s = _FRAME.unpack_from(data, at)
        end = at + _FRAME.size + length
        if not 0 < length <= MAX_RECORD_BYTES or end > len(data) or zlib.crc32(memoryview(data)[at + 8 : end]) != crc:
            return
        yield received_unix_s, data[at + _FRAME.size : end]
        at = end


def _entries(body: bytes, place: str) -> tuple[RawEntry, ...]:
    try:
        return tuple(cut(body))
    except Malformed as error:
        raise LogBroken(f"{place}: the record holds something else than Entries: {error}") from None


def _read_cuts(path: Path) -> list[Cut]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    cuts = [Cut(*_CUT.unpack(body)) for _, body in _frames(data)]
    whole = len(cuts) * (_FRAME.size + _CUT.size)
    if whole != len(data):
        os.truncate(path, whole)
    for before, after in pairwise(cuts):
        if after.first != before.end or after.epoch <= before.epoch:
            raise LogBroken(f"{path}: {after} does not follow {before}")
    return cuts


def _append_cut(path: Path, made: Cut) -> None:
    handle = _open(path)
    try:
        body = _CUT.pack(made.epoch, made.first, made.end)
        os.write(handle, _head(0, body) + body)
        os.fsync(handle)
    finally:
        os.close(handle)
    sync_folder(path.parent)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
