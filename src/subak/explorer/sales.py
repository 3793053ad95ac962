"""What was offered, sold, owed and counted over a range of final epochs, as rows: from Books, policies and the states before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from subak.archive.books import assemble, read_policy
from subak.archive.segments import read_segment
from subak.archive.store import Archive
from subak.archive.tables import read_tables
from subak.chain.snapshot import Finalised
from subak.core.kind import ACCEPTED
from subak.core.nouns import Contents, Snapshot, State
from subak.core.settlement import OFFER
from subak.core.settlement.debts import POOL

COUNTED = ("_answers", "_epochs")
"""How the names of carried columns end that count something, ever: "right_answers"."""
_NOBODY = pl.DataFrame(schema={"asset": pl.Binary})
_PLAIN = range(0x21, 0x7F)
_TERMS = ("price", "per_units", "capacity", "valid_until_unix_s", "endpoint")
_NO_OFFERS: dict[str, Any] = {
    "asset": pl.String,
    "epoch": pl.Int64,
    "price": pl.String,
    "per_units": pl.Int64,
    "capacity": pl.Int64,
    "valid_until_unix_s": pl.Int64,
    "endpoint": pl.String,
}
_CORRECTIONS: dict[str, Any] = {"epoch": pl.Int64, **dict.fromkeys(("asset", "currency", "amount", "creditor", "why"), pl.String)}


def offers(archive: Archive, books: Sequence[Contents], verdicts: Mapping[str, pl.DataFrame], only: bytes | None) -> pl.DataFrame:
    """The newest accepted offer of each asset in each of these Books: asset, epoch and what it says.

    The verdicts say which Entry was accepted; where two differ under one sequence, its signature says which one that was.
    Errors: NotThere, WrongContent, UnsoundSegment for a segment of offers.
    """
    found = [_offers(archive, book, verdicts[str(book.epoch)], only) for book in books]
    return pl.concat([pl.DataFrame(schema=_NO_OFFERS), *found])


def _offers(archive: Archive, book: Contents, verdicts: pl.DataFrame, only: bytes | None) -> pl.DataFrame:
    accepted = verdicts.filter((pl.col("schema") == OFFER.name) & (pl.col("reasons").list.first() == ACCEPTED))
    if only is not None:
        accepted = accepted.filter(pl.col("asset") == only)
    newest = accepted.sort("start_unix_s", "sequence").unique("asset", keep="last").select(pl.col("asset").alias("subject"), "sequence")
    if newest.is_empty():
        return pl.DataFrame(schema=_NO_OFFERS)
    refs = [ref for ref in book.segments if ref.schema == OFFER.name]
    frames = [(ref, read_segment(archive, ref, OFFER).join(newest, on=["subject", "sequence"], how="semi")) for ref in refs]
    said = pl.concat([frame for _, frame in frames])
    if said.unique(["subject", *_TERMS]).height > newest.height:
        snapshot = Snapshot(**read_tables(archive, "snapshot", book.snapshot.hash))
        said = assemble(frames, {OFFER.name: OFFER}, book, snapshot)[OFFER.name].filter("valid")
    said = said.unique("subject", keep="first", maintain_order=True)
    terms = said.select("subject", *(pl.col(name).list.last() for name in _TERMS))
    return terms.select(
        _to_hex("subject").alias("asset"),
        pl.lit(book.epoch, pl.Int64).alias("epoch"),
        pl.col("price").cast(pl.Int128).cast(pl.String),
        "per_units",
        "capacity",
        "valid_until_unix_s",
        pl.col("endpoint").map_elements(endpoint_text, return_dtype=pl.String),
    ).sort("asset")


def endpoint_text(padded: bytes) -> str:
    """An endpoint as its host wrote it; what is not printable ASCII stands as 0x hex."""
    raw = padded.rstrip(b"\0")
    return raw.decode("ascii") if all(byte in _PLAIN for byte in raw) else "0x" + raw.hex()


def counters(before: State, after: State, only: bytes | None) -> pl.DataFrame:
    """By how much what the kinds' rules count grew, of assets of which anything did: asset, counters (JSON, by name)."""
    grown = [_NOBODY.with_columns(counters=pl.lit("", pl.String))]
    for kind, table in after.carried.items():
        names = _counted(table)
        had = before.carried.get(kind, _NOBODY)
        had = had.select("asset", *(name if name in had.columns else pl.lit(0, pl.Int64).alias(name) for name in names))
        now = table if only is None else table.filter(pl.col("asset") == only)
        joined = now.join(had, on="asset", how="left", suffix="_then")
        change = joined.select("asset", *(pl.col(name) - pl.col(f"{name}_then").fill_null(0) for name in names))
        if names:
            some = change.filter(pl.any_horizontal(pl.col(names) != 0))
            grown.append(some.select("asset", pl.struct(names).struct.json_encode().alias("counters")))
    return pl.concat(grown).with_columns(_to_hex("asset").alias("asset"))


