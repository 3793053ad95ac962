"""What a customer's folder remembers: lanes, running lines, vouchers, bills. One SQLite file, durable on return of every call."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from subak.archive.files import make_private
from subak.chain.channels import LaneFact
from subak.core.canon.json import encode
from subak.core.canon.vouchers import Line, Voucher
from subak.core.nouns.document import Address, Hash, Signature
from subak.customer.billing import Bill, BillLine, Share, Unbilled


class OtherNetwork(ValueError):
    """The folder belongs to another network."""


class LimitReached(ValueError):
    """A lane's limit leaves no room for what was to be accepted."""

    def __init__(self, lane: bytes, total: int, limit: int) -> None:
        self.total = total
        """What the lane's lines would add up to, in payment units."""
        self.limit = limit
        """The most that they can."""
        super().__init__(f"lane 0x{lane.hex()} would owe {total}, its limit is {limit}: open another lane")


class AlreadyBilled(ValueError):
    """An epoch is billed once."""


@dataclass(frozen=True)
class KeptVoucher:
    """A voucher that the customer signed."""

    voucher: Voucher
    """What it says."""
    signature: Signature
    """The session key's."""
    countersignature: Signature | None
    """The clerk's, if it gave one."""
    refused: str
    """Why the clerk did not; empty if it was not asked yet, or did."""


@dataclass(frozen=True)
class KeptLane:
    """A lane of the customer's."""

    fact: LaneFact
    """As it was opened."""
    clerk_url: str
    """Where its clerk listens."""
    closed: bool
    """Whether the customer got back what it did not spend."""


