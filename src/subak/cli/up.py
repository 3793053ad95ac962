"""``subak up``: the town with a table for people, or JSON lines for programs."""

from __future__ import annotations

import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from subak.chain.rpc import Rpc
from subak.chain.settlement import Settlement as Chain
from subak.core.nouns import Network
from subak.lab.epochs import EpochLine, epoch_lines
from subak.lab.town import DOLLAR, UNIT, Town, Wishes

SHOWN_EPOCHS = 15
LOOK_SECONDS = 0.25


def run(wishes: Wishes, epochs: int, json: bool, kept: bool = True, town_class: type[Town] = Town) -> int:
    """Bring the town up, show its epochs, take it down; throw its folder away if it is not ``kept``. Returns the exit code."""
    town = town_class(wishes)
    view: _View = _JsonLines() if json else _LiveTable(town)
    with _stop_on_signal() as stopped:
        try:
            network = town.up(view.say)
            view.ready(town, network)
            _watch(town, network, view, epochs, stopped)
        finally:
            view.say("stopping")
            view.close()
            town.down()
            if not kept:
                shutil.rmtree(wishes.folder, ignore_errors=True)
    return 0


def _watch(town: Town, network: Network, view: _View, epochs: int, stopped: threading.Event) -> None:
    rpc = Rpc(network.nodes.rpc)
    shown = 0
    ended = False
    lines = epoch_lines(network, rpc, Chain(rpc, network.contracts), town.finals_before)
    while not stopped.is_set():
        for name in town.watch():
            view.say(f"{name} had stopped; started it again")
        line = next(lines)
        if line is not None:
            view.epoch(line)
            shown += 1
            if epochs and shown >= epochs:
                return
            continue
        if town.recording_ended() and not ended:
            ended = True
            view.say("the recording has ended: the homes' meters stand still from here on")
        view.idle(town)
        stopped.wait(LOOK_SECONDS)


class _View:
    """Where news goes."""

    def say(self, words: str) -> None: ...

    def ready(self, town: Town, network: Network) -> None: ...

    def epoch(self, line: EpochLine) -> None: ...

    def idle(self, town: Town) -> None: ...

    def close(self) -> None: ...


class _JsonLines(_View):
    """One JSON object a line; what is only said on the way goes to standard error."""

    def say(self, words: str) -> None:
        print(msgspec.json.encode({"event": "note", "text": words}).decode(), file=sys.stderr, flush=True)

    def ready(self, town: Town, network: Network) -> None:
        contracts = {name: "0x" + getattr(network.contracts, name).hex() for name in network.contracts.__struct_fields__}
        self._print(
            {
                "event": "ready",
                "rpc": network.nodes.rpc,
                "archive": f"{network.nodes.verifiers[0]}/archive",
                "explorer": network.nodes.explorer,
                "contracts": contracts,
                "intake": [f"{verifier}/v1/entries" for verifier in network.nodes.verifiers],
                "pids": town.pids(),
                "data": str(town.folder),
                "network": "0x" + network.id.hex(),
            }
        )

    def epoch(self, line: EpochLine) -> None:
        self._print(
            {
                "event": "epoch",
                "epoch": line.epoch,
                "root": line.root,
                "paid": str(line.paid),
                "fees": str(line.fees),
                "unallocated": str(line.unallocated),
                "accepted": line.accepted,
                "held": line.held,
                "refused": line.refused,
                "reasons": dict(line.reasons),
                "minted": str(line.minted),
            }
        )

    def _print(self, event: dict[str, Any]) -> None:
        print(msgspec.json.encode(event).decode(), flush=True)


class _LiveTable(_View):
    """A table that people watch."""

    def __init__(self, town: Town) -> None:
        self._console = Console()
        self._lines: list[EpochLine] = []
        self._news = ""
        self._network: Network | None = None
        self._live = Live(console=self._console, auto_refresh=False, transient=False)
        self._started = time.monotonic()
        self._clock = 0
        self._processes = 0
        self._live.start()

    def say(self, words: str) -> None:
        self._news = words
        self._draw()

    def ready(self, town: Town, network: Network) -> None:
        self._network = network
        self._news = f"up after {time.monotonic() - self._started:.1f} s; the first epoch is paid about 35 s from now"
        self._draw()

    def epoch(self, line: EpochLine) -> None:
        self._lines.append(line)
        self._news = f"epoch {line.epoch} is final and paid"
        self._draw()

    def idle(self, town: Town) -> None:
        assert town.chain is not None
        self._clock = town.chain.now()
        self._processes = len(town.pids())
        self._draw()

    def close(self) -> None:
        self._live.stop()

    def _draw(self) -> None:
        parts: list[Any] = []
        if self._network is not None:
            now = time.strftime("%d %B %Y %H:%M UTC", time.gmtime(self._clock)) if self._clock else "…"
            parts.append(Text.assemble(("Subak", "bold"), f"  {now}, {self._network.speed}× speed, {self._processes} processes"))
            parts.append(Text.assemble("explorer  ", (self._network.nodes.explorer, "bold underline")))
            archive = f"{self._network.nodes.verifiers[0]}/archive"
            parts.append(Text(f"check     subak check 0 --archive {archive} --rpc {self._network.nodes.rpc}", style="dim"))
            parts.append(self._table())
        parts.append(Text(self._news, style="italic"))
        self._live.update(Group(*parts), refresh=True)

    def _table(self) -> Table:
        table = Table(expand=False)
        for title, side in (("epoch", "right"), ("root", "left"), ("rewards", "right"), ("fees", "right"), ("unallocated", "right")):
            table.add_column(title, justify=side)  # type: ignore[arg-type]
        for title in ("accepted", "held", "refused"):
            table.add_column(title, justify="right")
        table.add_column("why refused or held")
        for line in self._lines[-SHOWN_EPOCHS:]:
            why = ", ".join(f"{count} {name}" for name, count in line.not_paid.items())
            paid = f"{line.paid // UNIT:,}.{line.paid % UNIT // 10**14:04}"
            fees = f"{line.fees // DOLLAR:,}.{line.fees % DOLLAR // 10**2:04}"
            row = (line.epoch, line.root[2:14] + "…", paid, fees, line.unallocated, line.accepted, line.held, line.refused, why)
            table.add_row(*(str(each) for each in row))
        return table


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
