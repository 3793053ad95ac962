"""What an account earned in a year, for a tax return: from final states alone, exact, as rows that add up to the account's own totals.

An earning stands on the day (UTC) on which its epochs became final on the chain: from then on it could be taken.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl

from subak.archive.books import read_contents, read_policy, read_state
from subak.archive.store import Archive
from subak.archive.tables import read_tables
from subak.chain.rpc import Rpc
from subak.chain.snapshot import Finalised, Follower
from subak.core.nouns import Policy, Snapshot, State
from subak.core.settlement.debts import FEES, REWARDS
from subak.core.settlement.money import divide_down, divide_whole
from subak.explorer.reading import begins
from subak.explorer.wallets import currencies_of
from subak.explorer.words import TokenFacts, decimal
from subak.verifier.checking import known_network

COLUMNS = ("date", "first_epoch", "last_epoch", "asset", "what", "currency", "amount")
VALUED = (*COLUMNS, "rate", "value_rounded_half_even_to_2_decimals")
"""With rates: the value of each row is rounded by itself, and the sums are of these."""
RATE_COLUMNS = ("date", "currency", "rate")
_RATE = re.compile(r"[0-9]{1,30}(\.[0-9]{1,30})?", re.ASCII)
_Divide = Callable[[int, Sequence[int]], Sequence[int]]
_DIVIDE: Mapping[str, _Divide] = {REWARDS: lambda pot, parts: divide_down(pot, parts)[0], FEES: divide_whole}
"""How the settlement divides each of them among payees."""


class RatesRefused(ValueError):
    """A file of rates with a row that cannot be read; the text names row, column and value."""


class MissingRate(LookupError):
    """A day on which something was earned has no rate; the text names day and currency."""


@dataclass(frozen=True)
class Earning:
    """What one asset brought an account in one range of epochs."""

    unix_s: int
    """When the range became final."""
    first: int
    """First epoch of the range."""
    last: int
    """Last epoch of the range."""
    asset: str
    """The asset's id, 0x hex; empty for what final data give to no single one, as when payees changed within the range."""
    what: str
    """``rewards`` (token) or ``fees`` (payment asset); a debt that an asset paid back stands with what it was paid in."""
    base_units: int
    """How much, in the currency's smallest unit."""

    @property
    def day(self) -> date:
        """The day on which it could be taken first."""
        return datetime.fromtimestamp(self.unix_s, UTC).date()


@dataclass(frozen=True)
class Earnings:
    """An account's year."""

    account: str
    """Its address, 0x hex."""
    year: int
    """The year (UTC)."""
    currencies: Mapping[str, TokenFacts]
    """How ``rewards`` and ``fees`` are written."""
    earnings: tuple[Earning, ...]
    """In order of time, asset and currency; no row is of nothing."""
    totals: Mapping[str, int]
    """By how much the account's totals of rewards and fees grew over the year, as the final states have them: the sums of the rows."""
    last_epoch: int | None
    """The last epoch that was final by the year's end; None if none was."""

    def as_dict(self, rates: Rates | None = None) -> dict[str, Any]:
        """For programs: plain values, amounts as exact decimal text and as whole base units. Errors: MissingRate."""
        rows = [dict(zip(VALUED if rates else COLUMNS, row, strict=True)) for row in self._rows(rates)]
        base = [{"base_units": str(each.base_units)} for each in self.earnings]
        return {
            "account": self.account,
            "year": self.year,
            "last_epoch": self.last_epoch,
            "earnings": [row | units for row, units in zip(rows, base, strict=True)],
            "totals": {
                what: {
                    "currency": self.currencies[what].symbol,
                    "amount": self._amount(what, total),
                    "base_units": str(total),
                    **({"value": _cents(self._value(what, rates))} if rates else {}),
                }
                for what, total in self.totals.items()
            },
        }

    def as_csv(self, rates: Rates | None = None) -> str:
        """A table with a row for each earning and, at its end, one for each sum, whose date is ``total``. Errors: MissingRate."""
        out = io.StringIO()
        table = csv.writer(out, lineterminator="\n")
        table.writerow(VALUED if rates else COLUMNS)
        table.writerows(self._rows(rates))
        for what, total in self.totals.items():
            row = ["total", "", "", "", what, self.currencies[what].symbol, self._amount(what, total)]
            table.writerow([*row, "", _cents(self._value(what, rates))] if rates else row)
        return out.getvalue()

    def _rows(self, rates: Rates | None) -> Iterator[list[Any]]:
        if rates is not None:
            rates.check((each.day, self.currencies[each.what].symbol) for each in self.earnings)
        for each in self.earnings:
            currency = self.currencies[each.what]
            row = [each.day.isoformat(), each.first, each.last, each.asset, each.what, currency.symbol]
            row.append(self._amount(each.what, each.base_units))
            if rates is not None:
                row += [rates.text(each.day, currency.symbol), _cents(_value(each, currency, rates))]
            yield row

    def _amount(self, what: str, base_units: int) -> str:
        return decimal(base_units, self.currencies[what].decimals).replace(",", "")

    def _value(self, what: str, rates: Rates | None) -> int:
        return sum(_value(each, self.currencies[what], rates) for each in self.earnings if rates and each.what == what)


