"""Files on ten hosts over real sockets: what is put comes back whatever six hosts do, and nothing is ever listed by halves."""

from __future__ import annotations

import asyncio
import random
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Coroutine
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from small_host import SmallHost, hosts, passes

from subak.kinds.storage.customer import (
    BadName,
    Cause,
    Code,
    Host,
    KeyFileRefused,
    NameTaken,
    NoSuchFile,
    Patience,
    PutFailed,
    SourceChanged,
    Store,
    StoreError,
    TooFewHosts,
    Unreadable,
    WrongKey,
)

SEGMENT = Code().segment_bytes
QUICK = Patience(connect=1.0, answer=2.0, piece=5.0, spare=0.1)
CUSTOMER = Path(__file__).with_name("in_a_process.py")


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 60))


def file_of(folder: Path, size: int, name: str = "source") -> Path:
    path = folder / name
    path.write_bytes(random.Random(size).randbytes(size))
    return path


def store_in(folder: Path, **options: Any) -> Store:
    return Store(folder / "store", passes, patience=options.pop("patience", QUICK), **options)


def named(small: list[SmallHost]) -> list[Host]:
    return [each.host for each in small]


def faults_of(faults: Any) -> dict[int, Cause]:
    """Cause by number of the host."""
    return {fault.asset[0]: fault.cause for fault in faults}


# Round trips


