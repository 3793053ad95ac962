"""Who put what, in which slot, and which sets were signed: one SQLite file.

Sets are numbered. A row says from which set on it holds (``since``) and from which on it does not (``until``), so that every set that may
still be asked about can be built again, whatever was put or deleted since. Not for several threads at once.
"""

from __future__ import annotations

import errno
import heapq
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from ..rules.tree import EMPTY

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_TABLES: Final = """
PRAGMA journal_mode=WAL;
PRAGMA synchronous=FULL;
CREATE TABLE IF NOT EXISTS kept (root BLOB NOT NULL, lane BLOB NOT NULL, slot INTEGER NOT NULL, since INTEGER NOT NULL, until INTEGER);
CREATE UNIQUE INDEX IF NOT EXISTS kept_now ON kept (root, lane) WHERE until IS NULL;
CREATE INDEX IF NOT EXISTS kept_root ON kept (root);
CREATE INDEX IF NOT EXISTS kept_since ON kept (since);
CREATE INDEX IF NOT EXISTS kept_until ON kept (until);
CREATE TABLE IF NOT EXISTS sets (
    number INTEGER PRIMARY KEY, unix_s INTEGER NOT NULL, root BLOB NOT NULL, pieces INTEGER NOT NULL, posted INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS offers (
    unix_s INTEGER PRIMARY KEY, price INTEGER NOT NULL, per_units INTEGER NOT NULL, capacity INTEGER NOT NULL, endpoint TEXT NOT NULL,
    valid_until_unix_s INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS answered (epoch INTEGER PRIMARY KEY);
"""


class Full(Exception):
    """There is no room for what was to be kept; nothing that was kept before is lost."""


class DiskFailed(Exception):
    """The disk did not do what it was told; nothing that was kept before is lost by it."""


class SignedSet(NamedTuple):
    """A set as it was signed."""

    number: int
    """Counts up, with gaps."""
    unix_s: int
    """Network time of the signature; no two sets have the same."""
    root: bytes
    """Root of its tree."""
    pieces: int
    """Its slots, empty ones between pieces included."""


class Offered(NamedTuple):
    """An offer as it was signed."""

    unix_s: int
    """Network time of the signature."""
    price: int
    """Payment units for ``per_units``."""
    per_units: int
    """KiB hours."""
    capacity: int
    """KiB."""
    endpoint: str
    """Where customers reach the host."""
    valid_until_unix_s: int
    """Network time until which it holds."""


