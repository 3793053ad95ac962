"""What ``core.settlement.settle`` promises about verifiers' pay, by its own names, over drawn weights, seals and heads."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
from hypothesis import assume, given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[1] / "core" / "settlement"))

from world import Device, Said, Verifier, book, dust, head_of, minted, paid, seal_by, settled

from subak.core.nouns import Book

NAMES = "pqrstuv"
DEVICES = (Device("a", payees={"ann": 2, "p's owner": 1}), Device("b", owner="q's owner"), Device("c"))
SAID = [Said("a", 1, [5, 7]), Said("b", 1, [3]), Said("c", 1, [2000])]
BUDGETS = st.sampled_from([0, 1, 2, 97, 1000, 10**24])
STAKES = st.integers(1, 40) | st.sampled_from([10**24 // 4, 10**24, 10**24 + 4])
promise = settings(max_examples=25, deadline=None)


@dataclass(frozen=True)
class Duty:
    """How a verifier does its duties."""

    stake: int
    seals: bool = True
    """It seals what came out; else something else."""
    heads: bool = True
    """It has a head in the Book of epoch 1."""
    committed: bool = True
    """It had one in the Book of epoch 0."""
    reveals: bool = True
    hears: frozenset[str] = frozenset(NAMES)
    """Whose seals its head lists."""


def capped(stakes: Mapping[str, int]) -> dict[str, int]:
    """Weights as the chain has them, in fours: what a division by four leaves over is nobody's here."""
    raw = {name: 4 * stake for name, stake in stakes.items()}
    cap = sum(raw.values()) // 4 if len(raw) >= 4 else max(raw.values(), default=0)
    return {name: min(weight, cap) for name, weight in raw.items()}


def books(duties: Mapping[str, Duty], budget: int, pots: Mapping[str, int] | None = None, said: Sequence[Said] = ()) -> list[Book]:
    weights = capped({name: duty.stake for name, duty in duties.items()})
    verifiers = [Verifier(name, weight) for name, weight in weights.items()]
    zero = book(DEVICES, verifiers=verifiers, heads=[head_of(name, 0) for name, duty in duties.items() if duty.committed])
    _, sealed, verdicts = settled([zero])[0].state.sealed.row(0)
    seals = {name: seal_by(name, sealed, verdicts if duty.seals else bytes(32)) for name, duty in duties.items()}
    heads = [
        head_of(name, 1, [seal for other, seal in seals.items() if other in duty.hears], duty.reveals)
        for name, duty in duties.items()
        if duty.heads
    ]
    budgets = {"verifiers": budget, **(pots or {})}
    return [zero, book(DEVICES, said, epoch=1, budgets=budgets, verifiers=verifiers, heads=heads)]


def pay_of(duties: Mapping[str, Duty], budget: int) -> dict[str, int]:
    """What each verifier's owner got."""
    got = paid(settled(books(duties, budget))[1].state)
    return {name: got.get(f"{name}'s owner", 0) for name in duties}


DUTIES = st.dictionaries(
    st.sampled_from(NAMES),
    st.builds(
        Duty,
        STAKES,
        seals=st.sampled_from([True, True, True, False]),
        heads=st.sampled_from([True, True, True, False]),
        committed=st.sampled_from([True, True, True, False]),
        reveals=st.sampled_from([True, True, True, False]),
        hears=st.frozensets(st.sampled_from(NAMES)) | st.just(frozenset(NAMES)),
    ),
    min_size=1,
)


