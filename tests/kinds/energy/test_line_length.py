"""However an hour is cut into readings, it earns what one reading of it would have earned, or nothing."""

from __future__ import annotations

import numpy as np
from energy_grid import RULES, assets, names, never_judged, sky_context
from hypothesis import given, settings
from hypothesis import strategies as st

from subak.core.kind import Judged, Lines

HOUR_S = 3600
DAWN = 1_496_188_800 + 5 * HOUR_S
LIMIT = np.array([0, 0, 100, 300, 950, 300, 0, 0])
RATED_W = 4000
MINUTES = st.integers(1, 59).map(lambda minute: 60 * minute)
FIRST = 10_000

Point = tuple[int, int, int]
"""Time, export and generation counter."""


def judge(points: list[Point]) -> Judged:
    """One home's readings from each point to the next; the first is its baseline."""
    time, export, generation = (np.array(column, np.int64).reshape(-1, 1) for column in zip(*points, strict=True))
    fields = {"export_wh": export, "import_wh": np.full_like(time, 1), "generation_wh": generation}
    start = np.vstack((time[:1] - HOUR_S, time[:-1]))
    lines = Lines(np.ones(time.shape, np.bool_), np.zeros(time.shape, np.uint8), start, time, fields)
    context = sky_context(DAWN - 2 * HOUR_S, np.append([0, 0], LIMIT), np.append([0, 0], LIMIT) == 0)
    return RULES.judge(lines, assets(1, RATED_W), never_judged(1), context)


@st.composite
def meters(draw: st.DrawFn) -> list[list[Point]]:
    """Points of a meter by the hour that they end: often near a limit, each hour cut anywhere."""
    export = generation = FIRST
    hours: list[list[Point]] = [[(DAWN, export, generation)]]
    for k, limit in enumerate(LIMIT.tolist()):
        bound = min(RATED_W * 1100 * limit // 1_000_000 + 80, RATED_W) if limit else 2
        made = draw(st.integers(0, 2 * bound) | st.integers(max(bound - 3, 0), bound + 3))
        sold = draw(st.integers(0, made + 2) | st.just(made))
        begin = DAWN + k * HOUR_S
        cuts = sorted(draw(st.sets(MINUTES, max_size=4)))
        shares = [sorted(draw(st.lists(st.integers(0, most), min_size=len(cuts), max_size=len(cuts)))) for most in (sold, made)]
        inner = [(begin + cut, export + a, generation + b) for cut, a, b in zip(cuts, *shares, strict=True)]
        export, generation = export + sold, generation + made
        hours.append([*inner, (begin + HOUR_S, export, generation)])
    return hours


@given(meters())
@settings(max_examples=200, deadline=None)
def test_cutting_an_hour_earns_what_the_hour_earns_or_nothing(hours: list[list[Point]]) -> None:
    hourly = judge([hour[-1] for hour in hours]).work["rewarded_export_wh"][:, 0]
    pay = judge([point for hour in hours for point in hour]).work["rewarded_export_wh"][:, 0]
    ends = np.cumsum([len(hour) for hour in hours])
    by_hour = np.array([pay[end - len(hour) : end].sum() for hour, end in zip(hours, ends, strict=True)])
    assert ((by_hour == hourly) | (by_hour == 0)).all()


@given(meters(), st.data())
@settings(max_examples=200, deadline=None)
def test_leaving_out_any_readings_earns_no_more(hours: list[list[Point]], data: st.DataObject) -> None:
    hourly = judge([hour[-1] for hour in hours]).work["rewarded_export_wh"].sum()
    points = [point for hour in hours for point in hour]
    kept = [point for point in points[1:] if data.draw(st.booleans())]
    judged = judge([points[0], *kept])
    assert judged.work["rewarded_export_wh"].sum() <= hourly


def test_a_drip_at_night_by_the_second_is_two_watt_hours_an_hour() -> None:
    seconds = np.arange(2 * HOUR_S + 1)
    judged = judge([(DAWN + s, FIRST + s, FIRST + s) for s in seconds.tolist()])
    assert judged.work["export_wh"].sum() == 4
    assert not judged.work["rewarded_export_wh"].any()
    assert set(names(judged.reasons[:, 0])) == {"baseline", "part_of_hour", "at_night"}