class Rates:
    """What a whole unit of a currency was worth on a day, exact."""

    def __init__(self, texts: Mapping[tuple[date, str], str], name: str) -> None:
        """``texts``: decimal numbers by day and currency. ``name``: where they are from, for errors."""
        self._texts, self._name = texts, name

    @classmethod
    def read(cls, path: Path) -> Rates:
        """A CSV of date,currency,rate: 2017-06-04,SUBAK,0.3125. Errors: RatesRefused."""
        texts: dict[tuple[date, str], str] = {}
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            rows = csv.reader(file)
            header = next(rows, [])
            if tuple(header) != RATE_COLUMNS:
                raise RatesRefused(f"{path}: the columns are {','.join(header)!r}, they have to be {','.join(RATE_COLUMNS)}")
            for row in rows:
                if row:
                    day, currency, rate = cls._row(path, rows.line_num, row)
                    if texts.setdefault((day, currency), rate) != rate:
                        two = f"{texts[day, currency]} and {rate}"
                        raise RatesRefused(f"{path}: line {rows.line_num}: {currency} has two rates on {day}, {two}: leave one of them")
        return cls(texts, str(path))

    @staticmethod
    def _row(path: Path, line: int, row: Sequence[str]) -> tuple[date, str, str]:
        if len(row) != len(RATE_COLUMNS):
            raise RatesRefused(f"{path}: line {line} has {len(row)} fields, not {len(RATE_COLUMNS)}: {','.join(row)}")
        day, currency, rate = (cell.strip() for cell in row)
        try:
            if len(day) != len("2017-06-04"):
                raise ValueError
            parsed = date.fromisoformat(day)
        except ValueError:
            raise RatesRefused(f"{path}: line {line}, date = {day!r}: write it as 2017-06-04") from None
        if not _RATE.fullmatch(rate):
            raise RatesRefused(f"{path}: line {line}, rate = {rate!r}: write it as 0.3125, without commas or signs")
        if not currency:
            raise RatesRefused(f"{path}: line {line} names no currency")
        return parsed, currency, rate

    def text(self, day: date, currency: str) -> str:
        """The rate as it stands in the file. Errors: MissingRate."""
        self.check([(day, currency)])
        return self._texts[day, currency]

    def at(self, day: date, currency: str) -> Fraction:
        """The rate, exact. Errors: MissingRate."""
        return Fraction(self.text(day, currency))

    def check(self, needed: Iterable[tuple[date, str]]) -> None:
        """Errors: MissingRate naming the first day that lacks one, and how many more do."""
        lacking = sorted(set(needed) - self._texts.keys())
        if lacking:
            (day, currency), more = lacking[0], len(lacking) - 1
            rest = f", and {more} more" if more else ""
            raise MissingRate(f"{self._name} has no rate for {currency} on {day}{rest}: add a line {day},{currency},… for each")


