"""Exposure: what a host has served beyond what countersigned vouchers cover, lane by lane, and whether it may serve on.

A host lends each lane at most ``bound``, and asks nobody whether it is covered: it checks both signatures and its own line itself.
Reasons: ``docs/lanes.md``.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec

from subak.archive.files import make_private
from subak.chain.accounts import recover
from subak.chain.channels import LaneFact
from subak.core.canon.passes import Pass, pass_fault
from subak.core.canon.vouchers import Fault, Line, Voucher, countersigned_digest, fault, struct_digest, voucher_struct_hash
from subak.core.nouns.document import Hash, Signature, decode

log = logging.getLogger("subak.host")

ASK_AGAIN_SECONDS = 1.0
"""Real time after which clerks are asked about a lane again, at the earliest."""
REASONS: Mapping[str, str] = {
    "unknown_lane": "the chain knows no such lane",
    "lane_closed": "the lane is closed",
    "lane_revoked": "the customer revoked the lane",
    "lane_expired": "the lane expired",
    "pass_expired": "the pass held until a time that is over",
    "pass_too_long": "the pass holds for over a day",
    "pass_not_signed": "the pass was not signed by the lane's session key for this host's asset",
    "clerk_contradicts": "the lane's clerk countersigned vouchers that contradict each other",
    "over_bound": "more was served than vouchers cover and the host lends",
    "limit_used": "what is left of the lane's limit does not cover what is owed",
}
"""Every reason why a host does not serve a lane."""
_MOST_BYTES = 1 << 20
_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class Kept:
    """The newest voucher of a lane that this host knows and checked."""

    voucher: Voucher
    """What the customer owes, everybody."""
    signature: bytes
    """The session key's."""
    countersignature: bytes
    """The clerk's, over a list of this voucher alone."""


@dataclass(frozen=True)
class Contradiction:
    """Two vouchers that a clerk should not have countersigned both: ``Channels.slashClerk`` takes them."""

    earlier: Kept
    """The one with the lower sequence."""
    later: Kept
    """The other one."""


def read_contradictions(path: Path) -> list[Contradiction]:
    """Proofs against clerks in a host's ledger, also while it runs. Errors: FileNotFoundError; sqlite3.DatabaseError if it is none."""
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, "no ledger of a host is there", str(path))
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        return _contradictions(db)


class _LineText(msgspec.Struct):
    asset: Hash
    money: int


class _VoucherText(msgspec.Struct):
    """A clerk's answer to ``GET /v1/lanes/<lane>``."""

    lane: Hash
    seq: int
    total: int
    lines: list[_LineText]
    signature: Signature
    countersignature: Signature


