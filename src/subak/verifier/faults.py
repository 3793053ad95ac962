"""What anyone can do about proved wrongs: punish who signed two things, or something false; settle bonds; end the duty of the silent.

Everything follows from the chain's events and from signed votes, so doing it again, or after a restart, changes nothing.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations

from subak.chain.challenges import Challenges, Outcome, Proposal
from subak.chain.contracts import ChainRefused, Event, Sender, decode_logs
from subak.chain.deploy import contract
from subak.chain.rpc import Block, Receipt, Rpc
from subak.chain.settlement import Settlement, SettlementView
from subak.chain.stake import Stake
from subak.core.nouns import Network, Vote
from subak.verifier.journal import Journal
from subak.verifier.peers import Peers

log = logging.getLogger("subak.verifier")

LOOK_SECONDS = 6 * 3600
"""How often is asked who fell silent."""
PAST_RANGES = 4
"""Votes on so many ranges before the running one are looked at again, in every attempt and round that was proposed or opened."""
TRIES = 3
"""How often is tried again what reverted without a reason."""
_EVENTS = {
    "Settlement": ("Opened", "Proposed", "Challenged"),
    "Challenges": ("Ruled", "Faulty"),
    "Stake": ("Joined", "Forfeited"),
}

Name = tuple[int, int, int]
"""First epoch, attempt, round."""


class Faults:
    """Notices wrongs that are proved, and brings the proofs to the chain.

    Promises: a signer of a result is made to pay only if this process settled the same Books and came to another result, so nothing that
    a majority overturns hurts the honest through it; a wrong that somebody else brought already costs nothing; a tick without a new block
    asks nobody anything.
    """

    def __init__(
        self,
        network: Network,
        rpc: Rpc,
        sender: Sender,
        journal: Journal,
        peers: Peers | None = None,
        own: Callable[[int, int], bytes | None] = lambda first, attempt: None,
        say: Callable[[str, str], None] = lambda event, words: log.warning("%s", words),
    ) -> None:
        """``journal`` keeps the votes that were heard; with ``peers`` they are asked for more. ``own`` gives what a range (first
        epoch, attempt) comes to here, beside the votes in the journal; ``say`` hears an event's name, and words, for each deed."""
        contracts = network.contracts
        self._network, self._rpc, self._journal, self._peers, self._own, self._say = network, rpc, journal, peers, own, say
        self._me = sender.address
        self._settlement = Settlement(rpc, contracts)
        self._challenges = Challenges(rpc, contracts, sender)
        self._stake = Stake(rpc, contracts, sender)
        self._sources = [contract(rpc, contracts, name) for name in _EVENTS]
        self._look_unix_s = 0
        self._looked_at = b""
        self._forget()

    def tick(self, view: SettlementView | None = None) -> None:
        """Do what is due; ``view`` is where the settlement stands, if the caller knows it.

        Errors: RpcError, RpcUnreachable, NotMined and ChainForgot mean "not now": call again.
        """
        if not any(self._network.contracts.challenges):
            return
        block = view.block if view else self._rpc.block()
        self._read(block)
        for event in [*self._todo]:
            if self._act_on(event):
                self._todo.remove(event)
        if block.hash != self._looked_at:
            self._hear()
            self._equivocations()
            self._make_pay()
            self._looked_at = bytes(block.hash)
        if block.timestamp >= self._look_unix_s:
            self._prune(block.timestamp)
            self._look_unix_s = block.timestamp + LOOK_SECONDS

    def proposal(self, first: int, attempt: int, round_: int) -> Proposal | None:
        """What was proposed under a name, with its votes; None if nothing was, or its words cannot be read."""
        name = (first, attempt, round_)
        if name in self._proposed and name not in self._proposals:
            try:
                self._proposals[name] = self._challenges.proposal(self._proposed[name])
            except LookupError as error:
                log.warning("who proposed %s cannot be read: %s", name, error)
                self._proposals[name] = None
        return self._proposals.get(name)

    def _forget(self) -> None:
        self._read_to: Block | None = None
        self._looked_at = b""
        self._todo: list[Event] = []
        self._proposed: dict[Name, Event] = {}
        self._proposals: dict[Name, Proposal | None] = {}
        self._names: dict[Name, None] = {}
        self._faulty: dict[tuple[int, int, bytes], None] = {}
        self._owners: dict[bytes, None] = {}
        self._asked: set[Name] = set()
        self._done: set[object] = set()
        self._failed: Counter[str] = Counter()

    def _read(self, block: Block) -> None:
        """Events since the last tick; all anew if the chain lost some."""
        before = self._read_to
        if before is not None and before.hash == block.hash:
            return
        if before is not None:
            there = self._rpc.find_block(before.number)
            if there is None or there.hash != before.hash or before.number > block.number:
                self._forget()
        first = 0 if self._read_to is None else self._read_to.number + 1
        topics = [source.abi.topic(name) for source in self._sources for name in _EVENTS[source.name]]
        addresses = [source.address for source in self._sources if any(source.address)]
        self._todo += decode_logs(self._rpc.logs(first, block.number, addresses, topics), self._sources)
        self._read_to = block

    def _act_on(self, event: Event) -> bool:
        """Whether there is nothing left to do about it."""
        told = event.values
        match event.name:
            case "Opened":
                self._names[(told["first"], told["attempt"], 0)] = None
            case "Challenged":
                self._names[(told["first"], told["attempt"], 1)] = None
            case "Proposed":
                name = (told["first"], told["attempt"], told["round"])
                self._names[name] = None
                self._proposed[name] = event
            case "Ruled":
                return self._settle_bonds(told["first"], told["attempt"])
            case "Faulty":
                self._faulty[(told["first"], told["attempt"], told["result"])] = None
            case "Joined":
                self._owners[told["owner"]] = None
            case "Forfeited":
                return self._do(
                    "adjusted", f"weight of 0x{told['owner'].hex()} follows its lost stake", lambda: self._stake.adjust(told["owner"])
                )
        return True

    def _hear(self) -> None:
        """Votes that peers know of the last ranges; of the running range every time, of earlier ones once."""
        if self._peers is None or not self._names:
            return
        firsts = sorted({first for first, _, _ in self._names})[-1 - PAST_RANGES :]
        for name in [each for each in self._names if each[0] in firsts]:
            if name[0] == firsts[-1] or name not in self._asked:
                self._journal.hear_votes(self._peers.votes(*name))
                self._asked.add(name)

    def _votes(self, name: Name) -> Sequence[Vote]:
        proposed = self.proposal(*name)
        votes = {(vote.signer, vote.result): vote for vote in self._journal.heard_votes(*name)}
        votes |= {(vote.signer, vote.result): vote for vote in (proposed.votes if proposed else ())}
        return list(votes.values())

    def _equivocations(self) -> None:
        for name in self._recent():
            for vote, other in _contradictions(self._votes(name)):
                deed = ("equivocation", vote.signer)
                if deed in self._done or vote.signer == self._me:
                    continue
                done = True
                if self._stake.owner_of(vote.signer) is not None:
                    words = f"0x{vote.signer.hex()} voted for two results of epochs from {name[0]}: all that it has at stake is lost"
                    done = self._do("equivocation", words, lambda pair=(vote, other): self._challenges.slash_equivocation(*pair))  # type: ignore[misc]
                if done:
                    self._done.add(deed)

    def _make_pay(self) -> None:
        """The signers of faulty results, in whichever round they signed."""
        for first, attempt, result in self._faulty:
            votes = [self._journal.vote(first, attempt, round_) for round_ in (0, 1)]
            mine = {bytes(vote.result) for vote in votes if vote is not None} | {self._own(first, attempt)} - {None}
            if not mine or result in mine:
                continue
            for name in [each for each in self._names if each[:2] == (first, attempt)]:
                guilty = [vote for vote in self._votes(name) if vote.result == result]
                guilty = [vote for vote in guilty if (first, attempt, vote.signer) not in self._done and vote.signer != self._me]
                if not guilty:
                    continue
                paid = self._challenges.punished(first, attempt, [vote.signer for vote in guilty])
                owing = [vote for vote, done in zip(guilty, paid, strict=True) if not done and self._holds(vote.signer)]
                done = True
                if owing:
                    words = f"{len(owing)} signers of the false result 0x{result.hex()} of epochs from {first} pay for it"
                    done = self._do("punished", words, lambda votes=owing: self._challenges.slash_faulty(votes))  # type: ignore[misc]
                if done:
                    self._done.update((first, attempt, vote.signer) for vote in guilty)

    def _holds(self, signer: bytes) -> bool:
        held: int = self._stake.contract.call("heldOf", signer)
        return held > 0

    def _settle_bonds(self, first: int, attempt: int) -> bool:
        dispute = self._challenges.dispute(first, attempt)
        if dispute.outcome is not Outcome.RUNNING and (dispute.bond or dispute.stake):
            words = f"bonds of the dispute about epochs from {first}, attempt {attempt}, are settled: {dispute.outcome.name.lower()}"
            return self._do("bonds", words, lambda: self._challenges.settle_bonds(first, attempt))
        return True

    def _prune(self, unix_s: int) -> None:
        if not self._owners:
            return
        try:
            silence = self._stake.heartbeat_seconds()
            bonds = {owner: self._stake.bond(owner) for owner in self._owners}
        except ChainRefused:
            return  # an allow-list in its place knows no heartbeat
        for owner, bond in bonds.items():
            if bond.verifies and unix_s > max(bond.heard_unix_s, self._network.clock.genesis_unix_s) + silence:
                words = f"0x{owner.hex()} gave no sign of life since {bond.heard_unix_s} and verifies no longer"
                self._do("pruned", words, lambda owner=owner: self._stake.prune(owner))  # type: ignore[misc]

    def _recent(self) -> Iterator[Name]:
        firsts = sorted({first for first, _, _ in self._names})[-1 - PAST_RANGES :]
        return (name for name in self._names if name[0] in firsts)

    def _do(self, event: str, words: str, deed: Callable[[], Receipt]) -> bool:
        """Send it; whether it is done. The contract refuses what somebody else did before, and that costs nothing."""
        try:
            deed()
        except ChainRefused as refused:
            if refused.name or self._failed[words] >= TRIES:
                log.info("%s: not needed: %s", words, refused)
                return True
            # Mined, and out of gas: the chain moved on between the estimate and the block.
            self._failed[words] += 1
            log.warning("%s: tried again: %s", words, refused)
            return False
        self._say(event, words)
        return True


def _contradictions(votes: Iterable[Vote]) -> Iterator[tuple[Vote, Vote]]:
    """Pairs of one signer for two results; all votes are of one name."""
    by_signer: dict[bytes, list[Vote]] = {}
    for vote in votes:
        by_signer.setdefault(vote.signer, []).append(vote)
    for mine in by_signer.values():
        pair = next(combinations(mine, 2), None)
        if pair is not None:
            yield pair