def counted(after: State) -> pl.DataFrame:
    """What the kinds' rules counted, ever: asset, counters (JSON, by name)."""
    ever = [
        table.select("asset", pl.struct(names).struct.json_encode().alias("counters"))
        for table in after.carried.values()
        if (names := _counted(table))
    ]
    return pl.concat([_NOBODY.with_columns(counters=pl.lit("", pl.String)), *ever])


def _counted(table: pl.DataFrame) -> list[str]:
    return [name for name in table.columns if name.endswith(COUNTED)]


def lanes(before: State, after: State, snapshot: Snapshot) -> pl.DataFrame:
    """Lanes of which something was settled since ``before``: lane, customer, total, net, burned, ever."""
    changed = after.lanes.join(before.lanes, on=after.lanes.columns, how="anti")
    return _lanes(changed, snapshot)


def lane_growth(before: State, after: State, snapshot: Snapshot, last: int) -> pl.DataFrame:
    """By how much these grew, on the epoch ``last``."""
    money = ("total", "net", "burned")
    joined = after.lanes.join(before.lanes, on="lane", how="left", suffix="_then")
    grown = joined.select("lane", *((_int(name) - _int(f"{name}_then").fill_null(0)).alias(name) for name in money))
    return _lanes(grown.filter(pl.col("total") != 0), snapshot).with_columns(epoch=pl.lit(last, pl.Int64))


def _lanes(table: pl.DataFrame, snapshot: Snapshot) -> pl.DataFrame:
    joined = table.join(snapshot.lanes.select("lane", "customer"), on="lane", how="left")
    money = (_int(name).cast(pl.String) for name in ("total", "net", "burned"))
    return joined.select(_to_hex("lane").alias("lane"), _to_hex("customer").fill_null("").alias("customer"), *money).sort("lane")


def lines(before: State, after: State) -> pl.DataFrame:
    """Lines that grew since ``before``: lane, asset, money, ever."""
    changed = after.lines.join(before.lines, on=after.lines.columns, how="anti")
    return changed.select(_to_hex("lane").alias("lane"), _to_hex("asset").alias("asset"), _int("money").cast(pl.String))


def debts(after: State) -> pl.DataFrame:
    """What is still to be kept back: asset, currency, creditor, amount."""
    return after.debts.select(
        _to_hex("asset").alias("asset"), "currency", _creditor(pl.col("creditor")), _int("amount").cast(pl.String).alias("amount")
    )


def corrections(archive: Archive, final: Finalised) -> pl.DataFrame:
    """Debts that began in this range, as the policies in force name them."""
    policies = {policy_hash: read_policy(archive, policy_hash) for policy_hash in set(final.policy_hashes)}
    rows = [
        {
            "epoch": epoch,
            "asset": "0x" + each.asset.hex(),
            "currency": each.currency,
            "amount": str(each.amount),
            "creditor": "" if each.creditor == POOL else "0x" + each.creditor.hex(),
            "why": each.why,
        }
        for epoch, policy_hash in enumerate(final.policy_hashes, final.first)
        for each in policies[policy_hash].corrections
        if each.epoch == epoch
    ]
    return pl.DataFrame(rows, schema=_CORRECTIONS)


def of_assets(after: State) -> pl.DataFrame:
    """What stands about each asset in sales and lines: asset, price, per_units, valid_until_unix_s, unsold, bills_waiting, fees_waiting,
    billed, payers."""
    sold = after.sales.select(
        "asset",
        _int("price").cast(pl.String),
        "per_units",
        "valid_until_unix_s",
        _int("value").alias("unsold"),
        _int("gross").alias("bills_waiting"),
        _int("net").alias("fees_waiting"),
    )
    billed = after.lines.group_by("asset").agg(_int("money").sum().alias("billed"), pl.len().cast(pl.Int64).alias("payers"))
    return sold.join(billed, on="asset", how="full", coalesce=True)


def _creditor(column: pl.Expr) -> pl.Expr:
    return pl.when(column == POOL).then(pl.lit("")).otherwise(pl.lit("0x") + column.bin.encode("hex")).alias("creditor")


def _int(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Int128)


def _to_hex(column: str) -> pl.Expr:
    return pl.lit("0x") + pl.col(column).bin.encode("hex")
