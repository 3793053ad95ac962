"""Raises and shares through the door: one that succeeds, proves what it built and pays its holders; one that fails and pays back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from subak.chain.channels import Erc20
from subak.chain.contracts import Sender

from .paper import ALICE, BOB, BUILDER, CELL, DAY, DOLLAR, FOUNDER, GENESIS, HOUR, ISSUER, Paper, door

TERMS = """
name = "Roof of Fontana"
symbol = "ROOF"
soft_cap = "150.50"
hard_cap = 200
raise_end = {end}
build_end = {built}
topics = ["person"]
[[milestones]]
amount_bps = 4000
[[milestones]]
asset = "0x{asset}"
amount_bps = 6000
min_units = 10_000
min_paid_epochs = 2
"""


@pytest.fixture(scope="module")
def roof(paper: Paper) -> bytes:
    """An asset of the builder's, registered through the door."""
    told = door(
        *("assets", "register", "--network", paper.file, "--key", paper.key(BUILDER), "--key-file", paper.folder / "roof.key"),
        *("--kind", "energy", "--cell", CELL, "--rated", 5000, "--with-proof", "--json"),
    ).json()
    assert (told["curve"], told["registered"], told["proved"]) == (2, True, True)
    return bytes.fromhex(told["asset"][2:])


def terms(paper: Paper, roof: bytes, end_unix_s: int, folder: Path) -> Path:
    at = datetime.fromtimestamp(end_unix_s, UTC)
    path = folder / "raise.toml"
    built = datetime.fromtimestamp(GENESIS + 300 * DAY, UTC).date()
    path.write_text(TERMS.format(end=f"{at:%Y-%m-%dT%H:%M:%SZ}", built=built, asset=roof.hex()))
    return path


def test_a_raise_that_succeeds(paper: Paper, roof: bytes, tmp_path: Path) -> None:
    file, network = terms(paper, roof, paper.now + 10 * DAY, tmp_path), ("--network", paper.file)
    by = {
        name: ("--key", paper.key(account)) for name, account in (("builder", BUILDER), ("alice", ALICE), ("bob", BOB), ("issuer", ISSUER))
    }
    created = door("raise", "create", file, *network, *by["builder"], "--json").json()
    shares = created["shares"]
    assert (created["soft_cap"]["base_units"], created["hard_cap"]["base_units"]) == (str(150_500_000), str(200 * DOLLAR))
    assert [each["symbol"] for each in door("raise", "list", *network, "--json").json()["raises"]] == ["ROOF"]

    refused = door("raise", "contribute", shares, "100", *network, *by["alice"])
    assert refused.code == 1
    assert "AssetShares_BadReceiver" in refused.err
    for account in (ALICE, BOB):
        door("attest", "give", "0x" + account.address.hex(), "person", "--days", 400, *network, *by["issuer"], "--json").json()
    assert "takes 150.5 TUSD to 200 TUSD" in door("raise", "show", shares, *network).out
    door("raise", "contribute", shares, "120", *network, *by["alice"], "--json").json()
    assert ", 30.5 TUSD lack" in door("raise", "show", shares, *network).out
    early = door("raise", "finish", shares, *network, *by["bob"])
    assert early.code == 1
    assert "or until 80 TUSD more are paid in: wait" in early.err
    rest = door("raise", "contribute", shares, "100", *network, *by["bob"])
    assert "paid in 80 TUSD, which is all that the hard cap leaves of 100 TUSD" in rest.out

    finished = door("raise", "finish", shares, *network, *by["bob"], "--json").json()
    assert (finished["state"], [each["milestone"] for each in finished["released"]]) == ("live", [0])
    assert finished["released"][0]["money"]["units"] == "80"
    payment = Erc20(paper.rpc, paper.network.contracts.payment)
    assert payment.balance(BUILDER.address) == 80 * DOLLAR

    nothing = door("raise", "milestone", shares, 1, *network, *by["bob"])
    assert "no epoch is final yet" in nothing.err
    accounts, leaf = {bytes(BUILDER.address): (5, 0)}, {roof: (9_999, 5, 0, 2), bytes([9]) * 32: (1, 0, 0, 0)}
    paper.finalise(accounts, leaf)
    low = door("raise", "milestone", shares, 1, *network, *by["bob"])
    assert (low.code, "needs 10,000 units and 2 paid epochs; final are 9,999 and 2: wait for more" in low.err) == (1, True)
    paper.finalise(accounts, leaf | {roof: (10_000, 5, 0, 2)})
    not_owned = door("raise", "milestone", shares, 1, *network, *by["bob"])
    assert "AssetShares_NotOwned" in not_owned.err
    assert "give the asset to the share contract first" in not_owned.err
    Sender(paper.rpc, BUILDER).send(
        paper.contract("Assets"), "safeTransferFrom", BUILDER.address, bytes.fromhex(shares[2:]), int.from_bytes(roof, "big")
    )
    paid = door("raise", "milestone", shares, 1, *network, *by["bob"], "--json").json()
    assert (paid["money"]["units"], paid["units"], paid["paid_epochs"]) == ("120", 10_000, 2)
    assert payment.balance(BUILDER.address) == 200 * DOLLAR
    assert "milestone 1: 60 % for 10,000 units and 2 paid epochs by 0x" in door("raise", "show", shares, *network).out
    assert "no milestone 2: they are 0 to 1" in door("raise", "milestone", shares, 2, *network, *by["bob"]).err

    # Ten TUSD of revenue arrive; then Bob gives half of his shares away, and what was his before stays his.
    payment.transfer(Sender(paper.rpc, BUILDER), bytes.fromhex(shares[2:]), 10 * DOLLAR)
    show = door("shares", "show", shares, "--account", "0x" + BOB.address.hex(), *network, "--json").json()
    assert (show["held"]["units"], show["of"]["units"]) == ("80", "200")
    assert [(each["units"], each["symbol"]) for each in show["withdrawable"]] == [("4", "TUSD"), ("0", "SUBAK")]
    too_many = door("shares", "transfer", shares, "0x" + ALICE.address.hex(), "80.1", *network, *by["bob"])
    assert "holds 80 ROOF, not 80.1" in too_many.err
    stranger = door("shares", "transfer", shares, "0x" + FOUNDER.address.hex(), "1", *network, *by["bob"])
    assert "AssetShares_BadReceiver" in stranger.err
    door("shares", "transfer", shares, "0x" + ALICE.address.hex(), "40", *network, *by["bob"], "--json").json()
    for account, due in ((BOB, "4"), (ALICE, "6")):
        told = door("shares", "withdraw", shares, "--account", "0x" + account.address.hex(), *network, *by["alice"], "--json").json()
        assert [(each["units"], each["symbol"]) for each in told["paid"]] == [(due, "TUSD")]
    assert "nothing is due to" in door("shares", "withdraw", shares, *network, *by["bob"]).out
    assert "only after a raise that failed: this one is in the state live" in door("raise", "refund", shares, *network, *by["bob"]).err


