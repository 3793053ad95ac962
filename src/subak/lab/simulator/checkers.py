"""Checkers watch from outside, after every step: what they ask is on the chain, in archives, or was promised to a home."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from subak.archive.books import read_contents, read_head, read_state
from subak.archive.segments import read_segment
from subak.archive.store import Archive, ArchiveError, FolderArchive, NotThere
from subak.chain.contracts import ChainRefused, Sender
from subak.chain.settlement import Settlement as SettlementContract
from subak.chain.snapshot import Finalised, Follower, finalised_ranges
from subak.chain.stake import Bond, Stake
from subak.core.settlement import OFFER, POSSESSION, payout_tree
from subak.core.settlement.money import to_ints
from subak.kinds.energy.rules.schemas import READING
from subak.lab.simulator.actors import Acknowledged
from subak.lab.simulator.answerable import DataAskedOnce, OutvotedPay, TimelySeals, TwoTongued
from subak.lab.simulator.customers import CustomersPay
from subak.lab.simulator.ground import BOND, BUDGET, UNBONDING_SECONDS
from subak.verifier.checking import CannotCheck, CheckResult, check

if TYPE_CHECKING:
    from subak.lab.simulator.world import World

EXITS_EVERY = 97
"""At how many steps exits are tried: each takes as long as ten steps."""
_SCHEMAS = {schema.name: schema for schema in (POSSESSION, OFFER, READING)}


class Checker(Protocol):
    """One promise."""

    name: str
    """What it is called in a verdict."""

    def look(self, world: World) -> list[str]:
        """What is broken now, in words with the values that disagree."""

    def end(self, world: World) -> list[str]:
        """What is broken when all is calm again."""


class Everywhere:
    """What any of several folders holds: anyone may ask them all."""

    def __init__(self, archives: Sequence[FolderArchive], others: Sequence[Archive] = ()) -> None:
        """``others`` give files by name only, and are asked last."""
        self._archives, self._others = archives, others

    def get(self, path: str) -> bytes:
        for archive in (*self._archives, *self._others):
            if archive.has(path):
                return archive.get(path)
        raise NotThere(path, "any archive that can be asked")

    def put(self, path: str, data: bytes, replace: bool = False) -> None:
        raise ArchiveError(f"{path}: only read")

    def has(self, path: str) -> bool:
        return any(archive.has(path) for archive in (*self._archives, *self._others))

    def names(self, prefix: str = "") -> list[str]:
        return sorted({name for archive in self._archives for name in archive.names(prefix)})


@dataclass
class EntriesKept:
    """No acknowledged Entry is lost: whichever Book lists a head of its honest holder, once its epoch is closed, has it listed."""

    name: str = "entries kept"
    listed: dict[tuple[bytes, int], int] = field(default_factory=dict)
    """(asset, sequence) to the epoch of the first Book that listed it."""
    seen: int = 0
    """How many final ranges were looked at."""

    def look(self, world: World) -> list[str]:
        faults: list[str] = []
        for final in world.finals[self.seen :]:
            for epoch, book in enumerate(final.book_hashes, final.first):
                contents = read_contents(world.archive, book)
                for ref in contents.segments:
                    rows = read_segment(world.archive, ref, _SCHEMAS[ref.schema])
                    for asset, sequence in rows.select("subject", "sequence").iter_rows():
                        self.listed.setdefault((asset, sequence), epoch)
                holders = {read_head(world.archive, sha).verifier for sha in contents.heads}
                faults += self._hidden(world, epoch, holders)
        self.seen = len(world.finals)
        return faults

    def _hidden(self, world: World, epoch: int, holders: AbstractSet[bytes]) -> list[str]:
        clock = world.network.clock
        return [
            f"epoch {epoch}: {_words(each)} is in no Book, though its head is"
            for each in world.host.acknowledged
            if world.verifiers[each.verifier].me.address in holders
            and world.verifiers[each.verifier].character.honest
            and clock.epochs_closed_at(each.received_unix_s) < epoch
            and (each.asset, each.sequence) not in self.listed
        ]

    def end(self, world: World) -> list[str]:
        closed = world.finals[-1].last if world.finals else -1
        return [
            f"{_words(each)} is in none of the Books up to epoch {closed}"
            for each in world.host.acknowledged
            if world.verifiers[each.verifier].character.honest
            and world.network.clock.epochs_closed_at(each.received_unix_s) < closed
            and (each.asset, each.sequence) not in self.listed
        ]


@dataclass
class OneRoot:
    """Every epoch has one final root, which is what ``subak check`` computes, and what was final stays."""

    name: str = "one true root"
    known: list[Finalised] = field(default_factory=list)

    def look(self, world: World) -> list[str]:
        faults: list[str] = []
        finals = world.finals
        said = [(each.first, each.last, each.root, each.state_root) for each in self.known]
        now = [(each.first, each.last, each.root, each.state_root) for each in finals[: len(said)]]
        if said != now:
            faults.append(f"what was final changed from {said} to {now}")
        next_epoch = 0
        for final in finals:
            if final.first != next_epoch or final.last < final.first:
                faults.append(f"after epoch {next_epoch - 1} epochs {final.first} to {final.last} became final")
            next_epoch = final.last + 1
        for final in finals[len(self.known) :]:
            result = _checked(world, final)
            if isinstance(result, CannotCheck):
                faults.append(f"epochs {final.first} to {final.last} cannot be checked: {result}")
            elif not result.passed:
                faults.append(result.words())
        self.known = list(finals)
        return faults

    def end(self, world: World) -> list[str]:
        return []


@dataclass
class BoundedLoss:
    """Whatever becomes final, by whomever: no range's rewards are more than what comes out here and the budgets of its epochs, and all
    ranges together are no more above it than the budget of all their epochs."""

    name: str = "loss <= one budget an epoch"
    loss: int = 0
    """Token units that became final beyond what comes out here."""
    epochs: int = 0
    """How many were looked at."""
    seen: int = 0
    """How many final ranges were looked at."""

    def look(self, world: World) -> list[str]:
        faults: list[str] = []
        for final in world.finals[self.seen :]:
            epochs, result = final.last - final.first + 1, _checked(world, final)
            if isinstance(result, CannotCheck):
                faults.append(f"what epochs {final.first} to {final.last} cost is not known: {result}")
                continue
            facts = {fact.name: fact for fact in result.facts}
            lost = int(facts["rewards"].published) - int(facts["rewards"].recomputed)
            if lost > epochs * BUDGET:
                faults.append(f"epochs {final.first} to {final.last} lost {lost} token units, their budgets are {epochs * BUDGET}")
            self.loss, self.epochs = self.loss + lost, self.epochs + epochs
        self.seen = len(world.finals)
        return faults

    def end(self, world: World) -> list[str]:
        """Also tells the loss, if there is any or there could be."""
        budget = self.epochs * BUDGET
        if self.loss or world.scenario.lag:
            world.told |= {"loss": self.loss, "budget": budget}
        return [f"{self.loss} token units were lost, the budgets were {budget}"] if self.loss > budget else []


@dataclass
class MoneyBounded:
    """Paid ≤ minted ≤ budget of the final epochs, and what is minted and not paid is there."""

    name: str = "paid <= minted <= budget"
    supply_before: int = -1

    def look(self, world: World) -> list[str]:
        token, settlement = world.ground.contract("Token"), world.ground.contract("Settlement")
        if self.supply_before < 0:
            self.supply_before = token.call("totalSupply")
        total, next_epoch = settlement.call("finals")[2], settlement.call("finals")[4]
        paid = settlement.call("paid")[0]
        supply, held, burned = token.call("totalSupply"), token.call("balanceOf", settlement.address), world.burned()
        minted = supply + burned - self.supply_before
        budget = BUDGET * next_epoch
        faults = []
        if not paid <= minted <= budget:
            faults.append(f"paid {paid}, minted {minted}, budget of {next_epoch} epochs {budget}")
        if minted != total or held != minted - paid:
            faults.append(f"minted {minted}, Settlement counts {total}, paid {paid} and holds {held}")
        return faults

    def end(self, world: World) -> list[str]:
        return []


@dataclass
class HonestStake:
    """Nothing that others do costs an honest verifier its stake or its seat."""

    name: str = "honest stake whole"

    def look(self, world: World) -> list[str]:
        stake = Stake(world.chain, world.network.contracts)
        bonds: dict[int, Bond] = {each.number: stake.bond(each.owner.address) for each in world.verifiers if each.character.honest}
        return [f"verifier {number} has {bond}" for number, bond in bonds.items() if bond.stake < BOND or not bond.verifies]

    def end(self, world: World) -> list[str]:
        return self.look(world)


@dataclass
class ExitsOpen:
    """At any time an honest verifier may leave and has all of its stake back, and whoever is owed by a final root can claim it."""

    name: str = "exits open"
    steps: int = 0

    def look(self, world: World) -> list[str]:
        self.steps += 1
        return self.end(world) if self.steps % EXITS_EVERY == EXITS_EVERY // 2 else []

    def end(self, world: World) -> list[str]:
        honest = [each for each in world.verifiers if each.character.honest]
        leaver = honest[self.steps % len(honest)]
        faults: list[str] = []
        with world.chain.imagined():
            try:
                token = world.ground.contract("Token")
                sender = Sender(world.chain, leaver.owner)
                stake = Stake(world.chain, world.network.contracts, sender)
                before = token.call("balanceOf", leaver.owner.address)
                bond = stake.bond(leaver.owner.address)
                if bond.verifies:
                    stake.exit()
                world.chain.go_to(max(world.chain.now + 1, stake.bond(leaver.owner.address).release_unix_s))
                stake.withdraw()
                got = token.call("balanceOf", leaver.owner.address) - before
                if got < BOND:
                    faults.append(f"verifier {leaver.number} left and got {got} of {BOND}")
            except ChainRefused as refused:
                faults.append(f"verifier {leaver.number} cannot leave within {UNBONDING_SECONDS} s: {refused}")
        return faults + self._claims(world)

    def _claims(self, world: World) -> list[str]:
        if not world.finals or not world.archive.has(f"state/{world.finals[-1].state_root.hex()}/manifest.json"):
            return []
        state = read_state(world.archive, world.finals[-1].state_root)
        tree = payout_tree(state)
        leaves = zip(state.accounts["account"].to_list(), to_ints(state.accounts["rewards"]), to_ints(state.accounts["fees"]), strict=True)
        faults: list[str] = []
        with world.chain.imagined():
            sender = Sender(world.chain, world.ground.founder)
            settlement = SettlementContract(world.chain, world.network.contracts, sender)
            for row, (account, rewards, fees) in enumerate(leaves):
                took = settlement.taken(account)
                for claim, owed in ((settlement.claim, rewards - took[0]), (settlement.claim_fees, fees - took[1])):
                    try:
                        if owed > 0:
                            claim(account, rewards, fees, tree.proof(row))
                    except ChainRefused as refused:
                        faults.append(f"account {account.hex()[:8]} cannot claim {owed}: {refused}")
        return faults


@dataclass
class GoesOn:
    """When all is calm and honest verifiers weigh more than two thirds, every closed epoch becomes final."""

    name: str = "goes on"

    def look(self, world: World) -> list[str]:
        return []

    def end(self, world: World) -> list[str]:
        final = world.finals[-1].last if world.finals else -1
        wanted = world.last_epoch - world.scenario.lag
        return [f"the last final epoch is {final}, and epoch {wanted} closed long ago"] if final < wanted else []


@dataclass
class NoFaults:
    """No honest verifier runs into anything that a later tick cannot mend, and no home is refused what is sound."""

    name: str = "no faults"

    def look(self, world: World) -> list[str]:
        faults = [f"verifier {each.number}: {fault}" for each in world.verifiers if each.character.honest for fault in each.faults]
        faults += world.host.refused
        for each in world.verifiers:
            each.faults.clear()
        world.host.refused.clear()
        return faults

    def end(self, world: World) -> list[str]:
        return []


def _checked(world: World, final: Finalised) -> CheckResult | CannotCheck:
    """What ``subak check`` says of a range, asked once."""
    name = bytes(final.transaction)
    if name not in world.checked:
        try:
            world.checked[name] = check(final.first, world.archive, world.chain)
        except CannotCheck as error:
            world.checked[name] = error
    return world.checked[name]


def _words(promise: Acknowledged) -> str:
    name = f"asset {promise.asset.hex()[:8]} sequence {promise.sequence}"
    return f"{name}, acknowledged by verifier {promise.verifier} at {promise.received_unix_s},"


def all_checkers() -> list[Checker]:
    """Fresh ones, for one run."""
    kept: list[Checker] = [EntriesKept(), OneRoot(), BoundedLoss(), MoneyBounded(), HonestStake(), ExitsOpen()]
    return [*kept, TwoTongued(), OutvotedPay(), TimelySeals(), DataAskedOnce(), CustomersPay(), GoesOn(), NoFaults()]


def finals_of(follower: Follower) -> list[Finalised]:
    """What is final on the chain, in order."""
    return finalised_ranges(follower.events())
