"""The law of a disk: what a host is asked, and what its answers are worth.

A host signs which *set* of pieces it keeps: the root of a tree over 1 KiB leaves, and how many slots it has. From then on it is asked for
leaves by number. Four rules make an answer worth something:

* **The question is not known before the answer is fixed.** The tasks of an epoch are drawn over the set that was in force *before* the
  epoch, from a seed that nobody knew before the Book of the epoch before was closed. What is added or taken away meanwhile counts from
  the next epoch on; an older set never comes back.
* **The question is the host's own.** The leaf's number comes from SHA-256(seed ‖ asset ‖ task), so another host's answers fit other
  leaves, even if both keep the same set.
* **The place is part of the proof.** The number of slots says how long a path is, and the leaf's number on which side each hash stands.
* **All or nothing, by the epoch.** If every task was answered right, the epoch is worth the set's size times its hours, divided evenly
  over the answers. One wrong or missing answer, and the epoch is worth nothing: a host that lost 1 % of its leaves would otherwise go on
  earning 99 %. An answer that shows that its slot is empty is right, but its part is not paid: holes are neither a fault nor a business.

Failures are kept apart, because they mean different things to a customer: *wrong* (lost or never had), *missing* (some were answered,
some not), *timeout* (came one Book too late), *offline* (nothing at all). Each has a counter that the host carries along.

Who made the data is not asked, so there is no bootstrap reward: with a random file of one's own it would pay for nothing. The work only
bounds what customers' fees may pay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from subak.core.kind import Assets, Codes, Column, Context, Judged, Lines, Mask, Tasks

from .schemas import (
    ALREADY_ANSWERED,
    ANSWER,
    BESIDE_MISSING,
    BESIDE_WRONG,
    EMPTY_SLOT,
    FAULTY_EPOCHS,
    KIB_HOURS,
    LATE_ANSWERS,
    MISSING_ANSWERS,
    NOT_ASKED,
    OFFLINE_EPOCHS,
    OLD_SET,
    OVER_CAPACITY,
    PARAMETERS,
    PIECES,
    PROVEN,
    PROVEN_EPOCHS,
    RIGHT_ANSWERS,
    ROOT,
    SCHEMAS,
    SET,
    SET_TAKEN,
    SIGNED,
    TASKS_PER_DAY,
    TIMEOUT,
    WRONG,
    WRONG_ANSWERS,
)
from .tree import EMPTY, LEAF_BYTES, MOST_PIECES, PIECE_DEPTH, PIECE_KIB, PIECE_LEAVES, check_empty, check_path, depth_of

DAY_S: Final = 86_400
HOUR_S: Final = 3600
MOST_TASKS: Final = 4000
"""No epoch asks an asset more: the core judges 4,096 lines of one asset, and sets need a few."""
MOST_EPOCH_S: Final = 1 << 28
"""Epochs count as at most 8.5 years; with 2^32 KiB, the largest set, the product stays inside 63 bits and the work below 2^50."""
NO_TASK: Final = -1
"""Stands in ``draw`` where an asset has no set to be asked about."""

_SET, _ANSWER = SCHEMAS.index(SET), SCHEMAS.index(ANSWER)
_NO_LEAF = bytes(LEAF_BYTES)
_NO_SLOT = EMPTY * PIECE_DEPTH


@dataclass(frozen=True)
class Law:
    """The policy's parameters for this kind, checked."""

    tasks_per_day: int

    @classmethod
    def of(cls, parameters: Mapping[str, int]) -> Self:
        """Raises ValueError when the policy, not a line, is malformed."""
        law = cls(int(parameters.get(TASKS_PER_DAY, PARAMETERS[TASKS_PER_DAY])))
        if not 0 <= law.tasks_per_day <= 1 << 20:
            raise ValueError(f"storage: tasks_per_day is out of range: {law}")
        return law


def epoch_seconds(context: Context) -> int:
    """Length of the epoch, at most ``MOST_EPOCH_S``."""
    return min(max(context.end_unix_s - context.first_unix_s, 0), MOST_EPOCH_S)


