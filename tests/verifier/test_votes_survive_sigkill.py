"""A verifier that is killed at any line of the voting path never contradicts itself, whatever it comes to after the restart.

Run as a program it is the process that is forked for each kill: a fresh one, because threads of other tests do not live on in a fork.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any

import polars as pl

from subak.archive.store import FolderArchive
from subak.chain.accounts import Account
from subak.chain.settlement import Opened
from subak.core.canon.json import encode, hash_json
from subak.core.canon.typed_data import EpochRoot
from subak.core.nouns import Clock, Contents, Contracts, Hash, Network, Settlement, SnapshotRef, State
from subak.core.nouns.document import Address
from subak.core.nouns.network import Nodes
from subak.core.nouns.settlement import Summary
from subak.core.settlement.roots import asset_tree, payout_tree
from subak.verifier.closing import Closing
from subak.verifier.journal import Journal
from subak.verifier.judge import Settled
from subak.verifier.peers import Peers

ME = Account(b"\x21" * 32)
CLOCK = Clock(0, 86_400, 0, 7200, 21_600)
CONTRACTS = Contracts(*(Address(bytes([n]) * 20) for n in range(1, 11)))
OPENED = Opened(first=3, last=3, attempt=1, weight_epoch=3, books_hash=Hash(bytes(32)))
PATH = ("closing.py", "journal.py", "files.py", "accounts.py")
"""The files that the voting path runs through."""
NEVER = 10**9
NONE = bytes(32)
SUMMARY = Summary(0, 0, 0, {}, 0, 0, 0, 0, 0, {})
BOOK = Contents(
    *(Hash(NONE), 3, 3 * 86_400, 4 * 86_400, 4 * 86_400, Hash(NONE), SnapshotRef(1, Hash(NONE), Hash(NONE)), (), ()),
    *((), Hash(NONE), Hash(NONE)),
)


VERDICTS = pl.DataFrame({"sequence": [1]}, schema={"sequence": pl.UInt64})
STATE = State.genesis()


def settled(number: int) -> Settled:
    """What the Book comes to; another number, another result."""
    root = bytes([number]) * 32
    settlement = Settlement(3, VERDICTS, root, STATE, NONE, payout_tree(STATE), asset_tree(STATE), 0, 0, SUMMARY)
    return Settled(EpochRoot(3, 3, NONE, root, NONE, root, root, root, 0, 0, (hash_json(BOOK),), ()), [settlement])


def network(url: str) -> Network:
    return Network("alone", 31337, CLOCK, CONTRACTS, nodes=Nodes(verifiers=(url,)))


def verifier(folder: Path, peers: Peers) -> Closing:
    """As far as voting needs it, from what is on disk."""
    closing = Closing.__new__(Closing)
    closing.network, closing.me, closing.peers = network(""), ME, peers
    closing.archive, closing.journal = FolderArchive(folder / "archive"), Journal(folder / "journal")
    closing.archive.put(f"book/{hash_json(BOOK).hex()}.json", encode(BOOK))
    return closing


def live(folder: Path, peers: Peers, number: int, line: int) -> bool:
    """Seal the Book, vote on it, and vote again after a challenge, in a process of its own, which gets SIGKILL before it runs that line;
    False once it was through before.

    No table is published before the votes: Polars' threads are not there in a fork, and what lies under its hash is the same again.
    """
    result = settled(number)
    bare = Settled(result.message, [])
    child = os.fork()
    if child == 0:
        left = [line]

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            if frame.f_code.co_filename.rsplit("/", 1)[-1] not in PATH:
                return None
            if event == "line":
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        code = 1
        try:
            closing = verifier(folder, peers)
            if line < NEVER:
                sys.settrace(trace)
            closing._seal(result)
            closing._vote(bare, OPENED, 0)
            closing._vote(bare, OPENED, 1)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
        raise SystemExit(f"{folder.name}: it ended with {os.WEXITSTATUS(status)}")
    return os.WIFSIGNALED(status)


def said(folder: Path) -> dict[str, list[str]]:
    """All that anyone can hear from it: by name, the results."""
    journal = Journal(folder / "journal")
    seal = journal.seal(hash_json(BOOK))
    votes = {str(round_): [vote.result.hex() for vote in journal.heard_votes(3, 1, round_)] for round_ in (0, 1)}
    return votes | {"seal": [seal.seal.hex()] if seal else []}


def main(root: Path, url: str) -> None:
    """Kill it at each line, and let it come to another result afterwards: prints what it said before and in the end."""
    line, killed, peers = 0, True, Peers(network(url))
    while killed:
        folder = root / str(line)
        killed = live(folder, peers, 1, line)
        before = said(folder)
        live(folder, peers, 2, NEVER)
        print(json.dumps([before, said(folder)]))
        line += 1


class Quiet(SimpleHTTPRequestHandler):
    """The folders over HTTP, without a word."""

    def log_message(self, *_: object) -> None: ...


@contextmanager
def served(folder: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_honest_verifier_never_says_two_things_though_it_is_killed_at_every_line(tmp_path: Path) -> None:
    FolderArchive(tmp_path / "archive").put(f"book/{hash_json(BOOK).hex()}.json", encode(BOOK))
    with served(tmp_path) as url:
        done = subprocess.run([sys.executable, __file__, tmp_path, url], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lives = [json.loads(each) for each in done.stdout.splitlines()]
    second = settled(2).result.hex()
    for line, (before, after) in enumerate(lives):
        for name, results in before.items():
            assert len(results) <= 1, f"killed at line {line}: {name}"
            assert len(after[name]) == 1, f"killed at line {line}: {name}"
            if results:
                assert after[name] == results, f"killed at line {line}: {name} was heard, and is another one now"
            elif name in ("0", "1"):
                assert after[name] == [second], f"killed at line {line}: nobody had heard {name}"
    assert len(lives) > 120, "the path has more lines than that"
    for name in ("seal", "0", "1"):
        kept = [bool(before[name]) for before, _ in lives]
        assert kept == sorted(kept), f"once {name} is on disk it stays there"
        assert (kept[0], kept[-1]) == (False, True), f"some kills came before {name} was on disk, some after"


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
