"""A network among contracts that were there before: rewards in an existing ERC-20 out of a vault, verifiers that an authority names, that
authority a multisig, assets mirrored from an existing ERC-721. Settlement, challenges, claims and all that watches them are the same.

There are no prices here: customers pay the network as they did before, so there are no fees.
"""

from __future__ import annotations

from typing import Any

import msgspec

from subak.chain.abi import abi
from subak.chain.accounts import Account
from subak.chain.contracts import ChainRefused, Sender
from subak.chain.deploy import (
    FIELDS,
    MONEY_LIMIT,
    SEAMS,
    Common,
    PlanRefused,
    address_of,
    contract,
    create_address,
    create_all,
    solidity_clock,
    word_of,
)
from subak.chain.rpc import Rpc
from subak.core.nouns.document import Address
from subak.core.nouns.network import Contracts

MOST_SIGNERS = 64
"""As AllowList counts."""
_NOBODY = Address(bytes(20))


class Existing(msgspec.Struct, frozen=True):
    """What was there before, as 0x hex."""

    token: str
    """The ERC-20 that rewards and bonds are in; it must move exactly what it says."""
    collection: str
    """The ERC-721 whose tokens are the devices."""
    authority: str
    """The multisig, or whatever contract decides: policies, pool weights, verifiers, a new Settlement."""


class BudgetPlan(msgspec.Struct, frozen=True):
    """What each epoch may pay out of the vault, in the token's smallest unit."""

    epochs_per_period: int
    """Epochs with the same budget."""
    budget_per_epoch: tuple[int, ...]
    """What an epoch of each period may pay; nothing after the last."""


class SeamPlan(Common, frozen=True, kw_only=True):
    """All that the founders of an existing network decide before anything is on a chain."""

    existing: Existing
    """What was there before."""
    budget: BudgetPlan
    """What may be paid."""
    verifiers: dict[str, int]
    """Who signs from epoch 0, as 0x hex, and how much each weighs."""

    @property
    def bond(self) -> int:
        """What a first challenge costs."""
        return self.challenges.bond or max(1, max(self.budget.budget_per_epoch, default=0) // 100)

    def check(self) -> None:
        """What the contracts would refuse only after some of them are deployed, or never. Errors: PlanRefused."""
        self.check_common()
        for text in (self.existing.token, self.existing.collection, self.existing.authority):
            address_of(text)
        signers = {address_of(text) for text in self.verifiers}
        if not 0 < len(signers) <= MOST_SIGNERS or len(signers) < len(self.verifiers):
            raise PlanRefused(f"{len(self.verifiers)} verifiers are named, {len(signers)} different ones: 1 to {MOST_SIGNERS} can sign")
        if min(self.verifiers.values()) <= 0:
            raise PlanRefused(f"every verifier weighs more than 0: {self.verifiers}")
        scheduled = sum(self.budget.budget_per_epoch) * self.budget.epochs_per_period
        if scheduled >= MONEY_LIMIT:
            raise PlanRefused(f"the budgets add up to {scheduled}, which is not below 10^38")


def deploy_seams(rpc: Rpc, founder: Account, plan: SeamPlan) -> Contracts:
    """Deploy what an existing network lacks. The founder pays, and may register tokens of the collection until genesis; it administers
    nothing. The vault is empty: whoever wants the network to pay sends tokens to ``Contracts.minter``, at any time.

    Promises and errors: as ``deploy``; also PlanRefused if there is no contract at an address that the plan says exists.
    """
    plan.check()
    plan.check_chain(rpc)
    token, collection, authority = (address_of(text) for text in msgspec.structs.astuple(plan.existing))
    for what, address in zip(Existing.__struct_fields__, (token, collection, authority), strict=True):
        if not rpc.code(address):
            raise PlanRefused(f"the plan's {what} 0x{address.hex()} is no contract on chain {plan.chain_id}")
    sender = Sender(rpc, founder)
    start = rpc.nonce(founder.address)
    names = ["AllowList", "Vault", "MirrorAssets", "Attestations", "Settlement", "Challenges"]
    names += ["Guardian"] if plan.guardian.keyholder else []
    at = {name: create_address(founder.address, start + place) for place, name in enumerate(names)}
    weights, budget, settlement, challenges = (at[name] for name in ("AllowList", "Vault", "Settlement", "Challenges"))
    guardian = at.get("Guardian", _NOBODY)
    clock = plan.clock
    signers = sorted((address_of(text), weight) for text, weight in plan.verifiers.items())
    arguments: dict[str, tuple[Any, ...]] = {
        "AllowList": (
            *(authority, challenges, clock.genesis_unix_s, clock.epoch_seconds),
            *([signer for signer, _ in signers], [weight for _, weight in signers]),
        ),
        "Vault": (
            *(token, settlement, authority, guardian, plan.replace_seconds),
            (clock.genesis_unix_s, clock.epoch_seconds, plan.budget.epochs_per_period, list(plan.budget.budget_per_epoch)),
            *([word_of(pool) for pool in plan.pools], list(plan.pools.values())),
        ),
        "MirrorAssets": (collection, authority, clock.genesis_unix_s, founder.address),
        "Attestations": (
            authority,
            [word_of(topic) for topic, issuers in plan.issuers.items() for _ in issuers],
            [address_of(issuer) for issuers in plan.issuers.values() for issuer in issuers],
        ),
        "Settlement": (
            (token, token, budget, weights, _NOBODY, authority, challenges, _NOBODY),
            solidity_clock(clock),
            *(plan.genesis.state_root, plan.genesis.policy),
        ),
        "Challenges": ((settlement, token, weights, authority, guardian, plan.bond, plan.challenges.data_fee or max(1, plan.bond // 10)),),
        "Guardian": (address_of(plan.guardian.keyholder or "0x" + _NOBODY.hex()), plan.guardian.until_unix_s, budget, challenges),
    }
    create_all(sender, {name: abi(name).encode_creation(*arguments[name]) for name in names}, start, unsure=("Vault", "Settlement"))
    none = dict.fromkeys(Contracts.__struct_fields__, _NOBODY)
    known = {"token": token, "payment": token, "timelock": authority}
    return Contracts(**none | known | {(FIELDS | SEAMS)[name]: address for name, address in at.items()})


def collection_of(rpc: Rpc, contracts: Contracts) -> Address | None:
    """The collection that the network's assets are mirrored from; None where they stand in a contract of their own.

    Errors: RpcError, RpcUnreachable.
    """
    try:
        return Address(contract(rpc, contracts, "MirrorAssets").call("COLLECTION"))
    except ChainRefused:
        return None
