"""Money: whole numbers of the token's smallest unit, Python integers only. Multiply first, divide last, round down, name the remainder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

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

    accounts: Mapping[bytes, int]
    """Growth of the account's running total; accounts that get nothing are absent."""
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
    owners = book.snapshot.assets["owner"].to_list()
    payees = _payees(book)
    accounts: dict[bytes, int] = {}
    left_over: dict[str, int] = {}

    def pay(row: int, reward: int) -> int:
        """Pays what an asset or site gets; returns what is left over."""
        if row not in payees:
            accounts[owners[row]] = accounts.get(owners[row], 0) + reward
            return 0
        shares, left = divide_down(reward, [part for _, part in payees[row]])
        for (payee, _), share in zip(payees[row], shares, strict=True):
            if isinstance(payee, int):
                left += pay(payee, share)
            else:
                accounts[payee] = accounts.get(payee, 0) + share
        return left

    for pool, rewards in vested.rewards.items():
        left_over[pool] = sum(pay(row, reward) for row, reward in enumerate(rewards) if reward)
    return Shares({account: share for account, share in accounts.items() if share}, left_over)


def to_ints(column: pl.Series) -> Amounts:
    """A money column as Python integers."""
    values: list[int] = column.cast(pl.Int128).to_list()
    return values


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
    until = {bytes(each.asset) for each in book.policy.bootstrap.attestations if each.expires_unix_s >= book.contents.end_unix_s}
    return places(book.snapshot.assets["asset"], pl.Series(list(until), dtype=pl.Binary)) >= 0


def _payees(book: Book) -> dict[int, list[tuple[bytes | int, int]]]:
    """Payees with their parts, by row of the snapshot's assets and only for those that name any: an account, or the row of a site.

    Errors: ValueError for a payee that the Assets contract would have refused.
    """
    table, assets = book.snapshot.payees, book.snapshot.assets
    is_site = (assets["kind"] == "").to_list()
    grouped: dict[int, list[tuple[bytes | int, int]]] = {}
    asset, site = places(table["asset"], assets["asset"]).tolist(), places(table["payee"], assets["asset"]).tolist()
    for row, site_row, payee, parts in zip(asset, site, table["payee"].to_list(), table["parts"].to_list(), strict=True):
        if payee[:12] == bytes(12):
            grouped.setdefault(row, []).append((payee[12:], parts))
        elif row >= 0 and site_row >= 0 and is_site[site_row] and not is_site[row]:
            grouped.setdefault(row, []).append((site_row, parts))
        else:
            raise ValueError(f"payee {payee.hex()} is neither an account nor a site that an asset may name")
    return grouped
