"""A small host of the storage kind over real sockets, with the faults that a customer meets: dead, silent, full, forgetful, tampering."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from subak.kinds.storage.customer import Host
from subak.kinds.storage.rules.tree import PIECE_BYTES, PIECE_KIB, SetTree, piece_root
from subak.kinds.storage.wire import REASONS, Place, Placed, problem, read_root

_PATH = re.compile(r"/v1/pieces/([0-9a-fx]+)(/place)?")


class SmallHost:
    """Keeps pieces in a folder. Every switch may be thrown while it serves."""

    def __init__(self, number: int, folder: Path) -> None:
        self.asset = bytes([number]) * 32
        self.folder = folder
        self.folder.mkdir(parents=True)
        self.capacity = 1 << 20
        """Pieces it takes."""
        self.refuse = False
        """Admit nobody."""
        self.tamper = False
        """Flip a bit of every piece it gives."""
        self.truncate = False
        """Give the first half of a piece, and say so in content-length."""
        self.forge = False
        """Show places in another tree."""
        self.silent = asyncio.Event()
        """Set: take requests in and answer none."""
        self.drop_next = 0
        """Break the connection at so many requests."""
        self.busy_next = 0
        """Say so many times that it is busy."""
        self.asked = asyncio.Event()
        """A request came."""
        self.stored = asyncio.Event()
        """It has put a piece away."""
        self.idle = asyncio.Event()
        """Nobody is connected."""
        self.requests: list[str] = []
        """Method and path of each."""
        self.signed: SetTree | None = None
        """The set that it signed last."""
        self._slots: list[bytes] = []
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self._port = 0

    @property
    def host(self) -> Host:
        return Host(self.asset, f"http://127.0.0.1:{self._port}")

    @property
    def pieces(self) -> set[bytes]:
        return {bytes.fromhex(path.name) for path in self.folder.iterdir()}

    def sign(self) -> tuple[bytes, int]:
        """The set as it is now: root and slots."""
        self.signed = SetTree(self._slots)
        return self.signed.root, self.signed.pieces

    async def up(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, limit=2 * PIECE_BYTES)
        self._port = self._server.sockets[0].getsockname()[1]

    async def up_again(self) -> None:
        """Up at its address, if it is down."""
        if self._server is None:
            await self.up()

    async def down(self) -> None:
        """Closed for good, established connections too."""
        if self._server:
            self._server.close()
            for writer in list(self._connections):
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        self.idle.clear()
        try:
            while head := await _head(reader):
                method, path, headers = head
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.requests.append(f"{method} {path}")
                self.asked.set()
                if self.silent.is_set():
                    await reader.read()
                    return
                if self.drop_next:
                    self.drop_next -= 1
                    return
                status, answer = self._answer(method, path, headers.get("authorization", ""), body)
                writer.write(f"HTTP/1.1 {status} -\r\ncontent-length: {len(answer)}\r\n\r\n".encode() + answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._connections.discard(writer)
            writer.close()
            if not self._connections:
                self.idle.set()

    def _answer(self, method: str, path: str, authorization: str, body: bytes) -> tuple[int, bytes]:
        named = _PATH.fullmatch(path)
        root = read_root(named[1]) if named else None
        if root is None or named is None:
            return _refused("unknown_path", path)
        if self.refuse or authorization != passes(self.asset, 0):
            return _refused("not_admitted", f"{authorization!r} is not served now")
        if self.busy_next:
            self.busy_next -= 1
            return _refused("busy", "many are here")
        file = self.folder / root.hex()
        if named[2]:
            return self._place(root)
        if method == "PUT":
            return self._put(root, body, file)
        if not file.exists():
            return _refused("unknown_piece", root.hex())
        if method == "DELETE":
            file.unlink()
            return 204, b""
        piece = file.read_bytes()
        if self.tamper:
            piece = piece[:1000] + bytes([piece[1000] ^ 1]) + piece[1001:]
        return 200, piece[: PIECE_BYTES // 2] if self.truncate else piece

    def _put(self, root: bytes, body: bytes, file: Path) -> tuple[int, bytes]:
        if len(body) != PIECE_BYTES:
            return _refused("wrong_size", f"{len(body)} bytes")
        if piece_root(body) != root:
            return _refused("hash_differs", f"these bytes are piece {piece_root(body).hex()}")
        if len(self.pieces) >= self.capacity:
            return _refused("full", f"all {self.capacity * PIECE_KIB} KiB are used")
        file.write_bytes(body)
        self._slots.append(root)
        self.stored.set()
        return 201, msgspec.json.encode(Placed("0x" + root.hex(), len(self._slots) - 1))

    def _place(self, root: bytes) -> tuple[int, bytes]:
        slots = range(self.signed.pieces) if self.signed else range(0)
        slot = next((slot for slot in slots if self.signed and self.signed.slot(slot) == root), None)
        if self.signed is None or slot is None:
            return _refused("not_yet", "the set is not signed yet")
        path = ["0x" + each.hex() for each in self.signed.place_path(slot)]
        if self.forge:
            path[0] = "0x" + bytes(32).hex()
        return 200, msgspec.json.encode(Place("0x" + self.signed.root.hex(), self.signed.pieces, slot, path))


async def _head(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str]] | None:
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
    except asyncio.IncompleteReadError:
        return None
    method, path, _ = lines[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    return method, path, headers


def _refused(reason: str, detail: str) -> tuple[int, bytes]:
    return REASONS[reason][0], msgspec.json.encode(problem(reason, detail))


@asynccontextmanager
async def hosts(folder: Path, count: int = 10) -> AsyncIterator[list[SmallHost]]:
    """So many hosts, each with a folder of its own; taken down at the end."""
    made = [SmallHost(number, folder / f"host-{number}") for number in range(1, count + 1)]
    try:
        for host in made:
            await host.up()
        yield made
    finally:
        for host in made:
            await host.down()


def passes(asset: bytes, now: float) -> str:
    """What ``SmallHost`` takes for a pass."""
    return f"pass for {asset[0]}"
