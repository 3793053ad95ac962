"""The clerk, the lines and the board over HTTP: ``POST /v1/vouchers``, ``GET /v1/lanes/<lane>``, ``POST /v1/lines``, ``GET /v1/offers``.

Formats, and what to do about each reason: ``docs/lanes.md``.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from subak.chain.channels import LaneFact
from subak.core.canon.json import encode
from subak.core.canon.vouchers import Line, Voucher
from subak.core.nouns.document import Hash, Signature, decode
from subak.verifier.board import MOST_LISTED, Board, Listed
from subak.verifier.clerk import Ask, Clerk, Countersigned, Refused
from subak.verifier.limits import Buckets
from subak.verifier.lines import Lines

log = logging.getLogger("subak.verifier")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
T = TypeVar("T")

REASONS: Mapping[str, tuple[int, str]] = {
    "malformed": (400, "This is not what the path takes"),
    "unknown_lane": (404, "The chain knows no such lane"),
    "no_voucher": (404, "The clerk has no such voucher of this lane"),
    "slow_body": (408, "The body took too long to arrive"),
    "seq_taken": (409, "Another voucher of this lane has this sequence"),
    "older_voucher": (409, "A voucher with a higher sequence was countersigned"),
    "does_not_grow": (409, "The total is not above that of the voucher before"),
    "line_fell": (409, "A line is lower than in the voucher before, or missing"),
    "lane_expired": (409, "The lane expired, and the time for vouchers after it is over"),
    "lane_revoked": (409, "The customer revoked the lane"),
    "lane_closed": (409, "The lane is closed"),
    "not_redeemed": (409, "The chain did not redeem this voucher last"),
    "too_large": (413, "The body is too large"),
    "too_many_lines": (413, "The voucher has too many lines"),
    "wrong_content_type": (415, "Vouchers and lines come as application/json, not compressed"),
    "not_this_clerk": (421, "The lane has another clerk"),
    "lines_do_not_sum": (422, "The lines do not sum to the total"),
    "lines_differ": (422, "These are not the lines that the chain redeemed"),
    "bad_signature": (422, "The signature is not the session key's over this voucher"),
    "over_limit": (422, "The total is above the lane's limit"),
    "rate_limited": (429, "Too much in too short a time"),
    "store_behind": (503, "The chain redeemed more of this lane than the clerk knows of"),
    "store_unavailable": (503, "The clerk could not make the voucher durable"),
    "busy": (503, "Too many vouchers wait for the disk"),
}
"""Every reason that these paths give: HTTP status, and what it means."""

PATHS = ("/v1/vouchers", "/v1/lanes/", "/v1/lines", "/v1/offers")
"""Paths start like this that are answered here."""
_JSON, _PROBLEM = b"application/json", b"application/problem+json"
_DRAINED_BYTES = 1 << 24
_RETRY_SECONDS = {"busy": 1, "store_unavailable": 60}


@dataclass(frozen=True)
class LaneLimits:
    """Bounds of what customers and hosts may ask of a clerk. Seconds are real ones."""

    body_bytes: int = 256 * 1024
    """Largest body: a voucher of 512 lines has a quarter of it."""
    body_seconds: float = 10.0
    """How long a body may take to arrive."""
    waiting: int = 1024
    """Vouchers that may wait for the disk at once."""
    lane_vouchers_per_second: float = 2.0
    """Vouchers that a lane may send for good. Refused ones do not count."""
    lane_vouchers_burst: int = 120
    """Vouchers that a lane may send at once."""
    client_posts_per_second: float = 100.0
    """Bodies that an address may send for good."""
    client_posts_burst: int = 2000
    """Bodies that an address may send at once."""


class VouchersHttp:
    """An ASGI application. Vouchers that wait while the disk is busy share one write."""

    def __init__(
        self,
        clerk: Clerk,
        lines: Lines,
        board: Board,
        now: Callable[[], int],
        limits: LaneLimits | None = None,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        """``now``: network time; ``elapsed``: real seconds that never jump."""
        self.clerk, self.lines, self.board = clerk, lines, board
        self.limits = limits or LaneLimits()
        self._now, self._elapsed = now, elapsed
        self._lanes: Mapping[bytes, LaneFact] = {}
        self._per_lane: Buckets[bytes] = Buckets(self.limits.lane_vouchers_per_second, self.limits.lane_vouchers_burst)
        self._per_client: Buckets[str] = Buckets(self.limits.client_posts_per_second, self.limits.client_posts_burst, 1 << 16)
        self._waiting: list[tuple[Ask, asyncio.Future[Countersigned | Refused]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="clerk")
        counted = ("vouchers_countersigned_total", "voucher_writes_total", "lines_handed_in_total")
        self._counts: dict[str, float] = dict.fromkeys((*counted, *(_refused(reason) for reason in REASONS)), 0.0)

    def know(self, lanes: Mapping[bytes, LaneFact]) -> None:
        """Replaces what the chain says of lanes, by id; from any thread. The mapping must not change afterwards."""
        self._lanes = lanes

    def metrics(self) -> Mapping[str, float]:
        """Counters since the start, by Prometheus name without prefix; and how much is kept."""
        return {**self._counts, "lanes": self.clerk.lanes(), "offers": len(self.board)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one HTTP request."""
        method, path = scope["method"], str(scope["path"])
        try:
            if (method, path) == ("POST", "/v1/vouchers"):
                body = await self._body(scope, receive)
                await _respond(send, 200, _JSON, await self._countersign(_read(body, _VoucherBody)))
            elif (method, path) == ("POST", "/v1/lines"):
                body = await self._body(scope, receive)
                await _respond(send, 200, _JSON, await self._hand_in(_read(body, _LinesBody)))
            elif method in ("GET", "HEAD") and path.startswith("/v1/lanes/"):
                await _respond(send, 200, _JSON, await self._lane(path.removeprefix("/v1/lanes/"), _query(scope)), method == "GET")
            elif method in ("GET", "HEAD") and path == "/v1/offers":
                await _respond(send, 200, _JSON, await asyncio.to_thread(self._offers, _query(scope)), method == "GET")
            else:
                status = 405 if path.startswith(PATHS) else 404
                raise _Plain(status, f"{method} {path} is not answered here")
        except _Disconnected:
            pass
        except _Plain as plain:
            told = {"type": "about:blank", "title": plain.title, "status": plain.status, "detail": str(plain)}
            await _respond(send, plain.status, _PROBLEM, msgspec.json.encode(told))
        except _Problem as problem:
            await self._respond_problem(send, problem, method != "HEAD")
        except sqlite3.Error as error:
            log.error("clerk: %s", error)
            await self._respond_problem(send, _Problem("store_unavailable", "this verifier's store cannot be read"), method != "HEAD")

    def close(self) -> None:
        """Lets its thread go; the stores stay open."""
        self._thread.shutdown()

    async def _countersign(self, body: _VoucherBody) -> bytes:
        voucher = _voucher(body)
        lane = voucher.lane
        if len(self._waiting) >= self.limits.waiting:
            raise _Problem("busy", f"{len(self._waiting)} vouchers wait for the disk")
        if wait := self._per_lane.take(lane, 1, self._elapsed()):
            raise _Problem("rate_limited", f"lane 0x{lane.hex()} sent too many vouchers; wait {wait:.1f} s", wait)
        # Counted only when it is countersigned: what strangers send must not use up the lane's.
        self._per_lane.give_back(lane, 1)
        answer: asyncio.Future[Countersigned | Refused] = asyncio.get_running_loop().create_future()
        self._waiting.append((Ask(voucher, bytes(body.signature), self._lanes.get(lane)), answer))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        made = await answer
        if isinstance(made, Refused):
            raise _Problem(made.reason, made.detail)
        self._per_lane.take(lane, 1, self._elapsed())
        self._counts["vouchers_countersigned_total"] += 1
        return self._document(made)

    async def _write(self) -> None:
        """Until nobody waits."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, []
            self._counts["voucher_writes_total"] += 1
            try:
                made = await loop.run_in_executor(self._thread, self.clerk.countersign_many, [ask for ask, _ in batch], self._now())
            except Exception as error:
                log.exception("a write of %d vouchers failed", len(batch))
                made = [Refused("store_unavailable", f"{type(error).__name__}: nothing of this was countersigned")] * len(batch)
            for (_, answer), each in zip(batch, made, strict=True):
                if not answer.done():
                    answer.set_result(each)

    async def _lane(self, text: str, query: Mapping[str, str]) -> bytes:
        lane = _lane_id(text)
        if query.keys() - {"seq"}:
            raise _Problem("malformed", f"a lane takes ?seq= only, not {sorted(query)}")
        if "seq" in query:
            found = await asyncio.to_thread(self.clerk.at, lane, _number("seq", query["seq"]))
        else:
            found = await asyncio.to_thread(self.clerk.newest, lane)
        if found is not None:
            return self._document(found)
        fact = self._lanes.get(lane)
        if fact is None:
            raise _Problem("unknown_lane", f"the chain knows no lane 0x{lane.hex()}")
        if fact.clerk != self.clerk.address:
            raise _Problem("not_this_clerk", f"the lane's clerk is {fact.clerk!r}, this is 0x{self.clerk.address.hex()}")
        raise _Problem("no_voucher", f"of lane 0x{lane.hex()} there is no voucher {query.get('seq', '')}".rstrip() + " here")

    async def _hand_in(self, body: _LinesBody) -> bytes:
        try:
            lines = tuple(Line(each.asset, each.money) for each in body.lines)
        except ValueError as error:
            raise _Problem("malformed", str(error)) from None
        refused = await asyncio.to_thread(self.lines.hand_in, body.seq, lines, self._lanes.get(body.lane))
        if refused is not None:
            raise _Problem(refused.reason, refused.detail)
        self._counts["lines_handed_in_total"] += 1
        return encode({"lane": body.lane, "seq": body.seq})

    def _offers(self, query: Mapping[str, str]) -> bytes:
        if query.keys() - {"kind", "zone", "after", "most"} or not query.get("kind"):
            raise _Problem("malformed", f"offers take ?kind=, and zone, after and most if you like, not {sorted(query)}")
        zone = query.get("zone", "")
        try:
            cell = int(zone, 16) if zone else 0
        except ValueError:
            cell = -1
        if not 0 <= cell < 1 << 64:
            raise _Problem("malformed", f"zone is {zone[:40]!r}, not an H3 cell in hex")
        after = _lane_id(query["after"]) if "after" in query else None
        most = _number("most", query.get("most", str(MOST_LISTED)))
        offers, more = self.board.list(query["kind"], self._now(), cell, after, most)
        return encode({"offers": [_offer(each) for each in offers], "more": more})

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        problem = self._head_fault(scope)
        pieces: list[bytes] = []
        size, more = 0, True
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Disconnected
                    piece, more = message.get("body", b""), message.get("more_body", False)
                    size += len(piece)
                    if size > self.limits.body_bytes and problem is None:
                        problem = _Problem("too_large", f"over {self.limits.body_bytes} bytes came")
                    # A body that is refused is read on and thrown away, or its sender would see a broken pipe instead of the reason.
                    if problem is None:
                        pieces.append(piece)
                    elif size > _DRAINED_BYTES:
                        problem.close = True
                        break
        except TimeoutError:
            raise _Problem("slow_body", f"{size} bytes came in {self.limits.body_seconds} s", close=True) from None
        if problem is not None:
            raise problem
        return b"".join(pieces)

    def _head_fault(self, scope: Scope) -> _Problem | None:
        headers = dict(scope["headers"])
        kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        length = headers.get(b"content-length", b"0")
        client = str((scope.get("client") or ("",))[0])
        if kind != _JSON or headers.get(b"content-encoding", b"identity").lower() != b"identity":
            return _Problem("wrong_content_type", f"content-type is {kind.decode('latin-1') or 'missing'}, expected application/json")
        if not length.isdigit() or len(length) > 15 or int(length) > self.limits.body_bytes:
            return _Problem("too_large", f"content-length is {length.decode('latin-1')}, at most {self.limits.body_bytes}")
        if wait := self._per_client.take(client, 1, self._elapsed()):
            return _Problem("rate_limited", f"this address sent too much; wait {wait:.1f} s", wait)
        return None

    def _document(self, made: Countersigned) -> bytes:
        """What customers and hosts keep: the voucher, its lines and both signatures."""
        voucher = made.voucher
        return encode(
            {
                "lane": voucher.lane,
                "seq": voucher.seq,
                "total": voucher.total,
                "lines": [{"asset": asset, "money": money} for asset, money in voucher.lines],
                "signature": made.signature,
                "clerk": self.clerk.address,
                "countersignature": made.countersignature,
            }
        )

    async def _respond_problem(self, send: Send, problem: _Problem, with_body: bool) -> None:
        self._counts[_refused(problem.reason)] += 1
        status, title = REASONS[problem.reason]
        told = {
            "type": f"urn:subak:lanes:{problem.reason}",
            "title": title,
            "status": status,
            "detail": str(problem),
            "reason": problem.reason,
        }
        headers = []
        if (wait := problem.retry_after or _RETRY_SECONDS.get(problem.reason, 0)) > 0:
            headers.append((b"retry-after", str(int(wait) + 1).encode()))
        if problem.close:
            headers.append((b"connection", b"close"))
        await _respond(send, status, _PROBLEM, msgspec.json.encode(told), with_body, headers)


class _Disconnected(Exception):
    """The client went away before its body had come."""


class _Plain(Exception):
    """A path or method that is not answered."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.title = status, {404: "Not Found", 405: "Method Not Allowed"}[status]