def account_earnings(account: bytes, year: int, archive: Archive, rpc: Rpc, progress: Callable[[int, int], None] | None = None) -> Earnings:
    """An account's (20 bytes) year, from a verifier's archive and the chain. ``progress`` hears (ranges read, ranges in all).

    Errors: CannotCheck if archive and chain are of different networks; NotThere, WrongContent naming a file; RpcError, RpcUnreachable.
    """
    network = known_network(archive, rpc)
    written = currencies_of(network, rpc)
    finals = Follower(rpc, network.contracts, network.clock).history()
    return earnings_of(account, year, archive, finals, {REWARDS: written.token, FEES: written.payment}, progress)


def earnings_of(
    account: bytes,
    year: int,
    archive: Archive,
    finals: Sequence[Finalised],
    currencies: Mapping[str, TokenFacts],
    progress: Callable[[int, int], None] | None = None,
) -> Earnings:
    """The same from these final ranges. Errors: NotThere, WrongContent; ArithmeticError if the rows do not add up to the totals."""
    begin, end = (int(datetime(each, 1, 1, tzinfo=UTC).timestamp()) for each in (year, year + 1))
    mine = [place for place, final in enumerate(finals) if begin <= final.unix_s < end]
    first = finals[mine[0] - 1] if mine and mine[0] else None
    before = read_state(archive, first.state_root) if first else State.genesis()
    rows: list[Earning] = []
    totals = dict.fromkeys((REWARDS, FEES), 0)
    for count, place in enumerate(mine, 1):
        final = finals[place]
        after = read_state(archive, final.state_root)
        # A Settlement that takes over counts accounts anew.
        before = before.restarted() if begins(final, finals[place - 1] if place else None) else before
        rows += _of_range(account, archive, final, before, after)
        totals = {what: total + _total(after, account, what) - _total(before, account, what) for what, total in totals.items()}
        before = after
        if progress is not None:
            progress(count, len(mine))
    for what, total in totals.items():
        found = sum(row.base_units for row in rows if row.what == what)
        if found != total:
            raise ArithmeticError(f"the rows of {what} add up to {found}, the account's total grew by {total}")
    past = [final.last for final in finals if final.unix_s < end]
    return Earnings("0x" + account.hex(), year, currencies, tuple(rows), totals, past[-1] if past else None)


def _of_range(account: bytes, archive: Archive, final: Finalised, before: State, after: State) -> list[Earning]:
    """What a range brought the account, by asset; the rows of each currency add up to what its total grew by."""
    grown = {what: _total(after, account, what) - _total(before, account, what) for what in (REWARDS, FEES)}
    if not any(grown.values()):
        return []
    contents = [read_contents(archive, book_hash) for book_hash in final.book_hashes]
    hashes = dict.fromkeys(each.snapshot.hash for each in contents)
    payments = [_Payments(Snapshot(**read_tables(archive, "snapshot", each)), account) for each in hashes]
    policies = {each.policy: read_policy(archive, each.policy) for each in contents}
    corrected = [(policies[each.policy], each.epoch) for each in contents]
    rows = []
    for what, total in grown.items():
        amounts = _by_asset(payments, before, after, what)
        for asset, repaid in _repaid(account, before, after, corrected, what).items():
            amounts[asset] = amounts.get(asset, 0) + repaid
        # A reward is divided among payees pool by pool and epoch by epoch, and rounded each time; the states only tell the sums.
        pools = 1 + max(len(each.kinds) for each in policies.values())
        divisions = len(contents) * pools * sum(each.divisions for each in payments)
        rest = total - sum(amounts.values())
        largest = max(amounts, key=lambda asset: (amounts[asset], asset), default=None)
        if rest and largest is not None and abs(rest) <= divisions and amounts[largest] + rest > 0:
            amounts[largest] += rest
        elif rest:
            amounts[b""] = rest
        rows += [
            Earning(final.unix_s, final.first, final.last, "0x" + asset.hex() if asset else "", what, amount)
            for asset, amount in sorted(amounts.items())
            if amount
        ]
    return sorted(rows, key=lambda row: (row.asset, row.what))


