from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from signed_entries import raw

from subak.archive.log import Cut, EntryLog, LogBroken


def fill(log: EntryLog, counts: list[int]) -> list[bytes]:
    """Appends records of so many Entries each; returns the Entries."""
    every: list[bytes] = []
    for number, count in enumerate(counts):
        some = [raw(1, log.position + n) for n in range(count)]
        assert log.append(some, 1_000 + number) == log.position - count
        every += some
    return every


def contents(log: EntryLog) -> list[bytes]:
    return [entry.signed + entry.signature for record in log.records() for entry in record.entries]


def test_what_was_appended_comes_back_in_order(tmp_path: Path) -> None:
    log = EntryLog(tmp_path)
    every = fill(log, [3, 1, 5])
    assert (log.position, log.durable) == (9, 0)
    assert log.sync() == 9 == log.durable
    log.close()
    log = EntryLog(tmp_path)
    assert (log.position, log.durable, log.recovered.entries, log.recovered.torn_bytes) == (9, 9, 9, 0)
    assert contents(log) == every
    records = [(record.position, record.received_unix_s, len(record.entries)) for record in log.records()]
    assert records == [(0, 1000, 3), (3, 1001, 1), (4, 1002, 5)]
    assert [record.position for record in log.records(3)] == [3, 4]
    assert [(one.position, one.received_unix_s) for one in log.entries(2, 5)] == [(2, 1000), (3, 1001), (4, 1002)]
    assert list(log.entries(9, 9)) == []
    with pytest.raises(ValueError, match="the log holds 0 to 9"):
        list(log.entries(0, 10))


def test_a_torn_tail_is_cut_off_and_kept_beside(tmp_path: Path) -> None:
    log = EntryLog(tmp_path)
    every = fill(log, [2, 2])
    log.close()
    path = tmp_path / f"{0:020d}.log"
    whole = path.read_bytes()
    first = len(whole) // 2
    for end in (first + 1, first + 15, len(whole) - 1):
        path.write_bytes(whole[:end])
        log = EntryLog(tmp_path)
        assert contents(log) == every[:2]
        assert log.recovered.torn_bytes == end - first
        assert log.recovered.torn_file is not None
        assert log.recovered.torn_file.read_bytes() == whole[first:end]
        assert fill(log, [1]) == [every[2]]
        log.close()
    path.write_bytes(whole[: first + 20] + b"\xff" + whole[first + 21 :])
    log = EntryLog(tmp_path)
    assert contents(log) == every[:2]
    log.close()


def test_damage_before_the_tail_is_never_passed_over(tmp_path: Path) -> None:
    log = EntryLog(tmp_path, max_file_bytes=1)
    fill(log, [1, 1, 1])
    log.close()
    second = tmp_path / f"{1:020d}.log"
    damaged = bytearray(second.read_bytes())
    damaged[50] ^= 1
    second.write_bytes(damaged)
    log = EntryLog(tmp_path)
    with pytest.raises(LogBroken, match="the record at byte 0, position 1, is not what was written"):
        contents(log)
    log.close()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    log = EntryLog(tmp_path)
    with pytest.raises(LogBroken, match="open in another process"):
        EntryLog(tmp_path)
    log.close()
    EntryLog(tmp_path).close()


def test_a_cut_gives_each_entry_to_one_close(tmp_path: Path) -> None:
    log = EntryLog(tmp_path)
    every = fill(log, [3])
    assert log.cut(7) == Cut(7, 0, 3) == log.cut(7)
    assert log.durable == 3
    assert log.cut(8) == Cut(8, 3, 3)
    every += fill(log, [2])
    log.close()
    log = EntryLog(tmp_path)
    assert log.cut(8) == Cut(8, 3, 3)
    assert log.cut(10) == Cut(10, 3, 5)
    assert log.cuts == (Cut(7, 0, 3), Cut(8, 3, 3), Cut(10, 3, 5))
    with pytest.raises(ValueError, match="epoch 9 is cut after epoch 10"):
        log.cut(9)
    assert contents(log) == every
    log.close()


