"""Storage keeps the promises of every kind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import strategies as st
from storage_sets import Kept, a_set, an_answer, epoch_context, in_force

from subak.core.kind import Assets, Column, Context, Judged, Lines, Tasks
from subak.kinds.conformance import EPOCH, MOST, SEED, Case, KindConformance, Line
from subak.kinds.storage.rules import StorageRules
from subak.kinds.storage.rules.schemas import OFFLINE_EPOCHS

SETS = (Kept("a"), Kept("a b c"), Kept("a - b"))
TASKS = 3


@st.composite
def _history(draw: st.DrawFn, asset: bytes, now: int) -> tuple[Line, ...]:
    """Mostly all answers to the host's own set, in any order; some wrong, missing, repeated, late or never asked; sets in between."""
    mine = SETS[asset[0] % len(SETS)]
    lines = []
    for task in draw(st.permutations(range(TASKS))):
        leaf, path = mine.answer(SEED, asset, task)
        for odd in draw(st.sampled_from([[0], [0], [0], [0], [0], [], [0, 0], *([each] for each in range(1, 8))])):
            epoch = {1: EPOCH - 1, 2: EPOCH + 1, 3: MOST}.get(odd, EPOCH)
            number = draw(st.sampled_from([TASKS, MOST])) if odd == 4 else task
            shown = path[1:] if odd == 5 else [*path, b"\1" * 32] if odd == 6 else path
            lines.append(an_answer(0, epoch, number, bytes(1024) if odd == 7 else leaf, shown))
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        pieces = draw(st.sampled_from([0, 1, 3, 16, 17, 1 << 24, (1 << 24) + 1, 1 << 55, MOST]))
        lines.insert(draw(st.integers(0, len(lines))), a_set(0, draw(st.sampled_from([SETS[1].root, bytes(32)])), pieces))
    ends = sorted(draw(st.sampled_from([now + 60, now + 61, 0, MOST])) for _ in lines)
    return tuple(Line(line.schema, end, end, line.values) for line, end in zip(lines, ends, strict=True))


class TestConformance(KindConformance):
    rules = StorageRules()
    examples = 120
    whole_epochs = True

    def context(self) -> Context:
        context = epoch_context(EPOCH, SEED, TASKS * 24)
        return replace(context, first_unix_s=self.start(), end_unix_s=self.start() + 3600)

    def rated(self) -> st.SearchStrategy[int]:
        return st.sampled_from([16 * 256, 16 * 256, 16 * 256 + 255, 0, 1 << 40, MOST])

    def history(self, asset: bytes) -> st.SearchStrategy[tuple[Line, ...]]:
        return _history(asset, self.start())

    def before(self, case: Case) -> dict[str, Column]:
        return in_force((SETS[asset[0] % len(SETS)] for asset in case.ids), self.start() - 60)


class Bent(StorageRules):
    """The rules with their result bent by a subclass."""

    def judge(self, lines: Lines, assets: Assets, carried: Mapping[str, Column], context: Context) -> Judged:
        return self.bend(super().judge(lines, assets, carried, context), lines, context)

    def bend(self, judged: Judged, lines: Lines, context: Context) -> Judged:
        return judged


class PaysTheDayAfter(Bent):
    def judge(self, lines: Lines, assets: Assets, carried: Mapping[str, Column], context: Context) -> Judged:
        return super().judge(lines, assets, carried, replace(context, epoch=EPOCH, seed=SEED))


class OverlooksTheSilent(Bent):
    def bend(self, judged: Judged, lines: Lines, context: Context) -> Judged:
        offline = judged.carried[OFFLINE_EPOCHS] * (len(lines.present) > 0)
        return replace(judged, carried={**judged.carried, OFFLINE_EPOCHS: offline})


class PaysByTheRow(Bent):
    def bend(self, judged: Judged, lines: Lines, context: Context) -> Judged:
        return replace(judged, work={unit: np.where(column > 0, len(column), 0) for unit, column in judged.work.items()})


class DrawsByThePlace(Bent):
    def draw(self, assets: Assets, carried: Mapping[str, Column], context: Context) -> Tasks:
        return {name: tasks + np.arange(len(assets)) for name, tasks in super().draw(assets, carried, context).items()}


class DrawsWithoutASeed(Bent):
    def draw(self, assets: Assets, carried: Mapping[str, Column], context: Context) -> Tasks:
        return super().draw(assets, carried, replace(context, seed=context.seed or SEED))


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@pytest.mark.parametrize(
    ("bent", "promise"),
    [
        (PaysTheDayAfter(), KindConformance.test_epochs_do_not_matter),
        (OverlooksTheSilent(), KindConformance.test_silence_is_judged),
        (PaysByTheRow(), KindConformance.test_silence_is_judged),
        (DrawsByThePlace(), KindConformance.test_everyone_draws_the_same_tasks),
        (DrawsWithoutASeed(), KindConformance.test_everyone_draws_the_same_tasks),
    ],
    ids=lambda case: type(case).__name__ if isinstance(case, StorageRules) else "",
)
def test_the_conformance_tests_notice(bent: StorageRules, promise: object) -> None:
    class Conformance(TestConformance):
        __test__ = False
        rules = bent

    assert callable(promise)
    with pytest.raises(AssertionError):
        promise(Conformance())


def test_the_drawn_cases_come_close_to_every_reason() -> None:
    """The promises above would be empty if nothing were ever proven."""
    seen: set[int] = set()
    worked: list[int] = []

    class Watched(Bent):
        def bend(self, judged: Judged, lines: Lines, context: Context) -> Judged:
            seen.update(judged.reasons[lines.present].tolist())
            worked.append(int(judged.work["kib_hours"].sum()))
            return judged

    class Conformance(TestConformance):
        __test__ = False
        examples = 300
        rules = Watched()

    Conformance().test_only_accepted_lines_have_work_and_none_is_negative()
    assert seen == {0, *(reason.code for reason in StorageRules().reasons)}
    assert sum(work > 0 for work in worked) > len(worked) // 20


def test_importing_the_kind_is_light() -> None:
    """Verifiers and explorers never load a web server or a database."""
    program = "import sys, subak.kinds.storage; print([m for m in ('uvicorn', 'sqlite3', 'httpx', 'zfec', 'polars') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == "[]"
