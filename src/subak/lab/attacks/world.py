"""A small network in memory: its members sign Entries, Books list them, and the real settlement says what everyone gets.

Keys, signatures, policies, Books and states are real; there is no chain and no wire. What the chain would say is the snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from typing import Any, Final

import numpy as np
import polars as pl

from subak.core.canon import ed25519
from subak.core.canon.entry import RawEntry, Value, cut, pack
from subak.core.canon.ids import ED25519, asset_id, draw_seed, signer_id
from subak.core.canon.json import hash_json
from subak.core.canon.segment import frame, valid
from subak.core.canon.vouchers import lines_hashes
from subak.core.kind import Rules, Schema
from subak.core.nouns import Book, Bootstrap, Contents, Hash, Head, KindPolicy, Policy, Settlement, Snapshot, SnapshotRef, State, Usage
from subak.core.nouns.book import LINES
from subak.core.nouns.snapshot import ASSETS, ATTESTATIONS, LANES, PAYEES, POOLS, VERIFIERS
from subak.core.settlement import OFFER, POSSESSION, reason_table, settle
from subak.core.settlement.money import INSTALLED, from_ints, to_ints, to_words
from subak.lab.recording import CELL

HOUR_S: Final = 3600
NETWORK: Final = Hash(sha256(b"attack lab").digest())
ISSUER: Final = "issuer"
FOR_EVER_UNIX_S: Final = 1 << 40

Tables = Mapping[str, Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Asset:
    """A thing that earns for its owner."""

    name: str
    """What the lab calls it; its device's key is made from it."""
    kind: str
    """Which rules judge it."""
    rated: int
    """Rated capacity in the kind's unit."""
    owner: str = ""
    """Account that is paid; of the asset's name if empty."""
    issuer: str = ISSUER
    """Who attests that it is installed; nobody if empty."""
    key: str = ""
    """Whose device key is registered; its own if empty."""
    cell: int = CELL
    """H3 cell where it says it is."""
    possessed: bool = True
    """Its device signs in the first Book that its owner holds it."""

    @property
    def id(self) -> bytes:
        return asset_id(ED25519, public_key(self.key or self.name), account(self.owner or self.name))


@dataclass(frozen=True)
class Said:
    """An Entry before it is signed."""

    asset: Asset
    """Whom it speaks of."""
    schema: Schema
    sequence: int
    start_unix_s: int
    interval_seconds: int
    rows: tuple[tuple[Value, ...], ...]
    key: str = ""
    """Whose key signs it; that of the asset's name if empty."""
    speaks_of: Asset | None = None
    """The asset that stands in the signed bytes where it was replaced after signing."""

    @property
    def raw(self) -> RawEntry:
        return _signed(self)


@dataclass(frozen=True)
class Lane:
    """What the chain redeemed of a lane, and whether its lines were handed in."""

    name: str
    lines: Mapping[Asset, int]
    """Running money by asset."""
    seq: int
    net: int
    """What hosts get of the total."""
    burned: int = 0
    handed_in: bool = True
    """Whether anyone gave the lines to a verifier."""
    redeemed: bool = True
    """Whether the chain took the voucher: it asks for the clerk's signature."""
    told: Mapping[Asset, int] | None = None
    """Lines that were handed in instead."""


@dataclass(frozen=True)
class Moment:
    """What members know when they speak in an epoch."""

    epoch: int
    first_unix_s: int
    """Start of the epoch."""
    end_unix_s: int
    """End of it."""
    seed: bytes
    """What its tasks are drawn from."""
    state: State
    """The last final state."""


Speak = Callable[[Moment], Iterable[Said]]
Heads = Callable[[Sequence[Settlement]], Sequence[Head]]