def test_a_torn_cut_was_never_made(tmp_path: Path) -> None:
    log = EntryLog(tmp_path)
    fill(log, [1])
    log.cut(0)
    log.cut(1)
    log.close()
    cuts = tmp_path / "cuts"
    cuts.write_bytes(cuts.read_bytes()[:-3])
    log = EntryLog(tmp_path)
    assert log.cuts == (Cut(0, 0, 1),)
    fill(log, [1])
    assert log.cut(1) == Cut(1, 1, 2)
    log.close()


def test_only_what_a_cut_holds_is_forgotten(tmp_path: Path) -> None:
    log = EntryLog(tmp_path, max_file_bytes=1)
    every = fill(log, [2, 2, 2])
    assert log.forget(4) == 0
    log.cut(0)
    assert log.forget(3) == 2
    assert log.forget(100) == 6
    every = fill(log, [1])
    log.close()
    log = EntryLog(tmp_path)
    assert (log.first, log.position) == (6, 7)
    assert contents(log) == every
    log.close()


def test_a_write_that_fails_leaves_nothing_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = EntryLog(tmp_path)
    every = fill(log, [1])
    real = os.writev

    def full(handle: int, data: object) -> int:
        raise OSError(28, "No space left on device")

    def short(handle: int, data: tuple[bytes, bytes]) -> int:
        return real(handle, [data[0], data[1][:130]])

    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", short)
        every += fill(log, [1])
        patch.setattr(os, "write", full)
        with pytest.raises(LogBroken, match="No space left"):
            log.append([raw(1, 2)], 0)
    assert log.position == 2
    every += fill(log, [1])
    assert contents(log) == every
    log.close()


def test_nothing_is_promised_after_a_failed_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = EntryLog(tmp_path)
    fill(log, [1])

    def broken(handle: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken)
        with pytest.raises(LogBroken, match="Input/output error"):
            log.sync()
    for attempt in (log.sync, lambda: log.append([raw(1, 1)], 0), lambda: log.cut(0)):
        with pytest.raises(LogBroken, match="Input/output error"):
            attempt()
    assert log.durable == 0
    log.close()


def test_a_record_has_entries_and_an_end(tmp_path: Path) -> None:
    log = EntryLog(tmp_path)
    for entries in ([], [bytes(1 << 20), b"1"]):
        with pytest.raises(ValueError, match="a record of"):
            log.append(entries, 0)
    log.close()


def test_threads_may_append_sync_cut_and_read_at_once(tmp_path: Path) -> None:
    log = EntryLog(tmp_path, max_file_bytes=2000)
    entries = [raw(1, n) for n in range(50)]

    def append() -> None:
        for one in entries:
            log.append([one], 0)
            log.sync()

    def close() -> None:
        for epoch in range(20):
            made = log.cut(epoch)
            assert len(list(log.entries(made.first, made.end))) == made.end - made.first

    with ThreadPoolExecutor(3) as threads:
        for work in [threads.submit(append), threads.submit(append), threads.submit(close)]:
            work.result()
    log.close()
    log = EntryLog(tmp_path)
    assert sorted(contents(log)) == sorted(entries * 2)
    assert len(log.cuts) == 20
    log.close()


WRITER = """
import sys
from pathlib import Path
from subak.archive.log import EntryLog
from signed_entries import raw
log = EntryLog(sys.argv[1], max_file_bytes=3000)
print(log.position, flush=True)
while True:
    log.append([raw(1, log.position), raw(1, log.position + 1)], 5)
    log.append([raw(1, log.position)], 5)
    if log.position % 12 == 0:
        log.cut(log.position)
    print(log.sync(), flush=True)
"""


def test_nothing_that_was_synced_is_missing_after_sigkill(tmp_path: Path) -> None:
    generator = random.Random(1)
    acknowledged = 0
    for _ in range(4):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(generator.randrange(2, 60))]
        writer.send_signal(signal.SIGKILL)
        rest, _ = writer.communicate()
        # The last line may be torn by the kill.
        acknowledged = max(acknowledged, *(int(line) for line in "".join([*lines, rest]).splitlines(keepends=True) if line.endswith("\n")))
        log = EntryLog(tmp_path)
        assert log.position >= acknowledged > 0
        assert contents(log) == [raw(1, position) for position in range(log.position)]
        log.close()