@promise
@given(DUTIES, BUDGETS)
def test_a_verifiers_pay_is_its_weights_share_for_a_right_and_timely_seal_and_its_reveal(duties: dict[str, Duty], budget: int) -> None:
    weights = capped({name: duty.stake for name, duty in duties.items()})
    raw = sum(4 * duty.stake for duty in duties.values())
    hearing = sum(weights[name] for name, duty in duties.items() if duty.heads)
    for name, found in pay_of(duties, budget).items():
        duty = duties[name]
        heard = sum(weights[other] for other, each in duties.items() if each.heads and name in each.hears)
        earned = duty.seals and duty.heads and duty.committed and duty.reveals and heard * 2 > hearing
        assert found == (budget * weights[name] // raw if earned else 0)


@promise
@given(DUTIES, BUDGETS, st.sampled_from([0, 10, 10**24]))
def test_what_is_not_earned_is_not_minted_and_no_pool_pays_more_than_it_has(duties: dict[str, Duty], budget: int, pot: int) -> None:
    one = settled(books(duties, budget, {"tick": pot}, SAID))[1]
    alone = settled(books(duties, budget))[1]
    earned = sum(paid(alone.state).values())
    assert earned == minted(alone.state) == alone.summary.minted <= budget
    assert one.summary.minted == earned + pot
    assert "verifiers" not in dust(one.state)


@promise
@given(DUTIES, st.data())
def test_liars_below_half_neither_make_a_late_seal_count_nor_strike_a_timely_one(duties: dict[str, Duty], data: st.DataObject) -> None:
    """Honest heads list the seals that were in time; what the others list changes nobody's pay."""
    weights = capped({name: duty.stake for name, duty in duties.items()})
    hearing = {name: weights[name] for name, duty in duties.items() if duty.heads}
    drawn = data.draw(st.lists(st.sampled_from(sorted(duties)), unique=True))
    liars: list[str] = []
    for name in drawn:
        if 2 * sum(hearing.get(each, 0) for each in [*liars, name]) < sum(hearing.values()):
            liars.append(name)
    timely = data.draw(st.frozensets(st.sampled_from(NAMES)))
    honest = {name: duty if name in liars else replace(duty, hears=timely) for name, duty in duties.items()}
    truthful = {name: replace(duty, hears=timely) for name, duty in duties.items()}
    found = pay_of(honest, 10**6)
    assert found == pay_of(truthful, 10**6)
    assert all(name in timely for name, pay in found.items() if pay)


@promise
@given(DUTIES, BUDGETS, st.sampled_from([10, 10**24]))
def test_duties_change_no_assets_and_no_accounts_other_money(duties: dict[str, Duty], budget: int, pot: int) -> None:
    with_pay, without = (settled(books(duties, each, {"tick": pot}, SAID))[1] for each in (budget, 0))
    alone = settled(books(duties, budget))[1]
    pay, others, both = (paid(each.state) for each in (alone, without, with_pay))
    assert both == {name: pay.get(name, 0) + others.get(name, 0) for name in pay.keys() | others.keys()}
    tables = with_pay.state.tables
    for name in tables.keys() - {"accounts", "totals", "sealed", "commits"}:
        assert tables[name].equals(without.state.tables[name]), name
    assert with_pay.state.accounts["fees"].cast(pl.Int128).sum() == 0
    assert with_pay.verdicts.equals(without.verdicts)


@promise
@given(DUTIES, BUDGETS, st.data())
def test_splitting_a_verifiers_stake_gains_nothing(duties: dict[str, Duty], budget: int, data: st.DataObject) -> None:
    """For whom the cap did not cut: it holds one verifier to a quarter, not one person."""
    mine = data.draw(st.sampled_from(sorted(duties)))
    stake = duties[mine].stake
    every = sum(duty.stake for duty in duties.values())
    assume(len(duties) < 4 or 4 * stake <= every)
    parts = data.draw(st.lists(st.integers(1, stake), min_size=1, max_size=3).filter(lambda parts: sum(parts) <= stake))
    rest = stake - sum(parts)
    split = {f"mine {number}": part for number, part in enumerate([*parts, rest]) if part}
    # As good as it gets: everyone does everything, and what was mine is heard under every name.
    good = {name: Duty(duty.stake) for name, duty in duties.items()}
    names = frozenset([*NAMES, *split])
    apart = {name: replace(duty, hears=names) for name, duty in good.items() if name != mine}
    apart |= {name: Duty(part, hears=names) for name, part in split.items()}
    together = pay_of(good, budget)[mine]
    found = pay_of(apart, budget)
    assert sum(found[name] for name in split) <= together
