"""Fees, usage rewards, debts, caps: from redeemed lines to accounts."""

from __future__ import annotations

from typing import Any

import pytest
from world import (
    EPOCH_S,
    GENESIS_UNIX_S,
    Device,
    Lane,
    Said,
    account_of,
    asset_of,
    book,
    dust,
    earned,
    fees,
    minted,
    offer,
    paid,
    settled,
    verdicts,
)

from subak.core.nouns import Address, Correction, Hash, Requirement, State
from subak.core.settlement.money import to_ints

A, B = Device("a"), Device("b")
WORK = [Said("a", 2, [100]), Said("b", 2, [50])]
OFFERS = [offer("a", 1, price=10), offer("b", 1, price=10)]


def offered(**changes: Any) -> State:
    """After epoch 0, in which both offered a tick for 10."""
    return settled([book([A, B], OFFERS, **changes)])[0].state


def waiting(state: State) -> int:
    return sum(to_ints(state.sales["net"]))


def test_redeemed_lines_are_paid_to_the_unit_net_of_the_share() -> None:
    lane = Lane("lane", {"a": 700, "b": 301})
    (found,) = settled([book([A, B], WORK, epoch=1, lanes=[lane])], offered())
    assert lane.row()[4] == 900
    assert fees(found.state) == {"a's owner": 630, "b's owner": 270}
    assert found.summary.fees == found.fees == 900
    assert waiting(found.state) == 0
    assert found.state.assets["fees"].cast(int).to_list() == [630, 270]


def test_the_units_that_division_leaves_go_to_the_first_lines() -> None:
    (found,) = settled([book([A, B], WORK, epoch=1, lanes=[Lane("lane", {"a": 1, "b": 1}, net=1)])], offered())
    assert fees(found.state) == {"a's owner": 1}


def test_a_payees_division_leaves_nothing_of_fees() -> None:
    shared = Device("a", payees={"ann": 1, "bob": 1, "cid": 1})
    before = settled([book([shared], [OFFERS[0]])])[0].state
    (found,) = settled([book([shared], [WORK[0]], epoch=1, lanes=[Lane("lane", {"a": 110}, net=100)])], before)
    assert fees(found.state) == {"ann": 34, "bob": 33, "cid": 33}


def test_an_offer_acts_from_the_epoch_after_its_book() -> None:
    lane = Lane("lane", {"a": 100})
    first, second = settled([book([A], [OFFERS[0], WORK[0]], lanes=[lane]), book([A], [Said("a", 3, [10])], epoch=1, lanes=[lane])])
    assert (fees(first.state), waiting(first.state)) == ({}, 90)
    assert (fees(second.state), waiting(second.state)) == ({"a's owner": 90}, 0)


@pytest.mark.parametrize("changes", [{"capacity": 0}, {"days": 1}], ids=["taken back", "expired"])
def test_an_offer_that_is_gone_has_no_price(changes: dict[str, int]) -> None:
    before = settled([book([A], [offer("a", 1, price=10, **changes)])])[0].state
    (found,) = settled([book([A], [WORK[0]], epoch=1, lanes=[Lane("lane", {"a": 100})])], before)
    assert (fees(found.state), waiting(found.state)) == ({}, 90)


def test_bills_above_measured_work_wait_for_it() -> None:
    """Two customers bought the same 100 ticks: each measured unit is sold once."""
    lanes = [Lane("one", {"a": 1000}, net=900), Lane("two", {"a": 1000}, net=990)]
    first, second = settled(
        [book([A, B], [WORK[0]], epoch=1, lanes=lanes), book([A, B], [Said("a", 3, [50])], epoch=2, lanes=lanes)], offered()
    )
    assert (fees(first.state), waiting(first.state)) == ({"a's owner": 945}, 945)
    assert (fees(second.state), waiting(second.state)) == ({"a's owner": 945 + 472}, 473)


def test_work_that_nobody_was_billed_for_can_be_billed_later() -> None:
    first, second = settled([book([A, B], [WORK[0]], epoch=1), book([A, B], epoch=2, lanes=[Lane("lane", {"a": 1000})])], offered())
    assert (fees(first.state), fees(second.state)) == ({}, {"a's owner": 900})


