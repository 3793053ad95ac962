"""The folder of a host: what it promises of disks that are full, processes that are killed, and sets that were signed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from storage_sets import levels, named, piece
from village import VillageDesk, a_house

from subak.kinds.storage.host.config import kib_of, read_table, storage_table
from subak.kinds.storage.host.index import DiskFailed, Full
from subak.kinds.storage.host.store import Store, StoreRefused
from subak.kinds.storage.rules import tree

MINE, YOURS = named("mine"), named("yours")


def root(name: str) -> bytes:
    return levels(name)[-1][0]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "disk", 8 * 256)
    yield store
    store.close()


def put(store: Store, names: str, lane: bytes = MINE) -> list[int]:
    return [store.put(root(name), piece(name), lane)[0] for name in names]


def files(store: Store) -> set[str]:
    return {path.name for path in store.folder.glob("pieces/??/*")}


def sign(store: Store, unix_s: int) -> int:
    signed = store.sign(unix_s)
    assert signed is not None
    return signed[0].number


def test_slots_are_stable_and_the_lowest_free_one_is_used_again(store: Store) -> None:
    assert put(store, "abcd") == [0, 1, 2, 3]
    assert store.delete(root("c"), MINE)
    assert store.delete(root("a"), MINE)
    assert put(store, "bd") == [1, 3]
    assert put(store, "efa") == [0, 2, 4]
    folder = store.folder
    store.delete(root("e"), MINE)
    store.close()
    again = Store(folder, 8 * 256)
    assert put(again, "bfda") == [1, 2, 3, 4]
    assert put(again, "gh") == [0, 5]
    assert again.counts() == (6, 6)
    again.close()


def test_every_signed_set_can_be_shown_until_it_is_forgotten(store: Store) -> None:
    put(store, "abc")
    first = sign(store, 100)
    assert store.sign(200) is None
    store.delete(root("b"), MINE)
    put(store, "d")
    put(store, "a", YOURS)
    second = sign(store, 200)
    for name in "acd":
        store.delete(root(name), MINE)
    store.delete(root("a"), YOURS)
    third = sign(store, 300)
    assert [(signed.number, signed.unix_s, signed.pieces) for signed, _ in store.sets()] == [
        (first, 100, 3),
        (second, 200, 3),
        (third, 300, 0),
    ]
    for number, names in ((first, "abc"), (second, "adc")):
        built = store.tree(number)
        assert built.root == tree.set_root([root(name) for name in names])
        leaves = range(0, 768, 50)
        proofs = store.proofs(number, leaves)
        assert sorted(proofs) == list(leaves)
        assert all(tree.check_path(leaf, index, 3, path, built.root) for index, (leaf, path) in proofs.items())
        assert [store.slot_in(number, root(name)) for name in names] == [0, 1, 2]
    assert store.held(first) == {MINE: 3}
    assert store.held(second) == {MINE: 3, YOURS: 1}
    assert store.held(third) == {}
    assert store.tree(third).root == tree.EMPTY

    assert store.counts() == (0, 4)
    store.forget_before(second)
    assert files(store) == {root(name).hex() for name in "acd"}
    store.forget_before(third)
    assert files(store) == set()
    assert store.counts() == (0, 0)
    assert [signed.number for signed, _ in store.sets()] == [third]


def test_a_piece_that_comes_back_while_it_leaves_is_kept(store: Store) -> None:
    put(store, "ab")
    sign(store, 100)
    store.delete(root("a"), MINE)
    number = sign(store, 200)
    put(store, "a")
    assert store.counts() == (2, 2)
    store.forget_before(number)
    assert store.get(root("a")) == piece("a")
    newest = sign(store, 300)
    assert store.tree(newest).root == tree.set_root([root("a"), root("b")])
    store.forget_before(newest)
    assert store.get(root("a")) == piece("a")


def test_the_times_of_sets_never_meet(store: Store) -> None:
    put(store, "a")
    sign(store, 100)
    put(store, "b")
    sign(store, 100)
    put(store, "c")
    sign(store, 50)
    assert [signed.unix_s for signed, _ in store.sets()] == [100, 101, 102]


def test_a_set_that_was_signed_and_not_posted_is_remembered(store: Store) -> None:
    put(store, "a")
    number = sign(store, 100)
    folder = store.folder
    store.close()
    again = Store(folder, 8 * 256)
    assert [(signed.number, posted) for signed, posted in again.sets()] == [(number, False)]
    again.posted(number)
    assert again.sets()[0][1]
    assert again.sign(200) is None
    put(again, "b")
    assert sign(again, 200) > number
    again.close()


def test_pieces_on_their_way_out_still_take_room(store: Store) -> None:
    put(store, "abcdefgh")
    number = sign(store, 100)
    store.delete(root("a"), MINE)
    with pytest.raises(Full, match=r"8 pieces are kept, at most 8; 1 of them go when a newer set has been settled"):
        put(store, "x")
    assert put(store, "a") == [0]
    store.delete(root("a"), MINE)
    newer = sign(store, 200)
    assert newer > number
    store.forget_before(newer)
    assert put(store, "x") == [0]
    assert list((store.folder / "incoming").iterdir()) == []


def test_many_threads_put_at_once(tmp_path: Path) -> None:
    """Puts share syncs; each of them keeps its own promise, those that find no room too."""
    store = Store(tmp_path / "disk", 20 * 256)
    names = [f"many {number}" for number in range(24)]
    for name in names:
        levels(name)
    slots: dict[str, int] = {}
    full: list[str] = []

    def work(mine: list[str]) -> None:
        for name in mine:
            try:
                slots[name], is_new = store.put(root(name), piece(name), MINE)
                assert is_new
            except Full:
                full.append(name)

    threads = [threading.Thread(target=work, args=(names[at::6],)) for at in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(slots.values()) == list(range(20))
    assert len(full) == 4
    assert all(store.get(root(name)) == piece(name) for name in slots)
    assert not any(store.has(root(name)) for name in full)
    assert store.counts() == (20, 20)
    assert len(files(store)) == 20
    store.close()


def test_what_was_never_acknowledged_is_cleared(store: Store) -> None:
    put(store, "a")
    folder = store.folder
    store.close()
    (folder / "incoming" / "half").write_bytes(b"half")
    stray = folder / "pieces" / root("b").hex()[:2] / root("b").hex()
    stray.write_bytes(piece("b"))
    again = Store(folder, 8 * 256)
    assert not stray.exists()
    assert list((folder / "incoming").iterdir()) == []
    assert again.get(root("a")) == piece("a")
    again.close()


def test_pieces_without_an_index_are_not_thrown_away(store: Store) -> None:
    put(store, "a")
    folder = store.folder
    store.close()
    for path in folder.glob("index.sqlite*"):
        path.rename(folder / f"moved-{path.name}")
    with pytest.raises(StoreRefused, match=r"has pieces, but index\.sqlite is gone"):
        Store(folder, 8 * 256)
    assert len(list(folder.glob("pieces/??/*"))) == 1
    for path in folder.glob("moved-*"):
        path.rename(folder / path.name.removeprefix("moved-"))
    again = Store(folder, 8 * 256)
    assert again.get(root("a")) == piece("a")
    again.close()


def test_a_piece_that_is_gone_is_said_when_the_folder_is_opened(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    put(store, "ab")
    folder = store.folder
    store.close()
    (path,) = folder.glob(f"pieces/??/{root('a').hex()}")
    path.unlink()
    again = Store(folder, 8 * 256)
    assert f"piece {root('a').hex()} is gone from the disk" in caplog.text
    with pytest.raises(DiskFailed):
        again.get(root("a"))
    assert again.put(root("a"), piece("a"), MINE) == (0, False)
    assert again.get(root("a")) == piece("a")
    assert again.counts() == (2, 2)
    again.close()


FILLS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from storage_sets import levels, named, piece
from subak.kinds.storage.host.store import Full, Store
store = Store(Path(sys.argv[1]), 1 << 20)
kept, full = [], 0
for number in range(40):
    name = f"filling {number}"
    try:
        store.put(levels(name)[-1][0], piece(name), named("mine"))
        kept.append(name)
    except Full as error:
        assert "the disk has no room" in str(error), error
        full += 1
assert full and len(kept) > 3, (kept, full)
assert all(store.get(levels(name)[-1][0]) == piece(name) for name in kept)
assert store.counts() == (len(kept), len(kept))
assert len(list(store.folder.glob("pieces/??/*"))) == len(kept)
assert not list((store.folder / "incoming").iterdir())
assert store.delete(levels(kept[0])[-1][0], named("mine"))
assert store.put(levels("one more")[-1][0], piece("one more"), named("mine")) == (0, True)
store.close()
store = Store(Path(sys.argv[1]), 1 << 20)
assert all(store.get(levels(name)[-1][0]) == piece(name) for name in [*kept[1:], "one more"])
print("kept", len(kept), "refused", full)
"""


