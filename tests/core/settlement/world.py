"""Small worlds: Books and states from readable rows, and a tiny kind whose verdicts one can do in the head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import numpy as np
import polars as pl

from subak.core.canon import ed25519
from subak.core.canon.entry import RawEntry, Value, cut, pack
from subak.core.canon.ids import ED25519, commitment, seal_of, signer_id
from subak.core.canon.json import hash_json
from subak.core.canon.segment import frame
from subak.core.canon.segment import valid as signature_holds
from subak.core.canon.vouchers import lines_hashes
from subak.core.kind import (
    ACCEPTED,
    FIRST_KIND_REASON,
    Assets,
    Carried,
    Column,
    Context,
    Field,
    Judged,
    Lines,
    Reason,
    Rules,
    Schema,
    Status,
    Tasks,
)
from subak.core.nouns import (
    Address,
    Book,
    Bootstrap,
    Contents,
    Correction,
    Hash,
    Head,
    KindPolicy,
    Policy,
    Requirement,
    Seal,
    Settlement,
    Snapshot,
    SnapshotRef,
    State,
    Usage,
)
from subak.core.nouns.document import Signature
from subak.core.nouns.snapshot import ASSETS, ATTESTATIONS, LANES, PAYEES, VERIFIERS
from subak.core.settlement import OFFER, POSSESSION, settle
from subak.core.settlement.money import from_ints, to_ints, to_words

HOUR_S: Final = 3600
EPOCH_S: Final = 24 * HOUR_S
GRACE_S: Final = HOUR_S
GENESIS_UNIX_S: Final = 1_500_000_000 // HOUR_S * HOUR_S
NETWORK: Final = Hash(sha256(b"a small world").digest())

COUNTED_BEFORE, TOO_MANY = FIRST_KIND_REASON, FIRST_KIND_REASON + 1


@dataclass(frozen=True)
class TickRules:
    """Pays each line its ticks, at most ``rated`` a line; an hour that ends no later than one judged before counts nothing."""

    name: str = "tick"
    version: int = 1

    @property
    def schemas(self) -> tuple[Schema, ...]:
        return (Schema(f"{self.name}.reading", 1, (Field("ticks"),)), Schema(f"{self.name}.pair", 1, (Field("ticks"), Field("tocks"))))

    @property
    def reasons(self) -> tuple[Reason, ...]:
        return (
            Reason(COUNTED_BEFORE, "counted_before", Status.ACCEPTED, "this hour was counted before"),
            Reason(TOO_MANY, "too_many_ticks", Status.REFUSED, "more ticks than rated"),
        )

    @property
    def work_units(self) -> tuple[str, ...]:
        return ("ticks", "tocks")

    @property
    def carried(self) -> tuple[Carried, ...]:
        return (Carried("mark_unix_s"),)

    @property
    def tables(self) -> Mapping[str, tuple[str, ...]]:
        return {}

    def judge(self, lines: Lines, assets: Assets, carried: Mapping[str, Column], context: Context) -> Judged:
        mark = carried["mark_unix_s"].copy()
        reasons = np.zeros(lines.present.shape, np.uint8)
        work = {unit: np.zeros(lines.present.shape, np.int64) for unit in self.work_units}
        for k, present in enumerate(lines.present):
            end, ticks, tocks = lines.end_unix_s[k], lines.fields["ticks"][k], lines.fields["tocks"][k]
            many = np.maximum(ticks, tocks) > assets.rated
            before = end <= mark
            reasons[k] = np.where(before, COUNTED_BEFORE, np.where(many, TOO_MANY, ACCEPTED))
            counted = present & ~before & ~many
            work["ticks"][k], work["tocks"][k] = np.where(counted, ticks, 0), np.where(counted, tocks, 0)
            mark = np.where(present & ~before, end, mark)
        return Judged(reasons, work, {"mark_unix_s": mark})

    def draw(self, assets: Assets, carried: Mapping[str, Column], context: Context) -> Tasks:
        return {}

    def price(self, work: Mapping[str, Column], context: Context) -> Mapping[str, Column]:
        return {"bootstrap": work["ticks"]}


TICK: Final = TickRules()
TOCK: Final = TickRules("tock")
"""The same law under another name."""
KINDS: Final[Mapping[str, Rules]] = {"tick": TICK}
READING, PAIR = TICK.schemas


@dataclass(frozen=True)
class Device:
    """An asset, its owner and who shares its earnings. A payee whose name starts with ``site`` is a site."""

    name: str
    owner: str = ""
    payees: Mapping[str, int] = field(default_factory=dict)
    kind: str = "tick"
    rated: int = 1000
    attested: bool = True
    held: bool = True
    """Its device signs, under sequence 0, that its owner holds it; in every Book of it."""
    key: str = ""
    """Seed of its present key; its name if empty."""


@dataclass(frozen=True)
class Said:
    """An Entry: rows of values, an hour each, from ``hour`` of the epoch on."""

    asset: str
    sequence: int
    rows: Sequence[Value | Sequence[Value]]
    hour: int = 0
    interval_s: int = HOUR_S
    schema: Schema = READING
    valid: bool | None = True
    """What the Book says of the signature; None to sign it and look."""
    key: str = ""
    """Seed of the key that signs; the asset's name if empty."""
    start_unix_s: int | None = None
    """In place of ``hour``."""


