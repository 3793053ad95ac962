"""Network time, as everyone reads it: the last block's timestamp plus what has passed since, times the speed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from subak.chain.rpc import Rpc, RpcError, RpcUnreachable

REFRESH_S = 0.2
"""The chain is asked at most this often, in real seconds."""


class NetworkClock:
    """Network time for a node. Safe to use from several threads.

    Promise: it never runs backwards, not even when the chain restarts a second back, and it never runs further ahead of the last block than
    the chain could still answer for: when blocks stop coming, time stops. It stands at the block that it finds until it has seen another
    one arrive, since nothing says when the first one came.
    """

    def __init__(
        self, chain: Rpc | Callable[[], int], speed: int, *, ahead_s: float | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """``chain``: the node, or a function that gives the last block's timestamp. ``speed``: network seconds per real second.

        ``ahead_s``: real seconds that it runs on after the last new block; by default 2 in a replay and 60 at speed 1.
        ``monotonic``: real seconds, for tests.
        """
        self._head = _head_of(chain) if isinstance(chain, Rpc) else chain
        self.speed = speed
        """Network seconds per real second."""
        self._ahead_s = ahead_s if ahead_s is not None else (2.0 if speed > 1 else 60.0)
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._block_unix_s: int | None = None
        self._unix_s = 0.0
        self._seen_at = 0.0
        self._answered_at = 0.0
        self._saw_one_arrive = False
        self._asked_at = float("-inf")
        self._last = float("-inf")

    def now(self) -> int:
        """Network time in whole Unix seconds. Errors: as ``now_exact``."""
        return int(self.now_exact())

    def now_exact(self) -> float:
        """Network time in Unix seconds. Errors: RpcUnreachable if the chain has never answered."""
        with self._lock:
            real = self._monotonic()
            if real - self._asked_at >= REFRESH_S:
                self._asked_at = real
                self._refresh(real)
            assert self._block_unix_s is not None
            self._last = max(self._last, self._carried_on(real))
            return self._last

    def _refresh(self, real: float) -> None:
        try:
            head = self._head()
        except (RpcUnreachable, RpcError):
            if self._block_unix_s is None:
                self._asked_at = float("-inf")
                raise
            return
        if head != self._block_unix_s:
            # It arrived since the last question: network time now is between its timestamp and that much later. Within these bounds the
            # time carried on is the better guess, since a clock that is asked rarely sees every block late. A lower head is a chain that
            # restarted: time waits until it has caught up.
            latest = head + (real - self._answered_at) * self.speed
            goes_on = self._saw_one_arrive and self._block_unix_s is not None and head > self._block_unix_s
            self._unix_s = min(max(self._carried_on(real), head), latest) if goes_on else float(head)
            self._saw_one_arrive = self._block_unix_s is not None
            self._block_unix_s = head
            self._seen_at = real
        self._answered_at = real

    def _carried_on(self, real: float) -> float:
        since_seen = min(real - self._seen_at, self._ahead_s) if self._saw_one_arrive else 0.0
        return self._unix_s + since_seen * self.speed


def _head_of(rpc: Rpc) -> Callable[[], int]:
    return lambda: rpc.block("latest").timestamp