class Exposure:
    """What the lanes were served by this host's assets. Implements ``host.desk.Till``.

    Promises: a lane whose exposure is over the bound is not admitted before a voucher covers it; what was owed and covered is the same
    after a restart (a power cut may lose what was owed in the last moments, which harms nobody but this host).
    Requests that were admitted together may bring the exposure over the bound by what they cost.
    """

    def __init__(
        self,
        path: Path,
        *,
        chain_id: int,
        channels: bytes,
        close_delay_seconds: int,
        bound: int,
        verifiers: Sequence[str],
        client: httpx.AsyncClient,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        """``channels`` is the contract, ``close_delay_seconds`` its CLOSE_DELAY_SECONDS; ``bound`` is what each lane is lent, in payment
        units; ``verifiers`` are the base addresses at which clerks may listen; ``elapsed`` gives real seconds that never jump."""
        self.bound = bound
        self._domain = (chain_id, bytes(channels))
        self._delay = close_delay_seconds
        self._verifiers, self._client, self._elapsed = verifiers, client, elapsed
        self._lanes: Mapping[bytes, LaneFact] = {}
        self._asked_at: dict[bytes, float] = {}
        self._asking: dict[bytes, asyncio.Task[None]] = {}
        self._newest: dict[bytes, Kept | None] = {}
        make_private(path)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.executescript(
            """
            PRAGMA journal_mode=WAL;
            PRAGMA synchronous=NORMAL;
            CREATE TABLE IF NOT EXISTS owed (asset BLOB, lane BLOB, money BLOB NOT NULL, PRIMARY KEY (asset, lane)) WITHOUT ROWID;
            CREATE TABLE IF NOT EXISTS vouchers (lane BLOB PRIMARY KEY, document BLOB NOT NULL);
            CREATE TABLE IF NOT EXISTS contradictions (lane BLOB PRIMARY KEY, earlier BLOB NOT NULL, later BLOB NOT NULL);
            """
        )

    def know(self, lanes: Mapping[bytes, LaneFact]) -> None:
        """Replaces what the chain says of lanes, by id. The mapping must not change afterwards."""
        self._lanes = lanes

    async def admit(self, asset: bytes, lane: bytes, until_unix_s: int, signature: bytes, now_unix_s: int) -> Fault | None:
        """None if the lane may be served now by the asset; else why not, in words for the customer, with the reason's name.

        Checks the pass and the lane, then the exposure; asks clerks for a newer voucher before it says no for lack of one.
        """
        fact = self._lanes.get(lane)
        if fact is None:
            return Fault("unknown_lane", f"the chain knows no lane 0x{lane.hex()}, or the host has not seen it yet")
        if (why := self._not_live(fact, now_unix_s)) is not None:
            return why
        if (why := pass_fault(Pass(lane, until_unix_s, signature), asset, fact.key, now_unix_s, recover)) is not None:
            return why
        if lane not in self._asked_at or self._not_covered(asset, fact) is not None:
            await self.ask(lane)
        return self._not_covered(asset, fact)

    def owe(self, asset: bytes, lane: bytes, money: int) -> None:
        """The lane was served by the asset for so many payment units. Errors: ValueError below zero."""
        if money < 0:
            raise ValueError(f"a lane owes {money} for what it was served: not below zero")
        self._db.execute("BEGIN IMMEDIATE")
        owed = self._owed(asset, lane) + money
        self._db.execute("INSERT OR REPLACE INTO owed VALUES (?, ?, ?)", (bytes(asset), bytes(lane), owed.to_bytes(32, "big")))
        self._db.execute("COMMIT")

    def account(self, asset: bytes, lane: bytes) -> Mapping[str, int]:
        """Where the lane stands with the asset, in payment units: ``owed`` ever, ``covered`` by its line, ``exposure`` (what is owed beyond
        that) and ``bound``."""
        owed, kept = self._owed(asset, lane), self.newest(lane)
        covered = dict(kept.voucher.lines).get(bytes(asset), 0) if kept else 0
        return {"owed": owed, "covered": covered, "exposure": max(0, owed - covered), "bound": self.bound}

    def newest(self, lane: bytes) -> Kept | None:
        """The newest voucher of the lane that was checked here."""
        if lane not in self._newest:
            found = self._db.execute("SELECT document FROM vouchers WHERE lane = ?", (bytes(lane),)).fetchone()
            self._newest[bytes(lane)] = _read(found[0]) if found else None
        return self._newest[lane]

    def contradictions(self) -> list[Contradiction]:
        """Proofs against clerks, one for each lane."""
        return _contradictions(self._db)

    async def ask(self, lane: bytes) -> None:
        """Ask verifiers for the lane's newest voucher, unless they were asked a moment ago; who asks meanwhile gets the same answer."""
        task = self._asking.get(lane)
        if task is None:
            asked_at = self._asked_at.get(lane)
            if asked_at is not None and self._elapsed() - asked_at < ASK_AGAIN_SECONDS:
                return
            task = self._asking[lane] = asyncio.create_task(self._ask_all(lane))
            task.add_done_callback(lambda _: self._asking.pop(lane, None))
        await asyncio.shield(task)

    def take(self, voucher: Voucher, signature: bytes, countersignature: bytes) -> Fault | None:
        """Take a voucher, whoever brings it; None if it holds, newer or not. Reasons: those of ``fault``, unknown_lane, over_limit,
        bad_signature, bad_countersignature, clerk_contradicts."""
        fact = self._lanes.get(voucher.lane)
        if (why := fault(voucher)) is not None:
            return why
        if fact is None:
            return Fault("unknown_lane", f"the chain knows no lane 0x{voucher.lane.hex()}")
        if voucher.total > fact.limit:
            return Fault("over_limit", f"total is {voucher.total}, the lane's limit is {fact.limit}")
        hashed = voucher_struct_hash(voucher)
        for reason, digest, given, key in (
            ("bad_signature", struct_digest(hashed, *self._domain), signature, fact.key),
            ("bad_countersignature", countersigned_digest([hashed], *self._domain), countersignature, fact.clerk),
        ):
            if (unsigned := _not_signed(digest, given, key)) is not None:
                return Fault(reason, unsigned)
        return self._keep(Kept(voucher, bytes(signature), bytes(countersignature)))

    def close(self) -> None:
        """Lets the file go."""
        self._db.close()

    def _keep(self, new: Kept) -> Fault | None:
        """Keep a checked voucher if it is newer; keep both if they contradict each other."""
        lane, old = new.voucher.lane, self.newest(new.voucher.lane)
        if old is not None and new.voucher != old.voucher:
            earlier, later = sorted((old, new), key=lambda each: each.voucher.seq)
            if (how := _contradiction(earlier.voucher, later.voucher)) is not None:
                self._db.execute("INSERT OR IGNORE INTO contradictions VALUES (?, ?, ?)", (lane, _document(earlier), _document(later)))
                return Fault("clerk_contradicts", how)
        if old is None or new.voucher.seq > old.voucher.seq:
            self._db.execute("INSERT OR REPLACE INTO vouchers VALUES (?, ?)", (lane, _document(new)))
            self._newest[lane] = new
        return None

    def _not_live(self, lane: LaneFact, now_unix_s: int) -> Fault | None:
        """Why nobody should serve on the lane."""
        closes_at, expiry = lane.closes_at_unix_s, lane.expiry_unix_s
        if not lane.redeemable(now_unix_s):
            return Fault("lane_closed", f"the lane closed at {closes_at}, network time is {now_unix_s}: open another lane")
        if closes_at < expiry + self._delay:
            return Fault("lane_revoked", f"the lane was revoked and closes at {closes_at}: open another lane")
        if now_unix_s >= expiry:
            return Fault("lane_expired", f"the lane expired at {expiry}, network time is {now_unix_s}: open another lane")
        return None

    def _not_covered(self, asset: bytes, lane: LaneFact) -> Fault | None:
        """Why the lane is lent nothing more."""
        if self._db.execute("SELECT 1 FROM contradictions WHERE lane = ?", (bytes(lane.id),)).fetchone():
            return Fault("clerk_contradicts", f"clerk {lane.clerk!r} countersigned vouchers that contradict each other: open another lane")
        told, kept = self.account(asset, lane.id), self.newest(lane.id)
        exposure = told["exposure"]
        if exposure > self.bound:
            return Fault(
                "over_bound",
                f"owed are {told['owed']} payment units, vouchers cover {told['covered']}, and {self.bound} are lent: have a voucher "
                f"countersigned by {lane.clerk!r} whose line of asset 0x{asset.hex()} holds {told['owed']}",
            )
        left = lane.limit - max(lane.redeemed, kept.voucher.total if kept else 0)
        if left <= exposure:
            return Fault("limit_used", f"{left} of the lane's limit of {lane.limit} are left, {exposure} are owed here: open another lane")
        return None

    def _owed(self, asset: bytes, lane: bytes) -> int:
        found = self._db.execute("SELECT money FROM owed WHERE asset = ? AND lane = ?", (bytes(asset), bytes(lane))).fetchone()
        return int.from_bytes(found[0], "big") if found else 0

    async def _ask_all(self, lane: bytes) -> None:
        """Any verifier's answer serves, since it is checked here; only the lane's clerk has one."""
        for kept in await asyncio.gather(*(self._ask_one(verifier, lane) for verifier in self._verifiers)):
            if kept is not None and kept.voucher.lane == lane:
                self.take(kept.voucher, kept.signature, kept.countersignature)
        self._asked_at[lane] = self._elapsed()

    async def _ask_one(self, verifier: str, lane: bytes) -> Kept | None:
        url = f"{verifier.rstrip('/')}/v1/lanes/0x{lane.hex()}"
        raw = b""
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS), self._client.stream("GET", url) as answer:
                if answer.status_code != 200:
                    return None
                async for piece in answer.aiter_bytes():
                    raw += piece
                    if len(raw) > _MOST_BYTES:
                        return None
            return _read(raw)
        except (httpx.HTTPError, ValueError, TimeoutError) as error:
            log.info("%s told nothing of lane 0x%s: %s", verifier, lane.hex(), error)
            return None


