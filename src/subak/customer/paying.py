"""Paying on a lane: what is accepted becomes a voucher, on disk before it is sent, and the clerk's countersignature comes back."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from subak.chain.accounts import recover
from subak.core.canon.json import encode
from subak.core.canon.passes import PASS_SECONDS, make_pass
from subak.core.canon.vouchers import Line, Voucher, countersigned_digest, fault, follows, voucher_digest, voucher_struct_hash
from subak.core.nouns import Hash, decode
from subak.core.nouns.document import Signature
from subak.customer.store import KeptVoucher, Store
from subak.customer.wallet import Wallet

log = logging.getLogger("subak.customer")

_MOST_BYTES = 1 << 20


class ClerkUnreachable(ConnectionError):
    """The clerk did not answer, or not with what it should; the voucher is kept and sent again."""


class VoucherRefused(ValueError):
    """The clerk did not countersign; the voucher is kept and sent again, since the reason may pass."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        """A short identifier, as the clerk gave it."""
        super().__init__(f"{reason}: {detail}")


@dataclass(frozen=True)
class Settled:
    """A voucher with both signatures: whoever has it can redeem it."""

    voucher: Voucher
    """What is owed on the lane, ever."""
    signature: Signature
    """The session key's."""
    countersignature: Signature
    """The clerk's, over a list of this voucher alone."""


class _LineText(msgspec.Struct):
    asset: Hash
    money: int


class _LaneText(msgspec.Struct):
    """The clerk's answer about a lane."""

    lane: Hash
    seq: int
    total: int
    lines: list[_LineText]
    signature: Signature
    countersignature: Signature


