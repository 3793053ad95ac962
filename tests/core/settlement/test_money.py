"""Who is paid what, to the unit."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from world import TICK, TOCK, Device, Said, book, dust, earned, minted, owed, paid, settled

from subak.core.canon.merkle import pack_words
from subak.core.nouns import State
from subak.core.settlement.money import MONEY_LIMIT, divide_down, from_ints, to_ints, to_words

unhurried = settings(deadline=None)
THIRDS = {"ann": 1, "bob": 1, "cid": 1}


@unhurried
@given(st.integers(0, MONEY_LIMIT), st.lists(st.integers(0, 1 << 62), min_size=1).filter(any))
def test_shares_and_remainder_add_up_and_follow_the_parts(pot: int, parts: list[int]) -> None:
    shares, left = divide_down(pot, parts)
    assert sum(shares) + left == pot
    assert 0 <= left < len(parts)
    by_parts = sorted(zip(parts, shares, strict=True))
    assert [share for _, share in by_parts] == sorted(shares)
    assert all(one[1] == other[1] for one, other in pairwise(by_parts) if one[0] == other[0])


def test_ten_units_over_three_payees_give_three_each_and_one_is_left() -> None:
    (found,) = settled([book([Device("a", payees=THIRDS)], [Said("a", 1, [5])], budgets={"tick": 10})])
    assert paid(found.state) == {"ann": 3, "bob": 3, "cid": 3}
    assert earned(found.state) == {"a": 10}
    assert (found.summary.paid, found.summary.minted, found.summary.unallocated) == (9, 10, 1)
    assert dust(found.state) == {"tick": 1}


def test_what_is_left_over_joins_the_next_pot() -> None:
    books = [book([Device("a", payees=THIRDS)], [Said("a", 1, [5])], epoch=epoch, budgets={"tick": 10}) for epoch in range(4)]
    states = [each.state for each in settled(books)]
    assert [paid(state)["ann"] for state in states] == [3, 3 + 3, 6 + 4, 10 + 3]
    assert [dust(state) for state in states] == [{"tick": 1}, {"tick": 2}, {}, {"tick": 1}]


def test_a_site_passes_on_to_its_own_payees() -> None:
    devices = [
        Device("a", payees={"site roof": 50, "op": 50}),
        Device("b", payees={"site mast": 1}),
        Device("site roof", payees={"ann": 1, "bob": 2}, held=False),
        Device("site mast", owner="cid", held=False),
    ]
    (found,) = settled([book(devices, [Said("a", 1, [5]), Said("b", 1, [5])], budgets={"tick": 100})])
    assert paid(found.state) == {"ann": 8, "bob": 16, "op": 25, "cid": 50}
    assert earned(found.state) == {"a": 50, "b": 50}
    assert dust(found.state) == {"tick": 1}


@pytest.mark.parametrize("payees", [{"site mast": 1}, {"site none": 1}])
def test_a_site_that_names_a_site_stops_the_settlement(payees: dict[str, int]) -> None:
    devices = [Device("a"), Device("site roof", payees=payees, held=False), Device("site mast", held=False)]
    with pytest.raises(ValueError, match="neither an account nor a site"):
        settled([book(devices)])


def test_an_owner_of_two_and_a_payee_share_one_account() -> None:
    devices = [Device("a", owner="ann"), Device("b", owner="ann"), Device("c", payees={"ann": 1, "bob": 1})]
    (found,) = settled([book(devices, [Said(name, 1, [5]) for name in "abc"], budgets={"tick": 90})])
    assert paid(found.state) == {"ann": 75, "bob": 15}


def test_a_pool_that_nobody_earns_from_is_not_minted_and_keeps_its_dust() -> None:
    kinds = {"tick": TICK, "tock": TOCK}
    devices = [Device("a", payees=THIRDS), Device("b", kind="tock")]
    budgets = {"tick": 10, "tock": 1000, "nobody": 5}
    first, second = settled(
        [
            book(devices, [Said("a", 1, [5])], budgets=budgets, kinds=kinds),
            book(devices, [Said("b", 1, [5], schema=TOCK.schemas[0])], epoch=1, budgets=budgets, kinds=kinds),
        ],
        kinds=kinds,
    )
    assert (minted(first.state), dust(first.state)) == (10, {"tick": 1})
    assert (minted(second.state), dust(second.state)) == (1010, {"tick": 1})
    assert paid(second.state) == {"ann": 3, "bob": 3, "cid": 3, "b's owner": 1000}


def test_only_attested_assets_share_the_pot() -> None:
    (found,) = settled([book([Device("a"), Device("b", attested=False)], [Said("a", 1, [1]), Said("b", 1, [900])])])
    assert earned(found.state) == {"a": 1000, "b": 0}
    assert dict(zip("ab", found.state.assets["units"], strict=True)) == {"a": 1, "b": 900}
    assert dict(zip("ab", found.state.assets["paid_epochs"], strict=True)) == {"a": 1, "b": 0}


def test_escrow_vests_after_its_epochs_and_mints_when_it_is_earned() -> None:
    device = [Device("a", payees=THIRDS)]
    books = [
        book(device, [Said("a", 1, [5])] if epoch < 2 else [], epoch=epoch, budgets={"tick": 10}, escrow_epochs=2) for epoch in range(5)
    ]
    states = [each.state for each in settled(books)]
    assert [minted(state) for state in states] == [10, 20, 20, 20, 20]
    assert [sum(to_ints(state.escrow["rewards"])) for state in states] == [10, 20, 10, 0, 0]
    assert [paid(state).get("ann", 0) for state in states] == [0, 0, 3, 6, 6]
    assert [dust(state).get("tick", 0) for state in states] == [0, 0, 1, 2, 2]
    assert [state.assets["paid_epochs"][0] for state in states] == [0, 0, 1, 2, 2]
    assert states[1].escrow["release_epoch"].to_list() == [2, 3]


def test_escrow_keeps_its_date_when_the_policy_changes() -> None:
    books = [book([Device("a")], [Said("a", 1, [5])], epoch=epoch, escrow_epochs=waits) for epoch, waits in enumerate([3, 1, 0, 0])]
    states = [each.state for each in settled(books)]
    assert [paid(state).get("a's owner", 0) for state in states] == [0, 0, 2000, 4000]
    assert [state.escrow["release_epoch"].to_list() for state in states] == [[3], [2, 3], [3], []]


def test_a_conflict_holds_the_work_of_every_unit() -> None:
    said = [Said("a", 1, [[0, 9]], schema=TICK.schemas[1]), Said("a", 1, [[0, 8]], schema=TICK.schemas[1]), Said("b", 1, [5])]
    (found,) = settled([book([Device("a"), Device("b")], said)])
    assert (found.summary.held, found.summary.refused) == (1, 1)


def test_money_beyond_what_a_reader_knows_is_refused() -> None:
    assert to_ints(from_ints([0, MONEY_LIMIT - 1])) == [0, MONEY_LIMIT - 1]
    for wrong in (-1, MONEY_LIMIT):
        with pytest.raises(OverflowError):
            from_ints([1, wrong])
    (found,) = settled([book([Device("a")], [Said("a", 1, [5])], budgets={"tick": MONEY_LIMIT - 1})])
    assert minted(found.state) == owed(found.state) == MONEY_LIMIT - 1
    with pytest.raises(OverflowError):
        settled([book([Device("a")], [Said("a", 1, [5])], epoch=1, budgets={"tick": 1})], found.state)


@unhurried
@given(st.lists(st.integers(0, MONEY_LIMIT - 1)))
def test_leaves_from_words_are_leaves_from_integers(values: list[int]) -> None:
    keys = np.zeros((len(values), 20), np.uint8)
    column = from_ints(values)
    assert (pack_words(keys, to_words(column)) == pack_words(keys, values)).all()


def test_the_empty_state_owes_nothing() -> None:
    assert minted(State.genesis()) == owed(State.genesis()) == 0
    assert pl.Series(to_ints(State.genesis().totals["fees"])).to_list() == [0]
