"""Money: whole numbers of the token's smallest unit, Python integers only. Multiply first, divide last, round down, name the remainder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from subak.core.kind import Mask, Rules
from subak.core.nouns.book import Book
from subak.core.nouns.state import ESCROW, MONEY, State
from subak.core.settlement.judging import Verdicts, context_of
from subak.core.settlement.listing import places

MONEY_LIMIT = 10**38
"""DECIMAL(38,0), the widest number that every reader of the archive knows."""

Amounts = list[int]
"""Money by row of the snapshot's assets."""


@dataclass(frozen=True)
class Earned:
    """What the pools pay this epoch, before vesting."""

    rewards: Mapping[str, Amounts]
    """Pool: each asset's reward, rounded down."""
    minted: int
    """Drawn from the pools' budgets: a pool that nobody earned from is not minted."""
    dust: Mapping[str, int]
    """Pool: what division left over so far, dust carried from before included."""


@dataclass(frozen=True)
class Vested:
    """What becomes an asset's to share, now."""

    rewards: Mapping[str, Amounts]
    """Pool it came from: each asset's reward that vests in this epoch."""
    escrow: pl.DataFrame
    """What waits after this epoch, as in the state."""


@dataclass(frozen=True)
class Shares:
    """What each account gets."""

    accounts: pl.Series
    """Accounts that get something, sorted."""
    rewards: Amounts
    """By how much their running totals grow."""
    left_over: Mapping[str, int]
    """Pool: what the division among payees left over."""


def price(verdicts: Verdicts, book: Book, before: State, kinds: Mapping[str, Rules]) -> Earned:
    """Divide each pool's pot (its budget and the dust carried to it) among the attested assets, pro rata to what the kind counts."""
    budgets = _by_pool(book.snapshot.pools, "budget")
    dust = _by_pool(before.pools, "dust")
    attested = _attested(book)
    rewards: dict[str, Amounts] = {}
    minted = 0
    for name in sorted(kinds):
        units = np.where(attested, kinds[name].price(verdicts.work[name], context_of(kinds[name], book))["bootstrap"], 0)
        if len(units) and units.min() < 0:
            raise ValueError(f"{name} {kinds[name].version} prices an asset at {units.min()} units")
        if units.any():
            budget = budgets.get(name, 0)
            rewards[name], dust[name] = divide_down(budget + dust.get(name, 0), units.tolist())
            minted += budget
    return Earned(rewards, minted, dust)


