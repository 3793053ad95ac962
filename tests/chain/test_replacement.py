"""A new Settlement with its Challenges takes over by a vote: what is final stays claimable, what is pending is void, what waits follows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from subak.chain.abi import abi
from subak.chain.accounts import Account
from subak.chain.channels import Channels, Redemption
from subak.chain.contracts import ChainRefused, Sender
from subak.chain.deploy import SalesPlan, contract, create_address, deploy, solidity_clock
from subak.chain.governance import Governance, ProposalState, Support
from subak.chain.local import LocalChain
from subak.chain.network_file import NetworkFileRefused, load_network, load_plan, move_network, write_network
from subak.chain.rpc import Rpc
from subak.chain.settlement import Phase, Settlement
from subak.chain.succession import SuccessionRefused, behind, current, first_epoch, followed, lineage, standing, succeed
from subak.core.canon.merkle import Tree, pack_words, standard_leaf_hashes
from subak.core.canon.typed_data import EpochRoot, result_hash, vote_digest
from subak.core.canon.vouchers import Line, Voucher, countersigned_digest, lines_hash, voucher_digest, voucher_struct_hash
from subak.core.nouns.network import Contracts, Network

from .conftest import CLOCK, DAY, FOUNDER, PLAN, TOKEN, VERIFIERS, Town, decide

HOST, CUSTOMER, KEY = b"\xa1" * 20, Account(b"\x31" * 32), Account(b"\x41" * 32)
REDEEMED, LATER = 1_000, 200
"""Payment units that customers pay before the new Settlement takes over, and after it."""
NET, NET_LATER = 900, 180
"""The hosts' part of them: a tenth goes to the treasury."""
POINTERS = (("Minter", "settlement"), ("Channels", "settlement"), ("Stake", "challenges"))


@dataclass(frozen=True)
class Range:
    """What verifiers sign for one epoch that pays one host, and the proof of the host's leaf."""

    root: EpochRoot
    tree: Tree

    @property
    def leaf(self) -> tuple[bytes, int, int]:
        return HOST, self.root.rewards, self.root.fees


def paid(epoch: int, settlement: Settlement, rewards: int, fees: int) -> Range:
    """The epoch pays the host so much, in totals of its Settlement."""
    view = settlement.view()
    tree = Tree(standard_leaf_hashes(pack_words(np.frombuffer(HOST, np.uint8).reshape(1, 20), [rewards], [fees])))
    root = EpochRoot(
        first=epoch,
        last=epoch,
        prev_root=view.root,
        root=tree.root,
        prev_state_root=view.state_root,
        state_root=bytes([0xC0 + epoch]) * 32,
        asset_root=b"\x03" * 32,
        verdicts_hash=b"\x04" * 32,
        rewards=rewards,
        fees=fees,
        book_hashes=(bytes([0xB0 + epoch]) * 32,),
        policy_hashes=(PLAN.genesis.policy,),
    )
    return Range(root, tree)


def proposed(town: Town, contracts: Contracts, told: Range) -> Settlement:
    """Opened by the lead at the beginning of an attempt, and proposed by all verifiers once the seals are in."""
    settlement = Settlement(town.rpc, contracts, town.founder)
    attempt = settlement.view().current_attempt
    while settlement.view().current_attempt == attempt and town.rpc.block().timestamp > CLOCK.close_unix_s(told.root.first) + 1:
        town.go_to(town.rpc.block().timestamp + 600)
    attempt = settlement.view().current_attempt
    senders = {verifier.address: verifier for verifier in town.verifiers}
    lead = settlement.lead(told.root.first + attempt)
    assert lead is not None
    epoch = told.root.first
    Settlement(town.rpc, contracts, senders[lead]).open(epoch, epoch, attempt, told.root.book_hashes, town.rpc.block().number)
    town.go_to(settlement.view().sealed_unix_s)
    digest = vote_digest(epoch, attempt, 0, result_hash(told.root), town.plan.chain_id, contracts.settlement)
    settlement.propose(told.root, [(each.address, each.sign_digest(digest)) for each in VERIFIERS])
    return settlement


def final(town: Town, contracts: Contracts, told: Range) -> Settlement:
    """Proposed, and final after its window."""
    settlement = proposed(town, contracts, told)
    pending = settlement.view().pending
    assert pending is not None
    town.go_to(pending.deadline_unix_s)
    settlement.finalize(told.root)
    return settlement


