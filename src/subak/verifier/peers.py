"""The other verifiers: their heads, seals and votes, the files they hold. Nothing they say is believed before it is checked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx

from subak.archive.store import Archive, ArchiveError, HttpArchive, NotThere, content_hash
from subak.archive.tables import MANIFEST, read_tables, write_tables
from subak.chain.accounts import recover
from subak.core.canon.json import encode, hash_json
from subak.core.canon.typed_data import vote_digest
from subak.core.nouns import Head, Network, Seal, Vote, decode

MAX_DOCUMENT_BYTES = 8 << 20
MOST_VOTES = 256
"""A peer that says to have heard more of one round is not read further."""
COPIES = 2
"""In how many places every byte of a Book must be before a verifier votes on it."""
TIMEOUT = httpx.Timeout(2.0, connect=0.5)
REST_SECONDS = 4.0
"""A peer that did not answer in time is not asked for so long: a stopped one must not slow the others down."""


def signed_digest(document: Head | Seal) -> bytes:
    """What a head's or seal's signature covers: SHA-256 of its canonical JSON without the signature."""
    return hash_json({name: getattr(document, name) for name in document.__struct_fields__ if name != "signature"})


def head_holds(head: Head) -> bool:
    """Did its verifier sign it?"""
    return _signed_by(head.verifier, signed_digest(head), head.signature)


def seal_holds(seal: Seal) -> bool:
    """Did its signer sign it?"""
    return _signed_by(seal.signer, signed_digest(seal), seal.signature)


def vote_holds(vote: Vote, network: Network) -> bool:
    """Did its signer sign it, for this network?"""
    digest = vote_digest(vote.first, vote.attempt, vote.round, vote.result, network.chain_id, network.contracts.settlement)
    return _signed_by(vote.signer, digest, vote.signature)


class Peers:
    """HTTP to the verifiers that ``network.toml`` names, this one included."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._peers = [_Peer(address) for address in network.nodes.verifiers]
        self._pool = ThreadPoolExecutor(max(1, len(self._peers)), thread_name_prefix="peers")

    def __len__(self) -> int:
        return len(self._peers)

    def heads(self, epoch: int) -> dict[bytes, Head]:
        """By verifier: the signed heads of this epoch that can be had now."""
        found: dict[bytes, Head] = {}
        for raw in self._documents(f"/v1/heads/{epoch}"):
            try:
                head = decode(raw, Head)
            except ValueError:
                continue
            if head.epoch == epoch and head.network == self._network.id and encode(head) == raw and head_holds(head):
                found[head.verifier] = head
        return found

    def seals(self, book: bytes) -> list[Seal]:
        """The peers' own seals of a Book that can be had now, each truly signed."""
        found: list[Seal] = []
        for raw in self._documents(f"/v1/seals/{book.hex()}"):
            try:
                seal = decode(raw, Seal)
            except ValueError:
                continue
            if seal.book == book and seal_holds(seal):
                found.append(seal)
        return found

    def votes(self, first: int, attempt: int, round_: int) -> list[Vote]:
        """All different votes on this range that the peers know of, each truly signed; two of one signer are equivocation."""
        found: dict[tuple[bytes, bytes], Vote] = {}
        for raw in self._documents(f"/v1/votes/{first}/{attempt}/{round_}/seen"):
            try:
                heard = decode(raw, list[Vote])[:MOST_VOTES]
            except ValueError:
                continue
            for vote in heard:
                name = (vote.signer, vote.result)
                named = (vote.first, vote.attempt, vote.round) == (first, attempt, round_)
                if named and name not in found and vote_holds(vote, self._network):
                    found[name] = vote
        return list(found.values())

    def require_copies(self, path: str) -> None:
        """Is a file in two places, this verifier's own among them? Where there is only one verifier, one place does.

        Errors: NotThere, if the peers say to hold too few.
        """
        wanted = min(COPIES, len(self._peers))
        held = 0
        for peer in self._peers:
            held += peer.has(path)
            if held >= wanted:
                return
        raise NotThere(path, f"{wanted} places: {held} of the verifiers hold it")

    def fetch(self, path: str, sha: bytes, into: Archive) -> None:
        """Bring a hash-named file home. Errors: NotThere if no peer holds bytes with this hash."""
        if into.has(path):
            return
        for peer in self._peers:
            raw = peer.file(path)
            if raw is not None and content_hash(raw) == sha:
                into.put(path, raw)
                return
        raise NotThere(path, f"any verifier's archive ({', '.join(peer.address for peer in self._peers)})")

    def fetch_tables(self, folder: str, name: bytes, into: Archive) -> None:
        """Bring a set of tables home that is named by its columns hash. Errors: NotThere if no peer holds it."""
        if into.has(f"{folder}/{name.hex()}/{MANIFEST}"):
            return
        for peer in self._peers:
            try:
                write_tables(into, folder, read_tables(peer.archive, folder, name))
            except ArchiveError:
                continue
            return
        raise NotThere(f"{folder}/{name.hex()}", f"any verifier's archive ({', '.join(peer.address for peer in self._peers)})")

    def _documents(self, path: str) -> Iterator[bytes]:
        """What each peer answers now, asked all at once."""
        return filter(None, list(self._pool.map(lambda peer: peer.document(path), self._peers)))


class _Peer:
    """One verifier, with a rest after it kept us waiting."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._client = httpx.Client(timeout=TIMEOUT)
        self.archive = HttpArchive(f"{address}/archive", client=self._client)
        self._rests_until = 0.0

    def document(self, path: str) -> bytes | None:
        if time.monotonic() < self._rests_until:
            return None
        try:
            response = self._client.get(self.address + path)
        except httpx.HTTPError:
            self._rests_until = time.monotonic() + REST_SECONDS
            return None
        small = len(response.content) <= MAX_DOCUMENT_BYTES
        return response.content if response.status_code == 200 and small else None

    def has(self, path: str) -> bool:
        if time.monotonic() < self._rests_until:
            return False
        try:
            return self._client.head(f"{self.address}/archive/{path}").status_code == 200
        except httpx.HTTPError:
            self._rests_until = time.monotonic() + REST_SECONDS
            return False

    def file(self, path: str) -> bytes | None:
        if time.monotonic() < self._rests_until:
            return None
        try:
            return self.archive.get(path)
        except NotThere:
            return None
        except ArchiveError:
            self._rests_until = time.monotonic() + REST_SECONDS
            return None


def _signed_by(signer: bytes, digest: bytes, signature: bytes) -> bool:
    try:
        return recover(digest, signature) == signer
    except ValueError:
        return False
