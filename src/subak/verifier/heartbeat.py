"""Signs of life on the chain, so that nobody prunes a verifier that is there; and the panel of weights, so that proposing costs less."""

from __future__ import annotations

import logging

from subak.chain.contracts import ChainRefused
from subak.chain.stake import Stake
from subak.core.nouns import Clock

log = logging.getLogger("subak.verifier")

BEATS = 4
"""Signs of life within the time after which a silent verifier can be pruned."""
LOOK_SECONDS = 6 * 3600
"""How often the chain is asked when the last sign of life was."""


class Heartbeat:
    """Gives signs of life in good time."""

    def __init__(self, stake: Stake, signer: bytes, clock: Clock) -> None:
        """``stake`` sends with the signer's account."""
        self._stake, self._signer, self._clock = stake, signer, clock
        self._look_unix_s = 0

    def tick(self, now_unix_s: int) -> None:
        """What is due at this network time. Errors: those of sending; a later call tries again."""
        if now_unix_s < self._look_unix_s:
            return
        try:
            owner = self._stake.owner_of(self._signer)
            bond = self._stake.bond(owner) if owner else None
            every = self._stake.heartbeat_seconds() // BEATS
        except ChainRefused:
            # An allow-list in its place knows no heartbeat.
            self._look_unix_s = now_unix_s + LOOK_SECONDS
            return
        if self._stake.published_until() <= self._clock.epoch_at(now_unix_s):
            try:
                self._stake.publish()
            except ChainRefused as refused:
                log.info("the panel of weights is not written down now: %s", refused)
        if bond is not None and bond.verifies and now_unix_s - bond.heard_unix_s >= every:
            self._stake.heartbeat()
            log.info("gave a sign of life, the last one was %d s ago", now_unix_s - bond.heard_unix_s)
        self._look_unix_s = now_unix_s + LOOK_SECONDS
