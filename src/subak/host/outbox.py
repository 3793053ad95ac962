"""The outbox keeps every Entry until a final Book lists it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

MAX_BODY_BYTES = 64 * 1024
"""Entries go out in bodies of at most this many bytes."""


@dataclass(frozen=True)
class Acknowledged:
    """An Entry that no final Book lists as far as this host knows, and a verifier's promise to list it."""

    verifier: str
    """Base address of the verifier that was posted to."""
    asset: bytes
    """Whose Entry it is."""
    sequence: int
    """Its name among the asset's."""
    entry: bytes
    """Signed bytes and signature."""
    document: str
    """The acknowledgement, JSON as the verifier gave it."""
    digests: tuple[bytes, ...]
    """Of all Entries that were acknowledged together, in order."""


class Outbox:
    """Signed Entries on disk, what each verifier acknowledged, and what final Books list.

    Promises: an Entry that ``put`` returned for survives a power cut; it stays until ``listed`` says that enough verifiers saw it in a
    final Book; every verifier is offered each asset's Entries in the order of their sequence.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        path.chmod(0o600)
        self._db.executescript(
            """
            PRAGMA journal_mode=WAL;
            PRAGMA synchronous=FULL;
            CREATE TABLE IF NOT EXISTS entries (
                number INTEGER PRIMARY KEY, asset BLOB, sequence INTEGER, bytes BLOB, UNIQUE (asset, sequence)
            );
            CREATE TABLE IF NOT EXISTS answers (number INTEGER, verifier TEXT, answer TEXT, PRIMARY KEY (number, verifier));
            CREATE TABLE IF NOT EXISTS acknowledgements (
                verifier TEXT, document TEXT, digests BLOB, PRIMARY KEY (verifier, document)
            ) WITHOUT ROWID;
            CREATE TABLE IF NOT EXISTS sequences (asset BLOB PRIMARY KEY, next INTEGER);
            CREATE TABLE IF NOT EXISTS offers (asset BLOB PRIMARY KEY, said TEXT, unix_s INTEGER);
            """
        )

    def next_sequence(self, asset: bytes) -> int:
        """The lowest sequence number that this asset has not used; numbers are never reused, not even after delivery."""
        found = self._db.execute("SELECT next FROM sequences WHERE asset = ?", (asset,)).fetchone()
        return int(found[0]) if found else 0

    def put(self, asset: bytes, sequence: int, entry: bytes) -> None:
        """Keep a signed Entry. Errors: sqlite3.IntegrityError if this sequence was used."""
        self._db.execute("BEGIN")
        self._db.execute("INSERT INTO entries (asset, sequence, bytes) VALUES (?, ?, ?)", (asset, sequence, entry))
        self._db.execute(
            "INSERT INTO sequences VALUES (?, ?) ON CONFLICT (asset) DO UPDATE SET next = max(next, excluded.next)", (asset, sequence + 1)
        )
        self._db.execute("COMMIT")

    def unanswered(self, verifier: str) -> list[tuple[int, bytes]]:
        """Entries (number, bytes) that this verifier has not answered, oldest first, at most one body full."""
        rows: list[tuple[int, bytes]] = []
        size = 0
        for number, entry in self._db.execute(
            "SELECT number, bytes FROM entries e WHERE NOT EXISTS (SELECT 1 FROM answers a WHERE a.number = e.number AND a.verifier = ?) "
            "ORDER BY number",
            (verifier,),
        ):
            size += len(entry)
            if rows and size > MAX_BODY_BYTES:
                break
            rows.append((number, entry))
        return rows

    def answered(self, verifier: str, answers: Iterable[tuple[int, str]]) -> None:
        """Note what the verifier said about each Entry: its acknowledgement, or why it refused."""
        self._db.execute("BEGIN")
        self._db.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", [(number, verifier, answer) for number, answer in answers])
        self._db.execute("COMMIT")

    def acknowledged(self, verifier: str, document: str, digests: Sequence[bytes]) -> None:
        """Note which Entries, by digest and in order, an acknowledgement is for: without all of them it proves nothing of one."""
        self._db.execute("INSERT OR REPLACE INTO acknowledgements VALUES (?, ?, ?)", (verifier, document, b"".join(digests)))

    def promises(self) -> list[Acknowledged]:
        """Every acknowledgement of an Entry that is still kept, oldest first."""
        found = self._db.execute(
            "SELECT a.verifier, e.asset, e.sequence, e.bytes, a.document, a.digests FROM acknowledgements a "
            "JOIN answers r ON r.verifier = a.verifier AND r.answer = a.document JOIN entries e ON e.number = r.number ORDER BY e.number"
        )
        return [
            Acknowledged(verifier, asset, sequence, entry, document, tuple(packed[at : at + 32] for at in range(0, len(packed), 32)))
            for verifier, asset, sequence, entry, document, packed in found
        ]

    def offered(self, asset: bytes, said: Sequence[int], since_unix_s: int) -> bool:
        """Whether this was the asset's last offer, made after that time."""
        found = self._db.execute("SELECT said, unix_s FROM offers WHERE asset = ?", (asset,)).fetchone()
        return found is not None and found[0] == repr(tuple(said)) and found[1] > since_unix_s

    def note_offer(self, asset: bytes, said: Sequence[int], unix_s: int) -> None:
        """Remember the asset's last offer."""
        self._db.execute("INSERT OR REPLACE INTO offers VALUES (?, ?, ?)", (asset, repr(tuple(said)), unix_s))

    def assets(self) -> list[bytes]:
        """Assets with Entries still kept."""
        return [row[0] for row in self._db.execute("SELECT DISTINCT asset FROM entries ORDER BY asset")]

    def listed(self, asset: bytes, ranges: Iterable[tuple[int, int]]) -> int:
        """Let go of the asset's Entries whose sequence lies in ``ranges`` (first, last); how many they were."""
        gone = 0
        self._db.execute("BEGIN")
        for first, last in ranges:
            numbers = [
                row[0]
                for row in self._db.execute("SELECT number FROM entries WHERE asset = ? AND sequence BETWEEN ? AND ?", (asset, first, last))
            ]
            self._db.executemany("DELETE FROM answers WHERE number = ?", [(number,) for number in numbers])
            self._db.executemany("DELETE FROM entries WHERE number = ?", [(number,) for number in numbers])
            gone += len(numbers)
        if gone:
            self._db.execute(
                "DELETE FROM acknowledgements AS a WHERE NOT EXISTS "
                "(SELECT 1 FROM answers r WHERE r.verifier = a.verifier AND r.answer = a.document)"
            )
        self._db.execute("COMMIT")
        return gone

    def close(self) -> None:
        self._db.close()