class Store:
    """The customer's memory. Safe to use from several threads, by one process."""

    def __init__(self, path: Path) -> None:
        """``path`` is made if it is not there, readable by its owner only."""
        make_private(path)
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.executescript(
            """
            PRAGMA journal_mode=WAL;
            PRAGMA synchronous=FULL;
            CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
            CREATE TABLE IF NOT EXISTS lanes (
                id BLOB PRIMARY KEY, customer BLOB NOT NULL, key BLOB NOT NULL, clerk BLOB NOT NULL, most TEXT NOT NULL,
                expiry INTEGER NOT NULL, number INTEGER NOT NULL, closes_at INTEGER NOT NULL, clerk_url TEXT NOT NULL,
                closed INTEGER NOT NULL
            );
            CREATE TABLE IF NOT EXISTS lines (lane BLOB, asset BLOB, money TEXT NOT NULL, PRIMARY KEY (lane, asset));
            CREATE TABLE IF NOT EXISTS vouchers (
                lane BLOB, seq INTEGER, total TEXT NOT NULL, lines TEXT NOT NULL, signature BLOB NOT NULL, countersignature BLOB,
                refused TEXT NOT NULL, PRIMARY KEY (lane, seq)
            );
            CREATE TABLE IF NOT EXISTS epochs (epoch INTEGER PRIMARY KEY, verdicts BLOB NOT NULL, lane BLOB);
            CREATE TABLE IF NOT EXISTS bills (
                epoch INTEGER, asset BLOB, kind TEXT, units INTEGER NOT NULL, price TEXT NOT NULL, per_units INTEGER NOT NULL,
                money TEXT NOT NULL, PRIMARY KEY (epoch, kind, asset)
            );
            CREATE TABLE IF NOT EXISTS unbilled (epoch INTEGER, asset BLOB, kind TEXT, why TEXT NOT NULL, PRIMARY KEY (epoch, kind, asset));
            CREATE TABLE IF NOT EXISTS bought (
                asset BLOB, from_epoch INTEGER, permille INTEGER NOT NULL, most TEXT NOT NULL, PRIMARY KEY (asset, from_epoch)
            );
            """
        )

    def close(self) -> None:
        """Let the file go."""
        with self._lock:
            self._db.close()

    def claim(self, facts: Mapping[str, str]) -> None:
        """Write down whose memory this is, the first time. Errors: OtherNetwork if it is another's already."""
        with self._writing() as db:
            known = dict(db.execute("SELECT name, value FROM facts WHERE name LIKE 'network.%'"))
            mine = {f"network.{name}": value for name, value in facts.items()}
            if known and known != mine:
                raise OtherNetwork(f"this folder belongs to the network with {known}, and this is the one with {mine}: use another folder")
            db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", mine.items())

    def fact(self, name: str) -> str | None:
        """What was noted under a name."""
        found = self._one("SELECT value FROM facts WHERE name = ?", name)
        return None if found is None else str(found[0])

    def note(self, name: str, value: str) -> None:
        """Note something under a name."""
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def add_lane(self, fact: LaneFact, clerk_url: str) -> None:
        """Remember a lane; one that is known stays as it is, but for an address of its clerk where none was known."""
        with self._writing() as db:
            db.execute(
                "INSERT INTO lanes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET clerk_url = excluded.clerk_url "
                "WHERE excluded.clerk_url != '' AND clerk_url = ''",
                (
                    *(bytes(each) for each in (fact.id, fact.customer, fact.key, fact.clerk)),
                    *(str(fact.limit), fact.expiry_unix_s, fact.number, fact.closes_at_unix_s, clerk_url, int(fact.closed)),
                ),
            )

    def lanes(self) -> list[KeptLane]:
        """All lanes, the newest last."""
        return [_lane(row) for row in self._all("SELECT * FROM lanes ORDER BY number, rowid")]

    def lane(self, lane: bytes) -> KeptLane:
        """One lane. Errors: LookupError."""
        found = self._one("SELECT * FROM lanes WHERE id = ?", bytes(lane))
        if found is None:
            raise LookupError(f"lane 0x{lane.hex()} is none of this wallet's")
        return _lane(found)

    def note_closed(self, lane: bytes) -> None:
        """A lane gave back what it did not spend."""
        with self._writing() as db:
            db.execute("UPDATE lanes SET closed = 1 WHERE id = ?", (bytes(lane),))

    def lines(self, lane: bytes) -> dict[bytes, int]:
        """What is accepted on a lane: running money by asset, in payment units."""
        rows = self._all("SELECT asset, money FROM lines WHERE lane = ? ORDER BY asset", bytes(lane))
        return {asset: int(money) for asset, money in rows}

    def owed(self, lane: bytes) -> dict[bytes, int]:
        """What the lane's next voucher says: by asset, the larger of what is accepted and what was countersigned."""
        owed = self.lines(lane)
        known = self.countersigned(lane)
        for line in known.voucher.lines if known else ():
            owed[line.asset] = max(owed.get(line.asset, 0), line.money)
        return {asset: owed[asset] for asset in sorted(owed) if owed[asset]}

    def accept(self, lane: bytes, money: Mapping[bytes, int]) -> None:
        """Add to running lines. Errors: LimitReached, and nothing is added; ValueError for a negative amount."""
        with self._writing() as db:
            self._add(db, lane, money)

    def room(self, lane: bytes) -> int:
        """What can still be accepted on a lane."""
        return self.lane(lane).fact.limit - sum(self.owed(lane).values())

    def bill(self, epoch: int, verdicts_hash: bytes, bill: Bill, lane: bytes | None) -> None:
        """Keep an epoch's bill and accept what it says on a lane, both or neither; a bill over nothing needs no lane.

        Errors: AlreadyBilled; LimitReached; ValueError for lines of another epoch, or money without a lane.
        """
        others = ({line.epoch for line in bill.lines} | {each.epoch for each in bill.unbilled}) - {epoch}
        if others or (bill.money and lane is None):
            raise ValueError(f"a bill over {bill.money} for epoch {epoch} speaks of the epochs {sorted(others)}, lane {lane!r}")
        with self._writing() as db:
            known = db.execute("SELECT verdicts FROM epochs WHERE epoch = ?", (epoch,)).fetchone()
            if known:
                raise AlreadyBilled(f"epoch {epoch} was billed from the verdicts {known[0].hex()}, now they are {verdicts_hash.hex()}")
            db.execute("INSERT INTO epochs VALUES (?, ?, ?)", (epoch, bytes(verdicts_hash), None if lane is None else bytes(lane)))
            db.executemany(
                "INSERT INTO bills VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (line.epoch, bytes(line.asset), line.kind, line.units, str(line.price), line.per_units, str(line.money))
                    for line in bill.lines
                ],
            )
            db.executemany(
                "INSERT INTO unbilled VALUES (?, ?, ?, ?)", [(each.epoch, bytes(each.asset), each.kind, each.why) for each in bill.unbilled]
            )
            if lane is not None:
                self._add(db, lane, bill.by_asset)

    def billed(self, first: int, last: int) -> set[int]:
        """Which of the epochs ``first`` to ``last`` are billed."""
        return {row[0] for row in self._all("SELECT epoch FROM epochs WHERE epoch BETWEEN ? AND ?", first, last)}

    def bills(self, first: int = 0, last: int = (1 << 63) - 1) -> Bill:
        """What was billed for the epochs ``first`` to ``last``, both included."""
        lines = self._all(
            "SELECT epoch, asset, kind, units, price, per_units, money FROM bills WHERE epoch BETWEEN ? AND ? ORDER BY epoch, kind, asset",
            first,
            last,
        )
        missed = self._all(
            "SELECT epoch, asset, kind, why FROM unbilled WHERE epoch BETWEEN ? AND ? ORDER BY epoch, kind, asset", first, last
        )
        return Bill(
            tuple(
                BillLine(epoch, asset, kind, units, int(price), per_units, int(money))
                for epoch, asset, kind, units, price, per_units, money in lines
            ),
            tuple(Unbilled(*row) for row in missed),
        )

    def keep_voucher(self, voucher: Voucher, signature: bytes, countersignature: bytes | None = None) -> None:
        """Keep a voucher before it is sent. Errors: sqlite3.IntegrityError if another one has its number."""
        lines = encode([{"asset": line.asset, "money": str(line.money)} for line in voucher.lines]).decode()
        with self._writing() as db:
            db.execute(
                "INSERT INTO vouchers VALUES (?, ?, ?, ?, ?, ?, '')",
                (bytes(voucher.lane), voucher.seq, str(voucher.total), lines, bytes(signature), countersignature),
            )

    def note_countersigned(self, lane: bytes, seq: int, countersignature: bytes) -> None:
        """A clerk countersigned; earlier vouchers are worth nothing more and are let go."""
        with self._writing() as db:
            db.execute(
                "UPDATE vouchers SET countersignature = ?, refused = '' WHERE lane = ? AND seq = ?",
                (bytes(countersignature), bytes(lane), seq),
            )
            db.execute("DELETE FROM vouchers WHERE lane = ? AND seq < ?", (bytes(lane), seq))

    def note_refused(self, lane: bytes, seq: int, why: str) -> None:
        """A clerk refused a voucher, for now."""
        with self._writing() as db:
            db.execute("UPDATE vouchers SET refused = ? WHERE lane = ? AND seq = ?", (why, bytes(lane), seq))

    def replace_pending(self, voucher: Voucher, signature: bytes, countersignature: bytes) -> None:
        """A clerk showed a voucher of ours that this memory had lost: keep it, and let go of all that it makes worthless."""
        with self._writing() as db:
            db.execute("DELETE FROM vouchers WHERE lane = ?", (bytes(voucher.lane),))
            self.keep_voucher(voucher, signature, countersignature)

    def pending(self, lane: bytes) -> KeptVoucher | None:
        """The voucher that no clerk countersigned yet."""
        return self._voucher(lane, "countersignature IS NULL")

    def countersigned(self, lane: bytes) -> KeptVoucher | None:
        """The newest voucher that a clerk countersigned."""
        return self._voucher(lane, "countersignature IS NOT NULL")

    def move(self, old: bytes, money: Mapping[bytes, int], new: bytes) -> None:
        """What no voucher of a lane that is over covers is owed on another lane instead. Errors: LimitReached, and nothing changes."""
        with self._writing() as db:
            lines = self.lines(old)
            left = [(str(lines[asset] - amount), bytes(old), bytes(asset)) for asset, amount in money.items()]
            db.executemany("UPDATE lines SET money = ? WHERE lane = ? AND asset = ?", left)
            self._add(db, new, money)

    def buy(self, epoch: int, shares: Iterable[Share]) -> None:
        """From an epoch on, buy these shares of what homes export, and nothing of others. What was agreed for earlier epochs stands."""
        wanted = {share.asset: share for share in shares}
        with self._writing() as db:
            known = self._agreed(epoch)
            gone = [Share(asset, 0) for asset in known.keys() - wanted.keys()]
            changed = [share for share in (*wanted.values(), *gone) if known.get(share.asset) != share]
            rows = [(bytes(share.asset), epoch, share.permille, str(share.most_per_million)) for share in changed]
            db.executemany("INSERT OR REPLACE INTO bought VALUES (?, ?, ?, ?)", rows)

    def bought(self, epoch: int) -> list[Share]:
        """What was agreed to be bought of homes in an epoch, sorted by asset."""
        return [share for _, share in sorted(self._agreed(epoch).items()) if share.permille]

    def ever_bought(self) -> set[bytes]:
        """Homes of which something was ever to be bought."""
        return {row[0] for row in self._all("SELECT DISTINCT asset FROM bought")}

    def _agreed(self, epoch: int) -> dict[bytes, Share]:
        """What was agreed last before the end of an epoch, by asset; a share of 0 was given up."""
        rows = self._all("SELECT asset, permille, most FROM bought WHERE from_epoch <= ? ORDER BY from_epoch", epoch)
        return {asset: Share(asset, permille, int(most)) for asset, permille, most in rows}

    def _add(self, db: sqlite3.Connection, lane: bytes, money: Mapping[bytes, int]) -> None:
        if any(amount < 0 for amount in money.values()):
            raise ValueError(f"lines only grow, got {min(money.values())}")
        lines, limit = self.lines(lane), self.lane(lane).fact.limit
        for asset, amount in money.items():
            total = lines.get(asset, 0) + amount
            db.execute("INSERT OR REPLACE INTO lines VALUES (?, ?, ?)", (bytes(lane), bytes(asset), str(total)))
        total = sum(self.owed(lane).values())
        if total > limit:
            raise LimitReached(lane, total, limit)

    def _voucher(self, lane: bytes, which: str) -> KeptVoucher | None:
        found = self._one(
            f"SELECT seq, total, lines, signature, countersignature, refused FROM vouchers WHERE lane = ? AND {which} "  # noqa: S608
            "ORDER BY seq DESC LIMIT 1",
            bytes(lane),
        )
        if found is None:
            return None
        seq, total, lines, signature, countersignature, refused = found
        parts = tuple(Line(bytes.fromhex(each["asset"][2:]), int(each["money"])) for each in msgspec.json.decode(lines))
        return KeptVoucher(
            voucher=Voucher(bytes(lane), seq, int(total), parts),
            signature=Signature(signature),
            countersignature=Signature(countersignature) if countersignature else None,
            refused=refused,
        )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction; inside of another one a part of it."""
        with self._lock:
            if self._db.in_transaction:
                yield self._db
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _all(self, question: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        with self._lock:
            return self._db.execute(question, values).fetchall()

    def _one(self, question: str, *values: object) -> tuple | None:  # type: ignore[type-arg]
        rows = self._all(question, *values)
        return rows[0] if rows else None


def _lane(row: tuple) -> KeptLane:  # type: ignore[type-arg]
    id_, customer, key, clerk, limit, expiry, number, closes_at, clerk_url, closed = row
    fact = LaneFact(Hash(id_), Address(customer), Address(key), Address(clerk), int(limit), expiry, number, closes_at)
    return KeptLane(fact, clerk_url, bool(closed))
