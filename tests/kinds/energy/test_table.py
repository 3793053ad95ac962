"""``tests/tables/energy.txt``, read and judged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from energy_grid import RULES, assets, names, never_judged, sky_context

from subak.core.kind import Context, Judged, Lines

TABLE = Path(__file__).parents[2] / "tables" / "energy.txt"
DAY_0 = 1_496_188_800
"""Day 0/00:00 of the table's times, Unix seconds."""
DAYS = 11
RATED_W = 4000


def _unix_s(text: str) -> int:
    day, _, clock = text.partition("/")
    hour, _, minute = clock.partition(":")
    return DAY_0 + int(day) * 86_400 + int(hour) * 3600 + int(minute) * 60


def _rows() -> Iterator[list[str]]:
    for line in TABLE.read_text().splitlines():
        if row := line.partition("#")[0].split():
            yield row


def _context() -> Context:
    """The table's day, eleven times, from day 1 on."""
    limit, dark = np.zeros(24, np.int64), np.zeros(24, np.bool_)
    for row in _rows():
        if row[0] == "sky":
            first, after = map(int, row[1].split("-"))
            dark[first:after] = row[2] == "dark"
            limit[first:after] = 0 if row[2] == "dark" else int(row[2])
    return sky_context(DAY_0 + 86_400, np.tile(limit, DAYS), np.tile(dark, DAYS))


def _cases() -> dict[str, list[list[str]]]:
    cases: dict[str, list[list[str]]] = {}
    for row in _rows():
        if row[0] == "case":
            name = " ".join(row[1:])
            cases[name] = []
        elif row[0] != "sky":
            cases[name].append(row)
    return cases


def _lines(rows: list[list[str]]) -> Lines:
    def column(values: list[int]) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        return np.array(values, np.int64).reshape(-1, 1)

    return Lines(
        present=np.ones((len(rows), 1), np.bool_),
        schema=np.array([[row[0] == "reset"] for row in rows], np.uint8),
        start_unix_s=column([_unix_s(row[1]) for row in rows]),
        end_unix_s=column([_unix_s(row[2]) for row in rows]),
        fields={name: column([int(row[3 + i]) for row in rows]) for i, name in enumerate(("export_wh", "import_wh", "generation_wh"))},
    )


def _found(judged: Judged) -> list[list[str]]:
    work = (judged.work[unit][:, 0].tolist() for unit in RULES.work_units)
    return [[name, *map(str, paid)] for name, *paid in zip(names(judged.reasons[:, 0]), *work, strict=True)]


@pytest.mark.parametrize("name", _cases())
def test_case(name: str) -> None:
    rows = _cases()[name]
    verdicts = [row[6:] for row in rows]
    context, home = _context(), assets(1, RATED_W)
    assert _found(RULES.judge(_lines(rows), home, never_judged(1), context)) == verdicts

    # The same, one line an epoch, with nothing but the carried columns in between.
    carried, found = never_judged(1), []
    for row in rows:
        judged = RULES.judge(_lines([row]), home, carried, context)
        carried = dict(judged.carried)
        found += _found(judged)
    assert found == verdicts


def test_every_reason_has_a_row() -> None:
    verdicts = {row[6] for rows in _cases().values() for row in rows}
    assert verdicts == {"ok", *(reason.name for reason in RULES.reasons)}


def test_an_unknown_place_an_impossible_rating_and_a_table_with_holes() -> None:
    rows = _cases()["an honest noon"]
    context = _context()

    def verdicts(rated_w: int = RATED_W, cell: int | None = None, context: Context = context) -> list[str]:
        return names(RULES.judge(_lines(rows), assets(1, rated_w, cell), never_judged(1), context).reasons[:, 0])

    assert verdicts(cell=7) == ["baseline", *["no_limit_table"] * 3]
    assert verdicts(rated_w=1 << 31) == verdicts(rated_w=-1) == ["out_of_range"] * 4
    table = context.tables["clear_sky"]
    holes = {name: column[np.arange(len(column)) != 36] for name, column in table.items()}
    none = {name: column[:0] for name, column in table.items()}
    for broken in (holes, none):
        assert verdicts(context=Context({}, {"clear_sky": broken}, 0, 0)) == ["baseline", *["no_limit_table"] * 3]


def test_a_policy_out_of_range_is_no_verdict() -> None:
    context = Context({"margin_permille": -1}, _context().tables, 0, 0)
    with pytest.raises(ValueError, match="margin_permille=-1"):
        RULES.judge(_lines(_cases()["an honest noon"]), assets(1, RATED_W), never_judged(1), context)
