"""A host who is its own customer, alone or in a ring, loses under every policy of ``tests/tables/self_dealing.txt``.

The profit is counted in what the money can buy. What is burned makes every token worth more, also the attacker's own: with S tokens in
all before, S' after, and h held before and h' after, the attacker gains if h'·S > h·S'. Of the treasury an attacker owns what it owns of
all tokens.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "core" / "settlement"))

from world import Device, Lane, Said, book, fees, offer, paid, settled

TABLE = Path(__file__).parents[1] / "tables" / "self_dealing.txt"
SUPPLY = 10**9
"""Tokens in all, in units of the smallest."""
SPENT = 30_000
"""What each member of the ring pays the next one, and its work is worth."""
EPOCHS = 3


@dataclass(frozen=True)
class Policy:
    currency: str
    share_bps: int
    k_bps: int
    budget: int | None


@dataclass(frozen=True)
class Attacker:
    name: str
    members: int
    """Hosts that buy from each other in a ring; one buys from itself."""
    held: Fraction
    """Of all tokens."""


def _policies() -> list[Policy]:
    rows = [line.partition("#")[0].split() for line in TABLE.read_text().splitlines()]
    return [Policy(row[0], int(row[1]), int(row[2]), None if row[3] == "-" else int(row[3])) for row in rows if row]


ATTACKERS = [
    Attacker(f"{'alone' if members == 1 else f'ring of {members}'}{' with a third of all tokens' if held else ''}", members, held)
    for members in (1, 10)
    for held in (Fraction(0), Fraction(1, 3))
]


def _settle(policy: Policy, members: int) -> tuple[int, int, int, int, int]:
    """What the ring spent, got as fees, got as usage rewards, and what was burned and minted, over some epochs."""
    names = [f"m{number}" for number in range(members)]
    devices = [Device(name, rated=1 << 40, attested=False) for name in names]
    budgets = {} if policy.budget is None else {"usage": policy.budget}
    books = [book(devices, [offer(name, 1) for name in names], budgets=budgets, k_bps=policy.k_bps)]
    for epoch in range(1, EPOCHS + 1):
        total = SPENT * epoch
        share = sum(-(-SPENT * policy.share_bps // 10_000) for _ in range(epoch))
        lanes = [
            Lane(f"lane{name}", {name: total}, seq=epoch, net=total - share, burned=share if policy.currency == "token" else 0)
            for name in names
        ]
        said = [Said(name, epoch + 1, [SPENT]) for name in names]
        books.append(book(devices, said, epoch=epoch, budgets=budgets, k_bps=policy.k_bps, lanes=lanes))
    last = settled(books)[-1].state
    spent, earned, rewarded = members * SPENT * EPOCHS, sum(fees(last).values()), sum(paid(last).values())
    return spent, earned, rewarded, spent - earned, rewarded


def profit_of(policy: Policy, attacker: Attacker) -> Fraction:
    """In tokens or dollars of the time before; below zero is a loss."""
    spent, earned, rewarded, share, minted = _settle(policy, attacker.members)
    held = attacker.held * SUPPLY
    if policy.currency == "dollar":
        assert rewarded == 0, "where nothing is burned there are no usage rewards"
        return earned - spent + share * attacker.held
    after, supply = held - spent + earned + rewarded, SUPPLY - share + minted
    return (after * SUPPLY - held * supply) / supply


@pytest.mark.parametrize("attacker", ATTACKERS, ids=lambda each: each.name)
def test_being_ones_own_customer_loses_under_every_policy(attacker: Attacker, capsys: pytest.CaptureFixture[str]) -> None:
    profits = {policy: profit_of(policy, attacker) for policy in _policies()}
    with capsys.disabled():
        print(f"\n  {attacker.name}: profit of spending {attacker.members * SPENT * EPOCHS:,}")
        for policy, profit in profits.items():
            print(f"    {policy.currency:7} f {policy.share_bps:5} k {policy.k_bps:5} pool {policy.budget!s:>8}: {float(profit):12.2f}")
    assert {policy: profit for policy, profit in profits.items() if profit >= 0} == {}


def test_the_share_stays_with_the_network_to_the_unit() -> None:
    """What the ring lost is what was burned, less what was minted for it."""
    spent, earned, rewarded, burned, minted = _settle(Policy("token", 1000, 9999, 10**6), 10)
    assert spent - earned == burned == spent // 10
    assert 0 < rewarded == minted < burned


def test_usage_raises_no_bootstrap_reward() -> None:
    """The pot for installed capacity is the same whether its hosts buy from themselves or from nobody."""
    devices = [Device("a"), Device("b")]
    said = [Said("a", 2, [10]), Said("b", 2, [10])]
    before = settled([book(devices, [offer("a", 1), offer("b", 1)])])[0].state
    quiet, busy = (
        settled([book(devices, said, epoch=1, lanes=lanes, k_bps=9999)], before)[0].state
        for lanes in ([], [Lane("lane", {"a": 10}, net=9, burned=1)])
    )
    assert paid(busy) == paid(quiet)
