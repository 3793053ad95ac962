"""One network through everything: from a meter's register to a token in an owner's account, with processes dying on the way."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
import tomllib
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import httpx
import polars as pl
import pytest

from subak.archive.books import read_contents, read_state
from subak.archive.store import HttpArchive
from subak.archive.tables import read_tables
from subak.chain.accounts import Account
from subak.chain.contracts import Event
from subak.chain.deploy import contract
from subak.chain.settlement import Settlement as Chain
from subak.chain.snapshot import Follower
from subak.core.canon.ed25519 import public_key
from subak.core.kind import Status
from subak.core.nouns import State
from subak.core.settlement import reason_table
from subak.core.settlement.money import divide_whole, to_ints
from subak.kinds.registry import installed
from subak.lab.customers import FILE
from subak.lab.recording import CELL

from .running import Running, eventually, holds

DISHONEST_HOMES = (7, 9)
DISKS, VERIFIERS = 5, 3
SHARE_BPS = 1_000
NIGHT, PHYSICS = "at_night", ("over_nameplate", "over_clear_sky")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(tmp_path_factory.mktemp("town")) as running:
        yield running


def asset_of(town: Running, home: int) -> str:
    """Asset id of a home, from the host's own file."""
    devices = tomllib.loads((town.folder / "homes" / "host.toml").read_text())["devices"]
    return next(str(device["asset"]) for device in devices if device["key"].endswith(f"device-{home:02}.key"))


def owner_of(town: Running, home: int) -> str:
    devices = tomllib.loads((town.folder / "homes" / "host.toml").read_text())["devices"]
    return next(str(device["owner"]) for device in devices if device["key"].endswith(f"device-{home:02}.key"))


def test_the_first_epoch_is_settled_and_paid_within_a_minute(town: Running) -> None:
    event = town.epoch(0)
    assert event["accepted"] > 150
    assert int(event["paid"]) > 0
    assert town.began + 60 > time.monotonic()


def test_an_outsider_recomputes_the_same_root(town: Running) -> None:
    event = town.epoch(0)
    result = town.ask("check", "0")
    assert result["same"]
    assert next(fact["recomputed"] for fact in result["facts"] if fact["name"] == "root") == event["root"]


def test_balances_on_chain_equal_the_statement_to_the_unit(town: Running) -> None:
    town.epoch(0)
    token = contract(town.rpc, town.network.contracts, "Token")
    final = town.finals()[0]
    state = read_state(HttpArchive(town.ready["archive"]), final.state_root)
    totals = dict(zip(state.accounts["account"].to_list(), to_ints(state.accounts["rewards"]), strict=True))
    assert sum(1 for total in totals.values() if total) == 10
    block = final.block + 8
    for home in (1, 2, 3, *DISHONEST_HOMES):
        owner = bytes.fromhex(owner_of(town, home)[2:])
        balances = {token.call("balanceOf", owner), token.call("balanceOf", owner, block=min(block, town.rpc.block("latest").number))}
        assert totals[owner] in balances, f"home {home}: statement {totals[owner]}, chain {balances}"


def test_what_was_minted_is_growth_and_dust_and_within_the_budget(town: Running) -> None:
    town.epoch(1)
    archive = HttpArchive(town.ready["archive"])
    minter = contract(town.rpc, town.network.contracts, "Minter")
    minted_before = 0
    for final in town.finals():
        state = read_state(archive, final.state_root)
        held = sum(to_ints(state.accounts["rewards"])) + sum(to_ints(state.escrow["rewards"])) + sum(to_ints(state.pools["dust"]))
        assert held == final.rewards
        assert final.rewards - minted_before <= minter.call("scheduled", final.first, final.last)
        minted_before = final.rewards


def test_every_caught_interval_is_refused_with_its_reason_in_statement_page_and_public_log(town: Running) -> None:
    town.epoch(1)
    archive = HttpArchive(town.ready["archive"])
    final = town.finals()[1]
    verdicts = read_tables(archive, "verdicts", final.verdicts_hash)[str(final.last)]
    cheats = {bytes.fromhex(asset_of(town, home)[2:]) for home in DISHONEST_HOMES}
    reasons = reason_table([kind.rules for kind in installed().values()])
    refused = dict.fromkeys(cheats, 0)
    for asset, schema, codes, accepted in verdicts.select("asset", "schema", "reasons", "accepted").iter_rows():
        for code, units in zip(codes, accepted, strict=True):
            reason = reasons.get(("", code)) or reasons[schema.split(".")[0], code]
            if reason.status is not Status.ACCEPTED:
                assert asset in cheats, f"an honest home's line is {reason.name}"
                assert reason.name in (NIGHT, *PHYSICS)
                assert units == 0
                refused[asset] += 1
    assert all(count >= 3 for count in refused.values()), refused

    night = asset_of(town, 7)
    told = town.ask("statement", night)
    assert "night" in json.dumps(told)
    words = town.run("statement", night, "--archive", town.ready["archive"], "--rpc", town.ready["rpc"]).stdout
    assert "refused" in words
    assert "though the sun was down" in words, words
    assert "refused" in _page_with(f"{town.ready['explorer']}/assets/{night}.json", "at_night")


