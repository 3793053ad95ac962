"""What a worker beside a device works with: time, a pen, the questions of the day, and the till."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from subak.core.kind import Asked, Schema
from subak.core.nouns import Clock

if TYPE_CHECKING:
    from subak.host.agent import HostClock


class Till(Protocol):
    """Knows what each lane was served and what its vouchers cover: ``host.exposure``."""

    async def admit(self, asset: bytes, lane: bytes, until_unix_s: int, signature: bytes, now_unix_s: int) -> str | None:
        """None if the lane may be served now; else why not, in words for the customer."""

    def owe(self, asset: bytes, lane: bytes, money: int) -> None:
        """The lane was served for so many payment units."""

    def account(self, asset: bytes, lane: bytes) -> Mapping[str, int]:
        """owed, covered, exposure, bound; payment units."""


class AssetDesk:
    """The desk of one asset. Implements ``core.kind.Desk``."""

    def __init__(
        self,
        asset: bytes,
        clock: Clock,
        time: HostClock,
        put: Callable[[Schema, int, int, Sequence[Sequence[Any]]], None],
        ask: Callable[[str], Awaitable[dict[str, Any] | None]],
        verifiers: Sequence[str],
        till: Till | None,
    ) -> None:
        """``ask`` gets a JSON document from an address, or None. Without a ``till`` nobody is admitted."""
        self.asset, self.clock = asset, clock
        self._time, self._put, self._ask, self._verifiers, self._till = time, put, ask, verifiers, till

    def now(self) -> int:
        return int(self._time.now())

    async def until(self, unix_s: int) -> None:
        await self._time.until(unix_s)

    def put(self, schema: Schema, start_unix_s: int, interval_seconds: int, rows: Sequence[Sequence[Any]]) -> None:
        self._put(schema, start_unix_s, interval_seconds, rows)

    async def tasks(self, epoch: int) -> Asked | None:
        """As most verifiers that answer tell it: one that lies cannot make the host answer other questions."""
        path = f"/v1/tasks/{epoch}/0x{self.asset.hex()}"
        answers = await asyncio.gather(*(self._ask(verifier + path) for verifier in self._verifiers))
        told = Counter(msgspec.json.encode(each, order="sorted") for each in answers if each)
        if not told:
            return None
        most = msgspec.json.decode(told.most_common(1)[0][0])
        # Canonical JSON writes whole numbers beyond 2^53 as text.
        carried, parameters = ({name: int(value) for name, value in most[field].items()} for field in ("carried", "parameters"))
        return Asked(bytes.fromhex(most["seed"].removeprefix("0x")), carried, parameters)

    async def admit(self, lane: bytes, until_unix_s: int, signature: bytes) -> str | None:
        if self._till is None:
            return "this host serves no lanes: its host.toml says nothing under lend"
        return await self._till.admit(self.asset, lane, until_unix_s, signature, self.now())

    def owe(self, lane: bytes, money: int) -> None:
        if self._till is not None:
            self._till.owe(self.asset, lane, money)

    def account(self, lane: bytes) -> Mapping[str, int]:
        return self._till.account(self.asset, lane) if self._till is not None else {}
