"""Who acts beside verifiers and homes: watchers who contest, liars' owners who grudge, members who vote, anyone who shows a proof."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from subak.chain.accounts import Account
from subak.chain.contracts import ChainRefused, Sender
from subak.chain.settlement import Phase, SettlementView
from subak.chain.stake import Stake
from subak.core.canon.keccak import keccak256
from subak.core.nouns import Hash, Vote
from subak.verifier.journal import Journal

if TYPE_CHECKING:
    from subak.lab.simulator.world import World

WHOLE_BPS = 10_000
_MOST = 2**255
_ACTIVE, _SUCCEEDED, _QUEUED, _EXECUTED = 1, 4, 5, 7


class Bystander(Protocol):
    """Somebody with eyes on the network."""

    def act(self, world: World, view: SettlementView) -> None:
        """What is to be done after this step."""


class Accuser:
    """Shows the chain two votes of one signer, whoever wants to know it, and has its seat taken."""

    def __init__(self) -> None:
        self.caught: set[bytes] = set()

    def act(self, world: World, view: SettlementView) -> None:
        if view.pending is None or view.opened is None:
            return
        round_ = (view.opened.first, view.pending.attempt, view.pending.round)
        by_signer: dict[bytes, dict[bytes, Vote]] = {}
        for vote in heard(world, *round_):
            by_signer.setdefault(vote.signer, {})[vote.result] = vote
        for signer, votes in by_signer.items():
            if len(votes) > 1 and signer not in self.caught:
                one, other = [votes[result] for result in sorted(votes)[:2]]
                sender = Sender(world.chain, world.ground.founder)
                said = [(vote.result, vote.signature[:32], vote.signature[32:]) for vote in (one, other)]
                sender.send(world.ground.contract("Challenges"), "slashEquivocation", *round_, *said[0], *said[1])
                Stake(world.chain, world.network.contracts, sender).adjust(_owner(world, signer))
                self.caught.add(signer)
                world.say(f"{signer.hex()[:8]} voted twice and lost its stake")


class Watcher:
    """An honest verifier's owner that contests whatever is not what honest verifiers voted for, and has the liars punished."""

    def __init__(self, escalates: bool = True) -> None:
        self._escalates = escalates
        self.disputes: list[tuple[int, int]] = []
        """(first, attempt) of every challenge."""
        self._disputed: dict[tuple[int, int], tuple[bytes, set[int]]] = {}
        self._closed: set[tuple[int, int]] = set()

    def act(self, world: World, view: SettlementView) -> None:
        if view.pending is not None and view.opened is not None:
            place, result = (view.opened.first, view.pending.attempt), view.pending.result
            if view.block.timestamp < view.pending.deadline_unix_s and result not in _honest_results(world, *place):
                if view.pending.round == 0 and place not in self._disputed:
                    self._contest(world, place, result)
                elif view.pending.round == 1 and not view.pending.escalated and self._escalates:
                    self._send(world, "escalate", *place)
                    self._disputed[place][1].add(1)
                    world.say(f"{place} escalated")
        for place in self.disputes:
            over = place not in self._closed and (view.phase is Phase.REJECTED or view.next_epoch > place[0] or view.phase is Phase.OPEN)
            if over:
                self._close(world, place)

    def _contest(self, world: World, place: tuple[int, int], result: Hash) -> None:
        if not _honest_results(world, *place):
            return  # nobody knows better yet
        self._send(world, "challenge", *place, "it is not what comes out here")
        self.disputes.append(place)
        self._disputed[place] = (result, {0})
        world.say(f"{place} challenged")

    def _close(self, world: World, place: tuple[int, int]) -> None:
        """Collect, and have everyone punished that signed what turned out faulty."""
        result, rounds = self._disputed[place]
        for round_ in sorted(rounds):
            votes = {vote.signer: vote for vote in heard(world, *place, round_) if vote.result == result}
            signed = [votes[signer].signature for signer in sorted(votes)]
            try:
                halves = [each[:32] for each in signed], [each[32:] for each in signed]
                self._send(world, "slashFaulty", *place, round_, result, *halves)
                for signer in sorted(votes):
                    Stake(world.chain, world.network.contracts, Sender(world.chain, self._me(world))).adjust(_owner(world, signer))
                world.say(f"{place} round {round_}: {len(votes)} punished")
            except ChainRefused as refused:
                world.say(f"{place} round {round_}: nobody punished: {refused.name}")
        try:
            self._send(world, "settleBonds", *place)
        except ChainRefused as refused:
            world.say(f"{place}: {refused.name}")
        self._closed.add(place)

    def _me(self, world: World) -> Account:
        return next(each.owner for each in world.verifiers if each.character.honest)

    def _send(self, world: World, function: str, *arguments: Any) -> None:
        sender, challenges = Sender(world.chain, self._me(world)), world.ground.contract("Challenges")
        token = world.ground.contract("Token")
        if token.call("allowance", sender.address, challenges.address) == 0:
            sender.send(token, "approve", challenges.address, _MOST)
        sender.send(challenges, function, *arguments)