@dataclass(frozen=True)
class World:
    """A network's policy, assets and pools."""

    assets: Sequence[Asset]
    kinds: Mapping[str, Rules]
    epoch_seconds: int
    genesis_unix_s: int
    budgets: Mapping[str, int] = field(default_factory=dict)
    """What each pool may mint in an epoch."""
    parameters: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By kind."""
    tables: Tables = field(default_factory=dict)
    """Limit tables: kind, table, column."""
    bootstrap: Bootstrap = field(default_factory=lambda: Bootstrap(0))
    k_bps: int = 0
    """Usage rewards, of what was burned."""
    late_epochs: int = 7
    grace_seconds: int = 600
    verifiers: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """By signer: its owner, and what it weighs."""

    def play(
        self,
        epochs: int,
        speak: Sequence[Speak],
        lanes: Callable[[int], Sequence[Lane]] = lambda epoch: (),
        heads: Heads = lambda settled: (),
    ) -> list[Settlement]:
        """Settle epochs one after another: each Book lists what ``speak`` says in turn, and what was redeemed by ``lanes(epoch)``."""
        state, previous, settled = State.genesis(), bytes(32), list[Settlement]()
        for epoch in range(epochs):
            beacon = sha256(b"block %d" % epoch).digest() if epoch else bytes(32)
            first = self.genesis_unix_s + epoch * self.epoch_seconds
            moment = Moment(epoch, first, first + self.epoch_seconds, draw_seed(previous, beacon), state)
            said = [] if epoch else [possession(asset, first) for asset in self.assets if asset.possessed]
            said += [each for one in speak for each in one(moment)]
            book = self.book(epoch, said, lanes(epoch), previous, beacon, heads(settled))
            settled.append(settle(book, state, self.kinds))
            state, previous = settled[-1].state, hash_json(book.contents)
        return settled

    def book(
        self, epoch: int, said: Sequence[Said], lanes: Sequence[Lane], previous: bytes, beacon: bytes, heads: Sequence[Head] = ()
    ) -> Book:
        """The Book that lists these Entries in this order."""
        first = self.genesis_unix_s + epoch * self.epoch_seconds
        snapshot = self._snapshot(lanes)
        contents = Contents(
            network=NETWORK,
            epoch=epoch,
            first_unix_s=first,
            end_unix_s=first + self.epoch_seconds,
            close_unix_s=first + self.epoch_seconds + self.grace_seconds,
            policy=NETWORK,
            snapshot=SnapshotRef(epoch, NETWORK, NETWORK),
            segments=(),
            heads=tuple(Hash(hash_json(head)) for head in heads),
            lines=(),
            previous=Hash(previous),
            beacon=Hash(beacon),
        )
        policy = Policy(
            version=1,
            late_epochs=self.late_epochs,
            kinds={name: KindPolicy(rules.version, NETWORK, dict(self.parameters.get(name, {})), {}) for name, rules in self.kinds.items()},
            bootstrap=self.bootstrap,
            usage=Usage(self.k_bps),
        )
        return Book(contents, policy, self.tables, snapshot, _entries(said, snapshot), _lines(lanes), tuple(heads))

    def reasons(self, settled: Sequence[Settlement], asset: Asset) -> dict[str, int]:
        """Lines of an asset by the name of their reason, over these epochs."""
        names = reason_table(self.kinds.values())
        counts: dict[str, int] = {}
        for each in settled:
            table = each.verdicts.filter(pl.col("asset") == asset.id)
            for schema, codes in table.select("schema", "reasons").iter_rows():
                for code in codes:
                    reason = names.get(("", code)) or names[schema.partition(".")[0], code]
                    counts[reason.name] = counts.get(reason.name, 0) + 1
        return counts

    def _snapshot(self, lanes: Sequence[Lane]) -> Snapshot:
        assets = sorted(self.assets, key=lambda each: each.id)
        return Snapshot(
            assets=pl.DataFrame(
                [
                    (each.id, each.kind, ED25519, public_key(each.key or each.name), _owner(each), each.cell, each.rated, False)
                    for each in assets
                ],
                schema=ASSETS,
                orient="row",
            ),
            payees=pl.DataFrame(schema=PAYEES),
            pools=_table(POOLS, [(pool, self.budgets[pool]) for pool in sorted(self.budgets)]),
            lanes=_table(LANES, sorted(_redeemed(lane) for lane in lanes if lane.redeemed)),
            attestations=_table(
                ATTESTATIONS, sorted((INSTALLED, each.id, account(each.issuer), FOR_EVER_UNIX_S) for each in assets if each.issuer)
            ),
            verifiers=_table(
                VERIFIERS, sorted((account(signer), account(owner), weight) for signer, (owner, weight) in self.verifiers.items())
            ),
        )


def rewards_of(state: State, *owners: str) -> int:
    """What was paid in rewards to these accounts, ever."""
    return _paid(state, "rewards", owners)


def fees_of(state: State, *owners: str) -> int:
    """What was paid in fees to these accounts, ever."""
    return _paid(state, "fees", owners)


def possession(asset: Asset, unix_s: int, key: str = "") -> Said:
    """The device's word on whose it is."""
    return Said(asset, POSSESSION, 0, unix_s, 0, ((_owner(asset),),), key)


