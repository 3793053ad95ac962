"""The loop that buys, on a real chain with final epochs, a real archive and a real clerk."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from subak.archive.store import HttpArchive
from subak.chain.accounts import Account
from subak.chain.channels import Channels, LaneFact, Redemption, lane_id
from subak.chain.contracts import Sender
from subak.chain.snapshot import Follower
from subak.core.canon.vouchers import lines_hash
from subak.core.nouns import Address, Hash
from subak.customer.config import EnergyPurchase, Purchases, StoragePurchase
from subak.customer.loop import CustomerLoop, Look
from subak.customer.paying import VoucherRefused
from subak.customer.storage import Keeping
from subak.customer.wallet import Wallet
from subak.kinds.storage.customer import Code
from subak.kinds.storage.customer import Host as StorageHost
from subak.kinds.storage.customer.index import Proof
from subak.kinds.storage.rules.schemas import PIECES, ROOT

from .shop import CLOCK, CUSTOMER, DAY, DISKS, FAR_HOME, FOUNDER, HOMES, HOUR, ClerkServer, Epoch, Host, Shop

FOREVER = 1 << 40
LIMIT = 10_000


@pytest.fixture(scope="module")
def clerk(shop: Shop) -> ClerkServer:
    return shop.clerk()


@pytest.fixture
def wallet(shop: Shop, tmp_path: Path) -> Iterator[Wallet]:
    opened = wallet_in(shop, tmp_path / "wallet")
    yield opened
    opened.close()


def wallet_in(shop: Shop, folder: Path, account: Account = CUSTOMER) -> Wallet:
    folder.mkdir(mode=0o700, exist_ok=True)
    key = folder / "account.key"
    key.touch(0o600)
    key.write_text(account._key.secret.hex())
    return Wallet(folder, shop.network, shop.rpc)


def buying(clerk: ClerkServer, *homes: tuple[Host, int, int], **more: Any) -> Purchases:
    energy = tuple(EnergyPurchase(Hash(home.asset), permille, most) for home, permille, most in homes)
    fields: dict[str, Any] = {"limit": LIMIT, "budget": 10 * LIMIT, "cell": "8729a004bffffff", "energy": energy, **more}
    return Purchases(clerk.url, **fields)


def owed(look: Look) -> dict[bytes, int]:
    return {line.asset: line.money for line in look.settled[-1].voucher.lines}


def test_epochs_are_billed_and_paid_once(shop: Shop, wallet: Wallet, clerk: ClerkServer, tmp_path: Path) -> None:
    first, second, _ = HOMES
    purchases = buying(clerk, (first, 500, 0), (second, 1000, 100_000), (FAR_HOME, 1000, 0))
    loop = CustomerLoop(shop.network, wallet, purchases)
    look = loop.tick(shop.now)
    assert (look.troubles, len(look.opened), look.billed) == ([], 1, [])
    assert (wallet.free(), wallet.store.fact("deposited"), wallet.store.fact("from_epoch")) == (0, str(LIMIT), "0")

    work = {first.asset: [600, 401], second.asset: [10], FAR_HOME.asset: [99]}
    offers = {first.asset: (3, 2, FOREVER), second.asset: (5, 1, FOREVER), FAR_HOME.asset: (1, 1, FOREVER)}
    shop.finalise([Epoch(work)], offers)
    look = loop.tick(shop.now)
    assert (look.troubles, look.billed, look.settled) == ([], [0], [])
    shop.finalise([Epoch(work)])
    look = loop.tick(shop.now)
    assert (look.troubles, look.billed) == ([], [1])
    assert owed(look) == {first.asset: 500 * 3 // 2}
    bill = wallet.store.bills()
    assert {(line.epoch, line.asset, line.units, line.money) for line in bill.lines} == {(1, first.asset, 500, 750)}
    whys = {(each.epoch, each.asset): each.why for each in bill.unbilled}
    assert whys[0, first.asset] == "it offered nothing when the epoch began"
    assert whys[1, second.asset] == "it asked 5 for 1, more than 100000 for 1000000"
    assert whys[1, FAR_HOME.asset].startswith("it is in the zone ")
    assert len(whys) == 5

    assert loop.tick(shop.now) == Look()
    wallet.close()
    again = wallet_in(shop, tmp_path / "wallet")
    restarted = CustomerLoop(shop.network, again, purchases)
    assert restarted.tick(shop.now) == Look()
    assert again.store.bills() == bill
    # What was agreed in an epoch is what it is billed by, whatever is bought today.
    shop.finalise([Epoch(work)])
    dearer = CustomerLoop(shop.network, again, buying(clerk, (first, 1000, 0)))
    look = dearer.tick(shop.now)
    assert (look.billed, owed(look)) == ([2], {first.asset: 1500})
    shop.finalise([Epoch(work), Epoch(work)])
    look = dearer.tick(shop.now)
    assert (look.billed, owed(look)) == ([3, 4], {first.asset: 1500 + 750 + 1501})
    again.close()


def test_offers_are_followed_through_a_range_of_epochs(shop: Shop, wallet: Wallet, clerk: ClerkServer) -> None:
    first, second, third = HOMES
    loop = CustomerLoop(shop.network, wallet, buying(clerk, (first, 1000, 0), (second, 1000, 0), (third, 1000, 0)))
    start = CLOCK.epoch_at(shop.now) + 1
    loop.tick(shop.now)
    offers = {first.asset: (3, 2, FOREVER), second.asset: (5, 1, CLOCK.first_unix_s(start + 1)), third.asset: (7, 1, FOREVER)}
    before = [Epoch({})] * (start - 5)
    shop.finalise(before, offers)
    network, at = shop.network.id, CLOCK.first_unix_s(start)
    # The last one stands, of those in one Book the one that starts last; what is not signed does not count, nor a copy.
    told = [
        first.offer(network, 1, 9, 1, FOREVER, at + 9),
        first.offer(network, 2, 8, 1, FOREVER, at + 8),
        third.offer(network, 1, 7, 1, FOREVER, at, capacity=0),
    ]
    forged = first.offer(network, 1, 1, 1, FOREVER, at + 9)
    work = {each.asset: [100] for each in HOMES}
    books = [Epoch(work, [*told, told[0]], [forged[:-1] + bytes([forged[-1] ^ 1])]), Epoch(work), Epoch(work)]
    shop.finalise(books, {first.asset: (9, 1, FOREVER)})
    look = loop.tick(shop.now)
    assert (look.troubles, look.billed) == ([], [start, start + 1, start + 2])
    lines = wallet.store.bills().lines
    assert {(line.epoch - start, HOMES.index(home), line.money) for line in lines for home in HOMES if home.asset == line.asset} == {
        *((0, 0, 150), (0, 1, 500), (0, 2, 700)),
        *((1, 0, 900), (2, 0, 900)),
    }
    shop.finalise([Epoch(work)])
    assert owed(loop.tick(shop.now)) == {first.asset: 150 + 3 * 900, second.asset: 500, third.asset: 700}


def begun(shop: Shop, loop: CustomerLoop, offers: dict[bytes, tuple[int, int, int]]) -> None:
    """Start to buy, and make everything final up to the epoch before the first that is bought."""
    loop.tick(shop.now)
    from_epoch = int(loop.wallet.store.fact("from_epoch") or 0)
    lacking = from_epoch - (1 + last_final(shop))
    if lacking:
        shop.finalise([Epoch({})] * lacking, offers)


def last_final(shop: Shop) -> int:
    return Follower(shop.rpc, shop.network.contracts, CLOCK).finalised()[-1].last


def test_a_clerk_that_is_silent_for_a_while(shop: Shop, wallet: Wallet, clerk: ClerkServer) -> None:
    home = HOMES[0]
    loop = CustomerLoop(shop.network, wallet, buying(clerk, (home, 1000, 0)))
    begun(shop, loop, {home.asset: (2, 1, FOREVER)})
    shop.finalise([Epoch({home.asset: [100]})])
    clerk.loses_answers = True
    try:
        look = loop.tick(shop.now)
    finally:
        clerk.loses_answers = False
    assert (len(look.billed), look.settled) == (1, [])
    assert "does not answer" in look.troubles[0] or "answered 500" in look.troubles[0]
    assert owed(loop.tick(shop.now)) == {home.asset: 200}


def test_the_next_lane_is_opened_before_the_last_one_is_spent(shop: Shop, wallet: Wallet, clerk: ClerkServer) -> None:
    home = HOMES[0]
    loop = CustomerLoop(shop.network, wallet, buying(clerk, (home, 1000, 0), low_permille=300))
    begun(shop, loop, {home.asset: (1, 1, FOREVER)})
    shop.finalise([Epoch({home.asset: [7001]})])
    look = loop.tick(shop.now)
    assert (len(look.billed), len(look.opened)) == (1, 0)
    look = loop.tick(shop.now)
    assert (look.troubles, len(look.opened)) == ([], 1)
    # A bill that is larger than a lane gets a lane of its size.
    shop.finalise([Epoch({home.asset: [LIMIT + 5]})])
    look = loop.tick(shop.now)
    assert [wallet.store.lane(lane).fact.limit for lane in look.opened] == [LIMIT + 5]
    assert look.settled[-1].voucher.total == LIMIT + 5
    assert int(wallet.store.fact("deposited") or 0) <= 10 * LIMIT


def test_lanes_are_renewed_and_what_is_left_comes_back(shop: Shop, wallet: Wallet, clerk: ClerkServer) -> None:
    home = HOMES[0]
    loop = CustomerLoop(shop.network, wallet, buying(clerk, (home, 1000, 0), lane_seconds=3 * DAY, renew_seconds=DAY, budget=3 * LIMIT))
    begun(shop, loop, {home.asset: (1, 1, FOREVER)})
    for _ in range(9):
        shop.finalise([Epoch({home.asset: [10]})])
        look = loop.tick(shop.now)
        assert (look.troubles, len(look.billed)) == ([], 1)
        newest = wallet.store.lanes()[-1]
        assert newest.fact.expiry_unix_s > shop.now + 12 * HOUR
    lanes = wallet.store.lanes()
    assert len(lanes) >= 4
    assert sum(sum(wallet.store.lines(lane.fact.id).values()) for lane in lanes) == 90
    assert lanes[0].closed
    assert not lanes[-1].closed
    # What closed lanes gave back opened the later ones.
    assert wallet.store.fact("deposited") == str(3 * LIMIT)


def test_what_a_revoked_lane_did_not_cover_is_owed_on_the_next(shop: Shop, wallet: Wallet, clerk: ClerkServer) -> None:
    home = HOMES[0]
    loop = CustomerLoop(shop.network, wallet, buying(clerk, (home, 1000, 0)))
    begun(shop, loop, {home.asset: (1, 1, FOREVER)})
    shop.finalise([Epoch({home.asset: [40]})])
    loop.tick(shop.now)
    first = bytes(wallet.store.lanes()[-1].fact.id)
    payer = loop.payer()
    assert payer is not None
    payer.accept(home.asset, 2)
    wallet.revoke(first)
    look = loop.tick(shop.now)
    assert len(look.opened) == 1
    assert any(trouble.startswith("lane_revoked: ") for trouble in look.troubles)
    with pytest.raises(VoucherRefused):
        payer.settle_up(shop.now)
    shop.go_to(wallet.channels.lane_state(first)[1])
    look = loop.tick(shop.now)
    assert look.closed == [first]
    newest = wallet.store.lanes()[-1].fact.id
    assert (wallet.store.lines(first), wallet.store.lines(newest)) == ({home.asset: 40}, {home.asset: 2})
    assert owed(loop.tick(shop.now)) == {home.asset: 2}
    assert loop.tick(shop.now) == Look()


def test_a_voucher_that_was_redeemed_without_an_answer_is_not_paid_again(shop: Shop, wallet: Wallet, clerk: ClerkServer) -> None:
    home = HOMES[0]
    loop = CustomerLoop(shop.network, wallet, buying(clerk, (home, 1000, 0)))
    begun(shop, loop, {home.asset: (1, 1, FOREVER)})
    shop.finalise([Epoch({home.asset: [40]})])
    clerk.loses_answers = True
    try:
        loop.tick(shop.now)
        lane = wallet.store.lanes()[-1].fact
        made = clerk.clerk.newest(lane.id)
        assert made is not None
        redemption = Redemption(lane, made.voucher.seq, made.voucher.total, lines_hash(made.voucher.lines), made.signature)
        Channels(shop.rpc, shop.network.contracts, Sender(shop.rpc, FOUNDER)).redeem_many([redemption], made.countersignature)
        wallet.revoke(lane.id)
        shop.go_to(wallet.channels.lane_state(lane.id)[1])
        look = loop.tick(shop.now)
    finally:
        clerk.loses_answers = False
    assert look.closed == [lane.id]
    assert wallet.store.countersigned(lane.id) is None
    look = loop.tick(shop.now)
    assert (look.settled, look.troubles) == ([], [])
    assert sum(wallet.store.lines(wallet.store.lanes()[-1].fact.id).values()) == 0


def test_a_lane_that_the_chain_forgot(shop: Shop, wallet: Wallet, clerk: ClerkServer) -> None:
    home = HOMES[0]
    loop = CustomerLoop(shop.network, wallet, buying(clerk, (home, 1000, 0)))
    loop.tick(shop.now)
    # All that a chain that restarted a second back leaves of a lane: what the folder remembers.
    session, expiry = wallet._new_session(), shop.now + DAY
    parameters = (CUSTOMER.address, session.address, Address(clerk.clerk.address), LIMIT, expiry, 99)
    lost = LaneFact(lane_id(*parameters), *parameters, closes_at_unix_s=expiry + DAY)
    wallet.store.add_lane(lost, clerk.url)
    wallet.store.accept(lost.id, {home.asset: 6})
    look = loop.tick(shop.now)
    assert len(look.opened) == 1
    assert [trouble.partition(":")[0] for trouble in look.troubles] == ["unknown_lane"]
    shop.go_to(lost.closes_at_unix_s)
    assert loop.tick(shop.now).closed == [lost.id]
    assert wallet.store.lines(lost.id) == {home.asset: 0}
    look = loop.tick(shop.now)
    assert (owed(look), look.troubles) == ({home.asset: 6}, [])


def test_without_money_nothing_is_bought_and_the_customer_is_told(shop: Shop, tmp_path: Path, clerk: ClerkServer) -> None:
    wallet = wallet_in(shop, tmp_path / "poor", Account(b"\x39" * 32))
    home = HOMES[0]
    look = CustomerLoop(shop.network, wallet, buying(clerk, (home, 1000, 0), budget=LIMIT - 1)).tick(shop.now)
    assert look.troubles == ["0 of the budget of 9999 is deposited, and 10000 more is needed: raise it, or deposit by hand"]
    loop = CustomerLoop(shop.network, wallet, buying(clerk, (home, 1000, 0)))
    [trouble] = loop.tick(shop.now).troubles
    assert trouble == f"the account 0x{wallet.account.address.hex()} holds 0 payment units, and 10000 are needed: pay some in"
    nowhere = msgspec.structs.replace(loop.purchases, clerk=f"{clerk.url}/nowhere")
    [trouble] = CustomerLoop(shop.network, wallet, nowhere).tick(shop.now).troubles
    assert "answered 404 and names no verifier" in trouble
    wallet.close()


def test_an_archive_that_is_gone_is_made_up_for_by_another(shop: Shop, wallet: Wallet, clerk: ClerkServer) -> None:
    home = HOMES[0]
    loop = CustomerLoop(shop.network, wallet, buying(clerk, (home, 1000, 0)))
    begun(shop, loop, {home.asset: (1, 1, FOREVER)})
    shop.finalise([Epoch({home.asset: [3]})])
    nobody = msgspec.structs.replace(shop.network, nodes=msgspec.structs.replace(shop.network.nodes, verifiers=(clerk.url,)))
    alone = CustomerLoop(nobody, wallet, loop.purchases)
    look = alone.tick(shop.now)
    assert look.billed == []
    assert f"in {clerk.url}/archive" in look.troubles[0]
    archives = [HttpArchive(f"{url}/archive") for url in (clerk.url, *shop.network.nodes.verifiers)]
    assert len(CustomerLoop(nobody, wallet, loop.purchases, archives=archives).tick(shop.now).billed) == 1


def test_stored_data_are_paid_as_far_as_they_are_proven(shop: Shop, wallet: Wallet, clerk: ClerkServer, tmp_path: Path) -> None:
    keeping = Keeping(tmp_path / "storage")
    hosts = [StorageHost(each.asset, "http://127.0.0.1:9") for each in DISKS]
    roots = [bytes([number]) * 32 for number in (0x91, 0x92)]
    index = keeping._index
    putting = index.begin(b"\x01" * 32, "a film", 3 * 256 * 1024 - 100_000, Code(1, 2), hosts)
    segments = index._rows("SELECT segments FROM files")[0][0]
    for segment in range(segments):
        index.sealed(putting, segment, [bytes([segment, place]) * 16 for place in range(2)])
    index.finish(putting, 0)
    file = index.file("a film")
    # Of the first host all pieces are proven in the set that it is asked about, of the second one in an older set only.
    index.prove(file, 0, [Proof(roots[0], 4, frozenset(range(segments)))])
    index.prove(file, 1, [Proof(roots[1], 9, frozenset(range(segments)))])
    words = {name: [int.from_bytes(root[8 * at : 8 * at + 8], "big", signed=True) for root in roots] for at, name in enumerate(ROOT)}
    carried = pl.DataFrame({"asset": [each.asset for each in DISKS], **words, PIECES: [4, 8]}).sort("asset")

    loop = CustomerLoop(shop.network, wallet, buying(clerk, storage=StoragePurchase()), keeping=keeping)
    # Nobody listens where the hosts should be, and the customer is told.
    look = loop.tick(shop.now)
    assert len(look.troubles) == 2
    from_epoch = int(wallet.store.fact("from_epoch") or 0)
    offers = {each.asset: (2, 1000, FOREVER) for each in DISKS}
    shop.finalise([Epoch({})] * (from_epoch - 1 - last_final(shop)), offers, {"storage": carried})
    # An hour is proven by a day of right answers; the second range knows the set before and after it only.
    kib_hours = 4 * 256 * 24
    shop.finalise([Epoch({each.asset: [kib_hours // 2] * 2 for each in DISKS})])
    shop.finalise([Epoch({DISKS[0].asset: [kib_hours]}), Epoch({DISKS[0].asset: [0]})])
    look = loop.tick(shop.now)
    assert look.billed == [from_epoch, from_epoch + 1, from_epoch + 2]
    money = segments * 256 * 24 * 2 // 1000
    assert owed(look) == {DISKS[0].asset: 2 * money}
    whys = {(each.epoch - from_epoch, DISKS[0].asset == each.asset): each.why for each in wallet.store.bills().unbilled}
    unproven = "it has not shown that our data are in the set that it was asked about"
    assert whys.pop((2, True)) == "it did not answer for all that it holds"
    assert whys == {(number, False): unproven for number in range(3)}
    keeping.close()


def test_it_runs_until_it_is_stopped(shop: Shop, wallet: Wallet, clerk: ClerkServer) -> None:
    loop = CustomerLoop(shop.network, wallet, buying(clerk, (HOMES[0], 1000, 0)))
    stop = threading.Event()
    asked = []

    def now() -> int:
        asked.append(shop.now)
        stop.set()
        return asked[-1]

    loop.run(stop, now)
    assert len(asked) == 1
    assert loop.passes(HOMES[0].asset, asked[0]).startswith("Subak lane=0x")