@pytest.mark.parametrize(
    "size", [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT + 4711], ids=["0", "1", "segment-1", "segment", "segment+1", "several"]
)
def test_what_is_put_comes_back(tmp_path: Path, size: int) -> None:
    async def story() -> None:
        async with hosts(tmp_path) as ten, store_in(tmp_path, now=lambda: 1234.5) as store:
            source, put_steps, get_steps = file_of(tmp_path, size), [], []
            stored = await store.put(source, "a file", named(ten), progress=lambda *step: put_steps.append(step))
            segments = -(-size // SEGMENT)
            assert (stored.name, stored.size_bytes, stored.segments, stored.stored_unix_s) == ("a file", size, segments, 1234)
            assert stored.hosts == tuple(named(ten))
            assert [len(host.pieces) for host in ten] == [segments] * 10
            fetched = await store.get("a file", tmp_path / "back", progress=lambda *step: get_steps.append(step))
            assert (tmp_path / "back").read_bytes() == source.read_bytes()
            assert (fetched.size_bytes, fetched.faults) == (size, ())
            assert stat.S_IMODE((tmp_path / "back").stat().st_mode) == 0o600
            for steps in (put_steps, get_steps):
                assert len(steps) == segments
                assert [total for _, total in steps] == [size] * segments
                assert not steps or steps[-1] == (size, size)

    run(story())


def test_the_list_the_usage_and_the_end_of_a_file(tmp_path: Path) -> None:
    async def story() -> None:
        async with hosts(tmp_path, 12) as twelve, store_in(tmp_path) as store:
            await store.put(file_of(tmp_path, SEGMENT + 1), "b", named(twelve))
            await store.put(file_of(tmp_path, 9), "a", named(twelve[2:]), code=Code(2, 3))
            assert [(each.name, each.kib_per_host, each.code) for each in store.ls()] == [("a", 256, Code(2, 3)), ("b", 512, Code(4, 10))]
            kib = {host.asset: 512 if number < 10 else 0 for number, host in enumerate(twelve)}
            for host in twelve[2:5]:
                kib[host.asset] += 256
            assert store.usage() == {asset: each for asset, each in kib.items() if each}
            assert store.stat("a").hosts == tuple(named(twelve[2:5]))

            assert await store.rm("b") == ()
            assert [each.name for each in store.ls()] == ["a"]
            assert [len(host.pieces) for host in twelve] == [0, 0, 1, 1, 1, *[0] * 7]
            with pytest.raises(NoSuchFile, match="no file named 'b'"):
                store.stat("b")
            with pytest.raises(NoSuchFile, match="no file named 'b'"):
                await store.get("b", tmp_path / "back")
            with pytest.raises(NoSuchFile, match="no file named 'b'"):
                await store.rm("b")
            with pytest.raises(NoSuchFile, match="no file named 'b'"):
                await store.ask_places("b")

    run(story())


def test_the_next_process_finds_the_files_and_a_host_that_moved(tmp_path: Path) -> None:
    async def story() -> None:
        async with hosts(tmp_path) as ten:
            source = file_of(tmp_path, SEGMENT)
            async with store_in(tmp_path) as store:
                await store.put(source, "file", named(ten))
            ten[0].folder.rename(tmp_path / "elsewhere")
            await ten[0].down()
            moved = SmallHost(1, tmp_path / "new")
            (tmp_path / "new").rmdir()
            (tmp_path / "elsewhere").rename(tmp_path / "new")
            await moved.up()
            async with store_in(tmp_path) as store:
                assert faults_of((await store.get("file", tmp_path / "back")).faults) == {1: Cause.UNREACHABLE}
                store.moved(moved.asset, moved.host.endpoint)
                assert (await store.get("file", tmp_path / "back")).faults == ()
                assert (tmp_path / "back").read_bytes() == source.read_bytes()
                assert store.stat("file").hosts[0] == moved.host
            await moved.down()

    run(story())


def test_key_and_index_are_for_their_owner_alone(tmp_path: Path) -> None:
    async def story() -> None:
        async with hosts(tmp_path) as ten, store_in(tmp_path) as store:
            await store.put(file_of(tmp_path, 5), "file", named(ten))
            files = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
            assert {path.name for path in files} >= {"key", "index.sqlite", "index.sqlite-wal"}
            assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
        (tmp_path / "store" / "key").chmod(0o640)
        with pytest.raises(KeyFileRefused, match=r"mode 0640: others can reach the key; chmod 600"):
            store_in(tmp_path)

    run(story())


# Hosts that fail while a file is fetched


def test_any_six_hosts_may_be_dead(tmp_path: Path) -> None:
    async def story() -> None:
        async with hosts(tmp_path) as ten, store_in(tmp_path) as store:
            source = file_of(tmp_path, SEGMENT - 99)
            await store.put(source, "file", named(ten))
            for dead in combinations(range(10), 6):
                for number, host in enumerate(ten):
                    await (host.down() if number in dead else host.up_again())
                fetched = await store.get("file", tmp_path / "back")
                assert (tmp_path / "back").read_bytes() == source.read_bytes(), dead
                assert {fault.asset[0] - 1 for fault in fetched.faults} <= set(dead)
                assert {fault.cause for fault in fetched.faults} <= {Cause.UNREACHABLE}
                (tmp_path / "back").unlink()

    run(story())


def test_with_seven_dead_it_says_who_they_are_and_leaves_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with hosts(tmp_path) as ten, store_in(tmp_path) as store:
            await store.put(file_of(tmp_path, 3 * SEGMENT), "file", named(ten))
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "back").write_text("as it was")
            for host in ten[:7]:
                await host.down()
            with pytest.raises(Unreadable, match=r"segment \d needs 4 of its 10 pieces, 3 can be had; try again") as caught:
                await store.get("file", tmp_path / "out" / "back")
            assert faults_of(caught.value.faults) == dict.fromkeys(range(1, 8), Cause.UNREACHABLE)
            assert [path.name for path in (tmp_path / "out").iterdir()] == ["back"]
            assert (tmp_path / "out" / "back").read_text() == "as it was"
            await ten[6].up_again()
            assert (await store.get("file", tmp_path / "out" / "back")).size_bytes == 3 * SEGMENT

    run(story())


def test_tampered_truncated_lost_and_refused_pieces_are_named_and_replaced(tmp_path: Path) -> None:
    async def story() -> None:
        async with hosts(tmp_path) as ten, store_in(tmp_path) as store:
            source = file_of(tmp_path, 3 * SEGMENT)
            await store.put(source, "file", named(ten))
            ten[0].tamper = True
            ten[1].truncate = True
            for path in ten[2].folder.iterdir():
                path.unlink()
            ten[3].refuse = True
            fetched = await store.get("file", tmp_path / "back")
            assert (tmp_path / "back").read_bytes() == source.read_bytes()
            assert faults_of(fetched.faults) == {1: Cause.TAMPERED, 2: Cause.TAMPERED, 3: Cause.LOST, 4: Cause.REFUSED}
            sentences = "\n".join(str(fault) for fault in fetched.faults)
            assert "came with other bytes than those that were stored" in sentences
            assert "came with 131072 bytes instead of 262144" in sentences
            assert "not_admitted: 'pass for 4' is not served now" in sentences
            assert f"host 0x010101010101… at {ten[0].host.endpoint} is tampered" in sentences
            for host in ten[4:7]:
                host.tamper = True
            with pytest.raises(Unreadable, match="3 can be had"):
                await store.get("file", tmp_path / "back")

    run(story())


