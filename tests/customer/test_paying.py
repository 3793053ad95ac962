"""Wallet, lanes and vouchers on a real chain, with a real clerk: what is kept, what is sent, what is refused, what comes back."""

from __future__ import annotations

import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import msgspec
import pytest

from subak.chain.accounts import Account, KeyFileRefused, recover
from subak.chain.channels import Channels, Redemption
from subak.chain.contracts import ChainRefused, Sender
from subak.chain.network_file import write_network
from subak.core.canon.passes import PASS_SECONDS, pass_fault, read_pass
from subak.core.canon.vouchers import Line, Voucher, lines_hash, voucher_digest
from subak.customer.billing import Bill, BillLine, Unbilled
from subak.customer.paying import ClerkUnreachable, Payer, Settled, VoucherRefused
from subak.customer.returns import returns, revoke_all, take_back
from subak.customer.store import AlreadyBilled, LimitReached, OtherNetwork
from subak.customer.wallet import Wallet, WalletRefused

from .shop import CUSTOMER, DAY, FOUNDER, OTHER, VERIFIERS, ClerkServer, Shop

ASSETS = [bytes([number]) * 32 for number in range(1, 11)]
LIMIT = 1000


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=5.0, trust_env=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def clerk(shop: Shop) -> ClerkServer:
    return shop.clerk()


def key_file(path: Path, account: Account) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text(account._key.secret.hex())
    path.chmod(0o600)


@pytest.fixture
def wallet(shop: Shop, tmp_path: Path) -> Iterator[Wallet]:
    key_file(tmp_path / "wallet" / "account.key", CUSTOMER)
    opened = Wallet(tmp_path / "wallet", shop.network, shop.rpc)
    yield opened
    opened.close()


def lane_of(shop: Shop, wallet: Wallet, clerk: ClerkServer, limit: int = LIMIT) -> bytes:
    if wallet.free() < limit:
        wallet.top_up(limit - wallet.free())
    return bytes(wallet.open_lane(clerk.clerk.address, limit, shop.now + 4 * DAY, clerk.url).id)


def redeem(shop: Shop, wallet: Wallet, settled: Settled) -> None:
    voucher = settled.voucher
    lane = wallet.store.lane(voucher.lane).fact
    redemption = Redemption(lane, voucher.seq, voucher.total, lines_hash(voucher.lines), settled.signature)
    Channels(shop.rpc, shop.network.contracts, Sender(shop.rpc, FOUNDER)).redeem_many([redemption], settled.countersignature)


def test_a_folder_is_its_owners_alone(shop: Shop, wallet: Wallet, clerk: ClerkServer, tmp_path: Path) -> None:
    lane_of(shop, wallet, clerk)
    modes = {path.relative_to(tmp_path).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "wallet").rglob("*")}
    keys = [name for name in modes if name.endswith(".key")]
    assert len(keys) == 2
    assert {name: mode for name, mode in modes.items() if mode & 0o077} == {}
    (tmp_path / "wallet").chmod(0o750)
    with pytest.raises(WalletRefused, match=r"mode 0750: others can reach the keys in it; chmod 700"):
        Wallet(tmp_path / "wallet", shop.network, shop.rpc)
    (tmp_path / "wallet").chmod(0o700)
    for key in keys:
        (tmp_path / key).chmod(0o640)
    with pytest.raises(KeyFileRefused, match="chmod 600"):
        Wallet(tmp_path / "wallet", shop.network, shop.rpc)


def test_a_new_folder_gets_a_new_account(shop: Shop, tmp_path: Path) -> None:
    made = Wallet(tmp_path / "new", shop.network, shop.rpc)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert (made.balance(), made.free()) == (0, 0)
    made.close()
    again = Wallet(tmp_path / "new", shop.network, shop.rpc)
    assert again.account.address == made.account.address != CUSTOMER.address
    again.close()


