"""Which Entries the Book lists: each once, in Book order, with what can be said of it before anyone looks at its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from subak.core.canon.entry import entry_digest
from subak.core.canon.segment import frame_schema, signed_rows
from subak.core.kind import ACCEPTED, Codes, Column, Mask, Rules, Schema
from subak.core.nouns.book import Book
from subak.core.settlement import reasons

_BLOCK = 1 << 16
"""Pairs of Entries that are compared at once."""


@dataclass(frozen=True)
class Listed:
    """Every Entry of the Book once, identical copies dropped; all arrays of one length, in Book order."""

    schemas: tuple[Schema, ...]
    """Schemas that the policy knows, the core's first; ``schema`` below is an index into it."""
    schema: NDArray[np.int16]
    """Which schema."""
    row: Column
    """Row in that schema's frame of the Book."""
    asset: Column
    """Row in the snapshot's assets, -1 if unknown."""
    sequence: NDArray[np.uint64]
    """The Entry's name within its asset."""
    start_unix_s: Column
    """Start of its first line."""
    interval_seconds: Column
    """Length of each line's interval."""
    rows: Column
    """Lines in it."""
    reason: Codes
    """Why it is refused as a whole; ``ACCEPTED`` if its lines are to be judged."""
    conflicted: Mask
    """By row of the snapshot's assets: it signed two different Entries of one sequence in this Book."""

    def __len__(self) -> int:
        return len(self.row)


def list_entries(book: Book, kinds: Mapping[str, Rules]) -> Listed:
    """The Book's Entries, once each.

    Promises: an identical copy changes nothing; of two different Entries with one sequence the first listed stands and the other is
    refused; an Entry with a bad signature can hurt nobody.
    Errors: ValueError for a schema that the policy does not know.
    """
    schemas = (*reasons.CORE_SCHEMAS, *(schema for name in sorted(kinds) for schema in kinds[name].schemas))
    unknown = sorted(set(book.entries) - {schema.name for schema in schemas})
    if unknown:
        raise ValueError(
            f"the Book of epoch {book.contents.epoch} lists Entries of {unknown}, the policy knows {[s.name for s in schemas]}"
        )

    every = _Every(book, schemas)
    asset = places(every.subject, book.snapshot.assets["asset"])
    known = asset >= 0
    copies, conflicts = _repeats(book, schemas, every, asset, known & every.valid)

    # Written in falling order of precedence, read upwards: the last one written stands.
    reason = np.full(len(asset), ACCEPTED, np.uint8)
    reason[_wrong_kind(book, schemas, every.schema, asset)] = reasons.WRONG_KIND
    reason[conflicts] = reasons.CONFLICT
    reason[~every.valid] = reasons.BAD_SIGNATURE
    reason[~known] = reasons.UNKNOWN_ASSET
    conflicted = np.zeros(len(book.snapshot.assets), np.bool_)
    conflicted[asset[conflicts]] = True

    keep = np.argsort(every.order, kind="stable")
    keep = keep[~copies[keep]]
    return Listed(
        schemas=schemas,
        schema=every.schema[keep],
        row=every.row[keep],
        asset=asset[keep],
        sequence=every.sequence[keep],
        start_unix_s=every.start_unix_s[keep],
        interval_seconds=every.interval_seconds[keep],
        rows=every.rows[keep],
        reason=reason[keep],
        conflicted=conflicted,
    )


class _Every:
    """The Book's Entries of all schemas as columns of one length, copies included, schema after schema."""

    def __init__(self, book: Book, schemas: tuple[Schema, ...]) -> None:
        frames = [(index, book.entries[schema.name]) for index, schema in enumerate(schemas) if schema.name in book.entries]
        frames = [(index, frame) for index, frame in frames if len(frame)]

        def column(name: str, dtype: type[np.generic]) -> NDArray[Any]:
            return _joined([frame[name].to_numpy().astype(dtype, copy=False) for _, frame in frames], dtype)

        self.schema: NDArray[np.int16] = _joined([np.full(len(frame), index, np.int16) for index, frame in frames], np.int16)
        self.row: Column = _joined([np.arange(len(frame)) for _, frame in frames], np.int64)
        self.subject = pl.concat([pl.Series("subject", dtype=pl.Binary), *(frame["subject"] for _, frame in frames)])
        self.sequence: NDArray[np.uint64] = column("sequence", np.uint64)
        self.start_unix_s: Column = column("start_unix_s", np.int64)
        self.interval_seconds: Column = column("interval_seconds", np.int64)
        self.rows: Column = column("rows", np.int64)
        self.order: NDArray[np.uint64] = column("order", np.uint64)
        self.valid: Mask = column("valid", np.bool_)


