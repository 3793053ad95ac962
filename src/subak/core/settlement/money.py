"""Money: whole numbers of the token's smallest unit, Python integers only. Multiply first, divide last, round down, name the remainder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from subak.core.cells import parents
from subak.core.kind import Column, Mask, Rules
from subak.core.nouns.book import Book
from subak.core.nouns.state import ESCROW, MONEY, State
from subak.core.settlement import duties
from subak.core.settlement.judging import Verdicts, context_of
from subak.core.settlement.listing import places

if TYPE_CHECKING:
    from subak.core.settlement.debts import Kept

MONEY_LIMIT = 10**38
"""DECIMAL(38,0), the widest number that every reader of the archive knows."""

WHOLE_BPS = 10_000
BOOTSTRAP = "bootstrap"
"""The pot that a kind's rules price; its pool on chain has the kind's name."""
USAGE = "usage"
"""The pool of rewards for paid service."""
INSTALLED = "installed"
"""The topic of an attestation without which nothing is earned before there are customers."""

Amounts = list[int]
"""Money by row of the snapshot's assets."""


@dataclass(frozen=True)
class Earned:
    """What the pools pay this epoch, before vesting."""

    rewards: Mapping[str, Amounts]
    """Pool: each asset's reward, rounded down."""
    verifiers: Mapping[bytes, int]
    """What verifiers' owners earn for their duties."""
    minted: Mapping[str, int]
    """Pool: what is drawn from its budget; what nobody earned, or a cap cut, is not minted. Pools that mint nothing are left out."""
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
    """By how much their running totals of rewards grow."""
    fees: Amounts
    """By how much their running totals of fees grow."""
    left_over: Mapping[str, int]
    """Pool: what the division among payees left over, and debts that returned to it."""


def price(verdicts: Verdicts, burned: Amounts, book: Book, before: State, kinds: Mapping[str, Rules]) -> Earned:
    """Divide each kind's bootstrap pot (its budget and the dust carried to it) among the attested assets, pro rata to what the kind counts,
    within the caps of issuers and cells; and pay ``USAGE`` for what was burned of each asset's bills.

    Promise: usage rewards are at most k of what was burned, line by line, and never more than the pool's budget.
    """
    budgets = _by_pool(book.snapshot.pools, "budget")
    dust = _by_pool(before.pools, "dust")
    attested, issuers = _attested(book)
    rewards: dict[str, Amounts] = {}
    minted: dict[str, int] = {}
    for name in sorted(kinds):
        pots = kinds[name].price(verdicts.work[name], context_of(kinds[name], book))
        if BOOTSTRAP not in pots:
            continue
        units = np.where(attested, pots[BOOTSTRAP], 0)
        if len(units) and units.min() < 0:
            raise ValueError(f"{name} {kinds[name].version} prices an asset at {units.min()} units")
        budget = _faded(budgets.get(name, 0), book)
        pot = budget + dust.get(name, 0)
        if units.any() and book.contents.epoch < book.policy.bootstrap.sunset_epoch:
            shares, left = divide_down(pot, units.tolist())
            rewards[name] = _capped(shares, pot, issuers, book)
            cut = sum(shares) - sum(rewards[name])
            unminted = min(cut, budget)
            dust[name] = left + cut - unminted
            minted[name] = budget - unminted
    used = _usage(burned, budgets.get(USAGE, 0), book.policy.usage.k_bps)
    if any(used):
        rewards[USAGE] = used
    verifiers = duties.pay_verifiers(book, budgets.get(duties.POOL, 0), before)
    minted |= {USAGE: sum(used), duties.POOL: sum(verifiers.values())}
    return Earned(rewards, verifiers, {pool: amount for pool, amount in minted.items() if amount}, dust)


def _faded(budget: int, book: Book) -> int:
    """The part of a pot's budget that is left on its way to the sunset, rounded down."""
    epoch, policy = book.contents.epoch, book.policy.bootstrap
    if epoch >= policy.sunset_epoch:
        return 0
    if epoch < policy.fade_from_epoch:
        return budget
    return budget * (policy.sunset_epoch - epoch) // (policy.sunset_epoch - policy.fade_from_epoch)


