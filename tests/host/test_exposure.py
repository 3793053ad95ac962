"""A host lends each lane so much and no more, and believes nobody but signatures."""

from __future__ import annotations

import asyncio
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

sys.path.append(str(Path(__file__).parents[1] / "verifier"))
from lanes_world import (
    CHAIN_ID,
    CHANNELS,
    CLERK,
    DELAY,
    EXPIRY,
    LIMIT,
    NOW,
    SESSION,
    THIEF,
    Node,
    asset,
    body_of,
    lane,
    running,
    sign,
    twins,
    voucher,
)

from subak.chain.channels import LaneFact
from subak.core.canon.passes import make_pass
from subak.core.canon.vouchers import Fault, Voucher, countersigned_digest, voucher_struct_hash
from subak.host.exposure import REASONS, Exposure

ATTIC, BARN = asset("attic"), asset("barn")
LANE = lane()
BOUND = 100
UNREACHABLE = "http://127.0.0.1:9"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running(tmp_path / "clerk") as one:
        one.know(LANE, lane(1))
        yield one


@asynccontextmanager
async def host(folder: Path, *verifiers: str, elapsed: Callable[[], float] = lambda: 0.0) -> AsyncIterator[Exposure]:
    async with httpx.AsyncClient() as client:
        exposure = Exposure(
            folder / "exposure.db",
            chain_id=CHAIN_ID,
            channels=CHANNELS,
            close_delay_seconds=DELAY,
            bound=BOUND,
            verifiers=verifiers,
            client=client,
            elapsed=elapsed,
        )
        exposure.know({bytes(each.id): each for each in (LANE, lane(1))})
        yield exposure
        exposure.close()


async def admit(exposure: Exposure, of: bytes = ATTIC, fact: LaneFact = LANE, now: int = NOW, **changes: Any) -> Fault | None:
    shown = make_pass(of, bytes(fact.id), now + 7200, SESSION.sign_digest)
    given: dict[str, Any] = {"lane": shown.lane, "until_unix_s": shown.until_unix_s, "signature": shown.signature} | changes
    return await exposure.admit(of, given["lane"], given["until_unix_s"], given["signature"], now)


def countersign(what: Voucher) -> bytes:
    return CLERK.sign_digest(countersigned_digest([voucher_struct_hash(what)], CHAIN_ID, CHANNELS))


def take(exposure: Exposure, what: Voucher) -> Fault | None:
    return exposure.take(what, sign(what), countersign(what))


def reason(found: Fault | None) -> str | None:
    assert found is None or found.reason in REASONS or found.reason in ("bad_signature", "bad_countersignature", "over_limit", "malformed")
    return found.reason if found is not None else None


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def in_time() -> None:
        await asyncio.wait_for(test(), 30)

    asyncio.run(in_time())


def test_a_lane_is_served_until_it_owes_more_than_the_bound_and_again_when_it_paid(tmp_path: Path, node: Node) -> None:
    async def test() -> None:
        times = iter(range(0, 1000, 10))
        async with host(tmp_path, UNREACHABLE, node.url, elapsed=lambda: next(times)) as exposure:
            assert await admit(exposure) is None
            exposure.owe(ATTIC, bytes(LANE.id), BOUND)
            assert await admit(exposure) is None, "exposure = bound is still lent"
            exposure.owe(ATTIC, bytes(LANE.id), 1)
            found = await admit(exposure)
            assert reason(found) == "over_bound"
            assert [each for each in ("101", "cover 0", "100", repr(CLERK.address), ATTIC.hex()) if each not in str(found)] == []
            assert await admit(exposure, BARN) is None, "each asset lends for itself"
            assert await admit(exposure, fact=lane(1)) is None

            await asyncio.to_thread(node.countersigned, voucher(LANE, 1, attic=60, barn=1))
            assert await admit(exposure) is None
            assert exposure.account(ATTIC, bytes(LANE.id)) == {"owed": 101, "covered": 60, "exposure": 41, "bound": BOUND}
            assert exposure.account(BARN, bytes(LANE.id)) == {"owed": 0, "covered": 1, "exposure": 0, "bound": BOUND}
            newest = exposure.newest(bytes(LANE.id))
            assert newest is not None
            assert (newest.voucher, newest.countersignature) == (voucher(LANE, 1, attic=60, barn=1), countersign(newest.voucher))

    run(test)


