"""A million lines of ten thousand customers, tallied: from a Book whose tables of lines are in the archive to fees in accounts.

Every lane was redeemed twice, and the second voucher is settled here: each line is read, hashed against what the chain redeemed, compared
with the line before, given its part of what hosts get and of what was burned, capped by measured work, and split among payees. A third of
the assets has payees. Timed: reading the tables and ``settle``. Not timed: making the world.
"""

from __future__ import annotations

import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from subak.archive.books import assemble_lines
from subak.archive.store import FolderArchive
from subak.archive.tables import read_lines, write_lines
from subak.core.canon.columns import binary_rows, binary_series
from subak.core.canon.ids import ED25519
from subak.core.canon.vouchers import lines_hashes
from subak.core.nouns import Book, Bootstrap, Contents, Hash, KindPolicy, Policy, Snapshot, SnapshotRef, State
from subak.core.nouns.book import LINES
from subak.core.nouns.snapshot import ASSETS, ATTESTATIONS, LANES, PAYEES
from subak.core.nouns.state import ASSETS as ASSET_TOTALS
from subak.core.settlement import settle
from subak.core.settlement.money import from_ints, to_words
from subak.kinds.storage import kind as storage

LANES_COUNT = 10_000
LINES_A_LANE = 100
ASSETS_COUNT = 20_000
SHARE_BPS = 1_000
EPOCH_S = 86_400


def run() -> dict[str, float]:
    """Measures, prints and returns ``million_lines_seconds`` and the peak of memory in GiB."""
    dice = np.random.default_rng(7)
    with tempfile.TemporaryDirectory() as folder:
        archive = FolderArchive(Path(folder))
        book, before, net = _world(archive, dice)
        started = time.perf_counter()
        lines = assemble_lines(read_lines(archive, sha) for sha in book.contents.lines)
        read = time.perf_counter()
        settled = settle(replace(book, lines=lines), before, {"storage": storage.rules})
        done = time.perf_counter()
    assert settled.fees == net, f"fees are {settled.fees}, the chain handed over {net}"
    gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    seconds = done - started
    print(
        f"  {len(lines):,} lines of {LANES_COUNT:,} lanes, {ASSETS_COUNT:,} assets: read {read - started:.2f} s, settle {done - read:.2f} s"
    )
    print(f"  {len(settled.state.accounts):,} accounts, fees equal what was handed over to the unit; peak {gib:.2f} GiB")
    return {"million_lines_seconds": seconds, "million_lines_gib": gib}


