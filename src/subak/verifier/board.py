"""The board: what hosts offer now, so that customers find them. It is a convenience: what an asset is paid follows from the Books."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from subak.archive.log import EntryLog
from subak.core.canon.entry import RawEntry, unpack_rows
from subak.core.canon.segment import unfit
from subak.core.cells import within
from subak.core.settlement.reasons import OFFER

MOST_LISTED = 1000
"""Offers in one answer."""
_SCHEMES = ("http://", "https://")
_EXACT = 1 << 126


@dataclass(frozen=True)
class Place:
    """What the chain says of an asset, as far as customers choose by it."""

    kind: str
    """Its kind."""
    cell: int
    """H3 index of where it stands."""


@dataclass(frozen=True)
class Offer:
    """What an asset's work costs until when."""

    asset: bytes
    """Its id."""
    start_unix_s: int
    """When it was offered; of an asset's offers the one that starts last counts, of those the one with the highest sequence."""
    sequence: int
    """Of the Entry."""
    price: int
    """Payment units for ``per_units`` of the kind's first work unit."""
    per_units: int
    """At least 1."""
    capacity: int
    """In the kind's rated unit; 0 takes the offer back."""
    valid_until_unix_s: int
    """Network time from which it does not stand any more."""
    endpoint: str
    """Where customers reach the host; "" if nowhere."""


@dataclass(frozen=True)
class Listed:
    """An offer that stands, and the asset's place."""

    offer: Offer
    """The offer."""
    place: Place
    """The asset's."""


class Board:
    """The newest offer of each asset. From any thread.

    Give it the Entries that intake accepted: one by one (``take``), or the whole log as it grows (``follow``), which also serves after a
    restart. An Entry that is no offer, or one that sells no units, is passed over.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offers: dict[bytes, Offer] = {}
        self._assets: Mapping[bytes, Place] = {}
        self._position = 0
        self._sorted: dict[str, list[Offer]] = {}

    def know(self, assets: Mapping[bytes, Place]) -> None:
        """Replaces what is known of assets, by id. Offers of others are not listed. The mapping must not change afterwards."""
        with self._lock:
            if assets is not self._assets:
                self._assets = assets
                self._sorted.clear()

    def follow(self, log: EntryLog) -> int:
        """Takes the offers of what is durable in the log since the last call; returns up to which position."""
        end = log.durable
        start = max(self._position, log.first)
        if start < end:
            for logged in log.entries(start, end):
                if logged.entry.schema_id == OFFER.id:
                    self.take(logged.entry)
            self._position = end
        return end

    def take(self, entry: RawEntry) -> bool:
        """Takes an Entry whose signature was checked; whether it is the asset's newest offer now."""
        offer = read_offer(entry)
        if offer is None:
            return False
        with self._lock:
            before = self._offers.get(offer.asset)
            if before is not None and (before.start_unix_s, before.sequence) >= (offer.start_unix_s, offer.sequence):
                return False
            self._offers[offer.asset] = offer
            self._sorted.clear()
        return True

    def offer(self, asset: bytes) -> Offer | None:
        """The asset's newest offer, also one that was taken back or is over."""
        with self._lock:
            return self._offers.get(asset)

    def list(
        self, kind: str, now_unix_s: int, zone: int = 0, after: bytes | None = None, most: int = MOST_LISTED
    ) -> tuple[Sequence[Listed], bool]:
        """Offers of a kind that stand now, cheapest first, then by asset; and whether there are more.

        ``zone``: an H3 cell within which the assets stand, 0 for everywhere. ``after``: go on after this asset; from the start if it has no
        offer of this kind any more.
        """
        most = min(most, MOST_LISTED)
        with self._lock:
            if kind not in self._sorted:
                # Two different prices for fewer than 2^63 units differ by more than 2^-126.
                self._sorted[kind] = sorted(
                    (each for each in self._offers.values() if each.capacity and self._kind(each.asset) == kind),
                    key=lambda each: (each.price * _EXACT // each.per_units, each.asset),
                )
            offers, assets = self._sorted[kind], self._assets
        start = next((place + 1 for place, each in enumerate(offers) if each.asset == after), 0) if after else 0
        standing = [each for each in offers[start:] if each.valid_until_unix_s > now_unix_s]
        if zone:
            inside = within(np.array([assets[each.asset].cell for each in standing], np.uint64), zone)
            standing = [each for each, is_inside in zip(standing, inside.tolist(), strict=True) if is_inside]
        return [Listed(each, assets[each.asset]) for each in standing[:most]], len(standing) > most

    def __len__(self) -> int:
        return len(self._offers)

    def _kind(self, asset: bytes) -> str | None:
        known = self._assets.get(asset)
        return known.kind if known else None


def read_offer(entry: RawEntry) -> Offer | None:
    """The offer in a well-formed Entry; None if it is none, has several rows, or names a price for no units.

    An endpoint that is no HTTP address is none: the price counts all the same, so that nobody goes by an older one.
    """
    if entry.schema_id != OFFER.id or entry.rows != 1 or unfit(OFFER, entry) is not None:
        return None
    values: tuple[Any, ...] = unpack_rows(OFFER, entry.payload)[0]
    price, per_units, capacity, valid_until, endpoint = values
    if capacity and not per_units:
        return None
    return Offer(bytes(entry.subject), entry.start_unix_s, entry.sequence, price, per_units, capacity, valid_until, _url(endpoint))


def _url(padded: bytes) -> str:
    """An endpoint's text, or "" if it is no HTTP address in printable ASCII."""
    raw = padded.rstrip(b"\0")
    url = raw.decode("ascii") if all(0x21 <= byte <= 0x7E for byte in raw) else ""
    return url if url.startswith(_SCHEMES) else ""
