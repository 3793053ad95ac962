"""Omission: an Entry that a verifier promised to list and that the Book of its epoch does not list. Evidence that anyone can show, and
check from public data alone; it never changes a root.

Who answers: the verifier whose own head left the promised position out, or the lead whose Book left out a sound head that lists it. While
a later Book may still list the Entry nothing is claimed; if one does, the omission is healed, and whoever hid it still answers for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec
import polars as pl

from subak.archive.books import BookRefused, read_contents, read_head, read_policy, schemas_of
from subak.archive.segments import read_segment
from subak.archive.store import Archive, ArchiveError
from subak.chain.accounts import recover
from subak.chain.rpc import Rpc
from subak.chain.settlement import Settlement as Chain
from subak.chain.snapshot import Finalised, Follower
from subak.chain.stake import Stake
from subak.chain.succession import lineage
from subak.core.canon.entry import Malformed, RawEntry, cut, entry_digest
from subak.core.canon.json import encode, hash_json
from subak.core.canon.segment import signed_rows
from subak.core.canon.typed_data import Acknowledgement, acknowledgement_digest
from subak.core.nouns import Head, Network, SegmentRef, decode
from subak.kinds.registry import installed
from subak.verifier.peers import head_holds
from subak.verifier.uncut import last_end_unix_s

FORMAT = "subak/omission/1"
"""Of the evidence document."""
LISTED, WAITING, HEALED, OMITTED = "listed", "waiting", "healed", "omitted"


class OmissionRefused(ValueError):
    """What was brought proves nothing; the text says why."""


class _AcknowledgementText(msgspec.Struct):
    """As intake answers it."""

    network: str
    position: int
    count: int
    entries: str
    received_unix_s: int
    verifier: str
    signature: str


@dataclass(frozen=True)
class Promise:
    """A verifier's acknowledgement with one of the Entries that it is for."""

    message: Acknowledgement
    """What was signed."""
    verifier: bytes
    """Its signer."""
    signature: bytes
    """EIP-2098 compact."""
    digests: tuple[bytes, ...]
    """Of all Entries that were acknowledged together, in order."""
    entry: bytes
    """The Entry in question: signed bytes and signature."""

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Promise:
        """From a mapping with ``acknowledgement`` (as intake answers it), ``digests`` and ``entry`` (0x hex). Errors: OmissionRefused."""
        try:
            said = msgspec.convert(told["acknowledgement"], _AcknowledgementText)
            message = Acknowledgement(_raw(said.network), said.position, said.count, _raw(said.entries), said.received_unix_s)
            return cls(message, _raw(said.verifier), _raw(said.signature), tuple(map(_raw, told["digests"])), _raw(told["entry"]))
        except (KeyError, TypeError, ValueError) as error:
            raise OmissionRefused(f"no acknowledgement with digests and Entry can be read: {error}") from None

    def as_dict(self) -> dict[str, Any]:
        """What ``read`` reads."""
        message = self.message
        return {
            "acknowledgement": {
                "network": _hex(message.network),
                "position": message.position,
                "count": message.count,
                "entries": _hex(message.entries),
                "received_unix_s": message.received_unix_s,
                "verifier": _hex(self.verifier),
                "signature": _hex(self.signature),
            },
            "digests": [_hex(each) for each in self.digests],
            "entry": _hex(self.entry),
        }

    def is_for(self, chain_id: int, settlement: bytes) -> bool:
        """Whether it was signed in the name of this Settlement."""
        try:
            return recover(acknowledgement_digest(self.message, chain_id, settlement), self.signature) == self.verifier
        except ValueError:
            return False

    def check(self, network: Network) -> tuple[RawEntry, int]:
        """The Entry and its position in the verifier's log. Errors: OmissionRefused naming what does not hold."""
        message = self.message
        try:
            [entry] = cut(self.entry)
            signer = recover(acknowledgement_digest(message, network.chain_id, network.contracts.settlement), self.signature)
        except (Malformed, ValueError) as error:
            raise OmissionRefused(f"the Entry or the acknowledgement's signature is none: {error}") from None
        digest = entry_digest(entry.signed)
        for holds, words in (
            (message.network == network.id == entry.network, f"it is of network {_hex(message.network)}, this one is {_hex(network.id)}"),
            (signer == self.verifier, f"the acknowledgement is signed by {_hex(signer)}, not by {_hex(self.verifier)}"),
            (message.count == len(self.digests), f"{message.count} Entries were acknowledged, {len(self.digests)} digests are there"),
            (sha256(b"".join(self.digests)).digest() == message.entries, "the digests are not those that were acknowledged"),
            (digest in self.digests, f"the Entry {_hex(digest)} is not among those that were acknowledged"),
        ):
            if not holds:
                raise OmissionRefused(words)
        return entry, message.position + self.digests.index(digest)