class _Problem(Exception):
    """A request that is refused."""

    def __init__(self, reason: str, detail: str, retry_after: float = 0.0, close: bool = False) -> None:
        super().__init__(detail)
        self.reason, self.retry_after, self.close = reason, retry_after, close


class _LineBody(msgspec.Struct, forbid_unknown_fields=True):
    asset: Hash
    money: int


class _VoucherBody(msgspec.Struct, forbid_unknown_fields=True):
    lane: Hash
    seq: int
    total: int
    lines: list[_LineBody]
    signature: Signature


class _LinesBody(msgspec.Struct, forbid_unknown_fields=True):
    lane: Hash
    seq: int
    lines: list[_LineBody]


def _read(body: bytes, kind: type[T]) -> T:
    try:
        return decode(body, kind)
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        raise _Problem("malformed", str(error)[:300]) from None


def _voucher(body: _VoucherBody) -> Voucher:
    try:
        return Voucher(bytes(body.lane), body.seq, body.total, tuple(Line(bytes(each.asset), each.money) for each in body.lines))
    except ValueError as error:
        raise _Problem("malformed", str(error)) from None


def _offer(listed: Listed) -> dict[str, Any]:
    offer = listed.offer
    return {
        "asset": offer.asset,
        "kind": listed.place.kind,
        "cell": f"{listed.place.cell:x}",
        "price": offer.price,
        "per_units": offer.per_units,
        "capacity": offer.capacity,
        "valid_until_unix_s": offer.valid_until_unix_s,
        "endpoint": offer.endpoint,
    }


def _query(scope: Scope) -> dict[str, str]:
    text = scope.get("query_string", b"").decode("latin-1")
    try:
        return dict(parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=8))
    except ValueError:
        raise _Problem("malformed", f"the query {text[:80]!r} is not name=value&…") from None


def _lane_id(text: str) -> bytes:
    try:
        raw = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise _Problem("malformed", f"{text[:80]!r} is not an id of 32 bytes in hex")
    return raw


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise _Problem("malformed", f"{name} is {text[:40]!r}, not a whole number")
    return int(text)


def _refused(reason: str) -> str:
    return f'refused_total{{reason="{reason}"}}'


async def _respond(
    send: Send, status: int, kind: bytes, body: bytes, with_body: bool = True, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    every = [
        (b"content-type", kind),
        (b"content-length", str(len(body)).encode()),
        (b"access-control-allow-origin", b"*"),
        *(headers or []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": every})
    await send({"type": "http.response.body", "body": body if with_body else b""})