def _world(archive: FolderArchive, dice: np.random.Generator) -> tuple[Book, State, int]:
    assets = binary_series("asset", dice.integers(0, 256, (ASSETS_COUNT, 32), np.uint8)).sort()
    owners = binary_series("owner", dice.integers(0, 256, (ASSETS_COUNT, 20), np.uint8))
    lanes = binary_series("lane", dice.integers(0, 256, (LANES_COUNT, 32), np.uint8)).sort()
    # Each lane buys from every 200th asset, from a place of its own on, so that its lines are sorted.
    which = (np.arange(LINES_A_LANE) * (ASSETS_COUNT // LINES_A_LANE))[None, :] + (np.arange(LANES_COUNT) % (ASSETS_COUNT // LINES_A_LANE))[
        :, None
    ]
    old = dice.integers(1, 10**9, (LANES_COUNT, LINES_A_LANE))
    new = old + dice.integers(0, 10**9, (LANES_COUNT, LINES_A_LANE))

    def table(money: np.ndarray) -> pl.DataFrame:
        return pl.DataFrame(
            {
                "lane": lanes.gather(np.repeat(np.arange(LANES_COUNT), LINES_A_LANE)),
                "seq": pl.Series([2], dtype=pl.Int64).new_from_index(0, LANES_COUNT * LINES_A_LANE),
                "asset": assets.gather(which.ravel()),
                "money": pl.Series(money.ravel()).cast(pl.Int128).cast(pl.Decimal(38, 0)),
            },
            schema=LINES,
        )

    later, earlier = table(new), table(old)
    counts = np.full(LANES_COUNT, LINES_A_LANE)
    hashes = lines_hashes(binary_rows(later["asset"], 32), to_words(later["money"]), counts)
    totals, taken = ([int(total) for total in money.sum(axis=1)] for money in (new, old))
    nets, had = ([total - -(-total * SHARE_BPS // 10_000) for total in each] for each in (totals, taken))
    shas = [Hash(write_lines(archive, later[at : at + 250_000])) for at in range(0, len(later), 250_000)]

    third = np.arange(0, ASSETS_COUNT, 3)
    payees = [(assets[int(row)], bytes(12) + owners[int((row + step) % ASSETS_COUNT)], 1 + step) for row in third for step in range(3)]
    snapshot = Snapshot(
        assets=pl.DataFrame(
            {
                "asset": assets,
                "kind": ["storage"] * ASSETS_COUNT,
                "curve": [ED25519] * ASSETS_COUNT,
                "key": binary_series("key", dice.integers(0, 256, (ASSETS_COUNT, 32), np.uint8)),
                "owner": owners,
                "cell": [7] * ASSETS_COUNT,
                "rated": [1 << 30] * ASSETS_COUNT,
                "possessed": [True] * ASSETS_COUNT,
            },
            schema=ASSETS,
        ),
        payees=pl.DataFrame(payees, schema=PAYEES, orient="row").sort("asset", maintain_order=True),
        pools=pl.DataFrame({"pool": pl.Series([], dtype=pl.String), "budget": from_ints([])}),
        lanes=pl.DataFrame(
            {
                "lane": lanes,
                "customer": binary_series("customer", dice.integers(0, 256, (LANES_COUNT, 20), np.uint8)),
                "seq": [2] * LANES_COUNT,
                "total": from_ints(totals),
                "net": from_ints(nets),
                "burned": from_ints([0] * LANES_COUNT),
                "lines": binary_series("lines", hashes),
            },
            schema=LANES,
        ),
        attestations=pl.DataFrame(schema=ATTESTATIONS),
    )
    state = _before(State.genesis(), assets, lanes, earlier, taken, had, owners)
    first = 1_700_006_400
    contents = Contents(
        network=Hash(bytes(32)),
        epoch=1,
        first_unix_s=first,
        end_unix_s=first + EPOCH_S,
        close_unix_s=first + EPOCH_S + 3600,
        policy=Hash(bytes(32)),
        snapshot=SnapshotRef(1, Hash(bytes(32)), Hash(bytes(32))),
        segments=(),
        heads=(),
        lines=tuple(shas),
        previous=Hash(bytes(32)),
        beacon=Hash(bytes(32)),
    )
    policy = Policy(1, 7, {"storage": KindPolicy(storage.rules.version, Hash(bytes(32)), {}, {})}, Bootstrap(0))
    return Book(contents, policy, {}, snapshot, {}, assemble_lines([])), state, sum(nets)


def _before(
    genesis: State, assets: pl.Series, lanes: pl.Series, lines: pl.DataFrame, totals: list[int], nets: list[int], owners: pl.Series
) -> State:
    """Every lane's first voucher was taken and paid; work enough for all of the second was measured and not billed yet."""
    count = len(assets)
    nothing = from_ints([0] * count)
    fees = sum(nets)
    accounts = owners.unique().sort()
    return replace(
        genesis,
        assets=pl.DataFrame(
            {
                "asset": assets,
                "live": [True] * count,
                "units": [0] * count,
                "rewards": nothing,
                "fees": nothing,
                "paid_epochs": [0] * count,
            },
            schema=ASSET_TOTALS,
        ),
        accounts=pl.DataFrame(
            {"account": accounts, "rewards": from_ints([0] * len(accounts)), "fees": from_ints([fees, *[0] * (len(accounts) - 1)])}
        ),
        totals=pl.DataFrame({"rewards": from_ints([0]), "fees": from_ints([fees])}),
        lanes=pl.DataFrame({"lane": lanes, "total": from_ints(totals), "net": from_ints(nets), "burned": from_ints([0] * len(lanes))}),
        lines=lines.select("lane", "asset", "money").sort("lane", "asset"),
        sales=pl.DataFrame(
            {
                "asset": assets,
                "price": from_ints([1] * count),
                "per_units": [1] * count,
                "valid_until_unix_s": [1 << 40] * count,
                "value": from_ints([10**15] * count),
                "gross": nothing,
                "net": nothing,
                "burned": nothing,
            }
        ),
    )
