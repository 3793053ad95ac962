"""Promises of the whole network under faults and liars; and that every checker can fail."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Any

import msgspec
import pytest

from subak.archive.log import Cut
from subak.chain.settlement import SettlementView
from subak.core.canon.entry import RawEntry
from subak.core.canon.keccak import keccak256
from subak.lab.simulator.actors import Character
from subak.lab.simulator.bystanders import Accuser
from subak.lab.simulator.liars import CHARACTERS, Equivocating
from subak.lab.simulator.scenarios import SCENARIOS
from subak.lab.simulator.sharing import SharingClosing
from subak.lab.simulator.world import Scenario, World, simulate
from subak.verifier.uncut import Uncut

SEEDS = "1..50"


def door(*arguments: str, hashes: str = "0") -> list[dict[str, Any]]:
    """``subak simulate``, as anyone runs it."""
    environment = {**os.environ, "PYTHONHASHSEED": hashes, "POLARS_MAX_THREADS": "1"}
    command = [sys.executable, "-m", "subak", "simulate", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode in (0, 1), done.stderr
    return [msgspec.json.decode(line) for line in done.stdout.splitlines()]


@pytest.mark.timeout(600)
def test_fifty_mixed_seeds_keep_every_promise() -> None:
    outcomes = door("--scenario", "mixed", "--seeds", SEEDS)
    assert len(outcomes) == 50
    assert [f"{each['replay']}: {each['violations']}" for each in outcomes if not each["passed"]] == []
    assert all(each["final_epochs"] >= 3 for each in outcomes)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in ("mixed", "honest", "cartel-awake", "cartel-asleep")])
def test_a_seed_of_each_scenario(name: str) -> None:
    outcome = simulate(replace(SCENARIOS[name], epochs=2, calm=1), 3)
    assert outcome.passed, f"{outcome.replay}: {outcome.violations}"


def test_a_seed_is_one_story_whatever_the_process() -> None:
    first, other = door("--scenario", "mixed", "--seeds", "7..8", hashes="1")
    (second,) = door("--scenario", "mixed", "--seed", "8", hashes="2")
    assert first["trace"] != other["trace"] == second["trace"]


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

    def __init__(self, contract: str) -> None:
        self._contract = contract

    def act(self, world: World, view: SettlementView) -> None:
        token, robbed = world.ground.contract("Token"), world.ground.contract(self._contract).address
        held = token.call("balanceOf", robbed)
        if view.next_epoch and held:
            # An ERC-20 of OpenZeppelin keeps balances in slot 0.
            world.chain.write(token.address, keccak256(robbed.rjust(32, b"\0") + bytes(32)), 0)


SHORT = Scenario("planted", "One day, and then two.", epochs=1, calm=2)
PLANTED = {
    "entries kept": replace(SHORT, casting=all_are(Character(Losing), 4)),
    "one true root": replace(SHORT, casting=all_are(CHARACTERS["lying"], 3)),
    "paid <= minted <= budget": replace(SHORT, bystanders=lambda: [Thief("Settlement")]),
    "honest stake whole": replace(SHORT, casting=all_are(Character(Equivocating), 1), bystanders=lambda: [Accuser()]),
    "exits open": replace(SHORT, bystanders=lambda: [Thief("Stake")]),
    "equivocation costs all": replace(
        SHORT, casting=lambda dice, verifiers: {0: CHARACTERS["equivocating"]} | dict.fromkeys((1, 2, 3), Character(proofs=False))
    ),
    "goes on": replace(SHORT, casting=all_are(CHARACTERS["hiding"], 2)),
    "no faults": replace(SHORT, casting=all_are(Character(Raising), 1)),
}


@pytest.mark.parametrize("promise", PLANTED)
def test_every_checker_can_fail(promise: str) -> None:
    outcome = simulate(PLANTED[promise], 1)
    assert any(words.startswith(f"{promise}: ") for words in outcome.violations), outcome


def test_a_broken_seed_says_how_to_run_it_again() -> None:
    outcome = simulate(replace(PLANTED["goes on"], name="lazy"), 5)
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
