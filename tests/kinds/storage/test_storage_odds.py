"""How soon a host is caught that deleted a part of what it keeps. Draws only: a deleted leaf that is asked for cannot be answered."""

from __future__ import annotations

import numpy as np
import pytest
from storage_sets import assets, epoch_context, in_force_as, named

from subak.kinds.storage import kind
from subak.kinds.storage.rules.judge import MOST_TASKS, tasks_of
from subak.kinds.storage.rules.schemas import PARAMETERS, TASKS_PER_DAY

DAY_S = 86_400
PIECES = 400
SEEDS = 1500
A_DAY = PARAMETERS[TASKS_PER_DAY]


def caught(deleted: set[int], epoch_seconds: int) -> float:
    """Part of ``SEEDS`` days in which at least one deleted leaf is asked for."""
    hosts = assets([named(f"host {number}") for number in range(50)])
    carried = {name: np.repeat(column, len(hosts)) for name, column in in_force_as(named("set"), PIECES).items()}
    lost = np.zeros(PIECES * 256, np.bool_)
    lost[list(deleted)] = True
    days = SEEDS // len(hosts)
    found = 0
    for day in range(days):
        hit = np.zeros(len(hosts), np.bool_)
        for epoch in range(DAY_S // epoch_seconds):
            context = epoch_context(epoch, named(f"seed {day} {epoch} {epoch_seconds}"), A_DAY, epoch_seconds)
            hit |= lost[kind.rules.draw(hosts, carried, context)["leaf"]].any(axis=0)
        found += int(hit.sum())
    return found / (days * len(hosts))


@pytest.mark.parametrize("where", ["whole pieces", "every hundredth leaf", "the end of each piece"])
def test_a_host_that_deleted_1_percent_of_its_leaves_is_caught_within_a_day(where: str) -> None:
    """At least 99 %: the promise is 1 - 0.99^480, as 24 epochs of an hour ask 20 tasks each."""
    count = PIECES * 256 // 100
    deleted = {
        "whole pieces": set(range(count)),
        "every hundredth leaf": set(range(0, PIECES * 256, 100)),
        "the end of each piece": {256 * piece + 255 - n for piece in range(PIECES) for n in range(3)},
    }[where]
    assert count <= len(deleted) <= 1.2 * count
    assert caught(deleted, 3600) >= 0.99


def test_losing_a_tenth_is_noticed_within_one_hour_in_most_cases() -> None:
    assert tasks_of(epoch_context(0, b"1", A_DAY)) == 20
    hourly = 1 - 0.9**20
    hosts = assets([named(f"host {number}") for number in range(2000)])
    carried = {name: np.repeat(column, len(hosts)) for name, column in in_force_as(named("set"), PIECES).items()}
    drawn = kind.rules.draw(hosts, carried, epoch_context(0, named("seed"), A_DAY))["leaf"]
    found = (drawn < PIECES * 256 // 10).any(axis=0).sum() / len(hosts)
    assert abs(found - hourly) < 4 * (hourly * (1 - hourly) / len(hosts)) ** 0.5


@pytest.mark.parametrize(
    ("a_day", "seconds", "tasks"),
    [
        (460, 86_400, 460),
        (460, 3600, 20),
        (460, 21_600, 115),
        (460, 60, 1),
        (1, 1, 1),
        (0, 86_400, 0),
        (460, 7 * 86_400, 3220),
        (460, 30 * 86_400, MOST_TASKS),
        (460, 1 << 62, MOST_TASKS),
        (460, 0, 0),
    ],
)
def test_the_tasks_of_a_day_are_spread_over_its_epochs_and_rounded_up(a_day: int, seconds: int, tasks: int) -> None:
    assert tasks_of(epoch_context(0, b"1", a_day, seconds)) == tasks
