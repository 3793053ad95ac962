"""Debts: what an asset got too much in an earlier epoch is kept back from what it earns. Nothing is ever clawed back from a wallet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from subak.core.nouns.book import Book
from subak.core.nouns.state import DEBTS, State
from subak.core.settlement.listing import places
from subak.core.settlement.money import Amounts, Vested, from_ints, to_ints

REWARDS, FEES = "rewards", "fees"
POOL = bytes(20)
"""As creditor: what is kept back returns to the pool that it came from."""


@dataclass(frozen=True)
class Kept:
    """What is left to share after debts; money by row of the snapshot's assets."""

    rewards: Mapping[str, Amounts]
    """Pool it came from: each asset's rewards."""
    fees: Amounts
    """Each asset's fees."""
    to_pools: Mapping[str, int]
    """What returns to each pool."""
    to_creditors: Mapping[tuple[str, bytes], int]
    """(currency, account): what was kept back for it."""
    escrow: pl.DataFrame
    """As in the state."""
    debts: pl.DataFrame
    """As in the state."""


def keep_back(vested: Vested, fees: Amounts, book: Book, before: State) -> Kept:
    """Each asset earns max(0, earned − debt), per currency; its creditors get the rest, in the order of their addresses.

    Promise: what is kept back and what is left add up to what was earned, and no debt is paid twice.
    Errors: ValueError for a correction that names no such asset or currency, or no creditor of fees.
    """
    owed = _owed(book, before)
    if not owed:
        return Kept(vested.rewards, fees, {}, {}, vested.escrow, before.debts)
    rewards = {pool: list(amounts) for pool, amounts in vested.rewards.items()}
    fees = list(fees)
    row_of = dict(
        zip((key[0] for key in owed), places(pl.Series([key[0] for key in owed], dtype=pl.Binary), _ids(book)).tolist(), strict=True)
    )
    to_pools: dict[str, int] = {}
    to_creditors: dict[tuple[str, bytes], int] = {}
    for asset, currency, creditor in sorted(owed):
        row = row_of[asset]
        for pool, purse in sorted(rewards.items()) if currency == REWARDS else [("", fees)]:
            paid = min(owed[asset, currency, creditor], purse[row])
            if not paid:
                continue
            purse[row] -= paid
            owed[asset, currency, creditor] -= paid
            if creditor == POOL:
                to_pools[pool] = to_pools.get(pool, 0) + paid
            else:
                to_creditors[currency, creditor] = to_creditors.get((currency, creditor), 0) + paid
    return Kept(rewards, fees, to_pools, to_creditors, vested.escrow, _table(owed))


def _owed(book: Book, before: State) -> dict[tuple[bytes, str, bytes], int]:
    """Debts from before, and those that this epoch's corrections add."""
    columns = (before.debts[name].to_list() for name in ("asset", "currency", "creditor"))
    owed = dict(zip(zip(*columns, strict=True), to_ints(before.debts["amount"]), strict=True))
    new = [each for each in book.policy.corrections if each.epoch == book.contents.epoch]
    unknown = places(pl.Series([bytes(each.asset) for each in new], dtype=pl.Binary), _ids(book)) < 0
    for each, missing in zip(new, unknown.tolist(), strict=True):
        if missing or each.currency not in (REWARDS, FEES) or each.amount < 0 or (each.currency == FEES and each.creditor == POOL):
            raise ValueError(f"the policy corrects {each.amount} {each.currency} of asset {each.asset.hex()} for {each.creditor.hex()}")
        key = bytes(each.asset), each.currency, bytes(each.creditor)
        owed[key] = owed.get(key, 0) + each.amount
    return owed


def _ids(book: Book) -> pl.Series:
    return book.snapshot.assets["asset"]


def _table(owed: Mapping[tuple[bytes, str, bytes], int]) -> pl.DataFrame:
    left = sorted((key, amount) for key, amount in owed.items() if amount)
    names = list(DEBTS)[:3]
    columns = {name: pl.Series([key[place] for key, _ in left], dtype=DEBTS[name]) for place, name in enumerate(names)}
    return pl.DataFrame({**columns, "amount": from_ints([amount for _, amount in left])})
