"""The pages as a reader gets them: a real chain, a real archive behind HTTP, a real server, a real browser."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from browser import open_browser
from market import ANN, BOB, CID, EVIL_ENDPOINT, EVIL_WHY, MASON, SCRIPT, WIDOW, Market, open_market
from serving import Page, Site, archive_of, explorer_of, squeezed, until
from small_town import CHEATS

from subak.archive.store import HttpArchive
from subak.chain.channels import Channels
from subak.chain.deploy import contract
from subak.chain.governance import Governance
from subak.chain.settlement import Settlement
from subak.chain.shares import RaiseState
from subak.core.nouns import State
from subak.core.settlement.money import to_ints
from subak.explorer import tables
from subak.explorer.statements import UnknownAsset, in_words, statement
from subak.verifier.checking import check
from subak.verifier.replaying import replay

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PAGES = ("/", "/epochs", "/epochs/3", "/assets", "/accounts", "/customers", "/raises", "/proposals", "/refusals", "/about")
NOBODYS = (
    *("/epochs/99", "/epochs/99999999999999999999999", "/assets/0x01", f"/assets/0x{'ab' * 32}", "/nothing"),
    *("/accounts/zz", f"/accounts/0x{'ab' * 20}", "/customers/0x", f"/customers/0x{'ab' * 20}", "/raises/zz", f"/raises/0x{'ab' * 20}"),
)
"""Pages of what is not there."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Market, Site]]:
    """The market's story: six homes, two of them dishonest; epochs 0 and 1 one by one, then 2 to 4 settled at once, then 5."""
    folder = tmp_path_factory.mktemp("site")
    market = open_market(folder)
    try:
        with archive_of(folder) as archive_url, explorer_of(market.town, archive_url, folder / "explorer.sqlite") as site:
            until(lambda: site.get("/healthz").json()["last_epoch"] == 5)
            yield market, site
    finally:
        market.town.chain.stop()


@pytest.fixture(scope="module")
def market(served: tuple[Market, Site]) -> Market:
    return served[0]


@pytest.fixture(scope="module")
def site(served: tuple[Market, Site]) -> Site:
    return served[1]


@pytest.fixture(scope="module")
def state(market: Market) -> State:
    """The last final one: what every figure is compared with."""
    return market.state()


def _hex(value: bytes) -> str:
    return "0x" + value.hex()


def _asset(market: Market, number: int) -> str:
    return _hex(market.home(number).asset)


def _ints(table: pl.DataFrame, name: str) -> list[int]:
    """A column of money or numbers."""
    return to_ints(table[name]) if isinstance(table.schema[name], pl.Decimal) else table[name].to_list()


def _by_id(table: pl.DataFrame, name: str, key: str = "asset") -> dict[str, int]:
    return dict(zip(map(_hex, table[key].to_list()), _ints(table, name), strict=True))


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_plain_html_that_forbids_scripts(site: Site, path: str) -> None:
    answer = site.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'; img-src 'self' data:;")
    page = Page(answer.text)
    assert "script" not in page.tags
    assert not [value for tag, names in page.attributes for name, value in names if name == "style" or name.startswith("on")]
    assert ("html", [("lang", "en")]) in page.attributes
    assert page.tags.count("h1") == 1
    assert "main" in page.tags
    assert all(dict(names).get("scope") in ("col", "row") for tag, names in page.attributes if tag == "th")
    assert page.tags.count("caption") == page.tags.count("table")
    assert all("//" not in dict(names).get("href", "") for tag, names in page.attributes if tag == "link" and ("rel", "icon") not in names)