def test_a_wallet_is_for_one_network_on_its_chain(shop: Shop, wallet: Wallet, tmp_path: Path) -> None:
    elsewhere = msgspec.structs.replace(shop.network, chain_id=1)
    with pytest.raises(WalletRefused, match=r"Shop is on chain 1, http://127.0.0.1:\d+ is chain 31337"):
        Wallet(tmp_path / "other", elsewhere, shop.rpc)
    contracts = msgspec.structs.replace(shop.network.contracts, channels=shop.network.contracts.token)
    with pytest.raises(OtherNetwork, match="use another folder"):
        Wallet(tmp_path / "wallet", msgspec.structs.replace(shop.network, contracts=contracts), shop.rpc)


def test_money_goes_in_and_comes_out(shop: Shop, wallet: Wallet) -> None:
    before, free = wallet.balance(), wallet.free()
    wallet.open_channel(70)
    wallet.top_up(30)
    assert (wallet.balance(), wallet.free()) == (before - 100, free + 100)
    assert wallet.withdraw(40) == 40
    assert wallet.withdraw() == free + 60
    assert wallet.withdraw() == 0
    assert wallet.free() == 0


def test_what_is_owed_is_countersigned_and_can_be_redeemed(shop: Shop, wallet: Wallet, clerk: ClerkServer, client: httpx.Client) -> None:
    lane = lane_of(shop, wallet, clerk)
    payer = Payer(wallet, lane, client)
    assert payer.settle_up(shop.now) is None
    payer.accept(ASSETS[1], 30)
    payer.accept(ASSETS[0], 12)
    payer.accept(ASSETS[1], 8)
    settled = payer.settle_up(shop.now)
    assert settled is not None
    assert settled.voucher == Voucher(lane, 1, 50, (Line(ASSETS[0], 12), Line(ASSETS[1], 38)))
    assert payer.newest() == settled
    assert payer.settle_up(shop.now) is None
    payer.accept(ASSETS[2], 1)
    later = payer.settle_up(shop.now)
    assert later is not None
    assert (later.voucher.seq, later.voucher.total) == (2, 51)
    redeem(shop, wallet, later)
    assert wallet.channels.lane_state(lane)[0] == 51
    standing = wallet.standing()["lanes"][-1]
    shown = [standing[name] for name in ("limit", "owed", "countersigned", "redeemed", "refused", "closed")]
    assert shown == ["1000", "51", "51", "51", "", False]


def test_a_lane_owes_no_more_than_its_limit(shop: Shop, wallet: Wallet, clerk: ClerkServer, client: httpx.Client) -> None:
    lane = lane_of(shop, wallet, clerk)
    payer = Payer(wallet, lane, client)
    payer.accept(ASSETS[0], 600)
    with pytest.raises(LimitReached, match="would owe 1001, its limit is 1000") as refused:
        payer.accept(ASSETS[1], 401)
    assert (refused.value.total, refused.value.limit, payer.room) == (1001, 1000, 400)
    payer.accept(ASSETS[1], 400)
    settled = payer.settle_up(shop.now)
    assert settled is not None
    assert (settled.voucher.total, payer.room) == (1000, 0)
    with pytest.raises(ValueError, match="lines only grow"):
        payer.accept(ASSETS[0], -1)
    # Whoever gets hold of the session key cannot spend more either.
    forged = Voucher(lane, 2, 1001, (Line(ASSETS[0], 601), Line(ASSETS[1], 400)))
    signature = wallet.session(lane).sign_digest(voucher_digest(forged, 31337, shop.network.contracts.channels))
    lines = [{"asset": "0x" + line.asset.hex(), "money": line.money} for line in forged.lines]
    body = {"lane": "0x" + lane.hex(), "seq": 2, "total": 1001, "lines": lines, "signature": "0x" + signature.hex()}
    answer = client.post(f"{clerk.url}/v1/vouchers", json=body)
    assert (answer.status_code, answer.json()["reason"]) == (422, "over_limit")


