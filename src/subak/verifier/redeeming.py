"""Redeeming: a clerk hands in what it countersigned, so that hosts are paid without doing anything."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from subak.chain.channels import Channels, LaneFact
from subak.core.nouns import Clock
from subak.verifier.clerk import Clerk

log = logging.getLogger("subak.verifier")

QUARTERS = 4
"""Redeemed once an epoch, when its last quarter begins: by then customers have settled up for the epoch before."""


class Redeeming:
    """Hands in one batch of vouchers after another, lazily: many lanes share a transaction.

    Promise: a lane is redeemed once an epoch, however often its customer signs meanwhile; again only if the chain lost it, or after a
    restart.
    """

    def __init__(self, clerk: Clerk, channels: Channels, clock: Clock, min_growth: int = 1) -> None:
        """``channels`` sends with the clerk's account; vouchers that bring less than ``min_growth`` payment units wait for more."""
        self._clerk, self._channels, self._clock, self._min_growth = clerk, channels, clock, min_growth
        self._done = self._running = -1
        self._handed: dict[bytes, int] = {}
        """Lane to the total that was handed in for the running epoch."""

    def tick(self, now_unix_s: int, lanes: Mapping[bytes, LaneFact]) -> None:
        """Redeem what is due at this network time. Errors: those of ``Sender.send``; what was not redeemed is tried again."""
        epoch = self._clock.epoch_at(now_unix_s - self._clock.epoch_seconds * (QUARTERS - 1) // QUARTERS)
        if epoch < 0 or epoch == self._done:
            return
        if epoch != self._running:
            self._running, self._handed = epoch, {}
        # Customers go on signing: a lane that grew again waits for the next epoch, or there would be a transaction for every voucher.
        due = {lane: fact for lane, fact in lanes.items() if lane not in self._handed or fact.redeemed < self._handed[lane]}
        batch = self._clerk.redeemable(due, self._min_growth, now_unix_s)
        if not batch:
            self._done = epoch
            return
        self._channels.redeem_many(batch, self._clerk.countersign_list(batch))
        self._handed.update((bytes(each.lane.id), each.total) for each in batch)
        log.info("redeemed %d vouchers", len(batch))
