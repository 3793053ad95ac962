"""What the clerk countersigns, the contract redeems; and there is nothing in it to slash. Hashes and digests are Solidity's."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from subak.chain.accounts import Account
from subak.chain.channels import Channels, LaneFact, Redemption
from subak.chain.contracts import ChainRefused, Sender
from subak.chain.deploy import SalesPlan, deploy
from subak.chain.local import LocalChain
from subak.chain.rpc import Rpc
from subak.chain.snapshot import Follower, fold
from subak.core.canon.vouchers import Line, Voucher, countersigned_digest, lines_hash, voucher_digest, voucher_struct_hash
from subak.verifier.clerk import Clerk, Countersigned, Refused
from subak.verifier.lines import Lines

from .conftest import DAY, FOUNDER, PLAN, TOKEN, VERIFIERS, Town

CUSTOMER, SESSION = Account(b"\x35" * 32), Account(b"\x45" * 32)
CLERK = VERIFIERS[0]
ASSETS = [bytes([number]) * 32 for number in range(1, 8)]
DELAY = 2 * DAY + 3600


@dataclass(frozen=True)
class Shop:
    """A customer's channel and a clerk with stake, on a chain."""

    town: Town
    channels: Channels
    clerk: Clerk

    @property
    def now(self) -> int:
        return self.town.rpc.block().timestamp

    def open(self, limit: int) -> LaneFact:
        return self.channels.open_lane(SESSION.address, CLERK.address, limit, self.now + 4 * DAY)

    def countersign(self, lane: LaneFact, seq: int, lines: dict[bytes, int]) -> Countersigned | Refused:
        voucher = Voucher(bytes(lane.id), seq, sum(lines.values()), tuple(Line(*each) for each in sorted(lines.items())))
        signature = SESSION.sign_digest(voucher_digest(voucher, self.town.plan.chain_id, self.town.contracts.channels))
        return self.clerk.countersign(voucher, signature, self.now, self.facts()[bytes(lane.id)])

    def facts(self) -> dict[bytes, LaneFact]:
        return self.channels.lanes()

    def redeem(self, batch: Sequence[Redemption]) -> None:
        anyone = Channels(self.town.rpc, self.town.contracts, self.town.founder)
        anyone.redeem_many(batch, self.clerk.countersign_list(batch))


