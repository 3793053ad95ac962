"""What a worker is told: as most verifiers tell it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from subak.core.canon.json import encode
from subak.core.kind import Asked, Schema
from subak.core.nouns import Clock
from subak.host.agent import HostClock
from subak.host.desk import AssetDesk

ASSET = b"\xa5" * 32
CLOCK = Clock(0, 86_400, 3600, 7200, 21_600)
VERIFIERS = ("http://one", "http://two", "http://three")
TRUE = Asked(b"\x01" * 32, {"set_root_0": -(2**62), "set_pieces": 7}, {"tasks_per_day": 48})
FALSE = Asked(b"\x02" * 32, {"set_root_0": 5, "set_pieces": 7}, {"tasks_per_day": 48})


def tasks_of(answers: dict[str, Asked]) -> Asked | None:
    """What the desk makes of these answers; who is not named does not answer."""

    async def ask(url: str) -> dict[str, Any] | None:
        verifier, path = url.split("/v1/")
        assert path == f"tasks/3/0x{ASSET.hex()}"
        # As it comes over HTTP: canonical JSON.
        return json.loads(encode(answers[verifier])) if verifier in answers else None

    async def scenario() -> Asked | None:
        def put(schema: Schema, start_unix_s: int, interval_seconds: int, rows: Sequence[Sequence[Any]]) -> None:
            raise AssertionError("nothing is signed here")

        return await AssetDesk(ASSET, CLOCK, HostClock(lambda: 0.0), put, ask, VERIFIERS, None).tasks(3)

    return asyncio.run(scenario())


def test_one_verifier_that_lies_does_not_change_the_questions() -> None:
    assert tasks_of({"http://one": FALSE, "http://two": TRUE, "http://three": TRUE}) == TRUE


def test_whole_numbers_beyond_what_json_holds_arrive_whole() -> None:
    assert tasks_of({"http://two": TRUE}) == TRUE


def test_while_nobody_can_tell_nothing_is_asked() -> None:
    assert tasks_of({}) is None


def test_a_host_that_lends_nothing_admits_nobody() -> None:
    async def scenario() -> str | None:
        desk = AssetDesk(ASSET, CLOCK, HostClock(lambda: 0.0), lambda *_: None, lambda _: asyncio.sleep(0), VERIFIERS, None)
        return await desk.admit(b"\x01" * 32, 5, bytes(64))

    assert "serves no lanes" in str(asyncio.run(scenario()))
