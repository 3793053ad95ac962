"""``customer.toml``: what a customer buys, of whom, and how much money it may spend."""

from __future__ import annotations

from pathlib import Path

import msgspec

from subak.core.canon.vouchers import MAX_LINES, MONEY_LIMIT
from subak.core.nouns import Hash
from subak.core.nouns.document import convert
from subak.customer.billing import WHOLE_PERMILLE, Share


class CustomerFileRefused(ValueError):
    """A customer.toml that cannot be followed; the text names the field and the values that disagree."""


class EnergyPurchase(msgspec.Struct, frozen=True):
    """One ``[[energy]]`` table: a part of what a home feeds into the grid."""

    asset: Hash
    """Id of the home."""
    permille: int
    """How much of its accepted export, in thousandths: 1 to 1000."""
    max_price: int = 0
    """The most payment units for a MWh; an epoch for which the home asked more is not bought; 0 is any price."""


class StoragePurchase(msgspec.Struct, frozen=True):
    """``[storage]``: where own data lie is the storage customer's business; this is what may be paid for it."""

    folder: str = "storage"
    """Folder of the storage customer's index and keys, relative to customer.toml."""
    max_price: int = 0
    """The most payment units for a million KiB-hours; 0 is any price."""


class Purchases(msgspec.Struct, frozen=True):
    """``customer.toml``. Money is in the payment asset's smallest unit; times are network seconds."""

    clerk: str
    """Base address of the verifier that countersigns vouchers."""
    limit: int
    """What a lane is opened with: the most that is owed at once with one session key."""
    folder: str = "wallet"
    """Folder of keys and memory, relative to customer.toml."""
    budget: int = 0
    """The most that is ever moved from the account into its channel by itself; 0: nothing, deposits are made by hand."""
    low_permille: int = 200
    """The next lane is opened when less than so many thousandths of the limit are left."""
    lane_seconds: int = 0
    """How long a lane lasts; 0, or more than the chain allows, is as long as the chain allows."""
    renew_seconds: int = 0
    """How long before a lane's expiry the next one is opened; 0 is one epoch."""
    cell: str = ""
    """H3 cell of the customer as hex digits: some kinds are sold within a zone only."""
    energy: tuple[EnergyPurchase, ...] = ()
    """Homes whose export is bought."""
    storage: StoragePurchase | None = None
    """Set if data are stored."""

    @property
    def cell_number(self) -> int:
        """The cell as a number; 0 if none is given."""
        return int(self.cell, 16) if self.cell else 0

    @property
    def shares(self) -> list[Share]:
        """Homes whose export is bought, for bills."""
        return [Share(bytes(each.asset), each.permille, each.max_price) for each in self.energy]

    def check(self) -> None:
        """Errors: CustomerFileRefused."""
        try:
            cell = self.cell_number
        except ValueError:
            cell = -1
        if not 0 <= cell < 1 << 63:
            raise CustomerFileRefused(f"cell = {self.cell!r} is no H3 cell: 15 hex digits, as 8729a004bffffff")
        if not 0 < self.limit < MONEY_LIMIT:
            raise CustomerFileRefused(f"limit = {self.limit} is not in 1 to 10^38 - 1")
        if not 0 <= self.low_permille < WHOLE_PERMILLE:
            raise CustomerFileRefused(f"low_permille = {self.low_permille} is not in 0 to 999")
        if min(self.budget, self.lane_seconds, self.renew_seconds) < 0:
            numbers = {"budget": self.budget, "lane_seconds": self.lane_seconds, "renew_seconds": self.renew_seconds}
            raise CustomerFileRefused(f"{numbers}: all are 0 or more")
        homes = len({each.asset for each in self.energy})
        if not homes == len(self.energy) <= MAX_LINES:
            raise CustomerFileRefused(f"{len(self.energy)} tables of energy name {homes} homes: each once, at most {MAX_LINES}")
        for each in self.energy:
            if not 1 <= each.permille <= WHOLE_PERMILLE or each.max_price < 0:
                values = f"permille = {each.permille}, max_price = {each.max_price}"
                raise CustomerFileRefused(f"energy of 0x{each.asset.hex()}: {values}; permille is 1 to 1000, max_price 0 or more")


def load(path: Path) -> Purchases:
    """The file. Errors: FileNotFoundError; CustomerFileRefused naming the file and the field."""
    try:
        purchases = convert(msgspec.toml.decode(path.read_bytes()), Purchases)
        purchases.check()
    except (msgspec.DecodeError, msgspec.ValidationError, CustomerFileRefused) as error:
        raise CustomerFileRefused(f"{path}: {error}") from error
    return purchases
