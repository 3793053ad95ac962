"""The promises above ``core.settlement.settle``, by their own names, over drawn histories of a few epochs."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[1] / "core" / "settlement"))

from world import KINDS, PAIR, READING, TICK, TOCK, Device, Said, book, dust, earned, minted, owed, paid, settled

from subak.core.kind import Rules
from subak.core.nouns import Book, Settlement, State
from subak.core.settlement import reason_table
from subak.core.settlement.money import to_ints

BOTH: dict[str, Rules] = {"tick": TICK, "tock": TOCK}
NAMES = "abcd"
PAYEES = st.dictionaries(st.sampled_from(["ann", "bob", "cid", "a's owner", "site roof"]), st.integers(1, 5), max_size=3)
TICKS = st.sampled_from([0, 1, 2, 3, 7, 999, 1000, 1001, 1 << 62])
SAID = st.one_of(
    st.builds(
        Said,
        st.sampled_from(NAMES + "x"),
        st.integers(1, 4),
        st.lists(TICKS, min_size=1, max_size=3),
        st.sampled_from([-999, -30, -1, 0, 0, 1, 2, 23, 24, 90]),
        valid=st.sampled_from([True, True, True, True, False]),
        schema=st.sampled_from([READING, READING, READING, TOCK.schemas[0]]),
    ),
    st.builds(
        Said, st.sampled_from(NAMES), st.integers(1, 4), st.lists(st.tuples(TICKS, TICKS), min_size=1, max_size=2), schema=st.just(PAIR)
    ),
)
MONEY = st.sampled_from([0, 1, 2, 10, 97, 10**24])


@dataclass(frozen=True)
class History:
    """What was said and what could be minted, epoch after epoch."""

    devices: tuple[Device, ...]
    said: tuple[tuple[Said, ...], ...]
    budgets: tuple[dict[str, int], ...]
    escrow_epochs: tuple[int, ...]

    def books(self) -> list[Book]:
        epochs = zip(self.said, self.budgets, self.escrow_epochs, strict=True)
        return [
            book(self.devices, said, epoch=epoch, budgets=budgets, escrow_epochs=waits, kinds=BOTH)
            for epoch, (said, budgets, waits) in enumerate(epochs)
        ]

    def settled(self) -> list[Settlement]:
        return settled(self.books(), kinds=BOTH)


@st.composite
def histories(draw: st.DrawFn) -> History:
    roof = Device("site roof", payees=draw(st.dictionaries(st.sampled_from(["ann", "bob"]), st.integers(1, 3))), held=False)
    devices = [
        Device(name, payees=draw(PAYEES), kind="tock" if name == "d" else "tick", attested=draw(st.integers(0, 4)) > 0, held=name != "c")
        for name in NAMES
    ]
    epochs = draw(st.integers(1, 3))

    def each(values: st.SearchStrategy[Any]) -> tuple[Any, ...]:
        return tuple(draw(st.lists(values, min_size=epochs, max_size=epochs)))

    return History(
        (*devices, roof),
        each(st.lists(SAID, max_size=8).map(tuple)),
        each(st.fixed_dictionaries({"tick": MONEY, "tock": MONEY, "other": MONEY})),
        each(st.sampled_from([0, 0, 1, 2])),
    )


promise = settings(max_examples=80, deadline=None)


@promise
@given(histories())
def test_every_line_gets_one_verdict(history: History) -> None:
    known = reason_table(BOTH.values())
    for found, said in zip(history.settled(), history.books(), strict=True):
        rows = pl.concat([table.select("order", "subject", "sequence", "rows") for table in said.entries.values()]).sort("order")
        listed = found.verdicts.select(
            "asset", "schema", "sequence", pl.col("reasons").list.len(), pl.col("accepted").list.len().alias("work")
        )
        assert (listed["reasons"] == listed["work"]).all()
        # Every Entry stands there, but for copies of one that does.
        assert Counter(listed.select("asset", "sequence", "reasons").iter_rows()).keys() == Counter(rows.drop("order").iter_rows()).keys()
        assert len(listed) <= len(rows)
        for schema, codes, accepted in found.verdicts.select("schema", "reasons", "accepted").iter_rows():
            reasons = [known.get(("", code)) or known[schema.split(".")[0], code] for code in codes]
            assert all(reason.status.name == "ACCEPTED" for reason, work in zip(reasons, accepted, strict=True) if work)
        summary = found.summary
        assert summary.accepted + summary.held + summary.refused == sum(summary.reasons.values()) == listed["reasons"].sum()


@promise
@given(histories())
def test_totals_never_fall(history: History) -> None:
    before = State.genesis()
    for found in history.settled():
        after = found.state
        assert all(paid(after)[account] >= total for account, total in paid(before).items())
        assert minted(after) >= minted(before)
        for column in ("units", "rewards", "fees", "paid_epochs"):
            had, has = (dict(zip(state.assets["asset"], state.assets[column].to_list(), strict=True)) for state in (before, after))
            assert all(has[asset] >= total for asset, total in had.items())
        before = after


@promise
@given(histories())
def test_what_is_minted_is_what_is_owed(history: History) -> None:
    before = State.genesis()
    for found in history.settled():
        assert minted(found.state) == owed(found.state) == found.rewards
        assert found.summary.minted == minted(found.state) - minted(before)
        assert found.summary.paid == sum(paid(found.state).values()) - sum(paid(before).values())
        waiting = sum(to_ints(found.state.escrow["rewards"])) - sum(to_ints(before.escrow["rewards"]))
        left = sum(dust(found.state).values()) - sum(dust(before).values())
        assert found.summary.minted == found.summary.paid + waiting + left
        before = found.state


@promise
@given(histories())
def test_minted_stays_within_the_budget(history: History) -> None:
    for found, budgets in zip(history.settled(), history.budgets, strict=True):
        assert found.summary.minted in {0, budgets["tick"], budgets["tock"], budgets["tick"] + budgets["tock"]}


@promise
@given(histories(), st.randoms(use_true_random=False))
def test_the_same_inputs_give_the_same_roots(history: History, dice: Any) -> None:
    """In whatever order independent Entries arrived: those of one asset keep theirs."""
    shuffled = []
    for said in history.said:
        turns = [each.asset for each in said]
        dice.shuffle(turns)
        queues = {name: [each for each in said if each.asset == name] for name in turns}
        shuffled.append(tuple(queues[name].pop(0) for name in turns))
    found, again = history.settled(), replace(history, said=tuple(shuffled)).settled()
    for one, other in zip(found, again, strict=True):
        states = [replace(each.state, sealed=each.state.sealed.clear()).root() for each in (one, other)]
        assert (states[0], one.tree.root, one.asset_tree.root) == (states[1], other.tree.root, other.asset_tree.root)
        assert one.summary == other.summary
        assert Counter(map(str, one.verdicts.iter_rows())) == Counter(map(str, other.verdicts.iter_rows()))


@promise
@given(st.lists(st.integers(0, 1000), min_size=1, max_size=4), st.lists(st.integers(0, 1000), max_size=3), MONEY)
def test_splitting_or_merging_devices_gains_nothing(parts: list[int], others: list[int], budget: int) -> None:
    """Nothing but dust lies between what one device earns and what several with the same work earn."""

    def owner_gets(mine: list[int]) -> int:
        work = {f"m{number}": ticks for number, ticks in enumerate(mine)} | {f"o{number}": ticks for number, ticks in enumerate(others)}
        devices = [Device(name, owner="me" if name.startswith("m") else "", rated=1 << 40) for name in work]
        (found,) = settled([book(devices, [Said(name, 1, [ticks]) for name, ticks in work.items()], budgets={"tick": budget})], kinds=KINDS)
        assert sum(earned(found.state).values()) + sum(dust(found.state).values()) == minted(found.state)
        return paid(found.state).get("me", 0)

    apart, together = owner_gets(parts), owner_gets([sum(parts)])
    assert together - len(parts) < apart <= together
