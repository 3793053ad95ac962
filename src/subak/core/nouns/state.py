"""State: everything that one epoch hands to the next. It comes only from the last final stateRoot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import polars as pl

from subak.core.canon.columns import columns_hash

Columns = dict[str, pl.DataType | type[pl.DataType]]

MONEY = pl.Decimal(38, 0)
ASSETS: Columns = {"asset": pl.Binary, "live": pl.Boolean, "units": pl.Int64, "rewards": MONEY, "fees": MONEY, "paid_epochs": pl.Int64}
ACCOUNTS: Columns = {"account": pl.Binary, "rewards": MONEY, "fees": MONEY}
ESCROW: Columns = {"release_epoch": pl.Int64, "asset": pl.Binary, "pool": pl.String, "rewards": MONEY}
POOLS: Columns = {"pool": pl.String, "dust": MONEY}
TOTALS: Columns = {"rewards": MONEY, "fees": MONEY, "earlier_fees": MONEY}
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
SEALED: Columns = {"epoch": pl.Int64, "book": pl.Binary, "verdicts": pl.Binary}
COMMITS: Columns = {"signer": pl.Binary, "commit": pl.Binary}
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
    """One row, ``TOTALS``: minted for rewards ever (accounts + escrow + dust), redeemed for hosts ever; and what was redeemed for hosts and
    made final by Settlements before this one."""
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
    sealed: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=SEALED))
    """The Book that was settled last and its verdicts' columns hash, which the seals in the next Book have to fit: ``SEALED``."""
    commits: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=COMMITS))
    """What each verifier's next head has to reveal, sorted by signer: ``COMMITS``."""

    @classmethod
    def genesis(cls) -> State:
        """Before epoch 0: nothing was earned, nothing is carried."""
        return cls(
            assets=pl.DataFrame(schema=ASSETS),
            accounts=pl.DataFrame(schema=ACCOUNTS),
            escrow=pl.DataFrame(schema=ESCROW),
            pools=pl.DataFrame(schema=POOLS),
            totals=pl.DataFrame({name: [0] for name in TOTALS}, schema=dict.fromkeys(TOTALS, pl.Int128)).cast(MONEY),
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
            "sealed": self.sealed,
            "commits": self.commits,
            **{f"carried.{kind}": table for kind, table in self.carried.items()},
        }

    @classmethod
    def from_tables(cls, tables: Mapping[str, pl.DataFrame]) -> State:
        carried = {name.removeprefix("carried."): table for name, table in tables.items() if name.startswith("carried.")}
        return cls(**{name: table for name, table in tables.items() if not name.startswith("carried.")}, carried=carried)

    def resumed(self, rewards: int, fees: int) -> State:
        """What a Settlement goes on from after this state, by the final totals on the chain (token and payment units): the state itself, or
        ``restarted`` if nothing is final in that Settlement yet. Its payout root does not tell: while all rewards wait in escrow that is
        zero too.

        Errors: ValueError if the totals are others.
        """
        had: tuple[int, int] = self.totals.select(pl.col("rewards", "fees").cast(pl.Int128)).row(0)
        if had == (rewards, fees):
            return self
        if (rewards, fees) != (0, 0):
            raise ValueError(f"the state's totals are {had}, the chain's {(rewards, fees)}: it is the state of another Settlement")
        return self.restarted()

    def restarted(self) -> State:
        """What a new Settlement begins with after this state: its totals begin at zero, while everything that says what was counted, taken
        or promised goes on. Escrow and dust were minted into the Settlement before and stay there."""
        totals = self.totals.select(
            rewards=pl.lit(0, pl.Int128).cast(MONEY),
            fees=pl.lit(0, pl.Int128).cast(MONEY),
            earlier_fees=(pl.col("earlier_fees").cast(pl.Int128) + pl.col("fees").cast(pl.Int128)).cast(MONEY),
        )
        return replace(self, accounts=self.accounts.clear(), escrow=self.escrow.clear(), pools=self.pools.clear(), totals=totals)

    def root(self) -> bytes:
        """32 bytes: the columns hash of every table."""
        return columns_hash(self.tables)
