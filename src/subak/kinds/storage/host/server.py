"""HTTP/1.1 for a host that takes pieces: a body goes from the socket to where the piece is hashed and written from, without a copy.

A server of ASGI applications wakes the application for every part of a body and copies each part three times, which costs a piece more than
its hashes do. Only the head is parsed here, by llhttp; a body has the length that its head names. Chunked bodies are not read: the
connection ends after the answer.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final, cast
from urllib.parse import unquote

import httptools

log = logging.getLogger("subak.storage")

HEAD_BYTES: Final = 16 * 1024
"""A longer head is refused."""
IDLE_SECONDS: Final = 30.0
"""A connection ends if no whole head came for so long."""
WRITE_SECONDS: Final = 60.0
"""A connection ends if its client has not taken an answer for so long."""
_DRAINED_BYTES: Final = 1 << 20
"""What is sent after a refusal is read to its end if it is no longer: whoever sends it would see a broken pipe instead of the reason."""
_LINGER_SECONDS: Final = 2.0
_END: Final = b"\r\n\r\n"

Headers = Mapping[bytes, bytes]


class Gone(Exception):
    """The client went away before its body had come."""


class Late(Exception):
    """The body did not come in time."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"{size_bytes} bytes came")
        self.size_bytes = size_bytes


@dataclass(frozen=True)
class Request:
    """What a client asks."""

    method: str
    """In capitals."""
    path: str
    """Without the query; percent signs are resolved."""
    headers: Headers
    """Names in small letters; of two with one name the last."""
    length: int
    """Bytes of the body as its head says; -1 if it does not."""
    read: Callable[[float], Awaitable[bytearray]]
    """The body, within so many seconds. The caller has checked ``length``, which is allocated at once. Errors: Gone, Late."""


@dataclass(frozen=True)
class Answer:
    """What goes back."""

    status: int
    """Of HTTP."""
    kind: bytes = b"application/json"
    """Type of the body."""
    body: bytes = b""
    """All of it."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Further ones."""


Answers = Callable[[Request], Awaitable[Answer]]