def test_what_was_owed_and_covered_is_the_same_after_a_restart(tmp_path: Path) -> None:
    async def test() -> None:
        async with host(tmp_path) as exposure:
            exposure.owe(ATTIC, bytes(LANE.id), 2**70)
            exposure.owe(ATTIC, bytes(LANE.id), 30)
            assert take(exposure, voucher(LANE, 7, attic=50, barn=9)) is None
            before = exposure.account(ATTIC, bytes(LANE.id))
            with pytest.raises(ValueError, match="not below zero"):
                exposure.owe(ATTIC, bytes(LANE.id), -1)
        assert stat.S_IMODE((tmp_path / "exposure.db").stat().st_mode) == 0o600
        async with host(tmp_path) as exposure:
            assert (
                before
                == exposure.account(ATTIC, bytes(LANE.id))
                == {"owed": 2**70 + 30, "covered": 50, "exposure": 2**70 - 20, "bound": BOUND}
            )
            assert reason(await admit(exposure)) == "over_bound"
            newest = exposure.newest(bytes(LANE.id))
            assert newest is not None
            assert newest.voucher == voucher(LANE, 7, attic=50, barn=9)

    run(test)


def test_a_pass_must_hold(tmp_path: Path, node: Node) -> None:
    async def test() -> None:
        async with host(tmp_path, node.url) as exposure:
            of_barn = make_pass(BARN, bytes(LANE.id), NOW + 7200, SESSION.sign_digest)
            stolen = make_pass(ATTIC, bytes(LANE.id), NOW + 7200, THIEF.sign_digest)
            mine = make_pass(ATTIC, bytes(LANE.id), NOW + 7200, SESSION.sign_digest)
            assert reason(await admit(exposure, signature=of_barn.signature)) == "pass_not_signed"
            assert reason(await admit(exposure, signature=stolen.signature)) == "pass_not_signed"
            assert reason(await admit(exposure, lane=bytes(lane(1).id))) == "pass_not_signed"
            assert reason(await admit(exposure, until_unix_s=NOW + 7201)) == "pass_not_signed"
            assert reason(await admit(exposure, until_unix_s=NOW)) == "pass_expired"
            assert reason(await admit(exposure, until_unix_s=NOW + 86_401)) == "pass_too_long"
            for twin in twins(mine.signature):
                assert reason(await admit(exposure, signature=twin)) == "pass_not_signed"
            assert node.asked == [], "a stranger makes nobody ask"
            assert await admit(exposure) is None
            assert node.asked == [f"/v1/lanes/{LANE.id!r}"]

    run(test)


def test_lanes_that_nobody_should_serve(tmp_path: Path) -> None:
    async def test() -> None:
        async with host(tmp_path) as exposure:
            assert reason(await admit(exposure, fact=lane(7))) == "unknown_lane"
            assert reason(await admit(exposure, now=EXPIRY)) == "lane_expired"
            assert reason(await admit(exposure, now=EXPIRY + DELAY)) == "lane_closed"
            assert await admit(exposure, now=EXPIRY - 1) is None
            for fact, expected in (
                (replace(LANE, closed=True), "lane_closed"),
                (replace(LANE, closes_at_unix_s=NOW), "lane_closed"),
                (replace(LANE, closes_at_unix_s=NOW + DELAY), "lane_revoked"),
            ):
                exposure.know({bytes(fact.id): fact})
                assert reason(await admit(exposure)) == expected

    run(test)


def test_nothing_is_lent_beyond_the_lanes_limit(tmp_path: Path) -> None:
    async def test() -> None:
        async with host(tmp_path) as exposure:
            assert take(exposure, voucher(LANE, 1, barn=LIMIT - 10)) is None
            exposure.owe(ATTIC, bytes(LANE.id), 9)
            assert await admit(exposure) is None
            exposure.owe(ATTIC, bytes(LANE.id), 1)
            found = await admit(exposure)
            assert reason(found) == "limit_used"
            assert "10 of the lane's limit" in str(found)
            assert take(exposure, voucher(LANE, 2, barn=LIMIT - 10, attic=10)) is None
            assert reason(await admit(exposure)) == "limit_used"
            exposure.know({bytes(lane(1).id): replace(lane(1), redeemed=LIMIT)})
            assert reason(await admit(exposure, fact=lane(1))) == "limit_used"

    run(test)


def test_row_57_older_and_overflowing_vouchers_cover_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        async with host(tmp_path) as exposure:
            newest = voucher(LANE, 5, attic=50)
            assert take(exposure, newest) is None
            assert take(exposure, newest) is None
            assert take(exposure, voucher(LANE, 4, attic=40)) is None, "an older one that fits is no news"
            assert reason(take(exposure, voucher(LANE, 6, attic=LIMIT + 1))) == "over_limit"
            assert reason(take(exposure, voucher(lane(9), 1, attic=60))) == "unknown_lane"
            assert reason(take(exposure, voucher(LANE, 6))) == "malformed"
            assert exposure.account(ATTIC, bytes(LANE.id))["covered"] == 50
            assert exposure.contradictions() == []

    run(test)


