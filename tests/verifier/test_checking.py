"""``check`` starts from an archive and a chain: what it finds the same, and what it names when something is not."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import polars as pl
import pytest

from subak.archive.store import FolderArchive, HttpArchive
from subak.chain.snapshot import Finalised
from subak.core.canon.json import encode
from subak.core.nouns import Network
from subak.core.settlement import reason_table
from subak.kinds.registry import installed
from subak.verifier.checking import CannotCheck, CheckResult, check, first_difference, first_leaf_difference, first_verdict_difference

# The town lives beside the explorer's tests, which need it too.
sys.path.insert(0, str(Path(__file__).parents[1] / "explorer"))
from small_town import Town, build_town, lie_about_one_home

LIE = 4
"""The epoch that all verifiers lied about."""


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Epochs 0, 1, then 2 and 3 as one range, then one whose root all verifiers signed falsely."""
    built = build_town(tmp_path_factory.mktemp("town"))
    try:
        for count in (1, 1, 2):
            built.close_epochs(count)
        built.close_epochs(1, lie_about_one_home(built.homes[0].asset), pay=False)
        yield built
    finally:
        built.chain.stop()


@pytest.fixture
def copy(town: Town, tmp_path: Path) -> FolderArchive:
    """The town's archive, to spoil."""
    shutil.copytree(town.archive.root, tmp_path / "archive")
    return FolderArchive(tmp_path / "archive")


@pytest.mark.parametrize("epoch", [0, 1, 2, 3])
def test_an_honest_epoch_has_the_same_root(town: Town, epoch: int) -> None:
    heard: list[str] = []
    result = check(epoch, town.archive, town.rpc, heard.append)
    assert result.passed, result.words()
    assert f"same root 0x{_final(town, epoch).root.hex()}" in result.words()
    assert (result.first, result.last) == ((2, 3) if epoch > 1 else (epoch, epoch))
    names = [fact.name for fact in result.facts]
    assert set(names) >= {"root", "stateRoot", "assetRoot", "verdictsHash", "rewards", "fees", f"book {epoch}: snapshot"}
    assert result.summary["refused"] > 0
    assert any("signatures hold" in line for line in heard)


def test_the_result_is_plain_json(town: Town) -> None:
    told = json.loads(msgspec.json.encode(check(1, town.archive, town.rpc).as_dict()))
    assert told["same"] is True
    assert told["passed"] is True
    assert told["settlement"] == "0x" + town.network.contracts.settlement.hex()
    assert told["summary"]["paid"].isdecimal()


def test_verifiers_who_all_lied_are_told_line_by_line(town: Town) -> None:
    result = check(LIE, town.archive, town.rpc)
    assert not result.same
    assert not result.faults
    assert {fact.name for fact in result.facts if not fact.same} == {"root", "stateRoot", "assetRoot", "verdictsHash"}
    verdict, state, leaf = result.differences
    assert verdict.table == "verdicts"
    assert verdict.place["asset"] in {"0x" + home.asset.hex() for home in town.homes}
    assert "UTC" in verdict.place["interval"]
    assert verdict.published.startswith("accepted")
    assert verdict.recomputed.startswith("refused (")
    assert (state.place["table"], state.place["column"]) == ("accounts", "rewards")
    assert int(state.published) == int(state.recomputed) + 1
    assert leaf.place == {"account": state.place["account"]}
    assert (leaf.published, leaf.recomputed) == (f"rewards {state.published}, fees 0", f"rewards {state.recomputed}, fees 0")
    assert "not the same" in result.words()


def test_a_changed_verdict_file_is_named_though_the_root_is_the_same(town: Town, copy: FolderArchive) -> None:
    path = f"verdicts/{_final(town, 1).verdicts_hash.hex()}/1.parquet"
    table = pl.read_parquet(copy.root / path)
    table.with_columns(pl.col("sequence") + 1).write_parquet(copy.root / path)
    result = check(1, copy, town.rpc)
    assert (result.same, result.passed) == (True, False)
    assert [fault.path for fault in result.faults] == [path]
    assert "sequence" in result.words()


def test_a_changed_state_before_is_named_and_nothing_is_computed(town: Town, copy: FolderArchive) -> None:
    path = f"state/{_final(town, 0).state_root.hex()}/carried.energy.parquet"
    table = pl.read_parquet(copy.root / path)
    table.with_columns(pl.col("mark_export_wh") - 1).write_parquet(copy.root / path)
    result = check(1, copy, town.rpc)
    assert (result.same, result.passed, result.recomputed) == (False, False, False)
    assert [fault.path for fault in result.faults] == [path]
    assert "cannot be recomputed" in result.words()
    assert "mark_export_wh" in result.words()