@dataclass(frozen=True)
class Finding:
    """What public data say of a promise."""

    status: str
    """``listed``: in time. ``waiting``: it may still be listed. ``healed``: a later Book lists it. ``omitted``: none does, and none can."""
    words: str
    """For people."""
    document: Mapping[str, Any] | None
    """The evidence, for ``healed`` and ``omitted``: plain values."""

    @property
    def raw(self) -> bytes:
        """The document's canonical bytes; their SHA-256 is the reason of a punishment by vote."""
        return encode(self.document)


def prove(
    promise: Promise, network: Network, archive: Archive, rpc: Rpc, heads: Callable[[int], Iterable[Head]] = lambda epoch: ()
) -> Finding:
    """What became of a promised Entry, from an archive and a chain. ``heads`` gives verifiers' own heads of an epoch, which
    may stand in no Book.

    Errors: OmissionRefused; ArchiveError for a file that cannot be had; those of questions to the chain.
    """
    return _Search(promise, network, archive, rpc).run(heads)


def verify(document: Mapping[str, Any], network: Network, archive: Archive, rpc: Rpc) -> list[str]:
    """What in an evidence document is not what public data say; empty if it holds. Errors: as ``prove``."""
    if document.get("format") != FORMAT:
        raise OmissionRefused(f"the format is {document.get('format')!r}, not {FORMAT!r}")
    try:
        heads = [decode(_raw(document["head"]), Head)] if document.get("head") else []
    except ValueError as error:
        raise OmissionRefused(f"the head cannot be read: {error}") from None
    found = prove(Promise.read(document), network, archive, rpc, lambda epoch: heads)
    if found.document is None:
        return [f"status: {document.get('status')} is said, {found.status} is true: {found.words}"]
    names = sorted(document.keys() | found.document.keys())
    return [
        f"{name}: {document.get(name)} is said, {found.document.get(name)} is true"
        for name in names
        if document.get(name) != found.document.get(name)
    ]


