"""Promises that every kind keeps, as tests to inherit.

A kind's author writes, in a test file::

    class TestConformance(KindConformance):
        rules = MyRules()

and overrides ``context``, ``cells``, ``rated``, ``start`` and ``values`` so that lines often come close to being accepted; a kind whose
lines answer tasks overrides ``before`` and ``history`` instead, and sets ``whole_epochs``. Needs pytest and hypothesis; the network itself
never imports this module.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from subak.core.kind import ACCEPTED, BYTES, FIRST_KIND_REASON, Assets, Column, Context, Field, Judged, Lines, Rules, Status

HOUR_S: Final = 3600
MOST: Final = (1 << 63) - 1
"""The largest value of a ``u63`` field, and of every time."""
EPOCH: Final = 7
"""Number of the epoch in which the lines are judged."""
SEED: Final = hashlib.sha256(b"conformance").digest()
"""What that epoch's tasks are drawn from."""
POTS: Final = frozenset({"bootstrap"})
"""Every pot there is; a kind that is paid by customers alone uses none."""


@dataclass(frozen=True)
class Line:
    """One line of one asset, before it is laid into a grid."""

    schema: int
    start_unix_s: int
    end_unix_s: int
    values: Mapping[str, int | bytes]


@dataclass(frozen=True)
class Case:
    """Assets and each one's lines in order."""

    ids: tuple[bytes, ...]
    cells: tuple[int, ...]
    rated: tuple[int, ...]
    lines: tuple[tuple[Line, ...], ...]

    def only(self, assets: Sequence[int]) -> Case:
        """The case with these assets, in this order."""
        return Case(
            tuple(self.ids[a] for a in assets),
            tuple(self.cells[a] for a in assets),
            tuple(self.rated[a] for a in assets),
            tuple(self.lines[a] for a in assets),
        )

    def assets(self) -> Assets:
        return Assets(
            id=np.frombuffer(b"".join(self.ids), np.uint8).reshape(-1, 32),
            cell=np.array(self.cells, np.uint64),
            rated=np.array(self.rated, np.int64),
        )

    def grid(self, fields: Sequence[Field], first: int = 0, after: int | None = None, spare: int = 0) -> Lines:
        """Lines ``first`` to ``after`` of every asset as the rules see them, and ``spare`` rows without a line."""
        rows = [lines[first:after] for lines in self.lines]
        shape = max((len(lines) for lines in rows), default=0) + spare, len(rows)

        def column(dtype: Any, value: Callable[[Line], int]) -> NDArray[Any]:
            grid = np.zeros(shape, dtype)
            for a, lines in enumerate(rows):
                grid[: len(lines), a] = [value(line) for line in lines]
            return grid

        def values(field: Field) -> NDArray[Any]:
            if field.type not in BYTES:
                return column(np.int64, lambda line: int(line.values.get(field.name, 0)))
            grid = np.zeros((*shape, BYTES[field.type]), np.uint8)
            for a, lines in enumerate(rows):
                for k, line in enumerate(lines):
                    grid[k, a] = np.frombuffer(bytes(line.values.get(field.name, bytes(BYTES[field.type]))), np.uint8)
            return grid

        return Lines(
            present=column(np.bool_, lambda line: 1),
            schema=column(np.uint8, lambda line: line.schema),
            start_unix_s=column(np.int64, lambda line: line.start_unix_s),
            end_unix_s=column(np.int64, lambda line: line.end_unix_s),
            fields={field.name: values(field) for field in fields},
        )


