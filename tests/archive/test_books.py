"""Heads and states on the shelf."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import polars as pl
import pytest

from subak.archive import books
from subak.archive.books import BookRefused, load_book, read_before, read_head, write_state
from subak.archive.store import FolderArchive, NotThere, WrongContent, content_hash
from subak.archive.tables import write_tables
from subak.core.canon.json import encode, hash_json
from subak.core.nouns import Address, Bootstrap, Contents, Hash, Head, Policy, Seal, SnapshotRef, State
from subak.core.nouns.document import Signature
from subak.core.nouns.snapshot import ASSETS, ATTESTATIONS, LANES, PAYEES, POOLS, VERIFIERS, Snapshot
from subak.core.nouns.state import MONEY

SOME = Hash(b"\x5e" * 32)
ME = Address(b"\xa1" * 20)
SEAL = Seal(SOME, ME, SOME, Signature(bytes(64)))
HEAD = Head(SOME, 3, ME, (), (), SOME, SOME, (SEAL,), Signature(bytes(64)))


@pytest.fixture
def archive(tmp_path: Path) -> FolderArchive:
    return FolderArchive(tmp_path)


def keep(archive: FolderArchive, raw: bytes) -> bytes:
    archive.put(f"heads/{content_hash(raw).hex()}.json", raw)
    return content_hash(raw)


def test_a_head_comes_back_as_it_was_signed(archive: FolderArchive) -> None:
    assert keep(archive, encode(HEAD)) == hash_json(HEAD)
    assert read_head(archive, hash_json(HEAD)) == HEAD


def test_a_head_has_one_hash_and_a_bound(archive: FolderArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    spaced = keep(archive, json.dumps(json.loads(encode(HEAD)), indent=1).encode())
    with pytest.raises(BookRefused, match=f"{spaced.hex()}.json is not canonical"):
        read_head(archive, spaced)
    more = keep(archive, encode(json.loads(encode(HEAD)) | {"more": 1}))
    with pytest.raises(BookRefused, match="not canonical"):
        read_head(archive, more)
    with pytest.raises(BookRefused, match="is no head"):
        read_head(archive, keep(archive, b"{}"))
    with pytest.raises(BookRefused, match="is no head"):
        read_head(archive, keep(archive, encode(HEAD).replace(b"0x", b"0y")))
    many = msgspec.structs.replace(HEAD, seals=(SEAL,) * (books.MAX_SEALS + 1))
    with pytest.raises(BookRefused, match="lists 1025 seals, at most 1024"):
        read_head(archive, keep(archive, encode(many)))
    monkeypatch.setattr(books, "MAX_HEAD_BYTES", len(encode(HEAD)) - 1)
    with pytest.raises(BookRefused, match=f"has {len(encode(HEAD))} bytes"):
        read_head(archive, keep(archive, encode(HEAD)))


def test_a_book_comes_with_the_heads_that_it_names(archive: FolderArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = Policy(1, 7, {}, Bootstrap(0))
    archive.put(f"policy/{hash_json(policy).hex()}.json", encode(policy))
    tables = {"assets": ASSETS, "payees": PAYEES, "pools": POOLS, "lanes": LANES, "attestations": ATTESTATIONS, "verifiers": VERIFIERS}
    snapshot = Snapshot(**{name: pl.DataFrame(schema=schema) for name, schema in tables.items()})
    other = msgspec.structs.replace(HEAD, verifier=Address(b"\x0b" * 20))
    contents = Contents(
        network=SOME,
        epoch=3,
        first_unix_s=0,
        end_unix_s=1,
        close_unix_s=2,
        policy=Hash(hash_json(policy)),
        snapshot=SnapshotRef(1, SOME, Hash(write_tables(archive, "snapshot", snapshot.tables))),
        segments=(),
        heads=(Hash(hash_json(other)), Hash(hash_json(HEAD))),
        lines=(),
        previous=SOME,
        beacon=SOME,
    )
    book_hash = hash_json(contents)
    archive.put(f"book/{book_hash.hex()}.json", encode(contents))
    keep(archive, encode(other))
    with pytest.raises(NotThere, match=f"heads/{hash_json(HEAD).hex()}"):
        load_book(archive, book_hash, {})
    keep(archive, encode(HEAD))
    assert load_book(archive, book_hash, {}).heads == (other, HEAD)
    (archive.root / f"heads/{hash_json(HEAD).hex()}.json").write_bytes(encode(other))
    with pytest.raises(WrongContent, match=f"holds {hash_json(other).hex()}, expected {hash_json(HEAD).hex()}"):
        load_book(archive, book_hash, {})
    monkeypatch.setattr(books, "MAX_HEADS", 1)
    with pytest.raises(BookRefused, match="names 2 heads, at most 1"):
        load_book(archive, book_hash, {})


def test_the_state_before_a_range_follows_from_what_is_final(archive: FolderArchive) -> None:
    genesis = State.genesis()
    assert read_before(archive, genesis.root(), 0, 0).root() == genesis.root()
    totals = genesis.totals.with_columns(fees=pl.Series([7], dtype=pl.Int128).cast(MONEY))
    paid = replace(genesis, totals=totals)
    root = write_state(archive, paid)
    assert read_before(archive, root, 0, 7).root() == root
    assert read_before(archive, root, 0, 0).totals.cast(pl.Int64).rows() == [(0, 0, 7)]
    with pytest.raises(ValueError, match=r"\(0, 7\), the chain's \(0, 8\)"):
        read_before(archive, root, 0, 8)
