"""Promises that every kind keeps, as tests to inherit.

A kind's author writes, in a test file::

    class TestConformance(KindConformance):
        rules = MyRules()

and overrides ``context``, ``cells``, ``rated``, ``start`` and ``values`` so that lines often come close to being accepted. Needs pytest and
hypothesis; the network itself never imports this module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from subak.core.kind import ACCEPTED, FIRST_KIND_REASON, Assets, Column, Context, Judged, Lines, Rules, Status

HOUR_S: Final = 3600
MOST: Final = (1 << 63) - 1
"""The largest value of a ``u63`` field, and of every time."""


@dataclass(frozen=True)
class Line:
    """One line of one asset, before it is laid into a grid."""

    schema: int
    start_unix_s: int
    end_unix_s: int
    values: Mapping[str, int]


@dataclass(frozen=True)
class Case:
    """Assets and each one's lines in order."""

    cells: tuple[int, ...]
    rated: tuple[int, ...]
    lines: tuple[tuple[Line, ...], ...]

    def only(self, assets: Sequence[int]) -> Case:
        """The case with these assets, in this order."""
        return Case(
            tuple(self.cells[a] for a in assets),
            tuple(self.rated[a] for a in assets),
            tuple(self.lines[a] for a in assets),
        )

    def assets(self) -> Assets:
        return Assets(np.array(self.cells, np.uint64), np.array(self.rated, np.int64))

    def grid(self, names: Sequence[str], first: int = 0, after: int | None = None) -> Lines:
        """Lines ``first`` to ``after`` of every asset as the rules see them."""
        rows = [lines[first:after] for lines in self.lines]
        shape = max((len(lines) for lines in rows), default=0), len(rows)

        def column(dtype: Any, value: Callable[[Line], int]) -> NDArray[Any]:
            grid = np.zeros(shape, dtype)
            for a, lines in enumerate(rows):
                grid[: len(lines), a] = [value(line) for line in lines]
            return grid

        return Lines(
            present=column(np.bool_, lambda line: 1),
            schema=column(np.uint8, lambda line: line.schema),
            start_unix_s=column(np.int64, lambda line: line.start_unix_s),
            end_unix_s=column(np.int64, lambda line: line.end_unix_s),
            fields={name: column(np.int64, lambda line, name=name: line.values.get(name, 0)) for name in names},  # type: ignore[misc]
        )


class KindConformance:
    """The promises. Every test draws cases of a few assets with a few lines each, from plausible to absurd."""

    rules: ClassVar[Rules]
    """The rules under test."""
    examples: ClassVar[int] = 60
    """Cases per promise."""

    def context(self) -> Context:
        """A policy under which some of the drawn lines are accepted."""
        return Context({}, {}, self.start(), self.start() + 86_400)

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

    def test_repeatable(self) -> None:
        """The same lines give the same bytes, and the arguments stay as they were."""

        def promise(case: Case) -> None:
            lines, state = case.grid(self._fields), self._never_judged(case)
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
        """Judging a part, carrying the state, and judging the rest gives what judging all at once gives."""

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

        self._for_all(promise)

    def test_duplicates_are_paid_once(self) -> None:
        """Repeating every line earns what the lines earn once."""

        def promise(case: Case) -> None:
            once = self._judge(case, case.grid(self._fields))
            twice_case = Case(case.cells, case.rated, tuple(tuple(line for line in lines for _ in range(2)) for lines in case.lines))
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
                assert set(rich) == set(poor)
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
    def _fields(self) -> list[str]:
        return sorted({field.name for schema in self.rules.schemas for field in schema.fields})

    @property
    def _status(self) -> dict[int, Status]:
        return {ACCEPTED: Status.ACCEPTED, **{reason.code: reason.status for reason in self.rules.reasons}}

    def _judge(self, case: Case, lines: Lines, carried: Mapping[str, Column] | None = None) -> Judged:
        return self.rules.judge(lines, case.assets(), self._never_judged(case) if carried is None else carried, self.context())

    def _never_judged(self, case: Case) -> dict[str, Column]:
        return {column.name: np.full(len(case.cells), column.start, np.int64) for column in self.rules.carried}

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
        return st.lists(st.tuples(self.cells(), self.rated(), self._history()), min_size=1, max_size=4).map(
            lambda assets: Case(*(tuple(part) for part in zip(*assets, strict=True)))
        )

    def _history(self) -> st.SearchStrategy[tuple[Line, ...]]:
        return _history(self)


@st.composite
def _history(draw: st.DrawFn, kind: KindConformance) -> tuple[Line, ...]:
    """Lines of one asset: mostly an hour after the other with growing counters; part hours, gaps, repeats, drops, leaps, absurd values."""
    absurd = st.sampled_from([0, 1, 1 << 32, 1 << 50, (1 << 50) + 1, 1 << 62, MOST])
    now = kind.start()
    fields: dict[str, int] = {}
    lines: list[Line] = []
    for _ in range(draw(st.integers(0, 7))):
        odd = draw(st.integers(0, 15))
        step = 0 if odd == 1 else HOUR_S * draw(st.integers(2, 5)) if odd == 2 else HOUR_S // 4 if odd > 12 else HOUR_S
        now += step
        schema = draw(st.integers(0, len(kind.rules.schemas) - 1)) if odd == 3 else 0
        values = {}
        for field in kind.rules.schemas[schema].fields:
            grown = min(fields.get(field.name, 10_000) + draw(kind.values(field.name)), MOST - 10**6)
            values[field.name] = draw(absurd) if odd == 4 else grown // 2 if odd == 5 else grown + 10**6 if odd == 6 else grown
        if odd not in (4, 5, 6) or draw(st.booleans()):
            fields |= values
        end = draw(absurd) if odd == 7 else now
        lines.append(Line(schema, end if odd == 8 else max(end - (step or HOUR_S), 0), end, values))
    return tuple(sorted(lines, key=lambda line: line.end_unix_s))


def _bytes(judged: Judged) -> bytes:
    columns = [*sorted(judged.work.items()), *sorted(judged.carried.items())]
    return judged.reasons.tobytes() + b"".join(column.tobytes() for _, column in columns)
