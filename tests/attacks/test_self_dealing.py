"""A host who is its own customer, alone or in a ring, loses under every policy of ``tests/tables/self_dealing.txt``.

The bots are those of the attack lab. The profit is counted in what the money can buy: what is burned makes every token worth more, also
the attacker's own; of the treasury an attacker owns what it owns of all tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import pytest

from subak.core.settlement.money import USAGE
from subak.lab.attacks.energy import POT, homes, honest_meter, hourly, says, world
from subak.lab.attacks.money import DAYS, SPENT, Terms, lane, ring, worth
from subak.lab.attacks.world import Lane, rewards_of
from subak.lab.recording import june_2017

TABLE = Path(__file__).parents[1] / "tables" / "self_dealing.txt"


@dataclass(frozen=True)
class Attacker:
    name: str
    members: int
    """Hosts that buy from each other in a ring; one buys from itself."""
    held: Fraction
    """Of all tokens."""


def _policies() -> list[Terms]:
    rows = [line.partition("#")[0].split() for line in TABLE.read_text().splitlines()]
    return [Terms(row[0], int(row[1]), int(row[2]), None if row[3] == "-" else int(row[3])) for row in rows if row]


ATTACKERS = [
    Attacker(f"{'alone' if members == 1 else f'ring of {members}'}{' with a third of all tokens' if held else ''}", members, held)
    for members in (1, 10)
    for held in (Fraction(0), Fraction(1, 3))
]


@pytest.mark.parametrize("attacker", ATTACKERS, ids=lambda each: each.name)
def test_being_ones_own_customer_loses_under_every_policy(attacker: Attacker, capsys: pytest.CaptureFixture[str]) -> None:
    profits = {terms: worth(terms, attacker.members, attacker.held).profit for terms in _policies()}
    with capsys.disabled():
        print(f"\n  {attacker.name}: profit of spending {attacker.members * SPENT * DAYS:,}")
        for terms, profit in profits.items():
            print(f"    {terms.currency:7} f {terms.share_bps:5} k {terms.k_bps:5} pool {terms.budget!s:>8}: {profit:12,}")
    assert {terms: profit for terms, profit in profits.items() if profit >= 0} == {}


def test_where_nothing_is_burned_there_are_no_usage_rewards() -> None:
    for terms in _policies():
        assert (ring(terms, 1).rewards == 0) == (terms.currency == "dollar" or not terms.k_bps or terms.budget is None)


def test_the_share_stays_with_the_network_to_the_unit() -> None:
    """What the ring lost is what was burned, less what was minted for it."""
    books = ring(Terms("token", 1000, 9999, 10**6), 10)
    assert books.spent - books.fees == books.share == books.spent // 10
    assert 0 < books.rewards < books.share
    assert sum(each.summary.minted for each in books.settled) == books.rewards


def test_usage_raises_no_bootstrap_reward() -> None:
    """The pot for installed capacity is the same whether its homes buy from themselves or from nobody."""
    numbers = june_2017().homes
    speak = [says(asset, hourly(honest_meter(home))) for asset, home in zip(homes(), numbers, strict=True)]
    terms = Terms("token", 1000, 9999, None)
    there = replace(world(homes()), budgets={"energy": POT, USAGE: 0}, k_bps=terms.k_bps)
    lanes = [lane(asset, SPENT, terms)(1) for asset in homes()]

    def paid(redeemed: Sequence[Lane]) -> list[int]:
        last = there.play(2, speak, lambda epoch: redeemed if epoch else ())[-1].state
        return [rewards_of(last, asset.name) for asset in homes()]

    quiet = paid([])
    assert paid(lanes) == quiet
    assert sum(quiet) > POT
