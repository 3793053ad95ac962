"""Lines in blocks of assets: from Entries in Book order to the grids that rules work on, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from subak.core.canon.columns import binary_rows
from subak.core.kind import BYTES, Codes, Column, Lines, Mask, Schema
from subak.core.nouns.book import Book
from subak.core.settlement import reasons
from subak.core.settlement.listing import Listed

BLOCK_ASSETS = 16_384
BLOCK_CELLS = BLOCK_ASSETS * 32
"""Grid cells of one block: large enough for NumPy, small enough for the cache."""
CELL_WORDS = 32
"""Rows of more words than this count as several cells."""

LATEST_UNIX_S = 1 << 40
"""No clock reaches this. Lines that start later are in the future anyway, and are cut to it so that sums of times cannot wrap."""


@dataclass(frozen=True)
class Flat:
    """Lines one after another, each array of shape (lines,)."""

    line: Column
    """Place among all lines of the Book's listed Entries."""
    asset: Column
    """Row in the snapshot's assets."""
    schema: NDArray[np.int16]
    """Index into the listed schemas."""
    start_unix_s: Column
    """Start of the line's interval."""
    end_unix_s: Column
    """End of it, exclusive."""
    fields: Mapping[str, NDArray[Any]]
    """Values by field name, bytes as (lines, bytes); 0 where the line's schema lacks the field."""

    def __len__(self) -> int:
        return len(self.line)

    def take(self, which: NDArray[Any]) -> Flat:
        """The lines that an index or a mask names, in its order."""
        return Flat(
            self.line[which],
            self.asset[which],
            self.schema[which],
            self.start_unix_s[which],
            self.end_unix_s[which],
            {name: column[which] for name, column in self.fields.items()},
        )


def read_lines(entries: Column, listed: Listed, offsets: Column, book: Book, schemas: Sequence[Schema]) -> Flat:
    """The lines of these Entries, Entry after Entry, with the fields of ``schemas``.

    ``entries`` are places in ``listed``, ``offsets`` the first line of each listed Entry.
    """
    rows = listed.rows[entries]
    line = spans(offsets[entries], rows)
    within = line - np.repeat(offsets[entries], rows)
    interval = np.repeat(listed.interval_seconds[entries], rows)
    start = np.repeat(np.minimum(listed.start_unix_s[entries], LATEST_UNIX_S), rows) + within * interval
    return Flat(
        line=line,
        asset=np.repeat(listed.asset[entries], rows),
        schema=np.repeat(listed.schema[entries], rows),
        start_unix_s=start,
        end_unix_s=start + interval,
        fields=_read_fields(entries, listed, book, schemas),
    )


def _read_fields(entries: Column, listed: Listed, book: Book, schemas: Sequence[Schema]) -> dict[str, NDArray[Any]]:
    rows = listed.rows[entries]
    nothing = np.zeros(int(rows.sum()), np.int64)
    fields: dict[str, NDArray[Any]] = {
        field.name: np.zeros((len(nothing), BYTES[field.type]), np.uint8) if field.type in BYTES else nothing
        for schema in schemas
        for field in schema.fields
    }
    for schema in schemas:
        mine = listed.schema[entries] == listed.schemas.index(schema)
        if mine.any():
            lists = book.entries[schema.name].select(field.name for field in schema.fields)[listed.row[entries[mine]]]
            for field in schema.fields:
                flat = lists[field.name].explode(empty_as_null=False)
                values = binary_rows(flat, BYTES[field.type]) if field.type in BYTES else flat.to_numpy()
                fields[field.name] = values if mine.all() else _put(fields[field.name], np.repeat(mine, rows), values)
    return fields


def _put(column: NDArray[Any], where: Mask, values: NDArray[Any]) -> NDArray[Any]:
    changed = column.copy()
    changed[where] = values
    return changed


def outside_window(lines: Flat, book: Book) -> Codes:
    """Why a line is too late or in the future for this Book, 0 if it is neither."""
    contents = book.contents
    oldest_unix_s = contents.first_unix_s - book.policy.late_epochs * (contents.end_unix_s - contents.first_unix_s)
    codes = np.zeros(len(lines), np.uint8)
    codes[lines.end_unix_s <= oldest_unix_s] = reasons.TOO_LATE
    codes[lines.end_unix_s > min(contents.close_unix_s, LATEST_UNIX_S)] = reasons.IN_THE_FUTURE
    return codes