async def serve(answers: Answers, listening: socket.socket, connections: int, grace_seconds: float = 1.0) -> None:
    """Until cancelled; then what is being answered gets ``grace_seconds``. More than so many ``connections`` at once are refused."""
    open_now: set[_Connection] = set()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(answers, open_now, connections), sock=listening)
    try:
        await asyncio.Event().wait()
    finally:
        server.close()
        talking = [each.end() for each in tuple(open_now)]
        if talking:
            _, late = await asyncio.wait(talking, timeout=grace_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


class _Head:
    """What llhttp calls back with."""

    def __init__(self, text: bytes) -> None:
        """Errors: HttpParserError."""
        self.url = b""
        self.path = ""
        self.headers: dict[bytes, bytes] = {}
        self.messages = 0
        self.is_complete = self.has_more = self.stays = False
        self._parser = httptools.HttpRequestParser(self)
        with suppress(httptools.HttpParserUpgrade):
            self._parser.feed_data(text)
        self.method = self._parser.get_method()
        # Otherwise each holds the other, until the garbage collector comes.
        del self._parser

    def on_message_begin(self) -> None:
        self.messages += 1

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self.is_complete = True
        # Only here: llhttp forgets it when the message ends.
        self.stays = self._parser.should_keep_alive()

    def on_body(self, _: bytes) -> None:
        self.has_more = True


class _Connection(asyncio.BufferedProtocol):
    """One request after another, answered by one task."""

    def __init__(self, answers: Answers, others: set[_Connection], most: int) -> None:
        self._answers, self._others, self._most = answers, others, most
        self._loop = asyncio.get_running_loop()
        self._early = bytearray(HEAD_BYTES)
        self._have = 0
        self._body: memoryview | None = None
        self._unread = 0
        self._waiter: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._is_paused = self._is_gone = self._is_busy = self._is_last = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if len(self._others) >= self._most:
            self._transport.write(_head(Answer(503), b"GET", True))
            self._transport.close()
            return
        self._others.add(self)
        self._task = self._loop.create_task(self._talk())

    def connection_lost(self, _: Exception | None) -> None:
        self._others.discard(self)
        self._is_gone = True
        self._writable.set()
        self._wake()

    def eof_received(self) -> bool:
        # Ends the connection, once what is being answered was sent.
        self._is_gone = True
        self._wake()
        return self._is_busy

    def get_buffer(self, _: int) -> memoryview:
        return self._body or memoryview(self._early)[self._have :]

    def buffer_updated(self, count: int) -> None:
        if self._body:
            self._body = self._body[count:]
            if self._body:
                return
        else:
            self._have += count
            if self._have == HEAD_BYTES:
                self._is_paused = True
                self._transport.pause_reading()
        self._wake()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def end(self) -> asyncio.Task[None]:
        """No request after the one that is being answered."""
        self._is_last = True
        if not self._is_busy:
            self._transport.close()
        return self._task

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        """Until something came. Errors: Gone."""
        if self._is_gone:
            raise Gone
        if self._is_paused and (self._body or self._have < HEAD_BYTES):
            self._is_paused = False
            self._transport.resume_reading()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def _talk(self) -> None:
        try:
            while not self._is_last:
                async with asyncio.timeout(IDLE_SECONDS):
                    while (end := self._early.find(_END, 0, self._have)) < 0 and self._have < HEAD_BYTES:
                        await self._wait()
                self._is_busy = True
                await self._once(end)
                self._is_busy = False
        except (Gone, TimeoutError):
            pass
        except Exception:
            log.exception("a connection failed")
        finally:
            self._transport.close()

    async def _once(self, end: int) -> None:
        """Answer the request whose head ends there."""
        head = self._parsed(end) if end >= 0 else None
        if head is None:
            await self._send_last(Answer(431 if end < 0 else 400), b"GET", True)
            return
        request = self._request(head)
        try:
            answer = await self._answers(request)
        except Gone:
            raise
        except Exception:
            log.exception("%s %s", request.method, request.path)
            answer, self._is_last = Answer(500), True
        is_chunked = b"transfer-encoding" in request.headers
        stays = head.stays and not is_chunked and not self._is_last
        if stays and self._unread:
            stays = self._unread <= _DRAINED_BYTES and b"expect" not in request.headers and await self._thrown_away(IDLE_SECONDS)
        if stays:
            await self._send(answer, head.method, False)
        else:
            await self._send_last(answer, head.method, is_chunked or self._unread > 0)

    async def _send_last(self, answer: Answer, method: bytes, has_more: bool) -> None:
        """``has_more``: the client may be sending still; closed at once, the connection would take the answer with it."""
        self._is_last = True
        await self._send(answer, method, True)
        if has_more:
            with suppress(OSError, RuntimeError):
                self._transport.write_eof()
            self._unread = _DRAINED_BYTES
            await self._thrown_away(_LINGER_SECONDS)

    def _parsed(self, end: int) -> _Head | None:
        """The head; None if it cannot be read. What stands behind it is at the front then."""
        size = end + len(_END)
        try:
            head = _Head(bytes(memoryview(self._early)[:size]))
            head.path = unquote(httptools.parse_url(head.url).path.decode("ascii"))
        except (httptools.HttpParserError, UnicodeDecodeError, AttributeError):
            return None
        # Whoever sees the end of the head elsewhere than llhttp would take a part of it for another request.
        if not head.is_complete or head.has_more or head.messages != 1:
            return None
        self._early[: self._have - size] = self._early[size : self._have]
        self._have -= size
        return head

    def _request(self, head: _Head) -> Request:
        given = head.headers.get(b"content-length", b"")
        length = int(given) if given.isdigit() else -1
        self._unread = max(length, 0)
        is_awaited = head.headers.get(b"expect", b"").lower() == b"100-continue"

        async def read(seconds: float) -> bytearray:
            if is_awaited and not self._have:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return await self._read(length, seconds)

        return Request(head.method.decode("ascii"), head.path, head.headers, length, read)

    async def _read(self, size: int, seconds: float) -> bytearray:
        content = bytearray(size)
        came = min(self._have, size)
        content[:came] = self._take(came)
        self._body = memoryview(content)[came:]
        try:
            async with asyncio.timeout(seconds):
                while self._body:
                    await self._wait()
        except TimeoutError:
            # The rest of it is not waited for.
            self._is_last = True
            raise Late(size - len(self._body)) from None
        finally:
            self._unread = len(self._body)
            self._body = None
        return content

    async def _thrown_away(self, seconds: float) -> bool:
        """Read what is left; whether it came."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    self._unread -= len(self._take(min(self._have, self._unread)))
                    if not self._unread:
                        return True
                    await self._wait()
        except (TimeoutError, Gone):
            return False

    def _take(self, count: int) -> bytes:
        """The first of what came early."""
        taken = bytes(memoryview(self._early)[:count])
        self._early[: self._have - count] = self._early[count : self._have]
        self._have -= count
        return taken

    async def _send(self, answer: Answer, method: bytes, is_last: bool) -> None:
        head = _head(answer, method, is_last)
        self._transport.write(head if method == b"HEAD" else head + answer.body)
        if not self._writable.is_set():
            try:
                async with asyncio.timeout(WRITE_SECONDS):
                    await self._writable.wait()
            except TimeoutError:
                self._transport.abort()
                raise


def _head(answer: Answer, method: bytes, is_last: bool) -> bytes:
    lines = [b"HTTP/1.1 ", _status(answer.status), b"\r\ndate: ", _date(int(time.time()))]
    if answer.status != HTTPStatus.NO_CONTENT:
        lines += [b"\r\ncontent-type: ", answer.kind, b"\r\ncontent-length: ", b"%d" % len(answer.body)]
    for name, value in answer.headers:
        lines += [b"\r\n", name, b": ", value]
    if is_last:
        lines.append(b"\r\nconnection: close")
    return b"".join([*lines, _END])


@lru_cache(64)
def _status(status: int) -> bytes:
    return f"{status} {HTTPStatus(status).phrase}".encode("ascii")


@lru_cache(1)
def _date(unix_s: int) -> bytes:
    return formatdate(unix_s, usegmt=True).encode("ascii")
