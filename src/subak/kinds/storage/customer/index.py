"""What a customer has stored where: a SQLite file that only its owner may read. Without it, or without the key, the files are lost."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..rules.tree import PIECE_KIB
from .codec import Code
from .errors import NameTaken, NoSuchFile, StoreError

SCHEMA_VERSION = 1
SETS_KEPT = 6
"""Of each file's place at a host so many sets' proofs are kept: a set is asked about before its epoch is final."""


@dataclass(frozen=True)
class Host:
    """A host that takes pieces."""

    asset: bytes
    """Its asset id, 32 bytes."""
    endpoint: str
    """Where it is: http:// or https://, without a path."""


@dataclass(frozen=True)
class Stored:
    """A file that is stored: all its pieces are acknowledged."""

    name: str
    """What the customer calls it."""
    size_bytes: int
    """Bytes of the file."""
    code: Code
    """Any k of its n pieces give a segment back."""
    segments: int
    """Segments of the file."""
    stored_unix_s: int
    """Network time when it was complete."""
    hosts: tuple[Host, ...]
    """Who holds piece 0, 1 … of every segment."""

    @property
    def kib_per_host(self) -> int:
        """KiB that each of its hosts keeps."""
        return self.segments * PIECE_KIB


@dataclass(frozen=True)
class File:
    """A stored file with what opens it."""

    number: int
    """Row in the index."""
    id: bytes
    """32 bytes; the key and every seal depend on it."""
    stored: Stored
    """What people see of it."""


@dataclass(frozen=True)
class Putting:
    """A file that is being stored. The lock tells other processes that its own lives."""

    number: int
    """Row in the index."""
    id: bytes
    """32 bytes; see ``File.id``."""
    lock: int
    """Open file, locked until the end."""


@dataclass(frozen=True)
class Proof:
    """Which pieces of a file one host has shown to lie in one set."""

    set_root: bytes
    """Root of the set."""
    slots: int
    """Slots of the set, empty ones included: the root alone does not say how deep the tree is."""
    segments: frozenset[int]
    """Segments whose piece has its place there."""


