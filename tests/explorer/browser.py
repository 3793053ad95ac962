"""A headless Chromium at a phone's or a desktop's width, asked over its DevTools protocol."""

from __future__ import annotations

import itertools
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars", "--remote-debugging-port=0", "about:blank"),
)
_PATIENCE_S = 60.0


@dataclass
class Shown:
    """A page as the browser shows it."""

    complaints: list[str] = field(default_factory=list)
    """What stands in its console: refused by the content security policy, not found …"""
    requested: list[str] = field(default_factory=list)
    """Every address it asked for."""
    text: str = ""
    """What a reader sees."""
    width: int = 0
    """Width of the content, in CSS pixels; wider than the window means scrolling sideways."""


class Browser:
    """One tab."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._ids = itertools.count(1)
        self._events: list[dict[str, Any]] = []
        for domain in ("Page", "Log", "Network", "Runtime"):
            self._ask(f"{domain}.enable")

    def show(self, url: str, width: int, height: int, dark: bool = False) -> Shown:
        """Open ``url`` in a window of this size and look at it."""
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])
        self._events.clear()
        self._ask("Page.navigate", url=url)
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._receive()
        shown = Shown(text=self._value("document.body.innerText"), width=self._value("document.documentElement.scrollWidth"))
        for event in self._events:
            if event["method"] == "Log.entryAdded":
                shown.complaints.append(event["params"]["entry"]["text"])
            elif event["method"] == "Network.requestWillBeSent":
                shown.requested.append(event["params"]["request"]["url"])
        return shown

    def _value(self, expression: str) -> Any:
        return self._ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"]["value"]

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._ids)
        self._connection.send(json.dumps({"id": number, "method": method, "params": params}))
        while (answer := self._receive()).get("id") != number:
            pass
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._connection.recv(timeout=_PATIENCE_S))
        if "method" in message:
            self._events.append(message)
        return message


@contextmanager
def open_browser(chromium: str, profile: Path) -> Iterator[Browser]:
    """Chromium with a new profile in the folder ``profile``; it ends with the block."""
    process = subprocess.Popen(
        [chromium, *_FLAGS, f"--user-data-dir={profile}"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        port = _port(process, profile / "DevToolsActivePort")
        tabs = httpx.get(f"http://127.0.0.1:{port}/json/list", trust_env=False).json()
        address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
        with connect(address, max_size=None, proxy=None) as connection:
            yield Browser(connection)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _port(process: subprocess.Popen[bytes], file: Path) -> int:
    end = time.monotonic() + _PATIENCE_S
    while not file.exists() or not file.read_text().strip():
        assert process.poll() is None, f"chromium ended with {process.returncode}"
        assert time.monotonic() < end, "chromium does not open its debugging port"
        time.sleep(0.05)
    return int(file.read_text().splitlines()[0])
