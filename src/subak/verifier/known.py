"""What intake may know of assets: the chain's facts of this epoch and of the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from subak.chain.contracts import Event
from subak.chain.snapshot import Follower, fold
from subak.core.nouns import Clock
from subak.verifier.intake import KnownAsset


class Known:
    """Assets by id, folded anew only when something was registered, rotated or moved, or an epoch began."""

    def __init__(self, follower: Follower, clock: Clock) -> None:
        self._follower, self._clock = follower, clock
        self._folded: tuple[int, int] = (-1, -1)
        self._assets: Mapping[bytes, KnownAsset] = {}

    def assets(self, now_unix_s: int) -> Mapping[bytes, KnownAsset]:
        """A key that is rotated in this epoch counts from the next one; until then intake takes both."""
        events = self._follower.events()
        epoch = max(0, self._clock.epoch_at(now_unix_s))
        if self._folded != (len(events), epoch):
            now, then = self._keys(events, epoch), self._keys(events, epoch + 1)
            self._assets = {
                asset: KnownAsset(kind, tuple(dict.fromkeys((*([now[asset][1]] if asset in now else []), key))))
                for asset, (kind, key) in then.items()
            }
            self._folded = (len(events), epoch)
        return self._assets

    def _keys(self, events: Sequence[Event], epoch: int) -> dict[bytes, tuple[str, tuple[int, bytes]]]:
        table = fold(events, self._clock, epoch).assets
        return {asset: (kind, (curve, key)) for asset, kind, curve, key in table.select("asset", "kind", "curve", "key").iter_rows()}