def test_a_disk_without_room_costs_only_what_did_not_fit(tmp_path: Path) -> None:
    """A file system of 4 MiB, filled to the last block."""
    disk = tmp_path / "disk"
    disk.mkdir()
    small = ["unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o size=4m none {disk} && exec "$@"', "sh"]
    if subprocess.run([*small, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody mount a small file system")
    fills = [sys.executable, "-c", FILLS, str(disk), str(Path(__file__).parent)]
    ended = subprocess.run([*small, *fills], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("kept ")


SERVES = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from subak.kinds.storage.host.worker import from_table
from village import VillageDesk, a_table

class Open(VillageDesk):
    async def admit(self, lane, until_unix_s, signature):
        return None

async def main():
    desk, worker = Open(), from_table(a_table(Path(sys.argv[1])))
    running = asyncio.create_task(worker.run(desk))
    await desk.when(lambda: running.done() or desk.idle())
    print(worker.port, flush=True)
    await running

asyncio.run(main())
"""


@pytest.mark.parametrize("acknowledged_before", [1, 9, 23])
def test_nothing_acknowledged_is_lost_when_the_host_is_killed(tmp_path: Path, acknowledged_before: int) -> None:
    """SIGKILL while pieces are on their way, from several connections at once."""
    names = [f"killed {number}" for number in range(40)]
    for name in names:
        levels(name)
    disk = tmp_path / "disk"
    host = subprocess.Popen(
        [sys.executable, "-c", SERVES, str(disk), str(Path(__file__).parent)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert host.stdout is not None
    port = host.stdout.readline().strip()
    assert port, host.communicate()[1]
    acknowledged: dict[str, int] = {}

    async def customers() -> None:
        desk = VillageDesk()
        headers = desk.lane("mine").headers(desk.asset)
        waiting = list(reversed(names))

        async def customer(client: httpx.AsyncClient) -> None:
            while waiting:
                name = waiting.pop()
                put = await client.put(f"/v1/pieces/{root(name).hex()}", content=piece(name), headers=headers)
                assert put.status_code == 201
                acknowledged[name] = put.json()["slot"]
                if len(acknowledged) == acknowledged_before:
                    os.kill(host.pid, signal.SIGKILL)

        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            ends = await asyncio.gather(*(customer(client) for _ in range(6)), return_exceptions=True)
        assert [end for end in ends if not isinstance(end, httpx.TransportError)] == []

    asyncio.run(customers())
    assert host.wait(10) == -signal.SIGKILL
    host.communicate()
    assert acknowledged_before <= len(acknowledged) < len(names)

    async def after() -> None:
        async with a_house(disk) as house:
            mine = house.desk.lane("mine")
            for name, slot in acknowledged.items():
                assert (await house.get(mine, root(name))).content == piece(name)
                assert (await house.put(mine, root(name), piece(name))).json()["slot"] == slot
            there = [name for name in names if (await house.get(mine, root(name))).status_code == 200]
            assert len(list(disk.glob("pieces/??/*"))) == len(there)
            # What was kept and not acknowledged is whole, too.
            for name in names:
                assert (await house.put(mine, root(name), piece(name))).status_code in (200, 201)
                assert (await house.get(mine, root(name))).content == piece(name)
            assert list((disk / "incoming").iterdir()) == []

    asyncio.run(after())


@pytest.mark.parametrize(
    ("size", "kib"),
    [("20GB", 19_531_250), ("16GiB", 1 << 24), ("256KiB", 256), ("1 MiB", 1024), ("263kB", None), ("4TiB", 1 << 32), ("4TB", 3906250000)],
)
def test_a_size_in_kib(size: str, kib: int | None) -> None:
    if kib is None:
        with pytest.raises(ValueError, match="takes a whole number and one of KB"):
            kib_of(size)
    else:
        assert kib_of(size) == kib


@pytest.mark.parametrize("size", ["", "20", "GB", "-1GB", "1.5GB", "20 gb", "255KiB", "0GB", "5TiB", "9" * 13 + "GB", "٣GB"])
def test_a_size_that_is_none(size: str) -> None:
    with pytest.raises(ValueError, match="size is"):
        kib_of(size)


def test_the_table_of_a_folder(tmp_path: Path) -> None:
    table = storage_table(tmp_path / "new" / "disk", "1MiB", endpoint="https://example.org/storage", price=5, per_units=7)
    assert table == {
        "path": str(tmp_path / "new" / "disk"),
        "size": "1MiB",
        "endpoint": "https://example.org/storage",
        "listen": "0.0.0.0:7460",
        "price": 5,
        "per_units": 7,
    }
    assert Path(table["path"]).is_dir()
    assert read_table(table).listen_on() == ("0.0.0.0", 7460)  # noqa: S104
    assert read_table({**table, "listen": "[::1]:0"}).listen_on() == ("::1", 0)


def test_a_disk_that_is_too_small_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has room for \d+ MiB, 4TiB needs 42\d+ MiB: name a smaller size or another path"):
        storage_table(tmp_path, "4TiB", endpoint="http://127.0.0.1:7460")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"path": None}, "Expected `str`, got `null` - at `$.path`"),
        ({"sise": "1GB"}, "unknown field `sise`"),
        ({"size": "much"}, "size is 'much'"),
        ({"listen": "7460"}, "takes address:port"),
        ({"listen": "0.0.0.0:70000"}, "takes address:port"),
        ({"endpoint": ""}, "endpoint is ''"),
        ({"endpoint": "ftp://example.org"}, "http or https"),
        ({"endpoint": "http://user@example.org"}, "http or https"),
        ({"endpoint": "http://example.org/?a"}, "http or https"),
        ({"endpoint": "http://exämple.org"}, "http or https"),
        ({"endpoint": "http://" + "a" * 122}, "at most 128 characters"),
        ({"price": -1}, "neither may be negative"),
        ({"per_units": 0}, "nor the units 0"),
    ],
)
def test_a_table_that_does_not_fit_names_the_key(change: dict[str, object], words: str) -> None:
    good = {"path": "disk", "size": "1GB", "endpoint": "http://127.0.0.1:7460"}
    assert read_table(good).price == 4000
    with pytest.raises(ValueError, match="storage: ") as refused:
        read_table({**good, **change})
    assert words in str(refused.value)
    with pytest.raises(ValueError, match="missing required field `size`"):
        read_table({"path": "disk"})
