"""The index keeps what the chain says, also when the chain takes something back, and nothing that an archive made up."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import polars as pl
import pytest
from market import ANN, Market, open_burning
from small_town import Town

from subak.archive.store import FolderArchive, NotThere, WrongContent
from subak.chain.channels import Channels
from subak.chain.contracts import Sender
from subak.core.nouns import Hash
from subak.core.settlement.money import to_ints
from subak.explorer.ledger import Ledger, OtherNetwork
from subak.explorer.onchain import Changes, OnChain
from subak.explorer.statements import in_words, statement


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """Epochs 0 and 1, then 2 and 3 settled at once; a customer pays in the network's token."""
    built = open_burning(tmp_path_factory.mktemp("town"))
    try:
        yield built
    finally:
        built.town.chain.stop()


@pytest.fixture(scope="module")
def town(market: Market) -> Town:
    return market.town


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path / "deep" / "explorer.sqlite")
    yield opened
    opened.close()


def test_reading_in_steps_gives_the_same_as_reading_at_once(town: Town, ledger: Ledger, tmp_path: Path) -> None:
    finals = town.follower.finalised()
    assert ledger.take(town.network, town.archive, finals) == 3
    assert ledger.take(town.network, town.archive, finals) == 0
    steps = Ledger(tmp_path / "steps.sqlite")
    for upto in (1, 2, 3):
        assert steps.take(town.network, town.archive, finals[:upto], most=1) == 1
    assert _everything(steps) == _everything(ledger)
    steps.close()


def test_another_reader_sees_a_range_whole(town: Town, ledger: Ledger, tmp_path: Path) -> None:
    reader = Ledger(tmp_path / "deep" / "explorer.sqlite")
    ledger.take(town.network, town.archive, town.follower.finalised(), most=1)
    assert _everything(reader) == _everything(ledger)
    assert reader.totals()["last_epoch"] == 0
    reader.close()


def test_what_the_chain_took_back_is_taken_back(town: Town, ledger: Ledger, tmp_path: Path) -> None:
    finals = town.follower.finalised()
    ledger.take(town.network, town.archive, finals[:2])
    two = _everything(ledger)
    ledger.take(town.network, town.archive, finals)
    three = _everything(ledger)
    # A chain that lost its last second does not know the last range, then makes it final in another transaction.
    assert ledger.take(town.network, town.archive, finals[:2]) == 1
    assert _everything(ledger) == two
    again = [*finals[:2], replace(finals[2], transaction=Hash(b"\x05" * 32), block=finals[2].block + 9)]
    assert ledger.take(town.network, town.archive, again) == 1
    assert ledger.take(town.network, town.archive, again) == 0
    row = ledger.epoch(3)
    assert row is not None
    assert row["transaction_hash"] == "0x" + "05" * 32
    assert _without_chain(_everything(ledger)) == _without_chain(three)
    assert ledger.take(town.network, town.archive, []) == 0
    assert ledger.totals()["epochs"] == ledger.totals()["assets"] == ledger.totals()["accounts"] == 0


def test_an_index_is_of_one_network(town: Town, ledger: Ledger) -> None:
    ledger.take(town.network, town.archive, town.follower.finalised())
    other = msgspec.structs.replace(town.network, chain_id=town.network.chain_id + 1)
    with pytest.raises(OtherNetwork, match="give another file or remove it"):
        ledger.take(other, town.archive, town.follower.finalised())
    assert ledger.totals()["epochs"] == 4


def test_a_false_or_missing_file_stops_the_range_and_what_was_read_stays(town: Town, ledger: Ledger, tmp_path: Path) -> None:
    shutil.copytree(town.archive.root, tmp_path / "archive")
    archive = FolderArchive(tmp_path / "archive")
    finals = town.follower.finalised()
    path = archive.root / f"verdicts/{finals[1].verdicts_hash.hex()}/1.parquet"
    whole = path.read_bytes()
    pl.read_parquet(path).with_columns(pl.col("start_unix_s") + 1).write_parquet(path)
    with pytest.raises(WrongContent, match="start_unix_s"):
        ledger.take(town.network, archive, finals)
    path.unlink()
    with pytest.raises(NotThere, match=r"1\.parquet"):
        ledger.take(town.network, archive, finals)
    assert ledger.totals()["last_epoch"] == 0
    path.write_bytes(whole)
    assert ledger.take(town.network, archive, finals) == 2


