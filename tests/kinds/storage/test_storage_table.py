"""``tests/tables/storage.txt``, read and judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from storage_sets import HOUR_S, RULES, Kept, Signed, a_set, an_answer, assets, epoch_context, in_force, judge, named, names

from subak.kinds.storage.rules import tree
from subak.kinds.storage.rules.judge import leaf_of
from subak.kinds.storage.rules.schemas import COUNTERS, PIECES, ROOT

TABLE = Path(__file__).parents[2] / "tables" / "storage.txt"
HOST, OTHER_HOST = named("host"), named("another host")
RATED_KIB = 1300
TASKS_PER_DAY = 72


@dataclass
class Epoch:
    """One epoch of a case."""

    number: int
    seeded: bool
    rows: list[list[str]] = field(default_factory=list)
    after: list[str] = field(default_factory=list)


@dataclass
class Case:
    """What was in force, and the epochs from then on."""

    keeps: str = ""
    epochs: list[Epoch] = field(default_factory=list)


def _rows() -> Iterator[list[str]]:
    for line in TABLE.read_text().splitlines():
        if row := line.partition("#")[0].split():
            yield row


def _cases() -> dict[str, Case]:
    cases: dict[str, Case] = {}
    for row in _rows():
        if row[0] == "case":
            case = cases[" ".join(row[1:])] = Case()
        elif row[0] == "epoch":
            case.epochs.append(Epoch(int(row[1]), "unseeded" not in row))
            case.keeps = row[row.index("keeps") + 1] if "keeps" in row else case.keeps
        elif row[0] == "after":
            case.epochs[-1].after = row[1:]
        else:
            case.epochs[-1].rows.append(row)
    return cases


def _kept(slots: str) -> Kept:
    return Kept([] if slots == "nothing" else slots.split(","))


def _shown(words: list[str], kept: Kept, seed: bytes, task: int) -> tuple[bytes, list[bytes]]:
    """Leaf and path that a host shows for a task of the set in force."""
    if words[0] == "right-of":
        return _kept(words[1]).answer(seed, HOST, task)
    leaf, path = kept.answer(seed, HOST, task)
    index = leaf_of(seed, HOST, task, kept.pieces)
    match words[0]:
        case "right":
            return leaf, path
        case "neighbour":
            return kept.proof((index + 1) % (256 * kept.pieces))
        case "of-another-host":
            return kept.answer(seed, OTHER_HOST, task)
        case "a-bit-off":
            return bytes([leaf[0] ^ 1]) + leaf[1:], path
        case "zeros":
            return bytes(1024), []
        case "zeros-and-a-hash":
            return bytes(1024), [b"\1" * 32, *path[1:]]
        case "said-to-be-empty":
            return bytes(1024), [tree.EMPTY] * 8 + path[8:]
        case "too-short":
            return leaf, path[:-1]
        case "too-long":
            return leaf, [*path, b"\1" * 32]
        case "upside-down":
            return leaf, path[::-1]
    raise AssertionError(f"the table shows {words}")


def _signed(row: list[str], epoch: Epoch, kept: Kept) -> Signed:
    at = epoch_context(epoch.number, b"", 0).first_unix_s + 60 * int(row[1])
    if row[0] == "set":
        if row[2].startswith("x"):
            return a_set(at, b"\1" * 32, int(row[2][1:]))
        return a_set(at, _kept(row[2]).root, _kept(row[2]).pieces)
    of, task = (int(each) for each in row[2].split("/"))
    return an_answer(at, of, task, *_shown(row[3:-2], kept, _seed(of), min(task, 1 << 20)))


def _seed(epoch: int) -> bytes:
    return named(f"seed {epoch}")


@pytest.mark.parametrize("name", _cases())
def test_case(name: str) -> None:
    case = _cases()[name]
    kept = _kept(case.keeps)
    carried = in_force([kept if case.keeps != "nothing" else None], epoch_context(case.epochs[0].number, b"", 0).first_unix_s - HOUR_S // 2)
    of = assets([HOST], RATED_KIB)
    for epoch in case.epochs:
        context = epoch_context(epoch.number, _seed(epoch.number) if epoch.seeded else b"", TASKS_PER_DAY)
        lines = [_signed(row, epoch, kept) for row in epoch.rows]
        judged = judge([lines], of, carried, context)
        paid = judged.work["kib_hours"][:, 0].tolist()
        found = [[*row[:-2], reason, str(work)] for row, reason, work in zip(epoch.rows, names(judged, [lines]), paid, strict=True)]
        assert found == epoch.rows

        carried = dict(judged.carried)
        counters = {name.partition("_")[0]: int(carried[name][0]) for name in COUNTERS}
        slots, *told = epoch.after
        assert {what: count for what, count in counters.items() if count} == dict(zip(told[::2], map(int, told[1::2]), strict=True))
        kept = _kept(slots)
        assert [int(carried[name][0]) for name in (*ROOT, PIECES)] == [int(in_force([kept])[name][0]) for name in (*ROOT, PIECES)]


def test_every_reason_has_a_row() -> None:
    verdicts = {row[-2] for case in _cases().values() for epoch in case.epochs for row in epoch.rows}
    assert verdicts == {"proven", *(reason.name for reason in RULES.reasons)}


def test_a_policy_out_of_range_is_no_verdict() -> None:
    for tasks_per_day in (-1, (1 << 20) + 1):
        with pytest.raises(ValueError, match=f"tasks_per_day={tasks_per_day}"):
            judge([[]], assets([HOST]), in_force([Kept("a")]), epoch_context(7, _seed(7), tasks_per_day))
