"""What a customer owes for an epoch that is final. Pure and exact: whole numbers, multiplied first, divided last, rounded down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from subak.core.cells import parents

WHOLE_PERMILLE = 1000
"""All of a home's export."""
PRICED_UNITS = 1_000_000
"""A highest price is for so many units of work: a MWh of energy."""
_HOUR_SECONDS = 3600


class BillingError(ValueError):
    """Numbers that no bill can follow from."""


@dataclass(frozen=True)
class Offer:
    """What an asset asked for its work in an epoch."""

    price: int
    """Payment units for ``per_units``."""
    per_units: int
    """Units of the kind's first work unit; at least 1."""

    def above(self, most_per_million: int) -> bool:
        """Whether it asks more than this many payment units for a million units of work; 0 is any price."""
        return most_per_million > 0 and self.price * PRICED_UNITS > most_per_million * self.per_units


@dataclass(frozen=True)
class AssetWork:
    """What final data say of one asset in one epoch."""

    kind: str
    """Its kind."""
    cell: int
    """H3 cell of its place."""
    units: int
    """Accepted work that can be sold, in the kind's first unit."""
    offer: Offer | None
    """What it asked; None if it offered nothing when the epoch began."""


@dataclass(frozen=True)
class EpochWork:
    """What final data say of one epoch, about the assets that a customer buys from."""

    epoch: int
    """Its number."""
    first_unix_s: int
    """When it began."""
    end_unix_s: int
    """When it ended, exclusive."""
    verdicts_hash: bytes
    """Columns hash of the verdicts that this follows from, as the chain gave it."""
    zone_resolution: Mapping[str, int]
    """By kind: the H3 resolution of the zones within which the policy lets it be sold; kinds without one are sold everywhere."""
    assets: Mapping[bytes, AssetWork]
    """By asset; one that the epoch's snapshot did not know is missing."""
    carried: tuple[Mapping[bytes, Mapping[str, int]], ...]
    """What the kinds' rules carried into the epoch, by asset and name. Two of them, into a range of epochs and out of it, where that of an
    epoch between was not published: what holds in both held in it."""


@dataclass(frozen=True)
class BillLine:
    """What one asset is owed for one epoch."""

    epoch: int
    """The epoch."""
    asset: bytes
    """The asset."""
    kind: str
    """Its kind."""
    units: int
    """Units of work that were bought, rounded down."""
    price: int
    """Payment units …"""
    per_units: int
    """… for so many units."""
    money: int
    """Payment units owed, rounded down."""

    def as_dict(self) -> dict[str, Any]:
        """For programs: the asset as 0x hex, money as decimal text."""
        return {**asdict(self), "asset": "0x" + self.asset.hex(), "price": str(self.price), "money": str(self.money)}


@dataclass(frozen=True)
class Unbilled:
    """Why something that was to be bought is not on the bill."""

    epoch: int
    """The epoch."""
    asset: bytes
    """The asset."""
    kind: str
    """The kind it was bought as."""
    why: str
    """In words, without a full stop."""

    def as_dict(self) -> dict[str, Any]:
        """For programs: the asset as 0x hex."""
        return {**asdict(self), "asset": "0x" + self.asset.hex()}


@dataclass(frozen=True)
class Bill:
    """Lines of one or more epochs."""

    lines: tuple[BillLine, ...] = ()
    """What is owed; every (epoch, asset, kind) once."""
    unbilled: tuple[Unbilled, ...] = ()
    """What is not, and why."""

    @property
    def money(self) -> int:
        """Payment units in all."""
        return sum(line.money for line in self.lines)

    @property
    def by_asset(self) -> dict[bytes, int]:
        """Payment units by asset, without those that are owed nothing; sorted."""
        sums: dict[bytes, int] = {}
        for line in self.lines:
            sums[line.asset] = sums.get(line.asset, 0) + line.money
        return {asset: sums[asset] for asset in sorted(sums) if sums[asset]}

    @property
    def by_epoch(self) -> dict[int, int]:
        """Payment units by epoch, sorted."""
        sums: dict[int, int] = {}
        for line in self.lines:
            sums[line.epoch] = sums.get(line.epoch, 0) + line.money
        return dict(sorted(sums.items()))

    def as_dict(self) -> dict[str, Any]:
        """For programs: plain values, money as decimal text in payment units."""
        units: dict[str, int] = {}
        for line in self.lines:
            units[line.kind] = units.get(line.kind, 0) + line.units
        return {
            "lines": [line.as_dict() for line in self.lines],
            "unbilled": [each.as_dict() for each in self.unbilled],
            "units": dict(sorted(units.items())),
            "by_epoch": {str(epoch): str(money) for epoch, money in self.by_epoch.items()},
            "by_asset": {"0x" + asset.hex(): str(money) for asset, money in self.by_asset.items()},
            "money": str(self.money),
        }


@dataclass(frozen=True)
class Share:
    """A part of what a home feeds into the grid, bought."""

    asset: bytes
    """The home."""
    permille: int
    """How much of its accepted export, in thousandths."""
    most_per_million: int = 0
    """The most payment units for a MWh; 0 is any price."""


