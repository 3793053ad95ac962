"""Vouchers: what a customer accepted on a lane and owes, ever, asset by asset; and the clerk's signature that makes them worth serving on.

A customer's session key signs a voucher, the lane's clerk countersigns lists of them: EIP-712 in the domain of the Channels contract, which
hashes the same bytes. Money is in payment units. Formats and reasons: ``docs/lanes.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from subak.core.canon.keccak import Rows, keccak256, keccak_rows
from subak.core.canon.typed_data import domain_separator

try:
    from subak.core.canon import _keccak
except ImportError:  # no C compiler when the package was installed
    _keccak = None  # type: ignore[assignment]

CHANNELS_DOMAIN = "Subak Channels"
"""Domain name of vouchers and countersignatures."""
LINE_TYPE = "Line(bytes32 asset,uint128 money)"
"""EIP-712 type of a line."""
VOUCHER_TYPE = f"Voucher(bytes32 lane,uint64 seq,uint128 total,Line[] lines){LINE_TYPE}"
"""EIP-712 type of what a session key signs."""
COUNTERSIGNED_TYPE = "Countersigned(bytes32[] vouchers)"
"""EIP-712 type of what a clerk signs: struct hashes of vouchers."""
MAX_LINES = 512
"""Lines of one voucher."""
SEQ_LIMIT = 1 << 63
"""Sequences stay below this: tables keep them in 63 bits."""
MONEY_LIMIT = 10**38
"""Money stays below this: tables keep it in 38 digits."""

_LINE_TYPEHASH = keccak256(LINE_TYPE.encode())
_VOUCHER_TYPEHASH = keccak256(VOUCHER_TYPE.encode())
_COUNTERSIGNED_TYPEHASH = keccak256(COUNTERSIGNED_TYPE.encode())
_U64, _U128 = 1 << 64, 1 << 128
_CHUNK = 1 << 17


class Fault(str):
    """Why something is refused: a sentence that names the values that disagree, and the reason's name for programs."""

    reason: str
    """A short identifier: ``line_fell``."""

    def __new__(cls, reason: str, sentence: str) -> Self:
        made = super().__new__(cls, sentence)
        made.reason = reason
        return made


class _Line(NamedTuple):
    asset: bytes
    """Whom the money is for, 32 bytes."""
    money: int
    """What the customer owes that asset on this lane, ever."""


class Line(_Line):
    """One asset's part of a voucher. What does not fit bytes32 and uint128 is a ``ValueError``, so every line can be hashed."""

    __slots__ = ()

    def __new__(cls, asset: bytes, money: int) -> Self:
        if len(asset) != 32:
            raise ValueError(f"an asset has 32 bytes, not {len(asset)}")
        if not 0 <= money < _U128:
            raise ValueError(f"money = {money} does not fit uint128")
        return super().__new__(cls, asset, money)


@dataclass(frozen=True)
class Voucher:
    """Running totals that a customer accepts on a lane. Values that Solidity's types cannot hold are a ``ValueError`` naming the field;
    whether the contents are sound, ``fault`` says."""

    lane: bytes
    """Id of the lane, 32 bytes."""
    seq: int
    """Counts up with each voucher of the lane; gaps are fine."""
    total: int
    """Sum of the lines."""
    lines: tuple[Line, ...]
    """By asset, ascending."""

    def __post_init__(self) -> None:
        if len(self.lane) != 32:
            raise ValueError(f"lane has 32 bytes, not {len(self.lane)}")
        if not 0 <= self.seq < _U64:
            raise ValueError(f"seq = {self.seq} does not fit uint64")
        if not 0 <= self.total < _U128:
            raise ValueError(f"total = {self.total} does not fit uint128")


def lines_fault(lines: Sequence[Line]) -> Fault | None:
    """What is unsound about lines whoever owes them: none or over 512 of them, not ascending by asset, one asset twice, no money."""
    if not lines:
        return Fault("malformed", "there are no lines: owe something to somebody")
    if len(lines) > MAX_LINES:
        return Fault("too_many_lines", f"{len(lines)} lines, at most {MAX_LINES}: open a second lane")
    before = b""
    for asset, money in lines:
        if asset <= before:
            how = "twice" if asset == before else f"after 0x{before.hex()}: lines ascend by asset"
            return Fault("malformed", f"asset 0x{asset.hex()} stands {how}")
        if not money:
            return Fault("malformed", f"the line of asset 0x{asset.hex()} holds no money: leave it out")
        before = asset
    return None


def fault(voucher: Voucher) -> Fault | None:
    """What is unsound about a voucher by itself, in words; None if nothing. Reasons: malformed, too_many_lines, lines_do_not_sum."""
    if (found := lines_fault(voucher.lines)) is not None:
        return found
    if voucher.seq >= SEQ_LIMIT:
        return Fault("malformed", f"seq is {voucher.seq}, not below 2^63")
    if voucher.total >= MONEY_LIMIT:
        return Fault("malformed", f"total is {voucher.total}, not below 10^38")
    owed = sum(money for _, money in voucher.lines)
    if owed != voucher.total:
        return Fault("lines_do_not_sum", f"the lines sum to {owed}, total is {voucher.total}")
    return None