def _wrong_kind(book: Book, schemas: tuple[Schema, ...], schema: NDArray[np.int16], asset: Column) -> Column:
    """Entries of a kind about a known asset of another kind; the core's own schemas speak of any asset."""
    found = [np.empty(0, np.int64)]
    for index, each in enumerate(schemas[len(reasons.CORE_SCHEMAS) :], len(reasons.CORE_SCHEMAS)):
        about = np.flatnonzero((schema == index) & (asset >= 0))
        ours = (book.snapshot.assets["kind"] == reasons.kind_of(each)).to_numpy()
        found.append(about[~ours[asset[about]]])
    return np.concatenate(found)


def _repeats(book: Book, schemas: tuple[Schema, ...], every: _Every, asset: Column, considered: Mask) -> tuple[Mask, Mask]:
    """Which Entries are copies of one listed earlier, and which differ from the first listed under the same (asset, sequence)."""
    copies, conflicts = np.zeros(len(asset), np.bool_), np.zeros(len(asset), np.bool_)
    # Most assets send one Entry, which nothing can repeat.
    at = np.flatnonzero(considered)
    at = at[np.bincount(asset[at], minlength=1)[asset[at]] > 1]
    named = pl.DataFrame({"asset": asset[at], "sequence": every.sequence[at], "order": every.order[at], "at": at})
    shared = named.filter(pl.struct("asset", "sequence").is_duplicated()).sort("asset", "sequence", "order")
    if not len(shared):
        return copies, conflicts

    same_name = (shared["asset"] == shared["asset"].shift()) & (shared["sequence"] == shared["sequence"].shift())
    first = np.flatnonzero(~same_name.fill_null(False).to_numpy())
    at = shared["at"].to_numpy()
    stands = np.repeat(at[first], np.diff(np.append(first, len(at))))
    later = at != stands
    at, stands = at[later], stands[later]

    equal = _same_content(book, schemas, every, at, stands)
    copies[at[equal]] = True
    conflicts[at[~equal]] = True
    # A conflict is proof once; more copies of it prove nothing more. Conflicts are rare, so these may be looked at one by one.
    seen: set[tuple[int, int, bytes]] = set()
    for one in at[~equal].tolist():
        index, row = int(every.schema[one]), int(every.row[one])
        (signed,) = signed_rows(book.entries[schemas[index].name][row : row + 1], schemas[index], book.contents.network)
        content = (int(asset[one]), int(every.sequence[one]), entry_digest(signed))
        copies[one] = content in seen
        seen.add(content)
    return copies, conflicts


def _same_content(book: Book, schemas: tuple[Schema, ...], every: _Every, one: Column, other: Column) -> Mask:
    """Whether the signed bytes of each pair are equal. Hosts post to several verifiers, so most pairs are, and there may be millions:
    the columns are compared, from which the bytes follow."""
    equal = np.zeros(len(one), np.bool_)
    for index in np.unique(every.schema[one]).tolist():
        frame = book.entries[schemas[index].name].select(frame_schema(schemas[index]).names()).drop("position", "signature")
        pairs = np.flatnonzero((every.schema[one] == index) & (every.schema[other] == index))
        for start in range(0, len(pairs), _BLOCK):
            some = pairs[start : start + _BLOCK]
            left, right = frame[every.row[one[some]]], frame[every.row[other[some]]]
            equal[some] = np.logical_and.reduce([(left[name] == right[name]).to_numpy() for name in frame.columns])
    return equal


def places(ids: pl.Series, among: pl.Series) -> Column:
    """Row of each id in ``among``, -1 where it is not there; no id stands twice in ``among``."""
    if ids.equals(among):
        return np.arange(len(ids))
    table = pl.DataFrame({"id": among}).with_row_index("place")
    found = pl.DataFrame({"id": ids}).join(table, on="id", how="left", maintain_order="left")["place"]
    return found.cast(pl.Int64).fill_null(-1).to_numpy()


def placed(values: pl.Series, at: Column, missing: int) -> Column:
    """``values`` at the rows ``at``, ``missing`` where a row is -1."""
    found: Column = np.append(values.to_numpy().astype(np.int64, copy=False), missing)[at]
    return found


def _joined(parts: list[NDArray[Any]], dtype: type[np.generic]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, dtype)