@pytest.mark.parametrize(
    "lane",
    [
        Lane("lane", {"a": 700, "b": 300}, listed=False),
        Lane("lane", {"a": 700, "b": 300}, told={"a": 701, "b": 299}),
        Lane("lane", {"a": 700, "b": 300}, told={"a": 700}),
        Lane("lane", {"a": 700, "nobody": 300}),
    ],
    ids=["not listed", "other lines", "fewer lines", "unknown asset"],
)
def test_money_whose_lines_are_missing_or_do_not_fit_waits_with_the_chain(lane: Lane) -> None:
    first, second = settled(
        [book([A, B], WORK, epoch=1, lanes=[lane]), book([A, B], epoch=2, lanes=[Lane("lane", {"a": 700, "b": 300})])], offered()
    )
    assert fees(first.state) == {}
    assert len(first.state.lanes) == len(first.state.lines) == 0
    assert fees(second.state) == {"a's owner": 630, "b's owner": 270}


def test_another_table_with_other_lines_of_the_lane_spoils_nothing() -> None:
    lanes = [Lane("lane", {"a": 700, "b": 300}, told={"a": 1}), Lane("lane", {"a": 700, "b": 300})]
    (found,) = settled([book([A, B], WORK, epoch=1, lanes=lanes)], offered())
    assert fees(found.state) == {"a's owner": 630, "b's owner": 270}


@pytest.mark.parametrize("later", [{"a": 699, "b": 400}, {"b": 1100}], ids=["falls", "vanishes"])
def test_a_line_that_falls_or_vanishes_is_not_taken(later: dict[str, int]) -> None:
    first, second = settled(
        [
            book([A, B], WORK, epoch=1, lanes=[Lane("lane", {"a": 700, "b": 300})]),
            book([A, B], epoch=2, lanes=[Lane("lane", later, seq=2)]),
        ],
        offered(),
    )
    assert fees(second.state) == fees(first.state)
    assert second.state.lanes.equals(first.state.lanes)


def test_lines_grow_over_epochs_and_only_growth_is_paid() -> None:
    first, second = settled(
        [
            book([A, B], WORK, epoch=1, lanes=[Lane("lane", {"a": 500}, net=450)]),
            book([A, B], epoch=2, lanes=[Lane("lane", {"a": 600, "b": 100}, seq=2, net=450 + 100)]),
        ],
        offered(),
    )
    assert fees(first.state) == {"a's owner": 450}
    assert fees(second.state) == {"a's owner": 500, "b's owner": 50}


def test_usage_rewards_are_k_of_what_was_burned() -> None:
    lane = Lane("lane", {"a": 700, "b": 300}, net=900, burned=100)
    (found,) = settled([book([A, B], WORK, epoch=1, lanes=[lane], k_bps=5000, budgets={"usage": 1000})], offered(budgets={}))
    assert paid(found.state) == {"a's owner": 35, "b's owner": 15}
    assert minted(found.state) == found.summary.minted == 50


def test_usage_rewards_stay_within_the_pools_budget_and_do_not_wait() -> None:
    lane = Lane("lane", {"a": 700, "b": 300}, net=0, burned=1000)
    (found,) = settled(
        [book([A, B], WORK, epoch=1, lanes=[lane], k_bps=9999, budgets={"usage": 100}, escrow_epochs=5)], offered(budgets={})
    )
    assert paid(found.state) == {"a's owner": 70, "b's owner": 29}
    assert minted(found.state) == 99
    assert dust(found.state) == {}


def test_where_nothing_is_burned_there_are_no_usage_rewards() -> None:
    made = book([A, B], WORK, epoch=1, lanes=[Lane("lane", {"a": 700})], k_bps=9999, budgets={"usage": 100})
    (found,) = settled([made], offered(budgets={}))
    assert minted(found.state) == 0


def test_a_policy_that_pays_back_all_that_was_burned_is_refused() -> None:
    with pytest.raises(ValueError, match="it must be less than all"):
        settled([book([A], k_bps=10_000)])


def correction(amount: int, currency: str = "fees", creditor: str = "customer", epoch: int = 1) -> Correction:
    account = Address(account_of(creditor)) if creditor else Address(bytes(20))
    return Correction(epoch, Hash(asset_of("a")), currency, amount, account, "the meter ran double")


