"""Sales: what customers' redeemed lines come to for each asset.

The chain says how much of a lane was redeemed and what of it hosts get; the voucher's lines say for whom. An asset is paid what it was
billed, at most the value of its measured work at the price it had offered before the epoch. What was billed beyond that waits for work;
money whose lines are missing, or do not fit, waits for lines. So each measured unit is sold once, and a bill pays the least of what the
host reports, the customer accepts and the verifiers measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from subak.core.canon.columns import binary_rows
from subak.core.canon.vouchers import lines_hashes
from subak.core.kind import ACCEPTED, Column
from subak.core.nouns.book import Book
from subak.core.nouns.state import LANES, LINES, SALES, State
from subak.core.settlement.judging import Verdicts
from subak.core.settlement.listing import Listed, places
from subak.core.settlement.money import Amounts, divide_whole, from_ints, money_at, to_ints, to_words

OFFER_SCHEMA = 1
"""Place of offers among the listed schemas."""


@dataclass(frozen=True)
class Sold:
    """What customers paid for; money by row of the snapshot's assets."""

    fees: Amounts
    """What each asset's bills bring its payees, before debts."""
    burned: Amounts
    """What was burned of those bills; usage rewards are a part of it."""
    lanes: pl.DataFrame
    """As in the state."""
    lines: pl.DataFrame
    """As in the state."""
    sales: pl.DataFrame
    """As in the state."""


@dataclass(frozen=True)
class _Bills:
    """Growth of lines, by row of the snapshot's assets."""

    gross: Amounts
    net: Amounts
    burned: Amounts


def sell(verdicts: Verdicts, listed: Listed, book: Book, before: State) -> Sold:
    """Take the redeemed lines, and pay what they bill for measured work.

    Promise: over all epochs, fees + what waits of ``net`` is exactly what the chain handed over for the lanes whose lines were taken.
    """
    ids = book.snapshot.assets["asset"]
    bills, lanes, lines = _take_lines(book, before)
    at = places(ids, before.sales["asset"])
    had = {name: money_at(before.sales[name], at) for name in ("price", "value", "gross", "net", "burned")}
    per_units, valid_until = _numbers(before.sales["per_units"], at), _numbers(before.sales["valid_until_unix_s"], at)
    units = _units(verdicts, len(ids))

    fees, burned = [0] * len(ids), [0] * len(ids)
    offers = _offers(verdicts, listed, book)
    rows: list[tuple[int, ...]] = []
    for row in _concerned(at, bills.gross, offers):
        price, per = had["price"][row], per_units[row]
        value = had["value"][row]
        if price and valid_until[row] > book.contents.first_unix_s:
            value += units[row] * price // per
        gross, net, burnt = (had[name][row] + grown[row] for name, grown in zip(("gross", "net", "burned"), _columns(bills), strict=True))
        billed = min(gross, value)
        if billed:
            fees[row], burned[row] = net * billed // gross, burnt * billed // gross
        price, per, until = offers.get(row, (price, per, valid_until[row]))
        rows.append((row, price, per, until, value - billed, gross - billed, net - fees[row], burnt - burned[row]))
    return Sold(fees, burned, lanes, lines, _sales_table(rows, ids))


def _take_lines(book: Book, before: State) -> tuple[_Bills, pl.DataFrame, pl.DataFrame]:
    """What the lanes' lines grew by since they were last taken, and lanes and lines after. A lane is taken whole or not at all."""
    nothing = [0] * len(book.snapshot.assets)
    bills = _Bills(nothing.copy(), nothing.copy(), nothing.copy())
    redeemed = book.snapshot.lanes
    at = places(redeemed["lane"], before.lanes["lane"])
    total, net, burned = (_growth(redeemed[name], before.lanes[name], at) for name in ("total", "net", "burned"))
    grown = [row for row, growth in enumerate(total) if growth]
    vouchers = _matching(book, redeemed[grown])
    if not len(vouchers):
        return bills, before.lanes, before.lines

    lane, first, count = _spans(vouchers["lane"])
    place = places(lane, redeemed["lane"]).tolist()
    asset = places(vouchers["asset"], book.snapshot.assets["asset"])
    money = to_ints(vouchers["money"])
    old, known = _taken_before(vouchers, before.lines)
    expected = _count_by(lane, before.lines["lane"])
    growth = [now - then for now, then in zip(money, old, strict=True)]
    rows = asset.tolist()

    taken = np.zeros(len(vouchers), np.bool_)
    for number, (start, lines) in enumerate(zip(first.tolist(), count.tolist(), strict=True)):
        span = slice(start, start + lines)
        of = place[number]
        fits = min(growth[span]) >= 0 and sum(growth[span]) == total[of] and min(rows[span]) >= 0
        if not fits or int(known[span].sum()) != expected[number]:
            continue
        taken[span] = True
        parts = growth[span]
        for row, *grew in zip(rows[span], parts, divide_whole(net[of], parts), divide_whole(burned[of], parts), strict=True):
            for column, more in zip(_columns(bills), grew, strict=True):
                column[row] += more

    kept = vouchers.filter(pl.Series(taken))
    newer = redeemed.select(*LANES).join(kept.select("lane").unique(), on="lane", how="semi")
    lanes = pl.concat([before.lanes.join(newer, on="lane", how="anti"), newer]).sort("lane")
    lines = pl.concat([before.lines.join(newer, on="lane", how="anti"), kept.select(*LINES)]).sort("lane", "asset")
    return bills, lanes, lines


