"""How much one asset and one address may send."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from subak.core.canon.entry import MAX_BATCH_BYTES

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Limits:
    """Bounds of intake. Seconds are real ones, except where a field says network time."""

    body_bytes: int = MAX_BATCH_BYTES
    """Largest body, at most 1 MiB."""
    body_entries: int = 8192
    """Most Entries in a body, readable or not."""
    body_seconds: float = 10.0
    """How long a body may take to arrive."""
    bodies: int = 128
    """How many are read at once; more are asked to come again."""
    asset_entries_per_second: float = 20.0
    """Entries that an asset may send for good. Only Entries that it signed count."""
    asset_entries_burst: int = 4096
    """Entries that an asset may send at once, for example after days without a network."""
    client_bytes_per_second: float = 32 * 2**20
    """Bytes that an address may send for good."""
    client_bytes_burst: int = 64 * 2**20
    """Bytes that an address may send at once."""
    future_seconds: int = 3600
    """Network time: how far beyond the clock an Entry's last line may end, for devices whose clocks run ahead."""
    interval_seconds: int = 31 * 86_400
    """Longest interval of a line."""
    conflict_bytes: int = 4 * 2**20
    """How much of Entries that conflict is kept at hand; the log has them all."""


class Buckets(Generic[Key]):
    """Token buckets by key, one number each, and no more than ``most`` of them."""

    def __init__(self, rate: float, burst: float, most: int = 1 << 20) -> None:
        """``rate`` tokens a second flow into a bucket that holds ``burst``."""
        self._rate, self._seconds_deep, self._most = rate, burst / rate, most
        self._full_at: dict[Key, float] = {}

    def take(self, key: Key, amount: float, now: float) -> float:
        """Takes the tokens and returns 0, or takes none and returns for how many seconds they are missing."""
        full_at = self._full_at.get(key)
        if full_at is None and len(self._full_at) >= self._most:
            self._make_room(now)
        after = (now if full_at is None or full_at < now else full_at) + amount / self._rate
        missing = after - now - self._seconds_deep
        if missing > 0:
            return missing
        self._full_at[key] = after
        return 0.0

    def give_back(self, key: Key, amount: float) -> None:
        """Undoes a ``take``."""
        if key in self._full_at:
            self._full_at[key] -= amount / self._rate

    def _make_room(self, now: float) -> None:
        self._full_at = {key: full_at for key, full_at in self._full_at.items() if full_at > now}
        if len(self._full_at) > self._most * 7 // 8:
            # An eighth at once, or a flood of new keys would make every take as slow as this one.
            self._full_at = dict(islice(self._full_at.items(), self._most // 8, None))
