"""What a customer gets back, with every verifier gone: the account's key and the chain are all that it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from subak.chain.channels import Channels, LaneFact
from subak.chain.contracts import ChainRefused, Sender
from subak.chain.rpc import Rpc
from subak.core.nouns.document import Address
from subak.core.nouns.network import Contracts


@dataclass(frozen=True)
class LaneReturn:
    """What one lane will give back."""

    lane: LaneFact
    """The lane."""
    unspent: int
    """Payment units that no redeemed voucher spent; fewer come back if one is redeemed before it closes."""
    closable: bool
    """Whether it can be closed now."""


@dataclass(frozen=True)
class Returns:
    """A customer's money in the contract."""

    account: Address
    """Whose it is."""
    balance: int
    """Payment units outside of the contract."""
    free: int
    """Payment units that no lane holds: they can be withdrawn now."""
    lanes: tuple[LaneReturn, ...]
    """Lanes that are not closed, those that close first in front."""
    unix_s: int
    """Network time at which this is so."""

    @property
    def now(self) -> int:
        """What can be had now."""
        return self.free + sum(each.unspent for each in self.lanes if each.closable)

    @property
    def later(self) -> int:
        """What can be had once lanes close, at most."""
        return sum(each.unspent for each in self.lanes if not each.closable)

    def as_dict(self) -> dict[str, Any]:
        """For programs: plain values, money as decimal text in payment units."""
        return {
            "account": "0x" + self.account.hex(),
            "balance": str(self.balance),
            "free": str(self.free),
            "now": str(self.now),
            "later": str(self.later),
            "unix_s": self.unix_s,
            "lanes": [
                {
                    "lane": "0x" + each.lane.id.hex(),
                    "unspent": str(each.unspent),
                    "closes_at_unix_s": each.lane.closes_at_unix_s,
                    "closable": each.closable,
                }
                for each in self.lanes
            ],
        }


def returns(rpc: Rpc, contracts: Contracts, account: bytes, first_block: int = 0) -> Returns:
    """What an account has in the contract. ``first_block``: at or before the contract's first one. Errors: RpcError, RpcUnreachable."""
    channels = Channels(rpc, contracts)
    head = rpc.block("latest")
    mine = [lane for lane in channels.lanes(first_block, head.number).values() if lane.customer == account and not lane.closed]
    mine.sort(key=lambda lane: (lane.closes_at_unix_s, lane.number))
    lanes = tuple(LaneReturn(lane, lane.limit - lane.redeemed, head.timestamp >= lane.closes_at_unix_s) for lane in mine)
    return Returns(Address(account), channels.payment.balance(account), channels.free(account), lanes, head.timestamp)


def revoke_all(rpc: Rpc, contracts: Contracts, sender: Sender, first_block: int = 0) -> list[LaneFact]:
    """Let every lane of the sender close as soon as it can; those that would have closed later. Errors: those of ``Sender.send``."""
    channels = Channels(rpc, contracts, sender)
    revoked = []
    for each in returns(rpc, contracts, sender.address, first_block).lanes:
        try:
            channels.revoke(each.lane)
        except ChainRefused as error:
            if error.name != "Channels_ClosesAnyway":
                raise
        else:
            revoked.append(each.lane)
    return revoked


def take_back(rpc: Rpc, contracts: Contracts, sender: Sender, first_block: int = 0) -> int:
    """Close the sender's lanes that can be closed and withdraw all that is free then; how many payment units came back.

    Errors: those of ``Sender.send``; what was done before them stays done.
    """
    channels = Channels(rpc, contracts, sender)
    for each in returns(rpc, contracts, sender.address, first_block).lanes:
        if each.closable:
            try:
                channels.close(each.lane)
            except ChainRefused as error:
                # Anyone may have been faster.
                if error.name != "Channels_NotClosable" or not error.values["closed"]:
                    raise
    free = channels.free(sender.address)
    if free:
        channels.withdraw(free)
    return free
