"""The promises above ``core.settlement.settle`` that are about fees, over drawn histories of lanes, offers and work."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[1] / "core" / "settlement"))

from world import Device, Lane, Said, account_of, asset_of, book, fees, minted, offer, owed, settled

from subak.core.nouns import Address, Book, Correction, Hash, Settlement, State
from subak.core.settlement.money import divide_whole, to_ints

NAMES = "abc"
MONEY = st.sampled_from([0, 1, 2, 3, 10, 97, 1000, 10**20])
PAYEES = st.dictionaries(st.sampled_from(["ann", "bob", "site roof"]), st.integers(1, 5), max_size=3)


@dataclass(frozen=True)
class Epoch:
    """What happened in one epoch."""

    offers: Mapping[str, tuple[int, int, int]]
    """Price, units and capacity by asset."""
    work: Mapping[str, int]
    """Ticks by asset."""
    grown: Mapping[str, Mapping[str, int]]
    """By how much each lane's lines grew."""
    share_bps: int
    burns: bool
    listed: bool
    """Whether the Book lists the lines."""
    debt: int


@dataclass(frozen=True)
class History:
    devices: tuple[Device, ...]
    epochs: tuple[Epoch, ...]

    def books(self) -> list[Book]:
        lines: dict[str, dict[str, int]] = {"x": {}, "y": {}}
        nets, burns = {"x": 0, "y": 0}, {"x": 0, "y": 0}
        books = []
        for number, epoch in enumerate(self.epochs):
            lanes = []
            for lane, grown in epoch.grown.items():
                for asset, money in grown.items():
                    if money:
                        lines[lane][asset] = lines[lane].get(asset, 0) + money
                share = -(-sum(grown.values()) * epoch.share_bps // 10_000)
                nets[lane] += sum(grown.values()) - share
                burns[lane] += share * epoch.burns
            for lane in lines:
                if lines[lane]:
                    lanes.append(Lane(lane, dict(lines[lane]), number + 1, nets[lane], burns[lane], epoch.listed))
            said: list[Said] = [offer(asset, 2 * number + 1, *terms) for asset, terms in epoch.offers.items()]
            said += [Said(asset, 2 * number + 2, [ticks]) for asset, ticks in epoch.work.items()]
            owes = Correction(number, Hash(asset_of("a")), "fees", epoch.debt, Address(account_of("customer")), "too much")
            corrections = [owes] if epoch.debt else []
            budgets = {"tick": 7, "usage": 50}
            made = book(self.devices, said, epoch=number, lanes=lanes, budgets=budgets, k_bps=5000, corrections=corrections)
            books.append(made)
        return books

    def settled(self) -> list[Settlement]:
        return settled(self.books())


@st.composite
def histories(draw: st.DrawFn) -> History:
    roof = Device("site roof", payees=draw(st.dictionaries(st.sampled_from(["ann", "bob"]), st.integers(1, 3))), held=False)
    devices = [Device(name, payees=draw(PAYEES), rated=1 << 40) for name in NAMES]
    assets = st.sampled_from(NAMES)
    epoch = st.builds(
        Epoch,
        offers=st.dictionaries(assets, st.tuples(st.sampled_from([1, 7, 10**18]), st.integers(1, 3), st.integers(0, 1)), max_size=3),
        work=st.dictionaries(assets, st.sampled_from([0, 1, 5, 1000]), max_size=3),
        grown=st.fixed_dictionaries({lane: st.dictionaries(assets, MONEY, max_size=3) for lane in "xy"}),
        share_bps=st.sampled_from([100, 333, 1000, 10_000]),
        burns=st.booleans(),
        listed=st.sampled_from([True, True, True, False]),
        debt=st.sampled_from([0, 0, 5, 10**20]),
    )
    return History((*devices, roof), tuple(draw(st.lists(epoch, min_size=1, max_size=4))))


promise = settings(max_examples=80, deadline=None)


@promise
@given(histories())
def test_fees_are_what_customers_paid(history: History) -> None:
    """Growth of fees and of what waits is what the chain handed over for the lines that were taken; a lane is taken whole or not at all."""
    before = State.genesis()
    for found, made in zip(history.settled(), history.books(), strict=True):
        waited, waits = (sum(to_ints(state.sales["net"])) for state in (before, found.state))
        taken, takes = (dict(zip(state.lanes["lane"], to_ints(state.lanes["net"]), strict=True)) for state in (before, found.state))
        handed_over = dict(zip(made.snapshot.lanes["lane"], to_ints(made.snapshot.lanes["net"]), strict=True))
        assert found.summary.fees == sum(fees(found.state).values()) - sum(fees(before).values())
        assert found.summary.fees + waits - waited == sum(takes.values()) - sum(taken.values())
        for lane, net in takes.items():
            assert net in (handed_over[lane], taken.get(lane))
        assert found.fees <= sum(handed_over.values())
        before = found.state


@promise
@given(histories())
def test_no_asset_is_paid_above_its_measured_work_at_the_price_it_offered(history: History) -> None:
    prices: dict[str, tuple[int, int]] = {}
    value: dict[str, int] = dict.fromkeys(NAMES, 0)
    for found, epoch in zip(history.settled(), history.epochs, strict=True):
        for asset, ticks in epoch.work.items():
            price, per_units = prices.get(asset, (0, 1))
            value[asset] += ticks * price // per_units
        prices |= {asset: (price if capacity else 0, per_units) for asset, (price, per_units, capacity) in epoch.offers.items()}
        for row in found.state.assets.iter_rows(named=True):
            name = row["asset"].rstrip(b"\x01").decode()
            assert int(row["fees"]) <= value.get(name, 0)


@promise
@given(histories())
def test_totals_never_fall_also_with_debts(history: History) -> None:
    before = State.genesis()
    for found in history.settled():
        assert minted(found.state) == owed(found.state)
        assert all(fees(found.state).get(account, 0) >= total for account, total in fees(before).items())
        before = found.state


@promise
@given(st.integers(0, 10**30), st.lists(st.integers(0, 10**20), min_size=1, max_size=9).filter(any))
def test_a_whole_division_leaves_nothing_and_is_fair_to_a_unit(pot: int, parts: list[int]) -> None:
    shares = divide_whole(pot, parts)
    assert sum(shares) == pot
    for share, part in zip(shares, parts, strict=True):
        assert 0 <= share - pot * part // sum(parts) <= 1
        assert part or not share


@promise
@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_lines_in_tables_does_not_matter(history: History, dice: Any) -> None:
    shuffled = []
    for made in history.books():
        order = list(range(len(made.lines)))
        dice.shuffle(order)
        shuffled.append(Book(made.contents, made.policy, made.tables, made.snapshot, made.entries, made.lines[order]))
    assert [each.state_root for each in settled(shuffled)] == [each.state_root for each in history.settled()]
