"""What a storage host signs, what the rules remember of it, and the words they judge with."""

from __future__ import annotations

from typing import Final

from subak.core.kind import ACCEPTED, FIRST_KIND_REASON, Carried, Field, Reason, Schema, Status

SET: Final = Schema("storage.set", 1, (Field("root", "bytes32"), Field("pieces")))
"""What the host keeps from now on: root of the set's tree and its number of slots; 0 slots keep nothing. One row, interval 0."""
ANSWER: Final = Schema("storage.answer", 1, (Field("epoch"), Field("task"), Field("leaf", "bytes1024"), Field("path", "bytes1024")))
"""The leaf that a task of an epoch asks for, and the hashes from it up to the root of the set, padded with zeros. For an empty slot the
leaf and the first 8 hashes are zeros. Interval 1 s."""
SCHEMAS: Final = (SET, ANSWER)

KIB_HOURS: Final = "kib_hours"
"""Work: KiB kept, times the hours of the epochs in which every task was answered right."""

ROOT: Final = tuple(f"set_root_{word}" for word in range(4))
"""Root of the set that tasks are drawn from: four words of 64 bits, signed, the first one first."""
PIECES: Final = "set_pieces"
"""Slots of that set; 0 is none."""
SIGNED: Final = "set_unix_s"
"""When the host signed it."""
RIGHT_ANSWERS, WRONG_ANSWERS, MISSING_ANSWERS, LATE_ANSWERS = (f"{what}_answers" for what in ("right", "wrong", "missing", "late"))
"""Tasks so far that were answered right; answered wrong; not answered though others of the epoch were; answered one Book too late."""
PROVEN_EPOCHS, FAULTY_EPOCHS, OFFLINE_EPOCHS = (f"{what}_epochs" for what in ("proven", "faulty", "offline"))
"""Epochs so far in which every task was answered right; in which one was wrong or missing; in which none was answered."""
COUNTERS: Final = (
    RIGHT_ANSWERS,
    WRONG_ANSWERS,
    MISSING_ANSWERS,
    LATE_ANSWERS,
    PROVEN_EPOCHS,
    FAULTY_EPOCHS,
    OFFLINE_EPOCHS,
)
CARRIED: Final = tuple(Carried(name) for name in (*ROOT, PIECES, SIGNED, *COUNTERS))

TASKS_PER_DAY: Final = "tasks_per_day"
PARAMETERS: Final = {TASKS_PER_DAY: 460}
"""Parameters and their values where a policy names none. Of a host that lost 1 % of its leaves 0.99^460 = 0.98 % slip through in a day."""

(
    SET_TAKEN,
    OLD_SET,
    OVER_CAPACITY,
    NOT_ASKED,
    TIMEOUT,
    ALREADY_ANSWERED,
    WRONG,
    BESIDE_WRONG,
    BESIDE_MISSING,
    EMPTY_SLOT,
) = range(FIRST_KIND_REASON, FIRST_KIND_REASON + 10)

PROVEN: Final = ACCEPTED
"""The core's own reason: a right answer in an epoch whose tasks were all answered right."""

REASONS: Final = (
    Reason(SET_TAKEN, "set_taken", Status.ACCEPTED, "from the next epoch on the host is asked for what is in this set"),
    Reason(OLD_SET, "old_set", Status.ACCEPTED, "the host has signed a newer set; this one changes nothing"),
    Reason(OVER_CAPACITY, "over_capacity", Status.REFUSED, "the set is larger than the rated capacity, or 4 TiB; the one before holds"),
    Reason(NOT_ASKED, "not_asked", Status.REFUSED, "no such task was asked of this host in this epoch or the one before"),
    Reason(TIMEOUT, "timeout", Status.REFUSED, "answers a task of the epoch before, whose Book was closed already"),
    Reason(ALREADY_ANSWERED, "already_answered", Status.ACCEPTED, "this task was answered before; the first answer counts"),
    Reason(WRONG, "wrong", Status.REFUSED, "leaf and path do not lead to the root of the set that the host signed"),
    Reason(BESIDE_WRONG, "beside_wrong", Status.ACCEPTED, "right, but another answer was wrong: nothing is paid for this epoch"),
    Reason(BESIDE_MISSING, "beside_missing", Status.ACCEPTED, "right, but another task was not answered: nothing is paid for this epoch"),
    Reason(EMPTY_SLOT, "empty_slot", Status.ACCEPTED, "right: the slot is empty, and an empty slot is not paid"),
)