def _page_with(url: str, words: str) -> str:
    """The page, once the explorer has read the epoch."""
    deadline = time.monotonic() + 30
    while True:
        text = httpx.get(url, follow_redirects=True).text
        if words in text or time.monotonic() > deadline:
            assert words in text, text[:2000]
            return text
        time.sleep(0.2)


def test_anyone_reads_the_public_log_with_duckdb(town: Running) -> None:
    town.epoch(0)
    archive = town.folder / "verifier-0" / "archive"
    readings = duckdb.read_parquet(f"{archive}/entries/energy.reading/*.parquet")
    assert readings.count("sequence").fetchall()[0][0] >= 200
    accounts = duckdb.read_parquet(str(archive / "state" / town.finals()[0].state_root.hex() / "accounts.parquet"))
    assert Decimal(accounts.sum("rewards").fetchall()[0][0]) == int(town.epoch(0)["paid"])


def test_openzeppelin_loads_and_verifies_the_exported_tree(town: Running, tmp_path: Path) -> None:
    event = town.epoch(0)
    leaves = tmp_path / "leaves.json"
    told = town.ask("epoch", "export", "0", "--leaves", str(leaves))
    script = """
    const { StandardMerkleTree } = require('@openzeppelin/merkle-tree');
    const tree = StandardMerkleTree.load(JSON.parse(require('fs').readFileSync(process.argv[1])));
    tree.validate();
    for (const [i, v] of tree.entries()) if (!StandardMerkleTree.verify(tree.root, tree.leafEncoding, v, tree.getProof(i))) process.exit(3);
    console.log(tree.root);
    """
    done = subprocess.run(["node", "-e", script, str(leaves)], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == told["root"] == event["root"]


def test_a_claim_pays_what_is_owed_and_nothing_twice(town: Running, tmp_path: Path) -> None:
    """The lead pays everyone, so a claim of one's own finds nothing left, in whatever order the two arrive."""
    town.epoch(0)
    account, key = owner_of(town, 1), tmp_path / "payer.key"
    payer = Account.create(key)
    town.rpc.request("anvil_setBalance", "0x" + payer.address.hex(), hex(10**18))
    told = town.ask("claim", account, "--key", str(key))
    token = contract(town.rpc, town.network.contracts, "Token")
    rewards = told["rewards"]
    assert (
        int(rewards["taken_before"]) + int(rewards["paid"]) == int(rewards["total"]) <= token.call("balanceOf", bytes.fromhex(account[2:]))
    )


def test_assets_of_a_table_are_registered_once(town: Running, tmp_path: Path) -> None:
    owner = Account.create(tmp_path / "owner.key")
    town.rpc.request("anvil_setBalance", "0x" + owner.address.hex(), hex(10**18))
    keys = [public_key(bytes([number]) * 32) for number in range(1, 4)]
    rows = "".join(f"0x{owner.address.hex()},1,0x{key.hex()},energy,{CELL},4000\n" for key in keys)
    (tmp_path / "assets.csv").write_text("owner,curve,key,kind,cell,rated\n" + rows)
    command = ["assets", "import", str(tmp_path / "assets.csv"), "--network", str(town.folder / "network.toml")]
    command += ["--key", str(tmp_path / "owner.key"), "--json"]
    counts = []
    for options in (["--dry-run"], [], []):
        done = town.run(*command, *options)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        counts.append((told["registered"], told["already_registered"]))
    assert counts == [(0, 0), (3, 0), (0, 3)]


def test_a_killed_verifier_loses_nothing_that_it_acknowledged(town: Running) -> None:
    town.epoch(0)
    town.send_signal("verifier-1", signal.SIGKILL)
    town.epoch(1)
    town.send_signal("verifier-2", signal.SIGKILL)
    event = town.epoch(2)
    assert event["accepted"] > 150
    _nothing_missing(town, upto=1)


def test_a_killed_chain_resumes_with_its_state_and_its_clock(town: Running) -> None:
    town.epoch(2)
    before = town.rpc.block("latest")
    town.send_signal("chain", signal.SIGKILL)
    event = town.epoch(3)
    assert event["accepted"] > 150
    after = town.rpc.block("latest")
    assert before.timestamp < after.timestamp < before.timestamp + 7 * 86_400, "the clock jumped"
    assert town.ask("check", "3")["same"]


def test_a_silent_leads_turn_is_taken_over(town: Running) -> None:
    """The lead of epoch 5's first attempt is stopped, not killed: it is there and says nothing."""
    town.epoch(4)
    signer = Chain(town.rpc, town.network.contracts).lead(5)
    keys = {number: Account.load(town.folder / "keys" / f"verifier-{number}.signer.key").address for number in range(3)}
    lead = next(f"verifier-{number}" for number, address in keys.items() if address == signer)
    town.send_signal(lead, signal.SIGSTOP)
    try:
        event = town.epoch(5)
    finally:
        town.send_signal(lead, signal.SIGCONT)
    assert event["accepted"] > 150
    final = next(final for final in town.finals() if final.first <= 5 <= final.last)
    assert final.attempt >= 1
    # It was away when the range became final, and brings it home afterwards: its archive has no hole.
    archive = HttpArchive(f"{town.network.nodes.verifiers[int(lead[-1])]}/archive")
    eventually(lambda: holds(archive, final), f"{lead} has what became final without it")


def test_hosts_let_go_of_what_final_books_list(town: Running) -> None:
    town.epoch(5)
    with sqlite3.connect(f"file:{town.folder}/homes/outbox.sqlite?mode=ro", uri=True) as outbox:
        kept, highest = outbox.execute("SELECT count(*), max(sequence) FROM entries").fetchone()
    assert kept < 10 * highest / 2, "the outbox keeps what it no longer needs"


def test_hosts_fee_income_on_chain_equals_the_customers_bills_less_the_share_for_both_kinds_every_epoch(town: Running) -> None:
    """Through two killed verifiers, which are clerks too, a killed chain and a stopped lead."""
    town.epoch(5)
    chain, finals = Chain(town.rpc, town.network.contracts), town.finals()
    archive = town.archive_with(finals[-1])
    states = [State.genesis(), *(read_state(archive, final.state_root) for final in finals)]
    redeemed = [event for event in Follower(town.rpc, town.network.contracts, town.network.clock).events() if event.name == "Redeemed"]
    kinds: dict[str, int] = {}
    totals: dict[bytes, int] = {}
    before, starts = states[0], town.network.clock.genesis_unix_s
    for final, after in zip(finals, states[1:], strict=True):
        # The lines of a clerk whose head came too late, on a busy machine, count with its next one.
        if any(len(read_contents(archive, book).heads) < VERIFIERS for book in final.book_hashes):
            continue
        ends = town.network.clock.end_unix_s(final.last)
        net = sum(event.values["net"] for event in redeemed if starts <= event.log.timestamp < ends)
        assert final.fees - sum(_money(before.assets, "fees").values()) == net, f"epochs up to {final.last}"
        grown = {asset: total - _money(before.assets, "fees").get(asset, 0) for asset, total in _money(after.assets, "fees").items()}
        assert {asset: fee for asset, fee in grown.items() if fee} == _net_of_bills(town, before, after, redeemed, totals)
        kind_of = {asset: kind for kind, table in after.carried.items() for asset in table["asset"]}
        for asset, fee in grown.items():
            kinds[kind_of[asset]] = kinds.get(kind_of[asset], 0) + fee
        assert sum(_money(after.sales, "net").values()) == 0, "nothing waits for measured work"
        before, starts = after, ends
    assert kinds.keys() == {"energy", "storage"}
    assert min(kinds.values()) > 0
    # What is final is on the hosts' accounts.
    owed = {account: fee for account, fee in _money(states[-1].accounts, "fees", "account").items() if fee}
    deadline = time.monotonic() + 60
    while [taken for _, taken in chain.taken_many(list(owed))] != list(owed.values()):
        assert time.monotonic() < deadline, "not everyone was paid"
        time.sleep(0.2)
    payment = contract(town.rpc, town.network.contracts, "TestDollar")
    for account, fee in owed.items():
        assert payment.call("balanceOf", account) >= fee


def _money(table: pl.DataFrame, column: str, key: str = "asset") -> dict[bytes, int]:
    return dict(zip(table[key].to_list(), to_ints(table[column]), strict=True))


def _net_of_bills(town: Running, before: State, after: State, redeemed: list[Event], taken: dict[bytes, int]) -> dict[bytes, int]:
    """What every asset is due of what the lanes billed in these epochs, from the customers' own books: whole bills of whole epochs, the
    share rounded up for each voucher, what is left divided without a remainder."""
    due: dict[bytes, int] = {}
    for name in ("neighbour", "archive"):
        with sqlite3.connect(f"file:{town.folder}/customers/{name}/wallet/wallet.sqlite?mode=ro", uri=True) as book:
            lanes = [row[0] for row in book.execute("SELECT id FROM lanes")]
            billed = book.execute("SELECT epoch, asset, money FROM bills ORDER BY epoch").fetchall()
        for lane in lanes:
            had, has = ({row["asset"]: int(row["money"]) for row in _lane_rows(state, lane)} for state in (before, after))
            grown = {asset: has[asset] - had.get(asset, 0) for asset in sorted(has)}
            # The lines that were taken are the bills up to some epoch, to the unit.
            upto = [
                epoch
                for epoch in range(-1, town.network.clock.epoch_at(town.rpc.block("latest").timestamp))
                if has == _sums((bytes(asset), int(money)) for when, asset, money in billed if when <= epoch)
            ]
            assert upto or not has, f"{name}: the lines taken are no whole bills"
            total = sum(has.values())
            nets = [
                event.values["net"]
                for event in redeemed
                if event.values["lane"] == lane and taken.get(lane, 0) < event.values["total"] <= total
            ]
            growth, taken[lane] = total - taken.get(lane, 0), total
            assert sum(grown.values()) == growth
            if growth:
                share = growth - sum(nets)
                assert 0 <= share - growth * SHARE_BPS // 10_000 <= len(nets)
                for asset, fee in zip(grown, divide_whole(sum(nets), list(grown.values())), strict=True):
                    due[asset] = due.get(asset, 0) + fee
    return {asset: fee for asset, fee in due.items() if fee}


def _lane_rows(state: State, lane: bytes) -> list[dict[str, Any]]:
    return state.lines.filter(pl.col("lane") == lane).to_dicts()


def _sums(pairs: Iterable[tuple[bytes, int]]) -> dict[bytes, int]:
    sums: dict[bytes, int] = {}
    for asset, money in pairs:
        sums[asset] = sums.get(asset, 0) + money
    return {asset: money for asset, money in sums.items() if money}


def test_a_customer_keeps_another_file_reads_both_back_and_its_bill(town: Running, tmp_path: Path) -> None:
    """Through the door, while the customer's own loop runs."""
    town.epoch(5)
    me = town.folder / "customers" / "archive"
    (first,) = json.loads(town.run("store", "ls", "--folder", str(me / "storage"), "--json").stdout)["files"]
    assert (first["name"], len(first["hosts"])) == (FILE.name, DISKS)
    acts = ["--network", str(town.folder / "network.toml"), "--wallet", str(me / "wallet")]
    keeps = [*acts, "--folder", str(me / "storage"), "--json"]
    (tmp_path / "mine").write_bytes(os.urandom(700_001))
    for command in (
        ["put", str(tmp_path / "mine"), *keeps, "--needed", "2", "--hosts", "5"],
        ["get", "mine", *keeps, "--out", str(tmp_path / "copy")],
    ):
        done = town.run("store", *command)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "mine").read_bytes()
    done = town.run("store", "get", FILE.name, *keeps, "--out", str(tmp_path / FILE.name))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / FILE.name).read_bytes() == FILE.read_bytes()
    bill = json.loads(town.run("bill", *acts, "--json").stdout)
    with sqlite3.connect(f"file:{me}/wallet/wallet.sqlite?mode=ro", uri=True) as book:
        kinds = dict(book.execute("SELECT kind, count(*) FROM bills GROUP BY kind"))
    assert kinds["energy"] >= 3
    assert kinds["storage"] >= 3 * DISKS
    assert "storage" in json.dumps(bill)


