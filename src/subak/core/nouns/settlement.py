"""Settlement: what an epoch's Book comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from subak.core.canon.merkle import Tree
from subak.core.nouns.state import State


@dataclass(frozen=True)
class Summary:
    """The epoch in a line, for people and programs."""

    accepted: int
    """Lines accepted."""
    held: int
    """Lines held."""
    refused: int
    """Lines refused."""
    reasons: Mapping[str, int]
    """Lines by reason name."""
    paid: int
    """Growth of the accounts' running totals of rewards, in base units of the token."""
    fees: int
    """Growth of the accounts' running totals of fees, in base units of the payment asset."""
    waiting: int
    """Fees that customers paid for work that was not measured yet, after this epoch."""
    minted: int
    """What this epoch mints: growth of totals, of escrow and of dust."""
    unallocated: int
    """Dust that division left over, carried to the next epoch."""
    pools: Mapping[str, int]
    """What this epoch mints, by the pool whose budget it is drawn from; pools that mint nothing are left out."""


@dataclass(frozen=True)
class Settlement:
    """Verdicts, work, money, state after, roots."""

    epoch: int
    """The Book's epoch."""
    verdicts: pl.DataFrame
    """One row per Entry in Book order: asset, schema, sequence, start_unix_s, interval_seconds, reasons (list of codes, one per line),
    accepted (list, in the kind's first work unit)."""
    verdicts_hash: bytes
    """Columns hash of the verdicts as a table by itself, named by the epoch: what seals commit to."""
    state: State
    """State after the epoch."""
    state_root: bytes
    """Its hash."""
    tree: Tree
    """Payout tree over (account, rewards, fees)."""
    asset_tree: Tree
    """Tree over (asset, units, rewards, fees, paid epochs)."""
    rewards: int
    """Minted for rewards ever, up to and including this epoch."""
    fees: int
    """Redeemed for hosts ever."""
    summary: Summary
    """The epoch in a line."""
