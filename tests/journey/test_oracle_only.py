"""The same journey in a network that was there before: its own token in a vault, its own collection, a Safe; none of our token, governor,
channels or stakes."""

from __future__ import annotations

import csv
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from subak.archive.books import read_contents, read_state
from subak.archive.store import HttpArchive
from subak.archive.tables import read_tables
from subak.chain.accounts import Account
from subak.chain.contracts import ChainRefused, Contract, Sender
from subak.chain.deploy import contract, word_of
from subak.core.settlement.money import to_ints

from . import test_town as own
from .existing_town import BUDGET, multisig_owners
from .running import Running
from .safe import Safe


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(tmp_path_factory.mktemp("existing"), ("tests.journey.existing_town",)) as running:
        yield running


def payer(town: Running, name: str) -> Sender:
    """Somebody of the town with gas."""
    account = Account.load_or_create(town.folder / "keys" / f"{name}.key")
    town.rpc.request("anvil_setBalance", "0x" + account.address.hex(), hex(10**18))
    return Sender(town.rpc, account)


def running_epoch(town: Running) -> int:
    return town.network.clock.epoch_at(town.rpc.block("latest").timestamp)


def test_the_first_epoch_is_settled_and_paid(town: Running) -> None:
    event = town.epoch(0)
    assert event["accepted"] > 150
    assert int(event["paid"]) > 0


test_an_outsider_recomputes_the_same_root = own.test_an_outsider_recomputes_the_same_root
test_balances_on_chain_equal_the_statement_to_the_unit = own.test_balances_on_chain_equal_the_statement_to_the_unit


def test_none_of_our_token_governor_channels_or_stakes_is_there(town: Running) -> None:
    here = town.network.contracts
    assert [any(each) for each in (here.channels, here.shares, here.governor, here.treasury, here.guardian)] == [False] * 5
    settlement, vault = contract(town.rpc, here, "Settlement"), contract(town.rpc, here, "Vault")
    said = [settlement.call(name) for name in ("TOKEN", "PAYMENT", "BUDGET", "WEIGHTS", "REVENUE", "AUTHORITY", "CHALLENGES")]
    assert said == [here.token, here.token, here.minter, here.stake, bytes(20), here.timelock, here.challenges]
    for each in (vault, contract(town.rpc, here, "AllowList"), contract(town.rpc, here, "MirrorAssets")):
        assert each.call("AUTHORITY") == here.timelock, each.name
    assert vault.call("TOKEN") == here.token
    assert Contract("TestDollar", here.token, town.rpc).call("symbol") == "TUSD"


def test_the_vault_paid_what_is_final_and_holds_the_rest(town: Running) -> None:
    town.epoch(0)
    vault = contract(town.rpc, town.network.contracts, "Vault")
    token = Contract("TestDollar", town.network.contracts.token, town.rpc)
    block = town.rpc.block("latest").number
    paid = vault.call("paidOut", block=block)
    assert 0 < paid <= BUDGET * vault.call("nextEpoch", block=block)
    assert token.call("balanceOf", vault.address, block=block) + paid == token.call("totalSupply")


test_what_was_minted_is_growth_and_dust_and_within_the_budget = own.test_what_was_minted_is_growth_and_dust_and_within_the_budget
test_every_caught_interval_is_refused_with_its_reason_in_statement_page_and_public_log = (
    own.test_every_caught_interval_is_refused_with_its_reason_in_statement_page_and_public_log
)
test_anyone_reads_the_public_log_with_duckdb = own.test_anyone_reads_the_public_log_with_duckdb
test_openzeppelin_loads_and_verifies_the_exported_tree = own.test_openzeppelin_loads_and_verifies_the_exported_tree
test_a_claim_pays_what_is_owed_and_nothing_twice = own.test_a_claim_pays_what_is_owed_and_nothing_twice


def test_tokens_of_a_table_are_mirrored_once_and_owners_are_not_believed(town: Running, tmp_path: Path) -> None:
    command = ["assets", "import", str(town.folder / "assets.csv"), "--network", str(town.folder / "network.toml")]
    command += ["--key", str(town.folder / "keys" / "founder.key"), "--json"]
    told = json.loads(town.run(*command).stdout)
    assert (told["registered"], told["already_registered"]) == (0, 10)
    with open(town.folder / "assets.csv") as file:
        rows = list(csv.reader(file))
    owner = own.owner_of(town, 1)
    (tmp_path / "owners.csv").write_text("\n".join(",".join(row) for row in [["owner", *rows[0][1:]], [owner, *rows[1][1:]]]))
    done = town.run(*(str(tmp_path / "owners.csv") if each.endswith(".csv") else each for each in command))
    assert done.returncode == 1
    assert "mirrors the collection" in done.stderr


def test_anyone_tells_the_network_who_bought_a_token(town: Running) -> None:
    """Here the buyer, by `subak assets sync`; then its device has to say whose it is."""
    town.epoch(0)
    seller, buyer = payer(town, "owner-01"), payer(town, "buyer")
    mirror = contract(town.rpc, town.network.contracts, "MirrorAssets")
    collection = Contract("TestCollection", mirror.call("COLLECTION"), town.rpc)
    asset = bytes.fromhex(own.asset_of(town, 1)[2:])
    seller.send(collection, "transferFrom", seller.address, buyer.address, mirror.call("tokenOf", asset))
    key = str(town.folder / "keys" / "buyer.key")
    sync = ["assets", "sync", "--network", str(town.folder / "network.toml"), "--key", key, "--json"]
    for moved in ([own.asset_of(town, 1)], []):
        done = town.run(*sync)
        assert done.returncode == 0, done.stderr
        assert [each["asset"] for each in json.loads(done.stdout)["moved"]] == moved
    assert mirror.call("toldOwner", asset) == buyer.address
    homes = town.folder / "homes" / "host.toml"
    homes.write_text(homes.read_text().replace(seller.address.hex(), buyer.address.hex()))
    town.send_signal("homes", signal.SIGTERM)


