"""How members decide: proposals, votes and what they do, through the Governor and its Timelock. Or what a multisig would have to send."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from subak.chain.contracts import ChainRefused, Contract, Sender
from subak.chain.deploy import FIELDS, SEAMS, contract, word_of
from subak.chain.rpc import Receipt, Rpc
from subak.chain.snapshot import text_of
from subak.chain.succession import standing
from subak.core.canon.keccak import keccak256
from subak.core.nouns.document import Address, Hash
from subak.core.nouns.network import Contracts


class ProposalState(IntEnum):
    """As OpenZeppelin's Governor counts them."""

    PENDING = 0
    ACTIVE = 1
    CANCELED = 2
    DEFEATED = 3
    SUCCEEDED = 4
    QUEUED = 5
    EXPIRED = 6
    EXECUTED = 7


class Support(IntEnum):
    """What a member says."""

    AGAINST = 0
    FOR = 1
    ABSTAIN = 2


@dataclass(frozen=True)
class Action:
    """One call that a proposal makes."""

    target: Address
    """The contract."""
    data: bytes
    """Its call data."""


@dataclass(frozen=True)
class Proposal:
    """A proposal, and how it stands."""

    number: int
    """Counting from 1, in the order in which they were made: what people call it."""
    id: int
    """The Governor's."""
    proposer: Address
    """Who made it."""
    description: str
    """What its proposer says."""
    actions: tuple[Action, ...]
    """What it does if it passes."""
    vote_start_unix_s: int
    """Network time as of which votes count, and from which they are cast."""
    vote_end_unix_s: int
    """Network time at which the vote ends; later if the quorum is reached late."""
    state: ProposalState
    """How it stands."""
    votes_for: int
    """Token units for it."""
    votes_against: int
    """Token units against it."""
    votes_abstain: int
    """Token units that count for the quorum only."""
    quorum: int
    """Token units that must be for it or abstain; 0 before the vote begins."""
    eta_unix_s: int
    """Network time from which it can be executed; 0 until it is queued."""


