"""Whoever watches without stake forces the vote on a lie, asks for what is missing, and loses a bond only when it is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from watch_world import TOKENS, WATCHER, Headed, Lie, account, headed, lie_about_one_home, watcher

from subak.archive.store import FolderArchive
from subak.chain.challenges import Outcome
from subak.chain.settlement import Phase
from subak.core.canon.typed_data import EpochRoot
from subak.core.nouns import Settlement
from subak.core.settlement import payout_tree
from subak.verifier.watching import Told, WalletTooSmall, Watcher


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Headed]:
    built = headed(tmp_path_factory.mktemp("town"))
    try:
        yield built
    finally:
        built.chain.stop()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The watcher's own folder, the same all along."""
    return tmp_path_factory.mktemp("watcher")


def names(heard: list[Told]) -> list[str]:
    return [each.event for each in heard]


def duplicate(settled: list[Settlement], message: EpochRoot) -> tuple[list[Settlement], EpochRoot]:
    """One account stands twice under the root, with a unit more the second time."""
    last = settled[-1]
    accounts = last.state.accounts
    again = accounts.head(1).with_columns((pl.col("rewards").cast(pl.Int128) + 1).cast(pl.Decimal(38, 0)))
    return publish(last, pl.concat([accounts, again]), message)


def lowered(settled: list[Settlement], message: EpochRoot) -> tuple[list[Settlement], EpochRoot]:
    """An account has less than what is final."""
    last = settled[-1]
    first = pl.int_range(pl.len()) == 0
    rewards = pl.when(first).then(0).otherwise(pl.col("rewards").cast(pl.Int128)).cast(pl.Decimal(38, 0))
    less = last.state.accounts.with_columns(rewards.alias("rewards"))
    return publish(last, less, message)


def publish(last: Settlement, accounts: pl.DataFrame, message: EpochRoot) -> tuple[list[Settlement], EpochRoot]:
    state = replace(last.state, accounts=accounts)
    false = replace(last, state=state, state_root=state.root(), tree=payout_tree(state))
    return [false], replace(message, root=false.tree.root, state_root=false.state_root)


def test_an_honest_result_is_left_alone_and_settled_from_its_own_state(town: Headed, home: Path) -> None:
    watching, heard = watcher(town, home)
    watching.require_wallet()
    assert watching.tick()
    for _ in range(2):
        message = town.propose()
        assert watching.tick()
        assert watching.tick()
        town.finish(message)
        assert watching.tick()
    assert names(heard) == ["settled", "same", "final"] * 2
    assert heard[-1].facts["same"] is True
    assert (home / "archive" / "state" / message.state_root.hex() / "manifest.json").exists()
    assert town.tokens() == TOKENS


