"""The clerk never contradicts itself, whatever it is sent and whenever it dies."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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
    made_of,
    open_clerk,
    running,
    sign,
    twins,
    voucher,
)

from subak.chain.accounts import ORDER, recover
from subak.chain.channels import LaneFact
from subak.core.canon.vouchers import (
    MAX_LINES,
    Line,
    Voucher,
    countersigned_digest,
    follows,
    lines_hash,
    struct_hash,
    voucher_digest,
    voucher_struct_hash,
)
from subak.core.nouns.book import LINES
from subak.core.nouns.document import Address, Hash
from subak.verifier.clerk import Ask, Clerk, Countersigned, Refused, StoreRefused
from subak.verifier.lines import Lines
from subak.verifier.vouchers_http import REASONS

LANE = lane()


@pytest.fixture
def clerk(tmp_path: Path) -> Iterator[Clerk]:
    one = open_clerk(tmp_path)
    yield one
    one.close()


def countersigned(clerk: Clerk, what: Voucher, fact: LaneFact = LANE, now: int = NOW) -> Countersigned:
    answer = clerk.countersign(what, sign(what), now, fact)
    assert isinstance(answer, Countersigned), answer
    check(answer, fact)
    return answer


def check(made: Countersigned, fact: LaneFact = LANE) -> None:
    """Both signatures are what the contract asks for."""
    assert recover(voucher_digest(made.voucher, CHAIN_ID, CHANNELS), made.signature) == fact.key
    hashes = [voucher_struct_hash(made.voucher)]
    assert recover(countersigned_digest(hashes, CHAIN_ID, CHANNELS), made.countersignature) == fact.clerk


def refused(answer: Countersigned | Refused | None, reason: str, *detail: object) -> None:
    assert isinstance(answer, Refused), answer
    assert answer.reason == reason
    assert [each for each in detail if str(each) not in answer.detail] == [], answer.detail
    assert reason in REASONS


def test_a_voucher_is_countersigned_and_kept(clerk: Clerk, tmp_path: Path) -> None:
    first, second = voucher(LANE, 1, attic=5, cellar=7), voucher(LANE, 4, attic=5, barn=2, cellar=9)
    countersigned(clerk, first)
    made = countersigned(clerk, second)
    assert clerk.newest(LANE.id) == made
    assert clerk.lines_of(LANE.id, 1) == first.lines
    assert clerk.lanes() == 1
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"clerk.db": 0o600, "clerk.db-wal": 0o600}


def test_row_57_a_voucher_that_is_sent_again_gets_the_same_countersignature(tmp_path: Path) -> None:
    vouchers = [voucher(LANE, seq, attic=seq) for seq in range(1, 6)]
    clerk = open_clerk(tmp_path, history=2)
    made = [countersigned(clerk, each) for each in vouchers]
    clerk.close()
    clerk = open_clerk(tmp_path, history=2)
    assert clerk.lines_of(LANE.id, 3) is None
    later = replace(LANE, closed=True, redeemed=5)
    assert [countersigned(clerk, each, later, EXPIRY + 10 * DELAY) for each in vouchers] == made
    clerk.close()


def test_row_57_older_lower_and_overflowing_vouchers(clerk: Clerk) -> None:
    countersigned(clerk, voucher(LANE, 5, attic=50, cellar=50))
    for what, reason, *detail in (
        (voucher(LANE, 4, attic=60, cellar=50), "older_voucher", "seq is 4", "newest is 5"),
        (voucher(LANE, 5, attic=51, cellar=50), "seq_taken", "seq 5", "total 100"),
        (voucher(LANE, 6, attic=50, cellar=49), "does_not_grow", "total is 99", "was 100"),
        (voucher(LANE, 6, attic=50, cellar=50), "does_not_grow"),
        (voucher(LANE, 6, attic=200), "line_fell", asset("cellar").hex(), "missing"),
        (voucher(LANE, 6, attic=49, cellar=52), "line_fell", asset("attic").hex(), "holds 49", "held 50"),
        (voucher(LANE, 6, attic=LIMIT, cellar=50), "over_limit", LIMIT + 50, LIMIT),
        (voucher(LANE, 6, 101, attic=50, cellar=50), "lines_do_not_sum", "sum to 100", "total is 101"),
        (voucher(LANE, 6, attic=2**126, cellar=2**126), "malformed", "10^38"),
        (voucher(LANE, 2**64 - 1, attic=51, cellar=50), "malformed", "2^63"),
        (voucher(LANE, 6), "malformed", "no lines"),
    ):
        refused(clerk.countersign(what, sign(what), NOW, LANE), reason, *detail)
    with pytest.raises(ValueError, match="uint128"):
        voucher(LANE, 6, 2**128)
    assert countersigned(clerk, voucher(LANE, 6, attic=LIMIT - 50, cellar=50)).voucher.total == LIMIT


def test_row_58_malleated_twin_wrong_and_zero_signatures_are_refused(clerk: Clerk) -> None:
    what = voucher(LANE, 1, attic=5)
    good = sign(what)
    digest = voucher_digest(what, CHAIN_ID, CHANNELS)
    expected = (repr(SESSION.address), "0x" + digest.hex(), "0x" + CHANNELS.hex(), f"chain {CHAIN_ID}")
    for bad in (*twins(good), bytes(64), good[:63], good + b"\0", b"\xff" * 64, sign(what, THIEF), sign(voucher(LANE, 1, attic=6))):
        refused(clerk.countersign(what, bad, NOW, LANE), "bad_signature", *expected)
    upper = good[:32] + (ORDER // 2 + 1).to_bytes(32, "big")
    refused(clerk.countersign(what, upper, NOW, LANE), "bad_signature", "upper half", *expected)
    refused(clerk.countersign(what, sign(what, THIEF), NOW, LANE), "bad_signature", repr(THIEF.address))
    # A session key of zero cannot be opened on chain; nothing recovers to it either.
    nobody = lane(key=Address(bytes(20)))
    refused(clerk.countersign(voucher(nobody, 1, attic=5), bytes(64), NOW, nobody), "bad_signature")
    assert clerk.lanes() == 0
    assert countersigned(clerk, what).signature == good


def test_row_58_a_twin_of_what_was_countersigned_is_refused_too(clerk: Clerk) -> None:
    what = voucher(LANE, 1, attic=5)
    countersigned(clerk, what)
    for bad in twins(sign(what)):
        refused(clerk.countersign(what, bad, NOW, LANE), "bad_signature")


def test_row_64_a_signature_for_another_chain_or_contract_is_refused(clerk: Clerk) -> None:
    what = voucher(LANE, 1, attic=5)
    for bad in (sign(what, chain_id=1), sign(what, channels=b"\xc5" * 20)):
        refused(clerk.countersign(what, bad, NOW, LANE), "bad_signature", "or over other bytes", f"chain {CHAIN_ID}", CHANNELS.hex())
    assert clerk.newest(LANE.id) is None


def test_row_64_a_store_serves_one_clerk_on_one_chain(clerk: Clerk, tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match="another clerk running"):
        open_clerk(tmp_path)
    clerk.close()
    for change in ({"chain_id": 1}, {"channels": b"\xc5" * 20}, {"signer": THIEF}):
        with pytest.raises(StoreRefused, match="file of its own"):
            open_clerk(tmp_path, **change)
    open_clerk(tmp_path).close()


def test_lanes_that_nobody_should_serve(clerk: Clerk) -> None:
    last = EXPIRY + DELAY - DELAY // 4
    for fact, now, reason, *detail in (
        (None, NOW, "unknown_lane", LANE.id.hex()),
        (lane(clerk=THIEF.address), NOW, "not_this_clerk", repr(THIEF.address), CLERK.address.hex()),
        (lane(closed=True), NOW, "lane_closed"),
        (LANE, EXPIRY + DELAY, "lane_closed", EXPIRY + DELAY),
        (lane(closes_at_unix_s=EXPIRY + DELAY - 1), NOW, "lane_revoked"),
        (LANE, last, "lane_expired", EXPIRY, last),
        (lane(redeemed=1), NOW, "store_behind", "redeemed 1", "newest here is none"),
    ):
        what = voucher(fact or LANE, 1, attic=5)
        refused(clerk.countersign(what, sign(what), now, fact), reason, *detail)
    # What was served before the expiry is paid after it.
    countersigned(clerk, voucher(LANE, 1, attic=5), now=last - 1)
    refused(clerk.countersign(voucher(LANE, 2, attic=6), sign(voucher(LANE, 2, attic=6)), NOW, replace(LANE, redeemed=6)), "store_behind")
    with pytest.raises(ValueError, match="facts of lane"):
        clerk.countersign(voucher(LANE, 2, attic=6), bytes(64), NOW, lane(1))


def test_a_voucher_has_at_most_512_lines(clerk: Clerk) -> None:
    lines = tuple(Line(number.to_bytes(32, "big"), 1) for number in range(MAX_LINES + 1))
    whole, above = (Voucher(bytes(LANE.id), 1, len(some), some) for some in (lines[:-1], lines))
    refused(clerk.countersign(above, sign(above), NOW, LANE), "too_many_lines", MAX_LINES + 1)
    assert countersigned(clerk, whole).voucher == whole
    assert clerk.newest(LANE.id) == clerk.at(LANE.id, 1)


def test_what_grew_is_redeemed_with_one_countersignature(clerk: Clerk) -> None:
    lanes = [lane(number) for number in range(6)]
    made = [countersigned(clerk, voucher(fact, 1, attic=100 * (number + 1)), fact) for number, fact in enumerate(lanes)]
    facts = dict(enumerate(lanes))
    facts[1] = replace(lanes[1], redeemed=199)
    facts[2] = replace(lanes[2], redeemed=300)
    facts[3] = replace(lanes[3], closed=True)
    facts[4] = replace(lanes[4], closes_at_unix_s=NOW)
    facts[0] = replace(lanes[0], redeemed=99, closes_at_unix_s=NOW + DELAY // 2)
    batch = clerk.redeemable({bytes(fact.id): fact for fact in facts.values()}, 100, NOW)
    assert [each.lane for each in batch] == [facts[0], facts[5]]
    assert [(each.seq, each.total, each.lines, each.signature) for each in batch] == [
        (1, each.voucher.total, lines_hash(each.voucher.lines), each.signature) for each in (made[0], made[5])
    ]
    hashes = [struct_hash(each.lane.id, each.seq, each.total, each.lines) for each in batch]
    assert recover(countersigned_digest(hashes, CHAIN_ID, CHANNELS), clerk.countersign_list(batch)) == CLERK.address
    assert (
        clerk.redeemable({bytes(fact.id): fact for fact in lanes}, 1, NOW, most=4)
        == clerk.redeemable({bytes(fact.id): fact for fact in lanes}, 1, NOW)[:4]
    )
    with pytest.raises(ValueError, match="was not countersigned"):
        clerk.countersign_list([batch[0], replace(batch[1], total=601)])


def test_a_store_that_fails_signs_nothing_more_until_it_is_opened_again(tmp_path: Path) -> None:
    clerk = open_clerk(tmp_path)
    first = countersigned(clerk, voucher(LANE, 1, attic=1))
    pages = clerk._db.execute("PRAGMA page_count").fetchone()[0]
    clerk._db.execute(f"PRAGMA max_page_count = {pages}")
    many = [*(Line(number.to_bytes(32, "big"), 1) for number in range(MAX_LINES - 1)), Line(asset("attic"), 1)]
    wide = Voucher(bytes(LANE.id), 2, MAX_LINES, tuple(many))
    refused(clerk.countersign(wide, sign(wide), NOW, LANE), "store_unavailable", "full")
    clerk._db.execute("PRAGMA max_page_count = 100000")
    refused(clerk.countersign(first.voucher, first.signature, NOW, LANE), "store_unavailable")
    clerk.close()
    clerk = open_clerk(tmp_path)
    assert clerk.newest(LANE.id) == first
    countersigned(clerk, voucher(LANE, 2, attic=7))
    clerk.close()


def test_a_fault_within_a_batch_leaves_nothing_of_it(clerk: Clerk) -> None:
    good = voucher(LANE, 1, attic=1)
    with pytest.raises(ValueError, match="facts of lane"):
        clerk.countersign_many([Ask(good, sign(good), LANE), Ask(good, sign(good), lane(3))], NOW)
    assert clerk.newest(LANE.id) is None
    countersigned(clerk, voucher(LANE, 1, attic=2))


steps = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.integers(0, 5),
        st.dictionaries(st.sampled_from(["attic", "barn", "cellar"]), st.integers(1, 4), min_size=1),
        st.sampled_from(["", "", "restart", "twice", "thief", "wrong sum"]),
    ),
    max_size=25,
)


def all_follow(made: list[Countersigned]) -> None:
    """No two different vouchers of one sequence, and every later one could be redeemed after every earlier one."""
    for of in {each.voucher.lane for each in made}:
        by_seq: dict[int, Countersigned] = {}
        for each in made:
            if each.voucher.lane == of:
                kept = by_seq.setdefault(each.voucher.seq, each)
                assert (kept.voucher, kept.countersignature) == (each.voucher, each.countersignature)
        ordered = [by_seq[seq].voucher for seq in sorted(by_seq)]
        for place, later in enumerate(ordered):
            assert [follows(earlier, later) for earlier in ordered[:place]] == [None] * place


@settings(max_examples=60, deadline=None)
@given(steps)
def test_whatever_it_is_asked_a_clerk_never_contradicts_itself(asked: list[tuple[int, int, dict[str, int], str]]) -> None:
    lanes = [lane(0), lane(1)]
    made: list[Countersigned] = []
    with tempfile.TemporaryDirectory() as folder:
        clerk = open_clerk(Path(folder), history=3)
        for number, seq, money, twist in asked:
            what = voucher(lanes[number], seq, sum(money.values()) + (twist == "wrong sum"), **money)
            signature = sign(what, THIEF if twist == "thief" else SESSION)
            asks = [Ask(what, signature, lanes[number])] * (2 if twist == "twice" else 1)
            answers = clerk.countersign_many(asks, NOW)
            assert answers == answers[:1] * len(asks)
            assert isinstance(answers[0], Refused) or twist not in ("thief", "wrong sum")
            made += [each for each in answers if isinstance(each, Countersigned)]
            if twist == "restart":
                clerk.close()
                clerk = open_clerk(Path(folder), history=3)
        all_follow(made)
        for number, fact in enumerate(lanes):
            mine = [each for each in made if each.voucher.lane == lanes[number].id]
            assert clerk.newest(fact.id) == (max(mine, key=lambda each: each.voucher.seq) if mine else None)
        batch = clerk.redeemable({bytes(each.id): each for each in lanes}, 1, NOW)
        assert len(batch) == len({each.voucher.lane for each in made})
        if batch:
            hashes = [struct_hash(each.lane.id, each.seq, each.total, each.lines) for each in batch]
            assert recover(countersigned_digest(hashes, CHAIN_ID, CHANNELS), clerk.countersign_list(batch)) == CLERK.address
        clerk.close()


SERVER = """
import sys
from pathlib import Path
from lanes_world import Node, lane
node = Node(Path(sys.argv[1]), lane_vouchers_burst=1_000_000)
node.know(*(lane(number) for number in range(4)))
print(node.url, flush=True)
node.thread.join()
"""


def test_a_clerk_that_is_killed_never_contradicts_itself(tmp_path: Path) -> None:
    """Several customers per lane, which know nothing of each other, send what contradicts; the clerk is killed in the midst of it."""
    dice = random.Random(7)
    lanes = [lane(number) for number in range(4)]
    made: list[Countersigned] = []
    surprises: list[str] = []
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *(path for path in sys.path if path)])}
    highest = dict.fromkeys(range(4), 1)
    for _ in range(3):
        server = subprocess.Popen([sys.executable, "-c", SERVER, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment)
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        enough = len(made) + dice.randrange(10, 60)

        def post(seed: float, url: str = url, enough: int = enough, kill: Callable[[], None] = server.kill) -> None:
            own = random.Random(seed)
            with httpx.Client(base_url=url, timeout=20) as client:
                while len(made) < enough and not surprises:
                    number = own.randrange(4)
                    seq = max(0, highest[number] + own.randrange(-1, 3))
                    what = voucher(lanes[number], seq, attic=max(1, 3 * seq + own.randrange(4)), barn=own.randrange(1, 3))
                    try:
                        answer = client.post("/v1/vouchers", json=body_of(what, sign(what)))
                    except httpx.TransportError:
                        return
                    if answer.status_code == 200:
                        made.append(made_of(answer.json()))
                        highest[number] = max(highest[number], seq)
                    elif answer.status_code != 409:
                        surprises.append(answer.text)
            kill()

        threads = [threading.Thread(target=post, args=(dice.random(),)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        server.communicate()
        assert surprises == []
        assert server.returncode == -signal.SIGKILL
        all_follow(made)
        clerk = open_clerk(tmp_path)
        for each in made:
            fact = next(fact for fact in lanes if fact.id == each.voucher.lane)
            check(each, fact)
            assert clerk.countersign(each.voucher, each.signature, NOW, fact) == each
        clerk.close()
    assert len(made) > 60


# Over HTTP


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running(tmp_path) as one:
        one.know(LANE, lane(1), lane(2, clerk=THIEF.address))
        yield one


def problem(answer: httpx.Response, reason: str) -> dict[str, Any]:
    told: dict[str, Any] = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, told["status"], told["reason"]) == (REASONS[reason][0], REASONS[reason][0], reason), told
    assert (told["type"], told["title"]) == (f"urn:subak:lanes:{reason}", REASONS[reason][1])
    assert told["detail"]
    return told


def test_customers_and_hosts_read_the_same_document(node: Node) -> None:
    what = voucher(LANE, 1, attic=5, cellar=7)
    told = node.post(what).json()
    assert told == {
        "lane": repr(LANE.id),
        "seq": 1,
        "total": 12,
        "lines": [{"asset": "0x" + asset("attic").hex(), "money": 5}, {"asset": "0x" + asset("cellar").hex(), "money": 7}],
        "signature": "0x" + sign(what).hex(),
        "clerk": repr(CLERK.address),
        "countersignature": told["countersignature"],
    }
    check(made_of(told))
    assert node.post(what).json() == told
    assert node.client.get(f"/v1/lanes/{LANE.id!r}").json() == told
    node.countersigned(voucher(LANE, 2, attic=6, cellar=7))
    assert node.client.get(f"/v1/lanes/{LANE.id!r}?seq=1").json() == told
    assert node.client.get(f"/v1/lanes/{LANE.id.hex()}").json()["seq"] == 2
    assert node.client.head(f"/v1/lanes/{LANE.id!r}").content == b""


def test_large_money_travels_exactly(node: Node) -> None:
    rich = lane(5, limit=10**37)
    node.know(rich)
    what = voucher(rich, 2**62, attic=10**36 + 1, barn=1)
    assert node.countersigned(what).voucher == what


def test_every_refusal_is_a_problem_that_says_why(node: Node) -> None:
    node.countersigned(voucher(LANE, 3, attic=5))
    for what, reason in (
        (voucher(LANE, 2, attic=6), "older_voucher"),
        (voucher(LANE, 3, attic=6), "seq_taken"),
        (voucher(LANE, 4, attic=4), "does_not_grow"),
        (voucher(LANE, 4, barn=6), "line_fell"),
        (voucher(LANE, 4, attic=LIMIT + 1), "over_limit"),
        (voucher(LANE, 4, 7, attic=6), "lines_do_not_sum"),
        (voucher(lane(2, clerk=THIEF.address), 1, attic=6), "not_this_clerk"),
        (voucher(lane(9), 1, attic=6), "unknown_lane"),
    ):
        problem(node.post(what), reason)
    problem(node.post(voucher(LANE, 4, attic=6), bytes(64)), "bad_signature")
    node.know(replace(LANE, closes_at_unix_s=NOW))
    problem(node.post(voucher(LANE, 4, attic=6)), "lane_closed")
    counts = node.app.metrics()
    assert (counts["vouchers_countersigned_total"], counts['refused_total{reason="line_fell"}'], counts["lanes"]) == (1, 1, 1)


def test_bodies_that_are_no_vouchers(node: Node) -> None:
    good = body_of(voucher(LANE, 1, attic=5), bytes(64))
    bad: list[Any] = [
        good | {"seq": -1},
        good | {"seq": 2**64},
        good | {"seq": 1.5},
        good | {"total": str(2**128)},
        good | {"total": "a lot"},
        good | {"lane": "0x00"},
        good | {"lane": LANE.id.hex()},
        good | {"lines": [{"asset": "0x" + asset("attic").hex()}]},
        good | {"lines": [{"asset": "0x00", "money": 5}]},
        good | {"lines": [{"asset": "0x" + asset("attic").hex(), "money": -5}]},
        good | {"signature": "0x"},
        good | {"more": 1},
        {"lane": good["lane"]},
        [],
        "text",
    ]
    for body in bad:
        problem(node.client.post("/v1/vouchers", json=body), "malformed")
    for raw in (b"", b"{", b"\xff", b"[" * 50_000, b'{"seq": ' + b"9" * 5000 + b"}"):
        problem(node.client.post("/v1/vouchers", content=raw, headers={"content-type": "application/json"}), "malformed")
    problem(node.client.post("/v1/vouchers", content=b"{}", headers={"content-type": "text/plain"}), "wrong_content_type")
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    problem(node.client.post("/v1/vouchers", content=b"{}", headers=headers), "wrong_content_type")
    problem(node.client.post("/v1/vouchers", content=bytes(1 << 22), headers={"content-type": "application/json"}), "too_large")
    chunks = iter([bytes(1 << 17)] * 4)
    problem(node.client.post("/v1/vouchers", content=chunks, headers={"content-type": "application/json"}), "too_large")
    for path in ("/v1/lanes/0x00", "/v1/lanes/attic", f"/v1/lanes/{LANE.id!r}?seq=-1", f"/v1/lanes/{LANE.id!r}?at=1"):
        problem(node.client.get(path), "malformed")
    assert node.client.get("/v1/vouchers").status_code == 405
    assert node.client.delete(f"/v1/lanes/{LANE.id!r}").json()["status"] == 405


def test_lanes_without_a_voucher_say_why(node: Node) -> None:
    problem(node.client.get(f"/v1/lanes/{LANE.id!r}"), "no_voucher")
    node.countersigned(voucher(LANE, 1, attic=5))
    assert "voucher 2 here" in problem(node.client.get(f"/v1/lanes/{LANE.id!r}?seq=2"), "no_voucher")["detail"]
    told = problem(node.client.get(f"/v1/lanes/{lane(2, clerk=THIEF.address).id!r}"), "not_this_clerk")
    assert repr(THIEF.address) in told["detail"]
    problem(node.client.get(f"/v1/lanes/{lane(9).id!r}"), "unknown_lane")


def test_a_slow_body_is_not_waited_for(tmp_path: Path) -> None:
    with running(tmp_path, body_seconds=0.05) as node, socket.create_connection(("127.0.0.1", int(node.url.rpartition(":")[2]))) as slow:
        slow.sendall(b"POST /v1/vouchers HTTP/1.1\r\nhost: clerk\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{")
        slow.settimeout(20)
        answer = slow.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"reason":"slow_body"' in answer


def test_vouchers_that_wait_share_a_write_and_not_too_many_wait(tmp_path: Path) -> None:
    lanes = [lane(number) for number in range(9)]
    with running(tmp_path, waiting=8) as node, ThreadPoolExecutor(16) as pool:
        node.know(*lanes)
        with node.clerk._lock:
            first = pool.submit(node.post, voucher(lanes[0], 1, attic=1))
            while node.app._counts["voucher_writes_total"] < 1:
                assert not first.done()
            others = [pool.submit(node.post, voucher(fact, 1, attic=1)) for fact in lanes[1:]]
            while len(node.app._waiting) < 8:
                assert not any(each.done() for each in others)
            answer = node.post(voucher(lanes[0], 2, attic=2))
            problem(answer, "busy")
            assert answer.headers["retry-after"]
        assert [each.result().status_code for each in (first, *others)] == [200] * 9
        assert node.app.metrics()["voucher_writes_total"] == 2


def test_a_lane_and_an_address_send_only_so_much(tmp_path: Path) -> None:
    with running(tmp_path, lane_vouchers_per_second=1.0, lane_vouchers_burst=2, client_posts_burst=8, client_posts_per_second=1.0) as node:
        node.know(LANE, lane(1))
        thief = voucher(LANE, 1, attic=1)
        for _ in range(3):
            problem(node.post(thief, sign(thief, THIEF)), "bad_signature")
        for seq in (1, 2):
            node.countersigned(voucher(LANE, seq, attic=seq))
        answer = node.post(voucher(LANE, 3, attic=3))
        assert "sent too many vouchers" in problem(answer, "rate_limited")["detail"]
        assert answer.headers["retry-after"]
        node.countersigned(voucher(lane(1), 1, attic=1))
        node.countersigned(voucher(lane(1), 2, attic=2))
        assert "this address" in problem(node.post(voucher(LANE, 3, attic=3)), "rate_limited")["detail"]
        node.elapsed = 10.0
        node.countersigned(voucher(LANE, 3, attic=3))


def test_a_store_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        node.know(LANE)
        node.clerk.close()
        answer = node.client.get(f"/v1/lanes/{LANE.id!r}")
        assert problem(answer, "store_unavailable")
        assert answer.headers["retry-after"]
        problem(node.post(voucher(LANE, 1, attic=1)), "store_unavailable")


# Lines


def redeemed(fact: LaneFact, what: Voucher) -> LaneFact:
    return replace(fact, redeemed=what.total, seq=what.seq, lines=Hash(lines_hash(what.lines)))


def test_a_book_gets_the_lines_of_what_was_redeemed(clerk: Clerk, tmp_path: Path) -> None:
    foreign = lane(2, clerk=THIEF.address, limit=10**37)
    own, other = voucher(LANE, 1, attic=5, cellar=7), voucher(foreign, 9, barn=10**36 + 3)
    unknown = lane(3)
    countersigned(clerk, own)
    countersigned(clerk, voucher(LANE, 2, attic=6, cellar=7))
    told = {
        bytes(LANE.id): (1, 12, lines_hash(own.lines)),
        bytes(foreign.id): (9, other.total, lines_hash(other.lines)),
        bytes(unknown.id): (1, 1, bytes(32)),
    }
    lines = Lines(tmp_path / "lines.db", clerk)
    assert lines.missing(told, {}) == sorted([bytes(foreign.id), bytes(unknown.id)])
    assert lines.hand_in(9, other.lines, redeemed(foreign, other)) is None
    lines.close()

    # The clerk's own are kept like all others once they were asked for.
    lines = Lines(tmp_path / "lines.db")
    table = lines.table(told, {})
    expected = [(what.lane, what.seq, each.asset, each.money) for what in (own, other) for each in what.lines]
    assert table.schema == pl.Schema(LINES)
    assert [(lane_, seq, asset_, int(money)) for lane_, seq, asset_, money in table.iter_rows()] == sorted(expected)
    assert lines.missing(told, {}) == [bytes(unknown.id)]
    assert lines.missing(told, {bytes(unknown.id): 1}) == []
    left = lines.table(told, {bytes(LANE.id): 12, bytes(foreign.id): 3})
    assert left["lane"].unique().to_list() == [bytes(foreign.id)]
    assert lines.table({}, {}).schema == pl.Schema(LINES)
    lines.close()


def test_lines_of_another_voucher_with_the_same_number_are_not_taken_for_it(clerk: Clerk, tmp_path: Path) -> None:
    countersigned(clerk, voucher(LANE, 1, attic=5))
    lines = Lines(tmp_path / "lines.db", clerk)
    told = {bytes(LANE.id): (1, 5, lines_hash(voucher(LANE, 1, barn=5).lines))}
    assert lines.missing(told, {}) == [bytes(LANE.id)]
    assert len(lines.table(told, {})) == 0
    lines.close()


def test_handed_in_lines_must_be_what_the_chain_redeemed(tmp_path: Path) -> None:
    lines = Lines(tmp_path / "lines.db")
    what = voucher(LANE, 3, attic=5, cellar=7)
    fact = redeemed(LANE, what)
    refused(lines.hand_in(3, what.lines, None), "unknown_lane")
    refused(lines.hand_in(3, what.lines, LANE), "not_redeemed", "nothing was redeemed")
    refused(lines.hand_in(2, what.lines, fact), "not_redeemed", "seq 3 with total 12")
    refused(lines.hand_in(3, what.lines[:1], fact), "lines_differ", lines_hash(what.lines).hex())
    refused(lines.hand_in(3, what.lines[::-1], fact), "malformed", "ascend")
    refused(lines.hand_in(3, (), fact), "malformed")
    # A customer and its clerk may sign what does not sum; it stays out of every Book.
    refused(lines.hand_in(3, what.lines, replace(fact, redeemed=13)), "lines_do_not_sum", 12, 13)
    assert lines.hand_in(3, what.lines, fact) is None
    lines.close()


def test_anyone_hands_in_lines_over_http(node: Node) -> None:
    what = voucher(lane(2, clerk=THIEF.address), 3, attic=5, cellar=7)
    fact = redeemed(lane(2, clerk=THIEF.address), what)
    body = {name: value for name, value in body_of(what, bytes(64)).items() if name in ("lane", "seq", "lines")}
    problem(node.client.post("/v1/lines", json=body), "not_redeemed")
    node.know(fact)
    problem(node.client.post("/v1/lines", json=body | {"lines": body["lines"][:1]}), "lines_differ")
    problem(node.client.post("/v1/lines", json=body | {"lines": [{"asset": body["lines"][0]["asset"], "money": -1}]}), "malformed")
    assert node.client.post("/v1/lines", json=body).json() == {"lane": repr(fact.id), "seq": 3}
    assert len(node.lines.table({bytes(fact.id): (3, 12, bytes(fact.lines))}, {})) == 2
    assert node.app.metrics()["lines_handed_in_total"] == 1


def test_every_reason_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "lanes.md").read_text()
    rows = re.findall(r"^\| `([a-z_]+)` \| (\d+) \| (.+) \| .+ \|$", text, re.MULTILINE)
    assert {reason: (int(status), meaning) for reason, status, meaning in rows} == dict(REASONS)
    assert len(rows) == len(REASONS)


def test_a_store_is_read_by_sqlite(clerk: Clerk, tmp_path: Path) -> None:
    """An operator can look at a copy with any SQLite."""
    countersigned(clerk, voucher(LANE, 1, attic=5))
    clerk.close()
    with sqlite3.connect(tmp_path / "clerk.db") as db:
        assert db.execute("SELECT lane, seq FROM signed").fetchall() == [(bytes(LANE.id), 1)]