def pays(town: Town, amount: int) -> None:
    """The customer pays so much for service; the clerk redeems it at once."""
    channels = Channels(town.rpc, town.contracts, Sender(town.rpc, CUSTOMER))
    lane = channels.open_lane(KEY.address, VERIFIERS[0].address, amount, town.rpc.block().timestamp + 4 * DAY)
    here = (town.plan.chain_id, town.contracts.channels)
    voucher = Voucher(lane.id, 1, amount, (Line(b"\x01" * 32, amount),))
    signed = Redemption(lane, 1, amount, lines_hash(voucher.lines), KEY.sign_digest(voucher_digest(voucher, *here)))
    clerk = VERIFIERS[0].sign_digest(countersigned_digest([voucher_struct_hash(voucher)], *here))
    Channels(town.rpc, town.contracts, town.founder).redeem_many([signed], clerk)


def deploy_next(town: Town) -> Contracts:
    """Anyone deploys a Settlement that follows this one, and its Challenges."""
    here, start = town.contracts, town.rpc.nonce(FOUNDER.address)
    settlement, challenges = (create_address(FOUNDER.address, start + place) for place in (0, 1))
    parties = (here.token, here.payment, here.minter, here.stake, here.channels, here.timelock, challenges, here.settlement)
    disputes = (settlement, here.token, here.stake, here.timelock, here.guardian, town.plan.bond, town.plan.bond // 10)
    creations = {
        "Settlement": (parties, solidity_clock(CLOCK), PLAN.genesis.state_root, PLAN.genesis.policy),
        "Challenges": (disputes,),
    }
    for name, arguments in creations.items():
        town.founder.wait(town.founder.submit_raw(f"creation of {name}", None, abi(name).encode_creation(*arguments)))
    return msgspec.structs.replace(here, settlement=settlement, challenges=challenges)


def announce_by_vote(town: Town, next_: Contracts) -> None:
    """A member proposes it, votes, and carries it out."""
    members = Governance(town.rpc, town.contracts, town.founder)
    members.delegate(FOUNDER.address)
    town.go_to(town.rpc.block().timestamp + 60)
    members.propose(members.succeed(next_.settlement, next_.challenges), "a new Settlement")
    made = members.proposals()[-1]
    assert [members.words(action).partition("(")[0] for action in made.actions] == [f"{name}.announce" for name, _ in POINTERS]
    town.go_to(made.vote_start_unix_s + 1)
    members.vote(made, Support.FOR)
    town.go_to(members.proposal(made.number).vote_end_unix_s + 1)
    members.queue(made)
    town.go_to(members.proposal(made.number).eta_unix_s)
    members.execute(made)
    assert members.proposal(made.number).state is ProposalState.EXECUTED


@pytest.fixture(scope="module")
def town(chain: LocalChain) -> Town:
    rpc = Rpc(chain.url)
    for account in [FOUNDER, *VERIFIERS, CUSTOMER]:
        chain.fund(account.address, 10 * TOKEN)
    plan = msgspec.structs.replace(PLAN, sales=SalesPlan(allocation={"0x" + CUSTOMER.address.hex(): 10 * (REDEEMED + LATER)}))
    contracts = deploy(rpc, FOUNDER, plan)
    built = Town(chain, rpc, plan, contracts, Sender(rpc, FOUNDER), [Sender(rpc, each) for each in VERIFIERS])
    token, stake = built.contract("Token"), built.contract("Stake")
    for verifier in built.verifiers:
        verifier.send(token, "approve", stake.address, 2**256 - 1)
        verifier.send(stake, "join", verifier.address, 100 * TOKEN)
    Channels(rpc, contracts, Sender(rpc, CUSTOMER)).deposit(CUSTOMER.address, REDEEMED + LATER)
    return built


def test_a_vote_replaces_the_settlement_and_nothing_final_is_lost(town: Town) -> None:
    token, dollar, minter = (town.contract(name) for name in ("Token", "TestDollar", "Minter"))
    town.go_to(CLOCK.first_unix_s(0))
    pays(town, REDEEMED)
    town.go_to(CLOCK.close_unix_s(0))
    old = Settlement(town.rpc, town.contracts, town.founder)
    told = paid(0, old, rewards=600 * TOKEN, fees=400)
    final(town, town.contracts, told)
    assert dollar.call("balanceOf", town.contracts.settlement) == NET

    next_ = deploy_next(town)
    new = Settlement(town.rpc, next_, town.founder)
    announce_by_vote(town, next_)
    with pytest.raises(ChainRefused, match="Settlement_NotServed"):
        new.begin()
    replaceable = max(town.contract(name).call("replaceableAt") for name, _ in POINTERS)
    assert replaceable >= town.rpc.block().timestamp + PLAN.replace_seconds - 60
    assert all(town.contract(name).call("announced") in (next_.settlement, next_.challenges) for name, _ in POINTERS)

    town.go_to(replaceable - 5 * 3600)
    with pytest.raises(ChainRefused, match="Succession_NotYet"):
        town.verifiers[1].send(minter, "replace")
    waiting = paid(1, old, rewards=700 * TOKEN, fees=900)
    proposed(town, town.contracts, waiting)
    pending = old.view().pending
    assert pending is not None
    assert pending.deadline_unix_s > replaceable > town.rpc.block().timestamp, "its window is open when the new one takes over"
    town.go_to(replaceable)
    for name, _ in POINTERS:
        town.verifiers[1].send(town.contract(name), "replace")
    assert [town.contract(name).call(pointer) for name, pointer in POINTERS] == [next_.settlement, next_.settlement, next_.challenges]

    new.begin()
    view = new.view()
    assert (view.phase, view.next_epoch, view.state_root) == (Phase.IDLE, 1, told.root.state_root)
    assert (view.root, view.rewards, view.fees) == (bytes(32), 0, 0)
    assert new.policy(1) == PLAN.genesis.policy
    assert (new.contract.call("inherited"), old.contract.call("handedOver")) == (NET - 400, NET - 400)
    assert [dollar.call("balanceOf", each) for each in (town.contracts.settlement, next_.settlement)] == [400, NET - 400]
    with pytest.raises(ChainRefused, match="Settlement_Begun"):
        new.begin()

    assert old.view().phase is Phase.REJECTED
    town.go_to(pending.deadline_unix_s)
    with pytest.raises(ChainRefused, match="Settlement_WrongPhase"):
        old.finalize(waiting.root)
    assert (old.view().next_epoch, old.view().root) == (1, told.tree.root)

    pays(town, LATER)
    assert dollar.call("balanceOf", next_.settlement) == NET - 400 + NET_LATER
    with_all = NET - 400 + NET_LATER
    beyond = paid(1, new, rewards=700 * TOKEN, fees=with_all + 1)
    with pytest.raises(ChainRefused, match="Settlement_Fees"):
        proposed(town, next_, beyond)
    again = paid(1, new, rewards=700 * TOKEN, fees=with_all)
    final(town, next_, again)

    old.claim(*told.leaf, told.tree.proof(0))
    old.claim_fees(*told.leaf, told.tree.proof(0))
    assert (token.call("balanceOf", HOST), dollar.call("balanceOf", HOST)) == (600 * TOKEN, 400)
    new.claim(*again.leaf, again.tree.proof(0))
    new.claim_fees(*again.leaf, again.tree.proof(0))
    assert (token.call("balanceOf", HOST), dollar.call("balanceOf", HOST)) == (1300 * TOKEN, 400 + with_all)
    assert [dollar.call("balanceOf", each) for each in (town.contracts.settlement, next_.settlement)] == [0, 0]
    with pytest.raises(ChainRefused, match="Settlement_ClaimableTooLow"):
        old.claim_fees(*told.leaf, told.tree.proof(0))


def test_the_old_one_serves_nobody_and_the_new_disputes_slash(town: Town) -> None:
    old, stake = Settlement(town.rpc, town.contracts, town.founder), town.contract("Stake")
    with pytest.raises(ChainRefused, match="Settlement_AboveBudget"):
        proposed(town, town.contracts, paid(1, old, rewards=700 * TOKEN, fees=400))
    town.go_to(old.view().block.timestamp + 2 * CLOCK.attempt_seconds)
    told = paid(1, old, rewards=600 * TOKEN, fees=400)
    settlement = proposed(town, town.contracts, told)
    pending = settlement.view().pending
    assert pending is not None
    town.go_to(pending.deadline_unix_s)
    with pytest.raises(ChainRefused, match="Minter_NotSettlement"):
        settlement.finalize(told.root)
    next_ = msgspec.structs.replace(
        town.contracts, settlement=town.contract("Minter").call("settlement"), challenges=stake.call("challenges")
    )
    liar, first, attempt = VERIFIERS[2], 2, 0
    pairs = []
    for result in (b"\x01" * 32, b"\x02" * 32):
        signature = liar.sign_digest(vote_digest(first, attempt, 0, result, town.plan.chain_id, next_.settlement))
        pairs += [result, signature[:32], signature[32:]]
    new = contract(town.rpc, next_, "Challenges")
    assert stake.call("heldOf", liar.address) == 100 * TOKEN
    town.founder.send(new, "slashEquivocation", first, attempt, 0, *pairs)
    assert stake.call("heldOf", liar.address) == 0


def network_of(town: Town, contracts: Contracts) -> Network:
    return Network(town.plan.name, town.plan.chain_id, town.plan.clock, contracts)


def wait_out(town: Town) -> None:
    town.go_to(standing(town.rpc, town.contracts).replaceable_unix_s)


def test_nothing_moves_while_what_was_announced_does_not_fit_together(town: Town) -> None:
    here = current(town.rpc, network_of(town, town.contracts)).contracts
    wanted, other = (deploy_next(replace(town, contracts=here)) for _ in range(2))
    with pytest.raises(SuccessionRefused, match="has not taken over yet"):
        current(town.rpc, network_of(town, wanted))
    with pytest.raises(SuccessionRefused, match="there is nothing to do"):
        succeed(town.rpc, here, town.founder, print)
    told = (("Minter", wanted.settlement), ("Channels", other.settlement), ("Stake", wanted.challenges))
    decide(town, *((town.contract(name), "announce", (next_,)) for name, next_ in told))
    with pytest.raises(SuccessionRefused, match=r"can take over in 14\d\d hours"):
        succeed(town.rpc, here, town.founder, print)
    wait_out(town)
    before = standing(town.rpc, here)
    with pytest.raises(SuccessionRefused, match="Channels would name"):
        succeed(town.rpc, here, town.founder, print)
    assert [each.now for each in standing(town.rpc, here).pointers] == [each.now for each in before.pointers]
    assert before.served == here.settlement

    told = (("Minter", wanted.settlement), ("Channels", wanted.settlement), ("Stake", wanted.challenges))
    decide(town, *((town.contract(name), "announce", (next_,)) for name, next_ in told))
    with pytest.raises(SuccessionRefused, match="can take over in"):
        succeed(town.rpc, here, town.founder, print)


def test_steps_that_others_took_are_passed_over_and_no_payment_stays_behind(town: Town, tmp_path: Path) -> None:
    first, here = town.contracts, current(town.rpc, network_of(town, town.contracts)).contracts
    dollar, minter = town.contract("TestDollar"), town.contract("Minter")
    next_ = msgspec.structs.replace(here, settlement=minter.call("announced"), challenges=town.contract("Stake").call("announced"))
    wait_out(town)
    town.verifiers[1].send(minter, "replace")
    assert current(town.rpc, network_of(town, first)) == network_of(town, first), "it has not begun"
    with pytest.raises(SuccessionRefused, match="did not begin"):
        followed(town.rpc, network_of(town, here))
    Settlement(town.rpc, next_, town.verifiers[1]).begin()
    assert current(town.rpc, network_of(town, first)).contracts == next_
    with pytest.raises(SuccessionRefused, match="Channels still names"):
        followed(town.rpc, network_of(town, here))
    Channels(town.rpc, town.contracts, Sender(town.rpc, CUSTOMER)).deposit(CUSTOMER.address, LATER)
    had = dollar.call("balanceOf", next_.settlement)
    pays(town, LATER)
    assert dollar.call("balanceOf", here.settlement) == NET_LATER

    steps: list[str] = []
    assert succeed(town.rpc, first, town.verifiers[1], steps.append) == next_
    assert [step.partition(" ")[0] for step in steps] == ["Channels", "Stake", "what"]
    assert [dollar.call("balanceOf", each) - before for each, before in ((here.settlement, 0), (next_.settlement, had))] == [0, NET_LATER]
    with pytest.raises(SuccessionRefused, match="there is nothing to do"):
        succeed(town.rpc, first, town.verifiers[1], steps.append)
    assert [followed(town.rpc, network_of(town, each)).contracts for each in (first, here, next_)] == [next_] * 3
    assert lineage(town.rpc, next_) == [first, here, next_]
    assert [bool(behind(town.rpc, each)) for each in (first, here, next_)] == [True, True, False]
    assert first_epoch(town.rpc, next_) == Settlement(town.rpc, next_).view().next_epoch
    stranger = msgspec.structs.replace(next_, settlement=deploy_next(replace(town, contracts=here)).settlement)
    with pytest.raises(SuccessionRefused, match="is it the right file"):
        current(town.rpc, network_of(town, stranger))

    file = tmp_path / "network.toml"
    write_network(file, network_of(town, here), town.plan)
    kept = tmp_path / "network-until-2.toml"
    kept.write_text("somebody's notes")
    with pytest.raises(NetworkFileRefused, match="move it away"):
        move_network(file, network_of(town, next_), 2)
    assert load_network(file) == network_of(town, here)
    kept.unlink()
    assert move_network(file, network_of(town, next_), 2) == kept
    assert (load_network(file), load_network(kept)) == (network_of(town, next_), network_of(town, here))
    assert load_plan(file) == town.plan
