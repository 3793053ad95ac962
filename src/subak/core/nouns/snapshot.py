"""Snapshot: what the chain said when an epoch ended, as the fold of its logs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from subak.core.canon.columns import columns_hash

Columns = dict[str, pl.DataType | type[pl.DataType]]

ASSETS: Columns = {
    "asset": pl.Binary,
    "kind": pl.String,
    "curve": pl.UInt8,
    "key": pl.Binary,
    "owner": pl.Binary,
    "cell": pl.UInt64,
    "rated": pl.Int64,
    "possessed": pl.Boolean,
}
PAYEES: Columns = {"asset": pl.Binary, "payee": pl.Binary, "parts": pl.Int64}
POOLS: Columns = {"pool": pl.String, "budget": pl.Decimal(38, 0)}
LANES: Columns = {
    "lane": pl.Binary,
    "customer": pl.Binary,
    "seq": pl.Int64,
    "total": pl.Decimal(38, 0),
    "net": pl.Decimal(38, 0),
    "burned": pl.Decimal(38, 0),
    "lines": pl.Binary,
}
VERIFIERS: Columns = {"signer": pl.Binary, "owner": pl.Binary, "weight": pl.Decimal(38, 0)}
ATTESTATIONS: Columns = {"topic": pl.String, "subject": pl.Binary, "issuer": pl.Binary, "expires_unix_s": pl.Int64}


@dataclass(frozen=True)
class Snapshot:
    """Facts of one epoch. A change of payee, key or policy acts from the epoch after it."""

    assets: pl.DataFrame
    """A row per asset and site, sorted by id: ``ASSETS``. A site has kind "" and an empty key. ``possessed``: the chain itself checked the
    device's word on whose it is."""
    payees: pl.DataFrame
    """Who shares an asset's earnings, in the owner's order: ``PAYEES``. An asset without rows pays its owner."""
    pools: pl.DataFrame
    """What each pool may mint in this epoch, sorted by pool, rounded down: ``POOLS``."""
    lanes: pl.DataFrame
    """A row per lane that was ever redeemed, sorted: ``LANES``. ``seq``, ``total`` and ``lines`` (EIP-712 hash) are those of the voucher
    redeemed last; ``net`` is what hosts get of the total and ``burned`` what was burned of it, at the share in force at each redemption."""
    attestations: pl.DataFrame
    """Words of accepted issuers that were not taken back, sorted: ``ATTESTATIONS``. A subject is an asset, or an address after 12 zeros."""
    verifiers: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=VERIFIERS))
    """Who weighs in this epoch, and how much, sorted by signer: ``VERIFIERS``. What they earn goes to the owner."""

    @property
    def tables(self) -> Mapping[str, pl.DataFrame]:
        return {
            "assets": self.assets,
            "payees": self.payees,
            "pools": self.pools,
            "lanes": self.lanes,
            "attestations": self.attestations,
            "verifiers": self.verifiers,
        }

    def hash(self) -> bytes:
        return columns_hash(self.tables)