def test_ten_assets_and_a_revocation_in_the_middle(shop: Shop, wallet: Wallet, clerk: ClerkServer, client: httpx.Client) -> None:
    lane = lane_of(shop, wallet, clerk)
    payer = Payer(wallet, lane, client)
    for number, asset in enumerate(ASSETS, 1):
        payer.accept(asset, 10 * number)
    settled = payer.settle_up(shop.now)
    assert settled is not None
    payer.accept(ASSETS[4], 5)
    wallet.revoke(lane)
    with pytest.raises(VoucherRefused, match=r"lane_revoked: the customer revoked the lane; it closes at \d+"):
        payer.settle_up(shop.now)
    assert wallet.standing()["lanes"][-1]["refused"].startswith("lane_revoked: ")
    assert wallet.close_what_can_be_closed() == []
    redeem(shop, wallet, settled)
    shop.go_to(wallet.channels.lane_state(lane)[1])
    free = wallet.free()
    assert [closed.fact.id for closed in wallet.close_what_can_be_closed()] == [lane]
    assert wallet.free() - free == LIMIT - 550
    assert wallet.close_what_can_be_closed() == []


def test_unspent_money_comes_back_with_nobody_else_alive(shop: Shop, client: httpx.Client, tmp_path: Path) -> None:
    own = shop.clerk("mortal", VERIFIERS[1])
    key_file(tmp_path / "wallet" / "account.key", OTHER)
    wallet = Wallet(tmp_path / "wallet", shop.network, shop.rpc)
    lane = lane_of(shop, wallet, own)
    second = lane_of(shop, wallet, own, 500)
    payer = Payer(wallet, lane, client)
    payer.accept(ASSETS[0], 100)
    settled = payer.settle_up(shop.now)
    assert settled is not None
    redeem(shop, wallet, settled)
    payer.accept(ASSETS[0], 50)
    # Now every verifier is gone, and the customer's folder too: only the account's key was written down.
    own.stop()
    shop.clerks.remove(own)
    with pytest.raises(ClerkUnreachable, match="does not answer"):
        payer.settle_up(shop.now)
    wallet.top_up(33)
    wallet.close()
    shutil.rmtree(tmp_path / "wallet")

    contracts, sender = shop.network.contracts, Sender(shop.rpc, OTHER)
    before = returns(shop.rpc, contracts, OTHER.address)
    assert [(each.lane.id, each.unspent, each.closable) for each in before.lanes] == [(lane, 900, False), (second, 500, False)]
    assert (before.free, before.now, before.later) == (33, 33, 1400)
    assert take_back(shop.rpc, contracts, sender) == 33
    assert {each.id for each in revoke_all(shop.rpc, contracts, sender)} == {lane, second}
    assert revoke_all(shop.rpc, contracts, sender) == []
    waiting = returns(shop.rpc, contracts, OTHER.address)
    shop.go_to(waiting.lanes[-1].lane.closes_at_unix_s)
    assert returns(shop.rpc, contracts, OTHER.address).as_dict()["now"] == "1400"
    # Somebody closes one of them first.
    Channels(shop.rpc, contracts, Sender(shop.rpc, FOUNDER)).close(waiting.lanes[0].lane)
    assert take_back(shop.rpc, contracts, sender) == 1400
    after = returns(shop.rpc, contracts, OTHER.address)
    assert (after.lanes, after.free, after.balance) == ((), 0, before.balance + 1433)
    assert take_back(shop.rpc, contracts, sender) == 0


def test_after_a_lost_answer_the_very_same_voucher_is_sent(shop: Shop, wallet: Wallet, clerk: ClerkServer, client: httpx.Client) -> None:
    lane = lane_of(shop, wallet, clerk)
    payer = Payer(wallet, lane, client)
    payer.accept(ASSETS[0], 7)
    clerk.bodies.clear()
    clerk.loses_answers = True
    try:
        with pytest.raises(ClerkUnreachable):
            payer.settle_up(shop.now)
    finally:
        clerk.loses_answers = False
    payer.accept(ASSETS[0], 1)
    # A new process: everything it knows is in the folder.
    settled = Payer(wallet, lane, client).settle_up(shop.now)
    assert settled is not None
    first, again, next_ = clerk.bodies
    assert first == again
    assert (msgspec.json.decode(again)["total"], msgspec.json.decode(next_)["total"]) == (7, 8)
    assert (settled.voucher.seq, settled.voucher.total) == (2, 8)