def test_a_lie_is_challenged_once_and_its_signers_pay(town: Headed, home: Path) -> None:
    before, held = town.stakes(), town.tokens()
    lie: Lie = lie_about_one_home(town.homes[0].asset)
    false = town.propose(lie)
    watching, heard = watcher(town, home)
    bond = town.challenges().bond_now()
    assert not watching.tick()
    assert names(heard) == ["settled", "differs", "challenged"]
    assert "root" in heard[1].facts["why"]
    assert town.view().phase is Phase.CHALLENGED
    assert town.tokens() == held - bond
    assert town.challenges().token().allowance(WATCHER.address, town.network.contracts.challenges) == 0
    # Stopped and begun again, it does not doubt twice, nor settle again.
    again, heard = watcher(town, home)
    again.tick()
    assert heard == []
    assert (town.tokens(), again.at_risk()) == (held - bond, bond)

    town.tell(town.judged(town.book), town.message)
    assert again.tick()
    town.finish(town.message)
    again.tick()
    assert {"same", "final", "bonds", "punished"} <= set(names(heard))
    assert town.stakes() == [stake - -(-stake * 200 // 10_000) for stake in before]
    taken = sum(before) - sum(town.stakes())
    assert town.tokens() == held + taken * 500 // 10_000
    assert again.at_risk() == 0
    third, heard = watcher(town, home)
    third.tick()
    third.tick()
    assert heard == [], "everything is done"
    assert false.first == town.message.first


@pytest.mark.parametrize(("lie", "kind"), [(duplicate, "duplicate"), (lowered, "lowered")])
def test_what_its_leaves_disprove_is_struck_without_a_bond(town: Headed, home: Path, lie: Lie, kind: str) -> None:
    before, held = town.stakes(), town.tokens()
    town.propose(lie)
    watching, heard = watcher(town, home)
    assert not watching.tick()
    assert names(heard)[-2:] == ["differs", "disproved"]
    assert heard[-1].facts["kind"] == kind
    assert town.view().phase is Phase.REJECTED
    watching.tick()
    assert "punished" in names(heard)
    assert town.stakes() == [stake - -(-stake * 2_000 // 10_000) for stake in before]
    assert town.tokens() == held


def test_missing_data_is_asked_for_and_then_contested(town: Headed, tmp_path: Path) -> None:
    message = town.propose()
    attempt = town.view().pending.attempt  # type: ignore[union-attr]
    missing = next(f"entries/{ref.schema}/{ref.sha.hex()}.parquet" for ref in town.book.segments)
    raw = town.archive.get(missing)
    (town.archive.root / missing).unlink()
    watching, heard = watcher(town, tmp_path)
    deadline = town.view().pending.deadline_unix_s  # type: ignore[union-attr]
    assert not watching.tick()
    assert names(heard) == ["missing"]
    assert heard[0].facts["path"] == missing
    held, window = town.tokens(), town.network.clock.challenge_seconds
    town.go_to(deadline - window // 2)
    for _ in range(2):
        watching.tick()
    assert names(heard) == ["missing", "data_challenged"]
    assert town.tokens() == held - town.challenges().data_fee()
    assert town.view().pending.deadline_unix_s == deadline + window  # type: ignore[union-attr]
    town.go_to(deadline + window - window // 5)
    watching.tick()
    assert names(heard)[-1] == "challenged"
    town.archive.put(missing, raw)
    town.tell(town.judged(town.book), town.message)
    assert watching.tick()
    town.finish(message)
    held = town.tokens()
    watching.tick()
    watching.tick()
    dispute = town.challenges().dispute(message.first, attempt)
    assert (dispute.outcome, dispute.bond) == (Outcome.CONFIRMED, 0)
    assert town.tokens() == held, "the bond of a doubt that was wrong is burned"
    assert watching.at_risk() > 0


def test_a_confirmed_lie_is_escalated_within_the_limit(town: Headed, home: Path) -> None:
    lie = lie_about_one_home(town.homes[0].asset)
    settled = town.open()
    said, message = lie(settled, town.message)
    town.tell(said, message)
    watching, heard = watcher(town, home)
    watching.tick()
    assert names(heard)[-1] == "challenged"
    town.tell(said, message)
    careful, told = watcher(town, home, most_bond=watching.at_risk() + 1)
    careful.tick()
    assert names(told) == ["differs", "limit"]
    watching.tick()
    assert names(heard)[-1] == "escalated"
    assert town.view().phase is Phase.ESCALATED
    held = town.tokens()
    watching.tick()
    assert town.tokens() == held


def test_a_wallet_that_is_too_small_is_told_what_is_missing(town: Headed, tmp_path: Path) -> None:
    poor = Watcher(town.network, tmp_path, account(2001), town.rpc, [town.archive])
    with pytest.raises(WalletTooSmall, match=r"holds 0 SUBAK; .* SUBAK \(\d+ units\) are missing"):
        poor.require_wallet()


def test_without_an_archive_nothing_is_contested(town: Headed, tmp_path: Path) -> None:
    empty = Watcher(town.network, tmp_path / "home", WATCHER, town.rpc, [FolderArchive(tmp_path / "empty")])
    with pytest.raises(Exception, match="any archive"):
        empty.tick()
