"""The Channels contract: customers' prepaid money, the lanes it is set aside for, and the vouchers that spend it.

Facts of lanes are the fold of the contract's events; nobody reads old contract state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from subak.chain.contracts import Contract, Event, Sender
from subak.chain.deploy import contract
from subak.chain.rpc import Receipt, Rpc
from subak.chain.snapshot import MOST_COLUMN
from subak.core.canon.keccak import keccak256
from subak.core.canon.vouchers import Voucher, voucher_struct_hash
from subak.core.nouns.document import Address, Hash, Signature
from subak.core.nouns.network import Contracts

LANE_EVENTS = ("Configured", "LaneOpened", "LaneRevoked", "LaneClosed", "Redeemed")
"""The events that ``fold_lanes`` reads."""
NO_LINES = Hash(bytes(32))
"""Of a lane that was never redeemed."""


@dataclass(frozen=True)
class LaneFact:
    """A lane: what never changes of it, and what became of it. Money is in payment units."""

    id: Hash
    """Hash of what never changes."""
    customer: Address
    """Whose channel it is a part of."""
    key: Address
    """Session key that signs its vouchers."""
    clerk: Address
    """A verifier's signer, which countersigns them."""
    limit: int
    """The most that it can spend, ever."""
    expiry_unix_s: int
    """Network time after which nobody should serve on it."""
    number: int
    """How many lanes its customer opened before."""
    closes_at_unix_s: int
    """Network time from which it can be closed and no voucher is redeemed any more."""
    redeemed: int = 0
    """Total of the voucher that was redeemed last."""
    closed: bool = False
    """Whether what it did not spend is back in the channel."""
    seq: int = 0
    """Number of that voucher."""
    lines: Hash = NO_LINES
    """Hash of its lines; ``NO_LINES`` before the first."""
    net: int = 0
    """What of ``redeemed`` went to hosts."""

    @property
    def parameters(self) -> tuple[bytes, bytes, bytes, int, int, int]:
        """Solidity's struct Lane."""
        return (self.customer, self.key, self.clerk, self.limit, self.expiry_unix_s, self.number)

    def redeemable(self, unix_s: int) -> bool:
        """Whether a voucher can still be redeemed at this network time: strictly before it closes."""
        return not self.closed and unix_s < self.closes_at_unix_s


@dataclass(frozen=True)
class Redemption:
    """A voucher as the chain takes it."""

    lane: LaneFact
    """Its lane."""
    seq: int
    """Its number."""
    total: int
    """Sum of its lines."""
    lines: bytes
    """Hash of its lines, 32 bytes."""
    signature: bytes
    """The session key's, EIP-2098 compact."""


class Proof(Protocol):
    """A voucher with all its lines and the clerk's signature of it, as clerks give it out and hosts keep it."""

    @property
    def voucher(self) -> Voucher:
        """The voucher."""

    @property
    def countersignature(self) -> bytes:
        """The clerk's, over a list of this voucher alone; EIP-2098 compact."""


def lane_id(customer: bytes, key: bytes, clerk: bytes, limit: int, expiry_unix_s: int, number: int) -> Hash:
    """keccak256(abi.encode(lane)), as the contract computes it. Errors: ValueError naming a field that does not fit."""
    words = [_address(name, value) for name, value in (("customer", customer), ("key", key), ("clerk", clerk))]
    numbers = (("limit", limit, 128), ("expiry", expiry_unix_s, 40), ("number", number, 64))
    words += [_uint(name, value, bits) for name, value, bits in numbers]
    return Hash(keccak256(b"".join(words)))


def fold_lanes(events: Iterable[Event]) -> dict[bytes, LaneFact]:
    """Lanes by id. ``events``: all of ``LANE_EVENTS`` that the contract ever emitted, in order; others are passed over.

    Errors: LookupError if a lane was opened before the contract said how long lanes stay open.
    """
    lanes: dict[bytes, LaneFact] = {}
    delay: int | None = None
    for event in events:
        values = event.values
        match event.name:
            case "Configured" if "closeDelaySeconds" in values:
                delay = values["closeDelaySeconds"]
            case "LaneOpened":
                if delay is None:
                    raise LookupError(f"a lane was opened in block {event.log.block}, but no Configured event was read: start earlier")
                lanes[values["lane"]] = _opened(values, delay)
            case "LaneRevoked":
                lanes[values["lane"]] = replace(lanes[values["lane"]], closes_at_unix_s=values["closesAt"])
            case "LaneClosed":
                lanes[values["lane"]] = replace(lanes[values["lane"]], closed=True)
            case "Redeemed":
                lane = lanes[values["lane"]]
                lanes[lane.id] = replace(
                    lane,
                    redeemed=values["total"],
                    seq=min(values["seq"], MOST_COLUMN),
                    lines=Hash(values["lines"]),
                    net=lane.net + values["net"],
                )
    return lanes


