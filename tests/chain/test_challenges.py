"""Bonds, proofs and who signed what, against the real contracts."""

from __future__ import annotations

from dataclasses import astuple, replace

import pytest

from subak.chain.challenges import Outcome, key_of
from subak.chain.contracts import ChainRefused
from subak.chain.settlement import Phase
from subak.core.canon.typed_data import result_hash

from .conftest import FOUNDER, PLAN, TOKEN, VERIFIERS, Town
from .disputing import challenges, finish, join, opened, propose, proposed, settlement, stakes, vote

BOND, FEE = PLAN.bond, PLAN.bond // 10
STAKE = 5_000 * TOKEN
FORWARDER = bytes.fromhex("602380600b6000396000f3602036038060206000376000600082600060006000355af115601d57005b60006000fd")
"""A contract that hands what stands after the first word on to the address in it."""


@pytest.fixture(scope="module")
def staked(town: Town) -> Town:
    join(town, [STAKE] * 3)
    town.founder.send(town.contract("Token"), "approve", town.contracts.challenges, 2**256 - 1)
    return town


def test_a_doubt_that_is_right_brings_the_bond_back_and_costs_the_signers(staked: Town) -> None:
    here, token = challenges(staked), challenges(staked).token()
    assert (here.bond_now(), here.escalation_bond(), here.data_fee()) == (BOND, 4 * BOND, FEE)
    root = opened(staked)
    wrong = replace(root, verdicts_hash=b"\x66" * 32)
    votes = propose(staked, wrong)
    told = here.proposal(proposed(staked))
    assert told is not None
    assert (told.message, set(told.votes)) == (wrong, set(votes))
    held = token.balance(FOUNDER.address)
    here.challenge(root.first, 0, "verdicts " + "é" * 900)
    [event] = here.events(0, staked.rpc.block().number, ["ChallengeOpened"])
    assert len(event.values["reason"].encode()) <= 1_000
    with pytest.raises(ChainRefused, match="Challenges_AlreadyChallenged"):
        here.challenge(root.first, 0, "again")
    dispute = here.dispute(root.first, 0)
    assert (dispute.challenger, dispute.bond, dispute.outcome) == (FOUNDER.address, BOND, Outcome.RUNNING)
    assert settlement(staked).view().phase is Phase.CHALLENGED
    propose(staked, root, 1)
    finish(staked, root)
    assert here.dispute(root.first, 0).outcome is Outcome.REPLACED
    assert (here.faulty_bps(root.first, 0, result_hash(wrong)), here.faulty_bps(root.first, 0, result_hash(root))) == (200, 0)
    here.settle_bonds(root.first, 0)
    assert token.balance(FOUNDER.address) == held
    before, signers = stakes(staked), [each.signer for each in votes]
    assert here.punished(root.first, 0, signers) == [False] * 3
    here.slash_faulty(votes)
    assert here.punished(root.first, 0, signers) == [True] * 3
    taken = [was // 50 for was in before]
    assert stakes(staked) == [was - lost for was, lost in zip(before, taken, strict=True)]
    assert token.balance(FOUNDER.address) == held + sum(taken) * 500 // 10_000
    with pytest.raises(ChainRefused, match="Challenges_NobodyPunished"):
        here.slash_faulty(votes)
    assert here.contract.call("keyOf", root.first, 0) == key_of(root.first, 0)


def test_a_doubt_that_is_wrong_burns_and_the_next_one_costs_twice(staked: Town) -> None:
    here, token = challenges(staked), challenges(staked).token()
    root = opened(staked)
    propose(staked, root)
    supply, bond = staked.contract("Token").call("totalSupply"), here.bond_now()
    here.challenge_data(root.first, 0, "entries/energy.reading/missing.parquet")
    here.challenge(root.first, 0, "")
    propose(staked, root, 1)
    finish(staked, root)
    here.settle_bonds(root.first, 0)
    assert here.dispute(root.first, 0).outcome is Outcome.CONFIRMED
    assert supply - staked.contract("Token").call("totalSupply") == bond + FEE
    assert here.bond_now() == 2 * bond
    assert token.balance(staked.contracts.challenges) == 0


def test_who_signed_is_read_also_from_what_another_contract_handed_on(staked: Town) -> None:
    made = staked.founder.wait(staked.founder.submit_raw("forwarder", None, FORWARDER)).contract
    assert made is not None
    root = opened(staked)
    votes = sorted((vote(staked, each, root, 0) for each in VERIFIERS), key=lambda each: bytes(each.signer))
    halves = [each.signature[:32] for each in votes], [each.signature[32:] for each in votes]
    call = settlement(staked).contract.abi.encode_call("propose", astuple(root), *halves)
    staked.founder.wait(staked.founder.submit_raw("handed on", made, bytes(12) + staked.contracts.settlement + call))
    told = challenges(staked).proposal(proposed(staked))
    assert told is not None
    assert (told.message, told.votes) == (root, tuple(votes))
    finish(staked, root)


def test_two_results_under_one_name_take_everything_and_one_takes_nothing(staked: Town) -> None:
    here = challenges(staked)
    root = opened(staked)
    one, other = (vote(staked, VERIFIERS[2], each, 0) for each in (root, replace(root, fees=root.fees + 1)))
    for harmless in (one, vote(staked, VERIFIERS[2], replace(root, fees=9), 1), vote(staked, VERIFIERS[1], replace(root, fees=9), 0)):
        with pytest.raises(ValueError, match="do not contradict"):
            here.slash_equivocation(one, harmless)
    before = stakes(staked)
    here.slash_equivocation(one, other)
    assert stakes(staked) == [*before[:2], 0]
    with pytest.raises(ValueError, match="for one"):
        here.slash_faulty([one, other])
