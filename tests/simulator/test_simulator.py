"""Promises of the whole network under faults and liars; and that every checker can fail."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import msgspec
import pytest

from subak.archive.books import read_state
from subak.archive.log import Cut, EntryLog, Recovered
from subak.chain.challenges import key_of
from subak.chain.channels import Channels, Redemption
from subak.chain.contracts import Sender
from subak.chain.settlement import Opened, SettlementView
from subak.core.canon.entry import RawEntry
from subak.core.canon.keccak import keccak256
from subak.core.canon.vouchers import lines_hash
from subak.core.nouns import Hash
from subak.core.settlement.money import to_ints
from subak.lab.simulator.actors import Character
from subak.lab.simulator.answerable import DataAskedOnce, OutvotedPay, TimelySeals, TwoTongued, heard
from subak.lab.simulator.bystanders import Accuser, Grudger, Watcher
from subak.lab.simulator.checkers import BoundedLoss, Checker, EntriesKept, all_checkers
from subak.lab.simulator.customers import Customer, CustomersPay
from subak.lab.simulator.evm import FINAL_SECONDS
from subak.lab.simulator.ground import BUDGET, ground
from subak.lab.simulator.liars import CHARACTERS, Equivocating, LateSealing, richer
from subak.lab.simulator.many import run_seeds
from subak.lab.simulator.scenarios import SCENARIOS
from subak.lab.simulator.sharing import SharingClosing
from subak.lab.simulator.world import Faults, Outcome, Scenario, World, simulate
from subak.verifier.judge import Settled
from subak.verifier.uncut import Uncut

SEEDS = "1..50"
FORGETFUL = "4..5"
"""In the first of them the chain loses blocks, which must not be heard of in the next."""


def door(*arguments: str, hashes: str = "0") -> list[dict[str, Any]]:
    """``subak simulate``, as anyone runs it."""
    environment = {**os.environ, "PYTHONHASHSEED": hashes, "POLARS_MAX_THREADS": "1"}
    command = [sys.executable, "-m", "subak", "simulate", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode in (0, 1), done.stderr
    return [msgspec.json.decode(line) for line in done.stdout.splitlines()]


@pytest.mark.timeout(600)
def test_fifty_mixed_seeds_keep_every_promise() -> None:
    outcomes = door("--scenario", "mixed", "--seeds", SEEDS, "--workers", "0")
    assert len(outcomes) == 50
    assert [f"{each['replay']}: {each['violations']}" for each in outcomes if not each["passed"]] == []
    assert all(each["final_epochs"] >= 3 for each in outcomes)
    # All that can be drawn is drawn: somebody was outvoted and paid, and somebody asked for data.
    assert {name for each in outcomes for name in each["told"]} == {"fined", "asked for data", "fees"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in ("mixed", "honest", "cartel-awake", "cartel-asleep")])
def test_a_seed_of_each_scenario(name: str) -> None:
    outcome = simulate(replace(SCENARIOS[name], epochs=2, calm=1), 3)
    assert outcome.passed, f"{outcome.replay}: {outcome.violations}"


def test_a_seed_is_one_story_whatever_the_process_and_what_ran_in_it_before() -> None:
    one_after_another = door("--scenario", "mixed", "--seeds", FORGETFUL, hashes="1")
    at_once = door("--scenario", "mixed", "--seeds", FORGETFUL, "--workers", "2", hashes="2")
    (alone,) = door("--scenario", "mixed", "--seed", FORGETFUL.partition("..")[2], hashes="3")
    assert [(each["seed"], each["trace"]) for each in one_after_another] == [(each["seed"], each["trace"]) for each in at_once]
    assert one_after_another[0]["trace"] != one_after_another[1]["trace"] == alone["trace"]


def dies_at_two(scenario: str, seed: int) -> Outcome:
    if seed == 2:
        os._exit(3)
    return Outcome(scenario, seed, [], "", 0, 0, 0.0)


def test_a_process_that_dies_takes_no_other_seed_with_it() -> None:
    outcomes = list(run_seeds("honest", range(1, 5), 2, dies_at_two))
    assert [(each.seed, each.passed) for each in outcomes] == [(1, True), (2, False), (3, True), (4, True)]
    assert outcomes[1].violations[0].startswith("the process died: ")
    assert outcomes[1].replay == "subak simulate --scenario honest --seed 2"


class Stumbling:
    """A bug in the simulator itself."""

    def act(self, world: World, view: SettlementView) -> None:
        if view.next_epoch:
            raise ZeroDivisionError("planted")


def test_a_run_that_fails_in_itself_is_a_broken_seed_and_ends_no_other() -> None:
    whole = replace(SCENARIOS["honest"], epochs=1, calm=1)
    before = simulate(whole, 1)
    words: list[str] = []
    broken = simulate(replace(whole, bystanders=lambda: [Stumbling()]), 1, say=words.append)
    assert broken.violations[0].startswith("the run itself: ZeroDivisionError: planted (act, test_simulator.py:")
    assert broken.replay == "subak simulate --scenario honest --seed 1"
    assert broken.steps
    assert words
    assert simulate(whole, 1).trace == before.trace


def test_a_chain_that_is_rewound_for_ever_never_runs_out_of_depth() -> None:
    made = ground(4)
    chain, token = made.chain, made.contract("Token")
    with chain.imagined():
        sender = Sender(chain, made.member)
        chain.go_to(chain.now + 2 * FINAL_SECONDS)
        then = chain.block().number
        for _ in range(20):
            sender.send(token, "transfer", made.founder.address, 1)
        for _ in range(60):
            # Goes back before the twenty, and does them again.
            assert token.call("balanceOf", made.founder.address, block=then) == 0
        assert token.call("balanceOf", made.founder.address) == 20
        assert chain.forget(60) == 20
    assert token.call("balanceOf", made.founder.address) == 0


class Nothing(Uncut):
    """Forgets what it takes."""

    def take(self, cut: Cut) -> list[tuple[int, RawEntry]]:
        super().take(cut)
        return []


class Losing(SharingClosing):
    """Acknowledges, and brings nothing."""

    def _make_head(self, epoch: int) -> None:
        self._uncut = Nothing(self.entries, self.network.clock, 0)
        super()._make_head(epoch)


class Raising(SharingClosing):
    """Has a bug."""

    def _open(self, view: SettlementView, now_unix_s: int) -> None:
        raise ZeroDivisionError("planted")


def all_are(character: Character, count: int) -> Callable[[Random, int], Mapping[int, Character]]:
    return lambda dice, verifiers: dict.fromkeys(range(count), character)


class Thief:
    """A bug in a contract: after the first final epoch what it holds is gone."""

    def __init__(self, contract: str, money: str = "Token") -> None:
        self._contract, self._money = contract, money

    def act(self, world: World, view: SettlementView) -> None:
        token, robbed = world.ground.contract(self._money), world.ground.contract(self._contract).address
        held = token.call("balanceOf", robbed)
        if view.next_epoch and held:
            # An ERC-20 of OpenZeppelin keeps balances in slot 0.
            world.chain.write(token.address, keccak256(robbed.rjust(32, b"\0") + bytes(32)), 0)


class LateTwoTongued(Equivocating):
    """Says the truth in round 0, and two things when it is asked again."""

    def _vote(self, settled: Settled, opened: Opened, round_: int) -> None:
        if round_:
            super()._vote(settled, opened, round_)
        else:
            SharingClosing._vote(self, settled, opened, round_)


class Framer:
    """A bug in a contract: a right result counts as faulty. Whoever wants to make its signers pay can."""

    def __init__(self) -> None:
        self.done = False

    def act(self, world: World, view: SettlementView) -> None:
        if view.pending is None or view.opened is None or self.done:
            return
        challenges, place, result = world.ground.contract("Challenges"), (view.opened.first, view.pending.attempt), view.pending.result
        # What a result's signers lose, by dispute and result, lies in slot 1.
        of_dispute = keccak256(key_of(*place) + (1).to_bytes(32, "big"))
        world.chain.write(challenges.address, keccak256(result + of_dispute), 200)
        votes = [vote for vote in heard(world, *place, 0) if vote.result == result][:1]
        halves = [each.signature[:32] for each in votes], [each.signature[32:] for each in votes]
        Sender(world.chain, world.ground.founder).send(challenges, "slashFaulty", *place, 0, result, *halves)
        self.done = True


class Gullible(SharingClosing):
    """Takes any seal for one that came in time."""

    def _make_head(self, epoch: int) -> None:
        for book in self.follower.books_of(epoch - 1):
            self.journal.hear_seals(self.peers.seals(book))
        super()._make_head(epoch)


class GullibleLate(LateSealing, Gullible):
    """One who seals late among them."""


class Inflation:
    """A bug in a contract: the budget is three times what was planned."""

    def act(self, world: World, view: SettlementView) -> None:
        minter = world.ground.contract("Minter").address
        for slot in range(32):
            budget = keccak256(bytes(32) + slot.to_bytes(32, "big"))
            if world.chain.read(minter, budget) == BUDGET:
                world.chain.write(minter, budget, 3 * BUDGET)


class Gorging(SharingClosing):
    """Takes all of that."""

    def _settle(self, view: SettlementView, opened: Opened) -> Settled:
        return richer(super()._settle(view, opened), 2 * BUDGET)


class AskingTwice:
    """A bug in a contract: it forgets that data was asked for, and somebody asks again."""

    def __init__(self) -> None:
        self.done = False

    def act(self, world: World, view: SettlementView) -> None:
        challenges, token = world.ground.contract("Challenges"), world.ground.contract("Token")
        if view.opened is None or self.done:
            return
        key = key_of(view.opened.first, view.opened.attempt)
        if challenges.call("disputes", key)[5]:
            # The third word of a dispute in slot 0 holds how it ended, and whether it was prolonged.
            word = int.from_bytes(keccak256(key + bytes(32)), "big") + 2
            world.chain.write(challenges.address, word.to_bytes(32, "big"), 0)
            sender = Sender(world.chain, world.ground.member)
            sender.send(token, "approve", challenges.address, 2**255)
            sender.send(challenges, "challengeData", view.opened.first, view.opened.attempt, "again")
            self.done = True


class Forgetful(SharingClosing):
    """Redeems, and never says for whom."""

    def _write_lines(self, *_: object) -> tuple[Hash, ...]:
        return ()


class Redeemed:
    """Looks how often each lane was redeemed in each epoch."""

    name = "redeemed"

    def __init__(self) -> None:
        self.times: Counter[tuple[bytes, int]] = Counter()

    def look(self, world: World) -> list[str]:
        return []

    def end(self, world: World) -> list[str]:
        events = world.ground.contract("Channels").events(0, world.chain.block().number, ["Redeemed"])
        self.times.update((event.values["lane"], world.network.clock.epoch_at(event.log.timestamp)) for event in events)
        return []


class Spiteful(Customer):
    """Redeems its newest vouchers by itself when an epoch is over and its heads are not made yet, so that hosts wait for their fees."""

    def __init__(self) -> None:
        super().__init__()
        self.times = 0

    def act(self, world: World, view: SettlementView) -> None:
        super().act(world, view)
        now, clock = world.chain.now, world.network.clock
        if (now - clock.genesis_unix_s) % clock.epoch_seconds >= clock.grace_seconds or now < clock.end_unix_s(0):
            return
        channels = Channels(world.chain, world.network.contracts, Sender(world.chain, world.ground.customer))
        for lane in self.lanes:
            running, fact = world.verifiers[lane.clerk].running, channels.lanes()[lane.id]
            kept = running.clerk.newest(lane.id) if running is not None and running.clerk is not None else None
            if kept is not None and kept.voucher.total > fact.redeemed:
                voucher = kept.voucher
                asked = Redemption(fact, voucher.seq, voucher.total, lines_hash(voucher.lines), kept.signature)
                channels.redeem_many([asked], kept.countersignature)
                self.times += 1


class Taken:
    """Looks whether each final state has what was redeemed of each lane by the end of its epoch."""

    name = "taken"

    def __init__(self) -> None:
        self.epochs: list[int] = []

    def look(self, world: World) -> list[str]:
        faults: list[str] = []
        for final in world.finals[len(self.epochs) :]:
            self.epochs.append(final.last)
            lanes = read_state(world.archive, final.state_root).lanes
            taken = dict(zip(lanes["lane"].to_list(), to_ints(lanes["total"]), strict=True))
            end, newest = world.network.clock.end_unix_s(final.last), world.chain.block().number
            events = world.ground.contract("Channels").events(0, newest, ["Redeemed"])
            redeemed = {each.values["lane"]: each.values["total"] for each in events if each.log.timestamp < end}
            faults += [f"epoch {final.last}: {redeemed} were redeemed, {taken} is taken"] if taken != redeemed else []
        return faults

    def end(self, world: World) -> list[str]:
        return []


class Untidy(EntryLog):
    """Drops a file whose end is torn."""

    def _open_last(self) -> Recovered:
        found = super()._open_last()
        if found.torn_bytes:
            os.close(self._file)
            max(self.folder.glob("*.log")).unlink()
            found = super()._open_last()
        return found


SHORT = Scenario("planted", "One day, and then two.", epochs=1, calm=2)
BUYING = replace(SHORT, bystanders=lambda: [Customer()], sells=1_000)
STORMY = replace(SHORT, faults=Faults(crash=300, torn=1_000), epochs=2, calm=1)


def cast(some: Mapping[int, Character], others: Character) -> Callable[[Random, int], Mapping[int, Character]]:
    return lambda dice, verifiers: {number: some.get(number, others) for number in range(verifiers)}


HOARDERS = dict.fromkeys((0, 1, 2), CHARACTERS["hoarding"])
COWARDS = dict.fromkeys((0, 1, 2), CHARACTERS["cowardly"])
UNPUNISHED = Character(proofs=False)
PLANTED: Sequence[tuple[str, Scenario, type[Checker] | None]] = (
    ("entries kept", replace(SHORT, casting=all_are(Character(Losing), 4)), None),
    ("entries kept", replace(STORMY, casting=all_are(Character(log=Untidy), 4)), EntriesKept),
    ("one true root", replace(SHORT, casting=all_are(CHARACTERS["lying"], 3)), None),
    ("loss <= one budget an epoch", replace(SHORT, casting=all_are(Character(Gorging), 3), bystanders=lambda: [Inflation()]), BoundedLoss),
    ("paid <= minted <= budget", replace(SHORT, bystanders=lambda: [Thief("Settlement")]), None),
    ("honest stake whole", replace(SHORT, casting=all_are(Character(Equivocating), 1), bystanders=lambda: [Accuser()]), None),
    ("exits open", replace(SHORT, bystanders=lambda: [Thief("Stake")]), None),
    ("equivocation costs all", replace(SHORT, casting=cast({0: CHARACTERS["equivocating"]}, UNPUNISHED)), None),
    (
        "equivocation costs all",
        replace(SHORT, casting=cast({0: Character(LateTwoTongued, honest=False)}, UNPUNISHED), bystanders=lambda: [Grudger(1_000)]),
        TwoTongued,
    ),
    (
        "outvoted liars pay, and nobody else",
        replace(SHORT, casting=cast(COWARDS, UNPUNISHED), bystanders=lambda: [Grudger(1_000)]),
        OutvotedPay,
    ),
    ("outvoted liars pay, and nobody else", replace(SHORT, bystanders=lambda: [Framer()]), OutvotedPay),
    ("late sealers are not paid", replace(SHORT, casting=cast({0: Character(GullibleLate)}, Character(Gullible))), TimelySeals),
    (
        "data is asked for once",
        replace(SHORT, casting=cast(HOARDERS, Character()), bystanders=lambda: [Watcher(), AskingTwice()]),
        DataAskedOnce,
    ),
    ("what is redeemed is paid once", replace(BUYING, bystanders=lambda: [Customer(), Thief("Settlement", "TestDollar")]), CustomersPay),
    ("what is redeemed is paid once", replace(BUYING, casting=all_are(Character(Forgetful), 4)), CustomersPay),
    ("goes on", replace(SHORT, casting=all_are(CHARACTERS["hiding"], 2)), None),
    ("no faults", replace(SHORT, casting=all_are(Character(Raising), 1)), None),
)


@pytest.mark.parametrize(("promise", "scenario", "alone"), PLANTED, ids=[f"{promise} {at}" for at, (promise, _, _) in enumerate(PLANTED)])
def test_every_checker_can_fail(promise: str, scenario: Scenario, alone: type[Checker] | None) -> None:
    """With ``alone`` the others do not look, so that what they would find before does not end the run."""
    outcome = simulate(scenario, 1, [alone()] if alone else None)
    assert any(words.startswith(f"{promise}: ") for words in outcome.violations), outcome


def test_every_promise_has_a_planted_bug() -> None:
    assert {promise for promise, _, _ in PLANTED} == {checker.name for checker in all_checkers()}


def test_logs_are_torn_and_nothing_acknowledged_is_lost() -> None:
    words: list[str] = []
    outcome = simulate(STORMY, 1, say=words.append)
    assert outcome.passed, outcome.violations
    assert sum("was writing" in each for each in words) > 10


def test_who_asks_for_data_has_it_before_the_range_is_final() -> None:
    watcher = Watcher()
    scenario = replace(SHORT, casting=cast(HOARDERS, Character()), bystanders=lambda: [watcher])
    outcome = simulate(scenario, 1)
    assert outcome.passed, outcome.violations
    assert watcher.told["missing"] == watcher.told["data_challenged"] == watcher.told["same"] == outcome.final_epochs == 3
    assert watcher.told["challenged"] == 0


def test_who_is_outvoted_pays_every_time() -> None:
    outcome = simulate(replace(SHORT, casting=cast(COWARDS, Character()), bystanders=lambda: [Watcher()]), 1)
    assert outcome.passed, outcome.violations
    assert outcome.told["fined"] == 3 * outcome.final_epochs == 9


def test_what_customers_owe_is_redeemed_once_an_epoch_however_often_they_sign() -> None:
    redeemed, pays = Redeemed(), CustomersPay()
    outcome = simulate(BUYING, 1, [redeemed, pays])
    assert outcome.passed, outcome.violations
    assert outcome.told["fees"] > 0
    assert len({lane for lane, _ in redeemed.times}) == 2
    assert set(redeemed.times.values()) == {1}
    assert len(redeemed.times) >= 2 * outcome.final_epochs


def test_who_redeems_after_an_epochs_end_keeps_no_host_waiting() -> None:
    customer, taken = Spiteful(), Taken()
    outcome = simulate(replace(BUYING, calm=4, bystanders=lambda: [customer]), 1, [taken])
    assert outcome.passed, outcome.violations
    assert taken.epochs == [0, 1, 2, 3, 4]
    assert customer.times >= 2


def test_a_head_whose_file_is_held_back_stops_nobody() -> None:
    """One who brings nothing and hands out nothing: its head is heard, and must not be in its hands alone. Seed 611 found it."""
    hollow = Character(Losing, honest=False, withholds=("/archive/", "/v1/votes", "/v1/seals"))
    for outcome in (simulate(replace(SHORT, casting=all_are(hollow, 1)), 1), simulate(SCENARIOS["mixed"], 611)):
        assert outcome.passed, outcome.violations
        assert outcome.final_epochs == 3


def test_timely_seals_are_paid() -> None:
    seals = TimelySeals()
    assert simulate(SHORT, 1, [seals]).passed
    assert seals.paid > 0


def test_a_broken_seed_says_how_to_run_it_again() -> None:
    outcome = simulate(replace(SHORT, name="lazy", casting=all_are(CHARACTERS["hiding"], 2)), 5)
    assert not outcome.passed
    assert outcome.replay == "subak simulate --scenario lazy --seed 5"


@pytest.mark.timeout(300)
def test_a_cartel_is_struck_by_members_who_are_awake() -> None:
    outcome = simulate(SCENARIOS["cartel-awake"], 1)
    assert outcome.passed, outcome.violations
    assert outcome.told["loss"] == 0


@pytest.mark.timeout(300)
def test_a_cartel_beside_sleeping_members_takes_at_most_one_budget_an_epoch() -> None:
    outcome = simulate(SCENARIOS["cartel-asleep"], 1)
    assert outcome.passed, outcome.violations
    assert 0 < outcome.told["loss"] <= outcome.told["budget"]