def test_a_changed_state_after_is_named(town: Town, copy: FolderArchive) -> None:
    path = f"state/{_final(town, 1).state_root.hex()}/assets.parquet"
    table = pl.read_parquet(copy.root / path)
    table.with_columns(pl.col("units") + 1).write_parquet(copy.root / path)
    result = check(1, copy, town.rpc)
    assert (result.same, result.passed) == (True, False)
    assert [fault.path for fault in result.faults] == [path]


def test_a_missing_segment_is_named(town: Town, copy: FolderArchive) -> None:
    segment = next((copy.root / "entries/energy.reading").iterdir())
    book = next(epoch for epoch in range(4) if segment.stem in _book(town, epoch).decode())
    segment.unlink()
    result = check(book, copy, town.rpc)
    assert not result.recomputed
    assert [fault.path for fault in result.faults] == [f"entries/energy.reading/{segment.name}"]


def test_a_changed_segment_is_named_with_both_hashes(town: Town, copy: FolderArchive) -> None:
    segment = next((copy.root / "entries/energy.reading").iterdir())
    book = next(epoch for epoch in range(4) if segment.stem in _book(town, epoch).decode())
    segment.write_bytes(segment.read_bytes()[:-1] + b"!")
    result = check(book, copy, town.rpc)
    assert result.faults[0].path == f"entries/energy.reading/{segment.name}"
    assert segment.stem in result.faults[0].detail


def test_a_changed_book_and_policy_are_named(town: Town, copy: FolderArchive) -> None:
    final = _final(town, 0)
    for path in (f"book/{final.book_hashes[0].hex()}.json", f"policy/{final.policy_hashes[0].hex()}.json"):
        whole = (copy.root / path).read_bytes()
        (copy.root / path).write_bytes(whole.replace(b"1", b"2", 1))
        assert [fault.path for fault in check(0, copy, town.rpc).faults] == [path]
        (copy.root / path).write_bytes(whole)


def test_an_epoch_that_is_not_final_cannot_be_checked(town: Town) -> None:
    with pytest.raises(CannotCheck, match=f"epoch {LIE + 1} is not final, the newest final one is {LIE}"):
        check(LIE + 1, town.archive, town.rpc)


@pytest.mark.parametrize("field", ["token", "stake", "settlement", "assets"])
def test_an_archive_that_names_other_contracts_is_refused(town: Town, copy: FolderArchive, field: str) -> None:
    other = msgspec.structs.replace(town.network.contracts, **{field: type(town.network.contracts.token)(b"\x01" * 20)})
    _rename(copy, msgspec.structs.replace(town.network, contracts=other))
    with pytest.raises(CannotCheck, match=rf"no contract at 0x{'01' * 20}.*{field}"):
        check(0, copy, town.rpc)


def test_an_archive_that_swaps_two_contracts_is_refused(town: Town, copy: FolderArchive) -> None:
    contracts = town.network.contracts
    swapped = msgspec.structs.replace(contracts, token=contracts.minter, minter=contracts.token)
    _rename(copy, msgspec.structs.replace(town.network, contracts=swapped))
    with pytest.raises(CannotCheck, match="gives token as"):
        check(0, copy, town.rpc)


def test_an_archive_with_another_clock_or_chain_is_refused(town: Town, copy: FolderArchive) -> None:
    _rename(copy, msgspec.structs.replace(town.network, clock=msgspec.structs.replace(town.network.clock, grace_seconds=1)))
    with pytest.raises(CannotCheck, match="grace_seconds=1"):
        check(0, copy, town.rpc)
    _rename(copy, msgspec.structs.replace(town.network, chain_id=1))
    with pytest.raises(CannotCheck, match=r"on chain 1, .* is chain 31337"):
        check(0, copy, town.rpc)


def test_an_archive_that_is_none_is_refused(town: Town, tmp_path: Path) -> None:
    with pytest.raises(CannotCheck, match=r"network\.json"):
        check(0, FolderArchive(tmp_path / "empty"), town.rpc)
    with pytest.raises(CannotCheck, match="/archive"):
        check(0, HttpArchive("http://127.0.0.1:9/archive"), town.rpc)


