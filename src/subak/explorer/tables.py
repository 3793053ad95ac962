"""The index's tables. Ids and hashes are 0x hex, times Unix seconds; money is decimal text in base units: SQL's numbers end at 64 bits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sql

from subak.explorer.reading import numbers

FORMAT = "3"
"""Of these tables; an index of another format is made anew."""

metadata = sql.MetaData()


class Counters(sql.TypeDecorator[dict[str, int]]):
    """Whole numbers by name: JSON text in the table, read as a mapping, nothing as an empty one."""

    impl = sql.Text
    cache_ok = True

    def process_result_value(self, value: str | None, dialect: sql.Dialect) -> dict[str, int]:
        return numbers(value)


def _key(name: str) -> sql.Column[str]:
    return sql.Column(name, sql.Text, primary_key=True)


def _epoch() -> sql.Column[int]:
    return sql.Column("epoch", sql.BigInteger, primary_key=True, autoincrement=False)


def _text(*names: str) -> Iterable[sql.Column[str]]:
    return [sql.Column(name, sql.Text, nullable=False) for name in names]


def _whole(*names: str) -> Iterable[sql.Column[int]]:
    return [sql.Column(name, sql.BigInteger, nullable=False) for name in names]


def _table(name: str, *columns: Any) -> sql.Table:
    return sql.Table(name, metadata, *columns)


facts = _table("facts", _key("name"), *_text("value"))
"""The network that the index is of, and what was noted of it."""

epochs = _table(
    "epochs",
    _epoch(),
    sql.Column("first", sql.BigInteger, nullable=False, comment="first epoch of the range it was settled in"),
    sql.Column("last", sql.BigInteger, nullable=False, comment="last epoch of that range"),
    *_whole("first_unix_s", "end_unix_s", "attempt"),
    sql.Column("root", sql.Text, nullable=False, comment="of the range, like the other roots"),
    *_text("state_root", "asset_root", "verdicts_hash", "book", "policy"),
    sql.Column("minted", sql.Text, comment="by the whole range, on its last epoch; elsewhere null. So are the next seven"),
    sql.Column("paid", sql.Text, comment="growth of the accounts' rewards"),
    sql.Column("fees", sql.Text, comment="growth of the accounts' fees"),
    sql.Column("unallocated", sql.Text),
    sql.Column("fees_waiting", sql.Text, comment="billed for work that was not measured yet"),
    sql.Column("minted_ever", sql.Text),
    sql.Column("paid_ever", sql.Text),
    sql.Column("fees_ever", sql.Text),
    *_whole("accepted", "held", "refused", "block"),
    *_text("settlement", "transaction_hash"),
)
assets = _table(
    "assets",
    _key("id"),
    *_text("kind", "owner", "cell"),
    *_whole("rated"),
    sql.Column("live", sql.Boolean, nullable=False),
    *_whole("units", "paid_epochs"),
    sql.Column("rewards", sql.Text, nullable=False, comment="ever, vested"),
    sql.Column("fees", sql.Text, nullable=False, comment="ever"),
    sql.Column("waiting", sql.Text, nullable=False, comment="rewards earned, not vested yet"),
    sql.Column("fees_waiting", sql.Text, nullable=False, comment="what hosts get of bills that wait for measured work"),
    sql.Column("bills_waiting", sql.Text, nullable=False, comment="the same before burning or the treasury's share"),
    sql.Column("unsold", sql.Text, nullable=False, comment="value of measured work that nobody was billed for yet"),
    sql.Column("billed", sql.Text, nullable=False, comment="sum of its lines, ever"),
    sql.Column("payers", sql.BigInteger, nullable=False, comment="lanes with a line for it"),
    sql.Column("price", sql.Text, comment="of its offer in force from the next epoch; null if it never made one"),
    sql.Column("per_units", sql.BigInteger),
    sql.Column("valid_until_unix_s", sql.BigInteger),
    sql.Column("counters", Counters, comment="what its kind's rules counted, ever: answers right and wrong …"),
)
payees = _table(
    "payees", _key("asset"), sql.Column("place", sql.BigInteger, primary_key=True, autoincrement=False), *_text("payee"), *_whole("parts")
)
asset_epochs = _table(
    "asset_epochs",
    _key("asset"),
    _epoch(),
    *_whole("units"),
    sql.Column("rewards", sql.Text, comment="growth, of the whole range on its last epoch, elsewhere null"),
    sql.Column("fees", sql.Text, comment="the same of fees"),
    *_whole("accepted"),
    sql.Column("instants", sql.BigInteger, nullable=False, comment="accepted lines that speak of an instant, not of an interval"),
    *_whole("held", "refused"),
    sql.Column("counters", Counters, comment="what its kind's rules counted over the whole range, on its last epoch, elsewhere null"),
)
offers = _table(
    "offers",
    _key("asset"),
    _epoch(),
    *_text("price"),
    *_whole("per_units", "capacity", "valid_until_unix_s"),
    sql.Column("endpoint", sql.Text, nullable=False, comment="whatever its host wrote there, printable"),
)
"""The newest offer of an asset that a Book lists; it acts from the epoch after."""
corrections = _table(
    "corrections",
    sql.Column("id", sql.Integer, primary_key=True),
    *_whole("epoch"),
    *_text("asset", "currency", "amount"),
    sql.Column("creditor", sql.Text, nullable=False, comment="empty: it returns to the pool"),
    *_text("why"),
    sql.Index("corrections_by_asset", "asset"),
)
debts = _table("debts", _key("asset"), _key("currency"), _key("creditor"), *_text("amount"))
"""What is still to be kept back."""
reasons = _table("reasons", _key("asset"), _epoch(), _key("reason"), *_text("status", "sentence"), *_whole("lines"))
refusals = _table(
    "refusals",
    sql.Column("id", sql.Integer, primary_key=True),
    *_whole("epoch"),
    *_text("asset", "schema", "sequence"),
    *_whole("start_unix_s", "end_unix_s"),
    sql.Column("status", sql.Text, nullable=False, comment="held or refused"),
    *_text("reason", "sentence"),
    sql.Index("refusals_by_asset", "asset", "epoch"),
    sql.Index("refusals_by_epoch", "epoch", "start_unix_s"),
)
accounts = _table("accounts", _key("account"), *_text("rewards", "fees"))
"""Totals in the Settlement of now, ever: what its leaves say."""
earlier_accounts = _table(
    "earlier_accounts",
    _key("settlement"),
    _key("account"),
    sql.Column("epoch", sql.BigInteger, nullable=False, comment="from which another Settlement went on"),
    *_text("rewards", "fees"),
    sql.Index("earlier_accounts_by_account", "account"),
)
"""The same in Settlements before it: what is final there stays claimable there."""

settled_lanes = _table(
    "settled_lanes", _key("lane"), *_text("customer", "total", "net", "burned"), sql.Index("settled_lanes_by_customer", "customer")
)
"""What the settlement took of each lane, ever."""
lane_epochs = _table(
    "lane_epochs", _key("lane"), _epoch(), *_text("customer", "total", "net", "burned"), sql.Index("lane_epochs_by_customer", "customer")
)
"""By how much that grew over a range, on its last epoch."""
lines = _table("lines", _key("lane"), _key("asset"), *_text("money"), sql.Index("lines_by_asset", "asset"))
"""What each lane paid for each asset, ever, as far as it was settled."""

lanes = _table(
    "lanes",
    _key("lane"),
    *_text("customer", "key", "clerk", "limit", "redeemed", "net"),
    *_whole("number", "expiry_unix_s", "closes_at_unix_s", "seq"),
    sql.Column("revoked", sql.Boolean, nullable=False),
    sql.Column("closed", sql.Boolean, nullable=False),
    sql.Index("lanes_by_customer", "customer"),
    sql.Index("lanes_by_clerk", "clerk"),
)
"""As the chain has them now, like what follows."""
customers = _table("customers", _key("account"), *_text("deposited", "withdrawn", "free", "reserved", "redeemed"), *_whole("lanes"))
raises = _table(
    "raises",
    _key("address"),
    *_text("builder", "name", "symbol", "soft_cap", "hard_cap"),
    *_whole("raise_end_unix_s", "build_end_unix_s", "began_unix_s"),
    sql.Column("topics", sql.Text, nullable=False, comment="one a line"),
    sql.Column("supply", sql.Text, nullable=False, comment="shares there are"),
    *_text("contributed", "refunded", "released"),
    *_whole("holders"),
    sql.Column("fees_revenue", sql.Text, nullable=False, comment="counted in payment units; of it withdrawn; the same in token"),
    *_text("fees_withdrawn", "rewards_revenue", "rewards_withdrawn"),
)
milestones = _table(
    "milestones",
    _key("address"),
    sql.Column("place", sql.BigInteger, primary_key=True, autoincrement=False),
    sql.Column("asset", sql.Text, nullable=False, comment="empty: for the raise's success alone"),
    *_whole("amount_bps"),
    *_text("min_units"),
    *_whole("min_paid_epochs"),
    sql.Column("released", sql.Text, comment="null before"),
)
holders = _table(
    "holders",
    _key("address"),
    _key("account"),
    *_text("shares", "contributed", "fees_withdrawn", "rewards_withdrawn"),
    sql.Index("holders_by_account", "account"),
)

PER_EPOCH = (epochs, asset_epochs, offers, corrections, reasons, refusals, lane_epochs, earlier_accounts)
"""What a range adds."""
OF_THE_LAST = (assets, payees, debts)
"""What every range brings whole."""
CHANGED = (accounts, settled_lanes, lines)
"""Of what a range brings only the rows that changed."""
ON_CHAIN = (lanes, customers, raises, milestones, holders)
"""What follows from the chain alone."""
