"""Book: the closed inputs of one epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import polars as pl
from numpy.typing import NDArray

from subak.core.nouns.document import Address, Hash, Signature
from subak.core.nouns.policy import Policy
from subak.core.nouns.snapshot import Snapshot
from subak.core.nouns.vote import Seal

LINES: dict[str, pl.DataType | type[pl.DataType]] = {
    "lane": pl.Binary,
    "seq": pl.Int64,
    "asset": pl.Binary,
    "money": pl.Decimal(38, 0),
}
"""A table of lines: the running money of each asset on a lane, as the voucher of this sequence says."""


class SegmentRef(msgspec.Struct, frozen=True):
    """One file of Entries."""

    schema: str
    """Name of the Entries' schema, which is also the folder in the archive."""
    sha: Hash
    """Hash of the file's bytes, which is its name."""
    rows: int
    """Entries in it."""
    verifier: Address
    """Signer of the verifier that took them in."""
    position: int
    """Position of its first Entry in that verifier's log."""


class Head(msgspec.Struct, frozen=True):
    """A verifier's word, at the close of an epoch, on which segments it brings."""

    network: Hash
    """Network id."""
    epoch: int
    """The epoch that closed."""
    verifier: Address
    """Its signer."""
    segments: tuple[SegmentRef, ...]
    """Segments that no final Book lists yet, in order of position."""
    lines: tuple[Hash, ...]
    """Tables of lines of redeemed vouchers that no final Book lists yet."""
    commit: Hash
    """SHA-256 of "subak/commit/1" and the secret that this verifier's next head reveals."""
    reveal: Hash
    """The secret that its head before committed to. It stands in the Book, and so in the seed of the tasks."""
    seals: tuple[Seal, ...]
    """Seals of the Books of the epoch before that reached this verifier in time."""
    signature: Signature
    """By the signer over the canonical JSON without this field."""


class SnapshotRef(msgspec.Struct, frozen=True):
    """Which state of the chain the Book uses."""

    block: int
    """Last block with a timestamp before the epoch's end."""
    block_hash: Hash
    """Its hash."""
    hash: Hash
    """Columns hash of the fold of the logs up to it."""


class Contents(msgspec.Struct, frozen=True):
    """The Book's table of contents: its canonical JSON hashes to the bookHash that is opened on chain."""

    network: Hash
    """Network id."""
    epoch: int
    """Number of the epoch."""
    first_unix_s: int
    """Start of the epoch."""
    end_unix_s: int
    """End of the epoch, exclusive."""
    close_unix_s: int
    """When intake for it closed; nothing later is judged."""
    policy: Hash
    """Hash of the policy in force."""
    snapshot: SnapshotRef
    """The chain's facts."""
    segments: tuple[SegmentRef, ...]
    """The Entries, in the order in which they count as listed."""
    heads: tuple[Hash, ...]
    """The verifiers' signed heads that brought these segments."""
    lines: tuple[Hash, ...]
    """Tables of lines of vouchers that the chain redeemed."""
    previous: Hash
    """Hash of the epoch before's Book as it was opened first; zero in epoch 0, or while the beacon is."""
    beacon: Hash
    """Hash of the block after that opening, which nobody knew before; zero if it came after this epoch's end. Tasks are drawn from it."""


@dataclass(frozen=True)
class Book:
    """A Book with everything its contents name, loaded and checked against the hashes."""

    contents: Contents
    """What it holds, by hash."""
    policy: Policy
    """The rules in force."""
    tables: Mapping[str, Mapping[str, Mapping[str, NDArray[Any]]]]
    """Limit tables: kind, table, column."""
    snapshot: Snapshot
    """The chain's facts."""
    entries: Mapping[str, pl.DataFrame]
    """Entries by schema name, each in Book order: the segment's columns, and ``order`` (u64, place in the whole Book) and ``valid``
    (bool: the signature holds under the asset's key in the snapshot)."""
    lines: pl.DataFrame
    """Lines of vouchers: ``LINES``, and ``table`` (i64: which of the contents' tables), in whatever order; those that are not what the
    chain redeemed are ignored."""
    heads: tuple[Head, ...] = ()
    """The verifiers' heads, in the contents' order."""
