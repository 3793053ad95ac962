"""State: everything that one epoch hands to the next. It comes only from the last final stateRoot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from subak.core.canon.columns import columns_hash

Columns = dict[str, pl.DataType | type[pl.DataType]]

MONEY = pl.Decimal(38, 0)
ASSETS: Columns = {"asset": pl.Binary, "live": pl.Boolean, "units": pl.Int64, "rewards": MONEY, "fees": MONEY, "paid_epochs": pl.Int64}
ACCOUNTS: Columns = {"account": pl.Binary, "rewards": MONEY, "fees": MONEY}
ESCROW: Columns = {"release_epoch": pl.Int64, "asset": pl.Binary, "pool": pl.String, "rewards": MONEY}
POOLS: Columns = {"pool": pl.String, "dust": MONEY}
TOTALS: Columns = {"rewards": MONEY, "fees": MONEY}


@dataclass(frozen=True)
class State:
    """Carried state. Its hash is the stateRoot."""

    assets: pl.DataFrame
    """A row per asset that was ever live, sorted by id: ``ASSETS`` (running totals, ever)."""
    accounts: pl.DataFrame
    """Running totals per account, sorted: ``ACCOUNTS``. They never fall."""
    escrow: pl.DataFrame
    """Bootstrap rewards earned and not yet vested, sorted by release epoch and asset: ``ESCROW``."""
    pools: pl.DataFrame
    """What division left over and the next epoch adds to the pot, by pool: ``POOLS``."""
    totals: pl.DataFrame
    """One row, ``TOTALS``: minted for rewards ever (accounts + escrow + dust), redeemed for hosts ever."""
    carried: Mapping[str, pl.DataFrame]
    """By kind: ``asset`` and the columns its rules carry, sorted by asset."""

    @classmethod
    def genesis(cls) -> State:
        """Before epoch 0: nothing was earned, nothing is carried."""
        return cls(
            assets=pl.DataFrame(schema=ASSETS),
            accounts=pl.DataFrame(schema=ACCOUNTS),
            escrow=pl.DataFrame(schema=ESCROW),
            pools=pl.DataFrame(schema=POOLS),
            totals=pl.DataFrame({"rewards": [0], "fees": [0]}, schema={"rewards": pl.Int128, "fees": pl.Int128}).cast(MONEY),
            carried={},
        )

    @property
    def tables(self) -> Mapping[str, pl.DataFrame]:
        """Tables by file name, as they are hashed and stored."""
        return {
            "assets": self.assets,
            "accounts": self.accounts,
            "escrow": self.escrow,
            "pools": self.pools,
            "totals": self.totals,
            **{f"carried.{kind}": table for kind, table in self.carried.items()},
        }

    @classmethod
    def from_tables(cls, tables: Mapping[str, pl.DataFrame]) -> State:
        carried = {name.removeprefix("carried."): table for name, table in tables.items() if name.startswith("carried.")}
        return cls(**{name: tables[name] for name in ("assets", "accounts", "escrow", "pools", "totals")}, carried=carried)

    def root(self) -> bytes:
        """32 bytes: the columns hash of every table."""
        return columns_hash(self.tables)