def test_a_raise_that_fails(paper: Paper, roof: bytes, tmp_path: Path) -> None:
    file, network = terms(paper, roof, paper.now + HOUR, tmp_path), ("--network", paper.file)
    shares = door("raise", "create", file, *network, "--key", paper.key(BUILDER), "--json").json()["shares"]
    payment = Erc20(paper.rpc, paper.network.contracts.payment)
    before = payment.balance(ALICE.address)
    door("raise", "contribute", shares, "25", *network, "--key", paper.key(ALICE), "--json").json()
    kept = door(
        *("assets", "register", *network, "--key", paper.key(BUILDER), "--key-file", tmp_path / "barn.key"),
        *("--kind", "energy", "--cell", CELL, "--rated", 5000, "--json"),
    ).json()["asset"]
    to_shares = (BUILDER.address, bytes.fromhex(shares[2:]), int(kept, 16))
    Sender(paper.rpc, BUILDER).send(paper.contract("Assets"), "safeTransferFrom", *to_shares)
    payment.transfer(Sender(paper.rpc, BUILDER), bytes.fromhex(shares[2:]), 3)
    paper.go_to(paper.now + 2 * HOUR)
    told = door("raise", "finish", shares, *network, "--key", paper.key(BOB), "--json").json()
    assert (told["state"], told["returned_assets"]) == ("refund", [kept])
    assert [each["base_units"] for each in told["returned_earnings"]] == ["3"]
    assert paper.contract("Assets").call("ownerOf", int(kept, 16)) == BUILDER.address
    assert "failed, everybody can have their money back" in door("raise", "show", shares, *network).out
    done = door("raise", "refund", shares, *network, "--key", paper.key(BOB), "--account", "0x" + ALICE.address.hex())
    assert "25 TUSD are back at 0x" + ALICE.address.hex() in done.out
    assert payment.balance(ALICE.address) == before
    late = door("raise", "milestone", shares, 0, *network, "--key", paper.key(BOB))
    assert "only after a raise that succeeded" in late.err


def test_money_goes_to_no_contract_of_strangers(paper: Paper) -> None:
    other = "0x" + paper.network.contracts.payment.hex()
    done = door("raise", "contribute", other, "1", "--network", paper.file, "--key", paper.key(ALICE))
    assert (done.code, "is no share contract of this network" in done.err) == (1, True)
    done = door("shares", "show", "0x12", "--account", other, "--network", paper.file)
    assert "the share contract is '0x12': write 0x and 40 hex digits" in done.err


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('soft_cap = "150.50"', 'soft_cap = "150.5000001"', "soft_cap is 150.5000001: TUSD has 6 digits"),
        ('soft_cap = "150.50"', "soft_cap = 150.50", "`$.soft_cap`"),
        ("hard_cap = 200", "", "missing required field `hard_cap`"),
        ("raise_end = {end}", 'raise_end = "soon"', "raise_end is 'soon': write a day as 2017-07-01"),
        ("amount_bps = 6000", "amount_bps = 5999", "the milestones' amount_bps add up to 9999, not to 10000"),
        ('asset = "0x{asset}"', 'asset = "0x12"', "`$.milestones[1].asset`"),
        ("symbol =", "ticker =", "unknown field `ticker`"),
        ("topics = [", "topics = ", ""),
    ],
)
def test_terms_that_are_wrong_are_named(paper: Paper, tmp_path: Path, old: str, new: str, words: str) -> None:
    path = tmp_path / "raise.toml"
    text = TERMS.replace(old, new).format(end="2017-07-01", built="2017-08-01", asset="11" * 32)
    path.write_text(text)
    done = door("raise", "create", path, "--network", paper.file, "--key", paper.key(BUILDER))
    assert done.code == 1
    assert f"{path}: " in done.err
    assert words in done.err
