"""Checkers of what verifiers and watchers answer for with money: two tongues, overturned votes, late seals, questions for data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from subak.archive.books import read_contents, read_head, read_state
from subak.chain.challenges import Outcome
from subak.chain.snapshot import Finalised
from subak.chain.stake import Stake
from subak.core.canon.ids import seal_of
from subak.core.nouns import Seal, State, Vote, decode
from subak.core.settlement.money import to_ints
from subak.lab.simulator.ground import BOND, HOUR_S, VERIFIERS_BUDGET
from subak.verifier.journal import Journal

if TYPE_CHECKING:
    from subak.lab.simulator.world import World

OUTVOTED_BPS = 200
"""What a signer of a result loses that a later round overturned, as the design says."""
FEW_HEADS = 2
"""Of so many, one can weigh more than half."""
SETTLING_SECONDS = 6 * HOUR_S
"""So long after a range became final everyone has been made to pay."""
Place = tuple[int, int]
"""First epoch and attempt."""


@dataclass
class TwoTongued:
    """Whoever voted for two results under one name, so that an honest verifier has both on disk, has no stake left: in any attempt and
    round, also of a range that something else made final."""

    name: str = "equivocation costs all"

    def look(self, world: World) -> list[str]:
        return []

    def end(self, world: World) -> list[str]:
        stake, caught = Stake(world.chain, world.network.contracts), contradictions(world)
        return [
            f"verifier {each.number} voted for two results under {caught[each.me.address]} and kept its stake"
            for each in world.verifiers
            if each.me.address in caught and stake.bond(each.owner.address).stake
        ]


@dataclass
class OutvotedPay:
    """Whose signature stood under a proposed result that a later round, or a vote of the members, overturned has lost its part of its stake
    in the end; who neither voted for such a result nor for two has lost nothing."""

    name: str = "outvoted liars pay, and nobody else"

    def look(self, world: World) -> list[str]:
        return []

    def end(self, world: World) -> list[str]:
        overturned = self._overturned(world)
        caught = contradictions(world)
        fined: Counter[bytes] = Counter()
        for signers in overturned.values():
            fined.update(signers)
        if fined:
            world.told["fined"] = sum(fined.values())
        stake = Stake(world.chain, world.network.contracts)
        faults: list[str] = []
        for each in world.verifiers:
            times, left, most = fined[each.me.address], stake.bond(each.owner.address).stake, BOND
            for _ in range(times):
                most -= most * OUTVOTED_BPS // 10_000
            if left > most:
                faults.append(f"verifier {each.number} has {left} at stake after {times} results it signed were overturned")
            voted = self._votes(each.folder, [place for place, _ in overturned])
            spared = each.me.address not in caught and not any(voted.get(place) == result for place, result in overturned)
            if spared and left < BOND:
                faults.append(f"verifier {each.number} has {left} at stake, though no result that it voted for was overturned")
        return faults

    def _overturned(self, world: World) -> Mapping[tuple[tuple[int, int, int], bytes], tuple[bytes, ...]]:
        """Who signed, by ((first, attempt, round), result); only what was decided a while ago."""
        newest = world.chain.block().number
        proposed = [event.values for event in world.ground.contract("Settlement").events(0, newest, ["Proposed"])]
        ruled = world.ground.contract("Challenges").events(0, newest, ["Ruled"])
        struck = {_place(event.values) for event in ruled if event.values["outcome"] == Outcome.STRUCK}
        final = {(each.first, each.attempt) for each in world.finals if each.unix_s < world.chain.now - SETTLING_SECONDS}
        last = {_place(values): values["result"] for values in proposed}
        return {
            ((*_place(values), values["round"]), values["result"]): tuple(values["signers"])
            for values in proposed
            if _place(values) in struck or (_place(values) in final and values["result"] != last[_place(values)])
        }

    def _votes(self, folder: Any, places: list[tuple[int, int, int]]) -> dict[tuple[int, int, int], bytes]:
        votes = {place: Journal(folder / "journal").vote(*place) for place in places}
        return {place: vote.result for place, vote in votes.items() if vote is not None}


@dataclass
class TimelySeals:
    """The pool of the verifiers pays only whose seal of the Book before was right, and lay on its disk before others' verdicts came out."""

    name: str = "late sealers are not paid"
    sealed: dict[tuple[int, bytes], tuple[Seal, int]] = field(default_factory=dict)
    """(verifier, Book) to its seal, and when it was there first."""
    seen: int = 0
    """How many final ranges were looked at."""
    paid: int = 0
    """How often a verifier was paid for a range."""
    state: State = field(default_factory=State.genesis)
    """The final state after them."""

    def look(self, world: World) -> list[str]:
        for each in world.verifiers:
            for path in (each.folder / "journal").glob("seal-*.json"):
                name = (each.number, bytes.fromhex(path.stem.removeprefix("seal-")))
                if name not in self.sealed:
                    self.sealed[name] = (decode(path.read_bytes(), Seal), world.chain.now)
        faults: list[str] = []
        for place in range(self.seen, len(world.finals)):
            after = read_state(world.archive, world.finals[place].state_root)
            faults += self._paid(world, world.finals[place - 1] if place else None, world.finals[place], after)
            self.state = after
        self.seen = len(world.finals)
        return faults

    def end(self, world: World) -> list[str]:
        return []

    def _paid(self, world: World, before: Finalised | None, final: Finalised, after: State) -> list[str]:
        had, has = _rewards(self.state), _rewards(after)
        # Books whose seals the range's Books judge: those of the epoch before each.
        judged = ([] if before is None else [(before.last, before.book_hashes[-1])]) + [
            (epoch, book) for epoch, book in enumerate(final.book_hashes[:-1], final.first)
        ]
        faults: list[str] = []
        for each in world.verifiers:
            got = has.get(each.owner.address, 0) - had.get(each.owner.address, 0)
            timely = sum(self._timely(world, each.number, book, self.state) for _, book in judged)
            self.paid += got > 0
            if got > timely * VERIFIERS_BUDGET and not self._alone(world, each.me.address, final):
                faults.append(f"epochs {final.first} to {final.last}: verifier {each.number} was paid {got} for {timely} timely seals")
        return faults

    def _alone(self, world: World, signer: bytes, final: Finalised) -> bool:
        """Whether a Book's heads are so few that this one may outweigh the others: then its word is the vote on its own seal."""
        for book in final.book_hashes:
            heads = [read_head(world.archive, sha).verifier for sha in read_contents(world.archive, book).heads]
            if len(heads) <= FEW_HEADS and signer in heads:
                return True
        return False

    def _timely(self, world: World, number: int, book: bytes, state: State) -> bool:
        seal, unix_s = self.sealed.get((number, book), (None, 0))
        if seal is None or unix_s > world.follower.opened_unix_s(book) + world.network.clock.seal_seconds:
            return False
        known = {bytes(sealed): bytes(verdicts) for _, sealed, verdicts in state.sealed.iter_rows()}
        return book not in known or seal.seal == seal_of(world.verifiers[number].me.address, book, known[book])