@dataclass(frozen=True)
class Kept:
    """Own data on an asset in an epoch."""

    asset: bytes
    """The asset that keeps it."""
    kib: int
    """KiB of which the customer checked that they have their place in the set that the asset was asked about."""
    most_per_million: int = 0
    """The most payment units for a million KiB-hours; 0 is any price."""


def billable(reported_units: int, own_units: int, measured_units: int, price: int, per_units: int) -> int:
    """Payment units for the least of what the host reports, the customer accepts and the verifiers measured, rounded down.

    ``price`` is for ``per_units`` units. Errors: BillingError for a negative number, or a price for no units.
    """
    numbers = {"reported": reported_units, "own": own_units, "measured": measured_units, "price": price, "per_units": per_units}
    if min(numbers.values()) < 0 or per_units == 0:
        raise BillingError(f"no bill follows from {numbers}: all are 0 or more, per_units 1 or more")
    return min(reported_units, own_units, measured_units) * price // per_units


def zone_of(cell: int, resolution: int) -> int:
    """The H3 cell of this resolution around a cell; a coarser cell stays as it is. Errors: ValueError for a resolution over 15."""
    return int(parents(np.array([cell], np.uint64), resolution)[0])


def energy_bill(work: EpochWork, shares: Iterable[Share], own_cell: int) -> Bill:
    """What the chosen homes are owed for their share of an epoch.

    A home's report is what verifiers accepted of it; of that the customer bought ``permille``, rounded down. Homes outside of the
    customer's zone sell it nothing. ``own_cell``: where the customer is.
    """
    lines, unbilled = [], []
    for share in shares:
        found, why = _offered(work, share.asset, "energy", share.most_per_million)
        if why is None and found is not None and found.offer is not None:
            why = _outside(found.cell, own_cell, work.zone_resolution.get("energy"))
            if why is None:
                bought = found.units * share.permille // WHOLE_PERMILLE
                lines.append(_line(work.epoch, share.asset, found, bought, found.offer))
        if why is not None:
            unbilled.append(Unbilled(work.epoch, share.asset, "energy", why))
    return Bill(tuple(lines), tuple(unbilled))


def storage_bill(work: EpochWork, kept: Iterable[Kept]) -> Bill:
    """What storage assets are owed for an epoch: KiB × hours of own data, if every task of the epoch was answered right.

    By the kind's rules one wrong or missing answer leaves an asset no work in the epoch, and then nothing is owed: whoever lost something
    may have lost ours.
    """
    lines, unbilled = [], []
    for each in kept:
        found, why = _offered(work, each.asset, "storage", each.most_per_million)
        if why is None and found is not None and found.offer is not None:
            if not each.kib:
                why = "it has not shown that our data are in the set that it was asked about"
            elif not found.units:
                why = "it did not answer for all that it holds"
            else:
                own = each.kib * (work.end_unix_s - work.first_unix_s) // _HOUR_SECONDS
                lines.append(_line(work.epoch, each.asset, found, own, found.offer))
        if why is not None:
            unbilled.append(Unbilled(work.epoch, each.asset, "storage", why))
    return Bill(tuple(lines), tuple(unbilled))


def joined(bills: Sequence[Bill]) -> Bill:
    """All lines of several bills, in order of epoch, kind and asset. Errors: BillingError if one thing is billed twice."""
    lines = sorted((line for bill in bills for line in bill.lines), key=lambda line: (line.epoch, line.kind, line.asset))
    for one, other in pairwise(lines):
        if (one.epoch, one.kind, one.asset) == (other.epoch, other.kind, other.asset):
            what = f"{one.kind} of 0x{one.asset.hex()} in epoch {one.epoch}"
            raise BillingError(f"{what} is on the bill twice, for {one.money} and for {other.money}: buy it once")
    return Bill(tuple(lines), tuple(each for bill in bills for each in bill.unbilled))


def _offered(work: EpochWork, asset: bytes, kind: str, most_per_million: int) -> tuple[AssetWork | None, str | None]:
    """The asset, or why nothing was bought of it."""
    found = work.assets.get(asset)
    if found is None:
        return None, "the network did not know it when the epoch began"
    if found.kind != kind:
        return found, f"it is of the kind {found.kind or 'site'}"
    if found.offer is None:
        return found, "it offered nothing when the epoch began"
    if found.offer.above(most_per_million):
        return found, f"it asked {found.offer.price} for {found.offer.per_units}, more than {most_per_million} for {PRICED_UNITS}"
    return found, None


def _outside(cell: int, own_cell: int, resolution: int | None) -> str | None:
    if resolution is None:
        return None
    if not own_cell:
        return "it is sold within a zone, and the customer has not said in which one it is: set cell in customer.toml"
    zone, own = zone_of(cell, resolution), zone_of(own_cell, resolution)
    return None if zone == own else f"it is in the zone {zone:x}, and the customer in {own:x}"


def _line(epoch: int, asset: bytes, work: AssetWork, own_units: int, offer: Offer) -> BillLine:
    # What a host reports is what it signed, of which the verifiers accepted this.
    money = billable(work.units, own_units, work.units, offer.price, offer.per_units)
    return BillLine(epoch, asset, work.kind, min(own_units, work.units), offer.price, offer.per_units, money)