def _capped(shares: Amounts, pot: int, issuers: Column, book: Book) -> Amounts:
    """Shares after the caps: where an issuer's or a cell's assets would get more than it allows, each gets less by the same proportion."""
    policy = book.policy.bootstrap
    cells = parents(book.snapshot.assets["cell"].to_numpy(), policy.cell_resolution)
    for groups, cap_bps in ((issuers, policy.issuer_cap_bps), (cells, policy.cell_cap_bps)):
        if cap_bps >= WHOLE_BPS:
            continue
        most = pot * cap_bps // WHOLE_BPS
        sums: dict[int, int] = {}
        group_of = groups.tolist()
        for group, share in zip(group_of, shares, strict=True):
            sums[group] = sums.get(group, 0) + share
        shares = [share * most // sums[group] if sums[group] > most else share for group, share in zip(group_of, shares, strict=True)]
    return shares


def _usage(burned: Amounts, budget: int, k_bps: int) -> Amounts:
    """k of what was burned for each asset, rounded down; all less by the same proportion if the pool does not reach."""
    if not 0 <= k_bps < WHOLE_BPS:
        raise ValueError(f"the policy pays {k_bps} of {WHOLE_BPS} of what was burned: it must be less than all")
    wanted = [burnt * k_bps // WHOLE_BPS for burnt in burned]
    every = sum(wanted)
    return wanted if every <= budget else [want * budget // every for want in wanted]


def divide_down(pot: int, parts: Sequence[int]) -> tuple[Amounts, int]:
    """``pot`` in proportion to ``parts``, one of them above 0 and none below, each share rounded down; and what is left over.

    Promises: shares and remainder add up to the pot; more parts never get less; equal parts get the same.
    """
    every = sum(parts)
    shares = [pot * part // every for part in parts]
    return shares, pot - sum(shares)


def divide_whole(pot: int, parts: Sequence[int]) -> Amounts:
    """``pot`` in proportion to ``parts``, one of them above 0 and none below, nothing left over: the units that rounding down leaves go one
    each to the first parts above 0. For money that somebody paid, which may neither vanish nor wait."""
    shares, left = divide_down(pot, parts)
    for place, part in enumerate(parts):
        if not left:
            break
        if part:
            shares[place] += 1
            left -= 1
    return shares


def vest(earned: Earned, book: Book, before: State) -> Vested:
    """What was earned now and need not wait, and what waited until this epoch. Only bootstrap rewards wait."""
    epoch = book.contents.epoch
    release = epoch + book.policy.bootstrap.escrow_epochs
    ids = book.snapshot.assets["asset"]
    is_due = before.escrow["release_epoch"] <= epoch
    due = before.escrow.filter(is_due)
    waiting = [before.escrow.filter(~is_due)]
    now = {pool: rewards.copy() for pool, rewards in earned.rewards.items() if release <= epoch or pool == USAGE}
    waiting += [_wait(release, pool, rewards, ids) for pool, rewards in earned.rewards.items() if pool not in now]
    for pool in due["pool"].unique():
        now.setdefault(pool, [0] * len(ids))
    for pool, row, reward in zip(due["pool"].to_list(), places(due["asset"], ids).tolist(), to_ints(due["rewards"]), strict=True):
        now[pool][row] += reward
    return Vested(now, pl.concat(waiting).sort(*ESCROW))


def split(kept: Kept, verifiers: Mapping[bytes, int], book: Book) -> Shares:
    """Each asset's rewards and fees among its payees by parts; a site's part goes on to the site's payees. Rewards are rounded down; of
    fees nothing is left over. Creditors get what was kept back for them, verifiers' owners what they earned.

    An asset without payees pays its owner. Promises: shares and what is left over add up to the rewards; shares of fees to the fees.
    """
    owners, named = book.snapshot.assets["owner"], book.snapshot.payees["payee"]
    # Whoever is paid beside the payees: one look-up for all, for it costs as much as there are accounts.
    beside = pl.Series([*(account for _, account in kept.to_creditors), *verifiers], dtype=pl.Binary)
    accounts = pl.concat([owners, named.filter(_is_account(named)).bin.slice(12), beside]).unique().sort()
    owner = places(owners, accounts).tolist()
    payees = _payees(book, accounts)
    rewards, fees = [0] * len(accounts), [0] * len(accounts)

    def pay(grown: Amounts, share_out: Callable[[int, Sequence[int]], tuple[Amounts, int]], row: int, money: int) -> int:
        """Pays what an asset or site gets; returns what is left over."""
        if row not in payees:
            grown[owner[row]] += money
            return 0
        shares, left = share_out(money, [payee.parts for payee in payees[row]])
        for payee, share in zip(payees[row], shares, strict=True):
            if payee.is_account:
                grown[payee.row] += share
            else:
                left += pay(grown, share_out, payee.row, share)
        return left

    left_over = {
        pool: sum(pay(rewards, divide_down, row, reward) for row, reward in enumerate(amounts) if reward)
        for pool, amounts in kept.rewards.items()
    }
    for row, fee in enumerate(kept.fees):
        if fee:
            pay(fees, lambda money, parts: (divide_whole(money, parts), 0), row, fee)
    rows = places(beside, accounts).tolist()
    for ((currency, _), money), row in zip(kept.to_creditors.items(), rows, strict=False):
        (rewards if currency == "rewards" else fees)[row] += money
    for money, row in zip(verifiers.values(), rows[len(kept.to_creditors) :], strict=True):
        rewards[row] += money
    for pool, money in kept.to_pools.items():
        left_over[pool] = left_over.get(pool, 0) + money
    paid = [row for row in range(len(accounts)) if rewards[row] or fees[row]]
    return Shares(accounts.gather(paid), [rewards[row] for row in paid], [fees[row] for row in paid], left_over)


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


def money_at(column: pl.Series, at: Column) -> Amounts:
    """The money at these rows, 0 where a row is -1."""
    values = [*to_ints(column), 0]
    return [values[row] for row in at.tolist()]


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


def _attested(book: Book) -> tuple[Mask, Column]:
    """By row of the snapshot's assets: an issuer says until the epoch's end or longer that it is installed; and which one, as a number. An
    asset counts for one issuer, the first by address."""
    words = book.snapshot.attestations
    words = words.filter((words["topic"] == INSTALLED) & (words["expires_unix_s"] >= book.contents.end_unix_s))
    first = words.sort("subject", "issuer").unique("subject", keep="first", maintain_order=True)
    at = places(book.snapshot.assets["asset"], first["subject"])
    issuers = np.append(places(first["issuer"], first["issuer"].unique().sort()), -1)
    return at >= 0, issuers[at]


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