class _Search:
    """One promise on its way."""

    def __init__(self, promise: Promise, network: Network, archive: Archive, rpc: Rpc) -> None:
        self._promise, self._network, self._archive, self._rpc = promise, network, archive, rpc
        # An acknowledgement names the Settlement that was served when it was given.
        signed_for = (each for each in reversed(lineage(rpc, network.contracts)) if promise.is_for(network.chain_id, each.settlement))
        self._signed_for = next(signed_for, network.contracts)
        self._entry, self._position = promise.check(msgspec.structs.replace(network, contracts=self._signed_for))
        self._digest = entry_digest(self._entry.signed)
        self._follower = Follower(rpc, network.contracts, network.clock)
        schemas = schemas_of({name: kind.rules for name, kind in installed().items()})
        found = next((schema for schema in schemas.values() if schema.id == self._entry.schema_id), None)
        if found is None:
            raise OmissionRefused(f"no installed kind has the schema {_hex(self._entry.schema_id)}")
        self._schema = found

    def run(self, heads: Callable[[int], Iterable[Head]]) -> Finding:
        clock, end = self._network.clock, last_end_unix_s(self._entry)
        received = self._promise.message.received_unix_s
        due = next(e for e in range(clock.epochs_closed_at(max(end, received)), 2**32) if clock.close_unix_s(e) > received)
        earliest = next(e for e in range(clock.epochs_closed_at(end - 1), 2**32) if clock.close_unix_s(e) >= end)
        finals = {epoch: final for final in self._follower.history() for epoch in range(final.first, final.last + 1)}
        if due not in finals:
            return Finding(WAITING, f"epoch {due} has to list it and is not final yet", None)
        last = self._last_useful(due, end)
        listed = next((epoch for epoch in range(earliest, last + 1) if epoch in finals and self._book_lists(finals[epoch], epoch)), None)
        if listed is not None and listed <= due:
            return Finding(LISTED, f"the Book of epoch {listed} lists it, in time", None)
        if listed is None and last not in finals:
            return Finding(WAITING, f"the Book of epoch {due} left it out, and those up to epoch {last} may still list it", None)
        role, signer, why, head = self._who(finals[due], due, heads)
        owner = Stake(self._rpc, self._network.contracts).owner_of(signer) if signer else None
        status = OMITTED if listed is None else HEALED
        book = {"epoch": listed, "book": _hex(_book(finals[listed], listed))} if listed is not None else None
        document = {
            "format": FORMAT,
            "chain_id": self._network.chain_id,
            "settlement": _hex(self._signed_for.settlement),
            **self._promise.as_dict(),
            "asset": _hex(self._entry.subject),
            "sequence": str(self._entry.sequence),
            "position": self._position,
            "due": {"epoch": due, "book": _hex(_book(finals[due], due))},
            "last_epoch": last,
            "status": status,
            "healed_by": book,
            "answers": {"role": role, "signer": _hex(signer), "owner": _hex(owner) if owner else ""} if signer else None,
            "why": why,
            "head": _hex(encode(head)) if head else "",
        }
        ending = f"healed: the Book of epoch {listed} lists it" if book else f"no Book up to epoch {last} lists it, and none after may"
        answers = f"{role} {_hex(signer)} answers for it: {why}" if signer else f"nobody can be named: {why}"
        return Finding(status, f"the Book of epoch {due} left it out; {ending}; {answers}", document)

    def _last_useful(self, due: int, end: int) -> int:
        """The last epoch in whose Book the Entry's last line is not too late."""
        clock, last = self._network.clock, due
        while True:
            policy = read_policy(self._archive, self._follower.policy(last + 1))
            if end <= clock.first_unix_s(last + 1) - policy.late_epochs * clock.epoch_seconds:
                return last
            last += 1

    def _who(self, final: Finalised, due: int, heads: Callable[[int], Iterable[Head]]) -> tuple[str, bytes, str, Head | None]:
        """Role, signer, why, and the head if it does not stand in the Book."""
        verifier = self._promise.verifier
        if not Chain(self._rpc, self._network.contracts).weights([verifier], due)[0][0]:
            return "", b"", f"verifier {_hex(verifier)} weighed nothing in epoch {due}, so its head had no place in the Book", None
        contents = read_contents(self._archive, _book(final, due))
        of_book = next((head for head in self._heads_of(contents.heads) if head.verifier == verifier), None)
        given = next((head for head in heads(due) if self._is_of(head, due)), None)
        head = of_book or given
        if head is None:
            return "", b"", f"no head of verifier {_hex(verifier)} for epoch {due} stands in the Book or can be had", None
        apart = None if of_book else head
        try:
            lists = self._lists([ref for ref in head.segments if ref.position <= self._position])
        except (ArchiveError, BookRefused) as error:
            return "verifier", verifier, f"its head of epoch {due} names a segment that cannot be had or read: {_place(error)}", apart
        if not lists:
            return "verifier", verifier, f"its head of epoch {due} leaves out position {self._position}, which it acknowledged", apart
        lead = self._lead(final)
        return "lead", lead, f"its Book of epoch {due} left out the sound head 0x{hash_json(head).hex()} that lists it", apart

    def _heads_of(self, hashes: Sequence[bytes]) -> list[Head]:
        return [read_head(self._archive, each) for each in hashes]

    def _is_of(self, head: Head, epoch: int) -> bool:
        return head.verifier == self._promise.verifier and head.epoch == epoch and head.network == self._network.id and head_holds(head)

    def _lead(self, final: Finalised) -> bytes:
        for event in self._follower.openings():
            named = (event.log.address, event.values["first"], event.values["attempt"])
            if named == (final.settlement, final.first, final.attempt):
                return bytes(event.values["lead"])
        raise LookupError(f"no Opened event for epochs from {final.first}, attempt {final.attempt}")

    def _book_lists(self, final: Finalised, epoch: int) -> bool:
        return self._lists(read_contents(self._archive, _book(final, epoch)).segments)

    def _lists(self, refs: Iterable[SegmentRef]) -> bool:
        """Whether one of these segments holds the very Entry; a copy by whichever verifier is as good."""
        for ref in refs:
            if ref.schema == self._schema.name:
                table = read_segment(self._archive, ref, self._schema)
                rows = table.filter((pl.col("subject") == self._entry.subject) & (pl.col("sequence") == self._entry.sequence))
                if self._digest in [entry_digest(signed) for signed in signed_rows(rows, self._schema, self._network.id)]:
                    return True
        return False


def _book(final: Finalised, epoch: int) -> bytes:
    return final.book_hashes[epoch - final.first]


def _place(error: Exception) -> str:
    """The file, and not where it was looked for: evidence is the same wherever it is checked."""
    return str(getattr(error, "path", type(error).__name__))


def _raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
