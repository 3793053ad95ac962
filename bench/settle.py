"""Settle a million: 1,000,000 assets with an account each, 24 readings under one signature each, from Parquet to the EpochRoot.

Signatures count as verified; what verifying costs is measured on a sample and printed apart. World and settlement each run in a process of
their own, so that the peak memory is the settlement's alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from subak.archive import FolderArchive, read_segment, read_tables, write_limit_table, write_segment, write_tables
from subak.archive.books import assemble_lines, read_contents, read_limit_tables, read_policy, read_state, write_state
from subak.core.canon import ed25519
from subak.core.canon.columns import binary_series
from subak.core.canon.entry import Columns, cut, rebuild
from subak.core.canon.ids import ED25519, signer_id
from subak.core.canon.json import encode, hash_json
from subak.core.canon.segment import valid
from subak.core.nouns import (
    Book,
    Bootstrap,
    Contents,
    Hash,
    KindPolicy,
    Policy,
    SegmentRef,
    Snapshot,
    SnapshotRef,
    State,
)
from subak.core.nouns.snapshot import LANES, PAYEES
from subak.core.settlement import epoch_root
from subak.core.settlement.money import INSTALLED, from_ints
from subak.kinds.registry import installed, rules_hash

ASSETS = 1_000_000
HOURS = 24
SEGMENT_ENTRIES = 1 << 16
VERIFY_SAMPLE = 20_000
"""Assets with a real key and a real signature."""
CELLS = 500
FIRST_UNIX_S = 1_496_275_200
"""2017-06-01, a midnight."""
EPOCH = 7
BUDGET = 10**24
ENERGY = installed()["energy"].rules
READING = ENERGY.schemas[0]
NETWORK = Hash(hashlib.sha256(b"bench").digest())
TARGET_SECONDS, TARGET_GIB = 20, 3
SETTLE = import_module("subak.core.settlement.settle")
"""The module; the package's attribute of this name is its function."""
PARTS = {
    "list_entries": "list",
    "judge": "judge",
    "sell": "price + split",
    "keep_back": "price + split",
    "price": "price + split",
    "vest": "price + split",
    "split": "price + split",
    "total": "totals",
    "close": "verdict table, roots",
}


def run() -> dict[str, float]:
    """Measures and prints; gives ``settle_million_seconds`` and ``settle_million_gib``."""
    with tempfile.TemporaryDirectory(prefix="subak-bench-") as folder:
        started = time.perf_counter()
        book_hash, state_root = _child("write", folder, str(ASSETS))
        wrote = time.perf_counter() - started
        print(f"world of {ASSETS:,} assets x {HOURS} readings: {_gib(folder):.2f} GiB, written in {wrote:.0f} s")
        found = _child("settle", folder, book_hash, state_root)
    seconds, gib, verify_us = found["seconds"], found["gib"], found["verify_us"]
    for part, took in found["parts"].items():
        print(f"  {part:24} {took:6.2f} s")
    print(f"  {'from Parquet to roots':24} {seconds:6.2f} s, of two cores {found['cpu_seconds']:.2f} s; target {TARGET_SECONDS} s")
    print(f"  {'peak':24} {gib:6.2f} GiB; target {TARGET_GIB} GiB")
    print(f"  {found['accepted']:,} lines accepted, {found['held']:,} held, {found['refused']:,} refused; root {found['root'][:16]}")
    all_s = verify_us * ASSETS / 1e6
    print(f"  apart, verifying: {verify_us:.0f} us a page on one core in a sample of {VERIFY_SAMPLE:,}, so {all_s:.0f} s for all")
    return {"settle_million_seconds": seconds, "settle_million_gib": gib}


def _child(*arguments: str) -> Any:
    done = subprocess.run([sys.executable, __file__, *arguments], check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def _gib(folder: str) -> float:
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) / 2**30


def _settle(folder: str, book_hash: str, state_root: str) -> dict[str, Any]:
    archive = FolderArchive(folder)
    parts: dict[str, float] = {}

    def timed(part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*arguments: Any) -> Any:
            started = time.perf_counter()
            result = work(*arguments)
            parts[part] = parts.get(part, 0) + time.perf_counter() - started
            if os.environ.get("BENCH_RSS"):
                print(work.__name__, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, file=sys.stderr)
            return result

        return measured

    for name, part in PARTS.items():
        setattr(SETTLE, name, timed(part, getattr(SETTLE, name)))
    started, cpu_started = time.perf_counter(), time.process_time()
    before = timed("read", read_state)(archive, bytes.fromhex(state_root))
    book = timed("read", _load_verified)(archive, bytes.fromhex(book_hash))
    with ThreadPoolExecutor(2) as threads:
        settled = timed("other", SETTLE.settle)(book, before, {"energy": ENERGY}, threads.map)
    message = timed("EpochRoot", epoch_root)([settled], [book], bytes(32), bytes.fromhex(state_root))
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    parts["other"] -= sum(parts[part] for part in set(PARTS.values()))
    gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "parts": parts,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "gib": gib,
        "root": message.root.hex(),
        "accepted": settled.summary.accepted,
        "held": settled.summary.held,
        "refused": settled.summary.refused,
        "verify_us": _verify_us(book),
    }