class KindConformance:
    """The promises. Every test draws cases of a few assets with a few lines each, from plausible to absurd."""

    rules: ClassVar[Rules]
    """The rules under test."""
    examples: ClassVar[int] = 60
    """Cases per promise."""
    whole_epochs: ClassVar[bool] = False
    """The rules ask for something in each epoch, so that an epoch's lines are judged together or not at all."""

    def context(self) -> Context:
        """A policy under which some of the drawn lines are accepted."""
        return Context({}, {}, self.start(), self.start() + 86_400, epoch=EPOCH, seed=SEED)

    def cells(self) -> st.SearchStrategy[int]:
        """Where assets stand."""
        return st.integers(0, MOST)

    def rated(self) -> st.SearchStrategy[int]:
        """Their rated capacity."""
        return st.sampled_from([0, 1, 1000, 5000, MOST])

    def start(self) -> int:
        """Where plausible times begin, Unix seconds."""
        return 1_500_000_000 // HOUR_S * HOUR_S

    def values(self, name: str) -> st.SearchStrategy[int]:
        """How far a field grows from one plausible line to the next."""
        return st.sampled_from([0, 1, 2, 10, 500, 1000, 5000])

    def history(self, asset: bytes) -> st.SearchStrategy[tuple[Line, ...]]:
        """Lines of the asset with this id, in order of their ends."""
        return _growing(self)

    def before(self, case: Case) -> dict[str, Column]:
        """What was carried into the epoch about the case's assets."""
        return {column.name: np.full(len(case.cells), column.start, np.int64) for column in self.rules.carried}

    def test_repeatable(self) -> None:
        """The same lines give the same bytes, and the arguments stay as they were."""

        def promise(case: Case) -> None:
            lines, state = case.grid(self._fields), self.before(case)
            before = [array.copy() for array in (*lines.fields.values(), *state.values())]
            assert _bytes(self._judge(case, lines, state)) == _bytes(self._judge(case, lines, state))
            assert all((a == b).all() for a, b in zip(before, (*lines.fields.values(), *state.values()), strict=True))

        self._for_all(promise)

    def test_never_raises_and_has_the_promised_shape(self) -> None:
        """Whatever the values, every line gets a declared reason, and every declared column comes back."""

        def promise(case: Case) -> None:
            lines = case.grid(self._fields)
            judged = self._judge(case, lines)
            assert judged.reasons.shape == lines.present.shape
            assert judged.reasons.dtype == np.uint8
            assert set(judged.work) == set(self.rules.work_units)
            assert set(judged.carried) == {c.name for c in self.rules.carried}
            assert all(column.shape == lines.present.shape and column.dtype == np.int64 for column in judged.work.values())
            assert all(column.shape == (len(case.cells),) and column.dtype == np.int64 for column in judged.carried.values())
            assert set(judged.reasons[lines.present].tolist()) <= set(self._status)

        self._for_all(promise)

    def test_reasons_are_well_declared(self) -> None:
        """Codes are a kind's own, names and codes are unique, sentences are for people."""
        reasons = self.rules.reasons
        assert len({r.code for r in reasons}) == len({r.name for r in reasons}) == len(reasons)
        assert all(FIRST_KIND_REASON <= r.code <= 255 and r.name.isidentifier() and r.sentence[-1] != "." for r in reasons)
        assert len({schema.id for schema in self.rules.schemas}) == len(self.rules.schemas)

    def test_only_accepted_lines_have_work_and_none_is_negative(self) -> None:
        """Held and refused lines earn nothing."""

        def promise(case: Case) -> None:
            lines = case.grid(self._fields)
            judged = self._judge(case, lines)
            accepted = np.vectorize(lambda code: self._status.get(code) is Status.ACCEPTED, otypes=[bool])(judged.reasons) & lines.present
            assert all((column >= 0).all() and not column[~accepted].any() for column in judged.work.values())

        self._for_all(promise)

    def test_order_and_blocks_of_assets_do_not_matter(self) -> None:
        """An asset's verdicts depend on its own lines only."""

        def promise(case: Case) -> None:
            whole = self._judge(case, case.grid(self._fields))
            count = len(case.cells)
            for group in ([*range(count)][::-1], [*range(count // 2)], [*range(count // 2, count)]):
                part = case.only(group)
                grid = part.grid(self._fields)
                judged = self._judge(part, grid)
                rows = len(grid.present)
                assert (judged.reasons == whole.reasons[:rows, group])[grid.present].all()
                assert all((column == whole.work[unit][:rows, group]).all() for unit, column in judged.work.items())
                assert all((column == whole.carried[name][group]).all() for name, column in judged.carried.items())

        self._for_all(promise)

    def test_epochs_do_not_matter(self) -> None:
        """Judging a part, carrying the state, and judging the rest gives what judging all at once gives. If the rules ask for something in
        each epoch, then what was judged in one earns nothing in the next."""

        def promise(case: Case) -> None:
            whole = self._judge(case, case.grid(self._fields))
            for cut in range(len(whole.reasons) + 1):
                first = case.grid(self._fields, 0, cut)
                early = self._judge(case, first)
                rest = case.grid(self._fields, cut)
                late = self._judge(case, rest, early.carried)
                present = np.concatenate((first.present, rest.present))
                assert (np.concatenate((early.reasons, late.reasons)) == whole.reasons)[present].all()
                for unit, column in whole.work.items():
                    assert (np.concatenate((early.work[unit], late.work[unit])) == column).all()
                assert all((late.carried[name] == column).all() for name, column in whole.carried.items())

        def promise_of_tasks(case: Case) -> None:
            now = self.context()
            length = now.end_unix_s - now.first_unix_s
            after = replace(
                now,
                epoch=now.epoch + 1,
                first_unix_s=now.end_unix_s,
                end_unix_s=now.end_unix_s + length,
                seed=hashlib.sha256(now.seed).digest(),
            )
            lines = case.grid(self._fields)
            again = self._judge(case, lines, self._judge(case, lines).carried, after)
            assert not any(column.any() for column in again.work.values())

        self._for_all(promise_of_tasks if self.whole_epochs else promise)

    def test_silence_is_judged(self) -> None:
        """Assets without a line are judged like any other, alone or among others; rows without a line change nothing."""

        def promise(case: Case) -> None:
            silent = Case(case.ids, case.cells, case.rated, tuple(() for _ in case.ids))
            nothing = self._judge(silent, silent.grid(self._fields))
            assert nothing.reasons.shape == (0, len(case.ids))
            assert set(nothing.carried) == {c.name for c in self.rules.carried}
            for some in (silent, case):
                lines = some.grid(self._fields)
                judged, roomy = self._judge(some, lines), self._judge(some, some.grid(self._fields, spare=3))
                assert (judged.reasons == roomy.reasons[: len(lines.present)])[lines.present].all()
                assert all((column == roomy.work[unit][: len(column)]).all() for unit, column in judged.work.items())
                assert not any(column[len(lines.present) :].any() for column in roomy.work.values())
                for name, column in judged.carried.items():
                    assert (column == roomy.carried[name]).all()
                    assert all(column[a] == nothing.carried[name][a] for a, lines_of in enumerate(some.lines) if not lines_of)

        self._for_all(promise)

    def test_everyone_draws_the_same_tasks(self) -> None:
        """Tasks follow from the seed and what was carried, asset by asset; without a seed nothing is asked."""

        def promise(case: Case) -> None:
            assets, state, context = case.assets(), self.before(case), self.context()
            assert self.rules.draw(assets, state, replace(context, seed=b"")) == {}
            drawn = self.rules.draw(assets, state, context)
            assert bool(drawn) == self.whole_epochs
            assert all(tasks.dtype == np.int64 and tasks.shape[1:] == (len(case.ids),) for tasks in drawn.values())
            for group in ([*range(len(case.ids))][::-1], [0]):
                part = case.only(group)
                again = self.rules.draw(part.assets(), {name: column[group] for name, column in state.items()}, context)
                assert set(again) == set(drawn)
                assert all((tasks == drawn[name][:, group]).all() for name, tasks in again.items())
            assert all((column == state[name]).all() for name, column in self.before(case).items())

        self._for_all(promise)

    def test_duplicates_are_paid_once(self) -> None:
        """Repeating every line earns what the lines earn once."""

        def promise(case: Case) -> None:
            once = self._judge(case, case.grid(self._fields))
            twice_case = replace(case, lines=tuple(tuple(line for line in lines for _ in range(2)) for lines in case.lines))
            twice = self._judge(twice_case, twice_case.grid(self._fields))
            assert all((column.sum(axis=0) == once.work[unit].sum(axis=0)).all() for unit, column in twice.work.items())

        self._for_all(promise)

    def test_more_work_never_earns_less(self) -> None:
        """Every pot's share grows with every unit of work, or stays."""

        def promise(less: int, more: int) -> None:
            poor = self.rules.price(self._work(less), self.context())
            for unit in self.rules.work_units:
                work = dict(self._work(less))
                work[unit] = work[unit] + more
                rich = self.rules.price(work, self.context())
                assert set(rich) == set(poor) <= POTS
                assert all((rich[pot] >= poor[pot]).all() and (poor[pot] >= 0).all() for pot in poor)

        self._for_amounts(promise)

    def test_splitting_or_merging_devices_gains_nothing(self) -> None:
        """Two devices that share the work share the price, to the unit."""

        def promise(one: int, other: int) -> None:
            apart = self.rules.price(self._work(one, other), self.context())
            together = self.rules.price(self._work(one + other), self.context())
            assert all(int(apart[pot].sum()) == int(together[pot].sum()) for pot in together)

        self._for_amounts(promise)

    @property
    def _fields(self) -> list[Field]:
        return list({field.name: field for schema in self.rules.schemas for field in schema.fields}.values())

    @property
    def _status(self) -> dict[int, Status]:
        return {ACCEPTED: Status.ACCEPTED, **{reason.code: reason.status for reason in self.rules.reasons}}

    def _judge(self, case: Case, lines: Lines, carried: Mapping[str, Column] | None = None, context: Context | None = None) -> Judged:
        return self.rules.judge(lines, case.assets(), self.before(case) if carried is None else carried, context or self.context())

    def _work(self, *amounts: int) -> dict[str, Column]:
        return {unit: np.array(amounts, np.int64) for unit in self.rules.work_units}

    def _for_all(self, promise: Callable[[Case], None]) -> None:
        # Built here and not by a decorator: hypothesis refuses one decorated test that several classes inherit.
        checked = settings(max_examples=self.examples, deadline=None, suppress_health_check=list(HealthCheck))(
            given(self._cases())(promise)
        )
        checked()

    def _for_amounts(self, promise: Callable[[int, int], None]) -> None:
        amounts = st.integers(0, 1 << 50)
        settings(max_examples=self.examples, deadline=None)(given(amounts, amounts)(promise))()

    def _cases(self) -> st.SearchStrategy[Case]:
        return _cases(self)


@st.composite
def _cases(draw: st.DrawFn, kind: KindConformance) -> Case:
    """Up to four assets, their ids always the same."""
    ids = tuple(hashlib.sha256(b"asset %d" % number).digest() for number in range(draw(st.integers(1, 4))))
    each = [(draw(kind.cells()), draw(kind.rated()), draw(kind.history(asset))) for asset in ids]
    return Case(ids, *(tuple(part) for part in zip(*each, strict=True)))


@st.composite
def _growing(draw: st.DrawFn, kind: KindConformance) -> tuple[Line, ...]:
    """Lines of one asset: mostly an hour after the other with growing counters; part hours, gaps, repeats, drops, leaps, absurd values."""
    absurd = st.sampled_from([0, 1, 1 << 32, 1 << 50, (1 << 50) + 1, 1 << 62, MOST])
    now = kind.start()
    counters: dict[str, int] = {}
    lines: list[Line] = []
    for _ in range(draw(st.integers(0, 7))):
        odd = draw(st.integers(0, 15))
        step = 0 if odd == 1 else HOUR_S * draw(st.integers(2, 5)) if odd == 2 else HOUR_S // 4 if odd > 12 else HOUR_S
        now += step
        schema = draw(st.integers(0, len(kind.rules.schemas) - 1)) if odd == 3 else 0
        counted = {}
        values: dict[str, int | bytes] = {}
        for field in kind.rules.schemas[schema].fields:
            if field.type in BYTES:
                values[field.name] = draw(st.sampled_from([b"\0", b"\1", b"\xff"])) * BYTES[field.type]
                continue
            grown = min(counters.get(field.name, 10_000) + draw(kind.values(field.name)), MOST - 10**6)
            counted[field.name] = draw(absurd) if odd == 4 else grown // 2 if odd == 5 else grown + 10**6 if odd == 6 else grown
        if odd not in (4, 5, 6) or draw(st.booleans()):
            counters |= counted
        end = draw(absurd) if odd == 7 else now
        lines.append(Line(schema, end if odd == 8 else max(end - (step or HOUR_S), 0), end, values | counted))
    return tuple(sorted(lines, key=lambda line: line.end_unix_s))


def _bytes(judged: Judged) -> bytes:
    columns = [*sorted(judged.work.items()), *sorted(judged.carried.items())]
    return judged.reasons.tobytes() + b"".join(column.tobytes() for _, column in columns)
