"""The other verifiers: their heads, their votes, the files they hold. Nothing they say is believed before it is checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import httpx

from subak.archive.store import Archive, ArchiveError, HttpArchive, NotThere, content_hash
from subak.chain.accounts import recover
from subak.core.canon.json import encode, hash_json
from subak.core.nouns import Head, Vote, decode

MAX_DOCUMENT_BYTES = 8 << 20


def head_digest(head: Head) -> bytes:
    """What a head's signature covers: SHA-256 of its canonical JSON without the signature."""
    unsigned = {name: getattr(head, name) for name in head.__struct_fields__ if name != "signature"}
    return hash_json(unsigned)


def head_holds(head: Head) -> bool:
    """Did its verifier sign it?"""
    return recover(head_digest(head), head.signature) == head.verifier


class Peers:
    """HTTP to the verifiers that ``network.toml`` names, this one included."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = tuple(addresses)
        self._client = httpx.Client(timeout=httpx.Timeout(5.0, connect=1.0))
        self._archives = [HttpArchive(f"{address}/archive") for address in addresses]

    def heads(self, epoch: int, network: bytes) -> dict[bytes, Head]:
        """By verifier: the signed heads of this epoch that can be had now."""
        found: dict[bytes, Head] = {}
        for raw in self._documents(f"/v1/heads/{epoch}"):
            try:
                head = decode(raw, Head)
            except ValueError:
                continue
            if head.epoch == epoch and head.network == network and encode(head) == raw and head_holds(head):
                found[head.verifier] = head
        return found

    def votes(self, first: int, attempt: int, round_: int) -> list[Vote]:
        """Votes on this range, one per signer at most, each truly signed."""
        found: dict[bytes, Vote] = {}
        for raw in self._documents(f"/v1/votes/{first}/{attempt}/{round_}"):
            try:
                vote = decode(raw, Vote)
            except ValueError:
                continue
            if (vote.first, vote.attempt, vote.round) == (first, attempt, round_) and recover(vote.digest, vote.signature) == vote.signer:
                found[vote.signer] = vote
        return list(found.values())

    def fetch(self, path: str, sha: bytes, into: Archive) -> None:
        """Bring a hash-named file home. Errors: NotThere if no peer holds bytes with this hash."""
        if into.has(path):
            return
        into.put(path, self._find(path, sha))

    def _find(self, path: str, sha: bytes) -> bytes:
        for archive in self._archives:
            try:
                raw = archive.get(path)
            except ArchiveError:
                continue
            if content_hash(raw) == sha:
                return raw
        raise NotThere(path, f"any verifier's archive ({', '.join(self.addresses)})")

    def _documents(self, path: str) -> Iterable[bytes]:
        for address in self.addresses:
            try:
                response = self._client.get(address + path)
            except httpx.HTTPError:
                continue
            if response.status_code == 200 and len(response.content) <= MAX_DOCUMENT_BYTES:
                yield response.content