def _load_verified(archive: FolderArchive, book_hash: bytes) -> Book:
    """As ``archive.books.load_book``, the signatures taken for good."""
    contents = read_contents(archive, book_hash)
    policy = read_policy(archive, contents.policy)
    frames, listed = [], 0
    for ref in contents.segments:
        frame = read_segment(archive, ref, READING, NETWORK)
        order = pl.Series("order", np.arange(listed, listed + len(frame), dtype=np.uint64))
        frames.append(frame.with_columns(order, pl.lit(True).alias("valid")))
        listed += len(frame)
    return Book(
        contents=contents,
        policy=policy,
        tables=read_limit_tables(archive, policy),
        snapshot=Snapshot(**read_tables(archive, "snapshot", contents.snapshot.hash)),
        entries={READING.name: pl.concat(frames)},
        lines=assemble_lines([]),
    )


def _verify_us(book: Book) -> float:
    """What checking one page costs, on one core."""
    keys = book.snapshot.assets.select("asset", "curve", "key")
    signed = book.entries[READING.name].join(keys.head(VERIFY_SAMPLE), left_on="subject", right_on="asset", how="semi").head(VERIFY_SAMPLE)
    started = time.perf_counter()
    assert valid(signed, READING, NETWORK, keys).all()
    return (time.perf_counter() - started) / len(signed) * 1e6


def _write(folder: str, count: int) -> list[str]:
    """Writes a world and returns its book hash and state root."""
    archive = FolderArchive(folder)
    dice = np.random.default_rng(1)
    ids = dice.integers(0, 256, (count, 32), np.uint8)
    ids = ids[np.lexsort(ids.T[::-1])]
    seeds = [hashlib.sha256(number.to_bytes(8, "big")).digest() for number in range(min(VERIFY_SAMPLE, count))]
    keys = dice.integers(0, 256, (count, 32), np.uint8)
    keys[: len(seeds)] = np.frombuffer(b"".join(map(ed25519.public_key, seeds)), np.uint8).reshape(-1, 32)
    accounts = dice.integers(0, 256, (count, 20), np.uint8)
    cells = dice.integers(1, CELLS + 1, count).astype(np.uint64)
    snapshot = Snapshot(
        assets=pl.DataFrame(
            {
                "asset": binary_series("asset", ids),
                "kind": pl.Series(["energy"]).new_from_index(0, count),
                "curve": pl.Series(np.full(count, ED25519, np.uint8)),
                "key": binary_series("key", keys),
                "owner": binary_series("owner", accounts),
                "cell": cells,
                "rated": np.full(count, 5000, np.int64),
                "possessed": np.zeros(count, np.bool_),
            }
        ),
        payees=pl.DataFrame(schema=PAYEES),
        pools=pl.DataFrame({"pool": ["energy"], "budget": from_ints([BUDGET])}),
        lanes=pl.DataFrame(schema=LANES),
        attestations=pl.DataFrame(
            {
                "topic": pl.Series([INSTALLED]).new_from_index(0, count),
                "subject": binary_series("subject", ids),
                "issuer": binary_series("issuer", np.zeros((count, 20), np.uint8)),
                "expires_unix_s": np.full(count, 1 << 40),
            }
        ),
    )
    policy = _policy(archive)
    archive.put(f"policy/{hash_json(policy).hex()}.json", encode(policy))
    counters, marks = _counters(dice, count)
    contents = Contents(
        network=NETWORK,
        epoch=EPOCH,
        first_unix_s=FIRST_UNIX_S,
        end_unix_s=FIRST_UNIX_S + HOURS * 3600,
        close_unix_s=FIRST_UNIX_S + HOURS * 3600 + 600,
        policy=Hash(hash_json(policy)),
        snapshot=SnapshotRef(1, NETWORK, Hash(write_tables(archive, "snapshot", snapshot.tables))),
        segments=tuple(_write_segments(archive, dice, ids, keys, seeds, counters)),
        heads=(),
        lines=(),
        previous=NETWORK,
        beacon=NETWORK,
    )
    archive.put(f"book/{hash_json(contents).hex()}.json", encode(contents))
    return [hash_json(contents).hex(), write_state(archive, _state(dice, snapshot, accounts, marks)).hex()]


