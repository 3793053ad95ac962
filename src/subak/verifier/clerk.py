"""The clerk: countersigns customers' vouchers, and never contradicts itself.

Whoever serves a lane trusts the clerk's word that its vouchers only grow; a clerk that breaks it loses its stake. So what it signs is on
the disk before anybody sees the signature, and everything else follows from what is on the disk. Reasons: ``docs/lanes.md``.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from subak.archive.files import make_private, sync_folder
from subak.chain.accounts import recover
from subak.chain.channels import LaneFact, Redemption
from subak.core.canon.vouchers import (
    Line,
    Voucher,
    countersigned_digest,
    fault,
    follows,
    lines_hash,
    struct_digest,
    struct_hash,
    voucher_struct_hash,
)
from subak.core.nouns.document import Signature
from subak.verifier.intake import Signer

HISTORY = 64
"""How many vouchers of a lane are kept whole: anyone may redeem one that is not the newest, and then its lines are asked for."""
MOST_REDEEMED = 200
"""Vouchers in one redemption: about 4 million gas."""
LINE_BYTES = 48
"""A packed line: asset (32), money (16)."""

T = TypeVar("T")


class StoreRefused(ValueError):
    """The clerk's store is in use, or belongs to another clerk or network. The message says what to do."""


@dataclass(frozen=True)
class Countersigned:
    """A voucher that hosts can serve on and anyone can redeem."""

    voucher: Voucher
    """What the customer owes."""
    signature: bytes
    """The session key's, EIP-2098 compact."""
    countersignature: bytes
    """The clerk's, over a list that holds this voucher alone."""


@dataclass(frozen=True)
class Refused:
    """Why something was not done."""

    reason: str
    """A key of ``vouchers_http.REASONS``."""
    detail: str
    """The values that disagree, in words."""


class Ask(NamedTuple):
    """A voucher that waits for the clerk."""

    voucher: Voucher
    """What the customer signed."""
    signature: bytes
    """64 bytes that should be the session key's."""
    lane: LaneFact | None
    """What the chain says of the voucher's lane; None if it knows none."""


