"""The pages as a reader gets them: a real chain, a real archive behind HTTP, a real server, a real browser."""

from __future__ import annotations

import functools
import http.server
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
import uvicorn
from browser import open_browser
from small_town import CHEATS, Town, build_town

from subak.archive.store import HttpArchive
from subak.chain.deploy import contract
from subak.explorer.app import make_app
from subak.explorer.statements import UnknownAsset, in_words, statement

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PAGES = ("/", "/epochs", "/epochs/3", "/assets", "/accounts", "/refusals", "/about")


@dataclass
class Site:
    """The explorer of a town, served."""

    town: Town
    url: str
    archive_url: str
    client: httpx.Client

    def get(self, path: str) -> httpx.Response:
        return self.client.get(self.url + path)

    def facts(self, path: str) -> dict[str, object]:
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        facts: dict[str, object] = answer.json()
        return facts

    def asset(self, number: int) -> str:
        return "0x" + next(home for home in self.town.homes if home.number == number).asset.hex()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Six homes, two of them dishonest; epochs 0 and 1 one by one, then 2 to 4 settled at once, then 5."""
    folder = tmp_path_factory.mktemp("site")
    town = build_town(folder, (1, 2, 3, 4, 5, 6))
    try:
        for count in (1, 1, 3, 1):
            town.close_epochs(count)
        with _archive(folder) as archive_url, _explorer(town, archive_url, folder / "explorer.sqlite") as site:
            _until(lambda: site.get("/healthz").json()["last_epoch"] == 5)
            yield site
    finally:
        town.chain.stop()


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_plain_html_that_forbids_scripts(site: Site, path: str) -> None:
    answer = site.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'; img-src 'self' data:;")
    page = _Page(answer.text)
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


def test_every_link_leads_somewhere(site: Site) -> None:
    seen: set[str] = set()
    due = ["/"]
    while due and len(seen) < 200:
        path = due.pop()
        if path in seen:
            continue
        seen.add(path)
        answer = site.get(path)
        assert answer.status_code == 200, path
        if answer.headers["content-type"].startswith("text/html"):
            links = [dict(names).get("href", "") for tag, names in _Page(answer.text).attributes if tag == "a"]
            due += [link if link.startswith("/") else f"{path.split('?')[0]}{link}" for link in links if link[:1] in "/?"]
    assert {f"/assets/{site.asset(1)}", "/epochs/0", f"/refusals?asset={site.asset(4)}&reason=at_night"} <= seen


def test_the_front_page_names_contracts_epochs_and_who_was_refused(site: Site) -> None:
    text = site.get("/").text
    for address in site.town.network.contracts.__struct_fields__:
        assert "0x" + getattr(site.town.network.contracts, address).hex() in text
    assert site.asset(3) in text
    assert site.asset(4) in text
    assert site.asset(1) not in text
    assert "energy was produced or exported though the sun was down all the time" in text
    assert '<meta http-equiv="refresh" content="5">' in text
    assert "http-equiv" not in site.get("/?refresh=off").text


def test_what_was_paid_is_what_the_chain_minted_to_the_unit(site: Site) -> None:
    facts = json.loads(site.get("/index.json").text)
    _, _, minted, _, _ = contract(site.town.rpc, site.town.network.contracts, "Settlement").call("finals")
    totals = facts["totals"]
    assert int(totals["minted"]) == minted
    assert int(totals["paid"]) + int(totals["unallocated"]) == minted
    epochs = json.loads(site.get("/epochs.json").text)["epochs"]["rows"]
    assert sum(int(row["paid"]) for row in epochs if row["paid"]) == int(totals["paid"])
    assert [row["epoch"] for row in epochs] == [5, 4, 3, 2, 1, 0]
    assert [row["paid"] is None for row in epochs] == [False, False, True, True, False, False], "a range's money stands on its last epoch"
    earned = [int(row["rewards"]) for row in json.loads(site.get("/assets.json").text)["assets"]["rows"]]
    accounts = [int(row["rewards"]) for row in json.loads(site.get("/accounts.json").text)["accounts"]["rows"]]
    assert sum(earned) == sum(accounts) == int(totals["paid"])
    assert earned == sorted(earned, reverse=True)


def test_counts_agree_on_every_page(site: Site) -> None:
    totals = json.loads(site.get("/index.json").text)["totals"]
    for name in ("accepted", "held", "refused"):
        for path, key in (("/epochs.json", "epochs"), ("/assets.json", "assets")):
            assert sum(row[name] for row in json.loads(site.get(path).text)[key]["rows"]) == totals[name]
    assert json.loads(site.get("/refusals.json").text)["refusals"]["total"] == totals["refused"] + totals["held"]
    assert totals["refused"] > 0


def test_only_dishonest_homes_are_refused_and_every_refusal_has_its_reason(site: Site) -> None:
    rows = json.loads(site.get("/refusals.json?size=500").text)["refusals"]["rows"]
    assert {row["asset"] for row in rows} == {site.asset(number) for number in CHEATS}
    assert all(row["sentence"] and row["status"] == "refused" for row in rows)
    assert {row["reason"] for row in rows if row["asset"] == site.asset(4)} == {"at_night"}


def test_refusals_are_filtered_and_paged(site: Site) -> None:
    every = json.loads(site.get(f"/refusals.json?asset={site.asset(4)}&reason=at_night&epoch=1&size=500").text)["refusals"]
    assert every["total"] == len(every["rows"]) > 4
    some = json.loads(site.get(f"/refusals.json?asset={site.asset(4)}&reason=at_night&epoch=1&size=4&page=2").text)["refusals"]
    assert some["rows"] == every["rows"][4:8]
    assert (some["page"], some["pages"]) == (2, -(-every["total"] // 4))
    assert "page=3" in some["links"]["next"]
    assert "reason=at_night" in some["links"]["next"]
    for odd in ("page=999999999", "page=-1", "page=x", "size=0", "size=99999999", "page=%F0%9F%8C%9E", "epoch=x"):
        assert site.get(f"/refusals?{odd}").status_code == 200
    assert json.loads(site.get("/refusals.json?reason=unknown").text)["refusals"]["rows"] == []


def test_the_statement_on_the_page_is_the_one_of_the_command(site: Site) -> None:
    for home in site.town.homes:
        told = statement(home.asset, HttpArchive(site.archive_url), site.town.rpc)
        shown = json.loads(site.get(f"/assets/0x{home.asset.hex()}.json").text)["statement"]
        assert shown == json.loads(json.dumps(told.as_dict()))
        page = _Page(site.get(f"/assets/0x{home.asset.hex()}").text).text
        for line in in_words(told).splitlines()[1:]:
            assert _squeezed(line) in _squeezed(page)


def test_a_statement_agrees_with_the_wallet_to_the_unit(site: Site) -> None:
    network = site.town.network
    for home in site.town.homes:
        told = statement(home.asset, site.town.archive, site.town.rpc)
        (wallet,) = told.wallets
        balance = contract(site.town.rpc, network.contracts, "Token").call("balanceOf", home.owner.address)
        assert wallet.account == "0x" + home.owner.address.hex()
        assert int(wallet.balance or "") == int(wallet.taken or "") == balance
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


def test_what_is_not_there_is_said_in_the_form_that_was_asked_for(site: Site) -> None:
    for path in ("/epochs/99", "/epochs/99999999999999999999999", "/assets/0x01", f"/assets/0x{'ab' * 32}", "/accounts/zz", "/nothing"):
        page, document = site.get(path), site.get(path + ".json")
        assert (page.status_code, document.status_code) == (404, 404)
        assert page.headers["content-type"].startswith("text/html")
        assert document.headers["content-type"] == "application/problem+json"
        assert document.json()["status"] == 404


def test_what_a_reader_sends_comes_back_escaped(site: Site) -> None:
    evil = "%22%3E%3Cscript%3Ealert(1)%3C/script%3E"
    for path in (f"/refusals?asset={evil}&reason={evil}", f"/assets/{evil}", f"/accounts/{evil}", f"/{evil}", f"/epochs?page=1&x={evil}"):
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
    with _archive(tmp_path) as empty, _explorer(site.town, empty, tmp_path / "new.sqlite") as lost:
        _until(lambda: "network.json" in lost.get("/").text)
        assert "waits for the network" in lost.get("/").text
        assert lost.get("/healthz").status_code == 200
        assert lost.get("/assets.json").json()["network"] is None
        assert all(lost.get(path).status_code == 200 for path in PAGES if path != "/epochs/3")


def test_a_restart_goes_on_from_the_index(site: Site, tmp_path: Path) -> None:
    database = tmp_path / "explorer.sqlite"
    with _explorer(site.town, site.archive_url, database) as first:
        _until(lambda: first.get("/healthz").json()["last_epoch"] == 5)
        before = first.get("/epochs.json").json()
    with _explorer(site.town, "http://127.0.0.1:9/archive", database) as again:
        _until(lambda: again.get("/healthz").json()["trouble"])
        assert again.get("/epochs.json").json()["epochs"] == before["epochs"]
        assert "Not up to date" in again.get("/epochs").text
        assert again.get("/index.json").json()["network"]["token"] == {"symbol": "SUBAK", "decimals": 18}


@pytest.mark.skipif(CHROMIUM is None and "CI" not in os.environ, reason="chromium is not installed: apt-get install chromium")
def test_a_browser_shows_every_page_on_phone_and_desktop(site: Site, tmp_path: Path) -> None:
    assert CHROMIUM, "CI needs chromium: apt-get install chromium"
    account = "0x" + site.town.homes[0].owner.address.hex()
    pages = (*PAGES, f"/assets/{site.asset(4)}", f"/accounts/{account}", "/epochs/99")
    with open_browser(CHROMIUM, tmp_path / "profile") as browser:
        for path in pages:
            for width in (360, 1200):
                shown = browser.show(site.url + path, width, 900, dark=width == 360)
                assert shown.width == width, f"{path} is {shown.width} wide in a window of {width}"
                assert "small-town" in shown.text
                assert not [each for each in shown.complaints if path != "/epochs/99" or "404" not in each]
                assert all(each.startswith((site.url, "data:")) for each in shown.requested)
                assert site.url + "/static/style.css" in shown.requested


class _Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, list[tuple[str, str]]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.append((tag, [(name, value or "") for name, value in attrs]))

    def handle_data(self, data: str) -> None:
        self.text += data


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def _archive(folder: Path) -> Iterator[str]:
    """``folder/archive`` behind HTTP."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/archive"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def _explorer(town: Town, archive_url: str, database: Path) -> Iterator[Site]:
    app = make_app(town.chain.url, archive_url, database)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    _until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(timeout=30, trust_env=False) as client:
        try:
            yield Site(town, f"http://127.0.0.1:{port}", archive_url, client)
        finally:
            server.should_exit = True
            thread.join(30)


def _until(true: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)


def _squeezed(text: str) -> str:
    return "".join(text.split())
