"""The index keeps what the chain says, also when the chain takes something back, and nothing that an archive made up."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import polars as pl
import pytest
from small_town import Town, build_town

from subak.archive.store import FolderArchive, NotThere, WrongContent
from subak.core.nouns import Hash
from subak.explorer.ledger import Ledger, OtherNetwork


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Epochs 0 and 1, then 2 and 3 settled at once."""
    built = build_town(tmp_path_factory.mktemp("town"), (1, 4))
    try:
        for count in (1, 1, 2):
            built.close_epochs(count)
        yield built
    finally:
        built.chain.stop()


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


def _everything(ledger: Ledger) -> dict[str, object]:
    epochs = ledger.epochs(size=500).rows
    return {
        "epochs": epochs,
        "assets": ledger.assets(size=500).rows,
        "accounts": ledger.accounts(size=500).rows,
        "refusals": [{**row, "id": 0} for row in ledger.refusals(size=500).rows],
        "by_epoch": [ledger.epoch_assets(row["epoch"]).rows for row in epochs],
        "reasons": ledger.reasons(),
        "totals": ledger.totals(),
    }


def _without_chain(everything: dict[str, object]) -> dict[str, object]:
    rows = everything["epochs"]
    assert isinstance(rows, list)
    return {**everything, "epochs": [{**row, "transaction_hash": "", "block": 0} for row in rows]}