def test_two_owners_of_the_multisig_decide_and_one_alone_does_not(town: Running) -> None:
    here = town.network.contracts
    vault, listed = contract(town.rpc, here, "Vault"), contract(town.rpc, here, "AllowList")
    safe, clerk = Safe(town.rpc, here.timelock, multisig_owners(town.folder)), payer(town, "clerk")
    _, signers, weights = listed.call("list")
    assert weights == (1, 1, 1)
    # Not the next epoch: it may begin before the last owner's signature is handed in.
    from_epoch = running_epoch(town) + 2
    pools = vault.abi.encode_call("setWeights", from_epoch, [word_of("energy"), word_of("verifiers")], [9_000, 1_000])
    too_much = vault.abi.encode_call("setWeights", from_epoch, [word_of("energy"), word_of("verifiers")], [5_000, 5_000])
    for data, signed in ((pools, 1), (too_much, 2)):
        with pytest.raises(ChainRefused):
            safe.execute(clerk, vault.address, data, signed)
    safe.execute(clerk, vault.address, pools, 2)
    # Not the lead of epoch 5, which will be silent: without it two thirds of the weight are there.
    safe.execute(clerk, listed.address, listed.abi.encode_call("set", list(signers), [1, 2, 1]), 2)
    # The chain is killed later, and loses what it did not write down.
    town.wait_for_dump()
    assert listed.call("list")[2] == (1, 2, 1)


test_a_killed_verifier_loses_nothing_that_it_acknowledged = own.test_a_killed_verifier_loses_nothing_that_it_acknowledged
test_a_killed_chain_resumes_with_its_state_and_its_clock = own.test_a_killed_chain_resumes_with_its_state_and_its_clock
test_a_silent_leads_turn_is_taken_over = own.test_a_silent_leads_turn_is_taken_over
test_hosts_let_go_of_what_final_books_list = own.test_hosts_let_go_of_what_final_books_list


def epochs_of(town: Running, contract_name: str, event: str) -> list[int]:
    """In which epochs a contract told something."""
    source = contract(town.rpc, town.network.contracts, contract_name)
    logs = [each.log for each in source.events(0, town.rpc.block("latest").number, [event])]
    return [town.network.clock.epoch_at(log.timestamp) for log in logs]


def test_who_bought_a_token_is_paid_from_the_epoch_after_the_network_was_told(town: Running) -> None:
    town.epoch(5)
    told = max(epochs_of(town, "MirrorAssets", "Transfer"))
    finals = town.finals()
    archive = town.archive_with(finals[-1])
    seller, buyer = (Account.load(town.folder / "keys" / f"{name}.key").address for name in ("owner-01", "buyer"))
    earned = []
    for final in finals:
        accounts = read_state(archive, final.state_root).accounts
        totals = dict(zip(accounts["account"].to_list(), to_ints(accounts["rewards"]), strict=True))
        earned.append([totals.get(each, 0) for each in (seller, buyer)])
    assert {buyers for final, (_, buyers) in zip(finals, earned, strict=True) if final.last <= told} == {0}
    assert finals[-1].first > told
    assert earned[-1][1] > 0
    known = next(place for place, final in enumerate(finals) if final.last > told)
    # In a range that lasts longer than that epoch the seller is still paid for it.
    known -= finals[known].first > told
    assert {sellers for sellers, _ in earned[known:]} == {earned[known][0]}, "the seller earns no more"


def test_what_the_multisig_decided_acts_from_its_epoch(town: Running) -> None:
    town.epoch(5)
    here, archive = town.network.contracts, HttpArchive(town.ready["archive"])
    changed, pools_from = epochs_of(town, "AllowList", "SignersSet")[-1], contract(town.rpc, here, "Vault").call("weightsFrom")
    finals = [final for final in town.finals() if final.first == final.last]
    snapshots = {each.first: read_tables(archive, "snapshot", read_contents(archive, each.book_hashes[0]).snapshot.hash) for each in finals}
    shares = {False: (9_500, 500), True: (9_000, 1_000)}
    for epoch, snapshot in snapshots.items():
        assert to_ints(snapshot["verifiers"]["weight"]) == ([1, 2, 1] if epoch > changed else [1, 1, 1]), epoch
        whole = contract(town.rpc, here, "Vault").call("scheduled", epoch, epoch)
        budgets = dict(zip(snapshot["pools"]["pool"], to_ints(snapshot["pools"]["budget"]), strict=True))
        parts = zip(("energy", "verifiers"), shares[epoch >= pools_from], strict=True)
        assert budgets == {pool: whole * bps // 10_000 for pool, bps in parts}, epoch
    for acts_from in (changed + 1, pools_from):
        assert {epoch >= acts_from for epoch in snapshots} == {True, False}
    assert town.ask("check", str(changed + 1))["same"]


test_a_stopped_network_resumes_from_its_folder = own.test_a_stopped_network_resumes_from_its_folder