def test_where_customers_pay_in_the_token_both_currencies_are_one(market: Market, town: Town, ledger: Ledger) -> None:
    ledger.take(town.network, town.archive, town.follower.finalised())
    state = market.state()
    (total,), (net,), (burned,) = (to_ints(state.lanes[name]) for name in ("total", "net", "burned"))
    assert (total, net + burned) == (3 * 10**18 + 6, total), "nothing of it is the treasury's"
    (row,) = ledger.settled("0x" + ANN.address.hex())
    assert (int(row["total"]), int(row["net"]), int(row["burned"])) == (total, net, burned)
    grown = ledger.bill_epochs("0x" + ANN.address.hex()).rows
    assert [each["epoch"] for each in grown] == [3, 1]
    assert [sum(int(each[name]) for each in grown) for name in ("total", "net", "burned")] == [total, net, burned]
    told = statement(market.home(1).asset, town.archive, town.rpc)
    assert (told.one_currency, told.fees, told.token) == (True, str(net), told.payment)
    assert " SUBAK of rewards and 0.8 SUBAK of fees earned." in in_words(told)


def test_what_the_chain_says_is_told_once_and_again_only_if_it_changed(town: Town, ledger: Ledger) -> None:
    on_chain, told = OnChain(town.network, town.rpc), list[Changes]()
    on_chain.look(told.append)
    assert told[0].whole
    assert [row["redeemed"] for row in told[0].rows["lanes"]] == [str(3 * 10**18 + 6)]
    on_chain.look(told.append)
    assert len(told) == 1, "there is no new block"
    ledger.take_changes(told[0])
    before = ledger.customer("0x" + ANN.address.hex())
    snapshot = town.rpc.request("evm_snapshot")
    channels = Channels(town.rpc, town.network.contracts, Sender(town.rpc, ANN))
    channels.withdraw(10**18)
    on_chain.look(told.append)
    assert (told[-1].whole, list(told[-1].rows)) == (False, ["customers"])
    ledger.take_changes(told[-1])
    after = ledger.customer("0x" + ANN.address.hex())
    assert before is not None
    assert after is not None
    assert int(after["free"]) == channels.free(ANN.address) == int(before["free"]) - 10**18

    # A chain that lost its last blocks is read anew.
    assert town.rpc.request("evm_revert", snapshot)
    on_chain.look(told.append)
    assert told[-1].whole
    ledger.take_changes(told[-1])
    assert ledger.customer("0x" + ANN.address.hex()) == before


def test_changes_that_were_not_taken_are_told_again(town: Town) -> None:
    on_chain, told = OnChain(town.network, town.rpc), list[Changes]()

    def refuse(changes: Changes) -> None:
        raise OSError("the disk is full")

    for _ in range(2):
        with pytest.raises(OSError, match="full"):
            on_chain.look(refuse)
    on_chain.look(told.append)
    fresh = list[Changes]()
    OnChain(town.network, town.rpc).look(fresh.append)
    assert told == fresh


def _everything(ledger: Ledger) -> dict[str, object]:
    epochs = ledger.epochs(size=500).rows
    return {
        "epochs": epochs,
        "assets": ledger.assets(size=500).rows,
        "accounts": ledger.accounts(size=500).rows,
        "refusals": [{**row, "id": 0} for row in ledger.refusals(size=500).rows],
        "by_epoch": [ledger.epoch_assets(row["epoch"]).rows for row in epochs],
        "facts": [ledger.asset_facts(row["id"], 60) for row in ledger.assets(size=500).rows],
        "settled": ledger.settled("0x" + ANN.address.hex()),
        "bill_epochs": ledger.bill_epochs("0x" + ANN.address.hex()).rows,
        "reasons": ledger.reasons(),
        "totals": ledger.totals(),
    }


def _without_chain(everything: dict[str, object]) -> dict[str, object]:
    rows = everything["epochs"]
    assert isinstance(rows, list)
    return {**everything, "epochs": [{**row, "transaction_hash": "", "block": 0} for row in rows]}