def _contradictions(db: sqlite3.Connection) -> list[Contradiction]:
    rows = db.execute("SELECT earlier, later FROM contradictions ORDER BY lane").fetchall()
    return [Contradiction(_read(earlier), _read(later)) for earlier, later in rows]


def _contradiction(earlier: Voucher, later: Voucher) -> str | None:
    """How two different vouchers of a lane contradict each other, as the contract sees it; None if they do not."""
    if earlier.seq == later.seq:
        return f"two vouchers with seq {earlier.seq} and totals {earlier.total} and {later.total} were countersigned"
    if later.total < earlier.total:
        return f"total is {earlier.total} with seq {earlier.seq} and {later.total} with seq {later.seq}"
    now = dict(later.lines)
    fell = next((line for line in earlier.lines if now.get(line.asset, 0) < line.money), None)
    if fell is None:
        return None
    left = now.get(fell.asset, 0)
    return f"the line of asset 0x{fell.asset.hex()} was {fell.money} with seq {earlier.seq} and {left} with seq {later.seq}"


def _not_signed(digest: bytes, signature: bytes, key: bytes) -> str | None:
    try:
        signer = recover(digest, signature)
    except ValueError as error:
        return f"{error}; expected is {key!r} over digest 0x{digest.hex()}"
    return None if signer == key else f"signed by {signer!r}, or over other bytes; expected is {key!r} over digest 0x{digest.hex()}"


def _document(kept: Kept) -> bytes:
    voucher = kept.voucher
    lines = [{"asset": "0x" + asset.hex(), "money": str(money)} for asset, money in voucher.lines]
    told = {"lane": voucher.lane, "signature": kept.signature, "countersignature": kept.countersignature}
    return msgspec.json.encode(
        {"seq": voucher.seq, "total": str(voucher.total), "lines": lines, **{name: "0x" + value.hex() for name, value in told.items()}}
    )


def _read(raw: bytes) -> Kept:
    """A clerk's answer, or what was kept of one. Errors: ValueError."""
    told = decode(raw, _VoucherText)
    lines = tuple(Line(bytes(each.asset), each.money) for each in told.lines)
    return Kept(Voucher(bytes(told.lane), told.seq, told.total, lines), bytes(told.signature), bytes(told.countersignature))
