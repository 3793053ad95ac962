"""What this verifier has said, on disk before anyone hears it: heads, seals, votes; and what it heard others say of the same."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path

from subak.archive.files import sync_folder
from subak.core.canon.json import encode
from subak.core.nouns import Head, Seal, Vote, decode

MOST_HEARD = 2
"""Votes of one signer under one name that are kept: two prove equivocation, a third proves nothing more."""


class Equivocation(RuntimeError):
    """This verifier was about to sign two different things under one name."""


class Journal:
    """Heads by epoch, seals by Book, votes by (first, attempt, round).

    Promise: whatever was handed out once is the same after a crash, and a second, different one is refused.
    """

    def __init__(self, folder: Path, votes: str = "") -> None:
        """``votes``: a folder in it for votes and what is heard of them; a Settlement that takes over counts its attempts anew, so that
        votes for it need one of their own."""
        self._folder = folder
        self._votes = f"{votes}/" if votes else ""
        self._heads = 0
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)

    def heads(self) -> int:
        """How many epochs, from 0 on, have a head."""
        while (self._folder / f"head-{self._heads}.json").exists():
            self._heads += 1
        return self._heads

    def head(self, epoch: int) -> Head | None:
        raw = self._read(f"head-{epoch}.json")
        return decode(raw, Head) if raw else None

    def keep_head(self, head: Head) -> Head:
        """Keep the head of its epoch; the one kept first if there was one."""
        return decode(self._keep(f"head-{head.epoch}.json", encode(head)), Head)

    def vote(self, first: int, attempt: int, round_: int) -> Vote | None:
        raw = self._read(f"{self._votes}vote-{first}-{attempt}-{round_}.json")
        return decode(raw, Vote) if raw else None

    def keep_vote(self, vote: Vote) -> Vote:
        """Keep a vote before it is sent. Errors: Equivocation naming both results."""
        kept = decode(self._keep(f"{self._votes}vote-{vote.first}-{vote.attempt}-{vote.round}.json", encode(vote)), Vote)
        if kept.result != vote.result:
            raise Equivocation(
                f"epochs from {vote.first}, attempt {vote.attempt}, round {vote.round}: "
                f"already signed {kept.result!r}, now asked for {vote.result!r}"
            )
        return kept

    def hear_votes(self, votes: Iterable[Vote]) -> None:
        """Keep what others said, contradictions too."""
        for vote in votes:
            folder = f"{self._votes}heard/{vote.first}-{vote.attempt}-{vote.round}"
            of_signer = [each for each in self._names(folder) if each.startswith(vote.signer.hex())]
            name = f"{vote.signer.hex()}-{vote.result.hex()}.json"
            if name not in of_signer and len(of_signer) < MOST_HEARD:
                self._keep(f"{folder}/{name}", encode(vote))

    def heard_votes(self, first: int, attempt: int, round_: int) -> list[Vote]:
        """All that was heard of a round, this verifier's own vote included."""
        folder = f"{self._votes}heard/{first}-{attempt}-{round_}"
        heard = [decode(self._read(f"{folder}/{name}"), Vote) for name in self._names(folder)]
        mine = self.vote(first, attempt, round_)
        return heard + ([mine] if mine is not None and mine not in heard else [])

    def seal(self, book: bytes) -> Seal | None:
        raw = self._read(f"seal-{book.hex()}.json")
        return decode(raw, Seal) if raw else None

    def keep_seal(self, seal: Seal) -> Seal:
        """Keep this verifier's own seal of a Book; the one kept first if there was one."""
        return decode(self._keep(f"seal-{seal.book.hex()}.json", encode(seal)), Seal)

    def hear_seals(self, seals: Iterable[Seal]) -> None:
        """Keep others' seals that came in time: the first of each signer."""
        for seal in seals:
            self._keep(f"sealed/{seal.book.hex()}/{seal.signer.hex()}.json", encode(seal))

    def heard_seals(self, book: bytes) -> list[Seal]:
        """By signer: the seals of a Book that came in time."""
        folder = f"sealed/{book.hex()}"
        return [decode(self._read(f"{folder}/{name}"), Seal) for name in self._names(folder)]

    def _names(self, folder: str) -> list[str]:
        path = self._folder / folder
        return sorted(each.name for each in path.glob("*.json")) if path.is_dir() else []

    def _read(self, name: str) -> bytes:
        path = self._folder / name
        with self._lock:
            return path.read_bytes() if path.exists() else b""

    def _keep(self, name: str, raw: bytes) -> bytes:
        """Nobody reads it before it would survive a power cut, for what was shown to others must never be forgotten."""
        path = self._folder / name
        with self._lock:
            if path.exists():
                return path.read_bytes()
            new_folders = [folder for folder in path.parents if not folder.exists()]
            path.parent.mkdir(parents=True, exist_ok=True)
            for folder in new_folders:
                sync_folder(folder.parent)
            fresh = path.with_suffix(".new")
            with open(fresh, "wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            fresh.rename(path)
            sync_folder(path.parent)
            return raw
