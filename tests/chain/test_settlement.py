"""One range of epochs on a real chain, from stake to claim, under digests signed in Python."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest

from subak.chain.accounts import recover
from subak.chain.contracts import ChainRefused, Sender
from subak.chain.rpc import Rpc
from subak.chain.settlement import Phase, Settlement
from subak.chain.snapshot import Follower, budget_of, fold
from subak.core.canon.ids import asset_id, site_id
from subak.core.canon.merkle import Tree, pack_words, standard_leaf_hashes
from subak.core.canon.typed_data import EpochRoot, result_hash, vote_digest

from .conftest import CLOCK, DAY, FOUNDER, GENESIS, PLAN, TOKEN, VERIFIERS, Town, decide

KEY = b"\x05" * 32
KIND = b"energy".ljust(32, b"\0")
ALICE, BOB = b"\xa1" * 20, b"\xb0" * 20
ASSET = asset_id(1, KEY, ALICE)
SITE = site_id(BOB, b"\x01" * 32)
BOOK = b"\xb1" * 32


def payout_tree(leaves: list[tuple[bytes, int, int]]) -> Tree:
    accounts = np.frombuffer(b"".join(leaf[0] for leaf in leaves), np.uint8).reshape(-1, 20)
    return Tree(standard_leaf_hashes(pack_words(accounts, [leaf[1] for leaf in leaves], [leaf[2] for leaf in leaves])))


LEAVES = [(ALICE, 300 * TOKEN, 0), (BOB, 200 * TOKEN, 0), (VERIFIERS[0].address, 100 * TOKEN, 0)]


def test_from_stake_to_claim(town: Town) -> None:
    token, stake, assets = (town.contract(name) for name in ("Token", "Stake", "Assets"))
    for verifier in town.verifiers:
        verifier.send(token, "approve", stake.address, 2**256 - 1)
        verifier.send(stake, "join", verifier.address, 100 * TOKEN)
    town.founder.send(assets, "registerMany", [(ALICE, 1, KEY, KIND, 0x8729A004BFFFFFF, 4000)])
    town.founder.send(assets, "registerSite", BOB, b"\x01" * 32, 7)
    assert town.rpc.block().timestamp < GENESIS

    settlement = Settlement(town.rpc, town.contracts, town.founder)
    assert settlement.clock() == CLOCK
    before = settlement.view()
    assert (before.phase, before.next_epoch, before.opened, before.pending, before.current_attempt) == (Phase.IDLE, 0, None, None, 0)
    assert before.state_root == PLAN.genesis.state_root

    town.go_to(CLOCK.close_unix_s(0))
    lead = settlement.lead(0)
    senders = {verifier.address: verifier for verifier in town.verifiers}
    assert lead is not None
    by_lead = Settlement(town.rpc, town.contracts, senders[lead])
    other = next(verifier for verifier in town.verifiers if verifier.address != lead)
    with pytest.raises(ChainRefused, match="Settlement_NotLead") as refused:
        Settlement(town.rpc, town.contracts, other).open(0, 0, 0, [BOOK], 1)
    assert (refused.value.name, refused.value.values) == ("Settlement_NotLead", {"sender": other.address, "lead": lead})
    by_lead.open(0, 0, 0, [BOOK], town.rpc.block().number)
    opened = settlement.view()
    assert opened.phase is Phase.OPEN
    assert opened.open_now
    assert opened.opened is not None
    assert (opened.opened.first, opened.opened.last, opened.opened.attempt, opened.opened.weight_epoch) == (0, 0, 0, 1)

    tree = payout_tree(LEAVES)
    root = EpochRoot(
        first=0,
        last=0,
        prev_root=bytes(32),
        root=tree.root,
        prev_state_root=PLAN.genesis.state_root,
        state_root=b"\x02" * 32,
        asset_root=b"\x03" * 32,
        verdicts_hash=b"\x04" * 32,
        rewards=600 * TOKEN,
        fees=0,
        book_hashes=(BOOK,),
        policy_hashes=(PLAN.genesis.policy,),
    )
    result = result_hash(root)
    assert settlement.contract.call("resultOf", dataclasses.astuple(root)) == result
    digest = vote_digest(0, 0, 0, result, town.plan.chain_id, town.contracts.settlement)
    assert settlement.contract.call("digestOf", 0, 0, 0, result) == digest
    votes = [(verifier.address, verifier.sign_digest(digest)) for verifier in VERIFIERS]
    assert [recover(digest, signature) for _, signature in votes] == [signer for signer, _ in votes]
    town.go_to(opened.sealed_unix_s)
    with pytest.raises(ChainRefused, match="Settlement_NoQuorum"):
        settlement.propose(root, votes[:1])
    settlement.propose(root, reversed(votes))
    pending = settlement.view().pending
    assert pending is not None
    assert (pending.result, pending.round, pending.escalated) == (result, 0, False)
    with pytest.raises(ChainRefused, match="Settlement_InWindow"):
        settlement.finalize(root)
    town.go_to(pending.deadline_unix_s)
    settlement.finalize(root)

    after = settlement.view()
    assert (after.phase, after.next_epoch, after.root, after.state_root) == (Phase.IDLE, 1, tree.root, root.state_root)
    assert (after.rewards, after.opened, after.pending) == (600 * TOKEN, None, None)
    settlement.claim(*LEAVES[0], tree.proof(0))
    assert token.call("balanceOf", ALICE) == 300 * TOKEN
    with pytest.raises(ChainRefused, match="Settlement_ClaimableTooLow"):
        settlement.claim(*LEAVES[0], tree.proof(0))
    settlement.claim_many(list(reversed(LEAVES)), tree.multiproof([0, 1, 2]))
    assert token.call("balanceOf", BOB) == 200 * TOKEN
    assert settlement.taken(BOB) == (200 * TOKEN, 0)
    assert [event.name for event in settlement.events(0, town.rpc.block().number)] == [
        *("Configured", "PolicySet", "Opened", "Proposed", "Finalized"),
        *("RewardsClaimed",) * 3,
    ]

    follower = Follower(town.rpc, town.contracts, CLOCK)
    assert (follower.opened_books(0, 0), follower.opened_books(0, 1)) == ((BOOK,), ())
    [final] = follower.finalised()
    assert (final.first, final.last, final.attempt, final.root, final.state_root) == (0, 0, 0, tree.root, root.state_root)
    assert (final.book_hashes, final.policy_hashes, final.rewards) == ((BOOK,), (PLAN.genesis.policy,), 600 * TOKEN)
    assert (final.asset_root, final.verdicts_hash, final.fees) == (root.asset_root, root.verdicts_hash, 0)


def test_the_beacon_is_the_block_after_the_first_opening_whoever_takes_over(town: Town) -> None:
    follower = Follower(town.rpc, town.contracts, CLOCK)
    settlement = Settlement(town.rpc, town.contracts)
    senders = {verifier.address: verifier for verifier in town.verifiers}
    first_opening = next(event for event in follower.events() if event.name == "Opened")
    block = town.rpc.find_block(first_opening.log.block + 1)
    assert block is not None
    assert follower.beacon(1) == (BOOK, block.hash)
    assert follower.beacon(0) == (bytes(32), bytes(32)), "nothing was opened before epoch 0"
    assert follower.beacon(2) == (bytes(32), bytes(32)), "epoch 1 is not opened yet"

    def opens(book: bytes) -> int:
        attempt = settlement.view().current_attempt
        lead = settlement.lead(1 + attempt)
        assert lead is not None
        return Settlement(town.rpc, town.contracts, senders[lead]).open(1, 1, attempt, [book], town.rpc.block().number - 1).block

    town.go_to(CLOCK.close_unix_s(1))
    opened_at = opens(b"\xb2" * 32)
    assert follower.beacon(2) == (bytes(32), bytes(32)), "the block after it is not there yet"
    town.chain.mine()
    after = town.rpc.find_block(opened_at + 1)
    assert after is not None
    assert follower.beacon(2) == (b"\xb2" * 32, after.hash)
    town.go_to(town.rpc.block().timestamp + CLOCK.attempt_seconds)
    opens(b"\xb3" * 32)
    town.chain.mine()
    assert follower.beacon(2) == (b"\xb2" * 32, after.hash), "a takeover changes neither Book nor beacon"
    assert follower.beacon(3) == (bytes(32), bytes(32))


def test_an_opening_after_the_epochs_end_asks_nothing(town: Town) -> None:
    """Epoch 1 was opened in epoch 2, so epoch 2 has tasks; had it been opened in epoch 3, nobody could answer in time."""
    late = Follower(town.rpc, town.contracts, msgspec.structs.replace(CLOCK, genesis_unix_s=GENESIS - 3 * DAY))
    assert late.beacon(2) == (bytes(32), bytes(32))


def test_the_snapshot_is_usable_only_when_its_block_is_final(town: Town) -> None:
    follower = Follower(town.rpc, town.contracts, CLOCK)
    first = follower.snapshot(0)
    assert first is not None
    ref, snapshot = first
    assert snapshot.assets.rows() == sorted(
        [
            (ASSET, "energy", 1, KEY, ALICE, 0x8729A004BFFFFFF, 4000, False),
            (SITE, "", 0, b"", BOB, 7, 0, False),
        ]
    )
    last = town.rpc.block(ref.block)
    assert last.hash == ref.block_hash
    assert last.timestamp < CLOCK.end_unix_s(0) <= town.rpc.block(ref.block + 1).timestamp

    epoch = CLOCK.epoch_at(town.rpc.block().timestamp)
    assert follower.snapshot_block(epoch) is None
    town.go_to(CLOCK.end_unix_s(epoch))
    # The last block before the epoch's end is known now, and one behind the head: not final yet.
    assert follower.snapshot_block(epoch) is None
    town.chain.mine()
    block = follower.snapshot_block(epoch)
    assert block is not None
    assert block.timestamp < CLOCK.end_unix_s(epoch)
    assert follower.snapshot(epoch) is not None


def test_facts_of_the_chain_fold_to_what_the_chain_says(town: Town) -> None:
    assets, owner, buyer = town.contract("Assets"), town.verifiers[0], town.verifiers[1]
    site, salt, key = site_id(owner.address, b"\x0e" * 32), b"\x0e" * 32, b"\x02" + b"\x0e" * 32
    asset = asset_id(2, key, owner.address)
    owner.send(assets, "registerSite", owner.address, salt, 5)
    owner.send(assets, "register", (owner.address, 2, key, KIND, 2**64 - 1, 2**64 - 1))
    owner.send(assets, "setPayees", asset, [site, bytes(12) + BOB], [3, 4])
    owner.send(assets, "setPayees", site, [bytes(12) + ALICE], [1])
    owner.send(assets, "rotateKey", asset, 1, b"\x0f" * 32)
    told = Follower(town.rpc, town.contracts, CLOCK).events()
    epoch = CLOCK.epoch_at(town.rpc.block().timestamp)
    assert not {asset, site} & set(fold(told, CLOCK, epoch).assets["asset"])
    snapshot = fold(told, CLOCK, epoch + 1)
    assert (asset, "energy", 1, b"\x0f" * 32, owner.address, 2**64 - 1, 2**63 - 1, False) in snapshot.assets.rows()
    assert (site, "", 0, b"", owner.address, 5, 0, False) in snapshot.assets.rows()
    assert [row for row in snapshot.payees.rows() if row[0] == asset] == [(asset, site, 3), (asset, bytes(12) + BOB, 4)]
    assert [row for row in snapshot.payees.rows() if row[0] == site] == [(site, bytes(12) + ALICE, 1)]

    owner.send(assets, "transferFrom", owner.address, buyer.address, int.from_bytes(asset, "big"))
    sold = fold(Follower(town.rpc, town.contracts, CLOCK).events(), CLOCK, epoch + 1)
    assert [row[0] for row in sold.payees.rows()] == [site]
    for row in sold.assets.rows(named=True):
        assert row["owner"] == assets.call("ownerOf", int.from_bytes(row["asset"], "big"))


def test_pool_budgets_are_the_minters(town: Town) -> None:
    events = Follower(town.rpc, town.contracts, CLOCK).events()
    minter = town.contract("Minter")
    next_epoch = minter.call("nextEpoch")
    for epoch in range(next_epoch, 9):
        budget = minter.call("budget", epoch, epoch)
        assert budget_of(events, epoch) == budget
        pools = dict(fold(events, CLOCK, epoch).pools.rows())
        assert pools == {"bootstrap": budget * 7001 // 10_000, "verifiers": budget * 2999 // 10_000}
    assert minter.call("budget", 8, 8) == 0


def test_a_policy_acts_from_its_epoch(town: Town) -> None:
    follower = Follower(town.rpc, town.contracts, CLOCK)
    settlement = Settlement(town.rpc, town.contracts)
    epoch = CLOCK.epoch_at(town.rpc.block().timestamp) + 20
    decide(town, (settlement.contract, "setPolicy", (epoch, b"\x88" * 32)))
    for each in (0, epoch - 1, epoch, epoch + 9):
        assert follower.policy(each) == settlement.policy(each)
    assert (follower.policy(epoch - 1), follower.policy(epoch)) == (PLAN.genesis.policy, b"\x88" * 32)


def test_without_an_account_only_questions_can_be_asked(town: Town) -> None:
    with pytest.raises(ValueError, match="no account was given"):
        Settlement(town.rpc, town.contracts).claim(ALICE, 1, 0, [])


def test_claim_many_refuses_a_proof_for_other_leaves(town: Town) -> None:
    settlement = Settlement(town.rpc, town.contracts, Sender(Rpc(town.chain.url), FOUNDER))
    with pytest.raises(ValueError, match="not for these 2"):
        settlement.claim_many(LEAVES[:2], payout_tree(LEAVES).multiproof([0, 2]))
