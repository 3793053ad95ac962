"""Which Entries belong to which epoch, whatever crashed in between."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from subak.archive.log import EntryLog
from subak.core.canon.entry import RawEntry, pack
from subak.core.nouns import Clock
from subak.kinds.energy.rules.schemas import READING
from subak.verifier.uncut import Uncut

CLOCK = Clock(genesis_unix_s=0, epoch_seconds=86_400, grace_seconds=3_600, attempt_seconds=3_600, challenge_seconds=21_600)
HOUR = 3_600


def reading(sequence: int, ends_at_hour: int) -> bytes:
    start = (ends_at_hour - 1) * HOUR
    signed = pack(
        network=b"n" * 32,
        schema=READING,
        subject=b"a" * 32,
        signer=b"s" * 8,
        sequence=sequence,
        start_unix_s=start,
        interval_seconds=HOUR,
        rows=[(1, 1, 1)],
    )
    return signed + bytes(64)


def positions(taken: Sequence[tuple[int, RawEntry]]) -> list[int]:
    return [position for position, _ in taken]


def test_a_late_cut_lists_no_line_too_early(tmp_path: Path) -> None:
    log = EntryLog(tmp_path)
    log.append([reading(0, 24), reading(1, 25), reading(2, 26), reading(3, 27)], 100_000)
    uncut = Uncut(log, CLOCK, heads=0)
    assert positions(uncut.take(log.cut(0))) == [0, 1]
    log.append([reading(4, 20), reading(5, 48)], 110_000)
    assert positions(uncut.take(log.cut(1))) == [2, 3, 4, 5]


def test_a_restart_finds_the_same_cuts(tmp_path: Path) -> None:
    log = EntryLog(tmp_path)
    log.append([reading(0, 24), reading(1, 26)], 90_000)
    Uncut(log, CLOCK, heads=0).take(log.cut(0))
    log.append([reading(2, 30)], 120_000)
    log.cut(1)
    log.close()
    again = EntryLog(tmp_path)
    uncut = Uncut(again, CLOCK, heads=1)
    assert positions(uncut.take(again.cut(1))) == [1, 2]
    again.close()


def test_what_waits_is_not_forgotten(tmp_path: Path) -> None:
    log = EntryLog(tmp_path)
    log.append([reading(0, 24)], 90_000)
    uncut = Uncut(log, CLOCK, heads=0)
    uncut.take(log.cut(0))
    log.append([reading(1, 100)], 100_000)
    uncut.take(log.cut(1))
    log.append([reading(2, 72)], 200_000)
    cut = log.cut(2)
    uncut.take(cut)
    assert log.forget(uncut.forgettable(cut.end)) == 1
    log.close()
    again = EntryLog(tmp_path)
    assert positions(Uncut(again, CLOCK, heads=3).take(again.cut(4))) == [1]
    again.close()