def test_the_first_differing_line_of_verdicts() -> None:
    table = pl.DataFrame(
        {
            "asset": [b"\x01" * 32, b"\x02" * 32],
            "schema": ["energy.reading", "energy.reading"],
            "sequence": [7, 8],
            "start_unix_s": [3600, 7200],
            "interval_seconds": [3600, 3600],
            "reasons": [[0, 0, 73], [0, 0]],
            "accepted": [[5, 6, 0], [1, 2]],
        },
        schema_overrides={"sequence": pl.UInt64, "reasons": pl.List(pl.UInt8)},
    )
    reasons = reason_table(kind.rules for kind in installed().values())
    assert first_verdict_difference(0, table, table, reasons) is None

    paid = table.with_columns(accepted=pl.Series([[5, 6, 0], [1, 3]]))
    difference = first_verdict_difference(3, paid, table, reasons)
    assert difference is not None
    assert difference.place == {
        "epoch": "3",
        "asset": "0x" + "02" * 32,
        "schema": "energy.reading",
        "sequence": "8",
        "interval": "1970-01-01 03:00 to 04:00 UTC",
    }
    assert (difference.published, difference.recomputed) == ("accepted (accepted), 3 counted", "accepted (accepted), 2 counted")

    shorter = first_verdict_difference(3, table.head(1), table, reasons)
    assert shorter is not None
    assert (shorter.place["sequence"], shorter.published) == ("8", "(nothing)")
    other = first_verdict_difference(3, table.reverse(), table, reasons)
    assert other is not None
    assert other.place["row"] == "0"
    assert first_verdict_difference(3, None, table, reasons) is not None
    ragged = first_verdict_difference(3, table.with_columns(accepted=pl.Series([[5, 6], [1, 2]])), table, reasons)
    assert ragged is not None
    assert (ragged.place["interval"], ragged.published) == ("1970-01-01 03:00 to 04:00 UTC", "(nothing)")
    typed = first_verdict_difference(3, table.with_columns(pl.col("sequence").cast(pl.Int64)), table, reasons)
    assert typed is not None
    assert (typed.place["column"], typed.published, typed.recomputed) == ("sequence", "Int64", "UInt64")


def test_the_first_differing_cell_row_or_table() -> None:
    rows = pl.DataFrame({"asset": [b"\x01", b"\x03"], "units": [5, 6]})
    assert first_difference("state", {"assets": rows}, {"assets": rows}) is None

    cell = first_difference("state", {"assets": rows.with_columns(units=pl.Series([5, 7]))}, {"assets": rows})
    assert cell is not None
    assert (cell.place, cell.published, cell.recomputed) == ({"table": "assets", "asset": "0x03", "column": "units"}, "7", "6")

    more = pl.DataFrame({"asset": [b"\x01", b"\x02", b"\x03"], "units": [5, 1, 6]})
    invented = first_difference("state", {"assets": more}, {"assets": rows})
    assert invented is not None
    assert (invented.place["asset"], invented.published, invented.recomputed) == ("0x02", "units 1", "(nothing)")
    dropped = first_difference("state", {"assets": rows}, {"assets": more})
    assert dropped is not None
    assert (dropped.place["asset"], dropped.published, dropped.recomputed) == ("0x02", "(nothing)", "units 1")
    last = first_difference("state", {"assets": rows.head(1)}, {"assets": rows})
    assert last is not None
    assert last.place["asset"] == "0x03"
    table = first_difference("state", {}, {"assets": rows})
    assert table is not None
    assert table.published == "(nothing)"


def test_the_first_differing_leaf_has_both_totals() -> None:
    leaves = pl.DataFrame({"account": [b"\x01", b"\x02"], "rewards": [5, 6], "fees": [0, 0]})
    assert first_leaf_difference(leaves, leaves) is None
    difference = first_leaf_difference(leaves.head(1), leaves)
    assert difference is not None
    assert (difference.place, difference.published, difference.recomputed) == ({"account": "0x02"}, "(nothing)", "rewards 6, fees 0")


def test_words_name_what_differs_and_faults_are_not_said_twice(town: Town) -> None:
    result = check(0, town.archive, town.rpc)
    facts = tuple(replace(fact, published="0x00") if fact.name == "assetRoot" else fact for fact in result.facts)
    false: CheckResult = replace(result, facts=facts)
    assert not false.same
    assert "assetRoot differs: published 0x00" in false.words()


def _final(town: Town, epoch: int) -> Finalised:
    return next(final for final in town.follower.finalised() if final.first <= epoch <= final.last)


def _book(town: Town, epoch: int) -> bytes:
    final = _final(town, epoch)
    return town.archive.get(f"book/{final.book_hashes[epoch - final.first].hex()}.json")


def _rename(archive: FolderArchive, network: Network) -> None:
    archive.put("network.json", encode(network), replace=True)
