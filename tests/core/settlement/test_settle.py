"""Whole Books."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from world import (
    EPOCH_S,
    GENESIS_UNIX_S,
    KINDS,
    TICK,
    TOCK,
    Device,
    Lane,
    Said,
    TickRules,
    account_of,
    asset_of,
    book,
    dust,
    earned,
    fees,
    held,
    minted,
    offer,
    paid,
    settled,
    verdicts,
)

import subak.core.settlement
from subak.archive import FolderArchive, read_tables, write_tables
from subak.core.canon.columns import columns_hash
from subak.core.kind import ACCEPTED, Assets, Column, Context, Judged, Lines, Rules
from subak.core.nouns import Address, Correction, Hash, Settlement, State
from subak.core.settlement import POSSESSION, epoch_root, reasons, settle, settle_range, verdict_tables
from subak.core.settlement.money import to_ints

DEVICES = (Device("a", payees={"ann": 2, "site roof": 1}), Device("b"), Device("c", kind="tock"), Device("site roof", held=False))
BOTH: Mapping[str, Rules] = {"tick": TICK, "tock": TOCK}


def _two_epochs(before: State | None = None) -> list[Settlement]:
    """A bit of everything."""
    tock = TOCK.schemas[0]
    first = [
        Said("a", 1, [5, 7, 2000]),
        Said("b", 1, [1, 1, 1], hour=20),
        Said("b", 1, [2]),
        Said("b", 2, [[3, 4]], hour=23, schema=TICK.schemas[1]),
        Said("c", 1, [8], schema=tock),
        Said("a", 2, [9], hour=-999),
        Said("a", 3, [9], valid=False),
        Said("ghost", 1, [9, 9]),
    ]
    first += [offer("a", 9, price=7, per_units=2), offer("c", 9, price=3)]
    lane = Lane("lane", {"a": 40, "c": 2})
    owes = Correction(1, Hash(asset_of("a")), "fees", 5, Address(account_of("dora")), "counted twice")
    second = [Said("b", 3, [6], hour=2), Said("c", 2, [8], schema=tock), Said("a", 4, [6, 6], hour=-10)]
    budgets = {"tick": 10**20 + 1, "tock": 10**20 + 1}
    books = [
        book(DEVICES, first, budgets=budgets, escrow_epochs=1, kinds=BOTH),
        book(DEVICES, second, epoch=1, budgets=budgets, escrow_epochs=0, kinds=BOTH, lanes=[lane], corrections=[owes]),
    ]
    return settled(books, before, kinds=BOTH)


def test_golden() -> None:
    """The same bytes on every machine. Who changes a line here changes what every payout ever was."""
    found = _two_epochs()
    assert [
        {
            "stateRoot": each.state_root.hex(),
            "root": each.tree.root.hex(),
            "assetRoot": each.asset_tree.root.hex(),
            "verdictsHash": columns_hash(verdict_tables([each])).hex(),
        }
        for each in found
    ] == GOLDEN
    assert paid(found[1].state) == {
        "ann": 111111111111111111112,
        "b's owner": 33333333333333333333,
        "c's owner": 200000000000000000002,
        "dora": 0,
        "site roof's owner": 55555555555555555556,
    }
    assert dust(found[1].state) == {"tick": 1}


GOLDEN = [
    {
        "stateRoot": "d979b33c37a20b607dfdff0178df0a415f150b9437c5fdf35fee2ad81d2fa10e",
        "root": "0000000000000000000000000000000000000000000000000000000000000000",
        "assetRoot": "02a12e547efe516d565ccae6489101614c1a365547fc4357afac1d3b045b53e6",
        "verdictsHash": "f2dcf3ea14160a61ceefd5118eaee6b10b1797ee22c35eb45ab64ed6391e7f8e",
    },
    {
        "stateRoot": "229eb78f05657cb03781ffd3a5775120df74732d7818c9f023636b752a7b6810",
        "root": "05e8c9b91eed72c9885181c23233524c9817b0da3d070029761ebea76cd44655",
        "assetRoot": "39774c3b3961593681bdd5fd346c4a465c1ee6e554d851b28db2938d1484150a",
        "verdictsHash": "536515573967969a0a8c8c0682cea65d66bfeb8022993941543e6dd7de2de540",
    },
]


def test_no_entries() -> None:
    (found,) = settled([book(DEVICES, kinds=BOTH)], kinds=BOTH)
    assert (found.summary.accepted, found.summary.minted, found.summary.paid) == (3, 0, 0)
    assert len(found.tree) == 0
    assert earned(found.state) == {"a": 0, "b": 0, "c": 0}


def test_nothing_at_all() -> None:
    (found,) = settled([book([])])
    assert found.state_root != State.genesis().root(), "the kind's memory is there, and empty"
    assert found.state.assets.is_empty()
    assert found.verdicts.is_empty()
    assert found.verdicts.schema["reasons"] == pl.List(pl.UInt8)
    assert found.verdicts.schema["accepted"] == pl.List(pl.Int64)
    assert (found.summary.accepted, found.summary.reasons) == (0, {})


def test_no_asset_is_live() -> None:
    asleep = [Device(name, held=False) for name in "ab"]
    (found,) = settled([book(asleep, [Said("a", 1, [5]), Said("b", 1, [5, 5])])])
    assert found.summary.reasons == {"not_live": 3}
    assert found.state.assets.is_empty()
    assert found.state.carried["tick"].is_empty()
    assert found.summary.minted == 0


def test_only_unknown_assets() -> None:
    (found,) = settled([book([], [Said("a", 1, [5]), held("a")])])
    assert found.summary.reasons == {"unknown_asset": 2}


def test_once_live_always_live_also_under_a_new_owner() -> None:
    sold = Device("a", owner="bob", held=False)
    first, second = settled([book([Device("a", owner="ann")], [Said("a", 1, [5])]), book([sold], [Said("a", 2, [5])], epoch=1)])
    assert paid(first.state) == {"ann": 1000}
    assert paid(second.state) == {"ann": 1000, "bob": 1000}


def test_a_rotated_key_ends_the_old_one() -> None:
    """Entries count if they were signed by the key that the snapshot knows; the numbers may start again."""
    devices = [Device("a", key="a's second key", held=False)]
    new: dict[str, Any] = {"key": "a's second key", "valid": None}
    said = [Said("a", 1, [5], valid=None), Said("a", 1, [6], **new), held("a", sequence=2, **new)]
    (found,) = settled([book(devices, said)])
    assert [codes for _, _, codes, _ in verdicts(found)] == [[reasons.BAD_SIGNATURE], [ACCEPTED]]


def test_an_hour_counts_in_the_first_book_that_lists_it() -> None:
    """Whether a line is listed in time or an epoch later, and how often, changes who of two epochs counts it and nothing else."""
    early, late = Said("a", 1, [5, 6]), Said("a", 1, [5, 6], hour=-24)
    in_time = settled([book(DEVICES, [early], kinds=BOTH), book(DEVICES, [late], epoch=1, kinds=BOTH)], kinds=BOTH)
    too_late = settled([book(DEVICES, kinds=BOTH), book(DEVICES, [late], epoch=1, kinds=BOTH)], kinds=BOTH)
    assert in_time[1].summary.reasons["counted_before"] == 2
    assert in_time[1].state.carried["tick"].equals(too_late[1].state.carried["tick"])
    for column in ("asset", "units", "rewards", "paid_epochs"):
        assert in_time[1].state.assets[column].equals(too_late[1].state.assets[column])


def test_a_range_is_its_books_one_after_another() -> None:
    one, two = _two_epochs()
    books = [book(DEVICES, epoch=epoch, kinds=BOTH) for epoch in (2, 3)]
    apart = settled(books, two.state, BOTH)
    together = settle_range(books, two.state, [BOTH, BOTH])
    assert [each.state_root for each in together] == [each.state_root for each in apart]
    message = epoch_root(together, books, two.tree.root, two.state_root)
    assert (message.first, message.last) == (2, 3)
    assert (message.prev_root, message.prev_state_root) == (two.tree.root, two.state_root)
    assert (message.root, message.state_root) == (apart[-1].tree.root, apart[-1].state_root)
    assert one.state_root != two.state_root


def test_a_new_settlement_begins_at_zero_and_remembers_everything_else() -> None:
    """Counters, marks, lanes and bills go on; what was minted and paid stays with the Settlement before."""
    lanes = [Lane("lane", {"a": 40, "c": 2}), Lane("lane", {"a": 100, "c": 2}, seq=2)]
    old = _two_epochs()[1].state
    new = old.restarted()
    assert (minted(new), fees(new), paid(new), dust(new), len(new.escrow)) == (0, {}, {}, {}, 0)
    for name in old.tables.keys() - {"accounts", "escrow", "pools", "totals"}:
        assert new.tables[name].equals(old.tables[name]), name
    made = book(DEVICES, [Said("a", 5, [100], hour=5)], epoch=2, budgets={"tick": 9}, kinds=BOTH, lanes=lanes[1:])
    kept, begun = settle(made, old, BOTH), settle(made, new, BOTH)
    assert begun.verdicts.equals(kept.verdicts)
    assert (begun.rewards, begun.fees) == (9, kept.fees - to_ints(old.totals["fees"])[0])
    assert begun.fees > 0
    for name in ("lanes", "lines", "sales", "debts", "carried.tick"):
        assert begun.state.tables[name].equals(kept.state.tables[name]), name
    rewards = [to_ints(each.state.assets["rewards"]) for each in (begun, kept)]
    assert sum(rewards[1]) - sum(rewards[0]) == 1, "the dust of the one before joins no pot here"
    assert to_ints(begun.state.totals["earlier_fees"]) == to_ints(old.totals["fees"])
    again = begun.state.restarted().totals
    assert to_ints(again["earlier_fees"]) == [kept.fees]
    wrong = replace(new, totals=new.totals.with_columns(earlier_fees=new.totals["fees"]))
    with pytest.raises(ArithmeticError, match="the lanes handed over"):
        settle(made, wrong, BOTH)


def test_which_settlement_a_state_belongs_to() -> None:
    """By the final totals, not by the payout root: that one is zero as long as everything waits in escrow."""
    first, second = _two_epochs()
    assert (first.tree.root, len(first.state.escrow)) == (bytes(32), 2)
    for found in (first, second):
        assert found.state.resumed(found.rewards, found.fees) is found.state
        assert found.state.resumed(0, 0).root() == found.state.restarted().root() != found.state_root
        with pytest.raises(ValueError, match="state of another Settlement"):
            found.state.resumed(found.rewards + 1, found.fees)
    genesis = State.genesis()
    assert genesis.resumed(0, 0) is genesis
    assert genesis.restarted().root() == genesis.root()
    quiet = settled([book(DEVICES, [Said("a", 1, [5])], budgets={}, kinds=BOTH)], kinds=BOTH)[0].state
    assert quiet.restarted().root() == quiet.root(), "while nothing was earned, both are one"


def test_a_state_comes_back_from_parquet_as_it_was(tmp_path: Path) -> None:
    archive = FolderArchive(tmp_path)
    state = _two_epochs()[0].state
    assert len(state.escrow) == 2
    root = write_tables(archive, "state", state.tables)
    back = State.from_tables(read_tables(archive, "state", root))
    assert back.root() == state.root() == root
    next_book = book(DEVICES, [Said("b", 7, [1])], epoch=1, kinds=BOTH)
    assert settle(next_book, back, BOTH).state_root == settle(next_book, state, BOTH).state_root


def test_a_kind_that_comes_back_remembers() -> None:
    """A policy may drop a kind for a while; what was counted before is not counted again."""
    said = Said("c", 1, [8], schema=TOCK.schemas[0])
    again = replace(said, hour=-48)
    books = [book(DEVICES, [said], kinds=BOTH), book(DEVICES, epoch=1), book(DEVICES, [again], epoch=2, kinds=BOTH)]
    state = settle(books[0], State.genesis(), BOTH).state
    state = settle(books[1], state, KINDS).state
    found = settle(books[2], state, BOTH)
    assert found.summary.reasons["counted_before"] == 1
    assert dict(zip("abc", found.state.assets["units"], strict=True))["c"] == 8


def test_arguments_that_do_not_belong_together() -> None:
    with pytest.raises(ValueError, match="names the kinds"):
        settle(book(DEVICES, kinds=BOTH), State.genesis(), KINDS)
    with pytest.raises(ValueError, match="names the kinds"):
        settle(book(DEVICES), State.genesis(), {"tick": TickRules(version=2)})
    for pool in ("usage", "verifiers"):
        named = {pool: TickRules(pool)}
        with pytest.raises(ValueError, match=f"names the kinds .'{pool}'.: pools"):
            settle(book(DEVICES, kinds=named), State.genesis(), named)
    with pytest.raises(ValueError, match="assets never vanish"):
        settle(book([Device("b")], epoch=2), _two_epochs()[1].state, KINDS)
    live = _two_epochs()[1].state
    rich = replace(live, totals=live.totals.with_columns(rewards=live.totals["rewards"] + live.totals["rewards"]))
    with pytest.raises(ArithmeticError, match="minted is"):
        settle(book(DEVICES, epoch=2, kinds=BOTH), rich, BOTH)


def test_units_that_reach_the_end_of_their_column() -> None:
    live = settled([book([Device("a")])])[0].state
    full = replace(live, assets=live.assets.with_columns(units=pl.lit((1 << 63) - 5)))
    settle(book([Device("a")], [Said("a", 1, [4])], epoch=1), full, KINDS)
    with pytest.raises(OverflowError, match="2\\^63"):
        settle(book([Device("a")], [Said("a", 1, [5])], epoch=1), full, KINDS)


@dataclass(frozen=True)
class Rogue(TickRules):
    """Rules that break their contract in one way."""

    sin: str = ""

    def judge(self, lines: Lines, assets: Assets, carried: Mapping[str, Column], context: Context) -> Judged:
        judged = super().judge(lines, assets, carried, context)
        if self.sin == "undeclared":
            judged.reasons[:] = 200
        elif self.sin == "pays refused":
            judged.work["tocks"][judged.reasons != ACCEPTED] = 1
        elif self.sin == "too much":
            judged.work["ticks"][:] = (1 << 50) + 1
        elif self.sin == "below zero":
            judged.work["ticks"][:] = -1
        return judged

    def price(self, work: Mapping[str, Column], context: Context) -> Mapping[str, Column]:
        return {"bootstrap": -work["ticks"] if self.sin == "negative price" else work["ticks"]}


@pytest.mark.parametrize("sin", ["undeclared", "pays refused", "too much", "below zero", "negative price"])
def test_rules_that_break_their_contract_stop_the_settlement(sin: str) -> None:
    with pytest.raises(ValueError, match="tick 1"):
        settled([book([Device("a")], [Said("a", 1, [5, 2000])])], kinds={"tick": Rogue(sin=sin)})


def test_verdicts_name_what_was_sent() -> None:
    (found,) = settled([book([Device("a")], [Said("a", 1, [5, 2000]), Said("ghost", 2, [1])])])
    assert found.verdicts.to_dicts() == [
        {
            "asset": asset_of(asset),
            "schema": schema,
            "sequence": sequence,
            "start_unix_s": GENESIS_UNIX_S,
            "interval_seconds": interval,
            "reasons": codes,
            "accepted": work,
        }
        for asset, schema, sequence, interval, codes, work in [
            ("a", POSSESSION.name, 0, 0, [ACCEPTED], [0]),
            ("a", "tick.reading", 1, 3600, [ACCEPTED, TICK.reasons[1].code], [5, 0]),
            ("ghost", "tick.reading", 2, 3600, [reasons.UNKNOWN_ASSET], [0]),
        ]
    ]
    assert found.state.carried["tick"]["mark_unix_s"].to_list() == [GENESIS_UNIX_S + 2 * 3600]
    assert found.state.accounts["account"].to_list() == [account_of("a's owner")]
    assert EPOCH_S == 24 * 3600
    assert np.isin(found.state.assets["paid_epochs"].to_numpy(), [1]).all()


def test_the_heart_imports_only_numbers_tables_and_the_core() -> None:
    allowed = {"__future__", "collections", "dataclasses", "typing", "numpy", "polars", "subak"}
    folder = Path(subak.core.settlement.__file__ or "").parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= allowed, path
            assert all(name.startswith("subak.core") for name in names if name.startswith("subak")), path
            assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), path
            assert not isinstance(node, ast.Div), path