def divide_down(pot: int, parts: Sequence[int]) -> tuple[Amounts, int]:
    """``pot`` in proportion to ``parts``, one of them above 0 and none below, each share rounded down; and what is left over.

    Promises: shares and remainder add up to the pot; more parts never get less; equal parts get the same.
    """
    every = sum(parts)
    shares = [pot * part // every for part in parts]
    return shares, pot - sum(shares)


def vest(earned: Earned, book: Book, before: State) -> Vested:
    """What was earned now and need not wait, and what waited until this epoch."""
    epoch = book.contents.epoch
    release = epoch + book.policy.bootstrap.escrow_epochs
    ids = book.snapshot.assets["asset"]
    is_due = before.escrow["release_epoch"] <= epoch
    due = before.escrow.filter(is_due)
    waiting = [before.escrow.filter(~is_due)]
    now = {pool: rewards.copy() for pool, rewards in earned.rewards.items()} if release <= epoch else {}
    if release > epoch:
        waiting += [_wait(release, pool, rewards, ids) for pool, rewards in earned.rewards.items()]
    for pool in due["pool"].unique():
        now.setdefault(pool, [0] * len(ids))
    for pool, row, reward in zip(due["pool"].to_list(), places(due["asset"], ids).tolist(), to_ints(due["rewards"]), strict=True):
        now[pool][row] += reward
    return Vested(now, pl.concat(waiting).sort(*ESCROW))


def split(vested: Vested, book: Book) -> Shares:
    """Each asset's reward among its payees by parts, rounded down; a site's part goes on to the site's payees.

    An asset without payees pays its owner. Promise: shares and what is left over add up to the reward.
    """
    owners, named = book.snapshot.assets["owner"], book.snapshot.payees["payee"]
    accounts = pl.concat([owners, named.filter(_is_account(named)).bin.slice(12)]).unique().sort()
    owner = places(owners, accounts).tolist()
    payees = _payees(book, accounts)
    grown = [0] * len(accounts)

    def pay(row: int, reward: int) -> int:
        """Pays what an asset or site gets; returns what is left over."""
        if row not in payees:
            grown[owner[row]] += reward
            return 0
        shares, left = divide_down(reward, [payee.parts for payee in payees[row]])
        for payee, share in zip(payees[row], shares, strict=True):
            if payee.is_account:
                grown[payee.row] += share
            else:
                left += pay(payee.row, share)
        return left

    left_over = {pool: sum(pay(row, reward) for row, reward in enumerate(rewards) if reward) for pool, rewards in vested.rewards.items()}
    paid = [row for row, reward in enumerate(grown) if reward]
    return Shares(accounts.gather(paid), [grown[row] for row in paid], left_over)


def to_ints(column: pl.Series) -> Amounts:
    """A money column as Python integers."""
    values: list[int] = column.cast(pl.Int128).to_list()
    return values


def to_words(column: pl.Series) -> NDArray[np.uint64]:
    """A money column as its high and low 64 bits, (n, 2): what the trees' leaves are made of."""
    values, word = column.cast(pl.Int128), pl.Series([1 << 64], dtype=pl.Int128)
    return np.stack([(values // word).cast(pl.UInt64).to_numpy(), (values % word).cast(pl.UInt64).to_numpy()], axis=1)


def from_ints(values: Sequence[int]) -> pl.Series:
    """Python integers as a money column. Errors: OverflowError naming a value outside DECIMAL(38,0) or below zero."""
    if values and (max(values) >= MONEY_LIMIT or min(values) < 0):
        raise OverflowError(f"money is 0 .. 10^38-1, got {max(values)} and {min(values)}")
    return pl.Series(values, dtype=pl.Int128).cast(MONEY)


def _by_pool(table: pl.DataFrame, amount: str) -> dict[str, int]:
    return dict(zip(table["pool"].to_list(), to_ints(table[amount]), strict=True))


def _wait(release_epoch: int, pool: str, rewards: Amounts, ids: pl.Series) -> pl.DataFrame:
    """Rewards as rows of the escrow."""
    rows = [row for row, reward in enumerate(rewards) if reward]
    return pl.DataFrame(
        {
            "release_epoch": pl.Series([release_epoch], dtype=pl.Int64).new_from_index(0, len(rows)),
            "asset": ids.gather(rows),
            "pool": pl.Series([pool], dtype=pl.String).new_from_index(0, len(rows)),
            "rewards": from_ints([rewards[row] for row in rows]),
        }
    )


def _attested(book: Book) -> Mask:
    """By row of the snapshot's assets: an issuer says until the epoch's end or longer that it is installed."""
    until = [each.asset for each in book.policy.bootstrap.attestations if each.expires_unix_s >= book.contents.end_unix_s]
    return places(book.snapshot.assets["asset"], pl.Series(until, dtype=pl.Binary).unique()) >= 0


class _Payee(NamedTuple):
    is_account: bool
    row: int
    """Among the accounts, or for a site among the snapshot's assets."""
    parts: int


def _payees(book: Book, accounts: pl.Series) -> dict[int, list[_Payee]]:
    """Who shares what an asset or site earns, by its row among the snapshot's assets; only those that name payees.

    Errors: ValueError for a payee that the Assets contract would have refused.
    """
    table, assets = book.snapshot.payees, book.snapshot.assets
    if table.is_empty():
        return {}
    is_site = (assets["kind"] == "").to_list()
    is_account = _is_account(table["payee"]).to_numpy()
    account, site = places(table["payee"].bin.slice(12), accounts), places(table["payee"], assets["asset"])
    columns = (places(table["asset"], assets["asset"]), np.where(is_account, account, site), is_account, table["parts"].to_numpy())
    payees: dict[int, list[_Payee]] = {}
    for row, to_row, to_account, parts in zip(*(column.tolist() for column in columns), strict=True):
        if not to_account and (to_row < 0 or not is_site[to_row] or is_site[row]):
            raise ValueError(f"{assets['asset'][row].hex()} names a payee that is neither an account nor a site that an asset may name")
        payees.setdefault(row, []).append(_Payee(to_account, to_row, parts))
    return payees


def _is_account(payees: pl.Series) -> pl.Series:
    return payees.bin.starts_with(bytes(12))