def follows(old: Voucher, new: Voucher) -> Fault | None:
    """Why ``new`` cannot come after ``old``; None if it only grows: sequence and total up, no line falls or vanishes.

    Reasons: other_lane, seq_taken, older_voucher, does_not_grow, line_fell. An identical voucher does not follow itself: ``seq_taken``.
    """
    if new.lane != old.lane:
        return Fault("other_lane", f"lane is 0x{new.lane.hex()}, before it was 0x{old.lane.hex()}")
    if new.seq == old.seq:
        return Fault("seq_taken", f"seq {new.seq} stands for another voucher, with total {old.total}: take {old.seq + 1} or more")
    if new.seq < old.seq:
        return Fault("older_voucher", f"seq is {new.seq}, the newest is {old.seq} with total {old.total}")
    if new.total <= old.total:
        return Fault("does_not_grow", f"total is {new.total}, that of seq {old.seq} was {old.total}")
    now = dict(new.lines)
    for asset, money in old.lines:
        if now.get(asset, -1) < money:
            how = f"holds {now[asset]}" if asset in now else "is missing"
            return Fault("line_fell", f"the line of asset 0x{asset.hex()} {how}, in seq {old.seq} it held {money}")
    return None


def lines_hash(lines: Sequence[Line]) -> bytes:
    """EIP-712 hash of ``Line[]``, 32 bytes: what ``Channels.Redeemed`` names."""
    try:
        return _keccak.keccak_pairs(_LINE_TYPEHASH, tuple(lines))
    except (AttributeError, OverflowError):  # no extension, or money of 2^64 or more
        return keccak256(b"".join([keccak256(_LINE_TYPEHASH + asset + money.to_bytes(32, "big")) for asset, money in lines]))


def struct_hash(lane: bytes, seq: int, total: int, lines: bytes) -> bytes:
    """hashStruct of a voucher whose lines hash to ``lines``: what a clerk's list holds. All 32 bytes, seq uint64, total uint128."""
    return keccak256(_VOUCHER_TYPEHASH + lane + seq.to_bytes(32, "big") + total.to_bytes(32, "big") + lines)


def voucher_struct_hash(voucher: Voucher) -> bytes:
    """hashStruct of a voucher, 32 bytes."""
    return struct_hash(voucher.lane, voucher.seq, voucher.total, lines_hash(voucher.lines))


def struct_digest(hashed: bytes, chain_id: int, channels: bytes) -> bytes:
    """What signs a struct whose hash is known: 32 bytes; ``channels`` is the contract's address."""
    return keccak256(_prefix(chain_id, channels) + hashed)


def voucher_digest(voucher: Voucher, chain_id: int, channels: bytes) -> bytes:
    """The 32 bytes that the session key signs."""
    return keccak256(_prefix(chain_id, channels) + struct_hash(voucher.lane, voucher.seq, voucher.total, lines_hash(voucher.lines)))


def countersigned_digest(struct_hashes: Iterable[bytes], chain_id: int, channels: bytes) -> bytes:
    """The 32 bytes that a clerk signs for a list of vouchers, in this order; a single countersignature is a list of one."""
    listed = b"".join(struct_hashes)
    if len(listed) % 32:
        raise ValueError(f"struct hashes have 32 bytes each, got {len(listed)} in all")
    return struct_digest(keccak256(_COUNTERSIGNED_TYPEHASH + keccak256(listed)), chain_id, channels)


def lines_hashes(assets: Rows, money: NDArray[np.uint64], counts: NDArray[np.int64]) -> Rows:
    """``lines_hash`` of many vouchers at once, (vouchers, 32).

    ``assets`` (lines, 32) and ``money`` (lines, 2), high and low word, are their lines one after another; ``counts`` (vouchers,) says how
    many each has. Errors: ValueError if the shapes do not agree.
    """
    if assets.shape != (len(money), 32) or money.shape != (len(money), 2) or int(counts.sum()) != len(money):
        raise ValueError(f"{assets.shape} assets, {money.shape} words of money and {int(counts.sum())} lines counted do not agree")
    hashed = np.empty((len(money), 32), np.uint8)
    for start in range(0, len(money), _CHUNK):
        hashed[start : start + _CHUNK] = _line_hashes(assets[start : start + _CHUNK], money[start : start + _CHUNK])

    # Vouchers with the same number of lines are rows of one length.
    first = np.cumsum(counts) - counts
    by_count = np.argsort(counts, kind="stable")
    edges = np.flatnonzero(np.diff(counts[by_count], prepend=-1, append=-1))
    out = np.empty((len(counts), 32), np.uint8)
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        lines = int(counts[by_count[start]])
        step = max(1, _CHUNK // max(1, lines))
        for at in range(start, end, step):
            some = by_count[at : min(at + step, end)]
            out[some] = keccak_rows(hashed[first[some, None] + np.arange(lines)].reshape(len(some), 32 * lines))
    return out


def _line_hashes(assets: Rows, money: NDArray[np.uint64]) -> Rows:
    rows = np.zeros((len(assets), 96), np.uint8)
    rows[:, :32] = np.frombuffer(_LINE_TYPEHASH, np.uint8)
    rows[:, 32:64] = assets
    rows[:, 80:] = money.astype(">u8").view(np.uint8).reshape(-1, 16)
    return keccak_rows(rows)


@lru_cache(maxsize=64)
def _prefix(chain_id: int, channels: bytes) -> bytes:
    return b"\x19\x01" + domain_separator(CHANNELS_DOMAIN, chain_id, channels)