@pytest.mark.parametrize("path", [page for page in PAGES if page != "/"] + ["/index"])
def test_every_page_is_there_as_json(site: Site, path: str) -> None:
    answer = site.get(path + ".json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["network"]["contracts"]["settlement"] == "0x" + site.town.network.contracts.settlement.hex()
    assert not re.search(r'":\s*-?\d+\.\d', answer.text), "no number in it is a float"
    assert answer.json()["network"]["payment"] == {"symbol": "TUSD", "decimals": 6}


def test_every_link_leads_somewhere_and_nothing_of_strangers_is_one(market: Market, site: Site) -> None:
    seen: set[str] = set()
    due = ["/"]
    while due and len(seen) < 400:
        path = due.pop()
        if path in seen:
            continue
        seen.add(path)
        answer = site.get(path)
        assert answer.status_code == 200, path
        if answer.headers["content-type"].startswith("text/html"):
            links = [dict(names).get("href", "") for tag, names in Page(answer.text).attributes if tag == "a"]
            assert all(link[:1] in "/?#" for link in links), path
            due += [link if link.startswith("/") else f"{path.split('?')[0]}{link}" for link in links if link[:1] in "/?"]
    assert {f"/assets/{_asset(market, 1)}", "/epochs/0", f"/refusals?asset={_asset(market, 4)}&reason=at_night"} <= seen
    assert {f"/assets/{_hex(market.site)}", f"/customers/{_hex(ANN.address)}", f"/accounts/{_hex(MASON.address)}"} <= seen
    assert {f"/raises/{_hex(raised.contract.address)}" for raised in market.raised.values()} <= seen


def test_the_front_page_names_contracts_epochs_and_who_was_refused(market: Market, site: Site) -> None:
    text = site.get("/").text
    for address in site.town.network.contracts.__struct_fields__:
        assert "0x" + getattr(site.town.network.contracts, address).hex() in text
    assert _asset(market, 3) in text
    assert _asset(market, 4) in text
    assert _asset(market, 1) not in text
    assert "energy was produced or exported though the sun was down all the time" in text
    assert '<meta http-equiv="refresh" content="5">' in text
    assert "http-equiv" not in site.get("/?refresh=off").text


def test_what_was_paid_is_what_the_chain_minted_and_redeemed_to_the_unit(market: Market, site: Site, state: State) -> None:
    _, _, minted, redeemed, _ = contract(site.town.rpc, site.town.network.contracts, "Settlement").call("finals")
    totals = site.facts("/")["totals"]
    assert (int(totals["minted"]), int(totals["fees"])) == (minted, redeemed)
    assert int(totals["paid"]) + int(totals["unallocated"]) == minted
    assert int(totals["fees"]) + int(totals["fees_waiting"]) == sum(_ints(state.lanes, "net"))
    assert int(totals["fees_waiting"]) == sum(_ints(state.sales, "net")) > 0
    epochs = site.facts("/epochs")["epochs"]["rows"]
    assert [row["epoch"] for row in epochs] == [5, 4, 3, 2, 1, 0]
    for name in ("paid", "fees"):
        assert sum(int(row[name]) for row in epochs if row[name]) == int(totals[name]) > 0
        nulls = [row[name] is None for row in epochs]
        assert nulls == [False, False, True, True, False, False], "a range's money stands on its last epoch"
    assert epochs[1]["fees_waiting"] == totals["fees_waiting"]
    page = Page(site.get("/").text).text
    assert "Rewards, SUBAK" in page
    assert "Fees, TUSD" in page


@pytest.mark.parametrize("epoch", [1, 4, 5])
def test_what_the_pages_tell_can_be_computed_again(site: Site, epoch: int) -> None:
    result = check(epoch, HttpArchive(site.archive_url), site.town.rpc)
    assert result.passed, result.words()


def test_counts_agree_on_every_page(site: Site) -> None:
    totals = json.loads(site.get("/index.json").text)["totals"]
    for name in ("accepted", "held", "refused"):
        for path, key in (("/epochs.json", "epochs"), ("/assets.json", "assets")):
            assert sum(row[name] for row in json.loads(site.get(path).text)[key]["rows"]) == totals[name]
    assert json.loads(site.get("/refusals.json").text)["refusals"]["total"] == totals["refused"] + totals["held"]
    assert totals["refused"] > 0


def test_only_the_dishonest_are_refused_and_every_refusal_has_its_reason(market: Market, site: Site) -> None:
    rows = site.facts("/refusals?size=500")["refusals"]["rows"]
    assert {row["asset"] for row in rows if row["schema"] == "energy.reading"} == {_asset(market, number) for number in CHEATS}
    assert all(row["sentence"] and row["status"] == "refused" for row in rows)
    assert {row["reason"] for row in rows if row["asset"] == _asset(market, 4)} == {"at_night"}
    assert [row["reason"] for row in rows if row["asset"] == _asset(market, 101)] == ["wrong", "timeout", "timeout"]


def test_refusals_are_filtered_and_paged(market: Market, site: Site) -> None:
    every = json.loads(site.get(f"/refusals.json?asset={_asset(market, 4)}&reason=at_night&epoch=1&size=500").text)["refusals"]
    assert every["total"] == len(every["rows"]) > 4
    some = json.loads(site.get(f"/refusals.json?asset={_asset(market, 4)}&reason=at_night&epoch=1&size=4&page=2").text)["refusals"]
    assert some["rows"] == every["rows"][4:8]
    assert (some["page"], some["pages"]) == (2, -(-every["total"] // 4))
    assert "page=3" in some["links"]["next"]
    assert "reason=at_night" in some["links"]["next"]
    for odd in ("page=999999999", "page=-1", "page=x", "size=0", "size=99999999", "page=%F0%9F%8C%9E", "epoch=x"):
        assert site.get(f"/refusals?{odd}").status_code == 200
    assert json.loads(site.get("/refusals.json?reason=unknown").text)["refusals"]["rows"] == []


@pytest.mark.parametrize("number", [0, 1, 2, 5, 6, 101, 102])
def test_the_statement_on_the_page_is_the_one_of_the_command(market: Market, site: Site, number: int) -> None:
    asset = market.home(number).asset if number else market.site
    told = statement(asset, HttpArchive(site.archive_url), site.town.rpc)
    assert site.facts(f"/assets/{_hex(asset)}")["statement"] == json.loads(json.dumps(told.as_dict()))
    page = squeezed(Page(site.get(f"/assets/{_hex(asset)}").text).text)
    for line in in_words(told).splitlines()[1:]:
        assert squeezed(line) in page


def test_a_statement_agrees_with_the_wallet_to_the_unit(market: Market, site: Site) -> None:
    network = site.town.network
    for number in (3, 4):
        told = statement(market.home(number).asset, site.town.archive, site.town.rpc)
        (wallet,) = told.wallets
        token = contract(site.town.rpc, network.contracts, "Token")
        assert wallet.account == _hex(market.home(number).owner.address)
        assert int(wallet.balance or "") == int(wallet.taken or "") == token.call("balanceOf", market.home(number).owner.address)
        assert int(wallet.rewards) == int(told.rewards)
        assert sum(int(each.rewards) for each in told.epochs if each.rewards) == int(told.rewards)
        assert sum(each.units for each in told.epochs) == told.units


def test_a_statement_may_tell_only_the_newest_epochs(site: Site) -> None:
    home = site.town.homes[0].asset
    newest = statement(home, site.town.archive, site.town.rpc, last=2)
    whole = statement(home, site.town.archive, site.town.rpc)
    assert newest.epochs == whole.epochs[-2:]
    assert (newest.accepted, newest.rewards, newest.epochs_in_all) == (whole.accepted, whole.rewards, 6)
    assert statement(home, site.town.archive, site.town.rpc, last=0).epochs == ()
    with pytest.raises(UnknownAsset, match="up to epoch 5"):
        statement(b"\x01" * 32, site.town.archive, site.town.rpc)


def test_every_assets_figures_are_those_of_the_state(site: Site, state: State) -> None:
    lists = {row["id"]: row for row in site.facts("/assets?size=500")["assets"]["rows"]}
    of_state = {
        **{name: _by_id(state.assets, name) for name in ("rewards", "fees", "units", "paid_epochs")},
        **{mine: _by_id(state.sales, name) for mine, name in (("unsold", "value"), ("bills_waiting", "gross"), ("fees_waiting", "net"))},
        "billed": _by_id(state.lines.group_by("asset").agg(pl.col("money").sum()), "money"),
    }
    assert len(lists) == len(state.assets) + 1, "the assets and a site"
    for asset, row in lists.items():
        told = site.facts(f"/assets/{asset}")["statement"]
        for name, amounts in of_state.items():
            assert int(told[name]) == int(row[name]) == amounts.get(asset, 0), (asset, name)
        for name in ("rewards", "fees"):
            assert sum(int(each[name]) for each in told["epochs"] if each[name]) == int(told[name])
            assert all((each[name] is None) == (each["epoch"] in (2, 3)) for each in told["epochs"])
        lines = state.lines.filter(pl.col("asset") == bytes.fromhex(asset[2:]))
        assert {each["lane"]: int(each["money"]) for each in told["payers"]} == _by_id(lines, "money", "lane")
        assert told["payers_in_all"] == len(lines)
    assert sum(row["fees"] != "0" for row in lists.values()) == 4


def test_every_accounts_figures_are_those_of_the_state_and_the_chain(market: Market, site: Site, state: State) -> None:
    rows = {row["account"]: row for row in site.facts("/accounts?size=500")["accounts"]["rows"]}
    for name in ("rewards", "fees"):
        assert {account: int(row[name]) for account, row in rows.items()} == _by_id(state.accounts, name, "account")
    chain = Settlement(site.town.rpc, site.town.network.contracts)
    for account in (MASON.address, market.home(1).owner.address, market.raised["roof"].contract.address):
        told = site.facts(f"/accounts/{_hex(account)}")["account"]
        taken = chain.taken(account)
        assert (int(told["taken"]), int(told["fees_taken"])) == taken
        assert (int(told["left"]), int(told["fees_left"])) == (int(told["rewards"]) - taken[0], int(told["fees"]) - taken[1])
        assert int(told["payment_balance"]) == Channels(site.town.rpc, site.town.network.contracts).payment.balance(account)
    cid = site.facts(f"/accounts/{_hex(CID.address)}")["account"]
    assert [int(each["shares"]) for each in cid["raises"]] == [0, market.raised["roof"].balance(CID.address)]
    assert site.facts(f"/accounts/{_hex(market.clerk.address)}")["account"]["is_clerk"]
    shares, customer = (site.get(f"/accounts/{_hex(each)}").text for each in (market.raised["roof"].contract.address, ANN.address))
    assert f"/raises/{_hex(market.raised['roof'].contract.address)}" in shares
    assert f"/customers/{_hex(ANN.address)}" in customer


def test_what_a_disk_answered_is_told_epoch_by_epoch(market: Market, site: Site, state: State) -> None:
    carried = state.carried["storage"]
    for number in (101, 102):
        told = site.facts(f"/assets/{_asset(market, number)}")["statement"]
        row = carried.filter(pl.col("asset") == market.home(number).asset).to_dicts()[0]
        assert told["counters"] == {name: row[name] for name in told["counters"]}
        assert list(told["counters"])[:4] == ["right_answers", "wrong_answers", "missing_answers", "late_answers"]
        for name, number_ever in told["counters"].items():
            assert sum(each["counters"].get(name, 0) for each in told["epochs"]) == number_ever
        assert [each["epoch"] for each in told["epochs"] if not each["counters"]] == [2], "the range's counts stand on its last epoch"
    grown = {each["epoch"]: {name for name, count in each["counters"].items() if count} for each in told["epochs"]}
    assert grown[1] == {"offline_epochs"}, "it was silent, and is told so"
    assert grown[4] == {"right_answers", "missing_answers", "faulty_epochs"}
    page = Page(site.get(f"/assets/{_asset(market, 101)}").text).text
    assert "Counted by epochs 2 to 4: 5 right answers, 1 wrong answer, 2 late answers, 1 faulty epoch." in page
    assert "2 answers refused: 08:00:00–08:00:02, answers a task of the epoch before" in page
    assert "offline epochs" in page


def test_what_an_asset_offers_is_the_states_and_its_endpoint_a_strangers(market: Market, site: Site, state: State) -> None:
    first, second, fifth, disk = (site.facts(f"/assets/{_asset(market, number)}")["statement"]["offer"] for number in (1, 2, 5, 101))
    assert (first["price"], first["per_units"], first["endpoint"]) == ("120000", 1_000, EVIL_ENDPOINT)
    assert second["endpoint"] == "0xff07" + b"not text".hex(), "what is no text is no thief's either"
    assert (second["price"], second["capacity"]) == ("120000", 4_000)
    assert (fifth["price"], fifth["capacity"]) == ("0", 0)
    assert (disk["price"], disk["per_units"], disk["endpoint"]) == ("1000", 1_024, "http://disk.example:8080")
    for number, offer in ((1, first), (2, second), (5, fifth), (101, disk)):
        row = state.sales.filter(pl.col("asset") == market.home(number).asset).to_dicts()[0]
        assert (int(offer["price"]), offer["per_units"]) == (row["price"], row["per_units"])
        assert offer["valid_until_unix_s"] == row["valid_until_unix_s"]
    page = site.get(f"/assets/{_asset(market, 1)}").text
    assert SCRIPT not in page
    assert EVIL_ENDPOINT in Page(page).text, "shown as it is, as text"
    assert not [names for tag, names in Page(page).attributes if tag in ("script", "img")]
    assert "It offers nothing now." in Page(site.get(f"/assets/{_asset(market, 5)}").text).text
    assert site.facts(f"/assets/{_asset(market, 3)}")["statement"]["offer"] is None


def test_debts_are_told_with_their_reason(market: Market, site: Site, state: State) -> None:
    told = {number: site.facts(f"/assets/{_asset(market, number)}")["statement"]["debts"] for number in (1, 6)}
    fees, rewards = told[1]
    assert (fees["currency"], fees["creditor"], fees["left"]) == ("fees", _hex(ANN.address), "0")
    assert rewards["owed"] == [{"epoch": 2, "amount": str(5 * 10**18), "why": EVIL_WHY}]
    (endless,) = told[6]
    assert int(endless["left"]) == _ints(state.debts, "amount")[0] > 0
    accounts = _by_id(state.accounts, "rewards", "account")
    kept = int(endless["owed"][0]["amount"]) - int(endless["left"])
    # Mason gets what is kept back from the last home, and of the site's earnings twice what the widow gets, epoch by epoch rounded down.
    assert 0 <= accounts[_hex(MASON.address)] - kept - 2 * accounts[_hex(WIDOW.address)] <= 6
    page = site.get(f"/assets/{_asset(market, 1)}").text
    assert EVIL_WHY in Page(page).text
    assert SCRIPT not in page
    assert "All of that was kept back; it returns to the pool." in Page(page).text
    assert "still to be kept back from what it earns" in Page(site.get(f"/assets/{_asset(market, 6)}").text).text


def test_an_asset_names_its_payees_and_those_of_its_site(market: Market, site: Site) -> None:
    told = site.facts(f"/assets/{_asset(market, 1)}")["statement"]
    assert [(each["account"], each["parts"], each["of_parts"]) for each in told["wallets"]] == [(_hex(market.home(1).owner.address), 1, 4)]
    (part,) = told["sites"]
    assert (part["site"], part["parts"], part["of_parts"]) == (_hex(market.site), 3, 4)
    assert [(each["account"], each["parts"]) for each in part["wallets"]] == [(_hex(MASON.address), 2), (_hex(WIDOW.address), 1)]
    place = site.facts(f"/assets/{_hex(market.site)}")
    assert [each["id"] for each in place["paid_by"]] == [_asset(market, 1)]
    assert "It earns nothing yet" not in site.get(f"/assets/{_hex(market.site)}").text


def test_a_bill_says_what_became_of_every_unit(market: Market, site: Site, state: State) -> None:
    channels = Channels(site.town.rpc, site.town.network.contracts)
    on_chain = channels.lanes()
    settled = {name: _by_id(state.lanes, name, "lane") for name in ("total", "net", "burned")}
    rows = site.facts("/customers")["customers"]["rows"]
    assert [row["account"] for row in rows] == [_hex(BOB.address), _hex(ANN.address)], "who spent most comes first"
    for row in rows:
        account = bytes.fromhex(row["account"][2:])
        told = site.facts(f"/customers/{row['account']}")
        assert int(told["customer"]["free"]) == int(row["free"]) == channels.free(account)
        mine = {_hex(lane.id): lane for lane in on_chain.values() if lane.customer == account}
        assert len(told["lanes"]) == len(mine) == told["customer"]["lanes"]
        for lane in told["lanes"]:
            fact, of_it = mine[lane["lane"]], {name: amounts.get(lane["lane"], 0) for name, amounts in settled.items()}
            assert (int(lane["limit"]), int(lane["redeemed"]), int(lane["net"])) == (fact.limit, fact.redeemed, fact.net)
            assert (lane["expiry_unix_s"], lane["closes_at_unix_s"]) == (fact.expiry_unix_s, fact.closes_at_unix_s)
            assert (lane["clerk"], lane["key"]) == (_hex(fact.clerk), _hex(fact.key))
            assert {name: int(lane["settled"][name]) for name in ("total", "hosts", "burned")} == {
                "total": of_it["total"],
                "hosts": of_it["net"],
                "burned": of_it["burned"],
            }
            assert int(lane["settled"]["treasury"]) == of_it["total"] - of_it["net"] - of_it["burned"]
            assert int(lane["unsettled"]) == fact.redeemed - of_it["total"]
        lines = state.lines.filter(pl.col("lane").is_in([lane.id for lane in on_chain.values() if lane.customer == account]))
        assert sorted(int(line["money"]) for line in told["bill"]["rows"]) == sorted(_ints(lines, "money"))
        for mine_name, name in (("total", "total"), ("hosts", "hosts"), ("treasury", "treasury")):
            assert sum(int(each[mine_name]) for each in told["epochs"]) == int(told["customer"]["settled"][name])
        assert {each["epoch"] for each in told["epochs"]} <= {1, 4, 5}, "a range's money stands on its last epoch"
    bills = [site.facts(f"/customers/{row['account']}")["customer"]["settled"] for row in rows]
    assert sum(int(bill["hosts"]) for bill in bills) == sum(_ints(state.lanes, "net"))
    ann = site.facts(f"/customers/{_hex(ANN.address)}")
    assert {lane["lane"]: lane["state"] for lane in ann["lanes"]} == {
        _hex(market.lanes["ann"].id): "open",
        _hex(market.lanes["spare"].id): "over",
    }
    assert [lane["unsettled"] for lane in ann["lanes"] if lane["state"] == "open"] == ["9"]
    page = Page(site.get(f"/customers/{_hex(ANN.address)}").text).text
    assert "0.000009 TUSD is redeemed and not settled yet" in " ".join(page.split())


def test_a_raise_is_what_its_contract_says(market: Market, site: Site, state: State) -> None:
    roof, owned = market.raised["roof"], market.home(2)
    contracts = site.town.network.contracts
    facts = site.facts(f"/raises/{_hex(roof.contract.address)}")
    told, terms = facts["raise"], roof.terms()
    assert roof.state() is RaiseState.LIVE
    assert (told["state"], told["name"], int(told["supply"])) == ("live", "Roof of the school", roof.raised())
    assert (int(told["soft_cap"]), int(told["hard_cap"])) == (terms.soft_cap, terms.hard_cap)
    assert (told["raise_end_unix_s"], told["build_end_unix_s"]) == (terms.raise_end_unix_s, terms.build_end_unix_s)
    assert int(told["released"]) == roof.contract.call("released")
    units, paid_epochs = (_by_id(state.assets, name)[_hex(owned.asset)] for name in ("units", "paid_epochs"))
    assert [each["state"] for each in told["milestones"]] == ["released", "released", "open"]
    assert [(each["units"], each["paid_epochs"]) for each in told["milestones"][1:]] == [(units, paid_epochs)] * 2
    assert [int(each["amount"]) for each in told["milestones"][:2]] == [900_000, 5_400_000]
    assert {each["account"]: int(each["shares"]) for each in facts["holders"]["rows"]} == {
        _hex(each.address): roof.balance(each.address) for each in (BOB, CID)
    }
    assert [each["part_bps"] for each in facts["holders"]["rows"]] == [5_555, 4_444]
    for each, currency in zip(told["revenue"], (contracts.payment, contracts.token), strict=True):
        total, paid = roof.contract.call("revenue", currency)
        assert (int(each["counted"]), int(each["withdrawn"])) == (total, paid)
        due = sum(roof.withdrawable(holder.address, currency) for holder in (BOB, CID))
        assert int(each["counted"]) + int(each["arrived"]) - int(each["withdrawn"]) - due in (0, 1), "fractions of a unit wait"
    rewards, fees = (_by_id(state.accounts, name, "account")[_hex(roof.contract.address)] for name in ("rewards", "fees"))
    taken = Settlement(site.town.rpc, contracts).taken(roof.contract.address)
    assert [int(each["to_claim"]) for each in told["revenue"]] == [fees - taken[1], rewards - taken[0]]
    assert sum(int(each["to_claim"]) for each in told["revenue"]) > 0
    assert [each["id"] for each in told["assets"]] == [_hex(owned.asset)]
    asset = site.facts(f"/assets/{_hex(owned.asset)}")["statement"]
    assert (asset["owner"], asset["owner_is_shares"]) == (_hex(roof.contract.address), True)
    assert site.facts(f"/assets/{_asset(market, 1)}")["statement"]["owner_is_shares"] is False


def test_a_raise_that_failed_and_one_that_has_no_name(market: Market, site: Site) -> None:
    barn = market.raised["barn"]
    assert barn.state() is RaiseState.REFUND
    rows = {row["address"]: row for row in site.facts("/raises")["raises"]["rows"]}
    assert set(rows) == {_hex(each.contract.address) for each in market.raised.values()}, "whose name is no text is not listed"
    told = site.facts(f"/raises/{_hex(barn.contract.address)}")["raise"]
    assert (told["state"], told["contributed"], told["refunded"], told["supply"], told["holders"]) == ("refund", "70", "70", "0", 0)
    assert {each["state"] for each in told["milestones"]} == {"lapsed"}
    assert told["name"] == f"{SCRIPT}\N{REPLACEMENT CHARACTER}gnp", "what would turn the line is not shown"
    for path in ("/raises", f"/raises/{_hex(barn.contract.address)}"):
        assert SCRIPT not in site.get(path).text
        assert SCRIPT in Page(site.get(path).text).text


def test_what_is_not_there_is_said_in_the_form_that_was_asked_for(site: Site) -> None:
    for path in NOBODYS:
        page, document = site.get(path), site.get(path + ".json")
        assert (page.status_code, document.status_code) == (404, 404)
        assert page.headers["content-type"].startswith("text/html")
        assert document.headers["content-type"] == "application/problem+json"
        assert document.json()["status"] == 404


def test_what_a_reader_sends_comes_back_escaped(site: Site) -> None:
    evil = "%22%3E%3Cscript%3Ealert(1)%3C/script%3E"
    named = (f"/{name}/{evil}" for name in ("assets", "accounts", "customers", "raises"))
    for path in (f"/refusals?asset={evil}&reason={evil}", *named, f"/{evil}", f"/epochs?page=1&x={evil}"):
        assert "<script" not in site.get(path).text


def test_the_style_is_small_and_everything_else_is_the_page_itself(site: Site) -> None:
    style = site.get("/static/style.css")
    assert style.headers["content-type"].startswith("text/css")
    assert len(style.content) <= 6_000
    assert "prefers-color-scheme" in style.text
    assert "url(" not in style.text


def test_the_check_page_gives_a_command_that_can_be_copied(site: Site) -> None:
    assert f"subak check 5 --archive {site.archive_url} --rpc {site.town.rpc.url}" in site.get("/about").text


def test_without_archive_or_chain_the_pages_stay_and_say_so(site: Site, tmp_path: Path) -> None:
    with archive_of(tmp_path) as empty, explorer_of(site.town, empty, tmp_path / "new.sqlite") as lost:
        until(lambda: "network.json" in lost.get("/").text)
        assert "waits for the network" in lost.get("/").text
        assert lost.get("/healthz").status_code == 200
        assert lost.get("/assets.json").json()["network"] is None
        assert all(lost.get(path).status_code == 200 for path in PAGES if path != "/epochs/3")


def test_a_restart_goes_on_from_the_index(site: Site, tmp_path: Path) -> None:
    database = tmp_path / "explorer.sqlite"
    with explorer_of(site.town, site.archive_url, database) as first:
        until(lambda: first.get("/healthz").json()["last_epoch"] == 5)
        before = first.get("/epochs.json").json()
    with explorer_of(site.town, "http://127.0.0.1:9/archive", database) as again:
        until(lambda: again.get("/healthz").json()["trouble"])
        assert again.get("/epochs.json").json()["epochs"] == before["epochs"]
        assert "Not up to date" in again.get("/epochs").text
        assert again.get("/index.json").json()["network"]["token"] == {"symbol": "SUBAK", "decimals": 18}
        assert again.facts("/raises")["raises"] == site.facts("/raises")["raises"]


@pytest.mark.skipif(CHROMIUM is None and "CI" not in os.environ, reason="chromium is not installed: apt-get install chromium")
def test_a_browser_shows_every_page_on_phone_and_desktop(market: Market, site: Site, tmp_path: Path) -> None:
    assert CHROMIUM, "CI needs chromium: apt-get install chromium"
    paths = [*PAGES, *_pages_of(market), "/epochs/99"]
    with open_browser(CHROMIUM, tmp_path / "profile") as browser:
        for path in paths:
            for width in (360, 1200):
                shown = browser.show(site.url + path, width, 900, dark=width == 360)
                assert shown.width == width, f"{path} is {shown.width} wide in a window of {width}"
                assert "small-town" in shown.text
                assert not [each for each in shown.complaints if path != "/epochs/99" or "404" not in each]
                assert all(each.startswith((site.url, "data:")) for each in shown.requested)
                assert site.url + "/static/style.css" in shown.requested

        # The same with amounts of a large network.
        database = tmp_path / "large.sqlite"
        _copy_with_large_amounts(site.town.archive.root.parent / "explorer.sqlite", database)
        with explorer_of(site.town, "http://127.0.0.1:9/archive", database) as large:
            for path in ("/", "/assets", "/accounts", "/customers", "/raises", "/epochs/4", *_pages_of(market)):
                shown = browser.show(large.url + path, 360, 900)
                assert shown.width == 360, f"{path} is {shown.width} wide in a window of 360"
                assert "12,345,678,901.123456" in shown.text


def _pages_of(market: Market) -> list[str]:
    """Pages of single things."""
    assets = [*(_asset(market, number) for number in (1, 4, 101)), _hex(market.site)]
    accounts = [_hex(market.home(1).owner.address), _hex(CID.address)]
    raises = [_hex(raised.contract.address) for raised in market.raised.values()]
    named = (("assets", assets), ("accounts", accounts), ("customers", [_hex(ANN.address)]), ("raises", raises))
    return [f"/{name}/{each}" for name, ids in named for each in ids]


def _copy_with_large_amounts(index: Path, copy: Path) -> None:
    token, payment, work = "123456789012123456789012345678", "12345678901123456", 123_456_789_012
    with contextlib.closing(sqlite3.connect(index)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        for table in tables.metadata.tables.values():
            money = {"paid": token, "rewards": token, "rewards_revenue": token, "units": work}
            money |= dict.fromkeys(
                ("fees", "billed", "unsold", "bills_waiting", "price", "money", "total", "net", "limit", "redeemed"), payment
            )
            money |= dict.fromkeys(("free", "reserved", "deposited", "contributed", "soft_cap", "hard_cap", "supply", "shares"), payment)
            for name in money.keys() & table.columns.keys():
                target.execute(f'UPDATE {table.name} SET "{name}" = ? WHERE "{name}" IS NOT NULL', (money[name],))  # noqa: S608
        target.execute("UPDATE epochs SET fees_ever = ? WHERE fees_ever IS NOT NULL", (payment,))
        target.commit()


def test_a_proposal_stands_beside_what_it_would_have_done(market: Market, site: Site) -> None:
    town = site.town
    governance = Governance(town.rpc, town.network.contracts, town.sender)
    epoch = town.network.clock.epoch_at(town.rpc.block().timestamp) + 30
    weights = {"energy": 8_000, "usage": 1_000, "verifiers": 1_000}
    governance.propose([governance.set_weights(epoch, weights)], "Pay the verifiers\nof what homes get")
    (listed,) = site.facts("/proposals")["proposals"]
    assert (listed["number"], listed["title"], listed["state"]) == (1, "Pay the verifiers", "pending")
    deadline = time.monotonic() + 60
    while (told := site.facts("/proposals/1")["proposal"])["replay"]["state"] == "running":
        assert time.monotonic() < deadline, "the replay did not end"
    again = replay(town.archive, town.rpc, town.network, 7, weights_bps=weights)
    assert told["actions"] == [f"Minter.setWeights(fromEpoch {epoch}, pools [energy, usage, verifiers], weightsBps [8000, 1000, 1000])"]
    found = told["replay"]
    assert (found["state"], found["minted"], found["minted_under"]) == ("done", str(again.minted), str(again.minted_under))
    assert again.minted_under < again.minted
    assert {row["name"]: (int(row["rewards"]), int(row["rewards_under"])) for row in found["changed"]} == {
        _hex(each.name): (each.rewards, each.rewards_under) for each in again.accounts if each.changed
    }
    page = site.get("/proposals/1").text
    assert "Who would have got more, and who less" in page
    assert site.get("/proposals/2").status_code == 404
