"""What hosts offer, as customers find it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h3
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lanes_world import NOW, Node, running

from subak.archive.log import EntryLog
from subak.core.canon.entry import RawEntry, cut, pack
from subak.core.settlement.reasons import OFFER, POSSESSION
from subak.verifier.board import MOST_LISTED, Board, Offer, Place, read_offer

NETWORK = bytes(range(32))
FONTANA, ROME = (int(h3.latlng_to_cell(*place, 10), 16) for place in ((45.4, 11.9), (41.9, 12.5)))


def asset(number: int) -> bytes:
    return b"asset" + number.to_bytes(27, "big")


def entry(number: int = 1, start: int = NOW, sequence: int = 0, endpoint: bytes = b"https://host.example:8443/", **values: int) -> RawEntry:
    """An Offer as intake takes it in; nobody checks signatures behind intake."""
    offer = {"price": 1000, "per_units": 24, "capacity": 500, "valid_until_unix_s": NOW + 86_400} | values
    signed = pack(
        network=NETWORK,
        schema=OFFER,
        subject=asset(number),
        signer=bytes(8),
        sequence=sequence,
        start_unix_s=start,
        interval_seconds=0,
        rows=[[*offer.values(), endpoint.ljust(128, b"\0")]],
    )
    return next(cut(signed + bytes(64)))


def board_of(*entries: RawEntry, assets: int = 10) -> Board:
    board = Board()
    board.know({asset(number): Place("storage", FONTANA) for number in range(1, assets + 1)})
    for each in entries:
        board.take(each)
    return board


def listed(board: Board, kind: str = "storage", now: int = NOW, **more: Any) -> list[int]:
    """Which assets are listed, in order."""
    offers, _ = board.list(kind, now, **more)
    return [int.from_bytes(each.offer.asset[5:], "big") for each in offers]


def test_an_offer_is_what_the_device_signed() -> None:
    assert read_offer(entry(3, NOW + 5, 7)) == Offer(asset(3), NOW + 5, 7, 1000, 24, 500, NOW + 86_400, "https://host.example:8443/")


def test_the_newest_offer_of_an_asset_counts() -> None:
    board = board_of(entry(start=NOW, sequence=5, price=1))
    assert not board.take(entry(start=NOW - 1, sequence=9, price=2))
    assert not board.take(entry(start=NOW, sequence=5, price=2)), "of two with one sequence the first one stands"
    assert not board.take(entry(start=NOW, sequence=4, price=2))
    assert board.take(entry(start=NOW, sequence=6, price=3))
    assert board.take(entry(start=NOW + 1, sequence=1, price=4))
    [only] = board.list("storage", NOW)[0]
    assert (only.offer.price, only.place) == (4, Place("storage", FONTANA))


def test_what_does_not_stand_is_not_listed() -> None:
    board = board_of(entry(1), entry(2, valid_until_unix_s=NOW), entry(3, valid_until_unix_s=NOW + 1), entry(4), entry(11), entry(5))
    assert listed(board) == [1, 3, 4, 5]
    assert listed(board, now=NOW + 1) == [1, 4, 5]
    board.take(entry(4, NOW + 1, capacity=0, per_units=0))
    board.take(entry(5, NOW + 1, per_units=0))
    assert listed(board) == [1, 3, 5], "capacity 0 takes back; what sells no units is no offer"
    assert listed(board, "energy") == []
    assert (len(board), board.offer(asset(4)) is not None, board.offer(asset(9))) == (6, True, None)
    board.know({asset(1): Place("energy", FONTANA), asset(11): Place("storage", ROME)})
    assert (listed(board), listed(board, "energy")) == ([11], [1])


@pytest.mark.parametrize(
    ("endpoint", "shown"),
    [
        (b"http://10.0.0.1:80", "http://10.0.0.1:80"),
        (b"https://" + b"a" * 120, "https://" + "a" * 120),
        (b"", ""),
        (b"javascript:alert(1)", ""),
        (b"https://host/\xc3\xa9", ""),
        (b"https://host/ x", ""),
        (b"https://host\0more", ""),
    ],
)
def test_an_endpoint_that_is_no_address_is_none(endpoint: bytes, shown: str) -> None:
    [only] = board_of(entry(endpoint=endpoint)).list("storage", NOW)[0]
    assert only.offer.endpoint == shown


def test_other_entries_are_passed_over() -> None:
    possession = pack(
        network=NETWORK,
        schema=POSSESSION,
        subject=asset(1),
        signer=bytes(8),
        sequence=0,
        start_unix_s=NOW,
        interval_seconds=0,
        rows=[[bytes(20)]],
    )
    row = entry().payload
    several = entry().signed[:108] + (2).to_bytes(2, "big") + entry().signed[110:112] + row + row
    beyond = entry().signed[:112] + b"\xff" * 16 + row[16:]
    board = board_of()
    for signed in (possession, several, beyond):
        assert not board.take(next(cut(signed + bytes(64))))
    assert len(board) == 0


def test_the_cheapest_comes_first_to_the_last_digit() -> None:
    tiny = (2**63 - 2, 2**63 - 1), (2**63 - 3, 2**63 - 2)
    board = board_of(
        entry(1, price=10**37, per_units=1),
        entry(2, price=tiny[0][0], per_units=tiny[0][1]),
        entry(3, price=tiny[1][0], per_units=tiny[1][1]),
        entry(4, price=0),
        entry(5, price=0),
        entry(6, price=2, per_units=2),
    )
    assert listed(board) == [4, 5, 3, 2, 6, 1]


def test_a_list_goes_on_where_it_ended() -> None:
    board = board_of(*(entry(number, price=100 - number) for number in range(1, 11)))
    assert [listed(board, most=4), listed(board, most=4, after=asset(7)), listed(board, most=4, after=asset(3))] == [
        [10, 9, 8, 7],
        [6, 5, 4, 3],
        [2, 1],
    ]
    assert [board.list("storage", NOW, most=most)[1] for most in (9, 10, 11)] == [True, False, False]
    assert listed(board, most=2, after=asset(99)) == [10, 9]
    assert len(listed(board, most=10 * MOST_LISTED)) == 10


def test_a_zone_is_a_cell_around() -> None:
    board = board_of(entry(1), entry(2))
    board.know({asset(1): Place("storage", FONTANA), asset(2): Place("storage", ROME)})
    for resolution in range(2, 11):
        around = int(h3.cell_to_parent(f"{FONTANA:x}", resolution), 16)
        assert listed(board, zone=around) == [1]
    assert listed(board, zone=0) == [1, 2]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)), max_size=15), st.randoms())
def test_the_order_of_arrival_does_not_matter(told: list[tuple[int, int, int, int]], dice: Any) -> None:
    # One device never signs two Entries with one sequence, or the first one stands.
    told = list({(number, sequence): (number, start, sequence, capacity) for number, start, sequence, capacity in told}.values())
    entries = [entry(number, NOW + start, sequence, capacity=capacity) for number, start, sequence, capacity in told]
    shuffled = dice.sample(entries, len(entries))
    assert board_of(*entries).list("storage", NOW) == board_of(*shuffled).list("storage", NOW)


def test_the_board_follows_the_log_and_a_restart_finds_all_of_it(tmp_path: Path) -> None:
    log = EntryLog(tmp_path)
    place = {asset(number): Place("storage", FONTANA) for number in range(1, 5)}

    def append(*entries: RawEntry) -> None:
        log.append([each.signed + each.signature for each in entries], NOW)

    append(entry(1), entry(2))
    board = Board()
    board.know(place)
    assert board.follow(log) == 0, "what is not durable may still be lost"
    log.sync()
    assert (board.follow(log), listed(board)) == (2, [1, 2])
    append(entry(3))
    append(entry(1, NOW + 1, capacity=0))
    log.sync()
    assert (board.follow(log), board.follow(log), listed(board)) == (4, 4, [2, 3])
    again = Board()
    again.know(place)
    assert (again.follow(log), listed(again)) == (4, [2, 3])
    log.close()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running(tmp_path_factory.mktemp("node")) as one:
        one.board.know({asset(1): Place("storage", FONTANA), asset(2): Place("storage", ROME)})
        one.board.take(entry(1, price=2**60, capacity=2**62))
        one.board.take(entry(2, price=5))
        yield one


def offers(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    told: list[dict[str, Any]] = answer.json()["offers"]
    return told


def test_offers_over_http(node: Node) -> None:
    answer = node.client.get("/v1/offers?kind=storage")
    assert answer.json()["more"] is False
    assert [each["asset"] for each in offers(answer)] == ["0x" + asset(2).hex(), "0x" + asset(1).hex()]
    assert offers(answer)[1] == {
        "asset": "0x" + asset(1).hex(),
        "kind": "storage",
        "cell": f"{FONTANA:x}",
        "price": str(2**60),
        "per_units": 24,
        "capacity": str(2**62),
        "valid_until_unix_s": NOW + 86_400,
        "endpoint": "https://host.example:8443/",
    }
    zone = h3.cell_to_parent(f"{FONTANA:x}", 5)
    assert len(offers(node.client.get(f"/v1/offers?kind=storage&zone={zone}"))) == 1
    page = node.client.get("/v1/offers?kind=storage&most=1")
    assert (len(offers(page)), page.json()["more"]) == (1, True)
    rest = node.client.get(f"/v1/offers?kind=storage&most=1&after={offers(page)[0]['asset']}")
    assert ([each["asset"] for each in offers(rest)], rest.json()["more"]) == (["0x" + asset(1).hex()], False)
    assert offers(node.client.get("/v1/offers?kind=wireless")) == []


@pytest.mark.parametrize(
    "query",
    [
        "",
        "kind=",
        "zone=0",
        "kind=storage&zone=x",
        "kind=storage&zone=-1",
        "kind=storage&most=x",
        "kind=storage&after=0x",
        "kind=a&sort=b",
        "kind",
    ],
)
def test_questions_that_are_none(node: Node, query: str) -> None:
    answer = node.client.get(f"/v1/offers?{query}")
    assert (answer.status_code, answer.json()["reason"]) == (400, "malformed")