class _Payments:
    """Which assets pay an account in an epoch, and how much of what they earn."""

    def __init__(self, snapshot: Snapshot, account: bytes) -> None:
        self._me, self._account = account.rjust(32, b"\0"), account
        payees = snapshot.payees
        owned = snapshot.assets.filter(pl.col("owner") == account)["asset"]
        direct = payees.filter(pl.col("payee") == self._me)["asset"]
        by_themselves = owned.filter(~owned.is_in(payees["asset"].implode()))
        mine = pl.concat([direct, by_themselves]).unique()
        through_sites = payees.filter(pl.col("payee").is_in(mine.implode()))["asset"]
        self.assets: set[bytes] = set(pl.concat([mine, through_sites]).to_list())
        """Those that may pay it; sites among them earn nothing by themselves."""
        named = payees.filter(pl.col("asset").is_in(pl.concat([mine, through_sites]).unique().implode()))
        self._payees: dict[bytes, list[tuple[bytes, int]]] = {}
        for asset, payee, parts in named.select("asset", "payee", "parts").iter_rows():
            self._payees.setdefault(asset, []).append((payee, parts))
        self._alone = set(by_themselves.to_list())
        self.divisions = sum(len(each) for each in self._payees.values())
        """How often something may be rounded."""

    def of(self, asset: bytes, money: int, divide: _Divide) -> int:
        """What the account gets of an asset's or site's money, as the settlement divides it."""
        payees = self._payees.get(asset)
        if payees is None:
            return money if asset in self._alone else 0
        shares = divide(money, [parts for _, parts in payees])
        paid = 0
        for (payee, _), share in zip(payees, shares, strict=True):
            if payee == self._me:
                paid += share
            elif payee in self.assets:
                paid += self.of(payee, share, divide)
        return paid


def _by_asset(payments: Sequence[_Payments], before: State, after: State, what: str) -> dict[bytes, int]:
    """What each asset's growth brought the account; assets whose payees changed within the range are left out."""
    assets = set().union(*(each.assets for each in payments))
    then, now = _money(before.assets, "asset", what, assets), _money(after.assets, "asset", what, assets)
    found = {}
    for asset, total in now.items():
        growth = total - then.get(asset, 0)
        if growth:
            amounts = {each.of(asset, growth, _DIVIDE[what]) for each in payments}
            if len(amounts) == 1:
                found[asset] = amounts.pop()
    return found


def _repaid(account: bytes, before: State, after: State, corrected: Sequence[tuple[Policy, int]], what: str) -> dict[bytes, int]:
    """Debts to the account that assets paid in the range."""
    owed: dict[bytes, int] = {}
    for state, sign in ((before, 1), (after, -1)):
        table = state.debts.filter((pl.col("creditor") == account) & (pl.col("currency") == what))
        for asset, amount in table.select("asset", pl.col("amount").cast(pl.Int128)).iter_rows():
            owed[asset] = owed.get(asset, 0) + sign * amount
    for policy, epoch in corrected:
        for each in policy.corrections:
            if each.epoch == epoch and each.creditor == account and each.currency == what:
                owed[bytes(each.asset)] = owed.get(bytes(each.asset), 0) + each.amount
    return {asset: amount for asset, amount in owed.items() if amount}


def _total(state: State, account: bytes, what: str) -> int:
    return _money(state.accounts, "account", what, {account}).get(account, 0)


def _money(table: pl.DataFrame, key: str, what: str, wanted: set[bytes]) -> dict[bytes, int]:
    rows = table.filter(pl.col(key).is_in(list(wanted)))
    return dict(rows.select(key, pl.col(what).cast(pl.Int128)).iter_rows())


def _value(each: Earning, currency: TokenFacts, rates: Rates) -> int:
    """Hundredths of what the rates count in, rounded half to even."""
    return round(Fraction(100 * each.base_units, 10**currency.decimals) * rates.at(each.day, currency.symbol))


def _cents(hundredths: int) -> str:
    return f"{'-' if hundredths < 0 else ''}{abs(hundredths) // 100}.{abs(hundredths) % 100:02}"