def test_debt_in_fees_is_kept_back_for_the_creditor_until_it_is_paid() -> None:
    lanes = [Lane("lane", {"a": 500}, net=500)]
    later = [Lane("lane", {"a": 900}, seq=2, net=900)]
    books = [
        book([A, B], WORK[:1], epoch=1, lanes=lanes, corrections=[correction(600)]),
        book([A, B], epoch=2, lanes=later, corrections=[correction(600)]),
    ]
    first, second = settled(books, offered())
    assert fees(first.state) == {"customer": 500}
    assert to_ints(first.state.debts["amount"]) == [100]
    assert fees(second.state) == {"customer": 600, "a's owner": 300}
    assert len(second.state.debts) == 0
    assert second.state.assets["fees"].cast(int).to_list()[0] == 300, "an asset earned what was left of it"


def test_debt_in_rewards_returns_to_its_pool() -> None:
    first, second = settled(
        [book([A], [Said("a", 1, [5])], corrections=[correction(400, "rewards", "", epoch=0)]), book([A], [Said("a", 2, [5])], epoch=1)]
    )
    assert (earned(first.state), dust(first.state), minted(first.state)) == ({"a": 600}, {"tick": 400}, 1000)
    assert (earned(second.state), dust(second.state), minted(second.state)) == ({"a": 2000}, {}, 2000)


NOBODYS = Correction(1, Hash(bytes(32)), "fees", 1, Address(bytes(20)), "")


@pytest.mark.parametrize("wrong", [correction(1, "fees", ""), correction(1, "gold"), correction(-1), NOBODYS])
def test_a_correction_that_makes_no_sense_is_refused(wrong: Correction) -> None:
    with pytest.raises(ValueError, match="the policy corrects"):
        settled([book([A, B], epoch=1, corrections=[wrong])], offered())


def words(issuers: dict[str, str]) -> list[tuple[str, bytes, bytes, int]]:
    return [("installed", asset_of(asset), account_of(issuer), GENESIS_UNIX_S + EPOCH_S) for asset, issuer in issuers.items()]


def test_an_issuers_assets_get_its_cap_together_and_the_rest_is_not_minted() -> None:
    devices = [Device(name, attested=False) for name in "abc"]
    attestations = words({"a": "mary", "b": "mary", "c": "nora"})
    (found,) = settled(
        [
            book(
                devices,
                [Said(name, 1, [10]) for name in "abc"],
                budgets={"tick": 900},
                bootstrap={"issuer_cap_bps": 4000},
                attestations=attestations,
            )
        ]
    )
    assert earned(found.state) == {"a": 180, "b": 180, "c": 300}
    assert minted(found.state) == 660


def test_a_cells_assets_get_its_cap_together() -> None:
    """All of this world stands in one cell."""
    (found,) = settled([book([A, B], WORK, budgets={"tick": 900}, bootstrap={"cell_cap_bps": 1000})])
    assert earned(found.state) == {"a": 60, "b": 30}
    assert minted(found.state) == 90


def test_an_attestation_that_expires_before_the_epochs_end_earns_nothing() -> None:
    late = [("installed", asset_of("a"), account_of("mary"), GENESIS_UNIX_S + EPOCH_S - 1)]
    (found,) = settled([book([Device("a", attested=False)], [Said("a", 1, [10])], attestations=late)])
    assert minted(found.state) == 0


def test_bootstrap_fades_to_its_sunset() -> None:
    fading = {"fade_from_epoch": 1, "sunset_epoch": 5}
    found = settled([book([A], [Said("a", 1, [10])], epoch=epoch, budgets={"tick": 1000}, bootstrap=fading) for epoch in range(7)])
    assert [each.summary.minted for each in found] == [1000, 1000, 750, 500, 250, 0, 0]


def test_a_policy_may_require_attestations_by_place() -> None:
    required = [Requirement("licence", "owner", 0)]
    licence = [("licence", bytes(12) + account_of("a's owner"), account_of("mary"), GENESIS_UNIX_S + EPOCH_S)]
    (found,) = settled([book([A, B], [Said("a", 1, [10]), Said("b", 1, [10])], requires=required, attestations=licence)])
    assert earned(found.state) == {"a": 1000, "b": 0}
    assert [codes for _, _, codes, _ in verdicts(found)] == [[0], [11]]


def test_a_requirement_elsewhere_does_not_matter_here() -> None:
    (found,) = settled([book([A], [Said("a", 1, [10])], requires=[Requirement("licence", "asset", 0x85283473FFFFFFF)])])
    assert earned(found.state) == {"a": 1000}
