"""The index: what final epochs came to, read from chain and archive, kept in SQL so that a page need not read Parquet; and what the chain
says of customers, lanes and raises.

It adds nothing of its own. Whatever stands here can be dropped and read again, and every file behind it was checked against a hash that
the chain gave.
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
from subak.explorer import tables
from subak.explorer.onchain import Changes
from subak.explorer.reading import MOST_PAYERS, AssetFacts, Ever, Range, Row, begins, paid_accounts, read_range
from subak.explorer.tables import (
    accounts,
    asset_epochs,
    assets,
    corrections,
    customers,
    debts,
    earlier_accounts,
    epochs,
    facts,
    holders,
    lane_epochs,
    lanes,
    lines,
    milestones,
    offers,
    payees,
    raises,
    reasons,
    refusals,
    settled_lanes,
)

log = logging.getLogger("subak.explorer")

MAX_PAGE = 500
"""Rows that one question may ask for."""
_ROWS_AT_ONCE = 5_000


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
        """Read the ranges that are final and not in the index yet, at most ``most``; returns how many were read. ``finals`` are all that
        there ever were, those of Settlements that were replaced too.

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
            # Accounts are counted anew where a Settlement begins.
            whole = whole or begins(final, previous)
            rows = read_range(network, archive, final, previous, None, whole, self._earlier(finals, place))
            with self._engine.begin() as db:
                _forget(db, final.first, whole)
                _put(db, rows)
            whole = False
            log.info("epochs %d..%d: in the index", final.first, final.last)
        return len(due)

    def take_changes(self, changes: Changes) -> None:
        """Write down what the chain says of customers, lanes and raises."""
        with self._engine.begin() as db:
            for table in tables.ON_CHAIN:
                if changes.whole:
                    db.execute(table.delete())
                _replace(db, table, changes.rows.get(table.name, []))
        if changes.whole or changes.rows:
            self.note(chain_unix_s=str(changes.unix_s))

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
        """Everything together: epochs, lines by status, minted, paid, fees, what waits, assets, accounts, customers, raises, the last
        epoch."""
        with self._engine.begin() as db:
            sums = [sql.func.coalesce(sql.func.sum(epochs.c[name]), 0).label(name) for name in ("accepted", "held", "refused")]
            row = db.execute(sql.select(sql.func.count().label("epochs"), sql.func.max(epochs.c.epoch).label("last_epoch"), *sums)).one()
            last = db.execute(sql.select(epochs).where(epochs.c.minted_ever.is_not(None)).order_by(epochs.c.epoch.desc()).limit(1)).first()
            every = (assets, accounts, customers, raises)
            counted = {table.name: db.execute(sql.select(sql.func.count()).select_from(table)).scalar_one() for table in every}
        names = {"minted": "minted_ever", "paid": "paid_ever", "fees": "fees_ever"}
        names |= {"unallocated": "unallocated", "fees_waiting": "fees_waiting"}
        money = {name: last._mapping[column] if last else "0" for name, column in names.items()}
        return {**row._mapping, **money, **counted}

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
        return {**row, "payees": self._payees(asset)}

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
        of_asset = (reasons, refusals)
        why, refused = (self._all(sql.select(table).where(table.c.asset == asset, table.c.epoch >= since)) for table in of_asset)
        columns = [settled_lanes.c.lane, settled_lanes.c.customer, lines.c.money]
        paying = sql.select(*columns).select_from(lines.join(settled_lanes, settled_lanes.c.lane == lines.c.lane))
        named = [each["payee"] for each in row["payees"]]
        sites = {
            each["id"]: {"owner": each["owner"], "payees": self._payees(each["id"])}
            for each in self._all(sql.select(assets.c.id, assets.c.owner).where(assets.c.id.in_(named)))
        }
        who = paid_accounts(row, sites)
        paid = sql.select(accounts).where(accounts.c.account.in_(who))
        began = sql.select(*[column for column in corrections.c if column.name != "id"]).where(corrections.c.asset == asset)
        return AssetFacts(
            asset=row,
            totals=totals,
            epochs=newest,
            reasons=why,
            refusals=refused,
            offer=self._first(sql.select(offers).where(offers.c.asset == asset).order_by(offers.c.epoch.desc())),
            corrections=self._all(began.order_by(corrections.c.id)),
            debts=self._all(sql.select(debts).where(debts.c.asset == asset)),
            payers=self._all(paying.where(lines.c.asset == asset).order_by(*_largest(lines.c.money), lines.c.lane).limit(MOST_PAYERS)),
            sites=sites,
            accounts={each["account"]: each for each in self._all(paid)},
            earlier={account: self._earlier_of(account) for account in who},
        )

    def named_by(self, site: str) -> list[Row]:
        """Assets that name a site as a payee, with its parts."""
        joined = payees.join(assets, assets.c.id == payees.c.asset)
        return self._all(sql.select(assets, payees.c.parts).select_from(joined).where(payees.c.payee == site).order_by(assets.c.id))

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
        """One account with the assets that pay it, the raises that it began or holds shares of, its totals in earlier Settlements, oldest
        first, and whether it is a customer, a clerk or a share contract itself; None if nothing here knows it."""
        row = self._first(sql.select(accounts).where(accounts.c.account == account))
        named = sql.select(payees.c.asset).where(payees.c.payee == account)
        owned = self._all(sql.select(assets).where(sql.or_(assets.c.owner == account, assets.c.id.in_(named))).order_by(assets.c.id))
        joined = raises.outerjoin(holders, sql.and_(holders.c.address == raises.c.address, holders.c.account == account))
        chosen = sql.select(raises, holders.c.shares).select_from(joined)
        mine = sql.or_(raises.c.builder == account, holders.c.account == account)
        parts = self._all(chosen.where(mine).order_by(raises.c.began_unix_s.desc(), raises.c.address).limit(MAX_PAGE))
        places = {"is_customer": customers.c.account, "is_clerk": lanes.c.clerk, "is_raise": raises.c.address}
        known = {name: self._first(sql.select(column).where(column == account)) is not None for name, column in places.items()}
        earlier = self._earlier_of(account)
        if row is None and not owned and not parts and not earlier and not any(known.values()):
            return None
        told = {"account": account, "rewards": "0", "fees": "0", **(row or {}), "assets": owned, "raises": parts, **known}
        return {**told, "earlier": earlier}

    def customers(self, number: int = 1, size: int = 50) -> Page:
        """Customers, those who spent most first."""
        return self._page(sql.select(customers), [*_largest(customers.c.redeemed), customers.c.account], number, size)

    def customer(self, account: str) -> Row | None:
        """One customer's channel; None if it never had one."""
        return self._first(sql.select(customers).where(customers.c.account == account))

    def lanes(self, customer: str, number: int = 1, size: int = 50) -> Page:
        """A customer's lanes with what was settled of them (null: nothing yet), newest first."""
        settled = [settled_lanes.c[name].label(f"settled_{name}") for name in ("total", "net", "burned")]
        joined = lanes.outerjoin(settled_lanes, settled_lanes.c.lane == lanes.c.lane)
        chosen = sql.select(lanes, *settled).select_from(joined).where(lanes.c.customer == customer)
        return self._page(chosen, [lanes.c.number.desc()], number, size)

    def settled(self, customer: str) -> list[Row]:
        """What was settled of each of a customer's lanes, ever."""
        return self._all(sql.select(settled_lanes).where(settled_lanes.c.customer == customer))

    def bill(self, customer: str, number: int = 1, size: int = 50) -> Page:
        """What a customer paid for each asset on each lane, ever, the largest first."""
        joined = lines.join(settled_lanes, settled_lanes.c.lane == lines.c.lane).outerjoin(assets, assets.c.id == lines.c.asset)
        chosen = sql.select(lines, assets.c.kind).select_from(joined).where(settled_lanes.c.customer == customer)
        return self._page(chosen, [*_largest(lines.c.money), lines.c.asset, lines.c.lane], number, size)

    def bill_epochs(self, customer: str, number: int = 1, size: int = 50) -> Page:
        """By how much a customer's lanes grew, newest epochs first."""
        chosen = sql.select(lane_epochs, epochs.c.first, epochs.c.first_unix_s, epochs.c.end_unix_s)
        joined = lane_epochs.join(epochs, epochs.c.epoch == lane_epochs.c.epoch)
        chosen = chosen.select_from(joined).where(lane_epochs.c.customer == customer)
        return self._page(chosen, [lane_epochs.c.epoch.desc(), lane_epochs.c.lane], number, size)

    def raises(self, number: int = 1, size: int = 50) -> Page:
        """Raises, newest first."""
        return self._page(sql.select(raises), [raises.c.began_unix_s.desc(), raises.c.address], number, size)

    def a_raise(self, address: str) -> Row | None:
        """One raise with its milestones, each with what its asset did, ever, and the assets that it owns; None if there is none."""
        row = self._first(sql.select(raises).where(raises.c.address == address))
        if row is None:
            return None
        did = [assets.c[name] for name in ("kind", "owner", "units", "paid_epochs")]
        joined = milestones.outerjoin(assets, assets.c.id == milestones.c.asset)
        due = sql.select(milestones, *did).select_from(joined).where(milestones.c.address == address).order_by(milestones.c.place)
        owned = sql.select(assets).where(assets.c.owner == address).order_by(assets.c.id)
        return {**row, "milestones": self._all(due), "assets": self._all(owned.limit(MAX_PAGE))}

    def holders(self, address: str, number: int = 1, size: int = 50) -> Page:
        """Who holds a raise's shares, or did and has revenue from then, the largest first."""
        chosen = sql.select(holders).where(holders.c.address == address)
        return self._page(chosen, [*_largest(holders.c.shares), holders.c.account], number, size)

    def _payees(self, asset: str) -> list[Row]:
        return self._all(sql.select(payees.c.payee, payees.c.parts).where(payees.c.asset == asset).order_by(payees.c.place))

    def _earlier_of(self, account: str) -> list[Row]:
        columns = [earlier_accounts.c[name] for name in ("epoch", "settlement", "account", "rewards", "fees")]
        return self._all(sql.select(*columns).where(earlier_accounts.c.account == account).order_by(earlier_accounts.c.epoch))

    def _make_tables(self) -> None:
        with self._engine.begin() as db:
            known = sql.inspect(db).has_table("facts")
            made = db.execute(sql.select(facts.c.value).where(facts.c.name == "format")).scalar() if known else None
            if made == tables.FORMAT:
                return
            tables.metadata.drop_all(db)
            tables.metadata.create_all(db)
            db.execute(facts.insert().values(name="format", value=tables.FORMAT))

    def _earlier(self, finals: Sequence[Finalised], place: int) -> Ever:
        """What became final in the Settlements before that of this range; their ranges are in the index."""
        settlement = finals[place].settlement
        last = next((each.last for each in reversed(finals[:place]) if each.settlement != settlement), None)
        row = self.epoch(last) if last is not None else None
        return Ever(*(int(row[f"{name}_ever"]) for name in ("minted", "paid", "fees"))) if row else Ever()

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
    for table in tables.PER_EPOCH:
        db.execute(table.delete().where(table.c.epoch >= first_epoch))
    for table in (*tables.OF_THE_LAST, *(tables.CHANGED if whole else ())):
        db.execute(table.delete())


def _put(db: sql.Connection, rows: Range) -> None:
    db.execute(epochs.insert(), rows.epochs)
    for table in (*tables.PER_EPOCH, *tables.OF_THE_LAST):
        if table is not epochs:
            _insert(db, table, getattr(rows, table.name))
    for table in tables.CHANGED:
        for chunk in _chunks(getattr(rows, table.name)):
            _replace(db, table, chunk)


def _replace(db: sql.Connection, table: sql.Table, rows: Sequence[Row]) -> None:
    """These rows instead of those with the same primary key."""
    if rows:
        names = [column.name for column in table.primary_key.columns]
        same = sql.and_(*(table.c[name] == sql.bindparam(f"key_{name}") for name in names))
        db.execute(table.delete().where(same), [{f"key_{name}": row[name] for name in names} for row in rows])
        db.execute(table.insert(), rows)


def _insert(db: sql.Connection, table: sql.Table, frame: pl.DataFrame) -> None:
    for chunk in _chunks(frame):
        db.execute(table.insert(), chunk)


def _chunks(frame: pl.DataFrame) -> Iterator[list[Row]]:
    for start in range(0, len(frame), _ROWS_AT_ONCE):
        yield frame.slice(start, _ROWS_AT_ONCE).to_dicts()


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
