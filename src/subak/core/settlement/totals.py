"""Running totals: the state after."""

from __future__ import annotations

import numpy as np
import polars as pl

from subak.core.kind import Column
from subak.core.nouns.book import Book
from subak.core.nouns.state import State
from subak.core.settlement.judging import Verdicts
from subak.core.settlement.listing import placed, places
from subak.core.settlement.money import Amounts, Earned, Shares, Vested, from_ints, to_ints


def total(shares: Shares, vested: Vested, earned: Earned, verdicts: Verdicts, book: Book, before: State) -> State:
    """The state after. Promises: no total falls; minted = accounts + escrow + dust, ever.

    Errors: ArithmeticError if the second promise were broken, by this code or by the state before.
    """
    after = State(
        assets=_assets(vested, verdicts, book, before),
        accounts=_accounts(shares, before),
        escrow=vested.escrow,
        pools=_pools(earned, shares),
        totals=pl.DataFrame({"rewards": from_ints([to_ints(before.totals["rewards"])[0] + earned.minted]), "fees": before.totals["fees"]}),
        carried=_carried(verdicts, book, before),
    )
    owed = sum(to_ints(after.accounts["rewards"])) + sum(to_ints(after.escrow["rewards"])) + sum(to_ints(after.pools["dust"]))
    minted = to_ints(after.totals["rewards"])[0]
    if owed != minted:
        raise ArithmeticError(f"epoch {book.contents.epoch}: totals, escrow and dust are {owed}, minted is {minted}")
    return after


def _assets(vested: Vested, verdicts: Verdicts, book: Book, before: State) -> pl.DataFrame:
    ids = book.snapshot.assets["asset"]
    at = places(ids, before.assets["asset"])
    had_units = placed(before.assets["units"], at, 0)
    units = had_units + sum(next(iter(work.values())) for work in verdicts.work.values())
    if (units < had_units).any():
        raise OverflowError(f"epoch {book.contents.epoch}: the units of asset {ids[int((units < had_units).argmax())].hex()} reach 2^63")
    rewards = had_rewards = _money_at(before.assets["rewards"], at)
    for grown in vested.rewards.values():
        rewards = [had + reward for had, reward in zip(rewards, grown, strict=True)]
    paid_now = np.array([now > had for now, had in zip(rewards, had_rewards, strict=True)], np.int64)
    table = pl.DataFrame(
        {
            "asset": ids,
            "live": verdicts.live,
            "units": units,
            "rewards": from_ints(rewards),
            "fees": from_ints(_money_at(before.assets["fees"], at)),
            "paid_epochs": placed(before.assets["paid_epochs"], at, 0) + paid_now,
        }
    )
    return table.filter(pl.Series(verdicts.live))


def _accounts(shares: Shares, before: State) -> pl.DataFrame:
    had = before.accounts
    accounts = pl.concat([had["account"], shares.accounts]).unique().sort()
    at = places(accounts, had["account"])
    had_rewards, grown = _money_at(had["rewards"], at), _at(shares.rewards, places(accounts, shares.accounts))
    return pl.DataFrame(
        {
            "account": accounts,
            "rewards": from_ints([reward + growth for reward, growth in zip(had_rewards, grown, strict=True)]),
            "fees": from_ints(_money_at(had["fees"], at)),
        }
    )


def _pools(earned: Earned, shares: Shares) -> pl.DataFrame:
    dust = {pool: earned.dust.get(pool, 0) + shares.left_over.get(pool, 0) for pool in earned.dust.keys() | shares.left_over.keys()}
    pools = sorted(pool for pool, left in dust.items() if left)
    return pl.DataFrame({"pool": pl.Series(pools, dtype=pl.String), "dust": from_ints([dust[pool] for pool in pools])})


def _carried(verdicts: Verdicts, book: Book, before: State) -> dict[str, pl.DataFrame]:
    """A kind that the policy names no longer keeps its memory: should it come back, nothing may be paid twice."""
    assets = book.snapshot.assets
    tables = dict(before.carried)
    for kind, columns in verdicts.carried.items():
        table = pl.DataFrame({"asset": assets["asset"], **{name: columns[name] for name in sorted(columns)}})
        tables[kind] = table.filter(pl.Series(verdicts.live) & (assets["kind"] == kind))
    return tables


def _money_at(column: pl.Series, at: Column) -> Amounts:
    return _at(to_ints(column), at)


def _at(values: Amounts, at: Column) -> Amounts:
    """The values of these rows, 0 where a row is -1."""
    values = [*values, 0]
    return [values[row] for row in at.tolist()]