class Grudger:
    """A liar's owner that contests results that are right, as long as its purse lasts."""

    def __init__(self, permille: int) -> None:
        self._permille = permille
        self.bonds = 0
        """How many it lost or will lose."""

    def act(self, world: World, view: SettlementView) -> None:
        liar = next((each for each in world.verifiers if not each.character.honest), None)
        if (
            liar is None
            or view.pending is None
            or view.opened is None
            or view.pending.round
            or world.dice.randrange(1000) >= self._permille
        ):
            return
        sender, challenges = Sender(world.chain, liar.owner), world.ground.contract("Challenges")
        try:
            if self.bonds == 0:
                sender.send(world.ground.contract("Token"), "approve", challenges.address, _MOST)
            sender.send(challenges, "challenge", view.opened.first, view.pending.attempt, "out of spite")
            self.bonds += 1
            world.say("a right result was challenged")
        except ChainRefused as refused:
            world.say(f"a grudge was refused: {refused.name}")


class Members:
    """Those who hold most tokens: when a result is escalated they vote to strike it and to take all that its signers have."""

    def __init__(self) -> None:
        self._votes: dict[tuple[int, int], bytes] = {}
        self.struck = 0
        """How many results they struck."""

    def act(self, world: World, view: SettlementView) -> None:
        if view.phase is not Phase.ESCALATED or view.opened is None or view.pending is None:
            return
        place = (view.opened.first, view.pending.attempt)
        governor, challenges = world.ground.contract("SubakGovernor"), world.ground.contract("Challenges")
        sender = Sender(world.chain, world.ground.member)
        words = f"strike {place}"
        act = ([challenges.address], [0], [challenges.abi.encode_call("strike", *place, WHOLE_BPS)])
        named = (*act, keccak256(words.encode()))
        try:
            if place not in self._votes:
                sender.send(governor, "propose", *act, words)
                self._votes[place] = governor.call("hashProposal", *named)
                return
            proposal = self._votes[place]
            match governor.call("state", proposal):
                case 1 if not governor.call("hasVoted", proposal, sender.address):
                    sender.send(governor, "castVote", proposal, 1)
                case 4:
                    sender.send(governor, "queue", *named)
                case 5 if world.chain.now >= governor.call("proposalEta", proposal):
                    sender.send(governor, "execute", *named)
                    self.struck += 1
                    world.say(f"{place} struck by a vote")
        except ChainRefused as refused:
            world.say(f"members were refused: {refused}")


def heard(world: World, first: int, attempt: int, round_: int) -> list[Vote]:
    """Every vote that an honest verifier has on disk."""
    found: dict[tuple[bytes, bytes], Vote] = {}
    for each in world.verifiers:
        if each.character.honest:
            for vote in Journal(each.folder / "journal").heard_votes(first, attempt, round_):
                found[vote.signer, vote.result] = vote
    return [found[name] for name in sorted(found)]


def _honest_results(world: World, first: int, attempt: int) -> set[bytes]:
    """What honest verifiers voted for in this attempt."""
    votes = [Journal(each.folder / "journal").vote(first, attempt, 0) for each in world.verifiers if each.character.honest]
    return {vote.result for vote in votes if vote is not None}


def _owner(world: World, signer: bytes) -> bytes:
    return next(each.owner.address for each in world.verifiers if each.me.address == signer)