def _matching(book: Book, grown: pl.DataFrame) -> pl.DataFrame:
    """Lines that hash to what the chain redeemed last, sorted by lane and asset. Several tables may bring a lane; whichever fits serves, so
    that nobody can spoil it by adding others."""
    about = book.lines.join(grown.select("lane", "seq", pl.col("lines").alias("wanted")), on=["lane", "seq"], how="inner")
    about = about.sort("table", "lane", "asset")
    if not len(about):
        return about
    key = about.select("table", "lane")
    first = np.flatnonzero(np.append(True, (key[1:] != key[:-1]).select(pl.any_horizontal(pl.all())).to_series().to_numpy()))
    count = np.diff(np.append(first, len(about)))
    hashes = lines_hashes(binary_rows(about["asset"], 32), to_words(about["money"]), count)
    fits = (hashes == binary_rows(about["wanted"].gather(first), 32)).all(axis=1)
    groups = key[first].with_columns(pl.Series("fits", fits)).filter("fits")
    chosen = groups.unique("lane", keep="first", maintain_order=True).select("table", "lane")
    return about.join(chosen, on=["table", "lane"], how="semi").sort("lane", "asset")


def _taken_before(vouchers: pl.DataFrame, taken: pl.DataFrame) -> tuple[Amounts, NDArray[np.bool_]]:
    """The money of each line when it was last taken, 0 if never; and whether it ever was."""
    found = vouchers.select("lane", "asset").join(taken, on=["lane", "asset"], how="left", maintain_order="left")["money"]
    return to_ints(found.fill_null(0)), found.is_not_null().to_numpy()


def _count_by(lanes: pl.Series, taken: pl.Series) -> list[int]:
    counted = taken.value_counts(name="lines") if len(taken) else pl.DataFrame(schema={"lane": pl.Binary, "lines": pl.UInt32})
    found = pl.DataFrame({"lane": lanes}).join(counted, on="lane", how="left", maintain_order="left")["lines"]
    return found.fill_null(0).to_list()


def _spans(lane: pl.Series) -> tuple[pl.Series, Column, Column]:
    """Each lane once, with its first row and its number of rows; a lane's rows stand together."""
    first = np.flatnonzero(np.append(True, (lane[1:] != lane[:-1]).to_numpy()))
    return lane.gather(first), first, np.diff(np.append(first, len(lane)))


def _growth(now: pl.Series, before: pl.Series, at: Column) -> Amounts:
    return [new - old for new, old in zip(to_ints(now), money_at(before, at), strict=True)]


def _units(verdicts: Verdicts, assets: int) -> list[int]:
    """Accepted work in each kind's first unit; an asset is of one kind."""
    units = np.zeros(assets, np.int64)
    for work in verdicts.work.values():
        units += next(iter(work.values()))
    return [int(unit) for unit in units]


def _offers(verdicts: Verdicts, listed: Listed, book: Book) -> dict[int, tuple[int, int, int]]:
    """The newest accepted offer of each asset that made one: price, per_units, valid_until_unix_s. Without capacity it has no price."""
    entries = np.flatnonzero((listed.schema == OFFER_SCHEMA) & (listed.reason == ACCEPTED))
    entries = entries[verdicts.reasons[verdicts.offsets[entries]] == ACCEPTED]
    if not len(entries):
        return {}
    frame = book.entries[listed.schemas[OFFER_SCHEMA].name][listed.row[entries]]
    newest: dict[int, tuple[tuple[int, int], tuple[int, int, int]]] = {}
    fields: dict[str, list[Any]] = {name: frame[name].list.last().to_list() for name in ("per_units", "capacity", "valid_until_unix_s")}
    prices = to_ints(frame["price"].list.last())
    for number, row in enumerate(listed.asset[entries].tolist()):
        when = int(listed.start_unix_s[entries[number]]), int(listed.sequence[entries[number]])
        price = prices[number] if fields["capacity"][number] else 0
        if row not in newest or newest[row][0] < when:
            newest[row] = when, (price, fields["per_units"][number], fields["valid_until_unix_s"][number])
    return {row: offer for row, (_, offer) in newest.items()}


def _concerned(at: Column, gross: Amounts, offers: Mapping[int, Any]) -> list[int]:
    """Rows of assets that sold or offered something, ever."""
    return sorted({*np.flatnonzero(at >= 0).tolist(), *(row for row, grown in enumerate(gross) if grown), *offers})


def _columns(bills: _Bills) -> tuple[Amounts, Amounts, Amounts]:
    return bills.gross, bills.net, bills.burned


def _numbers(column: pl.Series, at: Column) -> list[int]:
    values = [*column.to_list(), 0]
    return [values[row] for row in at.tolist()]


def _sales_table(rows: Sequence[tuple[int, ...]], ids: pl.Series) -> pl.DataFrame:
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in SALES]
    table = {"asset": ids.gather(columns[0])}
    for name, values in zip(list(SALES)[1:], columns[1:], strict=True):
        table[name] = pl.Series(values, dtype=pl.Int64) if SALES[name] == pl.Int64 else from_ints(values)
    return pl.DataFrame(table)
