"""Network: one deployment. ``network.toml`` is read by deploy, nodes and the simulator alike."""

from __future__ import annotations

import msgspec

from subak.core.canon.ids import network_id
from subak.core.nouns.document import Address


class Clock(msgspec.Struct, frozen=True):
    """When epochs begin and end; the same numbers stand in Settlement's bytecode."""

    genesis_unix_s: int
    """Start of epoch 0."""
    epoch_seconds: int
    """Length of an epoch."""
    grace_seconds: int
    """How long after an epoch's end intake still counts for it."""
    attempt_seconds: int
    """How long one lead has to open and propose before the next takes over."""
    challenge_seconds: int
    """How long a proposed root waits before it is final."""
    seal_seconds: int = 1800
    """How long after an opening verifiers hand in seals before anyone votes."""
    reconfirm_seconds: int = 2 * 86_400
    """How long verifiers have to judge challenged Books again."""
    governance_seconds: int = 14 * 86_400
    """How long governance has to strike an escalated result."""

    def first_unix_s(self, epoch: int) -> int:
        return self.genesis_unix_s + epoch * self.epoch_seconds

    def end_unix_s(self, epoch: int) -> int:
        return self.first_unix_s(epoch + 1)

    def close_unix_s(self, epoch: int) -> int:
        """When intake for the epoch closes."""
        return self.end_unix_s(epoch) + self.grace_seconds

    def epoch_at(self, unix_s: int) -> int:
        """Epoch that holds this moment; -1 and below before genesis."""
        return (unix_s - self.genesis_unix_s) // self.epoch_seconds

    def epochs_closed_at(self, unix_s: int) -> int:
        """How many epochs have closed their intake by this moment."""
        return max(0, (unix_s - self.grace_seconds - self.genesis_unix_s) // self.epoch_seconds)


class Contracts(msgspec.Struct, frozen=True):
    """Addresses of the deployed contracts; zero for those that a network does without."""

    token: Address
    """ERC-20 with votes, capped."""
    payment: Address
    """What customers pay in: a stablecoin, or the token itself, which is then burned in part."""
    minter: Address
    """Schedule, pool weights, breaker: what Settlement knows as its budget."""
    stake: Address
    """Verifiers' bonds: what Settlement knows as its weights."""
    assets: Address
    """ERC-721 of assets and sites."""
    settlement: Address
    """Roots and claims."""
    channels: Address
    """Customers' money, lanes and redeemed vouchers: what Settlement knows as its revenue."""
    attestations: Address
    """Who says what of whom, until when."""
    shares: Address
    """Makes the share contracts of assets that many people own."""
    timelock: Address
    """The authority: a timelock that only votes move, or a multisig that was there before."""
    challenges: Address = Address(bytes(20))
    """Bonds of those who contest a result, and the proofs that punish."""
    governor: Address = Address(bytes(20))
    """Where members vote; zero where a multisig decides."""
    treasury: Address = Address(bytes(20))
    """Holds the network's share of what customers pay; zero if there is none."""
    guardian: Address = Address(bytes(20))
    """May pause minting and challenge without a bond until it expires; zero if there is none."""


class Nodes(msgspec.Struct, frozen=True):
    """Where to reach the network. A convenience: nothing it says is trusted."""

    rpc: str = ""
    """JSON-RPC of the chain."""
    verifiers: tuple[str, ...] = ()
    """Base addresses of the verifiers."""
    explorer: str = ""
    """Address of the explorer page."""


class Network(msgspec.Struct, frozen=True):
    """One deployment: chain, addresses, clock."""

    name: str
    """What people call it."""
    chain_id: int
    """EIP-155 id of the chain."""
    clock: Clock
    """Epochs and windows."""
    contracts: Contracts
    """Where the contracts are."""
    nodes: Nodes = Nodes()
    """Where to reach it."""
    speed: int = 1
    """Network seconds per real second; 1 except in a replay."""

    @property
    def id(self) -> bytes:
        """32 bytes that stand in every Entry: docs/formats.md, Identities."""
        return network_id(self.chain_id, self.contracts.assets)
