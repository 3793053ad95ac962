"""Which host is asked for which piece of a file: the fastest k, and others in the place of those that fail."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Final

from .errors import Cause, Fault, HostFailed, Unreadable
from .index import Stored
from .remote import Patience, Remote

_ALIKE: Final = 2.0
"""Hosts that need at most so many times as long as the fastest one count as equally fast: the pieces that need no decoding come first."""
_ALIKE_SECONDS: Final = 0.05
_LATE: Final = 4.0
"""A piece is late when it takes so many times as long as others took."""


class Fetch:
    """The way back of one file. Knows what each host did so far, so that a segment profits from those before it."""

    def __init__(self, stored: Stored, remotes: Sequence[Remote], patience: Patience) -> None:
        """``remotes``: the hosts by place."""
        self._stored = stored
        self._remotes = remotes
        self._patience = patience
        self._seconds: dict[int, float] = {}
        self._struck: set[int] = set()
        self._faults: dict[tuple[int, Cause], Fault] = {}

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What the hosts failed at so far, by place."""
        return tuple(fault for _, fault in sorted(self._faults.items()))

    async def segment(self, number: int, roots: Sequence[bytes]) -> dict[int, bytes]:
        """k verified pieces of a segment, by place; ``roots`` are the names of all n. Errors: Unreadable."""
        k = self._stored.code.k
        loop = asyncio.get_running_loop()
        waiting = iter(self._ranked())
        running: dict[asyncio.Task[bytes], int] = {}
        asked: dict[asyncio.Task[bytes], float] = {}
        late: dict[asyncio.Task[bytes], float] = {}
        good: dict[int, bytes] = {}

        def ask_another() -> bool:
            place = next(waiting, None)
            if place is None:
                return False
            task = asyncio.create_task(self._piece(place, roots[place]))
            running[task], asked[task] = place, loop.time()
            return True

        try:
            for _ in range(k):
                ask_another()
            while len(good) < k:
                if not running:
                    raise Unreadable(self._stored.name, number, len(good), k, self._stored.code.n, self.faults)
                done, _ = await asyncio.wait(running, timeout=self._patience.spare / 2, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    place = running.pop(task)
                    try:
                        good[place] = task.result()
                    except HostFailed as error:
                        self._strike(place, error.fault)
                        ask_another()
                # Anew every time: how long others take may only now be known.
                latest = loop.time() - self._spare_seconds()
                for task in [task for task in running if task not in late and asked[task] < latest]:
                    late[task] = loop.time() - asked[task]
                    ask_another()
            for task in late.keys() & running.keys():
                host = self._remotes[running[task]].host
                sentence = f"no piece after {late[task]:.1f} s, while others answered"
                self._strike(running[task], Fault(host.asset, host.endpoint, Cause.SLOW, sentence))
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        return dict(sorted(good.items())[:k])

    async def _piece(self, place: int, root: bytes) -> bytes:
        piece, seconds = await self._remotes[place].get(root)
        self._seconds[place] = (3 * self._seconds.get(place, seconds) + seconds) / 4
        return piece

    def _ranked(self) -> list[int]:
        """Places, the best first: those that failed come last but do come, for there may be no others."""
        alike = max(_ALIKE_SECONDS, _ALIKE * min(self._seconds.values(), default=0.0))
        return sorted(
            range(self._stored.code.n), key=lambda place: (place in self._struck, max(self._seconds.get(place, 0.0), alike), place)
        )

    def _spare_seconds(self) -> float:
        """How long a piece may take before it is late. As long as nobody has sent one, only the host's own silence counts."""
        known = self._seconds.values()
        return max(self._patience.spare, _LATE * median(known)) if known else self._patience.answer

    def _strike(self, place: int, fault: Fault) -> None:
        self._struck.add(place)
        before = self._faults.get((place, fault.cause))
        self._faults[place, fault.cause] = replace(before, pieces=before.pieces + 1) if before else fault