@pytest.fixture(scope="module")
def shop(chain: LocalChain, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    rpc = Rpc(chain.url)
    for account in [FOUNDER, *VERIFIERS, CUSTOMER]:
        chain.fund(account.address, 10 * TOKEN)
    plan = msgspec.structs.replace(PLAN, sales=SalesPlan(allocation={"0x" + CUSTOMER.address.hex(): 10**9}))
    contracts = deploy(rpc, FOUNDER, plan)
    town = Town(chain, rpc, plan, contracts, Sender(rpc, FOUNDER), [Sender(rpc, each) for each in VERIFIERS])
    stake = town.contract("Stake")
    town.verifiers[0].send(town.contract("Token"), "approve", stake.address, 2**256 - 1)
    town.verifiers[0].send(stake, "join", CLERK.address, 1_000 * TOKEN)
    channels = Channels(rpc, contracts, Sender(rpc, CUSTOMER))
    channels.deposit(CUSTOMER.address, 100_000)
    clerk = Clerk(tmp_path_factory.mktemp("clerk") / "clerk.db", CLERK, plan.chain_id, contracts.channels, channels.close_delay_seconds())
    return Shop(town, channels, clerk)


def refusal(shop: Shop, lane: LaneFact, earlier: Countersigned, later: Countersigned, lines: Sequence[Line]) -> str:
    """Why the contract does not slash for these two; ``lines`` stand in the later one."""

    def told(each: Countersigned, lines: Sequence[Line]) -> tuple[Any, ...]:
        voucher = each.voucher
        listed = [voucher_struct_hash(voucher)]
        return (voucher.seq, voucher.total, lines, listed, each.countersignature[:32], each.countersignature[32:])

    contract = shop.town.contract("Channels")
    pair = told(earlier, earlier.voucher.lines), told(later, lines)
    with pytest.raises(ChainRefused) as raised:
        contract.call("slashClerk", lane.parameters, *pair, later.voucher.lines[0].asset)
    said = str(raised.value)
    return next(error.name for selector, error in contract.abi.errors.items() if error.name in said or selector.hex() in said)


def test_whatever_is_countersigned_is_redeemed_as_it_grows_and_nothing_of_it_can_be_slashed(shop: Shop, tmp_path: Path) -> None:
    dice = random.Random(11)
    lanes = [shop.open(10_000) for _ in range(3)]
    owed: list[dict[bytes, int]] = [{} for _ in lanes]
    made: dict[bytes, list[Countersigned]] = {bytes(lane.id): [] for lane in lanes}
    redeemed = shop.channels.redeemed()
    for round_ in range(1, 13):
        for lane, lines in zip(lanes, owed, strict=True):
            grown = lines | {each: lines.get(each, 0) + dice.randrange(2, 200) for each in dice.sample(ASSETS[:6], dice.randrange(1, 4))}
            answer = shop.countersign(lane, round_ * 2, grown)
            assert isinstance(answer, Countersigned), answer
            lines.update(grown)
            made[bytes(lane.id)].append(answer)
            # The same customer tries to spend the number twice, and to take something back.
            lower = {**grown, ASSETS[6]: grown.get(ASSETS[6], 0) + 9, min(grown): grown[min(grown)] - 1}
            for seq, reason in ((round_ * 2, "seq_taken"), (round_ * 2 + 1, "line_fell")):
                answer = shop.countersign(lane, seq, lower)
                assert isinstance(answer, Refused)
                assert answer.reason == reason
        if round_ % 4 == 0:
            batch = shop.clerk.redeemable(shop.facts(), 1, shop.now)
            assert {each.lane.id for each in batch} == {lane.id for lane in lanes}
            shop.redeem(batch)
            facts = shop.facts()
            for lane, lines in zip(lanes, owed, strict=True):
                fact = facts[bytes(lane.id)]
                expected = lines_hash(tuple(Line(*each) for each in sorted(lines.items())))
                assert (fact.redeemed, fact.seq, fact.lines) == (sum(lines.values()), round_ * 2, expected)
            assert shop.clerk.redeemable(facts, 1, shop.now) == []
    assert shop.channels.redeemed() > redeemed

    # Solidity hashes the lines and finds the clerk's signature over them; what it does not find is a contradiction.
    for lane in lanes:
        every = made[bytes(lane.id)]
        earlier, later = sorted(dice.sample(every, 2), key=lambda each: each.voucher.seq)
        assert refusal(shop, lane, earlier, later, later.voucher.lines) == "Channels_NoContradiction"
        assert refusal(shop, lane, earlier, later, later.voucher.lines[:-1]) == "Channels_NotCountersigned"

    lines_kept = Lines(tmp_path / "lines.db", shop.clerk)
    facts = shop.facts()
    told = {lane: (fact.seq, fact.redeemed, bytes(fact.lines)) for lane, fact in facts.items() if fact.seq}
    table = lines_kept.table(told, {})
    assert {lane: int(total) for lane, total in table.group_by("lane").agg(pl.col("money").sum()).iter_rows()} == {
        lane: fact.redeemed for lane, fact in facts.items() if fact.seq
    }
    lines_kept.close()


def test_an_older_voucher_can_be_redeemed_first_and_the_newest_after_it(shop: Shop) -> None:
    lane = shop.open(1_000)
    made = [shop.countersign(lane, seq, {ASSETS[0]: 10 * seq, ASSETS[1]: 5}) for seq in (1, 2, 3)]
    for each in (made[0], made[2], made[1]):
        assert isinstance(each, Countersigned)
        voucher = each.voucher
        shop.redeem([Redemption(lane, voucher.seq, voucher.total, lines_hash(voucher.lines), each.signature)])
        assert shop.facts()[bytes(lane.id)].redeemed == (15 if each is made[0] else 35)


def test_a_revoked_lane_pays_what_was_countersigned_and_nothing_new(shop: Shop) -> None:
    lane = shop.open(1_000)
    made = shop.countersign(lane, 1, {ASSETS[0]: 10})
    assert isinstance(made, Countersigned)
    shop.channels.revoke(lane)
    answer = shop.countersign(lane, 2, {ASSETS[0]: 11})
    assert isinstance(answer, Refused)
    assert answer.reason == "lane_revoked"
    facts = {bytes(lane.id): shop.facts()[bytes(lane.id)]}
    assert shop.clerk.redeemable(facts, 100, shop.now) == []
    # Half a close delay before it closes anything is worth a transaction.
    shop.town.go_to(facts[bytes(lane.id)].closes_at_unix_s - DELAY // 2)
    shop.redeem(shop.clerk.redeemable(facts, 100, shop.now))
    assert shop.facts()[bytes(lane.id)].redeemed == 10


def test_F57_a_clerk_that_countersigns_two_vouchers_of_one_number_loses_the_stake_behind_the_lane(shop: Shop, tmp_path: Path) -> None:
    """It put an older copy of its store back, or keeps two: the two signatures are the proof, and anyone can bring it."""
    lane = shop.open(10_000)
    chain_id, channels = shop.town.plan.chain_id, shop.town.contracts.channels
    other = Clerk(tmp_path / "other.db", CLERK, chain_id, channels, shop.channels.close_delay_seconds())
    made = []
    for clerk, money in ((shop.clerk, 500), (other, 400)):
        voucher = Voucher(bytes(lane.id), 1, money, (Line(ASSETS[0], money),))
        answer = clerk.countersign(voucher, SESSION.sign_digest(voucher_digest(voucher, chain_id, channels)), shop.now, lane)
        assert isinstance(answer, Countersigned)
        made.append(answer)
    stake = shop.town.contract("Stake")
    before = stake.call("stakeOf", CLERK.address)
    anyone = Channels(shop.town.rpc, shop.town.contracts, shop.town.founder)
    anyone.slash_clerk(lane, made[0], made[1])
    sales = shop.town.plan.sales
    behind_the_lane = lane.limit * sales.stake_units // sales.payment_units
    assert before - stake.call("stakeOf", CLERK.address) == behind_the_lane
    # Once for each lane: the same proof again takes nothing more.
    with pytest.raises(ChainRefused):
        anyone.slash_clerk(lane, made[0], made[1])


def test_F57_a_number_that_no_column_holds_stops_nobody_and_its_money_is_not_lost(shop: Shop, tmp_path: Path) -> None:
    """Customer and clerk redeem the largest number there is: every verifier reads it when it makes its head."""
    lane = shop.open(10_000)
    chain_id, channels = shop.town.plan.chain_id, shop.town.contracts.channels
    lines = (Line(ASSETS[0], 300),)
    voucher = Voucher(bytes(lane.id), 2**64 - 1, 300, lines)
    listed = countersigned_digest([voucher_struct_hash(voucher)], chain_id, channels)
    session = SESSION.sign_digest(voucher_digest(voucher, chain_id, channels))
    anyone = Channels(shop.town.rpc, shop.town.contracts, shop.town.founder)
    anyone.redeem_many([Redemption(lane, voucher.seq, 300, lines_hash(lines), session)], CLERK.sign_digest(listed))

    follower = Follower(shop.town.rpc, shop.town.contracts, shop.town.plan.clock)
    redeemed = {bytes(lane.id): follower.redeemed()[lane.id]}
    kept = Lines(tmp_path / "lines.db", shop.clerk)
    assert len(kept.table(redeemed, {})) == 0
    fact = shop.facts()[bytes(lane.id)]
    refused = kept.hand_in(voucher.seq, lines, fact)
    assert refused is not None
    assert refused.reason == "not_redeemed"
    assert kept.hand_in(fact.seq, lines, fact) is None
    assert kept.table(redeemed, {}).rows() == [(bytes(lane.id), 2**63 - 1, ASSETS[0], 300)]
    lanes = fold(follower.events(), shop.town.plan.clock, 0).lanes
    assert lanes.filter(pl.col("lane") == bytes(lane.id))["seq"].to_list() == [2**63 - 1]