class Clerk:
    """Countersigns for one account, from one file. Its methods may be called from any thread.

    Promises, also over SIGKILL and power cuts:

    - of one lane it never countersigns two vouchers of one sequence, nor one after another that it does not follow (``follows``);
    - whatever it countersigned it had on the disk before;
    - the same voucher again gets the same countersignature.

    They hold as long as the file is the newest one: never put an older copy of it back. Where the chain redeemed more than the file knows
    of, the clerk refuses the lane (``store_behind``).
    """

    def __init__(
        self, path: Path, signer: Signer, chain_id: int, channels: bytes, close_delay_seconds: int, history: int = HISTORY
    ) -> None:
        """``channels`` is the contract, ``close_delay_seconds`` its CLOSE_DELAY_SECONDS. Errors: StoreRefused."""
        self.address = bytes(signer.address)
        """The account that countersigns."""
        self.chain_id, self.channels = chain_id, bytes(channels)
        self._signer, self._delay, self._history = signer, close_delay_seconds, history
        self._lock = threading.Lock()
        self._broken: str | None = None
        self._db = _open(path)
        owner = {"clerk": self.address.hex(), "chain_id": str(chain_id), "channels": self.channels.hex(), "format": "1"}
        self._db.executemany("INSERT OR IGNORE INTO owner VALUES (?, ?)", owner.items())
        found: dict[str, str] = dict(self._db.execute("SELECT name, value FROM owner").fetchall())
        if found != owner:
            self._db.close()
            raise StoreRefused(f"{path} is the store of {found}, this is {owner}: every clerk of every network has a file of its own")

    def countersign(self, voucher: Voucher, signature: bytes, now_unix_s: int, lane: LaneFact | None) -> Countersigned | Refused:
        """The clerk's signature, durable before it is returned; or why there is none."""
        return self.countersign_many([Ask(voucher, signature, lane)], now_unix_s)[0]

    def countersign_many(self, asks: Sequence[Ask], now_unix_s: int) -> list[Countersigned | Refused]:
        """The same for several, one after another, with one write to the disk."""
        with self._lock:
            if self._broken is None:
                try:
                    return self._write(lambda: [self._decide(ask, now_unix_s) for ask in asks])
                except sqlite3.Error as error:
                    # A commit that failed may still have reached the disk. Only reading it again tells.
                    self._broken = f"the clerk's store failed: {error}"
            return [Refused("store_unavailable", self._broken)] * len(asks)

    def newest(self, lane: bytes) -> Countersigned | None:
        """The lane's newest voucher."""
        with self._lock:
            return self._newest(lane)

    def at(self, lane: bytes, seq: int) -> Countersigned | None:
        """The lane's voucher of this sequence, if it is still kept whole."""
        with self._lock:
            return self._at(lane, seq)

    def lines_of(self, lane: bytes, seq: int) -> tuple[Line, ...] | None:
        """Lines of the lane's voucher of this sequence, if it is still kept whole."""
        packed = self.packed_lines(lane, seq)
        return unpack_lines(packed) if packed is not None else None

    def packed_lines(self, lane: bytes, seq: int) -> bytes | None:
        """The same as bytes, 48 a line: asset (32), money (16)."""
        with self._lock:
            found = self._db.execute("SELECT lines FROM vouchers WHERE lane = ? AND seq = ?", (lane, seq)).fetchone()
        return found[0] if found else None

    def lanes(self) -> int:
        """Of how many lanes something was countersigned."""
        with self._lock:
            return int(self._db.execute("SELECT count(*) FROM lanes").fetchone()[0])

    def redeemable(self, lanes: Mapping[bytes, LaneFact], min_growth: int, now_unix_s: int, most: int = MOST_REDEEMED) -> list[Redemption]:
        """The newest vouchers that would bring at least ``min_growth`` payment units, or anything if their lane closes within half a close
        delay; those whose lane closes first come first, at most ``most``.

        Redeem them with ``channels.redeem_many(batch, clerk.countersign_list(batch))``.
        """
        with self._lock:
            totals = self._db.execute("SELECT lane, seq, total FROM lanes").fetchall()
        found = []
        for lane, seq, total in totals:
            fact = lanes.get(lane)
            if fact is not None and fact.redeemable(now_unix_s):
                growth = int.from_bytes(total, "big") - fact.redeemed
                if growth >= max(1, min_growth) or (growth > 0 and now_unix_s >= fact.closes_at_unix_s - self._delay // 2):
                    found.append((fact.closes_at_unix_s, lane, seq))
        kept = [(lanes[lane], self.at(lane, seq)) for _, lane, seq in sorted(found)[:most]]
        return [
            Redemption(fact, each.voucher.seq, each.voucher.total, lines_hash(each.voucher.lines), each.signature)
            for fact, each in kept
            if each is not None
        ]

    def countersign_list(self, batch: Sequence[Redemption]) -> Signature:
        """One signature over vouchers that were countersigned before, in this order. Errors: ValueError naming one that was not."""
        hashes = []
        for each in batch:
            hashes.append(struct_hash(each.lane.id, each.seq, each.total, each.lines))
            with self._lock:
                signed = self._signed(each.lane.id, each.seq)
            if signed != hashes[-1]:
                raise ValueError(f"seq {each.seq} of lane 0x{each.lane.id.hex()} was not countersigned like this")
        return Signature(self._signer.sign_digest(countersigned_digest(hashes, self.chain_id, self.channels)))

    def close(self) -> None:
        """Lets the file go."""
        with self._lock:
            self._db.close()

    def _write(self, change: Callable[[], T]) -> T:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            done = change()
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        return done

    def _decide(self, ask: Ask, now_unix_s: int) -> Countersigned | Refused:
        voucher, signature, lane = ask
        if (why := fault(voucher)) is not None:
            return Refused(why.reason, str(why))
        if lane is None:
            return Refused("unknown_lane", f"the chain knows no lane 0x{voucher.lane.hex()}")
        if lane.id != voucher.lane:
            raise ValueError(f"facts of lane {lane.id!r} were given for a voucher of 0x{voucher.lane.hex()}")
        if lane.clerk != self.address:
            return Refused("not_this_clerk", f"the lane's clerk is {lane.clerk!r}, this is 0x{self.address.hex()}")
        hashed = voucher_struct_hash(voucher)
        if (why_not := self._not_signed(hashed, signature, lane)) is not None:
            return Refused("bad_signature", why_not)
        signed = self._signed(voucher.lane, voucher.seq)
        if signed == hashed:
            kept = self._at(voucher.lane, voucher.seq)
            return kept or Countersigned(voucher, signature, self._sign(hashed))
        if signed is not None:
            return Refused("seq_taken", f"seq {voucher.seq} of this lane stands for another voucher; the newest is {self._told(lane)}")
        if voucher.total > lane.limit:
            return Refused("over_limit", f"total is {voucher.total}, the lane's limit is {lane.limit}")
        if (refused := self._not_live(lane, now_unix_s)) is not None:
            return refused
        newest = self._newest(voucher.lane)
        if lane.redeemed > (newest.voucher.total if newest else 0):
            return Refused("store_behind", f"the chain redeemed {lane.redeemed} of this lane, the newest here is {self._told(lane)}")
        if newest is not None and (why := follows(newest.voucher, voucher)) is not None:
            return Refused(why.reason, str(why))
        made = Countersigned(voucher, bytes(signature), self._sign(hashed))
        self._keep(made, hashed)
        return made

    def _not_signed(self, hashed: bytes, signature: bytes, lane: LaneFact) -> str | None:
        """Why the signature does not hold."""
        digest = struct_digest(hashed, self.chain_id, self.channels)
        expected = (
            f"expected is the session key {lane.key!r} over digest 0x{digest.hex()}, "
            f"of Channels 0x{self.channels.hex()} on chain {self.chain_id}"
        )
        try:
            signer = recover(digest, signature)
        except ValueError as error:
            return f"{error}; {expected}"
        return None if signer == lane.key else f"signed by {signer!r}, or over other bytes; {expected}"

    def _not_live(self, lane: LaneFact, now_unix_s: int) -> Refused | None:
        closes_at, expiry = lane.closes_at_unix_s, lane.expiry_unix_s
        if not lane.redeemable(now_unix_s):
            return Refused("lane_closed", f"the lane closed at {closes_at}, network time is {now_unix_s}")
        if closes_at < expiry + self._delay:
            return Refused("lane_revoked", f"the customer revoked the lane; it closes at {closes_at}, network time is {now_unix_s}")
        # What was served before the expiry can be paid after it, as long as there is time to redeem.
        last = closes_at - self._delay // 4
        if now_unix_s >= last:
            return Refused("lane_expired", f"the lane expired at {expiry}, vouchers were taken until {last}, network time is {now_unix_s}")
        return None

    def _sign(self, hashed: bytes) -> bytes:
        return bytes(self._signer.sign_digest(countersigned_digest([hashed], self.chain_id, self.channels)))

    def _signed(self, lane: bytes, seq: int) -> bytes | None:
        found = self._db.execute("SELECT hash FROM signed WHERE lane = ? AND seq = ?", (lane, seq)).fetchone()
        return found[0] if found else None

    def _newest(self, lane: bytes) -> Countersigned | None:
        found = self._db.execute("SELECT seq FROM lanes WHERE lane = ?", (lane,)).fetchone()
        return self._at(lane, found[0]) if found else None

    def _told(self, lane: LaneFact) -> str:
        newest = self._newest(lane.id)
        return f"seq {newest.voucher.seq} with total {newest.voucher.total}" if newest else "none"

    def _at(self, lane: bytes, seq: int) -> Countersigned | None:
        found = self._db.execute(
            "SELECT total, lines, signature, countersignature FROM vouchers WHERE lane = ? AND seq = ?", (lane, seq)
        ).fetchone()
        if found is None:
            return None
        total, lines, signature, countersignature = found
        return Countersigned(Voucher(bytes(lane), seq, int.from_bytes(total, "big"), unpack_lines(lines)), signature, countersignature)

    def _keep(self, made: Countersigned, hashed: bytes) -> None:
        voucher = made.voucher
        lane, seq, total = voucher.lane, voucher.seq, voucher.total.to_bytes(16, "big")
        self._db.execute("INSERT INTO signed VALUES (?, ?, ?)", (lane, seq, hashed))
        self._db.execute("INSERT OR REPLACE INTO lanes VALUES (?, ?, ?)", (lane, seq, total))
        whole: tuple[Any, ...] = (lane, seq, total, pack_lines(voucher.lines), made.signature, made.countersignature)
        self._db.execute("INSERT INTO vouchers VALUES (?, ?, ?, ?, ?, ?)", whole)
        oldest = "SELECT seq FROM vouchers WHERE lane = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2"
        self._db.execute(f"DELETE FROM vouchers WHERE lane = ?1 AND seq <= ({oldest})", (lane, self._history))  # noqa: S608


def pack_lines(lines: Sequence[Line]) -> bytes:
    """Lines as bytes, 48 each."""
    return b"".join([asset + money.to_bytes(16, "big") for asset, money in lines])


def unpack_lines(packed: bytes) -> tuple[Line, ...]:
    """The inverse of ``pack_lines``."""
    starts = range(0, len(packed), LINE_BYTES)
    return tuple(Line(packed[at : at + 32], int.from_bytes(packed[at + 32 : at + LINE_BYTES], "big")) for at in starts)


def _open(path: Path) -> sqlite3.Connection:
    """The store for this process alone, readable by its owner only."""
    make_private(path)
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
    try:
        db.executescript(
            """
            PRAGMA locking_mode=EXCLUSIVE;
            PRAGMA journal_mode=WAL;
            PRAGMA synchronous=FULL;
            PRAGMA fullfsync=ON;
            BEGIN IMMEDIATE;
            CREATE TABLE IF NOT EXISTS owner (name TEXT PRIMARY KEY, value TEXT NOT NULL);
            CREATE TABLE IF NOT EXISTS signed (lane BLOB, seq INTEGER, hash BLOB NOT NULL, PRIMARY KEY (lane, seq)) WITHOUT ROWID;
            CREATE TABLE IF NOT EXISTS lanes (lane BLOB PRIMARY KEY, seq INTEGER NOT NULL, total BLOB NOT NULL) WITHOUT ROWID;
            CREATE TABLE IF NOT EXISTS vouchers (
                lane BLOB, seq INTEGER, total BLOB NOT NULL, lines BLOB NOT NULL, signature BLOB NOT NULL, countersignature BLOB NOT NULL,
                PRIMARY KEY (lane, seq)
            );
            COMMIT;
            """
        )
    except sqlite3.Error as error:
        db.close()
        raise StoreRefused(f"{path} cannot be opened ({error}): is another clerk running with it?") from error
    sync_folder(path.parent)
    return db
