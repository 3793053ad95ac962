"""Running totals: the state after."""

from __future__ import annotations

import numpy as np
import polars as pl

from subak.core.kind import Column
from subak.core.nouns.book import Book
from subak.core.nouns.state import State
from subak.core.settlement.debts import Kept
from subak.core.settlement.judging import Verdicts
from subak.core.settlement.listing import placed, places
from subak.core.settlement.money import Amounts, Earned, Shares, from_ints, money_at, to_ints
from subak.core.settlement.sales import Sold


def total(shares: Shares, kept: Kept, earned: Earned, sold: Sold, verdicts: Verdicts, book: Book, before: State) -> State:
    """The state after. Promises: no total falls; minted = accounts + escrow + dust; fees + what waits = what was taken of lanes, ever.

    Errors: ArithmeticError if the later promises were broken, by this code or by the state before.
    """
    fees, earlier = to_ints(before.totals["fees"])[0] + sum(shares.fees), to_ints(before.totals["earlier_fees"])[0]
    rewards = to_ints(before.totals["rewards"])[0] + sum(earned.minted.values())
    after = State(
        assets=_assets(kept, verdicts, book, before),
        accounts=_accounts(shares, before),
        escrow=kept.escrow,
        pools=_pools(earned, shares),
        totals=pl.DataFrame({"rewards": from_ints([rewards]), "fees": from_ints([fees]), "earlier_fees": from_ints([earlier])}),
        lanes=sold.lanes,
        lines=sold.lines,
        sales=sold.sales,
        debts=kept.debts,
        carried=_carried(verdicts, book, before),
    )
    owed = sum(to_ints(after.accounts["rewards"])) + sum(to_ints(after.escrow["rewards"])) + sum(to_ints(after.pools["dust"]))
    minted = to_ints(after.totals["rewards"])[0]
    if owed != minted:
        raise ArithmeticError(f"epoch {book.contents.epoch}: totals, escrow and dust are {owed}, minted is {minted}")
    handed_over, waiting = sum(to_ints(after.lanes["net"])), sum(to_ints(after.sales["net"]))
    if earlier + fees + waiting != handed_over or sum(to_ints(after.accounts["fees"])) != fees:
        raise ArithmeticError(
            f"epoch {book.contents.epoch}: fees are {earlier} + {fees}, {waiting} wait, the lanes handed over {handed_over}"
        )
    return after


def _assets(kept: Kept, verdicts: Verdicts, book: Book, before: State) -> pl.DataFrame:
    ids = book.snapshot.assets["asset"]
    at = places(ids, before.assets["asset"])
    had_units = placed(before.assets["units"], at, 0)
    units = had_units + sum(next(iter(work.values())) for work in verdicts.work.values())
    if (units < had_units).any():
        raise OverflowError(f"epoch {book.contents.epoch}: the units of asset {ids[int((units < had_units).argmax())].hex()} reach 2^63")
    rewards = had_rewards = money_at(before.assets["rewards"], at)
    for grown in kept.rewards.values():
        rewards = [had + reward for had, reward in zip(rewards, grown, strict=True)]
    had_fees = money_at(before.assets["fees"], at)
    fees = [had + fee for had, fee in zip(had_fees, kept.fees, strict=True)]
    paid_now = np.array([reward > had or fee > 0 for reward, had, fee in zip(rewards, had_rewards, kept.fees, strict=True)], np.int64)
    table = pl.DataFrame(
        {
            "asset": ids,
            "live": verdicts.live,
            "units": units,
            "rewards": from_ints(rewards),
            "fees": from_ints(fees),
            "paid_epochs": placed(before.assets["paid_epochs"], at, 0) + paid_now,
        }
    )
    return table.filter(pl.Series(verdicts.live))


def _accounts(shares: Shares, before: State) -> pl.DataFrame:
    had = before.accounts
    accounts = pl.concat([had["account"], shares.accounts]).unique().sort()
    at = places(accounts, had["account"])
    now = places(accounts, shares.accounts)

    def grown(name: str, growth: Amounts) -> pl.Series:
        return from_ints([total + more for total, more in zip(money_at(had[name], at), _at(growth, now), strict=True)])

    return pl.DataFrame({"account": accounts, "rewards": grown("rewards", shares.rewards), "fees": grown("fees", shares.fees)})


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


def _at(values: Amounts, at: Column) -> Amounts:
    """The values of these rows, 0 where a row is -1."""
    values = [*values, 0]
    return [values[row] for row in at.tolist()]