def test_a_silent_host_is_replaced_before_it_times_out(tmp_path: Path) -> None:
    async def story() -> None:
        patience = Patience(connect=1.0, answer=50.0, piece=50.0, spare=0.1)
        async with hosts(tmp_path) as ten, store_in(tmp_path, patience=patience) as store:
            source = file_of(tmp_path, 2 * SEGMENT)
            await store.put(source, "file", named(ten))
            ten[1].silent.set()
            fetched = await asyncio.wait_for(store.get("file", tmp_path / "back"), 25)
            assert (tmp_path / "back").read_bytes() == source.read_bytes()
            assert faults_of(fetched.faults) == {2: Cause.SLOW}

    run(story())


def test_connections_that_break_and_hosts_that_are_busy_are_asked_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with hosts(tmp_path) as ten, store_in(tmp_path) as store:
            source = file_of(tmp_path, SEGMENT)
            ten[0].drop_next, ten[1].busy_next = 2, 2
            await store.put(source, "file", named(ten))
            ten[2].drop_next, ten[3].busy_next = 2, 1
            assert (await store.get("file", tmp_path / "back")).faults == ()
            assert (tmp_path / "back").read_bytes() == source.read_bytes()
            ten[0].drop_next = 3
            assert faults_of((await store.get("file", tmp_path / "back")).faults) == {1: Cause.UNREACHABLE}

    run(story())


# Hosts that fail while a file is put


def test_a_put_that_fails_says_who_failed_and_removes_what_it_placed(tmp_path: Path) -> None:
    async def story() -> None:
        async with hosts(tmp_path) as ten, store_in(tmp_path) as store:
            ten[2].capacity = 1
            ten[6].refuse = True
            await ten[8].down()
            source = file_of(tmp_path, 4 * SEGMENT)
            with pytest.raises(PutFailed, match=r"'file' was not stored: \d of 10 hosts failed; name others") as caught:
                await store.put(source, "file", named(ten))
            assert faults_of(caught.value.faults).items() >= {7: Cause.REFUSED, 9: Cause.UNREACHABLE}.items()
            assert store.ls() == []
            assert [len(host.pieces) for host in ten] == [0] * 10
            await ten[8].up_again()
            ten[6].refuse = False
            with pytest.raises(PutFailed, match="is full: full: all 256 KiB are used") as caught:
                await store.put(source, "file", named(ten))
            assert faults_of(caught.value.faults) == {3: Cause.FULL}
            assert [len(host.pieces) for host in ten] == [0] * 10
            ten[2].capacity = 4
            await store.put(source, "file", named(ten))
            with pytest.raises(PutFailed, match="full"):
                await store.put(source, "beyond what fits", named(ten))
            assert [len(host.pieces) for host in ten] == [4] * 10
            assert [each.name for each in store.ls()] == ["file"]

    run(story())


def test_what_cannot_be_deleted_is_remembered(tmp_path: Path) -> None:
    async def story() -> None:
        async with hosts(tmp_path) as ten:
            async with store_in(tmp_path) as store:
                await store.put(file_of(tmp_path, 3 * SEGMENT), "file", named(ten))
                await ten[0].down()
                (left,) = await store.rm("file")
                assert (left.asset, left.cause, left.pieces) == (ten[0].asset, Cause.UNREACHABLE, 3)
                assert [len(host.pieces) for host in ten] == [3, *[0] * 9]
                await ten[0].up_again()
                (left,) = await store.sweep()
                assert left.pieces == 3
            async with store_in(tmp_path) as store:
                assert await store.sweep() == ()
                assert ten[0].pieces == set()
                assert await store.sweep() == ()

    run(story())


