"""Entries once each, and lines on grids: the quick ways against the plain ones."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from world import EPOCH_S, GENESIS_UNIX_S, KINDS, NETWORK, PAIR, READING, TICK, Device, Said, book, settled, verdicts

from subak.core.canon.entry import entry_digest
from subak.core.canon.segment import signed_rows
from subak.core.kind import ACCEPTED
from subak.core.nouns import Book
from subak.core.settlement import blocks, reasons
from subak.core.settlement.blocks import Flat, Grid, in_blocks, in_time_order, rank, spans
from subak.core.settlement.listing import list_entries

unhurried = settings(deadline=None)
DEVICES = tuple(Device(name) for name in "abc")
SAID = st.builds(
    Said,
    st.sampled_from("abcx"),
    st.integers(1, 3),
    st.lists(st.integers(0, 2), min_size=1, max_size=2),
    st.integers(0, 1),
    valid=st.sampled_from([True, True, True, False]),
)


@unhurried
@given(st.lists(SAID, max_size=12))
def test_copies_and_conflicts_are_what_digests_say(said: list[Said]) -> None:
    """The columns that are compared stand for the signed bytes."""
    small = book([Device(each.name, held=False) for each in DEVICES], said)
    listed = list_entries(small, KINDS)
    expected = []
    seen: dict[tuple[str, int], list[bytes]] = defaultdict(list)
    for each, digest in zip(said, _digests(small), strict=True):
        if each.asset == "x" or not each.valid:
            expected.append(reasons.UNKNOWN_ASSET if each.asset == "x" else reasons.BAD_SIGNATURE)
            continue
        contents = seen[each.asset, each.sequence]
        if digest not in contents:
            expected.append(reasons.CONFLICT if contents else ACCEPTED)
            contents.append(digest)
    assert listed.reason.tolist() == expected
    assert listed.conflicted.tolist() == [any(len(seen[name, sequence]) > 1 for sequence in (1, 2, 3)) for name in "abc"]


def _digests(small: Book) -> list[bytes]:
    table = small.entries.get(READING.name)
    return [] if table is None else [entry_digest(signed) for signed in signed_rows(table, READING, NETWORK)]


def test_the_order_of_the_book_goes_through_all_schemas() -> None:
    said = [Said("a", 1, [1]), Said("b", 1, [[1, 2]], schema=PAIR), Said("a", 2, [1], 1), Said("c", 1, [[1, 2]], schema=PAIR)]
    (found,) = settled([book(DEVICES, said)])
    assert [(name, sequence) for name, sequence, _, _ in verdicts(found)] == [("a", 1), ("b", 1), ("a", 2), ("c", 1)]
    assert dict(zip("abc", found.state.assets["units"], strict=True)) == {"a": 2, "b": 1, "c": 1}


def test_a_schema_that_the_policy_does_not_know_stops_the_settlement() -> None:
    with pytest.raises(ValueError, match="the policy knows"):
        settled([book(DEVICES, [Said("a", 1, [1])], kinds={})], kinds={})


@unhurried
@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.booleans())
def test_a_grid_holds_every_line_in_its_place(counts: list[int], even: bool) -> None:
    counts = [counts[0]] * len(counts) if even else counts
    asset = np.repeat(np.arange(len(counts))[::-1] * 3, counts)
    line = np.arange(len(asset))
    flat = Flat(line, asset, np.zeros(len(asset), np.int16), line, line + 1, {"x": line + 100})
    grid = Grid(flat, np.empty(0, np.int64))
    plain = np.zeros((max(counts), len(counts)), np.int64)
    for column, first in enumerate(np.cumsum([0, *counts[:-1]])):
        plain[: counts[column], column] = flat.fields["x"][first : first + counts[column]]
    assert (grid.spread(flat.fields["x"]) == plain).all()
    assert (grid.collect(plain) == flat.fields["x"]).all()
    assert (grid.assets == asset[np.cumsum([0, *counts[:-1]])]).all()


@unhurried
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=20))
def test_lines_stand_in_order_of_end_then_of_the_book(drawn: list[tuple[int, int]]) -> None:
    drawn.sort(key=lambda each: each[0])
    asset, end = (np.array([each[part] for each in drawn], np.int64) for part in (0, 1))
    line = np.random.default_rng(len(drawn)).permutation(len(drawn))
    ordered = in_time_order(Flat(line, asset, np.zeros(len(asset), np.int16), end, end, {}))
    assert list(zip(ordered.asset, ordered.end_unix_s, ordered.line, strict=True)) == sorted(zip(asset, end, line, strict=True))
    places: dict[int, int] = defaultdict(int)
    for place, of in zip(rank(ordered.asset), ordered.asset, strict=True):
        assert place == places[int(of)]
        places[int(of)] += 1


def test_spans() -> None:
    assert spans(np.array([5, 0, 9]), np.array([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]
    assert spans(np.empty(0, np.int64), np.empty(0, np.int64)).tolist() == []


@unhurried
@given(
    st.lists(st.builds(Said, st.sampled_from("abc"), st.integers(1, 99), st.lists(st.integers(0, 2), min_size=1, max_size=9)), max_size=12)
)
def test_blocks_hold_every_entry_once_and_whole_assets(said: list[Said]) -> None:
    listed = list_entries(book(DEVICES, said), KINDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_ASSETS", 2)
        patch.setattr(blocks, "BLOCK_CELLS", 20)
        silent = np.array([7, 8, 9])
        parts = [entries for entries, quiet in in_blocks(np.arange(len(listed)), silent, listed) if not quiet.size]
        quiet = [quiet for _, quiet in in_blocks(np.arange(len(listed)), silent, listed) if quiet.size]
    assert [part.tolist() for part in quiet] == [[7, 8], [9]]
    parts = parts or [np.empty(0, np.int64)]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(listed)))
    homes = [set(listed.asset[part].tolist()) for part in parts]
    assert sum(len(home) for home in homes) == len(set().union(*homes))


@pytest.mark.parametrize(("block_assets", "block_cells"), [(1, 1), (3, 12), (7, 64)])
def test_the_size_of_blocks_does_not_matter(block_assets: int, block_cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = np.random.default_rng(3)
    devices = [Device(f"d{number}") for number in range(9)]
    said = [
        Said(f"d{dice.integers(9)}", number, dice.integers(0, 1200, dice.integers(1, 9)).tolist(), int(dice.integers(-9, 24)))
        for number in range(1, 60)
    ]
    (whole,) = settled([book(devices, said)])
    monkeypatch.setattr(blocks, "BLOCK_ASSETS", block_assets)
    monkeypatch.setattr(blocks, "BLOCK_CELLS", block_cells)
    (parts,) = settled([book(devices, said)])
    assert parts.state_root == whole.state_root
    assert parts.verdicts.equals(whole.verdicts)


def test_one_asset_with_very_many_lines_beside_ten_thousand_with_one() -> None:
    """The last of 4 x 1024 + 1 lines in time is one too many; lines too late to count do not count against them."""
    start = GENESIS_UNIX_S
    many = [Said("a", 1 + part, [1] * 1024, start_unix_s=start + 5 * 1024 * part, interval_s=5) for part in range(4)]
    many += [Said("a", 9, [1], start_unix_s=start + 5 * 4096, interval_s=5), Said("a", 10, [1] * 9, hour=-999)]
    others = [Device(f"d{number:05}", held=False) for number in range(10_000)]
    live = settled([book([Device("a"), *(Device(each.name) for each in others)])])[0].state
    (found,) = settled([book([Device("a", held=False), *others], [*many, *(Said(each.name, 1, [3]) for each in others)], epoch=0)], live)
    by_name = {(name, sequence): codes for name, sequence, codes, _ in verdicts(found)}
    assert all(by_name["a", 1 + part] == [ACCEPTED] * 1024 for part in range(4))
    assert by_name["a", 9] == [reasons.TOO_MANY_LINES]
    assert by_name["a", 10] == [reasons.TOO_LATE] * 9
    assert found.summary.accepted == 4096 + 10_000
    assert found.state.assets["units"].sum() == 4096 + 30_000


@pytest.mark.parametrize("value", [0, 1000, 1001, (1 << 63) - 1])
def test_values_and_times_at_the_bounds_never_wrap(value: int) -> None:
    said = [
        Said("a", 1, [value]),
        Said("a", 2, [value] * 1024, start_unix_s=(1 << 63) - 1, interval_s=(1 << 32) - 1),
        Said("a", 3, [value] * 1024, start_unix_s=0, interval_s=(1 << 32) - 1),
        Said("a", (1 << 64) - 1, [value], start_unix_s=GENESIS_UNIX_S + EPOCH_S, interval_s=0),
    ]
    (found,) = settled([book(DEVICES, said)])
    first, far, wide, instant = (codes for _, _, codes, _ in verdicts(found))
    judged = ACCEPTED if value <= 1000 else TICK.reasons[1].code
    assert first == instant == [judged]
    assert far == [reasons.IN_THE_FUTURE] * 1024
    assert set(wide) == {reasons.IN_THE_FUTURE}