def test_row_58_and_64_a_voucher_counts_only_with_both_signatures_of_this_chain(tmp_path: Path) -> None:
    async def test() -> None:
        what = voucher(LANE, 1, attic=50)
        good, counter = sign(what), countersign(what)
        elsewhere = CLERK.sign_digest(countersigned_digest([voucher_struct_hash(what)], 1, CHANNELS))
        async with host(tmp_path) as exposure:
            for bad in (*twins(good), bytes(64), sign(what, THIEF), sign(what, chain_id=1), sign(what, channels=b"\xc5" * 20), good[:63]):
                assert reason(exposure.take(what, bad, counter)) == "bad_signature"
            for bad in (*twins(counter), bytes(64), good, sign(what, CLERK), elsewhere):
                assert reason(exposure.take(what, good, bad)) == "bad_countersignature"
            assert exposure.newest(bytes(LANE.id)) is None
            assert exposure.take(what, good, counter) is None

    run(test)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (voucher(LANE, 5, attic=50, barn=5), voucher(LANE, 5, attic=50, barn=6)),
        (voucher(LANE, 5, attic=50, barn=5), voucher(LANE, 6, attic=40, barn=90)),
        (voucher(LANE, 5, attic=50, barn=5), voucher(LANE, 6, barn=90)),
        (voucher(LANE, 5, attic=50, barn=5), voucher(LANE, 6, attic=50)),
        (voucher(LANE, 5, attic=50, barn=5), voucher(LANE, 4, attic=60)),
    ],
    ids=["one seq twice", "a line falls", "a line vanishes", "the total falls", "an older one had more"],
)
def test_a_clerk_that_contradicts_itself_is_kept_as_proof_and_not_trusted(tmp_path: Path, first: Voucher, second: Voucher) -> None:
    async def test() -> None:
        async with host(tmp_path) as exposure:
            assert take(exposure, first) is None
            assert reason(take(exposure, second)) == "clerk_contradicts"
            assert exposure.account(ATTIC, bytes(LANE.id))["covered"] == 50
        async with host(tmp_path) as exposure:
            [proof] = exposure.contradictions()
            assert [proof.earlier.voucher, proof.later.voucher] == sorted([first, second], key=lambda each: each.seq)
            assert proof.later.countersignature == countersign(proof.later.voucher)
            assert reason(await admit(exposure)) == "clerk_contradicts"
            assert await admit(exposure, fact=lane(1)) is None

    run(test)


def test_clerks_are_asked_once_at_a_time_and_not_for_ever(tmp_path: Path, node: Node) -> None:
    async def test() -> None:
        elapsed = [0.0]
        async with host(tmp_path, node.url, elapsed=lambda: elapsed[0]) as exposure:
            exposure.owe(ATTIC, bytes(LANE.id), BOUND + 1)
            answers = await asyncio.gather(*(admit(exposure) for _ in range(20)))
            assert {reason(each) for each in answers} == {"over_bound"}
            assert len(node.asked) == 1
            elapsed[0] = 0.5
            assert reason(await admit(exposure)) == "over_bound"
            assert len(node.asked) == 1
            elapsed[0] = 1.5
            assert reason(await admit(exposure)) == "over_bound"
            assert len(node.asked) == 2

    run(test)


def test_no_answer_of_a_verifier_is_believed_unseen(tmp_path: Path) -> None:
    what = voucher(LANE, 1, attic=50)
    honest = body_of(what, sign(what)) | {"countersignature": "0x" + countersign(what).hex()}
    other = voucher(lane(1), 1, attic=50)
    answers: list[Any] = [
        honest | {"lines": [{"asset": "0x" + ATTIC.hex(), "money": 60}], "total": 60},
        honest | {"countersignature": "0x" + sign(what, THIEF).hex()},
        body_of(other, sign(other)) | {"countersignature": "0x" + countersign(other).hex()},
        honest | {"seq": -1},
        {"lane": repr(LANE.id)},
        [],
        "x" * (1 << 21),
    ]

    async def test() -> None:
        served: list[Any] = []

        async def lie(scope: Any, receive: Any, send: Any) -> None:
            raw = httpx.Response(200, json=served[-1]).content
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": raw})

        server = uvicorn.Server(uvicorn.Config(lie, interface="asgi3", lifespan="off", log_level="error", port=0))
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0)
        url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        times = iter(range(0, 1000, 10))
        async with host(tmp_path, url, elapsed=lambda: next(times)) as exposure:
            for answer in answers:
                served.append(answer)
                await exposure.ask(bytes(LANE.id))
                assert exposure.newest(bytes(LANE.id)) is None, answer
            assert exposure.newest(bytes(lane(1).id)) is None
            served.append(honest)
            await exposure.ask(bytes(LANE.id))
            assert exposure.account(ATTIC, bytes(LANE.id))["covered"] == 50
        server.should_exit = True
        await serving

    run(test)


def test_every_reason_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "lanes.md").read_text().partition("## At a host")[2]
    rows = dict(line.strip("| ").split(" | ")[:2] for line in text.splitlines() if line.startswith("| `"))
    assert rows == {f"`{name}`": sentence for name, sentence in REASONS.items()}