def test_a_host_that_no_pass_can_be_made_for_is_one_that_fails(tmp_path: Path) -> None:
    async def story() -> None:
        def some(asset: bytes, now: float) -> str:
            if asset[0] <= 2:
                raise FileNotFoundError("the session key is gone")
            return passes(asset, now)

        async with hosts(tmp_path) as ten, Store(tmp_path / "store", some) as store:
            with pytest.raises(PutFailed, match="is refused: no pass can be made for it: the session key is gone") as caught:
                await store.put(file_of(tmp_path, 5), "file", named(ten))
            assert faults_of(caught.value.faults) == {1: Cause.REFUSED, 2: Cause.REFUSED}

    run(story())


@pytest.mark.parametrize(
    ("count", "code", "sentence"),
    [
        (9, Code(4, 10), r"9 different hosts are named, but 4 of 10 needs 10: name more, or choose a smaller code, such as Code\(3, 9\)"),
        (1, Code(4, 10), r"1 different hosts .* such as Code\(1, 1\)"),
        (0, Code(1, 1), r"0 different hosts are named, but 1 of 1 needs 1: name some"),
    ],
)
def test_too_few_hosts(tmp_path: Path, count: int, code: Code, sentence: str) -> None:
    async def story() -> None:
        async with hosts(tmp_path, count) as some, store_in(tmp_path) as store:
            with pytest.raises(TooFewHosts, match=sentence):
                await store.put(file_of(tmp_path, 5), "file", named(some) * 2, code=code)

    run(story())


def test_names_and_sources_that_cannot_be(tmp_path: Path) -> None:
    async def story() -> None:
        async with hosts(tmp_path) as ten, store_in(tmp_path) as store:
            source = file_of(tmp_path, 5)
            for name in ("", "x" * 1025, "a\0b", "\udc80"):
                with pytest.raises(BadName):
                    await store.put(source, name, named(ten))
            await store.put(source, "é/ü 目", named(ten))
            with pytest.raises(NameTaken, match=r"'é/ü 目' is stored already; remove it first or choose another name"):
                await store.put(source, "é/ü 目", named(ten))
            with pytest.raises(StoreError, match=r"no such cannot be read: No such file"):
                await store.put(tmp_path / "no such", "file", named(ten))
            with pytest.raises(StoreError, match="is not a file with bytes of its own"):
                await store.put(tmp_path, "file", named(ten))
            with pytest.raises(StoreError, match="is a folder, name a file in it"):
                await store.get("é/ü 目", tmp_path)
            with pytest.raises(StoreError, match="no/such/folder/file cannot be written: No such file or directory"):
                await store.get("é/ü 目", tmp_path / "no/such/folder/file")

    run(story())