def test_a_stopped_network_resumes_from_its_folder(town: Running) -> None:
    town.epoch(5)
    assert town.stop() == 0
    shown = {each["epoch"] for each in town.told()}
    with town.again() as again:
        assert again.network.id == town.network.id
        event: dict[str, Any] = again.epoch(max(shown) + 1)
        assert event["accepted"] > 150
        _nothing_missing(again, upto=max(shown))


def _nothing_missing(town: Running, upto: int) -> None:
    """Every sequence that a device used is listed in a final Book, without a hole, up to the last listed one."""
    listed: dict[bytes, set[int]] = {}
    for final in town.finals():
        archive = town.archive_with(final)
        for table in read_tables(archive, "verdicts", final.verdicts_hash).values():
            for asset, sequence in table.select("asset", "sequence").iter_rows():
                listed.setdefault(asset, set()).add(sequence)
        for book_hash in final.book_hashes:
            assert read_contents(archive, book_hash).segments
    homes = {bytes.fromhex(asset_of(town, home)[2:]) for home in (1, 2, 3, 4, 5, 6, 7, 8, 9, 12)}
    disks = town.folder / "disks" / "host.toml"
    assert len(listed) == len(homes) + len(tomllib.loads(disks.read_text())["devices"])
    for asset, sequences in listed.items():
        assert sequences == set(range(max(sequences) + 1)), f"{asset.hex()} lacks {set(range(max(sequences) + 1)) - sequences}"
        assert asset not in homes or max(sequences) >= 24 * upto