class Index:
    """Files, segments, hosts, proofs, and pieces that are to be deleted. Several processes may have it open; threads may share it.

    Promises: a file is listed if and only if ``finish`` returned for it; what ``sealed`` returned for survives SIGKILL and power cuts, so
    that every piece a host may have is either of a listed file, of a put that goes on, or listed by ``unwanted``.
    """

    def __init__(self, folder: Path) -> None:
        """Opens or makes it. Errors: StoreError if a newer version wrote it."""
        folder.mkdir(parents=True, exist_ok=True)
        self._locks = folder / "putting"
        self._locks.mkdir(exist_ok=True)
        self.path = folder / "index.sqlite"
        # Before SQLite makes it, so that it and its side files are never open to others.
        # A file that is there is not opened: to close it would drop the locks that this process holds on it.
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        self.path.chmod(0o600)
        self._mutex = threading.RLock()
        self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=30)
        self._db.executescript(
            """
            PRAGMA journal_mode=WAL;
            PRAGMA synchronous=FULL;
            CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
            CREATE TABLE IF NOT EXISTS hosts (number INTEGER PRIMARY KEY, asset BLOB NOT NULL UNIQUE, endpoint TEXT NOT NULL);
            CREATE TABLE IF NOT EXISTS files (
                number INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE,
                size_bytes INTEGER NOT NULL, k INTEGER NOT NULL, n INTEGER NOT NULL, segments INTEGER NOT NULL,
                stored_unix_s INTEGER -- NULL until every piece is acknowledged
            );
            CREATE TABLE IF NOT EXISTS places (
                file INTEGER, place INTEGER, host INTEGER NOT NULL, PRIMARY KEY (file, place)
            ) WITHOUT ROWID;
            CREATE TABLE IF NOT EXISTS segments (
                file INTEGER, segment INTEGER, roots BLOB NOT NULL, PRIMARY KEY (file, segment)
            ) WITHOUT ROWID;
            CREATE TABLE IF NOT EXISTS proofs (
                number INTEGER PRIMARY KEY AUTOINCREMENT, file INTEGER NOT NULL, place INTEGER NOT NULL,
                set_root BLOB NOT NULL, slots INTEGER NOT NULL, proven BLOB NOT NULL, UNIQUE (file, place, set_root)
            );
            CREATE TABLE IF NOT EXISTS unwanted (host INTEGER, root BLOB, PRIMARY KEY (host, root)) WITHOUT ROWID;
            """
        )
        version = self.fact("schema", SCHEMA_VERSION.to_bytes(4, "big"))
        if version != SCHEMA_VERSION.to_bytes(4, "big"):
            self._db.close()
            raise StoreError(f"{self.path} has version {int.from_bytes(version, 'big')}, this program reads {SCHEMA_VERSION}: update it")

    def fact(self, name: str, first: bytes | None = None) -> bytes:
        """What is kept under a name; ``first`` is kept if there is nothing yet. b"" if there is neither."""
        if first is not None:
            with self._writing():
                self._db.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (name, first))
        found = self._rows("SELECT value FROM facts WHERE name = ?", name)
        return bytes(found[0][0]) if found else b""

    def begin(self, file_id: bytes, name: str, size_bytes: int, code: Code, hosts: Sequence[Host]) -> Putting:
        """A new file, not listed yet. Errors: NameTaken."""
        with self._writing():
            for (stored,) in self._rows("SELECT stored_unix_s FROM files WHERE name = ?", name):
                state = "is being stored" if stored is None else "is stored already; remove it first or choose another name"
                raise NameTaken(f"a file named {name!r} {state}")
            # Within the transaction, so that nobody sees the row without its lock.
            lock = os.open(self._locks / file_id.hex(), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                number = self._db.execute(
                    "INSERT INTO files (id, name, size_bytes, k, n, segments) VALUES (?, ?, ?, ?, ?, ?)",
                    (file_id, name, size_bytes, code.k, code.n, code.segments(size_bytes)),
                ).lastrowid
                assert number is not None
                for place, host in enumerate(hosts):
                    self._db.execute("INSERT INTO places VALUES (?, ?, ?)", (number, place, self._host(host.asset, host.endpoint)))
            except BaseException:
                os.close(lock)
                raise
        return Putting(number, file_id, lock)

    def sealed(self, putting: Putting, segment: int, roots: Sequence[bytes]) -> None:
        """The names of a segment's pieces, by place. Durable when this returns: before any host gets one of them."""
        with self._writing():
            self._db.execute("INSERT INTO segments VALUES (?, ?, ?)", (putting.number, segment, b"".join(roots)))

    def finish(self, putting: Putting, stored_unix_s: int) -> None:
        """Every piece is acknowledged: the file is listed from now on. Errors: StoreError if not every segment was named."""
        with self._writing():
            named = self._rows("SELECT count(*) FROM segments WHERE file = ?", putting.number)
            wanted = self._rows("SELECT segments FROM files WHERE number = ?", putting.number)
            if named != wanted:
                raise StoreError(f"{named} segments are named, the file has {wanted}")
            self._db.execute("UPDATE files SET stored_unix_s = ? WHERE number = ?", (stored_unix_s, putting.number))
        self._release(putting)

    def abandon(self, putting: Putting) -> None:
        """The file is not stored after all; its pieces become unwanted."""
        try:
            with self._writing():
                self._forget(putting.number)
        finally:
            self._release(putting)

    def reclaim(self) -> int:
        """Abandon files whose process ended while it stored them. How many."""
        gone = 0
        with self._writing():
            alive = set()
            for file_id, number in self._rows("SELECT id, number FROM files WHERE stored_unix_s IS NULL"):
                if self._deserted(file_id):
                    self._forget(number)
                    gone += 1
                else:
                    alive.add(file_id.hex())
            for lock in self._locks.iterdir():
                if lock.name not in alive:
                    lock.unlink(missing_ok=True)
        return gone

    def remove(self, name: str) -> None:
        """The file is listed no longer; its pieces become unwanted. Errors: NoSuchFile."""
        with self._writing():
            self._forget(self.file(name).number)

    def ls(self) -> list[Stored]:
        """Every stored file, by name."""
        return [self._file(row).stored for row in self._rows(f"{_FILES} ORDER BY name")]

    def file(self, name: str) -> File:
        """A stored file. Errors: NoSuchFile."""
        found = self._rows(f"{_FILES} AND name = ?", name)
        if not found:
            raise NoSuchFile(f"there is no file named {name!r}")
        return self._file(found[0])

    def roots(self, file: File, segment: int) -> list[bytes]:
        """Names of the pieces of a segment, by place. Errors: NoSuchFile if it was removed meanwhile."""
        found = self._rows("SELECT roots FROM segments WHERE file = ? AND segment = ?", file.number, segment)
        if not found:
            raise NoSuchFile(f"{file.stored.name!r} was removed while it was read")
        joined = bytes(found[0][0])
        return [joined[at : at + 32] for at in range(0, len(joined), 32)]

    def moved(self, asset: bytes, endpoint: str) -> None:
        """A host is at another address now."""
        with self._writing():
            self._db.execute("UPDATE hosts SET endpoint = ? WHERE asset = ?", (endpoint, asset))

    def usage(self) -> dict[bytes, int]:
        """KiB of all stored files at each host, by asset id."""
        rows = self._rows(
            "SELECT asset, sum(segments) FROM files f JOIN places p ON p.file = f.number JOIN hosts h ON h.number = p.host "
            "WHERE stored_unix_s IS NOT NULL GROUP BY asset ORDER BY asset"
        )
        return {bytes(asset): int(segments) * PIECE_KIB for asset, segments in rows if segments}

    def unwanted(self) -> dict[Host, int]:
        """How many pieces are still to be deleted, by host."""
        rows = self._rows(
            "SELECT asset, endpoint, count(*) FROM unwanted u JOIN hosts h ON h.number = u.host GROUP BY h.number ORDER BY asset"
        )
        return {Host(bytes(asset), endpoint): int(count) for asset, endpoint, count in rows}

    def unwanted_at(self, asset: bytes, most: int) -> list[bytes]:
        """Names of at most so many pieces that are to be deleted at a host."""
        rows = self._rows("SELECT root FROM unwanted WHERE host = (SELECT number FROM hosts WHERE asset = ?) LIMIT ?", asset, most)
        return [bytes(row[0]) for row in rows]

    def deleted(self, asset: bytes, roots: Iterable[bytes]) -> None:
        """These pieces are gone from a host."""
        with self._writing():
            ((host,),) = self._rows("SELECT number FROM hosts WHERE asset = ?", asset)
            self._db.executemany("DELETE FROM unwanted WHERE host = ? AND root = ?", [(host, root) for root in roots])

    def prove(self, file: File, place: int, proofs: Iterable[Proof]) -> None:
        """Add what the host at a place has shown; proofs of one set are joined, and only the last ``SETS_KEPT`` sets are kept."""
        with self._writing():
            if not self._rows("SELECT 1 FROM files WHERE number = ?", file.number):
                return
            for proof in proofs:
                before = self._rows(
                    "SELECT proven FROM proofs WHERE file = ? AND place = ? AND set_root = ? AND slots = ?",
                    *(file.number, place, proof.set_root, proof.slots),
                )
                bits = _bits(proof.segments, file.stored.segments) | int.from_bytes(before[0][0] if before else b"", "little")
                self._db.execute(
                    "INSERT OR REPLACE INTO proofs (file, place, set_root, slots, proven) VALUES (?, ?, ?, ?, ?)",
                    (file.number, place, proof.set_root, proof.slots, bits.to_bytes((file.stored.segments + 7) // 8, "little")),
                )
            self._db.execute(
                "DELETE FROM proofs WHERE file = ? AND place = ? AND number NOT IN "
                "(SELECT number FROM proofs WHERE file = ? AND place = ? ORDER BY number DESC LIMIT ?)",
                (file.number, place, file.number, place, SETS_KEPT),
            )

    def proofs(self, file: File, place: int) -> list[Proof]:
        """What the host at a place has shown, the newest last."""
        rows = self._rows("SELECT set_root, slots, proven FROM proofs WHERE file = ? AND place = ? ORDER BY number", file.number, place)
        return [Proof(bytes(root), slots, _segments(proven)) for root, slots, proven in rows]

    def proven(self, sets: Mapping[bytes, tuple[bytes, int]], name: str | None = None) -> dict[bytes, int]:
        """KiB of one stored file, or of all, that each host has shown to lie in a set: (root, slots) by asset id."""
        rows = self._rows(
            "SELECT asset, set_root, slots, proven FROM proofs r JOIN files f ON f.number = r.file "
            "JOIN places p ON p.file = r.file AND p.place = r.place JOIN hosts h ON h.number = p.host "
            "WHERE stored_unix_s IS NOT NULL AND (? IS NULL OR name = ?)",
            *(name, name),
        )
        kib = dict.fromkeys(sets, 0)
        for asset, root, slots, proven in rows:
            if sets.get(bytes(asset)) == (bytes(root), slots):
                kib[bytes(asset)] += int.from_bytes(proven, "little").bit_count() * PIECE_KIB
        return kib

    def close(self) -> None:
        self._db.close()

    def _rows(self, sql: str, *values: object) -> list[Any]:
        """What a query finds; never while another thread is in the middle of a transaction."""
        with self._mutex:
            return self._db.execute(sql, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction, one thread at a time, durable at its end."""
        with self._mutex:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _host(self, asset: bytes, endpoint: str) -> int:
        upsert = "INSERT INTO hosts (asset, endpoint) VALUES (?, ?) ON CONFLICT (asset) DO UPDATE SET endpoint = excluded.endpoint"
        ((number,),) = self._rows(f"{upsert} RETURNING number", asset, endpoint)
        return int(number)

    def _forget(self, number: int) -> None:
        places = [row[0] for row in self._rows("SELECT host FROM places WHERE file = ? ORDER BY place", number)]
        for (roots,) in self._rows("SELECT roots FROM segments WHERE file = ?", number):
            named = [(host, roots[32 * place : 32 * place + 32]) for place, host in enumerate(places)]
            self._db.executemany("INSERT OR IGNORE INTO unwanted VALUES (?, ?)", named)
        for table, column in (("segments", "file"), ("places", "file"), ("proofs", "file"), ("files", "number")):
            self._db.execute(f"DELETE FROM {table} WHERE {column} = ?", (number,))  # noqa: S608

    def _deserted(self, file_id: bytes) -> bool:
        """Whether nobody holds the lock of a put. It stays unlocked after this: whoever asks is about to forget the file."""
        try:
            lock = os.open(self._locks / file_id.hex(), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(lock)
        return True

    def _release(self, putting: Putting) -> None:
        (self._locks / putting.id.hex()).unlink(missing_ok=True)
        os.close(putting.lock)

    def _file(self, row: Sequence[Any]) -> File:
        number, file_id, name, size_bytes, k, n, segments, stored_unix_s = row
        places = self._rows("SELECT asset, endpoint FROM places p JOIN hosts h ON h.number = p.host WHERE file = ? ORDER BY place", number)
        hosts = tuple(Host(bytes(asset), endpoint) for asset, endpoint in places)
        return File(number, file_id, Stored(name, size_bytes, Code(k, n), segments, stored_unix_s, hosts))


_FILES = "SELECT number, id, name, size_bytes, k, n, segments, stored_unix_s FROM files WHERE stored_unix_s IS NOT NULL"


def _bits(segments: Iterable[int], count: int) -> int:
    flags = bytearray((count + 7) // 8)
    for segment in segments:
        flags[segment >> 3] |= 1 << (segment & 7)
    return int.from_bytes(flags, "little")


def _segments(proven: bytes) -> frozenset[int]:
    return frozenset(8 * at + bit for at, byte in enumerate(proven) for bit in range(8) if byte >> bit & 1)
