"""A customer's money through the door: wallet, channel, lanes; and what is refused, in a line with its remedy."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from subak.chain.accounts import Account
from subak.chain.channels import Erc20
from subak.chain.contracts import Sender
from subak.core.canon.vouchers import Line, Voucher
from subak.customer.billing import Bill, BillLine, Unbilled
from subak.customer.wallet import Wallet

from .paper import ALICE, BOB, DAY, DOLLAR, TOKEN, VERIFIER, Done, Paper, door, key_file

DELAY = 2 * DAY + 3600


@pytest.fixture(scope="module")
def wallet(paper: Paper) -> Path:
    """A wallet with 100 TUSD, of a customer who has one."""
    folder = paper.folder / "wallet"
    done = door("wallet", "create", "--network", paper.file, "--wallet", folder, "--json").json()
    account = bytes.fromhex(done["account"][2:])
    paper.chain.fund(account, TOKEN)
    Erc20(paper.rpc, paper.network.contracts.payment).transfer(Sender(paper.rpc, ALICE), account, 100 * DOLLAR)
    return folder


def ask(paper: Paper, wallet: Path, *words: object) -> Done:
    return door(*words, "--network", paper.file, "--wallet", wallet)


def tell(paper: Paper, wallet: Path, *words: object) -> dict[str, object]:
    told: dict[str, object] = ask(paper, wallet, *words, "--json").json()
    return told


def money(told: object) -> tuple[str, str, str]:
    assert isinstance(told, dict)
    return told["base_units"], told["units"], told["symbol"]


def test_a_wallet_is_made_once_and_is_its_owners(paper: Paper, wallet: Path) -> None:
    assert oct((wallet / "account.key").stat().st_mode & 0o777) == "0o600"
    again = ask(paper, wallet, "wallet", "create")
    assert again.code == 1
    assert f"{wallet} holds a wallet already" in again.err
    none = ask(paper, wallet.parent / "none", "wallet", "show")
    assert none.code == 1
    assert "there is no wallet in" in none.err
    assert "subak wallet create" in none.err
    assert not (wallet.parent / "none").exists()


def test_money_goes_in_and_out_exactly(paper: Paper, wallet: Path) -> None:
    told = tell(paper, wallet, "channel", "deposit", "60.000001")
    assert money(told["deposited"]) == ("60000001", "60.000001", "TUSD")
    assert "paid in 0.5 TUSD; 60.500001 TUSD of the channel are free" in ask(paper, wallet, "channel", "deposit", "0.5").out
    told = tell(paper, wallet, "channel", "withdraw", "10.500001")
    assert (money(told["withdrawn"])[0], money(told["free"])[0]) == ("10500001", "50000000")
    shown = tell(paper, wallet, "wallet", "show")
    assert money(shown["payment"]) == (str(50 * DOLLAR), "50", "TUSD")
    assert money(shown["token"]) == ("0", "0", "SUBAK")
    assert money(shown["free"]) == (str(50 * DOLLAR), "50", "TUSD")
    assert 0 < int(str(shown["coin_wei"])) < TOKEN
    assert shown["lanes"] == []
    words = ask(paper, wallet, "wallet", "show").out
    assert "holds      50 TUSD" in words
    assert "no lane is open" in words


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("channel", "deposit", "1.0000001"), "the amount is 1.0000001: TUSD has 6 digits after the point, not 7"),
        (("channel", "deposit", "1,5"), "the amount is '1,5': write it as 12.5, in TUSD"),
        (("channel", "deposit", "1e3"), "the amount is '1e3'"),
        (("channel", "deposit", "0.000000"), "changes nothing: name more"),
        (("channel", "deposit", "50.000001"), "holds 50 TUSD, and 50.000001 TUSD are to be paid in"),
        (("channel", "withdraw", "50.000001"), "50 TUSD of the channel are free, not 50.000001 TUSD: revoke lanes"),
        (("lane", "open", "--limit", "51"), "50 TUSD of the channel are free, not 51 TUSD: `subak channel deposit 1`"),
        (("lane", "open", "--limit", "0"), "name a limit"),
        (("lane", "open", "--limit", "1", "--clerk", "0x12"), "the clerk is '0x12': write 0x and 40 hex digits"),
        (("lane", "open", "--limit", "1", "--clerk", "0x" + BOB.address.hex()), "behind a lane of 0 TUSD at most, not 1 TUSD"),
        (("lane", "open", "--limit", "1", "--clerk", "http://127.0.0.1:1"), "http://127.0.0.1:1/v1/status: "),
        (("lane", "revoke", "0xff"), "no lane of this wallet is 0xff: `subak lane list` names them"),
        (("lane", "revoke"), "name one lane, or all of them with --all"),
        (("lane", "close", "0xff"), "no lane of this wallet is 0xff"),
    ],
)
def test_what_cannot_be_is_a_line_with_its_remedy(paper: Paper, wallet: Path, words: tuple[str, ...], says: str) -> None:
    done = ask(paper, wallet, *words)
    assert (done.code, done.out) == (1, "")
    assert says in done.err
    assert "\n" not in done.err


def test_a_clerk_of_another_network_is_none(paper: Paper, wallet: Path) -> None:
    before = paper.told["/v1/status"]
    paper.told["/v1/status"] = json.dumps({"verifier": "0x" + VERIFIER.address.hex(), "network": "0x" + "00" * 32}).encode()
    url = paper.network.nodes.verifiers[0]
    done = ask(paper, wallet, "lane", "open", "--limit", "1", "--clerk", url)
    nobody = ask(paper, wallet, "lane", "open", "--limit", "1")
    paper.told["/v1/status"] = before
    assert "is a verifier of another network" in done.err
    assert "none of the 1 verifiers in network.toml answers" in nobody.err


def test_the_life_of_a_lane(paper: Paper, wallet: Path) -> None:
    now = paper.now
    opened = tell(paper, wallet, "lane", "open", "--limit", "20", "--days", "3")
    assert (opened["clerk"], opened["clerk_url"]) == ("0x" + VERIFIER.address.hex(), paper.network.nodes.verifiers[0])
    assert now + 3 * DAY <= int(str(opened["expiry_unix_s"])) <= now + 3 * DAY + 60
    assert int(str(opened["closes_at_unix_s"])) == int(str(opened["expiry_unix_s"])) + DELAY
    other = tell(paper, wallet, "lane", "open", "--limit", "5", "--clerk", "0x" + VERIFIER.address.hex())
    assert int(str(other["expiry_unix_s"])) > now + 5 * DAY, "as long as the chain allows"
    lanes = tell(paper, wallet, "lane", "list")["lanes"]
    assert isinstance(lanes, list)
    assert [(each["lane"], each["state"], each["limit"]["units"]) for each in lanes] == [
        (opened["lane"], "open", "20"),
        (other["lane"], "open", "5"),
    ]
    shown = tell(paper, wallet, "channel", "show")
    assert (money(shown["now"])[1], money(shown["later"])[1]) == ("25", "25")

    begins = str(opened["lane"])[:14]
    early = ask(paper, wallet, "lane", "close", begins)
    assert early.code == 1
    assert "can be closed from 201" in early.err
    assert f"revoked {opened['lane']}" in ask(paper, wallet, "lane", "revoke", begins).out
    words = ask(paper, wallet, "wallet", "show").out
    assert f"{opened['lane']}  revoked: 0 of 20 TUSD owed, 0 redeemed; closes 201" in words
    revoked = tell(paper, wallet, "lane", "revoke", "--all")["revoked"]
    assert isinstance(revoked, list)
    assert [each["lane"] for each in revoked] == [other["lane"]], "the first closes soon enough as it is"

    paper.go_to(paper.now + DELAY)
    closed = tell(paper, wallet, "lane", "close", begins)
    assert closed["closed"] == [opened["lane"], other["lane"]]
    assert money(closed["free"])[1] == "50"
    assert tell(paper, wallet, "lane", "list")["lanes"] == []
    every = tell(paper, wallet, "lane", "list", "--all")["lanes"]
    assert isinstance(every, list)
    assert [each["state"] for each in every] == ["closed", "closed"]
    tell(paper, wallet, "lane", "open", "--limit", "30")
    left = tell(paper, wallet, "channel", "withdraw")
    assert (money(left["withdrawn"])[1], money(left["free"])[1], money(left["in_lanes"])[1]) == ("20", "0", "30")


def test_a_bill_says_what_is_paid_of_each_line(paper: Paper, tmp_path: Path) -> None:
    """15 owed in three lines, 9 countersigned: the first line and a part of the second are paid."""
    folder = tmp_path / "wallet"
    wallet = Wallet(folder, paper.network, paper.rpc)
    paper.chain.fund(wallet.account.address, TOKEN)
    Erc20(paper.rpc, paper.network.contracts.payment).transfer(Sender(paper.rpc, BOB), wallet.account.address, 100 * DOLLAR)
    wallet.open_channel(50)
    lane = wallet.open_lane(VERIFIER.address, 50, paper.now + DAY)
    sun, disk = bytes([1]) * 32, bytes([2]) * 32
    lines = [
        BillLine(3, sun, "energy", 1500, 4, 1000, 6),
        BillLine(4, sun, "energy", 1000, 4, 1000, 4),
        BillLine(5, sun, "energy", 9, 1, 1, 5),
    ]
    lines.append(BillLine(5, disk, "storage", 7, 1, 1, 7))
    for epoch in (3, 4, 5):
        missed = (Unbilled(epoch, disk, "storage", "it did not answer for all that it holds"),) if epoch == 4 else ()
        wallet.store.bill(epoch, bytes(32), Bill(tuple(each for each in lines if each.epoch == epoch), missed), lane.id)
    wallet.store.keep_voucher(Voucher(lane.id, 1, 9, (Line(sun, 9),)), bytes(64), bytes(64))
    wallet.close()

    told = door("bill", "--network", paper.file, "--wallet", folder, "--json").json()
    assert [(each["epoch"], each["money"]["base_units"], each["paid"]["base_units"]) for each in told["lines"]] == [
        (3, "6", "6"),
        (4, "4", "3"),
        (5, "5", "0"),
        (5, "7", "0"),
    ]
    assert [told[name]["units"] for name in ("money", "paid", "open")] == ["0.000022", "0.000009", "0.000013"]
    assert [each["why"] for each in told["unbilled"]] == ["it did not answer for all that it holds"]
    csv = door("bill", "--network", paper.file, "--wallet", folder, "--csv", "--first", 4, "--last", 4).out
    assert csv.splitlines() == [
        "epoch,day,kind,asset,units,price,per_units,money,paid,currency",
        f"4,2018-01-01,energy,0x{sun.hex()},1000,0.000004,1000,0.000004,0.000003,TUSD",
    ]
    words = door("bill", "--network", paper.file, "--wallet", folder).out
    assert "epoch 4, storage of 0x020202020202…: not bought, it did not answer for all that it holds" in words
    assert words.splitlines()[-1] == "0.000022 TUSD in all, 0.000009 TUSD paid, 0.000013 TUSD open"


def test_the_loop_says_what_it_cannot_do_and_where_its_file_is_wrong(paper: Paper, tmp_path: Path) -> None:
    config = tmp_path / "customer.toml"
    config.write_text(f'clerk = "{paper.network.nodes.verifiers[0]}"\nlimit = 0\n')
    wrong = door("customer", "--network", paper.file, "--config", config, "--once")
    assert wrong.code == 1
    assert f"{config}: limit = 0 is not in 1 to 10^38 - 1" in wrong.err
    config.write_text(f'clerk = "{paper.network.nodes.verifiers[0]}"\nlimit = 5\nbudget = 5\n')
    poor = door("customer", "--network", paper.file, "--config", config, "--once")
    assert poor.code == 1
    assert "holds 0 payment units, and 5 are needed" in poor.out
    told = door("customer", "--network", paper.file, "--config", config, "--once", "--json")
    assert told.code == 1
    assert "holds 0 payment units" in json.loads(told.out)["troubles"][0]
    account = Account.load(tmp_path / "wallet" / "account.key")
    paper.chain.fund(account.address, TOKEN)
    Erc20(paper.rpc, paper.network.contracts.payment).transfer(Sender(paper.rpc, BOB), account.address, 5)
    opened = json.loads(door("customer", "--network", paper.file, "--config", config, "--once", "--json").out)
    assert (len(opened["opened"]), opened["troubles"]) == (1, [])


def test_no_gas_is_said_so(paper: Paper, tmp_path: Path) -> None:
    folder = tmp_path / "wallet"
    account = door("wallet", "create", "--network", paper.file, "--wallet", folder, "--json").json()["account"]
    Erc20(paper.rpc, paper.network.contracts.payment).transfer(Sender(paper.rpc, BOB), bytes.fromhex(account[2:]), 5)
    done = door("channel", "deposit", "0.000005", "--network", paper.file, "--wallet", folder)
    assert done.code == 1
    assert "too little of the chain's own coin to pay for gas" in done.err


def test_a_folder_that_others_can_enter_is_refused(paper: Paper, tmp_path: Path) -> None:
    folder = tmp_path / "wallet"
    folder.mkdir()
    key = key_file(tmp_path, BOB)
    os.rename(key, folder / "account.key")
    folder.chmod(0o755)
    done = door("wallet", "show", "--network", paper.file, "--wallet", folder)
    assert done.code == 1
    assert "chmod 700" in done.err