@dataclass(frozen=True)
class Lane:
    """What the chain says of a lane, and the lines that the Book lists for it."""

    name: str
    lines: Mapping[str, int]
    """Running money by asset."""
    seq: int = 1
    net: int | None = None
    """What hosts get of the total; nine tenths, rounded down, if unsaid."""
    burned: int = 0
    listed: bool = True
    """Whether the Book lists the lines."""
    told: Mapping[str, int] | None = None
    """Lines that the Book lists in their place."""

    @property
    def total(self) -> int:
        return sum(self.lines.values())

    def table(self) -> list[tuple[bytes, int, bytes, int]]:
        lines = self.lines if self.told is None else self.told
        return [(asset_of(self.name), self.seq, asset_of(asset), money) for asset, money in lines.items()]

    def row(self) -> tuple[bytes, bytes, int, int, int, int, bytes]:
        lines = sorted((asset_of(asset), money) for asset, money in self.lines.items())
        ids = np.frombuffer(b"".join(asset for asset, _ in lines), np.uint8).reshape(-1, 32)
        hashed = lines_hashes(ids, to_words(from_ints([money for _, money in lines])), np.array([len(lines)]))[0].tobytes()
        net = self.total * 9 // 10 if self.net is None else self.net
        return asset_of(self.name), account_of(f"{self.name}'s customer"), self.seq, self.total, net, self.burned, hashed


@dataclass(frozen=True)
class Verifier:
    """Who weighs, and who is paid for it."""

    name: str
    """Its signer's name."""
    weight: int
    owner: str = ""

    def row(self) -> tuple[bytes, bytes, int]:
        return account_of(self.name), account_of(self.owner or f"{self.name}'s owner"), self.weight


def head_of(verifier: str, epoch: int, seals: Sequence[Seal] = (), reveals: bool = True) -> Head:
    """A verifier's word at the close of an epoch; with ``reveals`` it tells what its head of the epoch before committed to."""
    return Head(
        network=NETWORK,
        epoch=epoch,
        verifier=Address(account_of(verifier)),
        segments=(),
        lines=(),
        commit=Hash(commitment(_secret(verifier, epoch + 1))),
        reveal=_secret(verifier, epoch if reveals else epoch + 9),
        seals=tuple(seals),
        signature=Signature(bytes(64)),
    )


def seal_by(verifier: str, book_hash: bytes, verdicts_hash: bytes, of: str = "") -> Seal:
    """A verifier's seal of a Book; with ``of`` another's value under its own name."""
    value = seal_of(account_of(of or verifier), book_hash, verdicts_hash)
    return Seal(Hash(book_hash), Address(account_of(verifier)), Hash(value), Signature(bytes(64)))


def _secret(verifier: str, epoch: int) -> Hash:
    return Hash(sha256(f"{verifier} {epoch}".encode()).digest())


def asset_of(name: str) -> bytes:
    """Ids sort by name."""
    return name.encode().ljust(32, b"\x01")


def account_of(name: str) -> bytes:
    return name.encode().ljust(20, b"\x01")


def seed_of(name: str) -> bytes:
    return sha256(name.encode()).digest()


def held(asset: str, owner: str = "", sequence: int = 0, **changes: Any) -> Said:
    """The device's word on who holds it."""
    return Said(asset, sequence, [account_of(owner or f"{asset}'s owner")], interval_s=0, schema=POSSESSION, **changes)


