"""What the chain says of accounts and their money, as text; nothing where it does not answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from subak.chain.channels import Erc20
from subak.chain.deploy import contract
from subak.chain.rpc import Rpc
from subak.core.nouns import Address, Network
from subak.explorer.words import TokenFacts


@dataclass(frozen=True)
class Currencies:
    """The two that there are, which may be one."""

    token: TokenFacts
    """What rewards are paid in."""
    payment: TokenFacts
    """What customers pay and fees are paid in."""
    one: bool = False
    """Whether customers pay in the token."""


@dataclass(frozen=True)
class Purse:
    """What the chain says of an account; everything is None if it did not answer. In base units."""

    taken: str | None = None
    """Rewards taken on chain, ever."""
    fees_taken: str | None = None
    """Fees taken on chain, ever."""
    balance: str | None = None
    """The account's token balance."""
    payment_balance: str | None = None
    """Its balance in the payment asset."""


@dataclass(frozen=True)
class Earlier:
    """What an account has in a Settlement that a vote replaced: it stays claimable there. In base units."""

    settlement: str
    """That Settlement, 0x hex."""
    epoch: int
    """The first epoch that another one made final."""
    rewards: str
    """On the books there, ever."""
    fees: str
    """The same in the payment asset."""
    taken: str | None
    """Rewards taken there; None if the chain did not answer."""
    fees_taken: str | None
    """Fees taken there; None likewise."""


def currencies_of(network: Network, rpc: Rpc) -> Currencies:
    """How the chain's token and payment asset are written. Errors: RpcError, RpcUnreachable."""
    contracts = network.contracts
    token, payment = (TokenFacts(*Erc20(rpc, address).written()) for address in (contracts.token, contracts.payment))
    return Currencies(token, payment, contracts.token == contracts.payment)


def purses(network: Network, rpc: Rpc | None, accounts: Sequence[str]) -> dict[str, Purse]:
    """What the chain says of each of these accounts."""
    nothing = {account: Purse() for account in accounts}
    if rpc is None or not accounts:
        return nothing
    asked = [(Address(bytes.fromhex(account[2:])),) for account in accounts]
    contracts = network.contracts
    try:
        taken = contract(rpc, contracts, "Settlement").call_many([("taken", each) for each in asked])
        held = [("balanceOf", each) for each in asked]
        balances, payments = (Erc20(rpc, address).contract.call_many(held) for address in (contracts.token, contracts.payment))
    except (ConnectionError, RuntimeError, ValueError):
        return nothing
    told = zip(accounts, taken, balances, payments, strict=True)
    return {account: Purse(str(rewards), str(fees), str(tokens), str(money)) for account, (rewards, fees), tokens, money in told}


def earlier(network: Network, rpc: Rpc | None, account: str, rows: Sequence[Mapping[str, Any]]) -> tuple[Earlier, ...]:
    """An account's totals in Settlements before this one (settlement, epoch, rewards, fees), with what was taken there."""
    found = []
    for row in rows:
        contracts = msgspec.structs.replace(network.contracts, settlement=Address(bytes.fromhex(row["settlement"][2:])))
        purse = purses(msgspec.structs.replace(network, contracts=contracts), rpc, [account])[account]
        names = ("settlement", "epoch", "rewards", "fees")
        found.append(Earlier(**{name: row[name] for name in names}, taken=purse.taken, fees_taken=purse.fees_taken))
    return tuple(found)


def is_shares(owner: str, network: Network, rpc: Rpc | None) -> bool | None:
    """Whether this account is a share contract that the network's factory made; None if the chain does not answer."""
    if rpc is None:
        return None
    try:
        shares: bool = contract(rpc, network.contracts, "SharesFactory").call("isShares", Address(bytes.fromhex(owner[2:])))
    except (ConnectionError, RuntimeError, ValueError):
        return None
    return shares
