"""The Challenges contract: bonds of those who contest a result, and proofs against those who signed what was wrong. Who signed a result
stands in the transaction that proposed it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from enum import IntEnum

from subak.chain.accounts import recover
from subak.chain.channels import Erc20
from subak.chain.contracts import Contract, Event, Sender
from subak.chain.deploy import contract
from subak.chain.rpc import Receipt, Rpc
from subak.core.canon.keccak import keccak256
from subak.core.canon.typed_data import EpochRoot, result_hash, vote_digest
from subak.core.nouns import Vote
from subak.core.nouns.document import Address, Hash, Signature
from subak.core.nouns.network import Contracts

MOST_REASON_BYTES = 1_000
"""A reason that is longer is cut: its bytes cost gas."""


class Outcome(IntEnum):
    """How a dispute ended."""

    RUNNING = 0
    CONFIRMED = 1
    REPLACED = 2
    REJECTED = 3
    STRUCK = 4


@dataclass(frozen=True)
class Dispute:
    """One range's dispute in one attempt. Amounts are in the token that bonds are in."""

    challenger: Address
    """Who doubted the result of round 0; zero for nobody."""
    bond: int
    """What it put behind that, until the bond is settled."""
    escalator: Address
    """Who doubted the result of round 1 to the authority; zero for nobody."""
    stake: int
    """What it put behind that, until it is settled."""
    outcome: Outcome
    """How it ended."""
    extended: bool
    """Whether the window was prolonged because data was missing."""


@dataclass(frozen=True)
class Proposal:
    """A result as it was proposed on the chain, with the votes that carried it."""

    message: EpochRoot
    """What was voted for."""
    votes: tuple[Vote, ...]
    """For it, in ascending order of their signers."""
    block: int
    """Height of its block."""
    unix_s: int
    """Network time of its block."""


@dataclass(frozen=True)
class Leaf:
    """An account's totals under a payout root, with their proof."""

    account: bytes
    """Whose."""
    rewards: int
    """Token units, ever."""
    fees: int
    """Payment units, ever."""
    proof: Sequence[bytes]
    """Merkle path to the root."""