@dataclass
class DataAskedOnce:
    """Each question for data burns its fee and prolongs its window once, by one window; no range has two, and whoever asked had the bytes
    before the range was final, or contested it."""

    name: str = "data is asked for once"

    def look(self, world: World) -> list[str]:
        return []

    def end(self, world: World) -> list[str]:
        newest = world.chain.block().number
        challenges, settlement, token = (world.ground.contract(name) for name in ("Challenges", "Settlement", "Token"))
        asked = challenges.events(0, newest, ["DataChallenged"])
        deadlines: dict[Place, int] = {}
        prolonged: Counter[Place] = Counter()
        faults: list[str] = []
        for event in settlement.events(0, newest, ["Proposed", "Extended"]):
            place, deadline = _place(event.values), event.values["deadline"]
            if event.name == "Extended":
                prolonged[place] += 1
                if deadline != deadlines[place] + world.network.clock.challenge_seconds:
                    faults.append(f"{place}: a window to {deadlines[place]} was prolonged to {deadline}")
            deadlines[place] = deadline
        said = Counter(_place(event.values) for event in asked)
        counts = {place: (said[place], prolonged[place]) for place in [*said, *prolonged]}
        faults += [f"{place}: asked for data and prolonged {times} times" for place, times in counts.items() if times != (1, 1)]
        fee = challenges.call("DATA_FEE")
        burned = {event.log.transaction for event in token.events(0, newest, ["Transfer"]) if _burns(event.values, fee)}
        faults += [f"{_place(event.values)}: no fee of {fee} was burned" for event in asked if event.log.transaction not in burned]
        if asked:
            world.told["asked for data"] = len(asked)
        return faults


def contradictions(world: World) -> dict[bytes, tuple[int, int, int]]:
    """By signer: a name (first epoch, attempt, round) under which honest verifiers heard it vote for two results."""
    found: dict[bytes, tuple[int, int, int]] = {}
    for name in _rounds(world):
        said: dict[bytes, set[bytes]] = {}
        for vote in heard(world, *name):
            said.setdefault(vote.signer, set()).add(vote.result)
        found |= {signer: name for signer, results in said.items() if len(results) > 1}
    return found


def heard(world: World, first: int, attempt: int, round_: int) -> list[Vote]:
    """Every vote that an honest verifier has on disk."""
    found: dict[tuple[bytes, bytes], Vote] = {}
    for each in world.verifiers:
        if each.character.honest:
            for vote in Journal(each.folder / "journal").heard_votes(first, attempt, round_):
                found[vote.signer, vote.result] = vote
    return [found[name] for name in sorted(found)]


def _rounds(world: World) -> Iterator[tuple[int, int, int]]:
    """Every round of which an honest verifier heard anything."""
    honest = [each.folder / "journal" / "heard" for each in world.verifiers if each.character.honest]
    for name in sorted({path.name for folder in honest if folder.is_dir() for path in folder.iterdir()}):
        first, attempt, round_ = name.split("-")
        yield int(first), int(attempt), int(round_)


def _place(values: Mapping[str, Any]) -> Place:
    return values["first"], values["attempt"]


def _burns(values: Mapping[str, Any], fee: int) -> bool:
    return not any(values["to"]) and values["value"] == fee


def _rewards(state: State) -> dict[bytes, int]:
    return dict(zip(state.accounts["account"].to_list(), to_ints(state.accounts["rewards"]), strict=True))