class Erc20:
    """A token or stablecoin, as those who hold it use it. Amounts are in its smallest unit."""

    def __init__(self, rpc: Rpc, address: bytes) -> None:
        self.contract = Contract("Token", Address(address), rpc)
        """The contract; only what every ERC-20 has is asked of it."""

    def balance(self, account: bytes) -> int:
        """What an account holds."""
        held: int = self.contract.call("balanceOf", account)
        return held

    def allowance(self, owner: bytes, spender: bytes) -> int:
        """What ``spender`` may take of the owner's."""
        allowed: int = self.contract.call("allowance", owner, spender)
        return allowed

    def written(self) -> tuple[str, int]:
        """Symbol, and digits after the point."""
        symbol, decimals = self.contract.call_many([("symbol", ()), ("decimals", ())])
        return symbol, decimals

    def transfer(self, sender: Sender, to: bytes, amount: int) -> Receipt:
        """Pay. Errors: those of ``Sender.send``."""
        return sender.send(self.contract, "transfer", to, amount)

    def allow(self, sender: Sender, spender: bytes, amount: int) -> None:
        """Let ``spender`` take this much, unless it may take so much already. Errors: those of ``Sender.send``."""
        allowed = self.allowance(sender.address, spender)
        if allowed >= amount:
            return
        # Some stablecoins refuse to change what is not zero.
        if allowed:
            sender.send(self.contract, "approve", spender, 0)
        sender.send(self.contract, "approve", spender, amount)


