"""Segments: files of Entries, named by their hash. One comes from any verifier, so everything in it is doubted here, in one place.

``read_segment`` gives back tables that have the shape of Entries; whether the signatures hold is ``core.canon.segment.valid``'s question.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl

from subak.archive.store import Archive, WrongContent, content_hash, get_checked
from subak.archive.tables import parquet_metadata, parse_parquet, write_parquet
from subak.core.canon.entry import MAX_ROWS, RawEntry
from subak.core.canon.segment import frame, frame_schema, to_columns
from subak.core.kind import Schema
from subak.core.nouns.book import SegmentRef
from subak.core.nouns.document import Address, Hash

FORMAT = "subak/segment/1"
"""Format of the file, in its metadata."""
MAX_SEGMENT_BYTES = 1 << 28
"""The largest segment that is written or read."""
MAX_SEGMENT_ENTRIES = 1 << 20
"""Entries in one segment."""


class UnsoundSegment(WrongContent):
    """A file that its hash names truly, but that no honest verifier wrote."""


def segment_path(ref: SegmentRef) -> str:
    """Where the archive keeps it."""
    return f"entries/{ref.schema}/{bytes(ref.sha).hex()}.parquet"


def write_segment(archive: Archive, logged: Sequence[tuple[int, RawEntry]], schema: Schema, network: bytes, verifier: bytes) -> SegmentRef:
    """Keeps Entries of one schema, each with its position in the log of ``verifier`` (address of its signer), as one segment.

    Errors: ValueError without Entries, over 1,048,576 of them, over 256 MiB, on positions that do not rise, and for what ``frame`` refuses.
    """
    if not 1 <= len(logged) <= MAX_SEGMENT_ENTRIES:
        raise ValueError(f"a segment of {len(logged)} Entries: 1 to {MAX_SEGMENT_ENTRIES} are possible")
    places = np.array([position for position, _ in logged], np.uint64)
    if (places[1:] <= places[:-1]).any():
        raise ValueError("positions of a segment's Entries must rise")
    strangers = {entry.network for _, entry in logged} - {network}
    if strangers:
        raise ValueError(f"an Entry of the network {min(strangers).hex()} in a segment of {network.hex()}")
    data = write_parquet(frame([entry for _, entry in logged], schema, places), _metadata(schema, network, verifier))
    if len(data) > MAX_SEGMENT_BYTES:
        raise ValueError(f"a segment of {len(data)} bytes, at most {MAX_SEGMENT_BYTES}")
    sha = Hash(content_hash(data))
    ref = SegmentRef(schema=schema.name, sha=sha, rows=len(logged), verifier=Address(verifier), position=int(places[0]))
    archive.put(segment_path(ref), data)
    return ref


def write_segments(
    archive: Archive,
    logged: Iterable[tuple[int, RawEntry]],
    schemas: Mapping[bytes, Schema],
    network: bytes,
    verifier: bytes,
    most_entries: int = 1 << 16,
) -> tuple[SegmentRef, ...]:
    """Keeps Entries of any schemas, in order of position, as segments of at most ``most_entries`` each; their references in order of
    position. ``schemas`` are by schema id. Errors: KeyError for an unknown one, and those of ``write_segment``."""
    by_schema: dict[bytes, list[tuple[int, RawEntry]]] = {}
    for position, entry in logged:
        by_schema.setdefault(entry.schema_id, []).append((position, entry))
    refs = [
        write_segment(archive, some[at : at + most_entries], schemas[schema_id], network, verifier)
        for schema_id, some in by_schema.items()
        for at in range(0, len(some), most_entries)
    ]
    return tuple(sorted(refs, key=lambda ref: ref.position))


def read_segment(archive: Archive, ref: SegmentRef, schema: Schema, network: bytes | None = None) -> pl.DataFrame:
    """The segment's Entries with the columns of ``core.canon.segment.frame_schema``.

    Promise: the file is the one that ``ref`` names, and every row of the table has the shape of an Entry of this schema. ``network``, if
    given, must be what the file says of itself; whoever checks the signatures need not give it, they cover the network.
    Errors: NotThere; WrongContent if the bytes are others; UnsoundSegment naming what is wrong with them.
    """
    path = segment_path(ref)
    if ref.schema != schema.name:
        raise ValueError(f"segment of {ref.schema} read as {schema.name}")
    if not 1 <= ref.rows <= MAX_SEGMENT_ENTRIES:
        raise UnsoundSegment(f"{path} is said to hold {ref.rows} Entries: 1 to {MAX_SEGMENT_ENTRIES} are possible")
    data = get_checked(archive, path, ref.sha)
    if len(data) > MAX_SEGMENT_BYTES:
        raise UnsoundSegment(f"{path} has {len(data)} bytes, at most {MAX_SEGMENT_BYTES}")
    try:
        written = parquet_metadata(data, path)
        expected = _metadata(schema, network, ref.verifier)
        if network is None:
            del expected["network"]
        if differing := {key: written.get(key) for key, value in expected.items() if written.get(key) != value}:
            raise UnsoundSegment(f"{path} says of itself {differing}, expected {[expected[key] for key in differing]}")
        table = parse_parquet(data, path, ref.rows, frame_schema(schema))
    except UnsoundSegment:
        raise
    except WrongContent as error:
        raise UnsoundSegment(str(error)) from None
    _check(path, table, ref, schema)
    return table


def _check(path: str, table: pl.DataFrame, ref: SegmentRef, schema: Schema) -> None:
    if len(table) != ref.rows:
        raise UnsoundSegment(f"{path} has {len(table)} Entries, its reference says {ref.rows}")
    positions, rows = table["position"].to_numpy(), table["rows"].to_numpy()
    if int(positions[0]) != ref.position or (positions[1:] <= positions[:-1]).any():
        raise UnsoundSegment(f"{path}: positions start at {positions[0]} and must rise from {ref.position}")
    if int(rows.max()) > MAX_ROWS:
        raise UnsoundSegment(f"{path}: rows is {rows.max()}, at most {MAX_ROWS}")
    try:
        to_columns(table, schema)
    except ValueError as error:
        raise UnsoundSegment(f"{path}: {error}") from None


def _metadata(schema: Schema, network: bytes | None, verifier: bytes) -> dict[str, str]:
    return {"format": FORMAT, "network": "0x" + (network or b"").hex(), "schema": schema.text, "verifier": "0x" + verifier.hex()}
