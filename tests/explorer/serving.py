"""A town's explorer as readers meet it: its archive behind HTTP, its pages served, a page taken apart."""

from __future__ import annotations

import functools
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from small_town import Town

from subak.explorer.app import make_app


@dataclass
class Site:
    """The explorer of a town, served."""

    town: Town
    url: str
    archive_url: str
    client: httpx.Client

    def get(self, path: str) -> httpx.Response:
        return self.client.get(self.url + path)

    def facts(self, path: str) -> dict[str, Any]:
        """A page's JSON; ``path`` is the page's."""
        page, _, query = path.partition("?")
        answer = self.get(("/index" if page == "/" else page) + ".json" + (f"?{query}" if query else ""))
        assert answer.status_code == 200, answer.text
        facts: dict[str, Any] = answer.json()
        return facts


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, list[tuple[str, str]]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.append((tag, [(name, value or "") for name, value in attrs]))

    def handle_data(self, data: str) -> None:
        self.text += data


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def archive_of(folder: Path) -> Iterator[str]:
    """``folder/archive`` behind HTTP."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/archive"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def explorer_of(town: Town, archive_url: str, database: Path) -> Iterator[Site]:
    app = make_app(town.chain.url, archive_url, database)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(timeout=30, trust_env=False) as client:
        try:
            yield Site(town, f"http://127.0.0.1:{port}", archive_url, client)
        finally:
            server.should_exit = True
            thread.join(30)


def until(true: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)


def squeezed(text: str) -> str:
    return "".join(text.split())