class Payer:
    """Pays on one lane. Safe to use from several threads.

    Promises: a lane never owes more than its limit; two different vouchers never have one number, whatever crashes; what was sent once is
    sent again as the very same bytes until the clerk has answered for it.
    """

    def __init__(self, wallet: Wallet, lane: bytes, client: httpx.Client, clerk_url: str = "") -> None:
        """``clerk_url``: where the lane's clerk listens, if it moved. Errors: LookupError for a lane that is not the wallet's;
        FileNotFoundError, KeyFileRefused about its key."""
        kept = wallet.store.lane(lane)
        self.lane = kept.fact
        """The lane."""
        self.clerk_url = (clerk_url or kept.clerk_url).rstrip("/")
        """Where its clerk listens."""
        self._store: Store = wallet.store
        self._chain = (wallet.network.chain_id, wallet.network.contracts.channels)
        self._session = wallet.session(lane)
        self._client = client
        self._lock = threading.RLock()
        self._passes: dict[bytes, tuple[int, str]] = {}

    @property
    def room(self) -> int:
        """Payment units that can still be accepted."""
        return self._store.room(self.lane.id)

    def accept(self, asset: bytes, money: int) -> None:
        """Owe an asset so much more. Errors: LimitReached with both values, and nothing changes."""
        self._store.accept(self.lane.id, {bytes(asset): money})

    def settle_up(self, now: int) -> Settled | None:
        """Put what is owed into a voucher, keep it, have it countersigned; None if nothing is owed beyond the last one.

        ``now``: network time. Errors: ClerkUnreachable, VoucherRefused; what is owed stays owed, and the next call begins where this one
        ended.
        """
        settled = None
        with self._lock:
            while (kept := self._store.pending(self.lane.id) or self._next(now)) is not None:
                settled = self._settle(kept)
        return settled

    def newest(self) -> Settled | None:
        """The newest voucher with both signatures; None before the first."""
        kept = self._store.countersigned(self.lane.id)
        return None if kept is None or kept.countersignature is None else Settled(kept.voucher, kept.signature, kept.countersignature)

    def pass_for(self, asset: bytes, now: float) -> str:
        """The value of ``authorization`` that lets the asset's host serve on this lane at this network time; made anew when half its time
        is over. Errors: ValueError if the lane has expired."""
        expiry = self.lane.expiry_unix_s
        if now >= expiry:
            raise ValueError(f"lane 0x{self.lane.id.hex()} expired at {expiry}, and it is {int(now)}: open another lane")
        with self._lock:
            until, header = self._passes.get(asset, (0, ""))
            if until - now < min(PASS_SECONDS // 2, expiry - now):
                until = min(int(now) + PASS_SECONDS, expiry)
                header = make_pass(bytes(asset), bytes(self.lane.id), until, self._session.sign_digest).header
                self._passes[asset] = until, header
            return header

    def _settle(self, kept: KeptVoucher) -> Settled:
        try:
            return self._have_countersigned(kept)
        except VoucherRefused as refused:
            self._store.note_refused(self.lane.id, kept.voucher.seq, str(refused))
            found = self._recover(kept.voucher)
            if found is None:
                raise
            log.warning("lane 0x%s: the clerk has a voucher %d that this folder had lost", self.lane.id.hex(), found.voucher.seq)
            return found

    def _next(self, now: int) -> KeptVoucher | None:
        """The next voucher, kept; None if nothing is owed that is not countersigned."""
        owed, last = self._store.owed(self.lane.id), self._store.countersigned(self.lane.id)
        voucher = Voucher(
            lane=bytes(self.lane.id),
            seq=last.voucher.seq + 1 if last else 1,
            total=sum(owed.values()),
            lines=tuple(Line(asset, money) for asset, money in owed.items()),
        )
        if voucher.total == (last.voucher.total if last else 0):
            return None
        if now >= self.lane.closes_at_unix_s:
            raise VoucherRefused("lane_closed", f"the lane closed at {self.lane.closes_at_unix_s}, and it is {now}: owe it on another lane")
        why = fault(voucher) or (follows(last.voucher, voucher) if last else None)
        if why is not None:
            raise VoucherRefused(why.reason, f"no voucher follows from what is owed: {why}")
        signature = self._session.sign_digest(voucher_digest(voucher, *self._chain))
        try:
            self._store.keep_voucher(voucher, signature)
        except sqlite3.IntegrityError:
            # Another process was faster.
            return self._store.pending(self.lane.id)
        return KeptVoucher(voucher, signature, None, "")

    def _have_countersigned(self, kept: KeptVoucher) -> Settled:
        voucher = kept.voucher
        body = encode(
            {
                "lane": voucher.lane,
                "seq": voucher.seq,
                "total": voucher.total,
                "lines": [{"asset": line.asset, "money": line.money} for line in voucher.lines],
                "signature": kept.signature,
            }
        )
        answer = self._ask("POST", "/v1/vouchers", body)
        told = _document(answer)
        if answer.status_code != 200 and "reason" in told:
            raise VoucherRefused(str(told["reason"]), str(told.get("detail", "the clerk gave no reason")))
        if answer.status_code != 200:
            raise ClerkUnreachable(f"{self.clerk_url}/v1/vouchers answered {answer.status_code}: is this a verifier's address?")
        countersignature = _signature(told.get("countersignature"))
        why = self._not_countersigned(voucher, countersignature)
        if why is not None or countersignature is None:
            raise ClerkUnreachable(f"{self.clerk_url} answered voucher {voucher.seq} with a countersignature that is none: {why}")
        self._store.note_countersigned(self.lane.id, voucher.seq, countersignature)
        return Settled(voucher, kept.signature, countersignature)

    def _recover(self, refused: Voucher) -> Settled | None:
        """What the clerk has of ours that this folder lost, as after a restored backup: kept if both signatures hold and it is newer."""
        try:
            answer = self._ask("GET", f"/v1/lanes/0x{self.lane.id.hex()}")
            told = decode(answer.content, _LaneText) if answer.status_code == 200 else None
            if told is None or told.seq < refused.seq:
                return None
            voucher = Voucher(bytes(told.lane), told.seq, told.total, tuple(Line(bytes(line.asset), line.money) for line in told.lines))
        except (ClerkUnreachable, ValueError):
            return None
        last = self._store.countersigned(self.lane.id)
        ours = voucher.lane == self.lane.id and voucher != refused and not fault(voucher)
        newer = last is None or follows(last.voucher, voucher) is None
        signed = _signed_by(self.lane.key, voucher_digest(voucher, *self._chain), told.signature)
        if not (ours and newer and signed) or self._not_countersigned(voucher, told.countersignature):
            return None
        self._store.replace_pending(voucher, told.signature, told.countersignature)
        return Settled(voucher, told.signature, told.countersignature)

    def _not_countersigned(self, voucher: Voucher, countersignature: bytes | None) -> str | None:
        """Why a countersignature does not hold."""
        digest = countersigned_digest([voucher_struct_hash(voucher)], *self._chain)
        try:
            signer = recover(digest, countersignature or b"")
        except ValueError as error:
            return str(error)
        return None if signer == self.lane.clerk else f"0x{signer.hex()} signed, the lane's clerk is 0x{self.lane.clerk.hex()}"

    def _ask(self, method: str, path: str, body: bytes | None = None) -> httpx.Response:
        if not self.clerk_url:
            raise ClerkUnreachable(f"nobody said where the clerk 0x{self.lane.clerk.hex()} listens")
        headers = {"content-type": "application/json"} if body is not None else {}
        try:
            answer = self._client.request(method, self.clerk_url + path, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise ClerkUnreachable(f"{self.clerk_url} does not answer: {error or type(error).__name__}") from error
        if len(answer.content) > _MOST_BYTES:
            raise ClerkUnreachable(f"{self.clerk_url}{path} answered with {len(answer.content)} bytes")
        return answer


def _document(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        told = msgspec.json.decode(answer.content)
    except msgspec.DecodeError:
        told = None
    return told if isinstance(told, dict) else {}


def _signature(value: object) -> Signature | None:
    try:
        raw = bytes.fromhex(str(value)[2:])
    except ValueError:
        return None
    return Signature(raw) if len(raw) == Signature.LENGTH else None


def _signed_by(signer: bytes, digest: bytes, signature: bytes) -> bool:
    try:
        return recover(digest, signature) == signer
    except ValueError:
        return False
