"""What can be run, by name."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from subak.lab.simulator.actors import Character
from subak.lab.simulator.bystanders import Grudger, Members, Watcher
from subak.lab.simulator.customers import Customer
from subak.lab.simulator.liars import CHARACTERS
from subak.lab.simulator.world import Casting, Faults, Scenario

_SIZES = (4, 4, 5, 7)
_MINORITY = ("lying", "lazy", "copying", "equivocating", "omitting", "silent", "withholding", "hiding")

_MAJORITY = ("cowardly", "hoarding")
_MAJORITY_ONE_IN = 8


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
    """Mostly fewer than a third; now and then so many that only a watcher stands against them."""
    if dice.randrange(_MAJORITY_ONE_IN) == 0:
        return more_than_two_thirds(dice.choice(_MAJORITY))(dice, verifiers)
    liars = dice.sample(range(verifiers), dice.randint(0, (verifiers - 1) // 3))
    return {number: CHARACTERS[dice.choice(_MINORITY)] for number in liars}


_SCENARIOS = (
    Scenario("honest", "Nothing goes wrong.", epochs=1, calm=2),
    Scenario("crashes", "Verifiers lose power at any step and come back.", Faults(crash=60, torn=500)),
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
    Scenario(
        "asked-for",
        "More than two thirds keep to themselves what they took in, until a watcher pays to have it asked for.",
        Faults(drop=50),
        casting=more_than_two_thirds("hoarding"),
        bystanders=lambda: [Watcher()],
        epochs=2,
        calm=1,
    ),
    Scenario(
        "outvoted",
        "More than two thirds sign a false root, and judge as they should once a watcher contests it.",
        Faults(drop=50),
        verifiers=_SIZES,
        casting=more_than_two_thirds("cowardly"),
        bystanders=lambda: [Watcher()],
        epochs=2,
        calm=1,
    ),
    Scenario(
        "customers",
        "Homes sell to a customer, over clerks that crash and are cut off, on a forgetful chain.",
        Faults(crash=40, torn=500, cut=30, drop=50, deaf=20, forget=100),
        bystanders=lambda: [Customer()],
        sells=1_000,
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
        "Everything at once: crashes, cuts, lost words, skew, a forgetful chain, torn logs, customers, and verifiers that lie in any way.",
        Faults(crash=20, torn=500, cut=30, drop=40, deaf=10, skew_s=300, forget=30),
        verifiers=(4, 4, 4, 5, 7),
        casting=_blend,
        bystanders=lambda: [Watcher(), Grudger(5), Customer()],
        epochs=2,
        calm=1,
        sells=200,
    ),
)
SCENARIOS: Mapping[str, Scenario] = {each.name: each for each in _SCENARIOS}
"""All of them."""
