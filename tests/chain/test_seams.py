"""What an existing network deploys, and what its plan must not say. The whole journey is tests/journey/test_oracle_only.py."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from subak.chain.abi import abi
from subak.chain.challenges import Challenges
from subak.chain.contracts import Sender
from subak.chain.deploy import PlanRefused
from subak.chain.local import LocalChain
from subak.chain.network_file import load_plan, write_plan
from subak.chain.rpc import Rpc
from subak.chain.seams import BudgetPlan, Existing, SeamPlan, collection_of, deploy_seams
from subak.chain.settlement import Settlement
from subak.chain.snapshot import Follower, fold
from subak.core.canon.typed_data import vote_digest
from subak.core.nouns import Address, Contracts, Hash, Vote
from subak.core.settlement.money import to_ints

from .conftest import CLOCK, DAY, FOUNDER, GENESIS, PLAN, TOKEN, VERIFIERS, free_port

PAGE = Path(__file__).parents[2] / "docs" / "existing.md"


@dataclass(frozen=True)
class Seamed:
    """An existing network after its deployment."""

    rpc: Rpc
    plan: SeamPlan
    contracts: Contracts
    founder: Sender


def create(sender: Sender, name: str, *arguments: object) -> Address:
    created = sender.wait(sender.submit_raw(name, None, abi(name).encode_creation(*arguments))).contract
    assert created is not None
    return created


@pytest.fixture(scope="module")
def seamed(chain: LocalChain) -> Seamed:
    rpc = Rpc(chain.url)
    for account in [FOUNDER, *VERIFIERS]:
        chain.fund(account.address, 10 * TOKEN)
    founder = Sender(rpc, FOUNDER)
    token = create(founder, "TestDollar", ["0x" + FOUNDER.address.hex()], [10**12])
    collection = create(founder, "TestCollection", ["0x" + FOUNDER.address.hex()])
    authority = create(founder, "Timelock", 2 * DAY, token)
    plan = SeamPlan(
        name="Rooftops",
        chain_id=31337,
        clock=CLOCK,
        existing=Existing(*("0x" + each.hex() for each in (token, collection, authority))),
        budget=BudgetPlan(3, (1_000_007, 500_000)),
        pools={"energy": 7_001, "verifiers": 2_999},
        verifiers={"0x" + each.address.hex(): weight for each, weight in zip(VERIFIERS, (1, 2, 3), strict=True)},
        genesis=PLAN.genesis,
    )
    return Seamed(rpc, plan, deploy_seams(rpc, FOUNDER, plan), founder)


def test_the_snapshot_of_an_existing_network_is_what_its_plan_says(seamed: Seamed, chain: LocalChain) -> None:
    chain.run_from(GENESIS + DAY)
    chain.freeze()
    snapshot = fold(Follower(seamed.rpc, seamed.contracts, CLOCK).events(), CLOCK, 0)
    weights = {each.address: weight for each, weight in zip(VERIFIERS, (1, 2, 3), strict=True)}
    table = snapshot.verifiers
    assert table["signer"].to_list() == table["owner"].to_list() == sorted(weights)
    assert to_ints(table["weight"]) == [weights[signer] for signer in sorted(weights)]
    pools = dict(zip(snapshot.pools["pool"], to_ints(snapshot.pools["budget"]), strict=True))
    assert pools == {"energy": 1_000_007 * 7_001 // 10_000, "verifiers": 1_000_007 * 2_999 // 10_000}
    assert collection_of(seamed.rpc, seamed.contracts) == bytes.fromhex(seamed.plan.existing.collection[2:])
    assert collection_of(seamed.rpc, msgspec.structs.replace(seamed.contracts, assets=seamed.contracts.token)) is None


def test_a_verifier_on_a_list_that_signs_two_results_loses_its_seat_from_the_next_epoch(seamed: Seamed, chain: LocalChain) -> None:
    liar = VERIFIERS[1]
    votes = []
    for number in (1, 2):
        result = Hash(bytes([number]) * 32)
        digest = vote_digest(0, 0, 0, result, seamed.plan.chain_id, seamed.contracts.settlement)
        votes.append(Vote(0, 0, 0, result, liar.address, liar.sign_digest(digest)))
    Challenges(seamed.rpc, seamed.contracts, seamed.founder).slash_equivocation(*votes)
    chain.run_from(GENESIS + 3 * DAY)
    chain.freeze()
    settlement = Settlement(seamed.rpc, seamed.contracts)
    assert settlement.weights([liar.address], 1) == ([2], 6)
    assert settlement.weights([liar.address], 2) == ([0], 4)
    snapshot = fold(Follower(seamed.rpc, seamed.contracts, CLOCK).events(), CLOCK, 2)
    assert snapshot.verifiers["signer"].to_list() == sorted(each.address for each in VERIFIERS if each is not liar)


def test_the_plan_of_the_page_can_be_read_and_written_again(tmp_path: Path) -> None:
    written = re.search(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert written is not None
    (tmp_path / "network.toml").write_text(written[1])
    plan = load_plan(tmp_path / "network.toml")
    assert isinstance(plan, SeamPlan)
    plan.check()
    write_plan(tmp_path / "again.toml", plan)
    assert load_plan(tmp_path / "again.toml") == plan


def test_a_plan_that_cannot_work_is_refused_before_anything_is_sent(seamed: Seamed) -> None:
    plan, replace = seamed.plan, msgspec.structs.replace
    nowhere = "0x" + "12" * 20
    wrong = {
        "add up to 9999": replace(plan, pools={"energy": 9_999}),
        "weighs more than 0": replace(plan, verifiers=plan.verifiers | {nowhere: 0}),
        "0 verifiers": replace(plan, verifiers={}),
        "not below 10\\^38": replace(plan, budget=BudgetPlan(1, (10**38,))),
        "is no address": replace(plan, existing=replace(plan.existing, authority="0x12")),
    }
    for words, each in wrong.items():
        with pytest.raises(PlanRefused, match=words):
            each.check()


def test_what_the_plan_says_exists_has_to_exist(tmp_path: Path, seamed: Seamed) -> None:
    with LocalChain(tmp_path / "chain", free_port(), GENESIS, speed=3600) as fresh:
        fresh.fund(FOUNDER.address, TOKEN)
        rpc = Rpc(fresh.url)
        with pytest.raises(PlanRefused, match=r"token 0x[0-9a-f]{40} is no contract on chain 31337"):
            deploy_seams(rpc, FOUNDER, seamed.plan)
        assert rpc.nonce(FOUNDER.address) == 0