def book(
    devices: Sequence[Device],
    said: Sequence[Said] = (),
    *,
    epoch: int = 0,
    budgets: Mapping[str, int] | None = None,
    escrow_epochs: int = 0,
    late_epochs: int = 7,
    kinds: Mapping[str, Rules] = KINDS,
    lanes: Sequence[Lane] = (),
    bootstrap: Mapping[str, int] | None = None,
    k_bps: int = 0,
    corrections: Sequence[Correction] = (),
    requires: Sequence[Requirement] = (),
    attestations: Sequence[tuple[str, bytes, bytes, int]] = (),
    beacon: bytes = bytes(32),
    verifiers: Sequence[Verifier] = (),
    heads: Sequence[Head] = (),
) -> Book:
    """The Book of an epoch in which ``said`` was listed in this order, after what ``Device.held`` adds. ``attestations`` (topic, subject,
    issuer, expiry) come on top of those of ``Device.attested``."""
    first = GENESIS_UNIX_S + epoch * EPOCH_S
    words = [("installed", asset_of(each.name), bytes(20), first + EPOCH_S) for each in devices if each.attested]
    snapshot = _snapshot(devices, {"tick": 1000} if budgets is None else budgets, lanes, sorted([*words, *attestations]), verifiers)
    listed = [held(device.name, _owner(device), key=device.key) for device in devices if device.held] + list(said)
    contents = Contents(
        network=NETWORK,
        epoch=epoch,
        first_unix_s=first,
        end_unix_s=first + EPOCH_S,
        close_unix_s=first + EPOCH_S + GRACE_S,
        policy=NETWORK,
        snapshot=SnapshotRef(epoch, NETWORK, NETWORK),
        segments=(),
        heads=tuple(sorted(Hash(hash_json(head)) for head in heads)),
        lines=(),
        previous=NETWORK,
        beacon=Hash(beacon),
    )
    policy = Policy(
        version=1,
        late_epochs=late_epochs,
        kinds={name: KindPolicy(rules.version, NETWORK, {}, {}, tuple(requires)) for name, rules in kinds.items()},
        bootstrap=Bootstrap(escrow_epochs, **(bootstrap or {})),
        usage=Usage(k_bps),
        corrections=tuple(corrections),
    )
    tables = [(*row, table) for table, lane in enumerate(lanes) if lane.listed for row in lane.table()]
    columns = list(zip(*tables, strict=True)) if tables else [()] * 5
    lines = pl.DataFrame(
        {
            "lane": pl.Series(columns[0], dtype=pl.Binary),
            "seq": pl.Series(columns[1], dtype=pl.Int64),
            "asset": pl.Series(columns[2], dtype=pl.Binary),
            "money": from_ints(columns[3]),
            "table": pl.Series(columns[4], dtype=pl.Int64),
        }
    )
    return Book(contents, policy, {}, snapshot, _entries(listed, first, snapshot), lines, tuple(heads))


def offer(asset: str, sequence: int, price: int = 1, per_units: int = 1, capacity: int = 1, days: int = 1000, **changes: Any) -> Said:
    """The device's price for its work."""
    until = GENESIS_UNIX_S + days * EPOCH_S
    return Said(asset, sequence, [(price, per_units, capacity, until, bytes(128))], interval_s=0, schema=OFFER, **changes)


def settled(books: Sequence[Book], before: State | None = None, kinds: Mapping[str, Rules] = KINDS) -> list[Settlement]:
    """The Books one after another, the state handed on."""
    found: list[Settlement] = []
    for each in books:
        found.append(settle(each, found[-1].state if found else before or State.genesis(), kinds))
    return found


def paid(state: State) -> dict[str, int]:
    """Running totals by the account's name."""
    return _by_name(state.accounts, "account", "rewards")


def earned(state: State) -> dict[str, int]:
    """Running totals by the asset's name."""
    return _by_name(state.assets, "asset", "rewards")


def dust(state: State) -> dict[str, int]:
    return dict(zip(state.pools["pool"].to_list(), to_ints(state.pools["dust"]), strict=True))


def minted(state: State) -> int:
    return to_ints(state.totals["rewards"])[0]


def owed(state: State) -> int:
    """Accounts, escrow and dust."""
    return sum(sum(to_ints(column)) for column in (state.accounts["rewards"], state.escrow["rewards"], state.pools["dust"]))


def verdicts(settlement: Settlement) -> list[tuple[str, int, list[int], list[int]]]:
    """Asset's name, sequence, codes and accepted work of each Entry, in Book order, without what ``Device.held`` added."""
    table = settlement.verdicts.filter(pl.col("schema") != POSSESSION.name)
    rows = table.select("asset", "sequence", "reasons", "accepted").iter_rows()
    return [(_name(asset), sequence, list(codes), list(accepted)) for asset, sequence, codes, accepted in rows]


