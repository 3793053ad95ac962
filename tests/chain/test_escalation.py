"""More than two thirds of all stake sign a wrong result twice: what a watcher and the members can do, and what it costs if they sleep.

Two verifiers hold 10,000 of 12,000 staked tokens and lie together; the third is honest. The members' tokens are not staked.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from subak.chain.accounts import Account
from subak.chain.challenges import Outcome
from subak.chain.contracts import ChainRefused, Sender
from subak.chain.governance import Action, Governance, ProposalState, Support
from subak.chain.settlement import Phase
from subak.core.canon.merkle import Tree, pack_words, standard_leaf_hashes
from subak.core.canon.typed_data import EpochRoot, result_hash
from subak.core.nouns import Vote

from .conftest import CLOCK, DAY, FOUNDER, PLAN, TOKEN, VERIFIERS, Town
from .disputing import challenges, finish, join, opened, propose, settlement, stakes

LIARS, HONEST = VERIFIERS[:2], VERIFIERS[2]
WATCHER = Account(b"\x31" * 32)
ALICE = b"\xa1" * 20
BOND = PLAN.bond
ESCALATION = 4 * BOND
BUDGET = 1000 * TOKEN + 7
SLASH_BPS, FINDER_BPS = 2_500, 500
Leaf = tuple[bytes, int, int]


@pytest.fixture(scope="module")
def staked(town: Town) -> Town:
    join(town, [5_000 * TOKEN, 5_000 * TOKEN, 2_000 * TOKEN])
    town.chain.fund(WATCHER.address, TOKEN)
    challenges(town).token().transfer(town.founder, WATCHER.address, 1_000 * TOKEN)
    Sender(town.rpc, WATCHER).send(town.contract("Token"), "approve", town.contracts.challenges, 2**256 - 1)
    return town


def members(town: Town, who: Account) -> Governance:
    return Governance(town.rpc, town.contracts, Sender(town.rpc, who))


def tokens(town: Town, who: Account) -> int:
    return challenges(town).token().balance(who.address)


def supply(town: Town) -> int:
    found: int = town.contract("Token").call("totalSupply")
    return found


def paying(root: EpochRoot, leaves: list[Leaf]) -> tuple[EpochRoot, Tree]:
    """A result after which these are all accounts' totals."""
    accounts = np.frombuffer(b"".join(account for account, _, _ in leaves), np.uint8).reshape(-1, 20)
    words = pack_words(accounts, [rewards for _, rewards, _ in leaves], [fees for _, _, fees in leaves])
    tree = Tree(standard_leaf_hashes(words))
    return replace(root, root=tree.root, rewards=sum(rewards for _, rewards, _ in leaves)), tree


def escalated(town: Town, wrong: EpochRoot) -> int:
    """The liars propose it, the watcher doubts it, they confirm it, the watcher asks the members; until when these can strike it."""
    by_watcher, first = challenges(town, Sender(town.rpc, WATCHER)), wrong.first
    propose(town, wrong, 0, LIARS)
    view = settlement(town).view()
    assert view.opened is not None
    attempt = view.opened.attempt
    by_watcher.challenge(first, attempt, "the payout root is another one")
    with pytest.raises(ChainRefused, match="Settlement_NoQuorum"):
        propose(town, replace(wrong, root=b"\x0e" * 32), 1, [HONEST])
    propose(town, wrong, 1, LIARS)
    by_watcher.escalate(first, attempt)
    assert by_watcher.dispute(first, attempt).outcome is Outcome.RUNNING
    view = settlement(town).view()
    assert view.phase is Phase.ESCALATED
    assert view.pending is not None
    assert view.pending.deadline_unix_s == view.block.timestamp + CLOCK.governance_seconds
    return view.pending.deadline_unix_s


def signatures(town: Town, which: int = -1) -> tuple[Vote, ...]:
    """Who signed the result that was proposed last, or before, as the chain itself tells it."""
    told = [each for each in settlement(town).events(0, town.rpc.block().number) if each.name == "Proposed"][which]
    proposal = challenges(town).proposal(told)
    assert proposal is not None
    assert {each.signer for each in proposal.votes} == {each.address for each in LIARS}
    return proposal.votes


def carry(town: Town, actions: list[Action], words: str, against: list[Account]) -> None:
    """Members vote for it, and these against it, until it is queued and its wait is over."""
    voters = [FOUNDER, HONEST, *against]
    for each in voters:
        members(town, each).delegate(each.address)
    town.go_to(town.rpc.block().timestamp + 60)
    members(town, FOUNDER).propose(actions, words)
    proposal = members(town, FOUNDER).proposals()[-1]
    town.go_to(proposal.vote_start_unix_s + 1)
    for each in voters:
        members(town, each).vote(proposal, Support.AGAINST if each in against else Support.FOR)
    town.go_to(proposal.vote_end_unix_s + 1)
    assert members(town, FOUNDER).proposal(proposal.number).state is ProposalState.SUCCEEDED
    members(town, HONEST).queue(proposal)
    town.go_to(members(town, FOUNDER).proposal(proposal.number).eta_unix_s)


