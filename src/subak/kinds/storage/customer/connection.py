"""HTTP/1.1 to one host: a few connections that are kept, one request at a time on each.

A file is thousands of requests of a quarter of a mebibyte. httpx needs 1.1 ms of CPU to send such a piece and 1.9 ms to fetch one, where
its SHA-256 tree takes 0.45 ms; this needs 0.35 and 0.55 ms. It does only what is needed here; the protocol itself is h11's.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import cache
from typing import Final
from urllib.parse import urlsplit

import h11

MOST_HEAD_BYTES: Final = 16 * 1024
_CLOSED: Final = "the connection was closed"


class Broken(Exception):
    """The connection broke, or what came was no HTTP. The same request may do better on another connection."""


class Silent(Exception):
    """Nothing came for as long as was allowed."""


class Unusable(Exception):
    """An address at which no host can be asked, or no connection to it."""


class Endpoint:
    """Where a host is, and the connections to it that are kept open. At most as many at once as requests at once."""

    def __init__(self, url: str) -> None:
        """``url``: http:// or https://, host, port, and a path that comes before every request's. Errors: Unusable."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise Unusable(f"{url!r} is no address: {error}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise Unusable(f"{url!r} is no address: it should be http:// or https:// with a name and a port")
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        self._port = port or (443 if self._secure else 80)
        self._named = parts.netloc.rpartition("@")[2]
        self._base = parts.path.rstrip("/")
        self._idle: list[Connection] = []

    async def connect(self, seconds: float) -> Connection:
        """A connection for one request: an idle one or a new one. Errors: Unusable, within so many seconds."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                tls = _tls() if self._secure else None
                _, connection = await loop.create_connection(Connection, self._host, self._port, ssl=tls)
        except TimeoutError:
            raise Unusable(f"no connection within {seconds:g} s") from None
        except (OSError, UnicodeError) as error:
            raise Unusable(f"no connection: {error}") from None
        return connection

    async def ask(
        self,
        connection: Connection,
        method: str,
        path: str,
        authorization: str,
        content: bytes | None,
        most_bytes: int,
        silence_seconds: float,
    ) -> tuple[int, bytes]:
        """Status and body of the answer; of a body that is longer than ``most_bytes`` only its first part.

        Errors: Broken; Silent if no byte of the answer comes for ``silence_seconds``. Cancelling closes the connection.
        """
        headers = [("host", self._named), ("authorization", authorization)]
        if content is not None:
            headers.append(("content-length", str(len(content))))
        try:
            request = h11.Request(method=method, target=self._base + path, headers=headers)
            answer = await connection.ask(request, content, most_bytes, silence_seconds)
        except h11.LocalProtocolError as error:
            connection.close()
            raise Broken(f"cannot be asked: {error}") from None
        except Broken:
            # The idle ones may have been closed at the same time.
            self.close()
            raise
        if connection.usable:
            self._idle.append(connection)
        return answer

    def close(self) -> None:
        """Let go of the connections that nobody uses."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()


class Connection(asyncio.Protocol):
    """One request after another."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_HEAD_BYTES)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._status = 0
        self._chunks: list[bytes] = []
        self._room_bytes = 0
        self._heard = 0.0

    @property
    def usable(self) -> bool:
        """Whether another request may be made."""
        return self._transport is not None and not self._transport.is_closing() and self._http.our_state is h11.IDLE

    async def ask(self, request: h11.Request, content: bytes | None, most_bytes: int, silence_seconds: float) -> tuple[int, bytes]:
        if self._transport is None:
            raise Broken(_CLOSED)
        self._answer = self._loop.create_future()
        self._status, self._chunks, self._room_bytes, self._heard = 0, [], most_bytes, self._loop.time()
        self._watching = self._loop.call_later(silence_seconds, self._watch, silence_seconds)
        try:
            head = self._http.send(request)
            if content is not None:
                # h11 only counts; the transport sends what fits at once and keeps the rest.
                self._http.send_with_data_passthrough(h11.Data(data=content))
            tail = self._http.send(h11.EndOfMessage())
            self._transport.writelines([each for each in (head, content, tail) if each])
            return await self._answer
        except BaseException:
            self.close()
            raise
        finally:
            self._watching.cancel()
            self._answer = None

    def close(self) -> None:
        """At once: what was not sent is dropped."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._fail(Broken(str(exc) if exc else _CLOSED))

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        if self._answer is None:
            # Nobody asked.
            self.close()
            return
        try:
            self._http.receive_data(data)
            self._read()
        except h11.RemoteProtocolError as error:
            self._fail(Broken(f"not HTTP: {error}"))

    def eof_received(self) -> None:
        if self._answer is not None:
            self.data_received(b"")

    def _read(self) -> None:
        while self._answer is not None and not self._answer.done():
            event = self._http.next_event()
            if isinstance(event, h11.Data):
                self._chunks.append(event.data)
                self._room_bytes -= len(event.data)
                if self._room_bytes < 0:
                    self._answer.set_result((self._status, b"".join(self._chunks)))
                    self.close()
            elif isinstance(event, h11.Response):
                self._status = event.status_code
            elif isinstance(event, h11.EndOfMessage):
                self._answer.set_result((self._status, b"".join(self._chunks)))
                # What stands behind the answer would be taken for the next one.
                if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE and not self._http.trailing_data[0]:
                    self._http.start_next_cycle()
                else:
                    self.close()
            elif isinstance(event, h11.ConnectionClosed):
                self._fail(Broken(_CLOSED))
            elif event in (h11.NEED_DATA, h11.PAUSED):
                return

    def _watch(self, seconds: float) -> None:
        rest = self._heard + seconds - self._loop.time()
        if rest <= 0:
            self._fail(Silent(f"nothing came for {seconds:g} s"))
        else:
            self._watching = self._loop.call_later(rest, self._watch, seconds)

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
