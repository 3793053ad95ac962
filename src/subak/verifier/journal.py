"""What this verifier has said: its heads and votes, on disk before anyone hears them."""

from __future__ import annotations

import os
from pathlib import Path

from subak.archive.files import sync_folder
from subak.core.canon.json import encode
from subak.core.nouns import Head, Vote, decode


class Equivocation(RuntimeError):
    """This verifier was about to sign two different things under one name."""


class Journal:
    """Heads by epoch, votes by (first, attempt, round).

    Promise: whatever was handed out once is the same after a crash, and a second, different one is refused.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._heads = 0
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
        raw = self._read(f"vote-{first}-{attempt}-{round_}.json")
        return decode(raw, Vote) if raw else None

    def keep_vote(self, vote: Vote) -> Vote:
        """Keep a vote before it is sent. Errors: Equivocation naming both digests."""
        kept = decode(self._keep(f"vote-{vote.first}-{vote.attempt}-{vote.round}.json", encode(vote)), Vote)
        if kept.digest != vote.digest:
            raise Equivocation(
                f"epochs from {vote.first}, attempt {vote.attempt}, round {vote.round}: "
                f"already signed {kept.digest!r}, now asked for {vote.digest!r}"
            )
        return kept

    def _read(self, name: str) -> bytes:
        path = self._folder / name
        return path.read_bytes() if path.exists() else b""

    def _keep(self, name: str, raw: bytes) -> bytes:
        path = self._folder / name
        if path.exists():
            return path.read_bytes()
        fresh = path.with_suffix(".new")
        with open(fresh, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
        sync_folder(self._folder)
        return raw
