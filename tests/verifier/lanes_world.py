"""A clerk with lanes, the customers that sign on them, and the clerk's HTTP face under uvicorn."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from subak.chain.accounts import ORDER, Account
from subak.chain.channels import LaneFact, lane_id
from subak.core.canon.vouchers import Line, Voucher, voucher_digest
from subak.core.nouns.document import Address
from subak.verifier.board import Board
from subak.verifier.clerk import Clerk, Countersigned
from subak.verifier.lines import Lines
from subak.verifier.vouchers_http import LaneLimits, VouchersHttp

CHAIN_ID = 31337
CHANNELS = Address(b"\xc4" * 20)
CLERK = Account(b"\x51" * 32)
SESSION = Account(b"\x52" * 32)
THIEF = Account(b"\x53" * 32)
CUSTOMER = Address(b"\x11" * 20)
NOW = 1_496_275_200
EXPIRY = NOW + 30 * 86_400
DELAY = 3 * 86_400
LIMIT = 1_000_000


def lane(number: int = 0, **changes: Any) -> LaneFact:
    """A lane as the chain tells it, changed as asked; its id follows."""
    facts: dict[str, Any] = {
        "customer": CUSTOMER,
        "key": SESSION.address,
        "clerk": CLERK.address,
        "limit": LIMIT,
        "expiry_unix_s": EXPIRY,
        "closes_at_unix_s": EXPIRY + DELAY,
    } | changes
    never_changes = {name: facts[name] for name in ("customer", "key", "clerk", "limit", "expiry_unix_s")}
    return LaneFact(id=lane_id(number=number, **never_changes), number=number, **facts)


def asset(name: str) -> bytes:
    return name.encode().ljust(32, b"\0")


def voucher(of: LaneFact, seq: int, total: int | None = None, **money: int) -> Voucher:
    """Lines by asset name; ``total`` is their sum unless told otherwise."""
    lines = tuple(sorted(Line(asset(name), amount) for name, amount in money.items()))
    return Voucher(bytes(of.id), seq, sum(money.values()) if total is None else total, lines)


def sign(what: Voucher, by: Account = SESSION, chain_id: int = CHAIN_ID, channels: bytes = CHANNELS) -> bytes:
    return by.sign_digest(voucher_digest(what, chain_id, channels))


def twins(signature: bytes) -> list[bytes]:
    """The same signature with s in the upper half (and the parity that fits it, or not), and with the other parity."""
    tail = int.from_bytes(signature[32:], "big")
    s, parity = tail & (1 << 255) - 1, tail >> 255
    others = [(ORDER - s, 1 - parity), (ORDER - s, parity), (s, 1 - parity)]
    return [signature[:32] + (value | bit << 255 if value < 1 << 255 else value).to_bytes(32, "big") for value, bit in others]


def open_clerk(folder: Path, **changes: Any) -> Clerk:
    settings: dict[str, Any] = {"signer": CLERK, "chain_id": CHAIN_ID, "channels": CHANNELS, "close_delay_seconds": DELAY} | changes
    return Clerk(folder / "clerk.db", **settings)


def body_of(what: Voucher, signature: bytes) -> dict[str, Any]:
    """What a customer posts."""
    lines = [{"asset": "0x" + each.asset.hex(), "money": str(each.money)} for each in what.lines]
    return {
        "lane": "0x" + what.lane.hex(),
        "seq": what.seq,
        "total": str(what.total),
        "lines": lines,
        "signature": "0x" + signature.hex(),
    }


def made_of(told: Mapping[str, Any]) -> Countersigned:
    """What a clerk answered."""
    lines = tuple(Line(bytes.fromhex(each["asset"][2:]), int(each["money"])) for each in told["lines"])
    what = Voucher(bytes.fromhex(told["lane"][2:]), int(told["seq"]), int(told["total"]), lines)
    return Countersigned(what, bytes.fromhex(told["signature"][2:]), bytes.fromhex(told["countersignature"][2:]))


class Node:
    """A clerk, lines and a board behind a real server, with clocks that stand."""

    def __init__(self, folder: Path, signer: Account = CLERK, **limits: Any) -> None:
        self.now, self.elapsed = NOW, 0.0
        self.clerk = open_clerk(folder, signer=signer)
        self.lines = Lines(folder / "lines.db", self.clerk)
        self.board = Board()
        self.app = VouchersHttp(self.clerk, self.lines, self.board, lambda: self.now, LaneLimits(**limits), lambda: self.elapsed)
        self.asked: list[str] = []
        self.server = uvicorn.Server(uvicorn.Config(self._count, interface="asgi3", lifespan="off", log_level="error", access_log=False))
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=lambda: asyncio.run(self.server.serve([self.socket])))
        self.thread.start()
        self.client = httpx.Client(base_url=self.url, timeout=20.0)

    def know(self, *lanes: LaneFact) -> None:
        self.app.know({bytes(each.id): each for each in lanes})

    def post(self, what: Voucher, signature: bytes | None = None) -> httpx.Response:
        return self.client.post("/v1/vouchers", json=body_of(what, sign(what) if signature is None else signature))

    def countersigned(self, what: Voucher) -> Countersigned:
        answer = self.post(what)
        assert answer.status_code == 200, answer.text
        return made_of(answer.json())

    def stop(self) -> None:
        self.client.close()
        self.server.should_exit = True
        self.thread.join()
        self.app.close()
        self.lines.close()
        self.clerk.close()

    async def _count(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(scope["path"])
        await self.app(scope, receive, send)


@contextmanager
def running(folder: Path, signer: Account = CLERK, **limits: Any) -> Iterator[Node]:
    node = Node(folder, signer, **limits)
    try:
        yield node
    finally:
        node.stop()
