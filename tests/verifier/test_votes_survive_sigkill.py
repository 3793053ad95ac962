"""A verifier that is killed at any line of the voting path never contradicts itself, whatever it comes to after the restart."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from subak.archive.store import FolderArchive
from subak.chain.accounts import Account
from subak.chain.settlement import Opened
from subak.core.canon.typed_data import EpochRoot
from subak.core.nouns import Clock, Contracts, Hash, Network, Vote
from subak.core.nouns.document import Address
from subak.verifier.closing import Closing
from subak.verifier.journal import Journal
from subak.verifier.judge import Settled
from subak.verifier.peers import Peers

ME = Account(b"\x21" * 32)
NETWORK = Network("alone", 31337, Clock(0, 86_400, 0, 7200, 21_600), Contracts(*(Address(bytes([n]) * 20) for n in range(1, 11))))
OPENED = Opened(first=3, last=3, attempt=1, weight_epoch=3, books_hash=Hash(bytes(32)))
PATH = ("closing.py", "journal.py", "files.py", "accounts.py")
"""The files that the voting path runs through."""


def settled(number: int) -> Settled:
    root, none = bytes([number]) * 32, bytes(32)
    return Settled(EpochRoot(3, 3, none, root, none, root, root, root, 0, 0, (), ()), [])


def verifier(folder: Path) -> Closing:
    """As far as voting needs it, from what is on disk."""
    closing = Closing.__new__(Closing)
    closing.network, closing.me, closing.peers = NETWORK, ME, Peers(NETWORK)
    closing.archive, closing.journal = FolderArchive(folder / "archive"), Journal(folder / "journal")
    return closing


def killed_at(line: int, folder: Path) -> bool:
    """Vote in a process of its own, which gets SIGKILL before it runs that line; False once it was through before."""
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

        try:
            closing = verifier(folder)
            sys.settrace(trace)
            closing._vote(settled(1), OPENED, 0)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_an_honest_verifier_never_votes_twice_though_it_is_killed_at_every_line(tmp_path: Path) -> None:
    lines, kept = 0, []
    while killed_at(lines, tmp_path / str(lines)):
        folder = tmp_path / str(lines)
        heard: Vote | None = verifier(folder).journal.vote(3, 1, 0)
        again = verifier(folder)
        again._vote(settled(2), OPENED, 0)
        said = again.journal.heard_votes(3, 1, 0)
        assert len(said) == 1, f"killed at line {lines}: {said}"
        assert said[0].result == (heard.result if heard else settled(2).result)
        kept.append(heard is not None)
        lines += 1
    assert lines > 30, "the path has more lines than that"
    assert kept == sorted(kept), "once it is on disk it stays there"
    assert (kept[0], kept[-1]) == (False, True), "some kills came before it was on disk, some after"