@pytest.mark.parametrize("change", ["longer", "shorter", "other"])
def test_a_file_that_changes_while_it_is_stored_is_not_stored(tmp_path: Path, change: str) -> None:
    async def story() -> None:
        async with hosts(tmp_path) as ten, store_in(tmp_path) as store:
            source = file_of(tmp_path, 9 * SEGMENT)

            def meddle(done: int, total: int) -> None:
                with source.open("r+b") as file:
                    file.seek(0 if change == "other" else total)
                    file.write(b"new bytes")
                    file.truncate(total // 2 if change == "shorter" else None)

            with pytest.raises(SourceChanged, match=r"written to while it was stored|got shorter while it was stored"):
                await store.put(source, "file", named(ten), progress=meddle)
            assert store.ls() == []
            assert [len(host.pieces) for host in ten] == [0] * 10

    run(story())


# Keys


def test_another_master_key_is_told_from_a_tampered_piece(tmp_path: Path) -> None:
    async def story() -> None:
        async with hosts(tmp_path) as ten:
            async with store_in(tmp_path) as store:
                await store.put(file_of(tmp_path, 5), "file", named(ten))
            key = tmp_path / "store" / "key"
            right = key.read_text()
            key.write_text("ab" * 32 + "\n")
            with pytest.raises(
                WrongKey, match=r"key holds another master key than the one that the files of .*index.sqlite were sealed with"
            ):
                store_in(tmp_path)
            key.write_text("ab" * 31 + "\n")
            with pytest.raises(KeyFileRefused, match="does not hold a key of 64 hex digits"):
                store_in(tmp_path)
            key.unlink()
            with pytest.raises(WrongKey, match="is gone: without it the files of this index cannot be opened"):
                store_in(tmp_path)
            assert not key.exists()
            # An index that somebody changed: the pieces are right, but they do not open.
            key.write_text(right)
            key.chmod(0o600)
            async with store_in(tmp_path) as store:
                store._index._db.execute("UPDATE files SET size_bytes = 4")
                with pytest.raises(WrongKey, match=r"segment 0 of 'file' does not open, though its pieces are those that were stored"):
                    await store.get("file", tmp_path / "back")
                assert not (tmp_path / "back").exists()

    run(story())


# Processes that die, disks that are full


def test_a_put_that_is_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    async def story() -> None:
        async with hosts(tmp_path) as ten:
            source = file_of(tmp_path, 3 * SEGMENT)
            # Nine hosts acknowledge what they get, the tenth keeps the put from being complete.
            ten[9].silent.set()
            endpoints = [f"{host.asset[0]}={host.host.endpoint}" for host in ten]
            arguments = ["put", str(tmp_path / "store"), str(source), "file", *endpoints]
            child = await asyncio.create_subprocess_exec(sys.executable, str(CUSTOMER), *arguments)
            await asyncio.gather(ten[9].asked.wait(), *(host.stored.wait() for host in ten[:9]))

            async with store_in(tmp_path) as other:
                assert other.ls() == []
                with pytest.raises(NameTaken, match="'file' is being stored"):
                    await other.put(source, "file", named(ten))
                assert await other.sweep() == ()
                assert min(len(host.pieces) for host in ten[:9]) > 0

            child.send_signal(signal.SIGKILL)
            assert await child.wait() == -signal.SIGKILL
            await asyncio.gather(*(host.idle.wait() for host in ten))
            ten[9].silent.clear()
            async with store_in(tmp_path) as store:
                assert store.ls() == []
                stored = await store.put(source, "file", named(ten))
                assert store.ls() == [stored]
                assert await store.sweep() == ()
                assert [len(host.pieces) for host in ten] == [3] * 10
                await store.get("file", tmp_path / "back")
                assert (tmp_path / "back").read_bytes() == source.read_bytes()
                assert list((tmp_path / "store" / "putting").iterdir()) == []

    run(story())


def test_a_put_that_is_cancelled_leaves_nothing_listed(tmp_path: Path) -> None:
    async def story() -> None:
        async with hosts(tmp_path) as ten, store_in(tmp_path) as store:
            source = file_of(tmp_path, 3 * SEGMENT)
            ten[9].silent.set()
            task = asyncio.create_task(store.put(source, "file", named(ten)))
            await asyncio.gather(ten[9].asked.wait(), *(host.stored.wait() for host in ten[:9]))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            ten[9].silent.clear()
            assert store.ls() == []
            assert await store.sweep() == ()
            assert [len(host.pieces) for host in ten] == [0] * 10
            await store.put(source, "file", named(ten))

    run(story())


@pytest.fixture
def small_disk(tmp_path: Path) -> list[str]:
    """What starts a command beside which ``tmp_path/disk`` is a disk of 4 MiB."""
    (tmp_path / "disk").mkdir()
    mounted = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"]
    mounted += ['mount -t tmpfs -o size=8m none "$0"; "$@"; ls "$0"', str(tmp_path / "disk")]
    if subprocess.run([*mounted, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not let a user mount a small disk")
    return mounted


@pytest.mark.parametrize(
    ("segments", "options", "sentence"),
    [
        (9, [], "NoRoom: {back} needs 9437040 bytes, its disk has 8388608 left\n"),
        (7, ["--fill"], "NoRoom: {back} cannot be written: No space left on device\nfiller\n"),
        (7, [], "done\nback\n"),
    ],
    ids=["too small", "filled under way", "large enough"],
)
def test_a_full_disk_leaves_nothing(tmp_path: Path, small_disk: list[str], segments: int, options: list[str], sentence: str) -> None:
    async def story() -> None:
        async with hosts(tmp_path) as ten:
            async with store_in(tmp_path) as store:
                await store.put(file_of(tmp_path, segments * SEGMENT), "file", named(ten))
            back = tmp_path / "disk" / "back"
            command = [*small_disk, sys.executable, str(CUSTOMER), "get", str(tmp_path / "store"), str(back), "file", *options]
            child = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
            printed, _ = await child.communicate()
            assert printed.decode() == sentence.format(back=back)

    run(story())


def test_an_index_on_a_full_disk_lists_nothing_by_halves(tmp_path: Path, small_disk: list[str]) -> None:
    async def story() -> None:
        async with hosts(tmp_path) as ten:
            source = file_of(tmp_path, 12 * SEGMENT)
            endpoints = [f"{host.asset[0]}={host.host.endpoint}" for host in ten]
            put = [sys.executable, str(CUSTOMER), "put", str(tmp_path / "disk"), str(source), "file"]
            keep = ["sh", "-c", '"$@"; rm "$0/filler"; cp -r "$0" "$0-kept"', str(tmp_path / "disk")]
            child = await asyncio.create_subprocess_exec(*small_disk, *keep, *put, "--fill", *endpoints, stdout=subprocess.PIPE)
            printed, _ = await child.communicate()
            assert re.match(r"NoRoom: .*index.sqlite cannot be written: (database or disk is full|disk I/O error)\n", printed.decode())
            async with Store(tmp_path / "disk-kept", passes, patience=QUICK) as store:
                assert store.ls() == []
                assert await store.sweep() == ()
                assert [len(host.pieces) for host in ten] == [0] * 10

    run(story())


# Places in signed sets


def test_only_proven_places_count(tmp_path: Path) -> None:
    async def story() -> None:
        async with hosts(tmp_path) as ten, store_in(tmp_path) as store:
            await store.put(file_of(tmp_path, 3 * SEGMENT), "file", named(ten))
            await store.put(file_of(tmp_path, 1), "other", named(ten))
            nothing = await store.verify_places("file", {host.asset: (bytes(32), 1) for host in ten})
            assert (nothing.kib, nothing.faults) == ({host.asset: 0 for host in ten}, ())
            sets = {host.asset: host.sign() for host in ten}
            proven = await store.verify_places("file", sets)
            assert (proven.kib, proven.faults) == ({host.asset: 768 for host in ten}, ())
            assert store.proven(sets) == {host.asset: 768 for host in ten}
            assert (await store.verify_places("other", sets)).kib == {host.asset: 256 for host in ten}
            assert store.proven(sets) == store.usage() == {host.asset: 1024 for host in ten}

            # A set that is not the public one, of another size, or of nobody we know, proves nothing.
            root, slots = sets[ten[0].asset]
            wrong = {ten[0].asset: (root, slots - 1), ten[1].asset: (root, slots), bytes(32): (root, slots)}
            assert store.proven(wrong) == {ten[0].asset: 0, ten[1].asset: 0, bytes(32): 0}

            # What was proven before the host signed its next set counts until that one is final.
            await store.put(file_of(tmp_path, 1), "third", named(ten))
            later = {host.asset: host.sign() for host in ten}
            assert (await store.verify_places("file", later)).kib == {host.asset: 768 for host in ten}
            assert store.proven(sets, "file") == {host.asset: 768 for host in ten}
            await store.rm("file")
            assert store.proven(sets) == {host.asset: 256 for host in ten}

    run(story())


def test_a_place_that_is_proven_is_not_asked_for_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with hosts(tmp_path, 1) as (one,), store_in(tmp_path, code=Code(1, 1)) as store:
            await store.put(file_of(tmp_path, 5 * Code(1, 1).segment_bytes), "file", [one.host])
            one.sign()
            await store.ask_places("file")
            assert len([each for each in one.requests if each.endswith("/place")]) == 5
            one.requests.clear()
            assert (await store.verify_places("file", {one.asset: one.sign()})).kib == {one.asset: 1280}
            assert len(one.requests) == 1

    run(story())


def test_hosts_that_cannot_show_a_place_are_named(tmp_path: Path) -> None:
    async def story() -> None:
        async with hosts(tmp_path) as ten, store_in(tmp_path) as store:
            await store.put(file_of(tmp_path, 2 * SEGMENT), "file", named(ten))
            sets = {host.asset: host.sign() for host in ten}
            await ten[0].down()
            ten[1].forge = True
            ten[2].refuse = True
            proven = await store.verify_places("file", sets)
            assert faults_of(proven.faults) == {1: Cause.UNREACHABLE, 2: Cause.TAMPERED, 3: Cause.REFUSED}
            assert list(proven.kib.values()) == [0, 0, 0, *[512] * 7]
            assert "does not lead to slot 0 of 2" in str(proven.faults[1])

    run(story())
