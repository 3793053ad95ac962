"""The Settlement contract, as verifiers and claimants use it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from enum import IntEnum

import numpy as np

from subak.chain.contracts import Contract, Event, Sender
from subak.chain.deploy import contract
from subak.chain.rpc import Block, Receipt, Rpc
from subak.core.canon.merkle import MultiProof, pack_words, standard_leaf_hashes
from subak.core.canon.typed_data import EpochRoot
from subak.core.nouns.document import Address, Hash
from subak.core.nouns.network import Clock, Contracts


class Phase(IntEnum):
    """What happens to the next range of epochs."""

    IDLE = 0
    OPEN = 1
    PENDING = 2
    CHALLENGED = 3
    ESCALATED = 4
    REJECTED = 5


@dataclass(frozen=True)
class Opened:
    """The range whose Books were opened last."""

    first: int
    """Its first epoch."""
    last: int
    """Its last epoch."""
    attempt: int
    """The attempt in which it was opened."""
    weight_epoch: int
    """The epoch as of which the vote on it is weighed."""
    books_hash: Hash
    """keccak256 of the Books' hashes one after another."""


@dataclass(frozen=True)
class Pending:
    """A result that two thirds voted for and that is not final yet."""

    attempt: int
    """Its attempt."""
    round: int
    """0, or 1 if the Books were judged again after a challenge."""
    deadline_unix_s: int
    """Network time from which it can be made final."""
    result: Hash
    """EIP-712 hash of its EpochRoot."""
    escalated: bool
    """Whether governance is asked."""


@dataclass(frozen=True)
class Contest:
    """A result that was challenged: the same Books are judged once more."""

    attempt: int
    """Its attempt."""
    deadline_unix_s: int
    """Network time from which it is rejected if nothing was proposed in round 1."""
    disputed: Hash
    """EIP-712 hash of the challenged EpochRoot."""


@dataclass(frozen=True)
class SettlementView:
    """Where the settlement stands, all of it at one block."""

    block: Block
    """At this block."""
    phase: Phase
    """What happens to the next range."""
    next_epoch: int
    """The first epoch that is not final."""
    root: Hash
    """The final payout root; zero before the first."""
    state_root: Hash
    """The final carried state."""
    rewards: int
    """Token units minted for rewards ever."""
    fees: int
    """Payment units redeemed for hosts ever."""
    opened: Opened | None
    """The opened range, while it waits for a proposal or is proposed. It counts only in its attempt."""
    sealed_unix_s: int
    """Network time from which an opened range can be proposed: until then verifiers hand in seals. 0 while none is opened."""
    pending: Pending | None
    """The proposed result, while it waits to become final."""
    contest: Contest | None
    """The challenged result, while round 1 runs."""
    current_attempt: int
    """Whose turn it is at the block's timestamp."""

    @property
    def open_now(self) -> bool:
        """Whether the opened range can still be proposed."""
        return self.phase is Phase.OPEN and self.opened is not None and self.opened.attempt == self.current_attempt


