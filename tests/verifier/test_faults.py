"""Proved wrongs are brought to the chain once, whoever looks and however often; the honest lose nothing by it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from watch_world import WATCHER, Headed, account, headed, lie_about_one_home

from subak.chain.accounts import Account
from subak.chain.contracts import Sender
from subak.chain.stake import Stake
from subak.core.canon.typed_data import result_hash
from subak.verifier.faults import Faults
from subak.verifier.journal import Journal


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Headed]:
    built = headed(tmp_path_factory.mktemp("town"))
    try:
        yield built
    finally:
        built.chain.stop()


def faults(town: Headed, folder: Path, who: Account = WATCHER, own: bytes | None = None) -> tuple[Faults, list[str]]:
    heard: list[str] = []
    sender = Sender(town.rpc, who)
    made = Faults(
        town.network, town.rpc, sender, Journal(folder), own=lambda first, attempt: own, say=lambda event, words: heard.append(event)
    )
    return made, heard


def sent(town: Headed, who: Account = WATCHER) -> int:
    return town.rpc.nonce(who.address)


def test_two_results_of_one_signer_cost_it_everything_and_nobody_else(town: Headed, tmp_path: Path) -> None:
    message = town.propose()
    liar, before = town.verifiers[1], town.stakes()
    other = replace(message, verdicts_hash=b"\x05" * 32)
    journal = Journal(tmp_path)
    journal.hear_votes([town.vote(liar, other, 0, 0), town.vote(town.verifiers[2], message, 0, 0)])
    # Said in another attempt, or by nobody's key, it proves nothing.
    journal.hear_votes(
        [town.vote(town.verifiers[0], other, 1, 0), town.vote(account(3001), other, 0, 0), town.vote(account(3001), message, 0, 0)]
    )
    acting, heard = faults(town, tmp_path)
    acting.tick()
    assert heard == ["equivocation"]
    assert town.stakes() == [before[0], 0, before[2]]
    acting.tick()
    assert heard == ["equivocation", "adjusted"]
    town.finish(message)
    done = sent(town)
    acting.tick()
    again, told = faults(town, tmp_path)
    again.tick()
    again.tick()
    assert (told, sent(town)) == ([], done), "a restart finds nothing to do"


def test_what_a_majority_overturned_is_punished_only_by_who_knows_better(town: Headed, tmp_path: Path) -> None:
    """Two thirds of the weight replace an honest result by a lie: the honest do not help them."""
    settled = town.open()
    honest = town.message
    two = [town.verifiers[0], town.verifiers[2]]
    town.tell(settled, honest, two)
    bond = town.challenges().bond_now()
    Sender(town.rpc, WATCHER).send(town.challenges().token().contract, "approve", town.network.contracts.challenges, bond)
    town.challenges(WATCHER).challenge(honest.first, 0, "the cartel's")
    said, lie = lie_about_one_home(town.homes[0].asset)(settled, honest)
    town.tell(said, lie, two)
    town.finish(lie)
    before = town.stakes()
    journal = Journal(tmp_path / "honest")
    journal.keep_vote(town.vote(town.verifiers[0], honest, 0, 0))
    verifier, heard = faults(town, tmp_path / "honest", town.verifiers[0])
    verifier.tick()
    assert "punished" not in heard
    stranger, told = faults(town, tmp_path / "stranger")
    stranger.tick()
    assert "punished" not in told, "who did not settle it does not judge"
    mistaken, _ = faults(town, tmp_path / "right", own=result_hash(honest))
    mistaken.tick()
    assert town.stakes() == before
    assert {"bonds"} <= {*heard, *told}


def test_who_falls_silent_is_pruned_and_who_does_not_stays(town: Headed, tmp_path: Path) -> None:
    stake = Stake(town.rpc, town.network.contracts)
    acting, heard = faults(town, tmp_path)
    acting.tick()
    assert "pruned" not in heard
    town.go_to(town.rpc.block().timestamp + stake.heartbeat_seconds() + 1)
    Stake(town.rpc, town.network.contracts, Sender(town.rpc, town.verifiers[0])).heartbeat()
    acting.tick()
    assert heard.count("pruned") == 1
    assert [stake.bond(each.address).verifies for each in town.verifiers] == [True, False, False]
    done = sent(town)
    acting.tick()
    assert sent(town) == done
