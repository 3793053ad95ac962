"""Assets that many people paid for: raises, milestones, revenue by shares. The contracts are SharesFactory and AssetShares."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from eth_abi.exceptions import DecodingError

from subak.chain.channels import Erc20
from subak.chain.contracts import Contract, Sender
from subak.chain.deploy import contract, word_of
from subak.chain.rpc import Receipt, Rpc
from subak.chain.snapshot import text_of
from subak.core.nouns.document import Address, Hash
from subak.core.nouns.network import Contracts

NO_ASSET = Hash(bytes(32))
"""Of a milestone that is paid for the raise's success alone."""


class RaiseState(IntEnum):
    """What happens to a share contract's money."""

    RAISE = 0
    LIVE = 1
    REFUND = 2


@dataclass(frozen=True)
class Milestone:
    """A part of the raised money and what it is paid for."""

    asset: Hash
    """Whose work counts, once the share contract owns it; zeros: paid for the raise's success alone."""
    amount_bps: int
    """Part of the raised money in basis points, rounded down."""
    min_units: int
    """Work ever, in the first unit of the asset's kind, that it needs."""
    min_paid_epochs: int
    """Epochs ever in which the asset was paid, that it needs."""


@dataclass(frozen=True)
class Terms:
    """What is agreed when a raise begins; no part of it can change. Money is in payment units, and a share is one of them."""

    name: str
    """Name of the shares."""
    symbol: str
    """Their ticker."""
    builder: Address
    """Who is paid the raised money."""
    soft_cap: int
    """The least that makes the raise succeed."""
    hard_cap: int
    """The most that it takes."""
    raise_end_unix_s: int
    """Network time from which nobody can pay in."""
    build_end_unix_s: int
    """Network time from which what no milestone released is the holders'."""
    topics: tuple[str, ...]
    """What must be attested of whoever receives shares."""
    milestones: tuple[Milestone, ...]
    """What the money is released for; their parts add up to 10,000."""

    @property
    def struct(self) -> tuple[object, ...]:
        """Solidity's struct Terms."""
        milestones = [(each.asset, each.amount_bps, each.min_units, each.min_paid_epochs) for each in self.milestones]
        head = (self.name, self.symbol, self.builder, self.soft_cap, self.hard_cap, self.raise_end_unix_s, self.build_end_unix_s)
        return (*head, [word_of(topic) for topic in self.topics], milestones)

    @classmethod
    def of(cls, struct: Sequence[Any]) -> Terms:
        """The terms that Solidity's struct holds."""
        name, symbol, builder, soft_cap, hard_cap, raise_end, build_end, topics, milestones = struct
        parts = tuple(Milestone(Hash(asset), bps, units, epochs) for asset, bps, units, epochs in milestones)
        names = tuple(text_of(topic) for topic in topics)
        return cls(name, symbol, Address(builder), soft_cap, hard_cap, raise_end, build_end, names, parts)


class SharesFactory:
    """Where raises begin. Transactions raise what ``Sender.send`` does, questions ChainRefused."""

    def __init__(self, rpc: Rpc, contracts: Contracts, sender: Sender | None = None) -> None:
        """Without ``sender`` only questions can be asked."""
        self._rpc = rpc
        self._contracts = contracts
        self._factory = contract(rpc, contracts, "SharesFactory")
        self._sender = sender

    def create(self, terms: Terms, salt: bytes = bytes(32)) -> Shares:
        """Begin a raise; the sender is its builder. ``salt``, 32 bytes, tells raises of the same terms apart."""
        if self._sender is None:
            raise ValueError("no account was given that could send create")
        receipt = self._sender.send(self._factory, "create", terms.struct, salt)
        created = self._factory.events(receipt.block, receipt.block, ["Created"])
        address = next(event.values["shares"] for event in created if event.log.transaction == receipt.transaction)
        return self.shares(address)

    def shares(self, address: bytes) -> Shares:
        """The share contract at an address."""
        return Shares(self._rpc, self._contracts, address, self._sender)

    def is_shares(self, address: bytes) -> bool:
        """Whether a share contract came from here: only then do its terms keep to the factory's bounds."""
        ours: bool = self._factory.call("isShares", address)
        return ours

    def created(self, first: int = 0, last: int | None = None) -> list[tuple[Address, Terms]]:
        """The raises that began in the blocks ``first`` to ``last``, in order; without those whose name is no text."""
        end = self._rpc.block("latest").number if last is None else last
        found = []
        for log in self._rpc.logs(first, end, [self._factory.address], [self._factory.abi.topic("Created")]):
            with suppress(DecodingError, UnicodeError):
                event = self._factory.event(log)
                if event is not None:
                    found.append((event.values["shares"], Terms.of(event.values["terms"])))
        return found


class Shares:
    """One share contract. Currencies are the payment asset and the token."""

    def __init__(self, rpc: Rpc, contracts: Contracts, address: bytes, sender: Sender | None = None) -> None:
        """Without ``sender`` only questions can be asked."""
        self._shares = Contract("AssetShares", Address(address), rpc)
        self._payment = Erc20(rpc, contracts.payment)
        self._sender = sender

    @property
    def contract(self) -> Contract:
        """The contract itself, which is also an ERC-20."""
        return self._shares

    def state(self) -> RaiseState:
        """Whether money can be paid in, belongs to builder and holders, or goes back."""
        return RaiseState(self._shares.call("state"))

    def terms(self) -> Terms:
        """What was agreed."""
        return Terms.of(self._shares.call("terms"))

    def raised(self) -> int:
        """Shares there are: payment units that were put in and not taken back."""
        supply: int = self._shares.call("totalSupply")
        return supply

    def balance(self, account: bytes) -> int:
        """An account's shares."""
        held: int = self._shares.call("balanceOf", account)
        return held

    def withdrawable(self, account: bytes, currency: bytes) -> int:
        """What an account could withdraw now of the revenue in a currency (its contract's address)."""
        due: int = self._shares.call("withdrawable", account, currency)
        return due

    def contribute(self, amount: int) -> Receipt:
        """Pay in, or what the hard cap leaves of it; the contract is allowed to take exactly ``amount`` first."""
        self._payment.allow(self._payer("contribute"), self._shares.address, amount)
        return self._send("contribute", amount)

    def refund(self, account: bytes) -> Receipt:
        """After a failed raise, turn all of an account's shares back into its money; anyone can."""
        return self._send("refund", account)

    def release(self, milestone: int, leaf: tuple[int, int, int, int], proof: Sequence[bytes]) -> Receipt:
        """Pay the builder for a milestone. ``leaf``: its asset's units, rewards, fees and paid epochs, ever, as ``proof`` is for."""
        return self._send("release", milestone, *leaf, list(proof))

    def sync(self) -> Receipt:
        """Count what arrived as revenue of today's holders; anyone can."""
        return self._send("sync")

    def withdraw(self, account: bytes, currency: bytes) -> Receipt:
        """Pay an account its revenue in a currency; anyone can."""
        return self._send("withdraw", account, currency)

    def transfer(self, to: bytes, amount: int) -> Receipt:
        """Give shares of the sender away; the receiver must hold what the terms ask for."""
        return self._send("transfer", to, amount)

    def _send(self, function: str, *arguments: object) -> Receipt:
        return self._payer(function).send(self._shares, function, *arguments)

    def _payer(self, function: str) -> Sender:
        if self._sender is None:
            raise ValueError(f"no account was given that could send {function}")
        return self._sender