def test_asleep_the_confirmed_lie_stands_and_takes_one_budget_and_no_more(staked: Town) -> None:
    first_supply, held = supply(staked), tokens(staked, WATCHER)
    root = opened(staked)
    assert (root.first, root.last, settlement(staked).budget(0, 0)) == (0, 0, BUDGET)
    greedy, _ = paying(root, [(LIARS[0].address, BUDGET + 1, 0)])
    with pytest.raises(ChainRefused, match="Settlement_AboveBudget"):
        propose(staked, greedy, 0, LIARS)
    wrong, tree = paying(root, [(LIARS[0].address, BUDGET, 0)])
    deadline = escalated(staked, wrong)
    assert tokens(staked, WATCHER) == held - BOND - ESCALATION
    staked.go_to(deadline - 1)
    with pytest.raises(ChainRefused, match="Settlement_InWindow"):
        settlement(staked).finalize(wrong)
    finish(staked, wrong)
    assert challenges(staked).dispute(0, 0).outcome is Outcome.CONFIRMED
    challenges(staked).settle_bonds(0, 0)

    view, before = settlement(staked).view(), tokens(staked, LIARS[0])
    assert (view.next_epoch, view.root, view.rewards) == (1, wrong.root, BUDGET)
    settlement(staked).claim(LIARS[0].address, BUDGET, 0, tree.proof(0))
    assert tokens(staked, LIARS[0]) == before + BUDGET
    with pytest.raises(ChainRefused, match="Settlement_ClaimableTooLow"):
        settlement(staked).claim(LIARS[0].address, BUDGET, 0, tree.proof(0))
    assert tokens(staked, WATCHER) == held - BOND - ESCALATION
    assert supply(staked) == first_supply + BUDGET - BOND - ESCALATION, "both bonds are burned"
    assert stakes(staked) == [5_000 * TOKEN, 5_000 * TOKEN, 2_000 * TOKEN]


def test_awake_the_members_strike_it_and_the_honest_result_settles_in_the_next_attempt(staked: Town) -> None:
    """The liars vote against it. One vote strikes what they signed and sends them away, so that the rest has its two thirds again."""
    before, held = settlement(staked).view(), tokens(staked, WATCHER)
    root = opened(staked)
    first, bond = root.first, challenges(staked).bond_now()
    assert (first, bond) == (1, 2 * BOND), "the doubt that was lost makes the next one dearer"
    wrong, _ = paying(root, [(LIARS[0].address, before.rewards + BUDGET, 0)])
    deadline = escalated(staked, wrong)
    view = settlement(staked).view()
    assert view.pending is not None
    attempt = view.pending.attempt
    by_members = members(staked, FOUNDER)
    actions = [by_members.strike(first, attempt, SLASH_BPS), *(by_members.expel(each.address) for each in LIARS)]
    carry(staked, actions, "what they signed twice is wrong", LIARS)
    with pytest.raises(ChainRefused, match="Challenges_NotFaulty"):
        challenges(staked).slash_faulty(signatures(staked))
    members(staked, WATCHER).execute(by_members.proposals()[-1])
    assert staked.rpc.block().timestamp < deadline

    assert settlement(staked).view().phase is Phase.REJECTED
    with pytest.raises(ChainRefused, match="Settlement_WrongPhase"):
        settlement(staked).finalize(wrong)
    here = challenges(staked)
    assert here.faulty_bps(first, attempt, result_hash(wrong)) == SLASH_BPS
    assert here.dispute(first, attempt).outcome is Outcome.STRUCK
    here.settle_bonds(first, attempt)
    assert tokens(staked, WATCHER) == held, "both bonds come back"
    burned = supply(staked)
    here.slash_faulty(signatures(staked))
    with pytest.raises(ChainRefused, match="Challenges_NobodyPunished"):
        here.slash_faulty(signatures(staked, -2))
    taken = 2 * 5_000 * TOKEN * SLASH_BPS // 10_000
    assert stakes(staked) == [3_750 * TOKEN, 3_750 * TOKEN, 2_000 * TOKEN]
    assert tokens(staked, WATCHER) == held + taken * FINDER_BPS // 10_000
    assert supply(staked) == burned - taken + taken * FINDER_BPS // 10_000

    staked.go_to(staked.rpc.block().timestamp + DAY)
    again = opened(staked)
    view = settlement(staked).view()
    assert view.opened is not None
    assert (again.first, again.prev_root, view.rewards) == (1, before.root, before.rewards)
    assert view.opened.attempt > attempt
    assert settlement(staked).weights([each.address for each in VERIFIERS], view.opened.weight_epoch) == (
        [0, 0, 2_000 * TOKEN],
        2_000 * TOKEN,
    )
    leaves = sorted([(ALICE, 300 * TOKEN, 0), (LIARS[0].address, before.rewards, 0)])
    right, tree = paying(again, leaves)
    propose(staked, right, 0, [HONEST])
    finish(staked, right)
    after = settlement(staked).view()
    assert (after.next_epoch, after.root, after.rewards) == (2, right.root, before.rewards + 300 * TOKEN)
    place = [account for account, _, _ in leaves].index(ALICE)
    settlement(staked).claim(ALICE, 300 * TOKEN, 0, tree.proof(place))
    assert challenges(staked).token().balance(ALICE) == 300 * TOKEN
