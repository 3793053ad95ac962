"""The index: what final epochs came to, read from chain and archive, kept in SQL so that a page need not read Parquet.

It adds nothing of its own. Whatever stands here can be dropped and read again, and every file behind it was checked against a hash that
the chain gave. Money is decimal text in base units: SQL's numbers end at 64 bits.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sql

from subak.archive.store import Archive
from subak.chain.snapshot import Finalised
from subak.core.nouns import Network
from subak.explorer.reading import AssetFacts, Range, Row, read_range

log = logging.getLogger("subak.explorer")

FORMAT = "1"
"""Of the tables below; an index of another format is made anew."""
MAX_PAGE = 500
"""Rows that one question may ask for."""
_ROWS_AT_ONCE = 5_000

_metadata = sql.MetaData()
facts = sql.Table("facts", _metadata, sql.Column("name", sql.Text, primary_key=True), sql.Column("value", sql.Text, nullable=False))
"""The network that the index is of."""
epochs = sql.Table(
    "epochs",
    _metadata,
    sql.Column("epoch", sql.BigInteger, primary_key=True, autoincrement=False),
    sql.Column("first", sql.BigInteger, nullable=False, comment="first epoch of the range it was settled in"),
    sql.Column("last", sql.BigInteger, nullable=False, comment="last epoch of that range"),
    sql.Column("first_unix_s", sql.BigInteger, nullable=False),
    sql.Column("end_unix_s", sql.BigInteger, nullable=False),
    sql.Column("attempt", sql.BigInteger, nullable=False),
    sql.Column("root", sql.Text, nullable=False, comment="of the range, like the other roots"),
    sql.Column("state_root", sql.Text, nullable=False),
    sql.Column("asset_root", sql.Text, nullable=False),
    sql.Column("verdicts_hash", sql.Text, nullable=False),
    sql.Column("book", sql.Text, nullable=False),
    sql.Column("policy", sql.Text, nullable=False),
    sql.Column("minted", sql.Text, comment="by the whole range, on its last epoch; elsewhere null. So are the next four"),
    sql.Column("paid", sql.Text),
    sql.Column("unallocated", sql.Text),
    sql.Column("minted_ever", sql.Text),
    sql.Column("paid_ever", sql.Text),
    sql.Column("accepted", sql.BigInteger, nullable=False),
    sql.Column("held", sql.BigInteger, nullable=False),
    sql.Column("refused", sql.BigInteger, nullable=False),
    sql.Column("block", sql.BigInteger, nullable=False),
    sql.Column("transaction_hash", sql.Text, nullable=False),
)
assets = sql.Table(
    "assets",
    _metadata,
    sql.Column("id", sql.Text, primary_key=True),
    sql.Column("kind", sql.Text, nullable=False),
    sql.Column("owner", sql.Text, nullable=False),
    sql.Column("cell", sql.Text, nullable=False),
    sql.Column("rated", sql.BigInteger, nullable=False),
    sql.Column("live", sql.Boolean, nullable=False),
    sql.Column("units", sql.BigInteger, nullable=False),
    sql.Column("rewards", sql.Text, nullable=False, comment="ever, vested"),
    sql.Column("fees", sql.Text, nullable=False),
    sql.Column("waiting", sql.Text, nullable=False, comment="earned, not vested yet"),
)
payees = sql.Table(
    "payees",
    _metadata,
    sql.Column("asset", sql.Text, primary_key=True),
    sql.Column("place", sql.BigInteger, primary_key=True, autoincrement=False),
    sql.Column("payee", sql.Text, nullable=False),
    sql.Column("parts", sql.BigInteger, nullable=False),
)
asset_epochs = sql.Table(
    "asset_epochs",
    _metadata,
    sql.Column("asset", sql.Text, primary_key=True),
    sql.Column("epoch", sql.BigInteger, primary_key=True, autoincrement=False),
    sql.Column("units", sql.BigInteger, nullable=False),
    sql.Column("rewards", sql.Text, comment="growth, of the whole range on its last epoch, elsewhere null"),
    sql.Column("accepted", sql.BigInteger, nullable=False),
    sql.Column("instants", sql.BigInteger, nullable=False, comment="accepted lines that speak of an instant, not of an interval"),
    sql.Column("held", sql.BigInteger, nullable=False),
    sql.Column("refused", sql.BigInteger, nullable=False),
)
reasons = sql.Table(
    "reasons",
    _metadata,
    sql.Column("asset", sql.Text, primary_key=True),
    sql.Column("epoch", sql.BigInteger, primary_key=True, autoincrement=False),
    sql.Column("reason", sql.Text, primary_key=True),
    sql.Column("status", sql.Text, nullable=False),
    sql.Column("sentence", sql.Text, nullable=False),
    sql.Column("lines", sql.BigInteger, nullable=False),
)
refusals = sql.Table(
    "refusals",
    _metadata,
    sql.Column("id", sql.Integer, primary_key=True),
    sql.Column("epoch", sql.BigInteger, nullable=False),
    sql.Column("asset", sql.Text, nullable=False),
    sql.Column("schema", sql.Text, nullable=False),
    sql.Column("sequence", sql.Text, nullable=False),
    sql.Column("start_unix_s", sql.BigInteger, nullable=False),
    sql.Column("end_unix_s", sql.BigInteger, nullable=False),
    sql.Column("status", sql.Text, nullable=False, comment="held or refused"),
    sql.Column("reason", sql.Text, nullable=False),
    sql.Column("sentence", sql.Text, nullable=False),
    sql.Index("refusals_by_asset", "asset", "epoch"),
    sql.Index("refusals_by_epoch", "epoch", "start_unix_s"),
)
accounts = sql.Table(
    "accounts",
    _metadata,
    sql.Column("account", sql.Text, primary_key=True),
    sql.Column("rewards", sql.Text, nullable=False),
    sql.Column("fees", sql.Text, nullable=False),
)
_PER_EPOCH = (epochs, asset_epochs, reasons, refusals)


class OtherNetwork(ValueError):
    """The index holds another network than the one that is followed."""


@dataclass(frozen=True)
class Page:
    """Some rows of many."""

    rows: list[Row]
    """The rows, as plain values."""
    number: int
    """Which page, from 1."""
    pages: int
    """How many there are, at least 1."""
    total: int
    """Rows on all of them."""


class Ledger:
    """The index of one network. Safe to use from several threads; one of them may write.

    Promise: a range of epochs is in it whole or not at all, and what a chain took back is taken back here too.
    """

    def __init__(self, database: Path) -> None:
        """``database`` is a file; it and its folder are made if they are not there."""
        database.parent.mkdir(parents=True, exist_ok=True)
        self._engine = sql.create_engine(f"sqlite:///{database}", connect_args={"timeout": 30})
        _set_up_sqlite(self._engine)
        self._make_tables()

    def close(self) -> None:
        """Let the database go."""
        self._engine.dispose()

    def take(self, network: Network, archive: Archive, finals: Sequence[Finalised], most: int | None = None) -> int:
        """Read the ranges that are final and not in the index yet, at most ``most``; returns how many were read.

        Errors: OtherNetwork; NotThere and WrongContent naming a file of the archive that is missing or false: what was read before stays.
        """
        self.claim(network)
        kept, stored = self._kept(finals)
        # What stands about assets and accounts is of the last range, so that one is read again when the chain took ranges back.
        kept, whole = (max(0, kept - 1), True) if kept < stored else (kept, kept == 0)
        due = finals[kept:][:most]
        if whole and not due:
            with self._engine.begin() as db:
                _forget(db, 0, whole)
        for place, final in enumerate(due, kept):
            previous = finals[place - 1] if place else None
            rows = read_range(network, archive, final, previous, None, whole)
            with self._engine.begin() as db:
                _forget(db, final.first, whole)
                _put(db, rows)
            whole = False
            log.info("epochs %d..%d: in the index", final.first, final.last)
        return len(due)

    def claim(self, network: Network) -> None:
        """Make it the index of this network. Errors: OtherNetwork if it is another's already."""
        name = _hex(network.id)
        with self._engine.begin() as db:
            held = db.execute(sql.select(facts.c.value).where(facts.c.name == "network")).scalar()
            if held is None:
                db.execute(facts.insert().values(name="network", value=name))
        if held not in (None, name):
            raise OtherNetwork(f"{self._engine.url.database} is the index of network {held}, not of {name}: give another file or remove it")

    def facts(self) -> dict[str, str]:
        """What was written down with ``note``, and the network's id."""
        with self._engine.begin() as db:
            return {row.name: row.value for row in db.execute(sql.select(facts))}

    def note(self, **values: str) -> None:
        """Keep facts about the network, by name."""
        with self._engine.begin() as db:
            for name, value in values.items():
                db.execute(facts.delete().where(facts.c.name == name))
                db.execute(facts.insert().values(name=name, value=value))

    def totals(self) -> Row:
        """Everything together: epochs, lines by status, minted, paid, unallocated, assets, accounts, the last epoch."""
        with self._engine.begin() as db:
            sums = [sql.func.coalesce(sql.func.sum(epochs.c[name]), 0).label(name) for name in ("accepted", "held", "refused")]
            row = db.execute(sql.select(sql.func.count().label("epochs"), sql.func.max(epochs.c.epoch).label("last_epoch"), *sums)).one()
            last = db.execute(sql.select(epochs).where(epochs.c.minted_ever.is_not(None)).order_by(epochs.c.epoch.desc()).limit(1)).first()
            counted = {table.name: db.execute(sql.select(sql.func.count()).select_from(table)).scalar_one() for table in (assets, accounts)}
        money = {"minted": last.minted_ever, "paid": last.paid_ever, "unallocated": last.unallocated} if last else {}
        return {**row._mapping, "minted": "0", "paid": "0", "unallocated": "0", **money, **counted}

    def epochs(self, number: int = 1, size: int = 50) -> Page:
        """Epochs, newest first."""
        return self._page(sql.select(epochs), [epochs.c.epoch.desc()], number, size)

    def epoch(self, epoch: int) -> Row | None:
        """One epoch, or None if it is not final yet."""
        return self._first(sql.select(epochs).where(epochs.c.epoch == epoch))

    def assets(self, number: int = 1, size: int = 50) -> Page:
        """Assets with their lines by status, those that earned most first."""
        lines = sql.select(
            asset_epochs.c.asset, *(sql.func.sum(asset_epochs.c[name]).label(name) for name in ("accepted", "held", "refused"))
        )
        each = lines.group_by(asset_epochs.c.asset).subquery()
        counts = [sql.func.coalesce(each.c[name], 0).label(name) for name in ("accepted", "held", "refused")]
        joined = assets.outerjoin(each, each.c.asset == assets.c.id)
        return self._page(sql.select(assets, *counts).select_from(joined), [*_largest(assets.c.rewards), assets.c.id], number, size)

    def asset(self, asset: str) -> Row | None:
        """One asset with its payees, or None if no Book's snapshot named it."""
        row = self._first(sql.select(assets).where(assets.c.id == asset))
        if row is None:
            return None
        parts = sql.select(payees.c.payee, payees.c.parts).where(payees.c.asset == asset).order_by(payees.c.place)
        return {**row, "payees": self._all(parts)}

    def asset_facts(self, asset: str, last: int) -> AssetFacts | None:
        """All that a statement tells of an asset, with its ``last`` so many epochs; None if no Book's snapshot named it."""
        row = self.asset(asset)
        if row is None:
            return None
        times = [epochs.c[name] for name in ("first", "last", "first_unix_s", "end_unix_s")]
        chosen = sql.select(asset_epochs, *times).select_from(asset_epochs.join(epochs, epochs.c.epoch == asset_epochs.c.epoch))
        newest = self._all(chosen.where(asset_epochs.c.asset == asset).order_by(asset_epochs.c.epoch.desc()).limit(last))[::-1]
        sums = (
            sql.func.coalesce(sql.func.sum(asset_epochs.c[name]), 0).label(name) for name in ("accepted", "instants", "held", "refused")
        )
        totals = self._all(sql.select(sql.func.count().label("epochs"), *sums).where(asset_epochs.c.asset == asset))[0]
        since = newest[0]["epoch"] if newest else 0
        why = sql.select(reasons).where(reasons.c.asset == asset, reasons.c.epoch >= since).order_by(reasons.c.epoch, reasons.c.reason)
        lines = sql.select(refusals).where(refusals.c.asset == asset, refusals.c.epoch >= since)
        paid = [each["payee"] for each in row["payees"]] or [row["owner"]]
        held = self._all(sql.select(accounts).where(accounts.c.account.in_(paid)))
        return AssetFacts(row, totals, newest, self._all(why), self._all(lines), {each["account"]: each["rewards"] for each in held})

    def epoch_assets(self, epoch: int, number: int = 1, size: int = 50) -> Page:
        """What became of every asset in one epoch, those with most work first."""
        chosen = sql.select(asset_epochs).where(asset_epochs.c.epoch == epoch)
        return self._page(chosen, [asset_epochs.c.units.desc(), asset_epochs.c.asset], number, size)

    def refusals(self, asset: str = "", reason: str = "", epoch: int | None = None, number: int = 1, size: int = 100) -> Page:
        """Lines that were held or refused, newest first; of one asset, reason or epoch if given."""
        chosen = sql.select(refusals)
        for column, value in ((refusals.c.asset, asset), (refusals.c.reason, reason), (refusals.c.epoch, epoch)):
            if value not in ("", None):
                chosen = chosen.where(column == value)
        order = [refusals.c.epoch.desc(), refusals.c.start_unix_s.desc(), refusals.c.id.desc()]
        return self._page(chosen, order, number, size)

    def who_was_refused(self, size: int = 20, epoch: int | None = None) -> list[Row]:
        """Assets and reasons of what was held or refused, the most lines first."""
        lines = sql.func.sum(reasons.c.lines).label("lines")
        newest = sql.func.max(reasons.c.epoch).label("last_epoch")
        chosen = sql.select(reasons.c.asset, reasons.c.reason, reasons.c.status, reasons.c.sentence, lines, newest)
        chosen = chosen.where(reasons.c.status != "accepted")
        if epoch is not None:
            chosen = chosen.where(reasons.c.epoch == epoch)
        grouped = chosen.group_by(reasons.c.asset, reasons.c.reason, reasons.c.status, reasons.c.sentence)
        return self._all(grouped.order_by(lines.desc(), reasons.c.asset).limit(size))

    def reasons(self) -> list[Row]:
        """Every reason for which something was held or refused, by name."""
        lines = sql.func.sum(reasons.c.lines).label("lines")
        chosen = sql.select(reasons.c.reason, reasons.c.status, reasons.c.sentence, lines).where(reasons.c.status != "accepted")
        return self._all(chosen.group_by(reasons.c.reason, reasons.c.status, reasons.c.sentence).order_by(reasons.c.reason))

    def accounts(self, number: int = 1, size: int = 50) -> Page:
        """Accounts with their running totals, the largest first."""
        return self._page(sql.select(accounts), [*_largest(accounts.c.rewards), accounts.c.account], number, size)

    def account(self, account: str) -> Row | None:
        """One account with the assets that pay it, or None if nothing was ever paid to it and it owns nothing."""
        row = self._first(sql.select(accounts).where(accounts.c.account == account))
        named = sql.select(payees.c.asset).where(payees.c.payee == account)
        owned = self._all(sql.select(assets).where(sql.or_(assets.c.owner == account, assets.c.id.in_(named))).order_by(assets.c.id))
        if row is None and not owned:
            return None
        return {"account": account, "rewards": "0", "fees": "0", **(row or {}), "assets": owned}

    def _make_tables(self) -> None:
        with self._engine.begin() as db:
            known = sql.inspect(db).has_table("facts")
            made = db.execute(sql.select(facts.c.value).where(facts.c.name == "format")).scalar() if known else None
            if made == FORMAT:
                return
            _metadata.drop_all(db)
            _metadata.create_all(db)
            db.execute(facts.insert().values(name="format", value=FORMAT))

    def _kept(self, finals: Sequence[Finalised]) -> tuple[int, int]:
        """How many ranges in the index are as the chain tells them now, and how many there are."""
        held = self._all(sql.select(epochs).where(epochs.c.epoch == epochs.c.last).order_by(epochs.c.epoch))
        told = [(final.first, final.last, _hex(final.root), _hex(final.transaction)) for final in finals]
        stored = [(row["first"], row["last"], row["root"], row["transaction_hash"]) for row in held]
        same = [mine == true for mine, true in zip(stored, told, strict=False)]
        return (same.index(False) if False in same else len(same)), len(stored)

    def _page(self, chosen: sql.Select[Any], order: Sequence[Any], number: int, size: int) -> Page:
        size = max(1, min(size, MAX_PAGE))
        with self._engine.begin() as db:
            total = db.execute(sql.select(sql.func.count()).select_from(chosen.subquery())).scalar_one()
            pages = max(1, -(-total // size))
            number = max(1, min(number, pages))
            rows = db.execute(chosen.order_by(*order).limit(size).offset((number - 1) * size))
            return Page([dict(row._mapping) for row in rows], number, pages, total)

    def _all(self, chosen: sql.Select[Any]) -> list[Row]:
        with self._engine.begin() as db:
            return [dict(row._mapping) for row in db.execute(chosen)]

    def _first(self, chosen: sql.Select[Any]) -> Row | None:
        return next(iter(self._all(chosen.limit(1))), None)


def _set_up_sqlite(engine: sql.Engine) -> None:
    """Real transactions, for reading too, and readers that a writer does not stop."""

    @sql.event.listens_for(engine, "connect")
    def _connected(connection: Any, record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    @sql.event.listens_for(engine, "begin")
    def _begins(db: sql.Connection) -> None:
        db.exec_driver_sql("BEGIN")


def _largest(money: sql.Column[str]) -> list[Any]:
    """Decimal text, largest first: the longer number is the larger one."""
    return [sql.func.length(money).desc(), money.desc()]


def _forget(db: sql.Connection, first_epoch: int, whole: bool) -> None:
    for table in _PER_EPOCH:
        db.execute(table.delete().where(table.c.epoch >= first_epoch))
    for table in (assets, payees, accounts) if whole else (assets, payees):
        db.execute(table.delete())


def _put(db: sql.Connection, rows: Range) -> None:
    db.execute(epochs.insert(), rows.epochs)
    for table, frame in ((asset_epochs, rows.asset_epochs), (reasons, rows.reasons), (refusals, rows.refusals)):
        _insert(db, table, frame)
    _insert(db, assets, rows.assets)
    _insert(db, payees, rows.payees)
    for chunk in _chunks(rows.accounts):
        db.execute(accounts.delete().where(accounts.c.account == sql.bindparam("key")), [{"key": each["account"]} for each in chunk])
        db.execute(accounts.insert(), chunk)


def _insert(db: sql.Connection, table: sql.Table, frame: pl.DataFrame) -> None:
    for chunk in _chunks(frame):
        db.execute(table.insert(), chunk)


def _chunks(frame: pl.DataFrame) -> Iterator[list[Row]]:
    for start in range(0, len(frame), _ROWS_AT_ONCE):
        yield frame.slice(start, _ROWS_AT_ONCE).to_dicts()


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