class Governance:
    """The Governor, with an account that pays for transactions. Transactions raise what ``Sender.send`` does, questions ChainRefused.

    Where a multisig decides there is no Governor; the actions are the same, and the multisig sends them itself.
    """

    def __init__(self, rpc: Rpc, contracts: Contracts, sender: Sender | None = None) -> None:
        """Without ``sender`` only questions can be asked."""
        self._rpc, self._contracts, self._sender = rpc, contracts, sender
        self._governor = contract(rpc, contracts, "SubakGovernor")
        self._token = contract(rpc, contracts, "Token")

    @property
    def contract(self) -> Contract:
        """The Governor itself."""
        return self._governor

    @property
    def votes(self) -> bool:
        """Whether members vote; if not, a multisig decides: ``Contracts.timelock``."""
        return any(self._contracts.governor)

    def proposals(self) -> list[Proposal]:
        """Every proposal that was ever made, in order."""
        made = self._governor.events(0, self._rpc.block().number, ["ProposalCreated"])
        return [self._proposal(number, event.values) for number, event in enumerate(made, 1)]

    def proposal(self, number: int) -> Proposal:
        """One of them. Errors: LookupError naming how many there are."""
        every = self.proposals()
        if not 1 <= number <= len(every):
            raise LookupError(f"there is no proposal {number}: {len(every)} were made")
        return every[number - 1]

    def lists_verifiers(self) -> bool:
        """Whether the authority names who verifies; if not, stakes decide. Errors: RpcError, RpcUnreachable."""
        try:
            contract(self._rpc, self._contracts, "AllowList").call("list")
        except ChainRefused:
            return False
        return True

    def issuers_of(self, topic: str) -> list[Address]:
        """Whose attestations on a topic count now. Errors: PlanRefused for what is no topic."""
        return [Address(each) for each in contract(self._rpc, self._contracts, "Attestations").call("issuersOf", word_of(topic))]

    def votes_of(self, account: bytes) -> int:
        """Token units that an account votes with now: those delegated to it."""
        votes: int = self._token.call("getVotes", account)
        return votes

    def propose(self, actions: Sequence[Action], description: str) -> Receipt:
        """Put it to the vote. The description must differ from every other of the same actions."""
        return self._send("propose", *_lists(actions), description)

    def proposing(self, actions: Sequence[Action], description: str) -> Action:
        """The call by which anyone puts it to the vote, for an account that signs elsewhere."""
        return self._action("SubakGovernor", "propose", *_lists(actions), description)

    def vote(self, proposal: Proposal, support: Support) -> Receipt:
        """Cast the sender's votes."""
        return self._send("castVote", proposal.id, int(support))

    def queue(self, proposal: Proposal) -> Receipt:
        """Let what passed wait in the timelock. Anyone can."""
        return self._send("queue", *_lists(proposal.actions), keccak256(proposal.description.encode()))

    def execute(self, proposal: Proposal) -> Receipt:
        """Do what passed and waited. Anyone can."""
        return self._send("execute", *_lists(proposal.actions), keccak256(proposal.description.encode()))

    def delegate(self, to: bytes) -> Receipt:
        """Let an account vote with the sender's tokens, also the sender's own: tokens that nobody is named for vote nothing."""
        if self._sender is None:
            raise ValueError("no account was given that could delegate")
        return self._sender.send(self._token, "delegate", to)

    def set_policy(self, from_epoch: int, policy: bytes) -> Action:
        """A new policy from an epoch on."""
        return self._action("Settlement", "setPolicy", from_epoch, policy)

    def set_weights(self, from_epoch: int, weights_bps: Mapping[str, int]) -> Action:
        """Other shares of the budget from an epoch on, in basis points by pool. Errors: PlanRefused for a pool's name."""
        return self._action("Minter", "setWeights", from_epoch, [word_of(pool) for pool in weights_bps], list(weights_bps.values()))

    def grant(self, asset: bytes, to: bytes, amount: int, reason: str) -> Action:
        """A payment from the treasury."""
        return self._action("Treasury", "grant", asset, to, amount, reason)

    def expel(self, owner: bytes) -> Action:
        """Somebody verifies no longer; the stake is released as after an exit."""
        return self._action("Stake", "expel", owner)

    def punish(self, owner: bytes, bps: int, reason: bytes) -> Action:
        """A part of a stake burns, for what a document with this hash shows."""
        return self._action("Stake", "punish", owner, bps, reason)

    def strike(self, first: int, attempt: int, slash_bps: int) -> Action:
        """An escalated result is struck, and its signers pay."""
        return self._action("Challenges", "strike", first, attempt, slash_bps)

    def set_issuer(self, topic: str, issuer: bytes, accepted: bool) -> Action:
        """Whether somebody's attestations count."""
        return self._action("Attestations", "setIssuer", word_of(topic), issuer, accepted)

    def set_verifiers(self, weights: Mapping[bytes, int]) -> Action:
        """Who verifies from the next epoch on, and how much each weighs; only where an ``AllowList`` names them."""
        ordered = sorted(weights.items())
        return self._action("AllowList", "set", [signer for signer, _ in ordered], [weight for _, weight in ordered])

    def succeed(self, settlement: bytes, challenges: bytes) -> list[Action]:
        """A new Settlement with its Challenges: all pointers that the network has are announced together. Errors: ChainRefused."""
        wanted = {"Minter": settlement, "Channels": settlement, "Stake": challenges}
        there = {each.name for each in standing(self._rpc, self._contracts).pointers}
        return [self._action(name, "announce", next_) for name, next_ in wanted.items() if name in there]

    def words(self, action: Action) -> str:
        """What an action does, as far as it calls one of the network's contracts."""
        named = FIELDS | SEAMS if self.votes else SEAMS | FIELDS
        for name, field in named.items():
            if getattr(self._contracts, field) != action.target or name == "TestDollar":
                continue
            abi = contract(self._rpc, self._contracts, name).abi
            for function, signature in abi.functions.items():
                if signature.hash[:4] == action.data[:4]:
                    values = zip(signature.names, abi.decode_call(function, action.data), strict=True)
                    return f"{name}.{function}({', '.join(f'{key} {_word(value)}' for key, value in values)})"
        return f"calls {action.target!r} with {len(action.data)} bytes that none of the network's contracts explains"

    def policy_of(self, proposal: Proposal) -> tuple[int, Hash] | None:
        """The policy that a proposal would set, and from which epoch; None if it sets none."""
        found = self._arguments(proposal, "Settlement", "setPolicy")
        return (found[0], Hash(found[1])) if found else None

    def weights_of(self, proposal: Proposal) -> tuple[int, dict[str, int]] | None:
        """The pools' shares that a proposal would set, in basis points, and from which epoch; None if it sets none."""
        found = self._arguments(proposal, "Minter", "setWeights")
        return (found[0], dict(zip(map(text_of, found[1]), found[2], strict=True))) if found else None

    def _arguments(self, proposal: Proposal, name: str, function: str) -> tuple[Any, ...] | None:
        called = contract(self._rpc, self._contracts, name)
        for action in proposal.actions:
            if action.target == called.address and action.data[:4] == called.abi.functions[function].hash[:4]:
                return called.abi.decode_call(function, action.data)
        return None

    def _proposal(self, number: int, made: Mapping[str, Any]) -> Proposal:
        id_ = made["proposalId"]
        asked = [(name, (id_,)) for name in ("state", "proposalVotes", "proposalDeadline", "proposalEta", "proposalSnapshot")]
        state, (against, for_, abstain), end, eta, start = self._governor.call_many(asked)
        past = start < self._rpc.block().timestamp
        return Proposal(
            number=number,
            id=id_,
            proposer=Address(made["proposer"]),
            description=made["description"],
            actions=tuple(Action(Address(target), data) for target, data in zip(made["targets"], made["calldatas"], strict=True)),
            vote_start_unix_s=start,
            vote_end_unix_s=end,
            state=ProposalState(state),
            votes_for=for_,
            votes_against=against,
            votes_abstain=abstain,
            quorum=self._governor.call("quorum", start) if past else 0,
            eta_unix_s=eta,
        )

    def _action(self, name: str, function: str, *arguments: object) -> Action:
        called = contract(self._rpc, self._contracts, name)
        return Action(called.address, called.abi.encode_call(function, *arguments))

    def _send(self, function: str, *arguments: object) -> Receipt:
        if self._sender is None:
            raise ValueError(f"no account was given that could send {function}")
        return self._sender.send(self._governor, function, *arguments)


def _lists(actions: Sequence[Action]) -> tuple[list[bytes], list[int], list[bytes]]:
    return [action.target for action in actions], [0] * len(actions), [action.data for action in actions]


def _word(value: object) -> str:
    if isinstance(value, bytes):
        readable = text_of(value) if len(value) == 32 else ""
        return readable or "0x" + value.hex()
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_word, value)) + "]"
    return str(value)
