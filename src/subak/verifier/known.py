"""What intake may know of assets: the chain's facts of this epoch and of the next."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from subak.chain.channels import LaneFact, fold_lanes
from subak.chain.snapshot import EVENTS, Follower, fold
from subak.core.nouns import Clock
from subak.verifier.board import Place
from subak.verifier.intake import KnownAsset


class Known:
    """Assets by id, folded anew only when something was registered, rotated or moved, or an epoch began."""

    def __init__(self, follower: Follower, clock: Clock) -> None:
        self._follower, self._clock = follower, clock
        self._folded: tuple[int, int] = (-1, -1)
        self._assets: Mapping[bytes, KnownAsset] = {}
        self._places: Mapping[bytes, Place] = {}
        self._lanes: Mapping[bytes, LaneFact] = {}
        self._lanes_at = -1

    def lanes(self) -> Mapping[bytes, LaneFact]:
        """Customers' lanes, by id."""
        events = [event for event in self._follower.events() if event.name in EVENTS["Channels"]]
        if self._lanes_at != len(events):
            self._lanes, self._lanes_at = fold_lanes(events), len(events)
        return self._lanes

    def places(self) -> Mapping[bytes, Place]:
        """Kind and cell of the assets of the last answer of ``assets``."""
        return self._places

    def assets(self, now_unix_s: int) -> Mapping[bytes, KnownAsset]:
        """A key that is rotated in this epoch counts from the next one; until then intake takes both."""
        events = [event for event in self._follower.events() if event.name in EVENTS["Assets"]]
        epoch = max(0, self._clock.epoch_at(now_unix_s))
        if self._folded != (len(events), epoch):
            later = fold(events, self._clock, epoch + 1).assets
            now, then = _keys(fold(events, self._clock, epoch).assets), _keys(later)
            self._places = {asset: Place(kind, cell) for asset, kind, cell in later.select("asset", "kind", "cell").iter_rows()}
            self._assets = {
                asset: KnownAsset(kind, tuple(dict.fromkeys((*([now[asset][1]] if asset in now else []), key))))
                for asset, (kind, key) in then.items()
            }
            self._folded = (len(events), epoch)
        return self._assets


def _keys(assets: pl.DataFrame) -> dict[bytes, tuple[str, tuple[int, bytes]]]:
    return {asset: (kind, (curve, key)) for asset, kind, curve, key in assets.select("asset", "kind", "curve", "key").iter_rows()}
