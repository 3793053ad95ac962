"""Who acts beside verifiers and homes: watchers who contest, liars' owners who grudge, members who vote, anyone who shows a proof."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Protocol

from subak.archive.store import ArchiveError
from subak.chain.contracts import ChainForgot, ChainRefused, Sender
from subak.chain.rpc import NotMined, RpcError, RpcUnreachable
from subak.chain.settlement import Phase, SettlementView
from subak.chain.stake import Stake
from subak.core.canon.keccak import keccak256
from subak.core.nouns import Vote
from subak.lab.simulator.answerable import heard
from subak.lab.simulator.sharing import SharingFollower, SharingWatcher
from subak.lab.simulator.wire import InTurn, Line, archives_of
from subak.verifier.watching import Told

if TYPE_CHECKING:
    from subak.lab.simulator.world import World

NUMBER = 500
"""The watcher's, on the wire."""
LATER = (ArchiveError, RpcError, RpcUnreachable, NotMined, ChainForgot)
"""What a watcher waits for."""
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
    """The real watcher, as somebody without stake runs it; now and then it is started anew."""

    def __init__(self) -> None:
        self.told: Counter[str] = Counter()
        """What it did, by name."""
        self._watcher: SharingWatcher | None = None

    def act(self, world: World, view: SettlementView) -> None:
        if not world.calm and world.dice.randrange(1000) < world.scenario.faults.crash:
            self._watcher = None
        if self._watcher is None:
            self._watcher = self._start(world)
        try:
            self._watcher.tick()
        except LATER as error:
            world.say(f"watcher: {type(error).__name__}: {error}")

    def _start(self, world: World) -> SharingWatcher:
        def say(told: Told) -> None:
            self.told[told.event] += 1
            world.say(f"watcher: {told.event}: {told.words}")

        network = world.network
        rpc = Line(world.chain, NUMBER, world.passes, lambda what: None)
        archives = archives_of(NUMBER, world.verifiers, world.passes)
        watcher = SharingWatcher(network, world.folder / "watcher", world.ground.watcher, rpc, archives, say=say)
        follower = SharingFollower(rpc, network.contracts, network.clock)
        follower.shared = watcher.shared = world.shared
        watcher.follower, watcher._blocks = follower, InTurn()  # type: ignore[assignment]
        return watcher


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


def _owner(world: World, signer: bytes) -> bytes:
    return next(each.owner.address for each in world.verifiers if each.me.address == signer)
