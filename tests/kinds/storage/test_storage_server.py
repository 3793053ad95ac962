"""HTTP as clients may speak it: byte for byte over a socket, to a host that runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from storage_sets import levels, piece
from village import House, a_house

from subak.kinds.storage.rules import tree

STATUS = b"GET /v1/status HTTP/1.1\r\nhost: h\r\n\r\n"


async def told(house: House, *parts: bytes, ends: bool = True) -> bytes:
    """All that comes back until the host ends the connection; ``ends``: after the client said that nothing more comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.worker.port)
    for part in parts:
        writer.write(part)
        await writer.drain()
    if ends:
        writer.write_eof()
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    return answer


def a_put(house: House, name: str, **more: str) -> bytes:
    given = {"host": "h", "content-length": str(tree.PIECE_BYTES), **house.desk.lane("mine").headers(house.desk.asset), **more}
    lines = [f"PUT /v1/pieces/{levels(name)[-1][0].hex()} HTTP/1.1", *(f"{key}: {value}" for key, value in given.items()), "", ""]
    return "\r\n".join(lines).encode()


def test_requests_in_one_go_are_answered_in_their_order(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_house(tmp_path / "disk") as house:
            wrong = a_put(house, "b", **{"content-length": "5"}) + b"GET /"
            whole = STATUS + a_put(house, "a") + piece("a") + wrong + STATUS + a_put(house, "b") + piece("b") + STATUS
            for step in (len(whole), 16_384, 60_001):
                parts = [whole[at : at + step] for at in range(0, len(whole), step)]
                lines = [line for line in (await told(house, *parts)).split(b"\r\n") if b"HTTP/1.1" in line]
                statuses = [int(line.split(b"HTTP/1.1 ")[1][:3]) for line in lines]
                assert statuses in ([200, 201, 413, 200, 201, 200], [200, 200, 413, 200, 200, 200])
            # Whatever parts it came in, it is the piece.
            mine = house.desk.lane("mine")
            assert (await house.get(mine, levels("b")[-1][0])).content == piece("b")

    asyncio.run(test())


HEADS = {
    "no HTTP": (b"hello\r\n\r\n", 400),
    "two lengths": (b"PUT /v1/pieces/00 HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n", 400),
    "length and chunks": (b"PUT /v1/pieces/00 HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n", 400),
    "a length without end": (b"PUT /v1/pieces/00 HTTP/1.1\r\ncontent-length: 1" + b"0" * 30 + b"\r\n\r\n", 400),
    "a length of 17 digits": (b"POST /v1/status HTTP/1.1\r\ncontent-length: 1" + b"0" * 16 + b"\r\n\r\n" + STATUS, 405),
    "bare line ends": (b"GET /v1/status HTTP/1.1\n\n" + STATUS, 400),
    "a blank before the colon": (b"GET /v1/status HTTP/1.1\r\nhost : h\r\n\r\n", 400),
    "no path": (b"CONNECT h:1 HTTP/1.1\r\nhost: h\r\n\r\n" + STATUS, 400),
    "a head without end": (b"GET /v1/status HTTP/1.1\r\nx: " + b"y" * 20_000, 431),
    "many headers": (b"GET /v1/status HTTP/1.1\r\n" + b"x: y\r\n" * 4000 + b"\r\n", 431),
    "chunks": (b"POST /v1/status HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n" + STATUS, 405),
    "an older client": (b"GET /v1/status HTTP/1.0\r\n\r\n" + STATUS, 200),
    "its last request": (b"GET /v1/status HTTP/1.1\r\nconnection: close\r\n\r\n" + STATUS, 200),
    "only the head": (b"HEAD /v1/status HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", 405),
}


@pytest.mark.parametrize("name", HEADS)
def test_one_answer_and_the_connection_ends(tmp_path: Path, name: str) -> None:
    """Nothing behind such a head is taken for another request."""
    asked, status = HEADS[name]

    async def test() -> None:
        async with a_house(tmp_path / "disk") as house:
            answer = await told(house, asked)
            assert answer.startswith(b"HTTP/1.1 %d " % status)
            assert answer.count(b"HTTP/1.1") == 1
            assert b"connection: close" in answer
            assert (name != "only the head") or answer.endswith(b"\r\n\r\n")
            assert (await house.client.get("/v1/status")).status_code == 200

    asyncio.run(test())


def test_a_client_that_waits_to_be_told_to_go_on(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_house(tmp_path / "disk") as house:
            reader, writer = await asyncio.open_connection("127.0.0.1", house.worker.port)
            writer.write(a_put(house, "a", expect="100-continue"))
            async with asyncio.timeout(20):
                assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
                writer.write(piece("a"))
                assert (await reader.readline()).startswith(b"HTTP/1.1 201")
            writer.close()
            refused = await told(house, a_put(house, "b", expect="100-continue", authorization="none"), ends=False)
            assert refused.startswith(b"HTTP/1.1 402")
            assert b"connection: close" in refused

    asyncio.run(test())


def test_a_client_that_leaves_in_the_middle_costs_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_house(tmp_path / "disk") as house:
            assert await told(house, a_put(house, "a") + piece("a")[:200_000]) == b""
            assert await told(house, STATUS[:-3]) == b""
            assert await told(house) == b""
            # One that has said all is still answered.
            assert (await told(house, a_put(house, "a") + piece("a"))).startswith(b"HTTP/1.1 201")
            assert [path.name for path in (tmp_path / "disk").glob("pieces/??/*")] == [levels("a")[-1][0].hex()]

    asyncio.run(test())