def offer(asset: Asset, sequence: int, unix_s: int, price: int, per_units: int) -> Said:
    """The device's price for its work."""
    return Said(asset, OFFER, sequence, unix_s, 0, ((price, per_units, 1, FOR_EVER_UNIX_S, bytes(128)),))


def account(name: str) -> bytes:
    """20 bytes for a name."""
    return sha256(b"account of " + name.encode()).digest()[:20]


@cache
def public_key(name: str) -> bytes:
    """The key that a name signs with."""
    return ed25519.public_key(_secret(name))


def _secret(name: str) -> bytes:
    return sha256(b"device of " + name.encode()).digest()


def _owner(asset: Asset) -> bytes:
    return account(asset.owner or asset.name)


@cache
def _signed(said: Said) -> RawEntry:
    key = said.key or said.asset.name
    signed = pack(
        network=NETWORK,
        schema=said.schema,
        subject=said.asset.id,
        signer=signer_id(ED25519, public_key(key)),
        sequence=said.sequence,
        start_unix_s=said.start_unix_s,
        interval_seconds=said.interval_seconds,
        rows=said.rows,
    )
    signature = ed25519.sign(_secret(key), signed)
    if said.speaks_of is not None:
        signed = signed.replace(said.asset.id, said.speaks_of.id)
    (raw,) = cut(signed + signature)
    return raw


def _entries(said: Sequence[Said], snapshot: Snapshot) -> dict[str, pl.DataFrame]:
    entries = {}
    for schema in {each.schema.name: each.schema for each in said}.values():
        order = [place for place, each in enumerate(said) if each.schema.name == schema.name]
        table = frame([said[place].raw for place in order], schema)
        entries[schema.name] = table.with_columns(
            pl.Series("order", order, dtype=pl.UInt64), pl.Series("valid", valid(table, schema, NETWORK, snapshot.assets))
        )
    return entries


def _redeemed(lane: Lane) -> tuple[bytes, bytes, int, int, int, int, bytes]:
    lines = sorted((asset.id, money) for asset, money in lane.lines.items())
    ids = np.frombuffer(b"".join(asset for asset, _ in lines), np.uint8).reshape(-1, 32)
    hashed = lines_hashes(ids, to_words(from_ints([money for _, money in lines])), np.array([len(lines)]))[0].tobytes()
    return _lane_id(lane), account(f"{lane.name}'s customer"), lane.seq, sum(lane.lines.values()), lane.net, lane.burned, hashed


def _lines(lanes: Sequence[Lane]) -> pl.DataFrame:
    rows = [
        (_lane_id(lane), lane.seq, asset.id, money, number)
        for number, lane in enumerate(lanes)
        if lane.handed_in
        for asset, money in (lane.told or lane.lines).items()
    ]
    return _table({**LINES, "table": pl.Int64}, rows)


def _lane_id(lane: Lane) -> bytes:
    return sha256(b"lane " + lane.name.encode()).digest()


def _table(schema: Mapping[str, Any], rows: Sequence[tuple[Any, ...]]) -> pl.DataFrame:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    return pl.DataFrame(
        {
            name: from_ints(column) if isinstance(dtype, pl.Decimal) else pl.Series(column, dtype=dtype)
            for (name, dtype), column in zip(schema.items(), columns, strict=True)
        }
    )


def _paid(state: State, currency: str, owners: Iterable[str]) -> int:
    totals = dict(zip(state.accounts["account"].to_list(), to_ints(state.accounts[currency]), strict=True))
    return sum(totals.get(account(owner), 0) for owner in owners)