class Channels:
    """The contract, with an account that pays for transactions. Transactions raise what ``Sender.send`` does, questions ChainRefused."""

    def __init__(self, rpc: Rpc, contracts: Contracts, sender: Sender | None = None) -> None:
        """Without ``sender`` only questions can be asked."""
        self._rpc = rpc
        self._channels = contract(rpc, contracts, "Channels")
        self._sender = sender
        self.payment = Erc20(rpc, contracts.payment)
        """What customers pay in."""

    @property
    def contract(self) -> Contract:
        """The contract itself."""
        return self._channels

    def free(self, customer: bytes) -> int:
        """What of a customer's money no lane holds."""
        free, _ = self._channels.call("channel", customer)
        return int(free)

    def close_delay_seconds(self) -> int:
        """How long after its expiry or revocation a lane closes; 0 in a network without channels, which has no lanes."""
        if not any(self._channels.address):
            return 0
        seconds: int = self._channels.call("CLOSE_DELAY_SECONDS")
        return seconds

    def latest_expiry(self, unix_s: int) -> int:
        """The latest expiry that a lane opened at this network time can have: its clerk's stake must be held beyond it."""
        bonds = Contract("Stake", self._channels.call("BONDS"), self._rpc)
        proof = self._channels.call("PROOF_SECONDS")
        return int(unix_s + bonds.call("UNBONDING_SECONDS") - proof - self.close_delay_seconds())

    def share_bps(self) -> int:
        """The share of what is redeemed that is burned or goes to the treasury now, in basis points."""
        bps: int = self._channels.call("shareBps")
        return bps

    def redeemed(self) -> int:
        """What was handed to the settlement for hosts, ever."""
        net: int = self._channels.call("redeemed", self._channels.call("settlement"))
        return net

    def lane_state(self, lane: bytes) -> tuple[int, int, bool]:
        """Redeemed total, network time at which it closes (0: never opened), whether it is closed."""
        redeemed, closes_at, _, closed = self._channels.call("laneState", lane)
        return redeemed, closes_at, closed

    def lanes(self, first: int = 0, last: int | None = None) -> dict[bytes, LaneFact]:
        """Every lane by id; ``first`` is a block at or before the contract's first one."""
        return fold_lanes(self.events(first, self._rpc.block("latest").number if last is None else last))

    def events(self, first: int, last: int) -> list[Event]:
        """What lanes follow from in the blocks ``first`` to ``last``, both included, in order."""
        return self._channels.events(first, last, LANE_EVENTS)

    def deposit(self, customer: bytes, amount: int) -> Receipt:
        """Add the sender's money to a customer's free money; the contract is allowed to take exactly that first."""
        self.payment.allow(self._payer("deposit"), self._channels.address, amount)
        return self._send("deposit", customer, amount)

    def withdraw(self, amount: int) -> Receipt:
        """Pay the sender so much of its free money."""
        return self._send("withdraw", amount)

    def open_lane(self, key: bytes, clerk: bytes, limit: int, expiry_unix_s: int) -> LaneFact:
        """Open a lane of the sender's channel and set ``limit`` aside for it."""
        receipt = self._send("openLane", key, clerk, limit, expiry_unix_s)
        opened = self._channels.events(receipt.block, receipt.block, ["LaneOpened"])
        mine = next(event.values for event in opened if event.log.transaction == receipt.transaction)
        return _opened(mine, self.close_delay_seconds())

    def revoke(self, lane: LaneFact) -> Receipt:
        """Let a lane of the sender close a close delay from now."""
        return self._send("revokeLane", lane.parameters)

    def close(self, lane: LaneFact) -> Receipt:
        """Give back what a lane did not spend, once it closes; anyone can."""
        return self._send("closeLane", lane.parameters)

    def redeem_many(self, batch: Sequence[Redemption], countersignature: bytes) -> Receipt:
        """Redeem vouchers of one clerk, whose signature is over the list of their struct hashes in this order; anyone can.

        What no longer grows and whose lane closes is passed over. Errors: also ValueError for nothing or a signature of another length.
        """
        signatures = [each.signature for each in batch] + [countersignature]
        if not batch or any(len(signature) != Signature.LENGTH for signature in signatures):
            raise ValueError(f"{len(batch)} vouchers with signatures of {sorted({len(each) for each in signatures})} bytes; each has 64")
        return self._send(
            "redeemMany",
            [each.lane.parameters for each in batch],
            [each.seq for each in batch],
            [each.total for each in batch],
            [each.lines for each in batch],
            [each.signature[:32] for each in batch],
            [each.signature[32:] for each in batch],
            countersignature[:32],
            countersignature[32:],
        )

    def slash_clerk(self, lane: LaneFact, earlier: Proof, later: Proof, asset: bytes = bytes(32)) -> Receipt:
        """Take the stake behind a lane from a clerk that contradicted itself. Half burns, half is kept for harmed hosts: ``compensate``.

        ``earlier`` and ``later``: two vouchers of one sequence, or a later one with a lower total, or with a line of ``asset`` that
        falls or vanishes.
        """
        return self._send("slashClerk", lane.parameters, _proof(earlier), _proof(later), asset)

    def compensate(self, lane: LaneFact, earlier: Proof, later: Proof, asset: bytes) -> Receipt:
        """Pay an asset's owner for what its line lost between the two vouchers, out of what was slashed for the lane."""
        return self._send("compensate", lane.parameters, _proof(earlier), _proof(later), asset)

    def _send(self, function: str, *arguments: object) -> Receipt:
        return self._payer(function).send(self._channels, function, *arguments)

    def _payer(self, function: str) -> Sender:
        if self._sender is None:
            raise ValueError(f"no account was given that could send {function}")
        return self._sender


def _proof(each: Proof) -> tuple[object, ...]:
    """As the contract takes it."""
    voucher, signature = each.voucher, each.countersignature
    lines = [(line.asset, line.money) for line in voucher.lines]
    return voucher.seq, voucher.total, lines, [voucher_struct_hash(voucher)], signature[:32], signature[32:]


def _opened(values: Mapping[str, Any], delay: int) -> LaneFact:
    return LaneFact(
        id=Hash(values["lane"]),
        customer=Address(values["customer"]),
        key=Address(values["key"]),
        clerk=Address(values["clerk"]),
        limit=values["limit"],
        expiry_unix_s=values["expiry"],
        number=values["number"],
        closes_at_unix_s=values["expiry"] + delay,
    )


def _address(name: str, value: bytes) -> bytes:
    if len(value) != Address.LENGTH:
        raise ValueError(f"{name} has {Address.LENGTH} bytes, not {len(value)}")
    return bytes(12) + value


def _uint(name: str, value: int, bits: int) -> bytes:
    if not 0 <= value < 1 << bits:
        raise ValueError(f"{name} = {value} does not fit uint{bits}")
    return value.to_bytes(32, "big")