def tasks_of(context: Context) -> int:
    """How many tasks a host with a set has in this epoch: its part of ``tasks_per_day`` rounded up; 0 without a seed.

    Raises ValueError if a parameter of the policy is out of range.
    """
    a_day = Law.of(context.parameters).tasks_per_day
    return min(-(-a_day * epoch_seconds(context) // DAY_S), MOST_TASKS) if context.seed else 0


def leaf_of(seed: bytes, asset: bytes, task: int, pieces: int) -> int:
    """The leaf that a task asks for: SHA-256(seed ‖ asset ‖ task as u64) as an integer, modulo the leaves of the set.

    Of 2^256 numbers over at most 2^32 leaves, none is likelier than another by more than 2^-224.
    """
    drawn = hashlib.sha256(seed + asset + task.to_bytes(8, "big")).digest()
    return int.from_bytes(drawn, "big") % (pieces * PIECE_LEAVES)


def draw(assets: Assets, carried: Mapping[str, Column], context: Context) -> Tasks:
    """``leaf``: the number of the leaf that each task asks of each asset, ``NO_TASK`` for an asset without a set; see ``Rules.draw``."""
    tasks = tasks_of(context)
    if not tasks:
        return {}
    leaf = np.full((tasks, len(assets)), NO_TASK, np.int64)
    for a in np.flatnonzero(carried[PIECES]).tolist():
        asset, pieces = assets.id[a].tobytes(), int(carried[PIECES][a])
        leaf[:, a] = [leaf_of(context.seed, asset, task, pieces) for task in range(tasks)]
    return {"leaf": leaf}


def judge(lines: Lines, assets: Assets, carried: Mapping[str, Column], context: Context) -> Judged:
    """Give every line a reason and its work; see ``Rules.judge``. Raises ValueError if a parameter of the policy is out of range."""
    tasks = tasks_of(context)
    asked = carried[PIECES] > 0 if tasks else np.zeros(len(assets), np.bool_)
    reasons = np.full(lines.present.shape, NOT_ASKED, np.uint8)
    after = {name: column.copy() for name, column in carried.items()}

    _take_sets(lines, assets, reasons, after)

    of_this = lines.present & (lines.schema == _ANSWER) & (lines.fields["task"] < tasks)
    late = of_this & (lines.fields["epoch"] == context.epoch - 1)
    of_this &= (lines.fields["epoch"] == context.epoch) & asked
    reasons[late] = TIMEOUT
    reasons[of_this] = ALREADY_ANSWERED
    firsts = _firsts(of_this, lines.fields["task"], tasks)
    reasons[firsts] = _checked(lines, firsts, assets, carried, context)

    wrong = (reasons == WRONG).sum(axis=0)
    right = _count(firsts, lines) - wrong
    missing = np.where(asked, tasks - right - wrong, 0)
    offline = asked & (right + wrong == 0)
    proven = asked & (wrong + missing == 0)
    faulty = asked & ~offline & ~proven

    work = np.zeros(lines.present.shape, np.int64)
    holds = of_this & (reasons == PROVEN)
    if tasks:
        kib_hours = carried[PIECES] * PIECE_KIB * epoch_seconds(context) // HOUR_S
        share_down, left = kib_hours // tasks, kib_hours % tasks
        np.copyto(work, share_down + (lines.fields["task"] < left), where=holds & proven)
    answered = holds | (of_this & (reasons == EMPTY_SLOT))
    reasons[answered & (missing > 0)] = BESIDE_MISSING
    reasons[answered & (wrong > 0)] = BESIDE_WRONG

    for name, more in (
        (RIGHT_ANSWERS, right),
        (WRONG_ANSWERS, wrong),
        (MISSING_ANSWERS, np.where(offline, 0, missing)),
        (LATE_ANSWERS, _count(_firsts(late, lines.fields["task"], tasks), lines)),
        (PROVEN_EPOCHS, proven),
        (FAULTY_EPOCHS, faulty),
        (OFFLINE_EPOCHS, offline),
    ):
        after[name] += more
    return Judged(reasons, {KIB_HOURS: work}, after)


Places = tuple[Column, Column]
"""Lines of a grid: which row, which asset."""


def _take_sets(lines: Lines, assets: Assets, reasons: Codes, after: dict[str, Column]) -> None:
    """Judge the sets; the last one that holds is what the next tasks are drawn from."""
    is_set = lines.present & (lines.schema == _SET)
    most_pieces = np.clip(assets.rated // PIECE_KIB, 0, MOST_PIECES)
    too_large = lines.fields["pieces"] > most_pieces
    newer = lines.end_unix_s >= after[SIGNED]
    taken = is_set & ~too_large & newer
    reasons[is_set] = OLD_SET
    reasons[is_set & too_large] = OVER_CAPACITY
    reasons[taken] = SET_TAKEN
    some = np.flatnonzero(taken.any(axis=0))
    if not some.size:
        return
    # Lines stand in order of time, so the last is the newest.
    row = len(taken) - 1 - np.argmax(taken[::-1, some], axis=0)
    words = np.ascontiguousarray(lines.fields["root"][row, some]).view(">i8")
    for number, name in enumerate(ROOT):
        after[name][some] = words[:, number]
    after[PIECES][some] = lines.fields["pieces"][row, some]
    after[SIGNED][some] = lines.end_unix_s[row, some]


def _firsts(which: Mask, task: Column, tasks: int) -> Places:
    """The first of these lines for each task of each asset."""
    row, asset = np.nonzero(which)
    _, first = np.unique(asset * tasks + task[row, asset], return_index=True)
    return row[first], asset[first]


def _count(places: Places, lines: Lines) -> Column:
    """How many of these lines each asset has."""
    return np.bincount(places[1], minlength=lines.present.shape[1]).astype(np.int64)


def _checked(lines: Lines, places: Places, assets: Assets, carried: Mapping[str, Column], context: Context) -> Codes:
    """``PROVEN``, ``EMPTY_SLOT`` or ``WRONG`` for each of these answers: one Python step each, for the hashes."""
    roots = np.stack([carried[name] for name in ROOT], axis=1).astype(">i8")
    codes = np.full(len(places[0]), WRONG, np.uint8)
    leaves, paths, numbers = lines.fields["leaf"], lines.fields["path"], lines.fields["task"]
    for number, (k, a) in enumerate(zip(*(each.tolist() for each in places), strict=True)):
        pieces, root = int(carried[PIECES][a]), roots[a].tobytes()
        index = leaf_of(context.seed, assets.id[a].tobytes(), int(numbers[k, a]), pieces)
        leaf, hashes = leaves[k, a].tobytes(), paths[k, a].tobytes()
        used = 32 * (PIECE_DEPTH + depth_of(pieces))
        if hashes[used:].strip(b"\0"):
            continue
        path = [hashes[at : at + 32] for at in range(0, used, 32)]
        if leaf == _NO_LEAF and hashes.startswith(_NO_SLOT):
            if check_empty(index, pieces, path, root):
                codes[number] = EMPTY_SLOT
        elif check_path(leaf, index, pieces, path, root):
            codes[number] = PROVEN
    return codes
