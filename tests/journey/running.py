"""``subak up --json`` as a child, read line by line."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import httpx

from subak.archive.books import read_state
from subak.archive.store import HttpArchive, NotThere
from subak.archive.tables import read_tables
from subak.chain.rpc import Rpc
from subak.chain.snapshot import Finalised, Follower
from subak.core.nouns import Network, decode


def eventually(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait until the condition holds; fail after the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def holds(archive: HttpArchive, final: Finalised) -> bool:
    """Whether an archive has what a final range came to."""
    try:
        read_state(archive, final.state_root)
        read_tables(archive, "verdicts", final.verdicts_hash)
    except NotThere:
        return False
    return True


class Running:
    """One network, up until the context closes."""

    def __init__(self, folder: Path, program: Sequence[str] = ("subak", "up")) -> None:
        """``program`` is the module that brings it up, and what it is told beside --json and --data."""
        self.folder, self._program = folder, program
        self._command = [sys.executable, "-m", *program, "--json", "--data", str(folder)]
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.notes: list[str] = []
        self.ready: dict[str, Any] = {}
        self.epochs: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self.began = time.monotonic()
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self.ready = self._until("ready", 90)
        except BaseException:
            self.__exit__()
            raise
        self.network = decode(httpx.get(f"{self.ready['archive']}/network.json").content, Network)
        self.rpc = Rpc(self.ready["rpc"])
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> int:
        """Ctrl-C, and wait until everything is down."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def again(self) -> Running:
        """The same network from its folder, not yet up."""
        return Running(self.folder, self._program)

    def epoch(self, number: int, seconds: float = 120) -> dict[str, Any]:
        """The event of this epoch, once it is final and paid."""
        while not any(each["epoch"] == number for each in self.epochs):
            self.epochs.append(self._until("epoch", seconds))
        return next(each for each in self.epochs if each["epoch"] == number)

    def told(self) -> list[dict[str, Any]]:
        """Every epoch's event, after it was stopped."""
        for line in iter(self._lines.get, None):
            with contextlib.suppress(json.JSONDecodeError):
                told = json.loads(line)
                self.epochs += [told] if told["event"] == "epoch" else []
        return self.epochs

    def finals(self) -> list[Finalised]:
        return Follower(self.rpc, self.network.contracts, self.network.clock).finalised()

    def archive_with(self, final: Finalised) -> HttpArchive:
        """The first verifier's archive, once that verifier has settled the range too: it may be the one that was silent."""
        archive = HttpArchive(self.ready["archive"])
        eventually(lambda: holds(archive, final), f"the first verifier's archive has epochs {final.first} to {final.last}")
        return archive

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another command through the same door."""
        return subprocess.run([sys.executable, "-m", "subak", *arguments], capture_output=True, text=True, timeout=120, check=False)

    def ask(self, *arguments: str) -> Any:
        """A command with --json about this network; its answer."""
        done = self.run(*arguments, "--archive", self.ready["archive"], "--rpc", self.ready["rpc"], "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def send_signal(self, name: str, number: signal.Signals) -> None:
        os.kill(self.pid(name), number)

    def wait_for_dump(self) -> None:
        """Until the chain wrote its state down twice: what was mined before survives a kill."""
        state = self.folder / "chain" / "state.json"
        for _ in range(2):
            written = state.stat().st_mtime_ns
            eventually(lambda before=written: state.stat().st_mtime_ns != before, "the chain writes its state")  # type: ignore[misc]

    def pid(self, name: str) -> int:
        """Process id of a part now; it changes when the part was started again."""
        pids: dict[str, int] = json.loads((self.folder / "pids.json").read_text())
        return pids[name]

    def _until(self, event: str, seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {event} within {seconds} s; notes so far: {self.notes}\n{self._logs()}") from None
            if line is None:
                raise AssertionError(f"it ended before {event}; notes so far: {self.notes}\n{self._logs()}")
            try:
                told: dict[str, Any] = json.loads(line)
            except json.JSONDecodeError:
                self.notes.append(line)
                continue
            if told["event"] == event:
                return told
            if told["event"] == "epoch":
                self.epochs.append(told)
            elif told["event"] == "note":
                self.notes.append(told["text"])

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _logs(self) -> str:
        return "\n".join(f"== {log.name}\n{log.read_text()[-1500:]}" for log in sorted((self.folder / "logs").glob("*.log")))