class Challenges:
    """The contract, with an account that pays for transactions. Transactions raise what ``Sender.send`` does, questions ChainRefused."""

    def __init__(self, rpc: Rpc, contracts: Contracts, sender: Sender | None = None) -> None:
        """Without ``sender`` only questions can be asked."""
        self._rpc = rpc
        self._challenges = contract(rpc, contracts, "Challenges")
        self._settlement = contract(rpc, contracts, "Settlement")
        self._sender = sender

    @property
    def contract(self) -> Contract:
        """The contract itself."""
        return self._challenges

    def token(self) -> Erc20:
        """What bonds are paid in."""
        return Erc20(self._rpc, self._challenges.call("TOKEN"))

    def bond_now(self) -> int:
        """What a challenge costs now."""
        bond: int = self._challenges.call("bondNow")
        return bond

    def escalation_bond(self) -> int:
        """What asking the authority costs."""
        bonds, bond = self._challenges.call_many([("ESCALATION_BONDS", ()), ("BOND", ())])
        return int(bonds * bond)

    def data_fee(self) -> int:
        """What asking for missing data burns."""
        fee: int = self._challenges.call("DATA_FEE")
        return fee

    def dispute(self, first: int, attempt: int) -> Dispute:
        """The dispute about a range in an attempt."""
        challenger, bond, escalator, stake, outcome, extended = self._challenges.call("disputes", key_of(first, attempt))
        return Dispute(Address(challenger), bond, Address(escalator), stake, Outcome(outcome), extended)

    def faulty_bps(self, first: int, attempt: int, result: bytes) -> int:
        """What a signer of a result loses, in basis points; 0 if nobody showed that it is wrong."""
        bps: int = self._challenges.call("faulty", key_of(first, attempt), result)
        return bps

    def punished(self, first: int, attempt: int, signers: Sequence[bytes]) -> list[bool]:
        """Which of these signers a range's attempt already cost."""
        key = key_of(first, attempt)
        return self._challenges.call_many([("punished", (key, signer)) for signer in signers])

    def proposal(self, event: Event) -> Proposal | None:
        """What the transaction of a Settlement's Proposed event carried, also if another contract handed it on; None if its words cannot
        be found there. Errors: LookupError if the node forgot the transaction."""
        data, told = self._rpc.call_data(event.log.transaction), event.values
        name = (told["first"], told["attempt"], told["round"])
        digest = vote_digest(*name, told["result"], self._rpc.chain_id(), self._settlement.address)
        selector = self._settlement.abi.functions["propose"].hash[:4]
        at = data.find(selector)
        while at >= 0:
            try:
                root, rs, vss = self._settlement.abi.decode_call("propose", data[at:])
                signatures = [Signature(r + vs) for r, vs in zip(rs, vss, strict=True)]
                signers = [recover(digest, each) for each in signatures]
                message = EpochRoot(*root)
                if result_hash(message) == told["result"] and signers == list(told["signers"]):
                    votes = [Vote(*name, Hash(told["result"]), *pair) for pair in zip(signers, signatures, strict=True)]
                    return Proposal(message, tuple(votes), event.log.block, event.log.timestamp)
            except ValueError:
                pass
            at = data.find(selector, at + 1)
        return None

    def challenge(self, first: int, attempt: int, reason: str) -> Receipt:
        """Have the pending result judged again. The bond must be approved."""
        return self._send("challenge", first, attempt, _cut(reason))

    def challenge_data(self, first: int, attempt: int, path: str) -> Receipt:
        """Say that a file cannot be had, which prolongs the window once. The fee must be approved."""
        return self._send("challengeData", first, attempt, _cut(path))

    def escalate(self, first: int, attempt: int) -> Receipt:
        """Ask the authority about the result of round 1. The bond must be approved."""
        return self._send("escalate", first, attempt)

    def settle_bonds(self, first: int, attempt: int) -> Receipt:
        """Pay the bonds of a dispute that is over back, or burn them."""
        return self._send("settleBonds", first, attempt)

    def slash_equivocation(self, vote: Vote, other: Vote) -> Receipt:
        """Take the whole stake of who signed both. Errors: ValueError if they are not two results of one signer under one name."""
        if name_of(vote) != name_of(other) or vote.signer != other.signer or vote.result == other.result:
            raise ValueError(f"{vote} and {other} do not contradict each other")
        return self._send("slashEquivocation", *name_of(vote), vote.result, *_halves(vote), other.result, *_halves(other))

    def slash_faulty(self, votes: Sequence[Vote]) -> Receipt:
        """Make the signers of a faulty result pay. Errors: ValueError if they are votes for several results or rounds, or none."""
        names = {(*name_of(vote), vote.result) for vote in votes}
        if len(names) != 1:
            raise ValueError(f"{len(votes)} votes are for {len(names)} results and rounds, not for one")
        [name] = names
        halves = [_halves(vote) for vote in votes]
        return self._send("slashFaulty", *name, [r for r, _ in halves], [vs for _, vs in halves])

    def disprove_duplicate(self, message: EpochRoot, attempt: int, one: Leaf, other: Leaf) -> Receipt:
        """Strike the standing result: both leaves of one account are under its root."""
        totals = [one.rewards, one.fees, other.rewards, other.fees]
        return self._send("disproveDuplicate", astuple(message), attempt, one.account, totals, list(one.proof), list(other.proof))

    def disprove_lowered(self, message: EpochRoot, attempt: int, final: Leaf, standing: Leaf) -> Receipt:
        """Strike the standing result: it lowers what is final for an account."""
        totals = [final.rewards, final.fees, standing.rewards, standing.fees]
        return self._send("disproveLowered", astuple(message), attempt, final.account, totals, list(final.proof), list(standing.proof))

    def events(self, first: int, last: int, names: Iterable[str] = ()) -> list[Event]:
        """What the contract told in the blocks ``first`` to ``last``, both included, in order; with ``names``, only these events."""
        return self._challenges.events(first, last, names)

    def _send(self, function: str, *arguments: object) -> Receipt:
        if self._sender is None:
            raise ValueError(f"no account was given that could send {function}")
        return self._sender.send(self._challenges, function, *arguments)


def key_of(first: int, attempt: int) -> Hash:
    """The name of a range's dispute in an attempt, as the contract computes it."""
    return Hash(keccak256(first.to_bytes(32, "big") + attempt.to_bytes(32, "big")))


def name_of(vote: Vote) -> tuple[int, int, int]:
    """Under which name it was cast: two results under one name are equivocation."""
    return vote.first, vote.attempt, vote.round


def _halves(vote: Vote) -> tuple[bytes, bytes]:
    return bytes(vote.signature[:32]), bytes(vote.signature[32:])


def _cut(text: str) -> str:
    return text.encode()[:MOST_REASON_BYTES].decode(errors="ignore")