class Index:
    """The file. What changes it must be called inside ``transaction``."""

    def __init__(self, path: Path) -> None:
        """Makes the file if it is missing."""
        with disk_errors():
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.executescript(_TABLES)
            path.chmod(0o600)
        self._open = 1 + self._one("SELECT max(coalesce(max(since), 0), coalesce(max(until), 0)) FROM kept")
        self._open = max(self._open, 1 + self._last_set())
        slots = [int(row[0]) for row in self._db.execute("SELECT DISTINCT slot FROM kept WHERE until IS NULL ORDER BY slot")]
        self._slots = slots[-1] + 1 if slots else 0
        self._free = sorted(set(range(self._slots)) - set(slots))

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, on the disk when it is left. Errors: Full, DiskFailed."""
        slots, free = self._slots, self._free.copy()
        with disk_errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._slots, self._free = slots, free
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise

    def live(self) -> int:
        """How many pieces somebody put and nobody deleted."""
        return self._slots - len(self._free)

    def named(self, first: bytes = b"", after: bytes = b"\xff" * 33) -> set[bytes]:
        """Every root between two that a slot has, or had in a set that may still be asked about."""
        return {bytes(row[0]) for row in self._db.execute("SELECT DISTINCT root FROM kept WHERE root >= ? AND root < ?", (first, after))}

    def names(self, root: bytes) -> bool:
        """Whether ``named`` has it."""
        return bool(self._one("SELECT EXISTS (SELECT 1 FROM kept WHERE root = ?)", root))

    def slot(self, root: bytes) -> int | None:
        """Where the piece stands now; None if nobody put it, or everybody deleted it."""
        found = self._db.execute("SELECT slot FROM kept WHERE root = ? AND until IS NULL LIMIT 1", (root,)).fetchone()
        return None if found is None else int(found[0])

    def put(self, root: bytes, lane: bytes) -> int:
        """This lane put the piece: its slot, the lowest that is free if it has none."""
        slot = self.slot(root)
        if slot is None:
            slot = heapq.heappop(self._free) if self._free else self._slots
            self._slots = max(self._slots, slot + 1)
        self._db.execute("INSERT OR IGNORE INTO kept VALUES (?, ?, ?, ?, NULL)", (root, lane, slot, self._open))
        return slot

    def delete(self, root: bytes, lane: bytes) -> bool:
        """This lane needs the piece no more; whether it had put it."""
        slot = self.slot(root)
        this, now = (root, lane), self._open
        never = self._db.execute("DELETE FROM kept WHERE root = ? AND lane = ? AND until IS NULL AND since = ?", (*this, now)).rowcount
        ended = self._db.execute("UPDATE kept SET until = ? WHERE root = ? AND lane = ? AND until IS NULL", (now, *this)).rowcount
        if never + ended and slot is not None and self.slot(root) is None:
            heapq.heappush(self._free, slot)
        return bool(never + ended)

    def begin_set(self, again: bool) -> int | None:
        """The number of a new set of what is here now; None if nothing changed since the last one, unless it is to be signed ``again``.
        What comes later is in later sets."""
        last = self._last_set()
        if not again and not self._one("SELECT EXISTS (SELECT 1 FROM kept WHERE since > ? OR until > ?)", last, last):
            return None
        self._open += 1
        return self._open - 1

    def slots(self, number: int) -> list[bytes]:
        """The roots in the slots of a set; ``EMPTY`` in a slot without a piece."""
        rows = self._db.execute(
            "SELECT DISTINCT slot, root FROM kept WHERE since <= ?1 AND (until IS NULL OR until > ?1) ORDER BY slot", (number,)
        ).fetchall()
        roots = [EMPTY] * (rows[-1][0] + 1 if rows else 0)
        for slot, root in rows:
            roots[slot] = root
        return roots

    def slot_in(self, number: int, root: bytes) -> int | None:
        """Where a piece stands in a set."""
        found = self._db.execute(
            "SELECT slot FROM kept WHERE root = ?2 AND since <= ?1 AND (until IS NULL OR until > ?1) LIMIT 1", (number, root)
        ).fetchone()
        return None if found is None else int(found[0])

    def held(self, number: int) -> Mapping[bytes, int]:
        """How many pieces of a set each lane had put."""
        rows = self._db.execute(
            "SELECT lane, count(*) FROM kept WHERE since <= ?1 AND (until IS NULL OR until > ?1) GROUP BY lane", (number,)
        )
        return {bytes(lane): int(count) for lane, count in rows}

    def signed(self, number: int, unix_s: int, root: bytes, pieces: int) -> SignedSet:
        """Note a set that is not posted yet. It gets a later time if another one has this or a later one."""
        later = self._one("SELECT coalesce(max(unix_s) + 1, 0) FROM sets")
        noted = SignedSet(number, max(unix_s, later), root, pieces)
        self._db.execute("INSERT INTO sets VALUES (?, ?, ?, ?, 0)", noted)
        return noted

    def sets(self) -> list[tuple[SignedSet, bool]]:
        """Sets that may still be asked about, oldest first, and whether each was posted."""
        rows = self._db.execute("SELECT number, unix_s, root, pieces, posted FROM sets ORDER BY number")
        return [(SignedSet(*row[:4]), bool(row[4])) for row in rows]

    def posted(self, number: int) -> None:
        """The set was handed to whoever posts it."""
        self._db.execute("UPDATE sets SET posted = 1 WHERE number = ?", (number,))

    def forget_before(self, number: int) -> set[bytes]:
        """No set before this one will be asked about again: the pieces that only they had."""
        gone = {bytes(row[0]) for row in self._db.execute("SELECT DISTINCT root FROM kept WHERE until <= ?", (number,))}
        self._db.execute("DELETE FROM kept WHERE until <= ?", (number,))
        self._db.execute("DELETE FROM sets WHERE number < ?", (number,))
        return {root for root in gone if not self.names(root)}

    def offered(self, before_unix_s: int) -> Offered | None:
        """The last offer that was signed before a time."""
        found = self._db.execute("SELECT * FROM offers WHERE unix_s < ? ORDER BY unix_s DESC LIMIT 1", (before_unix_s,)).fetchone()
        return None if found is None else Offered(*found)

    def offer(self, offer: Offered) -> None:
        """Note an offer."""
        self._db.execute("INSERT OR REPLACE INTO offers VALUES (?, ?, ?, ?, ?, ?)", offer)

    def last_answered(self) -> int:
        """The last epoch whose tasks were answered; -1 if there is none."""
        return self._one("SELECT coalesce(max(epoch), -1) FROM answered")

    def answered(self, epoch: int) -> None:
        """The tasks of this epoch were answered."""
        self._db.execute("DELETE FROM answered")
        self._db.execute("INSERT INTO answered VALUES (?)", (epoch,))

    def _last_set(self) -> int:
        return self._one("SELECT coalesce(max(number), 0) FROM sets")

    def _one(self, query: str, *values: object) -> int:
        return int(self._db.execute(query, values).fetchone()[0])


@contextmanager
def disk_errors() -> Iterator[None]:
    """What a disk may answer, as Full or DiskFailed."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise Full(f"the disk has no room: {error.strerror}") from error
        raise DiskFailed(str(error)) from error
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise Full(f"the disk has no room for the index: {error}") from error
        raise DiskFailed(f"index: {error}") from error
