"""Snapshot: what the chain said when an epoch ended, as the fold of its logs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from subak.core.canon.columns import columns_hash

ASSETS = {
    "asset": pl.Binary,
    "kind": pl.String,
    "curve": pl.UInt8,
    "key": pl.Binary,
    "owner": pl.Binary,
    "cell": pl.UInt64,
    "rated": pl.Int64,
}
PAYEES = {"asset": pl.Binary, "payee": pl.Binary, "parts": pl.Int64}
POOLS = {"pool": pl.String, "budget": pl.Decimal(38, 0)}


@dataclass(frozen=True)
class Snapshot:
    """Facts of one epoch. A change of payee, key or policy acts from the epoch after it."""

    assets: pl.DataFrame
    """A row per asset and site, sorted by id: ``ASSETS``. A site has kind "" and an empty key."""
    payees: pl.DataFrame
    """Who shares an asset's earnings, in the owner's order: ``PAYEES``. An asset without rows pays its owner."""
    pools: pl.DataFrame
    """What each pool may mint in this epoch, sorted by pool, rounded down: ``POOLS``."""

    @property
    def tables(self) -> Mapping[str, pl.DataFrame]:
        return {"assets": self.assets, "payees": self.payees, "pools": self.pools}

    def hash(self) -> bytes:
        return columns_hash(self.tables)