DYING = """
import sys
from pathlib import Path
import httpx
from subak.chain.network_file import load_network
from subak.chain.rpc import Rpc
from subak.customer.billing import Bill, BillLine, Unbilled
from subak.customer.paying import Payer
from subak.customer.wallet import Wallet

folder, network, lane, clerk = sys.argv[1:]
network = load_network(Path(network))
wallet = Wallet(Path(folder), network, Rpc(network.nodes.rpc))
payer = Payer(wallet, bytes.fromhex(lane), httpx.Client(timeout=60.0, trust_env=False), clerk)
payer.accept(b"\\x01" * 32, 9)
payer.settle_up(0)
"""


def test_a_process_killed_between_keeping_and_sending(
    shop: Shop, wallet: Wallet, clerk: ClerkServer, client: httpx.Client, tmp_path: Path
) -> None:
    lane = lane_of(shop, wallet, clerk)
    write_network(tmp_path / "network.toml", shop.network)
    # It takes connections and never answers.
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        command = [sys.executable, "-c", DYING, str(tmp_path / "wallet"), str(tmp_path / "network.toml"), lane.hex(), url]
        dying = subprocess.Popen(command)
        deadline = time.monotonic() + 30
        while (kept := wallet.store.pending(lane)) is None:
            assert dying.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        dying.send_signal(signal.SIGKILL)
        dying.wait()
    clerk.bodies.clear()
    settled = Payer(wallet, lane, client).settle_up(shop.now)
    assert settled is not None
    assert (settled.voucher, settled.signature) == (kept.voucher, kept.signature)
    assert settled.voucher.total == 9
    assert [msgspec.json.decode(body)["signature"] for body in clerk.bodies] == ["0x" + kept.signature.hex()]


def test_a_restored_backup_learns_from_the_clerk(
    shop: Shop, wallet: Wallet, clerk: ClerkServer, client: httpx.Client, tmp_path: Path
) -> None:
    lane = lane_of(shop, wallet, clerk)
    payer = Payer(wallet, lane, client)
    payer.accept(ASSETS[0], 10)
    payer.settle_up(shop.now)
    backup = tmp_path / "backup"
    with closing(sqlite3.connect(tmp_path / "wallet" / "wallet.sqlite")) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    for _ in range(2):
        payer.accept(ASSETS[0], 10)
        payer.accept(ASSETS[1], 1)
        payer.settle_up(shop.now)
    wallet.close()
    for name in ("wallet.sqlite-wal", "wallet.sqlite-shm"):
        (tmp_path / "wallet" / name).unlink(missing_ok=True)
    shutil.copy(backup, tmp_path / "wallet" / "wallet.sqlite")

    restored = Wallet(tmp_path / "wallet", shop.network, shop.rpc)
    payer = Payer(restored, lane, client)
    payer.accept(ASSETS[0], 10)
    found = payer.settle_up(shop.now)
    assert found is not None
    # Voucher 2 of the backup was never countersigned: the clerk has another one, and a third.
    assert found.voucher == Voucher(lane, 3, 32, (Line(ASSETS[0], 30), Line(ASSETS[1], 2)))
    assert restored.store.lines(lane) == {ASSETS[0]: 20}
    assert restored.store.owed(lane) == {ASSETS[0]: 30, ASSETS[1]: 2}
    # What is billed again is paid once; what is new comes on top.
    payer.accept(ASSETS[0], 10)
    assert payer.settle_up(shop.now) is None
    payer.accept(ASSETS[0], 5)
    settled = payer.settle_up(shop.now)
    assert settled is not None
    assert (settled.voucher.seq, settled.voucher.total) == (4, 37)
    restored.close()


def test_lanes_that_a_folder_forgot_are_found_on_the_chain(shop: Shop, wallet: Wallet, clerk: ClerkServer, tmp_path: Path) -> None:
    lane = lane_of(shop, wallet, clerk)
    wallet.close()
    for name in ("wallet.sqlite", "wallet.sqlite-wal", "wallet.sqlite-shm"):
        (tmp_path / "wallet" / name).unlink(missing_ok=True)
    found = Wallet(tmp_path / "wallet", shop.network, shop.rpc)
    with pytest.raises(LookupError, match="none of this wallet's"):
        found.store.lane(lane)
    found.sync()
    # Lanes of the same account whose keys are in other folders are not ours to sign on.
    assert [each.fact.id for each in found.store.lanes()] == [lane]
    assert found.session(lane).address == found.store.lane(lane).fact.key
    found.close()


