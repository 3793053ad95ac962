"""Books on the shelf: load one with everything that its contents name, each part checked against its hash."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from subak.archive.segments import read_segment
from subak.archive.store import Archive, get_checked
from subak.archive.tables import read_limit_table, read_lines, read_tables, write_tables
from subak.core.canon.json import encode
from subak.core.canon.segment import valid
from subak.core.kind import Rules, Schema
from subak.core.nouns import Book, Contents, Head, Policy, Snapshot, State, decode
from subak.core.nouns.book import LINES, SegmentRef
from subak.core.settlement import CORE_SCHEMAS

MAX_HEADS = 256
"""Heads in one Book: four times the verifiers that can have a stake at once."""
MAX_SEALS = 1024
"""Seals in one head: a handful of Books, each sealed by everyone."""
MAX_HEAD_BYTES = 1 << 24
"""A head is a list of hashes: more than any verifier's answer may have."""


class BookRefused(ValueError):
    """A Book, or a part of it, is not what it says it is."""


def schemas_of(kinds: Mapping[str, Rules]) -> dict[str, Schema]:
    """Every schema that may stand in a Book, by name."""
    return {schema.name: schema for schema in (*CORE_SCHEMAS, *(schema for rules in kinds.values() for schema in rules.schemas))}


def read_policy(archive: Archive, policy_hash: bytes) -> Policy:
    """The policy of this hash."""
    return decode(get_checked(archive, f"policy/{policy_hash.hex()}.json", policy_hash), Policy)


def read_contents(archive: Archive, book_hash: bytes) -> Contents:
    """A Book's table of contents. Errors: BookRefused if the bytes are not canonical, so that one Book has one hash."""
    raw = get_checked(archive, f"book/{book_hash.hex()}.json", book_hash)
    contents = decode(raw, Contents)
    if encode(contents) != raw:
        raise BookRefused(f"book {book_hash.hex()} is not canonical JSON")
    return contents


def load_book(archive: Archive, book_hash: bytes, kinds: Mapping[str, Rules]) -> Book:
    """The whole Book, the signature of every Entry checked.

    Errors: NotThere for a missing part, BookRefused or ValueError for one that disagrees with its hash, naming both.
    """
    contents = read_contents(archive, book_hash)
    if len(contents.heads) > MAX_HEADS:
        raise BookRefused(f"book {book_hash.hex()} names {len(contents.heads)} heads, at most {MAX_HEADS}")
    policy = read_policy(archive, contents.policy)
    schemas = schemas_of(kinds)
    snapshot = Snapshot(**read_tables(archive, "snapshot", contents.snapshot.hash))
    frames = [(ref, read_segment(archive, ref, _schema(schemas, ref))) for ref in contents.segments]
    return Book(
        contents=contents,
        policy=policy,
        tables=read_limit_tables(archive, policy),
        snapshot=snapshot,
        entries=assemble(frames, schemas, contents, snapshot),
        lines=assemble_lines(read_lines(archive, sha) for sha in contents.lines),
        heads=tuple(read_head(archive, sha) for sha in contents.heads),
    )


def read_head(archive: Archive, head_hash: bytes) -> Head:
    """A verifier's head; whether it signed it is for who can tell accounts. Errors: NotThere, WrongContent; BookRefused if it is not
    canonical, so that one head has one hash, or lists more than anyone has to read."""
    path = f"heads/{head_hash.hex()}.json"
    raw = get_checked(archive, path, head_hash)
    if len(raw) > MAX_HEAD_BYTES:
        raise BookRefused(f"{path} has {len(raw)} bytes, at most {MAX_HEAD_BYTES}")
    try:
        head = decode(raw, Head)
    except ValueError as error:
        raise BookRefused(f"{path} is no head: {error}") from None
    if encode(head) != raw:
        raise BookRefused(f"{path} is not canonical JSON")
    if len(head.seals) > MAX_SEALS:
        raise BookRefused(f"{path} lists {len(head.seals)} seals, at most {MAX_SEALS}")
    return head


def read_limit_tables(archive: Archive, policy: Policy) -> dict[str, dict[str, Mapping[str, NDArray[np.generic]]]]:
    """The policy's limit tables: kind, table, column."""
    return {name: {table: read_limit_table(archive, sha) for table, sha in kind.tables.items()} for name, kind in policy.kinds.items()}


def assemble(
    frames: Iterable[tuple[SegmentRef, pl.DataFrame]], schemas: Mapping[str, Schema], contents: Contents, snapshot: Snapshot
) -> dict[str, pl.DataFrame]:
    """Segments as the Book's entries: ``order`` counts through all segments, ``valid`` says whose signature holds."""
    keys = snapshot.assets.select("asset", "curve", "key")
    parts: dict[str, list[pl.DataFrame]] = {}
    listed = 0
    for ref, frame in frames:
        order = pl.Series("order", np.arange(listed, listed + len(frame), dtype=np.uint64))
        parts.setdefault(ref.schema, []).append(frame.with_columns(order))
        listed += len(frame)
    entries = {schema: pl.concat(each) for schema, each in parts.items()}
    return {
        schema: frame.with_columns(pl.Series("valid", valid(frame.drop("order"), schemas[schema], contents.network, keys)))
        for schema, frame in entries.items()
    }


def assemble_lines(tables: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Tables of lines as the Book's lines: ``table`` says which one each row is from."""
    none = pl.DataFrame(schema={**LINES, "table": pl.Int64})
    return pl.concat([none, *(table.with_columns(pl.lit(number, pl.Int64).alias("table")) for number, table in enumerate(tables))])


def read_state(archive: Archive, state_root: bytes) -> State:
    """Carried state of this root; before epoch 0 it is the empty state, which no archive needs to hold."""
    genesis = State.genesis()
    return genesis if state_root == genesis.root() else State.from_tables(read_tables(archive, "state", state_root))


def read_before(archive: Archive, state_root: bytes, rewards: int, fees: int) -> State:
    """The state that a range is settled from, by what is final on the chain: state root and totals. Errors: those of ``read_state`` and
    ``State.resumed``."""
    return read_state(archive, state_root).resumed(rewards, fees)


def write_state(archive: Archive, state: State) -> bytes:
    """Store the state under its root."""
    return write_tables(archive, "state", state.tables)


def paths_of(contents: Contents) -> Sequence[tuple[str, bytes]]:
    """Files of hash-named bytes that the Book needs, with their hashes; policy and snapshot tables come beside."""
    return [
        *((f"entries/{ref.schema}/{ref.sha.hex()}.parquet", ref.sha) for ref in contents.segments),
        *((f"heads/{head.hex()}.json", head) for head in contents.heads),
        *((f"lines/{sha.hex()}.parquet", sha) for sha in contents.lines),
    ]


def _schema(schemas: Mapping[str, Schema], ref: SegmentRef) -> Schema:
    if ref.schema not in schemas:
        raise BookRefused(f"segment {ref.sha.hex()} holds {ref.schema}, the policy knows {sorted(schemas)}")
    return schemas[ref.schema]
