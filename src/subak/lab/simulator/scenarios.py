"""What can be run, by name."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from subak.lab.simulator.actors import Character
from subak.lab.simulator.bystanders import Grudger, Members, Watcher
from subak.lab.simulator.liars import CHARACTERS
from subak.lab.simulator.world import Casting, Faults, Scenario

_SIZES = (4, 4, 5, 7)
_BLEND = ("lying", "lazy", "copying", "equivocating", "omitting", "silent", "withholding", "hiding")


def fewer_than_a_third(*names: str) -> Casting:
    """As many as the protocol bears, each one of these."""

    def cast(dice: Random, verifiers: int) -> Mapping[int, Character]:
        liars = dice.sample(range(verifiers), (verifiers - 1) // 3)
        return {number: CHARACTERS[dice.choice(names)] for number in liars}

    return cast


def more_than_two_thirds(name: str) -> Casting:
    """One more than the protocol bears, all the same."""

    def cast(dice: Random, verifiers: int) -> Mapping[int, Character]:
        return dict.fromkeys(dice.sample(range(verifiers), 2 * verifiers // 3 + 1), CHARACTERS[name])

    return cast


def _blend(dice: Random, verifiers: int) -> Mapping[int, Character]:
    liars = dice.sample(range(verifiers), dice.randint(0, (verifiers - 1) // 3))
    return {number: CHARACTERS[dice.choice(_BLEND)] for number in liars}


_SCENARIOS = (
    Scenario("honest", "Nothing goes wrong.", epochs=1, calm=2),
    Scenario("crashes", "Verifiers lose power at any step and come back.", Faults(crash=60)),
    Scenario("cuts", "The network falls apart and heals, and messages are lost.", Faults(cut=60, drop=100, deaf=30), verifiers=_SIZES),
    Scenario("skew", "Clocks are off by up to ten minutes.", Faults(skew_s=600)),
    Scenario("forgetful", "The chain loses its last minute, again and again.", Faults(forget=200)),
    Scenario("lying", "One of four votes for a false root.", casting=fewer_than_a_third("lying"), bystanders=lambda: [Watcher()]),
    Scenario("lazy", "Some settle nothing and copy votes.", casting=fewer_than_a_third("lazy"), verifiers=_SIZES),
    Scenario("copying", "Some seal only when others' verdicts are out.", casting=fewer_than_a_third("copying"), verifiers=_SIZES),
    Scenario("equivocating", "Some vote for two roots; the others have their stake taken.", casting=fewer_than_a_third("equivocating")),
    Scenario(
        "colluding",
        "f of 3f + 1 vote for the same false root.",
        Faults(drop=50),
        verifiers=(4, 7),
        casting=fewer_than_a_third("lying"),
        bystanders=lambda: [Watcher()],
    ),
    Scenario(
        "withholding", "Some announce what they never hand out.", casting=fewer_than_a_third("withholding", "hiding"), verifiers=_SIZES
    ),
    Scenario("omission", "A lead leaves a rival's Entries out.", casting=fewer_than_a_third("omitting"), verifiers=_SIZES),
    Scenario("silent", "Leads do nothing when it is their turn.", casting=fewer_than_a_third("silent"), verifiers=(4, 7)),
    Scenario(
        "grudge",
        "Right results are challenged.",
        casting=fewer_than_a_third("lazy"),
        bystanders=lambda: [Grudger(500), Watcher()],
        epochs=2,
        calm=2,
    ),
    Scenario(
        "cartel-awake",
        "More than two thirds sign a false root; a watcher contests and escalates, members strike it.",
        casting=more_than_two_thirds("greedy"),
        bystanders=lambda: [Watcher(), Members()],
        epochs=1,
        calm=20,
        lag=8,
    ),
    Scenario(
        "cartel-asleep",
        "More than two thirds sign a false root; a watcher contests and escalates, nobody votes.",
        casting=more_than_two_thirds("greedy"),
        bystanders=lambda: [Watcher()],
        epochs=1,
        calm=18,
        lag=18,
        broken=("one true root",),
    ),
    Scenario(
        "mixed",
        "Everything at once: crashes, cuts, lost words, skew, a forgetful chain, and fewer than a third that lie in any way.",
        Faults(crash=20, cut=30, drop=40, deaf=10, skew_s=300, forget=30),
        verifiers=(4, 4, 4, 5, 7),
        casting=_blend,
        bystanders=lambda: [Watcher(), Grudger(5)],
        epochs=2,
        calm=1,
    ),
)
SCENARIOS: Mapping[str, Scenario] = {each.name: each for each in _SCENARIOS}
"""All of them."""