def _by_name(table: pl.DataFrame, key: str, money: str) -> dict[str, int]:
    return dict(zip(map(_name, table[key].to_list()), to_ints(table[money]), strict=True))


def _name(padded: bytes) -> str:
    return padded.rstrip(b"\x01").decode()


def _owner(device: Device) -> str:
    return device.owner or f"{device.name}'s owner"


def fees(state: State) -> dict[str, int]:
    """Running totals of fees by the account's name."""
    return {name: money for name, money in _by_name(state.accounts, "account", "fees").items() if money}


def _snapshot(
    devices: Sequence[Device],
    budgets: Mapping[str, int],
    lanes: Sequence[Lane],
    words: Sequence[tuple[str, bytes, bytes, int]],
    verifiers: Sequence[Verifier],
) -> Snapshot:
    devices = sorted(devices, key=lambda each: asset_of(each.name))
    is_site = [each.name.startswith("site") for each in devices]
    keys = [b"" if site else ed25519.public_key(seed_of(each.key or each.name)) for each, site in zip(devices, is_site, strict=True)]
    payees = [(asset_of(each.name), _payee(name), parts) for each in devices for name, parts in each.payees.items()]
    return Snapshot(
        assets=pl.DataFrame(
            {
                "asset": [asset_of(each.name) for each in devices],
                "kind": ["" if site else each.kind for each, site in zip(devices, is_site, strict=True)],
                "curve": [ED25519] * len(devices),
                "key": keys,
                "owner": [account_of(_owner(each)) for each in devices],
                "cell": [7] * len(devices),
                "rated": [each.rated for each in devices],
                "possessed": [False] * len(devices),
            },
            schema=ASSETS,
        ),
        payees=pl.DataFrame(payees, schema=PAYEES, orient="row"),
        pools=pl.DataFrame(
            {"pool": pl.Series(sorted(budgets), dtype=pl.String), "budget": from_ints([budgets[pool] for pool in sorted(budgets)])}
        ),
        lanes=pl.DataFrame(sorted({lane.row() for lane in lanes}), schema=LANES, orient="row"),
        attestations=pl.DataFrame(list(words), schema=ATTESTATIONS, orient="row"),
        verifiers=_verifiers(verifiers),
    )


def _verifiers(verifiers: Sequence[Verifier]) -> pl.DataFrame:
    signers, owners, weights = zip(*sorted(each.row() for each in verifiers), strict=True) if verifiers else ((), (), ())
    return pl.DataFrame([pl.Series(signers, dtype=pl.Binary), pl.Series(owners, dtype=pl.Binary), from_ints(weights)], schema=VERIFIERS)


def _payee(name: str) -> bytes:
    return asset_of(name) if name.startswith("site") else bytes(12) + account_of(name)


def _entries(said: Sequence[Said], first_unix_s: int, snapshot: Snapshot) -> dict[str, pl.DataFrame]:
    entries: dict[str, pl.DataFrame] = {}
    for schema in {each.schema.name: each.schema for each in said}.values():
        order = [place for place, each in enumerate(said) if each.schema.name == schema.name]
        table = frame([_raw(said[place], first_unix_s) for place in order], schema)
        holds = signature_holds(table, schema, NETWORK, snapshot.assets)
        says = [said[place].valid for place in order]
        valid = [bool(found) if said_valid is None else said_valid for found, said_valid in zip(holds, says, strict=True)]
        entries[schema.name] = table.with_columns(pl.Series("order", order, dtype=pl.UInt64), pl.Series("valid", valid, dtype=pl.Boolean))
    return entries


def _raw(said: Said, first_unix_s: int) -> RawEntry:
    seed = seed_of(said.key or said.asset)
    signed = pack(
        network=NETWORK,
        schema=said.schema,
        subject=asset_of(said.asset),
        signer=signer_id(ED25519, ed25519.public_key(seed)),
        sequence=said.sequence,
        start_unix_s=first_unix_s + said.hour * HOUR_S if said.start_unix_s is None else said.start_unix_s,
        interval_seconds=said.interval_s,
        rows=[row if isinstance(row, Sequence) and not isinstance(row, bytes) else (row,) for row in said.rows],
    )
    (raw,) = cut(signed + (ed25519.sign(seed, signed) if said.valid is None else bytes(64)))
    return raw
