"""A host of the storage kind: real server, real files, real rules; a network of one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest
from storage_sets import levels, named, piece
from village import CLOCK, House, VillageDesk, a_house, a_table

from subak.core.settlement import OFFER
from subak.kinds.storage import kind
from subak.kinds.storage.host.config import GIB_MONTH
from subak.kinds.storage.host.service import Limits
from subak.kinds.storage.host.store import StoreRefused
from subak.kinds.storage.rules import tree
from subak.kinds.storage.rules.schemas import ANSWER, OFFLINE_EPOCHS, PIECES, PROVEN_EPOCHS, RIGHT_ANSWERS, SET
from subak.kinds.storage.wire import REASONS, Account, Place, Placed, Problem, Status


def root(name: str) -> bytes:
    return levels(name)[-1][0]


def files(house: House) -> set[str]:
    return {path.name for path in house.folder.glob("pieces/??/*")}


def reason(response: httpx.Response) -> str:
    """The reason of a refusal, whose document agrees with its status."""
    told = msgspec.json.decode(response.content, type=Problem)
    assert response.headers["content-type"] == "application/problem+json"
    assert (told.status, told.title) == (response.status_code, REASONS[told.reason][1]) == REASONS[told.reason]
    assert told.detail
    return told.reason


def run(test: object) -> None:
    asyncio.run(test)  # type: ignore[arg-type]


def test_a_piece_is_put_got_and_deleted(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_house(tmp_path / "disk") as house:
            mine = house.desk.lane("mine")
            put = await house.put(mine, root("a"), piece("a"))
            assert (put.status_code, msgspec.json.decode(put.content, type=Placed)) == (201, Placed("0x" + root("a").hex(), 0))
            again = await house.put(mine, root("a"), piece("a"))
            assert (again.status_code, again.json()["slot"]) == (200, 0)
            assert (await house.put(mine, root("b"), piece("b"))).json()["slot"] == 1
            got = await house.get(mine, root("a"))
            assert (got.status_code, got.content, got.headers["content-type"]) == (200, piece("a"), "application/octet-stream")
            status = msgspec.json.decode((await house.client.get("/v1/status")).content, type=Status)
            assert status == Status("0x" + house.desk.asset.hex(), 16384, 512, 2)

            gone = await house.delete(mine, root("a"))
            assert (gone.status_code, gone.content) == (204, b"")
            assert reason(await house.get(mine, root("a"))) == reason(await house.delete(mine, root("a"))) == "unknown_piece"
            assert files(house) == {root("b").hex()}
            assert (await house.put(mine, root("c"), piece("c"))).json()["slot"] == 0

    run(test())


def test_whoever_put_a_piece_may_delete_it_and_only_for_itself(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_house(tmp_path / "disk") as house:
            mine, yours = house.desk.lane("mine"), house.desk.lane("yours")
            assert (await house.put(mine, root("a"), piece("a"))).status_code == 201
            refused = await house.delete(yours, root("a"))
            assert (refused.status_code, reason(refused)) == (403, "other_lane")
            assert (await house.put(yours, root("a"), piece("a"))).status_code == 200
            assert (await house.delete(mine, root("a"))).status_code == 204
            assert (await house.get(yours, root("a"))).content == piece("a")
            assert reason(await house.delete(mine, root("a"))) == "other_lane"
            assert (await house.delete(yours, root("a"))).status_code == 204
            assert files(house) == set()

    run(test())


def test_only_admitted_lanes_are_served(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_house(tmp_path / "disk") as house:
            mine = house.desk.lane("mine")
            await house.put(mine, root("a"), piece("a"))
            good = mine.headers(house.desk.asset)["authorization"]
            passes = {
                "no pass": {},
                "of another scheme": {"authorization": "Bearer 1"},
                "with capitals": {"authorization": good.upper()},
                "with a tail": {"authorization": good + "0"},
                "of an unknown lane": house.desk.lane("unknown", known=False).headers(house.desk.asset),
                "that ended": mine.headers(house.desk.asset, int(house.desk.now())),
                "for another host": mine.headers(named("another host")),
            }
            path = f"/v1/pieces/{root('a').hex()}"
            for what, headers in passes.items():
                for method, where, content in (
                    ("PUT", path, piece("a")),
                    ("GET", path, None),
                    ("DELETE", path, None),
                    ("GET", path + "/place", None),
                    ("GET", "/v1/account", None),
                ):
                    refused = await house.client.request(method, where, content=content, headers=headers)
                    assert (refused.status_code, reason(refused)) == (402, "not_admitted"), what
            assert (await house.client.get("/v1/status")).status_code == 200
            account = await house.client.get("/v1/account", headers=mine.headers(house.desk.asset))
            assert msgspec.json.decode(account.content, type=Account) == Account(0, 0, 0, 1000)

    run(test())


def test_requests_that_do_not_fit_are_refused_in_words(tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield piece("a")

    async def test() -> None:
        async with a_house(tmp_path / "disk") as house:
            headers = house.desk.lane("mine").headers(house.desk.asset)
            path = f"/v1/pieces/{root('a').hex()}"

            async def refused(method: str, where: str, **more: object) -> str:
                return reason(await house.client.request(method, where, headers=headers, **more))  # type: ignore[arg-type]

            assert await refused("PUT", path, content=piece("b")) == "hash_differs"
            assert await refused("PUT", path, content=piece("a")[1:]) == "wrong_size"
            assert await refused("PUT", path, content=piece("a") + b"!") == "wrong_size"
            assert await refused("PUT", path, content=b"") == "wrong_size"
            assert await refused("PUT", path, content=chunks()) == "length_required"
            assert await refused("PUT", path[:-1], content=piece("a")) == "bad_request"
            assert await refused("PUT", path + "/..%2f..%2fetc", content=piece("a")) == "unknown_path"
            assert await refused("GET", "/v1/pieces/../../etc/passwd") == "unknown_path"
            assert await refused("GET", "/v1/pieces/" + "zz" * 32) == "bad_request"
            assert await refused("GET", path) == "unknown_piece"
            assert await refused("GET", path + "/place") == "unknown_piece"
            assert await refused("POST", path, content=b"1") == "wrong_method"
            assert await refused("PUT", "/v1/status", content=b"1") == "wrong_method"
            assert await refused("GET", "/") == "unknown_path"
            compressed = {**headers, "content-encoding": "gzip"}
            assert reason(await house.client.put(path, content=piece("a"), headers=compressed)) == "bad_request"
            assert files(house) == set()
            assert (await house.client.put("/v1/pieces/0x" + root("a").hex(), content=piece("a"), headers=headers)).status_code == 201

    run(test())


def test_a_larger_body_is_refused_before_it_is_read(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_house(tmp_path / "disk") as house:
            headers = house.desk.lane("mine").headers(house.desk.asset)
            for length in (1 << 21, 1 << 40):
                answer = await _half_a_put(house, headers, length, b"")
                assert b"wrong_size" in answer
                assert b"connection: close" in answer
            assert (await _half_a_put(house, headers, 10**30, b"")).startswith(b"HTTP/1.1 4")

    run(test())


def test_a_slow_body_is_given_up(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_house(tmp_path / "disk", limits=Limits(body_seconds=0.1)) as house:
            headers = house.desk.lane("mine").headers(house.desk.asset)
            answer = await _half_a_put(house, headers, tree.PIECE_BYTES, piece("a")[:1000])
            assert answer.startswith(b"HTTP/1.1 408")
            assert b"1000 bytes came" in answer
            assert list((house.folder / "incoming").iterdir()) == []

    run(test())


def test_too_many_pieces_at_once_are_asked_to_come_again(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_house(tmp_path / "disk", limits=Limits(bodies=1)) as house:
            mine = house.desk.lane("mine")
            reader, writer = await _begin_put(house, mine.headers(house.desk.asset), tree.PIECE_BYTES)
            writer.write(piece("a")[:1000])
            # Its body counts once the service reads it; until then the other one is simply taken.
            async with asyncio.timeout(10):
                while (busy := await house.put(mine, root("b"), piece("b"))).status_code != 503:
                    assert busy.status_code in (200, 201)
            assert (reason(busy), busy.headers["retry-after"]) == ("busy", "1")
            writer.write(piece("a")[1000:])
            assert (await reader.readline()).startswith(b"HTTP/1.1 201")
            writer.close()
            assert (await house.put(mine, root("c"), piece("c"))).status_code == 201

    run(test())


def test_what_does_not_fit_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_house(tmp_path / "disk", size="1MiB") as house:
            mine = house.desk.lane("mine")
            names = ["a", "b", "c", "d", "e", "f"]
            puts = await asyncio.gather(*(house.put(mine, root(name), piece(name)) for name in names))
            kept = {name for name, put in zip(names, puts, strict=True) if put.status_code == 201}
            assert len(kept) == 4
            assert {reason(put) for put in puts if put.status_code == 507} == {"full"}
            assert sorted(put.json()["slot"] for put in puts if put.status_code == 201) == [0, 1, 2, 3]
            for name in kept:
                assert (await house.get(mine, root(name))).content == piece(name)
            again = min(kept)
            assert (await house.put(mine, root(again), piece(again))).status_code == 200
            await house.delete(mine, root(again))
            assert (await house.put(mine, root("x"), piece("x"))).status_code == 201

    run(test())


def test_epochs_in_which_pieces_come_and_go_are_all_proven(tmp_path: Path) -> None:
    """Answers are about the set before, which the host must still be able to show when its pieces were deleted."""

    async def test() -> None:
        async with a_house(tmp_path / "disk", price=1000, per_units=1024) as house:
            desk, mine, yours = house.desk, house.desk.lane("mine"), house.desk.lane("yours")
            for name in "abc":
                await house.put(mine, root(name), piece(name))
            await house.put(yours, root("c"), piece("c"))
            assert desk.posted == []
            assert reason(await house.place(mine, root("a"))) == "not_yet"

            await house.epoch(0)
            offer, first = desk.posted
            assert (offer.schema, first.schema) == (OFFER, SET)
            price, per_units, capacity, valid_until, endpoint = offer.rows[0]
            assert (price, per_units, capacity, endpoint.rstrip(b"\0")) == (1000, 1024, 16384, b"http://127.0.0.1:7460")
            assert valid_until > CLOCK.first_unix_s(24)
            assert first.rows == [(tree.set_root([root(name) for name in "abc"]), 3)]
            assert first.interval_seconds == 0
            await _check_place(house, "b", 3)

            await house.epoch(1)
            assert desk.carried(PIECES) == 3
            assert len(desk.rows(ANSWER)[0].rows) == 10
            assert desk.owed == {mine.id: 3 * 256 * 1000 // 1024, yours.id: 256 * 1000 // 1024}
            for name in "ab":
                await house.delete(mine, root(name))
            assert reason(await house.place(mine, root("d"))) == "unknown_piece"
            await house.put(mine, root("d"), piece("d"))
            assert files(house) == {root(name).hex() for name in "abcd"}
            await house.last_call(1)
            assert desk.rows(SET)[-1].rows == [(tree.set_root([root("d"), tree.EMPTY, root("c")]), 3)]

            # The tasks of epoch 2 are about the set with a slot that is empty, those of epoch 1 were not.
            await house.epoch(2)
            assert desk.earned(1) == 3 * 256
            assert files(house) == {root(name).hex() for name in "cd"}
            await house.delete(yours, root("c"))
            await house.delete(mine, root("c"))
            await house.delete(mine, root("d"))
            await house.put(mine, root("e"), piece("e"))
            await house.last_call(2)
            await house.epoch(3)
            assert 0 < desk.earned(2) < 3 * 256
            assert files(house) == {root("e").hex()}
            assert reason(await house.get(mine, root("d"))) == "unknown_piece"
            await house.epoch(4)
            assert desk.earned(3) == 256
            assert (desk.carried(PROVEN_EPOCHS), desk.carried(RIGHT_ANSWERS), desk.carried(OFFLINE_EPOCHS)) == (3, 30, 0)
            # Nothing changed in the last epochs, so nothing new was signed.
            assert len(desk.rows(SET)) == 3
            assert len(desk.rows(OFFER)) == 1

    run(test())


async def _check_place(house: House, name: str, pieces: int) -> None:
    place = msgspec.json.decode((await house.place(house.desk.lane("mine"), root(name))).content, type=Place)
    path = [bytes.fromhex(each[2:]) for each in place.path]
    assert place.pieces == pieces
    assert "0x" + house.desk.rows(SET)[-1].rows[0][0].hex() == place.set_root
    assert tree.check_place(root(name), place.slot, place.pieces, path, bytes.fromhex(place.set_root[2:]))


def test_a_host_that_was_restarted_goes_on(tmp_path: Path) -> None:
    async def test() -> None:
        desk = VillageDesk()
        mine = desk.lane("mine")
        async with a_house(tmp_path / "disk", desk) as house:
            for name in "abc":
                await house.put(mine, root(name), piece(name))
            await house.epoch(0)
            await house.delete(mine, root("b"))
            await house.last_call(0)
            await house.put(mine, root("d"), piece("d"))
        async with a_house(tmp_path / "disk", desk) as house:
            place = (await house.client.get(f"/v1/pieces/{root('c').hex()}/place", headers=mine.headers(desk.asset))).json()
            assert (place["slot"], place["pieces"]) == (2, 3)
            await house.epoch(1)
            assert desk.carried(PIECES) == 3
        async with a_house(tmp_path / "disk", desk) as house:
            await house.epoch(2)
            assert desk.earned(1) == 3 * 256
            assert len(desk.rows(ANSWER)) == 2
            assert (await house.put(mine, root("e"), piece("e"))).json()["slot"] == 3
        assert len(desk.rows(OFFER)) == 1

    run(test())


def test_a_set_that_no_book_listed_is_signed_again(tmp_path: Path) -> None:
    """A host that was unknown, or cut off for days, comes into force once it is heard."""

    async def test() -> None:
        async with a_house(tmp_path / "disk") as house:
            desk = house.desk
            desk.lost = {SET}
            await house.put(desk.lane("mine"), root("a"), piece("a"))
            for epoch in range(5):
                await house.epoch(epoch)
            assert len(desk.rows(SET)) == 2
            desk.lost = set()
            for epoch in range(5, 9):
                await house.epoch(epoch)
            assert desk.carried(PIECES) == 1
            assert desk.carried(OFFLINE_EPOCHS) == 0
            signed = [each.start_unix_s for each in desk.rows(SET)]
            assert signed == sorted(set(signed))
            before = len(signed)
            for epoch in range(9, 14):
                await house.epoch(epoch)
            assert len(desk.rows(SET)) == before

    run(test())


def test_a_piece_that_changed_on_the_disk_is_said_and_not_answered_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with a_house(tmp_path / "disk") as house:
            desk, mine = house.desk, house.desk.lane("mine")
            for name in "ab":
                await house.put(mine, root(name), piece(name))
            await house.epoch(0)
            (path,) = house.folder.glob(f"pieces/??/{root('a').hex()}")
            path.write_bytes(piece("a")[:-1] + b"!")
            with caplog.at_level(logging.ERROR):
                await house.epoch(1)
            assert f"piece {root('a').hex()} in slot 0 cannot be shown: its bytes have changed" in caplog.text
            assert "tasks could not be answered, so it is not paid" in caplog.text
            assert desk.owed == {}

            path.unlink()
            assert reason(await house.get(mine, root("a"))) == "disk_failed"
            assert (await house.put(mine, root("a"), piece("a"))).status_code == 200
            assert (await house.get(mine, root("a"))).content == piece("a")
            await house.epoch(2)
            await house.epoch(3)
            assert (desk.earned(1), desk.earned(2)) == (0, 512)

    run(test())


def test_answers_are_cut_into_entries_of_128_rows(tmp_path: Path) -> None:
    async def test() -> None:
        desk = VillageDesk(clock=msgspec.structs.replace(CLOCK, epoch_seconds=2 * 86_400))
        async with a_house(tmp_path / "disk", desk) as house:
            await house.put(desk.lane("mine"), root("a"), piece("a"))
            await house.epoch(0)
            await house.epoch(1)
            assert [len(each.rows) for each in desk.rows(ANSWER)] == [128, 128, 128, 96]
            await house.epoch(2)
            assert desk.earned(1) == 48 * 256

    run(test())


def test_an_offer_is_renewed_in_time_and_when_the_terms_change(tmp_path: Path) -> None:
    async def test() -> None:
        desk = VillageDesk(clock=msgspec.structs.replace(CLOCK, epoch_seconds=86_400))
        async with a_house(tmp_path / "disk", desk) as house:
            for day in range(17):
                await house.epoch(day)
        first, second = (each.start_unix_s for each in desk.rows(OFFER))
        assert (second - first) // 86_400 == 15
        async with a_house(tmp_path / "disk", desk, price=1) as house:
            assert [each.rows[0][:2] for each in desk.rows(OFFER)][1:] == [(4000, GIB_MONTH), (1, GIB_MONTH)]

    run(test())


def test_two_processes_never_serve_one_folder(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_house(tmp_path / "disk"):
            with pytest.raises(StoreRefused, match="served by another process"):
                async with a_house(tmp_path / "disk"):
                    pass

    run(test())


def test_the_kind_gives_a_worker() -> None:
    assert kind.host is not None
    worker = kind.host(a_table(Path("/tmp")))  # noqa: S108
    assert callable(worker.run)  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="unknown field `sise`"):
        kind.host({**a_table(Path("/tmp")), "sise": "1GB"})  # noqa: S108


async def _begin_put(house: House, headers: dict[str, str], length: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.worker.port)
    head = f"PUT /v1/pieces/{root('a').hex()} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n"
    writer.write((head + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n").encode())
    return reader, writer


async def _half_a_put(house: House, headers: dict[str, str], length: int, body: bytes) -> bytes:
    """The whole answer to a put whose body never ends."""
    reader, writer = await _begin_put(house, headers, length)
    writer.write(body)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer
