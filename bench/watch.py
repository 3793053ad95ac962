"""Watch a million: what watching an epoch of 1,000,000 assets takes, beside settling it alone, which is ``settle``'s own measure.

A watcher brings every file of the Book home and checks its hash, writes the chain's facts down, settles from its own state, keeps the state
after it and compares the result. The ratio leaves out what both leave out, the pages' signatures, and what depends on the chain's node and
on the network: the events that the facts are folded from, and the way of the bytes; here they come from another folder.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from bench import settle
from subak.archive.books import read_contents, read_state, write_state
from subak.archive.store import FolderArchive
from subak.archive.tables import read_tables, write_tables
from subak.chain.rpc import Block
from subak.chain.settlement import Phase, SettlementView
from subak.core.nouns import Clock, Contracts, Hash, Network
from subak.core.nouns.document import Address
from subak.core.settlement.money import to_ints
from subak.verifier.watching import Sources

TARGET = 1.5
JUDGE: Any = import_module("subak.verifier.judge")

T = TypeVar("T")


def run() -> dict[str, float]:
    """Measures and prints; gives ``watch_vs_settle`` and ``watch_million_seconds``."""
    with tempfile.TemporaryDirectory(prefix="subak-bench-") as folder, tempfile.TemporaryDirectory(prefix="subak-bench-") as own:
        book_hash, state_root = _child("bench.settle", "write", folder, str(settle.ASSETS))
        alone = _child("bench.settle", "settle", folder, book_hash, state_root)
        found = _child("bench.watch", folder, own, book_hash, state_root)
    if found["root"] != alone["root"]:
        raise RuntimeError(f"the watcher comes to {found['root']}, settling alone to {alone['root']}")
    for part, took in found["parts"].items():
        print(f"  {part:40} {took:6.2f} s")
    ratio = found["seconds"] / alone["seconds"]
    print(f"  watching {found['seconds']:.2f} s, settling alone {alone['seconds']:.2f} s: {ratio:.2f} times; target {TARGET}")
    print(f"  peak {found['gib']:.2f} GiB; left out of both: signatures, {alone['verify_us']:.0f} us a page; the chain's events")
    return {"watch_vs_settle": ratio, "watch_million_seconds": found["seconds"]}


def _child(module: str, *arguments: str) -> Any:
    done = subprocess.run([sys.executable, "-m", module, *arguments], check=True, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
    return json.loads(done.stdout)


def _watch(folder: str, home: str, book_hash: str, state_root: str) -> dict[str, Any]:
    theirs, mine, book = FolderArchive(folder), FolderArchive(home), Hash(bytes.fromhex(book_hash))
    contents, before = read_contents(theirs, book), read_state(theirs, bytes.fromhex(state_root))
    facts = read_tables(theirs, "snapshot", contents.snapshot.hash)
    write_state(mine, before)
    rewards, fees = (to_ints(before.totals[name])[0] for name in ("rewards", "fees"))
    parts: dict[str, float] = {}

    def timed(part: str, work: Callable[[], T]) -> T:
        started = time.perf_counter()
        result = work()
        parts[part] = time.perf_counter() - started
        return result

    nobody, nothing = Address(bytes(20)), Hash(bytes(32))
    network = Network("bench", 1, Clock(0, 86_400, 600, 7_200, 21_600), Contracts(*[nobody] * 10))
    block = Block(0, nothing, nothing, 0, 0)
    view = SettlementView(block, Phase.OPEN, settle.EPOCH, nothing, Hash(bytes.fromhex(state_root)), rewards, fees, None, 0, None, None, 0)
    sources = Sources(network, [theirs])
    # Nothing is asked of a chain here; the signatures are taken for good, as in ``settle``.
    judge = JUDGE.Judge(network, mine, sources, None, None)
    JUDGE.load_book = lambda archive, name, kinds: settle._load_verified(archive, name)
    sources.fetch(f"book/{book_hash}.json", book, mine)

    started = time.perf_counter()
    timed("bring the Book's files home", lambda: judge._bring_home(contents))
    timed("write the chain's facts down", lambda: write_tables(mine, "snapshot", facts))
    settled = timed("settle from its own state", lambda: judge._compute((book,), view))
    timed("keep the state", lambda: write_state(mine, settled.settlements[-1].state))
    timed("compare", lambda: settled.result)
    seconds = time.perf_counter() - started
    gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"parts": parts, "seconds": seconds, "gib": gib, "root": settled.message.root.hex()}


if __name__ == "__main__":
    print(json.dumps(_watch(*sys.argv[1:])))
