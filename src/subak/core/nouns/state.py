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
LANES: Columns = {"lane": pl.Binary, "total": MONEY, "net": MONEY, "burned": MONEY}
LINES: Columns = {"lane": pl.Binary, "asset": pl.Binary, "money": MONEY}
SALES: Columns = {
    "asset": pl.Binary,
    "price": MONEY,
    "per_units": pl.Int64,
    "valid_until_unix_s": pl.Int64,
    "value": MONEY,
    "gross": MONEY,
    "net": MONEY,
    "burned": MONEY,
}
DEBTS: Columns = {"asset": pl.Binary, "currency": pl.String, "creditor": pl.Binary, "amount": MONEY}


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
    lanes: pl.DataFrame
    """What was taken from each lane, sorted: ``LANES``. The voucher's total, and what of it hosts get and was burned."""
    lines: pl.DataFrame
    """The running money of each (lane, asset) that was taken, sorted: ``LINES``."""
    sales: pl.DataFrame
    """A row per asset that ever offered or sold anything, sorted: ``SALES``. Its offer in force from the next epoch; ``value`` of measured
    work that nobody was billed for yet; ``gross``, ``net`` and ``burned`` of bills that wait for measured work."""
    debts: pl.DataFrame
    """What assets owe, sorted: ``DEBTS``."""
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
            lanes=pl.DataFrame(schema=LANES),
            lines=pl.DataFrame(schema=LINES),
            sales=pl.DataFrame(schema=SALES),
            debts=pl.DataFrame(schema=DEBTS),
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
            "lanes": self.lanes,
            "lines": self.lines,
            "sales": self.sales,
            "debts": self.debts,
            **{f"carried.{kind}": table for kind, table in self.carried.items()},
        }

    @classmethod
    def from_tables(cls, tables: Mapping[str, pl.DataFrame]) -> State:
        carried = {name.removeprefix("carried."): table for name, table in tables.items() if name.startswith("carried.")}
        return cls(**{name: table for name, table in tables.items() if not name.startswith("carried.")}, carried=carried)

    def root(self) -> bytes:
        """32 bytes: the columns hash of every table."""
        return columns_hash(self.tables)
