"""HTTP to one host over real sockets: the answers that servers and proxies give, and those that nobody should."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from subak.kinds.storage.customer import connection
from subak.kinds.storage.customer.connection import Broken, Endpoint, Silent, Unusable

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 20))


class Scripted:
    """Answers each request with the next bytes, whatever it was; None leaves the connection silent, b"" closes it."""

    def __init__(self, answers: Sequence[bytes | None]) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.connections = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self.answers:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
                self.requests.append(head + await reader.readexactly(length))
                answer = self.answers.pop(0)
                if answer is None:
                    await reader.read()
                    return
                if not answer:
                    return
                writer.write(answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def scripted(*answers: bytes | None, tls: ssl.SSLContext | None = None) -> AsyncIterator[Scripted]:
    script = Scripted(answers)
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0, ssl=tls)
    script.url = f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield script
    finally:
        server.close()
        await server.wait_closed()


async def ask(endpoint: Endpoint, method: str = "GET", path: str = "/x", content: bytes | None = None) -> tuple[int, bytes]:
    return await endpoint.ask(await endpoint.connect(5), method, path, "pass", content, 100, 5)


@pytest.mark.parametrize(
    ("answer", "status", "body", "kept"),
    [
        (OK, 200, b"hello", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\ncontent-length: 1\r\n\r\nx", 201, b"x", True),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", 200, b"hello", True),
        (b"HTTP/1.1 507 \r\ncontent-length: 4\r\nconnection: close\r\n\r\nfull", 507, b"full", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", 200, b"hello", False),
    ],
    ids=["length", "no body", "continue", "chunked", "close", "HTTP/1.0"],
)
def test_answers_that_are_read(answer: bytes, status: int, body: bytes, kept: bool) -> None:
    async def story() -> None:
        async with scripted(answer, OK) as script:
            endpoint = Endpoint(script.url + "/below/")
            assert await ask(endpoint, "PUT", "/x", b"content") == (status, body)
            assert await ask(endpoint) == (200, b"hello")
            assert script.connections == (1 if kept else 2)
            first, second = script.requests
            port = script.url.rpartition(":")[2].encode()
            assert first.startswith(b"PUT /below/x HTTP/1.1\r\nhost: 127.0.0.1:" + port + b"\r\nauthorization: pass\r\n")
            assert first.endswith(b"\r\ncontent-length: 7\r\n\r\ncontent")
            assert second.startswith(b"GET /below/x HTTP/1.1\r\n")
            endpoint.close()

    run(story())


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 40_000,
    ],
    ids=["nothing", "no HTTP", "two lengths", "negative length", "endless head"],
)
def test_answers_that_break_the_connection(answer: bytes) -> None:
    async def story() -> None:
        async with scripted(answer, OK) as script:
            endpoint = Endpoint(script.url)
            with pytest.raises(Broken):
                await ask(endpoint)
            assert await ask(endpoint) == (200, b"hello")
            assert script.connections == 2
            endpoint.close()

    run(story())


def test_an_answer_that_ends_early_is_broken() -> None:
    async def story() -> None:
        async with scripted(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 6\r\n\r\nhello") as script:
            with pytest.raises(Broken):
                await ask(Endpoint(script.url))

    run(story())


def test_of_an_endless_body_only_the_first_part_is_read() -> None:
    async def story() -> None:
        async with scripted(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + 1000 * b"20\r\n0123456789abcdef0123456789abcdef\r\n"
        ) as script:
            status, body = await ask(Endpoint(script.url))
            assert (status, len(body)) == (200, 128)

    run(story())


def test_what_comes_unasked_is_never_taken_for_an_answer() -> None:
    async def story() -> None:
        async with scripted(OK + b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfalse", OK) as script:
            endpoint = Endpoint(script.url)
            assert await ask(endpoint) == (200, b"hello")
            assert await ask(endpoint) == (200, b"hello")
            assert script.connections == 2
            endpoint.close()

    run(story())


def test_silence_ends_and_so_does_what_is_cancelled() -> None:
    async def story() -> None:
        async with scripted(None, None, OK) as script:
            endpoint = Endpoint(script.url)
            with pytest.raises(Silent, match=r"nothing came for 0\.05 s"):
                await endpoint.ask(await endpoint.connect(5), "GET", "/x", "pass", None, 100, 0.05)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ask(endpoint), 0.05)
            assert await ask(endpoint) == (200, b"hello")
            assert script.connections == 3
            endpoint.close()

    run(story())


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("127.0.0.1:80", "is no address"),
        ("ftp://example.org", "is no address: it should be http:// or https://"),
        ("http://", "is no address"),
        ("http://[::1", "is no address: Invalid IPv6 URL"),
        ("http://a:99999", "is no address: Port out of range"),
        ("http://a/?b", "is no address"),
    ],
)
def test_addresses_that_are_none(url: str, sentence: str) -> None:
    with pytest.raises(Unusable, match=sentence):
        Endpoint(url)


@pytest.mark.parametrize("host", ["127.0.0.1:1", "no-such-host.invalid", "a" * 64 + ".invalid"])
def test_hosts_that_are_not_there(host: str) -> None:
    async def story() -> None:
        with pytest.raises(Unusable, match="no connection"):
            await Endpoint(f"http://{host}").connect(5)

    run(story())


def test_over_tls_only_a_certificate_that_holds_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    command += ["-subj", "/CN=host", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("openssl makes no certificate here")
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    theirs.load_cert_chain(certificate, key)

    async def story() -> None:
        async with scripted(OK, tls=theirs) as script:
            with pytest.raises(Unusable, match="certificate verify failed"):
                await Endpoint(script.url).connect(5)
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
            connection._tls.cache_clear()
            endpoint = Endpoint(script.url)
            assert await ask(endpoint) == (200, b"hello")
            endpoint.close()

    connection._tls.cache_clear()
    try:
        run(story())
    finally:
        connection._tls.cache_clear()