def in_time_order(lines: Flat) -> Flat:
    """Each asset's lines in order of end, then of the Book; an asset's lines stand together before and after."""
    asset, end, line = lines.asset, lines.end_unix_s, lines.line
    other = asset[1:] != asset[:-1]
    later = (end[1:] > end[:-1]) | ((end[1:] == end[:-1]) & (line[1:] > line[:-1]))
    # Most assets send one Entry, and its lines are in order.
    return lines if (other | later).all() else lines.take(np.lexsort((line, end, asset)))


def rank(asset: Column) -> Column:
    """Place of each line among its asset's, from 0; an asset's lines stand together."""
    first = firsts(asset)
    return np.arange(len(asset)) - np.repeat(first, np.diff(np.append(first, len(asset))))


class Grid:
    """Where each line of a block stands on a grid of (lines, assets)."""

    def __init__(self, lines: Flat, silent: Column) -> None:
        """``lines`` are in time order; ``silent`` are rows of assets without a line, one asset at least in all."""
        self.flat = lines
        first = firsts(lines.asset)
        count = np.diff(np.append(first, len(lines)))
        self.assets: Column = np.append(lines.asset[first], silent)
        """Row in the snapshot's assets, by column of the grid."""
        self.shape = (int(count.max(initial=0)), len(self.assets))
        self._full = not silent.size and int(count.min(initial=0)) == self.shape[0]
        if not self._full:
            self._cell = rank(lines.asset) * len(self.assets) + np.repeat(np.arange(len(first)), count)

    def lines(self, listed: Listed, schemas: Sequence[Schema]) -> Lines:
        """The grid as rules see it; ``schemas`` are the rules'."""
        place = np.array([schemas.index(schema) if schema in schemas else 0 for schema in listed.schemas], np.uint8)
        return Lines(
            present=self.spread(np.ones(len(self.flat), np.bool_)),
            schema=self.spread(place[self.flat.schema]),
            start_unix_s=self.spread(self.flat.start_unix_s),
            end_unix_s=self.spread(self.flat.end_unix_s),
            fields={name: self.spread(column) for name, column in self.flat.fields.items()},
        )

    def spread(self, flat: NDArray[Any]) -> NDArray[Any]:
        """A value per line onto the grid, 0 where no line stands."""
        each = flat.shape[1:]
        if self._full:
            return np.ascontiguousarray(flat.reshape(self.shape[1], self.shape[0], *each).swapaxes(0, 1))
        grid = np.zeros((*self.shape, *each), flat.dtype)
        grid.reshape(-1, *each)[self._cell] = flat
        return grid

    def collect(self, grid: NDArray[Any]) -> NDArray[Any]:
        """The inverse of ``spread``."""
        return grid.T.reshape(-1) if self._full else grid.reshape(-1)[self._cell]


def in_blocks(entries: Column, silent: Column, listed: Listed) -> Iterator[tuple[Column, Column]]:
    """Entries in blocks of whole assets, assets with most lines first so that each grid is nearly full; an asset's stand together. Then
    blocks of the assets that sent nothing, which are rows of the snapshot's."""
    nothing = np.empty(0, np.int64)
    for at in range(0, len(silent), BLOCK_ASSETS):
        yield nothing, silent[at : at + BLOCK_ASSETS]
    if not entries.size:
        return
    cells = max(1, max(schema.row_words for schema in listed.schemas) // CELL_WORDS)
    entries = entries[np.argsort(listed.asset[entries], kind="stable")]
    first = firsts(listed.asset[entries])
    count = np.diff(np.append(first, len(entries)))
    lines = np.add.reduceat(listed.rows[entries], first)
    by_lines = np.argsort(-lines, kind="stable")
    at = 0
    while at < len(by_lines):
        width = max(1, min(BLOCK_ASSETS, BLOCK_CELLS // (int(lines[by_lines[at]]) * cells)))
        some = by_lines[at : at + width]
        yield entries[spans(first[some], count[some])], nothing
        at += width


def spans(first: Column, count: Column) -> Column:
    """first[0], first[0] + 1, .. count[0] numbers; then the same from first[1]; and so on."""
    before = np.cumsum(count) - count
    total = int(before[-1] + count[-1]) if len(count) else 0
    steps: Column = np.arange(total) + np.repeat(first - before, count)
    return steps


def firsts(asset: Column) -> Column:
    """Where a new asset begins."""
    return np.flatnonzero(np.append(len(asset) > 0, asset[1:] != asset[:-1]))