def test_who_signs_for_the_clerk(shop: Shop, wallet: Wallet, clerk: ClerkServer, client: httpx.Client) -> None:
    stranger = shop.clerk("stranger", VERIFIERS[2])
    lane = lane_of(shop, wallet, clerk)
    payer = Payer(wallet, lane, client, stranger.url)
    payer.accept(ASSETS[0], 1)
    with pytest.raises(VoucherRefused, match="not_this_clerk"):
        payer.settle_up(shop.now)
    with pytest.raises(ClerkUnreachable, match="answered 404: is this a verifier's address"):
        Payer(wallet, lane, client, f"{clerk.url}/nothing").settle_up(shop.now)
    assert Payer(wallet, lane, client).settle_up(shop.now) is not None


def test_a_lane_that_is_over_takes_no_voucher(shop: Shop, wallet: Wallet, clerk: ClerkServer, client: httpx.Client) -> None:
    lane = lane_of(shop, wallet, clerk)
    payer = Payer(wallet, lane, client)
    payer.accept(ASSETS[0], 1)
    with pytest.raises(VoucherRefused, match="lane_closed"):
        payer.settle_up(wallet.store.lane(lane).fact.closes_at_unix_s)
    assert wallet.store.pending(lane) is None
    with pytest.raises(ValueError, match=r"1 to 10\^38 - 1"):
        wallet.open_lane(clerk.clerk.address, 10**38, shop.now + DAY)
    wallet.withdraw()
    with pytest.raises(ChainRefused, match="Channels_TooLittleFree"):
        wallet.open_lane(clerk.clerk.address, 1, shop.now + DAY)


def test_passes_are_the_lanes_and_short(shop: Shop, wallet: Wallet, clerk: ClerkServer, client: httpx.Client) -> None:
    lane = lane_of(shop, wallet, clerk)
    payer, now = Payer(wallet, lane, client), shop.now
    fact = wallet.store.lane(lane).fact
    shown = read_pass(payer.pass_for(ASSETS[0], now))
    assert (shown.lane, shown.until_unix_s) == (lane, now + PASS_SECONDS)
    assert pass_fault(shown, ASSETS[0], fact.key, now, recover) is None
    assert pass_fault(shown, ASSETS[1], fact.key, now, recover) is not None
    assert payer.pass_for(ASSETS[0], now + PASS_SECONDS // 2) == shown.header
    assert read_pass(payer.pass_for(ASSETS[0], now + PASS_SECONDS // 2 + 1)).until_unix_s == now + PASS_SECONDS // 2 + 1 + PASS_SECONDS
    last = fact.expiry_unix_s - 10
    assert read_pass(payer.pass_for(ASSETS[0], last)).until_unix_s == fact.expiry_unix_s
    assert read_pass(payer.pass_for(ASSETS[0], last + 9)).until_unix_s == fact.expiry_unix_s
    with pytest.raises(ValueError, match="expired at"):
        payer.pass_for(ASSETS[0], fact.expiry_unix_s)


def test_an_epoch_is_billed_once(wallet: Wallet) -> None:
    bill = Bill((BillLine(3, ASSETS[0], "energy", 5, 1, 1, 0),), (Unbilled(3, ASSETS[1], "energy", "because"),))
    wallet.store.bill(3, b"\x03" * 32, bill, None)
    with pytest.raises(AlreadyBilled, match=f"epoch 3 was billed from the verdicts {'03' * 32}, now they are {'04' * 32}"):
        wallet.store.bill(3, b"\x04" * 32, Bill(), None)
    with pytest.raises(ValueError, match=r"a bill over 5 for epoch 4"):
        wallet.store.bill(4, b"\x04" * 32, Bill((BillLine(4, ASSETS[0], "energy", 5, 1, 1, 5),)), None)
    with pytest.raises(ValueError, match=r"speaks of the epochs \[3\]"):
        wallet.store.bill(4, b"\x04" * 32, bill, None)
    assert wallet.store.bills() == bill
    assert wallet.store.billed(0, 9) == {3}