def _policy(archive: FolderArchive) -> Policy:
    hours = np.arange(-24, 2 * HOURS)
    bright = (hours % 24 >= 5) & (hours % 24 < 20)
    sky = pl.DataFrame(
        {
            "cell": np.repeat(np.arange(1, CELLS + 1, dtype=np.uint64), len(hours)),
            "start_unix_s": np.tile(FIRST_UNIX_S + 3600 * hours, CELLS),
            "limit_wh_per_kw": np.tile(np.where(bright, 900, 0), CELLS),
            "dark": np.tile(~bright, CELLS),
        }
    )
    return Policy(
        version=1,
        late_epochs=7,
        kinds={"energy": KindPolicy(ENERGY.version, Hash(rules_hash(ENERGY)), {}, {"clear_sky": Hash(write_limit_table(archive, sky))})},
        bootstrap=Bootstrap(0),
    )


def _counters(dice: np.random.Generator, count: int) -> tuple[dict[str, NDArray[np.int64]], dict[str, NDArray[np.int64]]]:
    """Export, import and generation counters, (assets, hours), and where they stood before. One home in fifty doubles what it says."""
    hour = np.arange(HOURS)
    grown = dice.integers(0, 3000, (count, HOURS)) * ((hour >= 5) & (hour < 20))
    grown[::50] *= 2
    load = dice.integers(100, 600, (count, HOURS))
    growth = {"export_wh": np.maximum(grown - load, 0), "import_wh": np.maximum(load - grown, 0), "generation_wh": grown}
    marks = {name: dice.integers(1_000_000, 9_000_000, count) for name in growth}
    return {name: marks[name][:, None] + np.cumsum(column, axis=1) for name, column in growth.items()}, marks


def _write_segments(
    archive: FolderArchive,
    dice: np.random.Generator,
    ids: NDArray[np.uint8],
    keys: NDArray[np.uint8],
    seeds: list[bytes],
    counters: dict[str, NDArray[np.int64]],
) -> list[SegmentRef]:
    """Pages in random order of arrival; those of the first assets with real signatures."""
    signers = np.frombuffer(b"".join(signer_id(ED25519, key.tobytes()) for key in keys), np.uint8).reshape(-1, 8)
    arrival = dice.permutation(len(ids))
    refs = []
    for start in range(0, len(ids), SEGMENT_ENTRIES):
        some = arrival[start : start + SEGMENT_ENTRIES]
        columns = Columns(
            subject=ids[some],
            signer=signers[some],
            sequence=np.full(len(some), EPOCH, np.uint64),
            start_unix_s=np.full(len(some), FIRST_UNIX_S),
            interval_seconds=np.full(len(some), 3600, np.uint32),
            rows=np.full(len(some), HOURS, np.uint16),
            fields={name: column[some].reshape(-1) for name, column in counters.items()},
            signature=np.empty((0, 64), np.uint8),
        )
        signatures = dice.bytes(64 * len(some))
        pages = b"".join(
            page + (ed25519.sign(seeds[asset], page) if asset < len(seeds) else signatures[64 * number : 64 * number + 64])
            for number, (asset, page) in enumerate(zip(some.tolist(), rebuild(NETWORK, READING, columns), strict=True))
        )
        refs.append(write_segment(archive, list(enumerate(cut(pages), start)), READING, NETWORK, bytes(20)))
    return refs


def _state(dice: np.random.Generator, snapshot: Snapshot, accounts: NDArray[np.uint8], marks: dict[str, NDArray[np.int64]]) -> State:
    """Some epochs on: every asset is live and has earned, every account has been paid."""
    count = len(accounts)
    had = (dice.integers(1, 1 << 40, count).astype(object) * 10**9).tolist()
    zero = from_ints([0] * count)
    carried: dict[str, Any] = {column.name: np.full(count, column.start) for column in ENERGY.carried}
    carried |= {"mark_unix_s": np.full(count, FIRST_UNIX_S), **{f"mark_{name}": mark for name, mark in marks.items()}}
    asset = snapshot.assets["asset"]
    return replace(
        State.genesis(),
        assets=pl.DataFrame(
            {
                "asset": asset,
                "live": np.ones(count, np.bool_),
                "units": dice.integers(0, 1 << 30, count),
                "rewards": from_ints(had),
                "fees": zero,
                "paid_epochs": np.full(count, EPOCH),
            }
        ),
        accounts=pl.DataFrame({"account": binary_series("account", accounts), "rewards": from_ints(had), "fees": zero}).sort("account"),
        totals=pl.DataFrame({"rewards": from_ints([sum(had)]), "fees": from_ints([0]), "earlier_fees": from_ints([0])}),
        carried={"energy": pl.DataFrame({"asset": asset, **{name: carried[name] for name in sorted(carried)}})},
    )


def main(arguments: list[str]) -> None:
    if not arguments:
        run()
    elif arguments[0] == "write":
        print(json.dumps(_write(arguments[1], int(arguments[2]))))
    else:
        print(json.dumps(_settle(*arguments[1:])))


if __name__ == "__main__":
    main(sys.argv[1:])