class Settlement:
    """The contract, with an account that pays for transactions. Transactions raise what ``Sender.send`` does, questions ChainRefused."""

    def __init__(self, rpc: Rpc, contracts: Contracts, sender: Sender | None = None) -> None:
        """Without ``sender`` only questions can be asked."""
        self._rpc = rpc
        self._settlement = contract(rpc, contracts, "Settlement")
        self._stake = contract(rpc, contracts, "Stake")
        self._minter = contract(rpc, contracts, "Minter")
        self._sender = sender

    @property
    def contract(self) -> Contract:
        """The contract itself."""
        return self._settlement

    def view(self) -> SettlementView:
        """Where it stands at the newest block."""
        block = self._rpc.block("latest")
        asked = [(name, ()) for name in ("phase", "finals", "opened", "pending", "currentAttempt")]
        phase, finals, opened, pending, attempt = self._settlement.call_many(asked, block.number)
        root, state_root, rewards, fees, next_epoch = finals
        first, last, opened_attempt, weight_epoch, books_hash = opened
        attempt_of, round_, deadline, result, disputed = pending
        at = Phase(phase)
        return SettlementView(
            block=block,
            phase=at,
            next_epoch=next_epoch,
            root=Hash(root),
            state_root=Hash(state_root),
            rewards=rewards,
            fees=fees,
            opened=Opened(first, last, opened_attempt, weight_epoch, Hash(books_hash)) if at in _HAS_OPENED else None,
            sealed_unix_s=deadline if at is Phase.OPEN else 0,
            pending=Pending(attempt_of, round_, deadline, Hash(result), at is Phase.ESCALATED) if at in _HAS_PENDING else None,
            contest=Contest(attempt_of, deadline, Hash(disputed)) if at is Phase.CHALLENGED else None,
            current_attempt=attempt,
        )

    def clock(self) -> Clock:
        """Epochs and windows, as they stand in the bytecode."""
        names = [f"{name.removesuffix('_unix_s').upper()}" for name in Clock.__struct_fields__]
        return Clock(*self._settlement.call_many([(name, ()) for name in names]))

    def policy(self, epoch: int) -> Hash:
        """Hash of the policy in force in an epoch."""
        return Hash(self._settlement.call("policyAt", epoch))

    def lead(self, turn: int) -> Address | None:
        """Signer whose turn it is in the running epoch, for turn = first epoch + attempt; None if nobody has a stake."""
        signer: Address = self._stake.call("leadOf", turn)
        return signer if any(signer) else None

    def weights(self, signers: Sequence[bytes], epoch: int) -> tuple[list[int], int]:
        """What each signer weighs in an epoch, and what all weigh together."""
        asked: list[tuple[str, tuple[object, ...]]] = [("weightOf", (signer, epoch)) for signer in signers]
        *each, total = self._stake.call_many([*asked, ("totalWeight", (epoch,))])
        return each, total

    def taken(self, account: bytes) -> tuple[int, int]:
        """Token units and payment units that an account took, ever."""
        rewards, fees = self._settlement.call("taken", account)
        return rewards, fees

    def taken_many(self, accounts: Sequence[bytes], block: int | str = "latest") -> list[tuple[int, int]]:
        """Token units and payment units that each account took, ever."""
        return [(rewards, fees) for rewards, fees in self._settlement.call_many([("taken", (account,)) for account in accounts], block)]

    def budget(self, first: int, last: int) -> int:
        """The most that a range of epochs may mint, breaker and cap included."""
        allowed: int = self._minter.call("budget", first, last)
        return allowed

    def open(self, first: int, last: int, attempt: int, book_hashes: Sequence[bytes], snapshot_block: int) -> Receipt:
        """Open the Books of the epochs ``first`` to ``last``, both included; only the attempt's lead can."""
        return self._send("open", first, last, attempt, list(book_hashes), snapshot_block)

    def propose(self, root: EpochRoot, votes: Iterable[tuple[bytes, bytes]]) -> Receipt:
        """Propose, in the running round, what votes (signer, compact signature) of two thirds of the weight are for; in any order."""
        signatures = [signature for _, signature in sorted((bytes(signer), bytes(signature)) for signer, signature in votes)]
        return self._send("propose", astuple(root), [each[:32] for each in signatures], [each[32:] for each in signatures])

    def finalize(self, root: EpochRoot) -> Receipt:
        """Make the pending result final once its window is over."""
        return self._send("finalize", astuple(root))

    def reject(self) -> Receipt:
        """Give up a challenged result that nobody confirmed or replaced in time: the same epochs are opened again."""
        return self._send("reject")

    def begin(self) -> Receipt:
        """Take over from the Settlement before, once the budget serves this one."""
        return self._send("begin")

    def claim(self, account: bytes, rewards: int, fees: int, proof: Sequence[bytes]) -> Receipt:
        """Pay an account the rewards it has not taken. ``rewards`` and ``fees`` are its leaf: running totals, ever."""
        return self._send("claimRewards", account, rewards, fees, list(proof))

    def claim_fees(self, account: bytes, rewards: int, fees: int, proof: Sequence[bytes]) -> Receipt:
        """Pay an account the fees it has not taken."""
        return self._send("claimFees", account, rewards, fees, list(proof))

    def claim_fees_many(self, leaves: Sequence[tuple[bytes, int, int]], proof: MultiProof) -> Receipt:
        """Pay many accounts their fees, as ``claim_many`` pays rewards."""
        return self._claim_many("claimFeesMany", leaves, proof)

    def claim_many(self, leaves: Sequence[tuple[bytes, int, int]], proof: MultiProof) -> Receipt:
        """Pay many accounts their rewards. ``leaves`` are the (account, rewards, fees) that ``proof`` is for, in any order.

        Errors: also ValueError if the proof is for other leaves.
        """
        return self._claim_many("claimMany", leaves, proof)

    def _claim_many(self, function: str, leaves: Sequence[tuple[bytes, int, int]], proof: MultiProof) -> Receipt:
        accounts = np.frombuffer(b"".join(bytes(account) for account, _, _ in leaves), np.uint8).reshape(-1, 20)
        words = pack_words(accounts, [rewards for _, rewards, _ in leaves], [fees for _, _, fees in leaves])
        by_hash = {row.tobytes(): leaf for row, leaf in zip(standard_leaf_hashes(words), leaves, strict=True)}
        if by_hash.keys() != set(proof.leaves):
            raise ValueError(f"the proof is for {len(proof.leaves)} leaves, and not for these {len(leaves)}")
        ordered = [by_hash[leaf] for leaf in proof.leaves]
        columns = ([leaf[place] for leaf in ordered] for place in range(3))
        return self._send(function, *columns, list(proof.proof), list(proof.flags))

    def events(self, first: int, last: int) -> list[Event]:
        """What the contract told in the blocks ``first`` to ``last``, both included, in order."""
        return self._settlement.events(first, last)

    def _send(self, function: str, *arguments: object) -> Receipt:
        if self._sender is None:
            raise ValueError(f"no account was given that could send {function}")
        return self._sender.send(self._settlement, function, *arguments)


_HAS_OPENED = (Phase.OPEN, Phase.PENDING, Phase.CHALLENGED, Phase.ESCALATED)
_HAS_PENDING = (Phase.PENDING, Phase.ESCALATED)
