"""Channels, lanes, attestations and shares on a real chain, with every refusal, under vouchers signed in Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import pytest

from subak.chain.accounts import Account
from subak.chain.attestations import Attestations, subject_of
from subak.chain.channels import NO_LINES, Channels, Erc20, LaneFact, Redemption, fold_lanes, lane_id
from subak.chain.contracts import ChainRefused, Sender
from subak.chain.deploy import PlanRefused, SalesPlan, deploy
from subak.chain.local import LocalChain
from subak.chain.rpc import Rpc
from subak.chain.shares import NO_ASSET, Milestone, RaiseState, SharesFactory, Terms
from subak.chain.snapshot import Follower
from subak.core.canon.vouchers import (
    Line,
    Voucher,
    countersigned_digest,
    lines_hash,
    voucher_digest,
    voucher_struct_hash,
)
from subak.core.nouns import Hash

from .conftest import DAY, FOUNDER, PLAN, TOKEN, VERIFIERS, Town

ALICE, BOB = Account(b"\x31" * 32), Account(b"\x32" * 32)
KEYS = [Account(bytes([number]) * 32) for number in (0x41, 0x42, 0x43)]
CLERK, OTHER_CLERK = VERIFIERS[0], VERIFIERS[1]
ASSETS = [bytes([number]) * 32 for number in range(1, 11)]
DELAY = 2 * DAY + 3600
RICH = 10**9


@dataclass(frozen=True)
class Shop:
    """A network with customers who hold 1,000 TUSD each, and three clerks with a stake of 1,000 tokens each."""

    town: Town
    alice: Channels
    bob: Channels

    @property
    def now(self) -> int:
        return self.town.rpc.block().timestamp

    @property
    def chain(self) -> tuple[int, bytes]:
        return self.town.plan.chain_id, self.town.contracts.channels

    def lane(self, limit: int, key: Account = KEYS[0], clerk: Account = CLERK, days: int = 4) -> LaneFact:
        return self.alice.open_lane(key.address, clerk.address, limit, self.now + days * DAY)

    def signed(self, lane: LaneFact, seq: int, lines: Sequence[tuple[bytes, int]], key: Account = KEYS[0]) -> tuple[Voucher, Redemption]:
        """A voucher, and the same as the chain takes it."""
        voucher = Voucher(lane.id, seq, sum(money for _, money in lines), tuple(Line(*line) for line in lines))
        signature = key.sign_digest(voucher_digest(voucher, *self.chain))
        return voucher, Redemption(lane, seq, voucher.total, lines_hash(voucher.lines), signature)

    def countersigned(self, vouchers: Sequence[Voucher], clerk: Account = CLERK) -> bytes:
        return clerk.sign_digest(countersigned_digest([voucher_struct_hash(each) for each in vouchers], *self.chain))

    def redeem(self, lane: LaneFact, seq: int, lines: Sequence[tuple[bytes, int]], key: Account = KEYS[0], clerk: Account = CLERK) -> None:
        voucher, redemption = self.signed(lane, seq, lines, key)
        # Anyone redeems: here somebody who is nobody's customer or clerk.
        Channels(self.town.rpc, self.town.contracts, self.town.founder).redeem_many([redemption], self.countersigned([voucher], clerk))


@pytest.fixture(scope="module")
def shop(chain: LocalChain) -> Shop:
    rpc = Rpc(chain.url)
    for account in [FOUNDER, *VERIFIERS, ALICE, BOB]:
        chain.fund(account.address, 10 * TOKEN)
    allocation = {"0x" + each.address.hex(): RICH for each in (ALICE, BOB)}
    issuers = {"person": ["0x" + CLERK.address.hex()]}
    plan = msgspec.structs.replace(PLAN, sales=SalesPlan(allocation=allocation, share_bps=1_001), issuers=issuers)
    contracts = deploy(rpc, FOUNDER, plan)
    town = Town(chain, rpc, plan, contracts, Sender(rpc, FOUNDER), [Sender(rpc, each) for each in VERIFIERS])
    token, stake = town.contract("Token"), town.contract("Stake")
    for verifier in town.verifiers:
        verifier.send(token, "approve", stake.address, 2**256 - 1)
        verifier.send(stake, "join", verifier.address, 1_000 * TOKEN)
    return Shop(town, Channels(rpc, contracts, Sender(rpc, ALICE)), Channels(rpc, contracts, Sender(rpc, BOB)))


def test_deposits_are_the_customers(shop: Shop) -> None:
    payment = shop.alice.payment
    assert payment.written() == ("TUSD", 6)
    shop.alice.deposit(ALICE.address, 100)
    shop.bob.deposit(ALICE.address, 5)
    assert (shop.alice.free(ALICE.address), shop.alice.free(BOB.address)) == (105, 0)
    assert (payment.balance(ALICE.address), payment.balance(shop.town.contracts.channels)) == (RICH - 100, 105)
    # What the contract may take is what it took.
    assert payment.allowance(ALICE.address, shop.town.contracts.channels) == 0
    with pytest.raises(ChainRefused, match=r"Channels_TooLittleFree\(amount=106, free=105\)"):
        shop.alice.withdraw(106)
    with pytest.raises(ChainRefused, match=r"Channels_TooLittleFree\(amount=1, free=0\)"):
        shop.bob.withdraw(1)
    shop.alice.withdraw(105)
    assert shop.alice.free(ALICE.address) == 0
    assert payment.balance(ALICE.address) == RICH + 5
    payment.transfer(Sender(shop.town.rpc, ALICE), BOB.address, 5)
    with pytest.raises(ChainRefused, match="ERC20InsufficientBalance"):
        shop.alice.deposit(ALICE.address, RICH + 1)


def test_an_allowance_that_is_too_small_is_set_anew(shop: Shop) -> None:
    payment, sender = shop.alice.payment, Sender(shop.town.rpc, ALICE)
    payment.allow(sender, BOB.address, 7)
    payment.allow(sender, BOB.address, 3)
    assert payment.allowance(ALICE.address, BOB.address) == 7
    payment.allow(sender, BOB.address, 9)
    assert payment.allowance(ALICE.address, BOB.address) == 9
    sender.send(payment.contract, "approve", BOB.address, 0)
    assert Erc20(shop.town.rpc, shop.town.contracts.token).written() == ("SUBAK", 18)


def test_a_deposit_of_100_never_pays_101_with_two_session_keys(shop: Shop) -> None:
    hosts = shop.alice.redeemed()
    shop.alice.deposit(ALICE.address, 100)
    one = shop.lane(60)
    with pytest.raises(ChainRefused, match=r"Channels_TooLittleFree\(amount=41, free=40\)"):
        shop.lane(41, KEYS[1])
    two = shop.lane(40, KEYS[1])
    assert shop.alice.free(ALICE.address) == 0
    with pytest.raises(ChainRefused, match=r"Channels_AboveLimitAt\(index=0, total=61, limit=60\)"):
        shop.redeem(one, 1, [(ASSETS[0], 61)])
    with pytest.raises(ChainRefused, match=r"Channels_AboveLimitAt\(index=0, total=41, limit=40\)"):
        shop.redeem(two, 1, [(ASSETS[0], 41)], KEYS[1])
    shop.redeem(one, 1, [(ASSETS[0], 60)])
    shop.redeem(two, 1, [(ASSETS[0], 40)], KEYS[1])
    # 10.01 % of each, rounded up, is the treasury's.
    assert shop.alice.share_bps() == 1_001
    assert shop.alice.redeemed() - hosts == (60 - 7) + (40 - 5)
    assert shop.alice.payment.balance(shop.town.contracts.treasury) >= 12


def test_what_opening_a_lane_needs(shop: Shop) -> None:
    shop.alice.deposit(ALICE.address, 1000)
    nobody = b"\0" * 20
    latest = shop.alice.latest_expiry(shop.now)
    for key, clerk, limit, expiry, why in (
        (nobody, CLERK.address, 10, shop.now + DAY, "Channels_EmptyLane"),
        (KEYS[0].address, CLERK.address, 0, shop.now + DAY, "Channels_EmptyLane"),
        (KEYS[0].address, CLERK.address, 10, shop.now, "Channels_ExpiryOutOfBounds"),
        (KEYS[0].address, CLERK.address, 10, latest + DAY, "Channels_ExpiryOutOfBounds"),
        (KEYS[0].address, BOB.address, 10, shop.now + DAY, "Channels_StakeTooSmall"),
        (KEYS[0].address, CLERK.address, 1001, shop.now + DAY, "Channels_TooLittleFree"),
    ):
        with pytest.raises(ChainRefused, match=why):
            shop.alice.open_lane(key, clerk, limit, expiry)
    lane = shop.alice.open_lane(KEYS[2].address, CLERK.address, 10, latest)
    assert lane.closes_at_unix_s == latest + DELAY
    shop.alice.withdraw(shop.alice.free(ALICE.address))
    # The limits behind a clerk stay below its stake: 1,000 tokens are worth 1,000 TUSD here.
    shop.bob.deposit(BOB.address, 10**9)
    with pytest.raises(ChainRefused, match="Channels_StakeTooSmall"):
        shop.bob.open_lane(KEYS[2].address, CLERK.address, 10**9, shop.now + DAY)
    shop.bob.withdraw(10**9)


def test_ids_and_facts_are_the_contracts(shop: Shop) -> None:
    shop.alice.deposit(ALICE.address, 30)
    lanes = [shop.lane(10, days=days) for days in (1, 2, 2)]
    assert len({lane.id for lane in lanes}) == 3
    assert [lane.number for lane in lanes] == list(range(lanes[0].number, lanes[0].number + 3))
    for lane in lanes:
        assert lane.id == lane_id(*lane.parameters) == shop.alice.contract.call("laneId", lane.parameters)
    shop.redeem(lanes[0], 3, [(ASSETS[0], 4), (ASSETS[1], 2)])
    shop.redeem(lanes[0], 9, [(ASSETS[0], 4), (ASSETS[1], 3)])
    shop.alice.revoke(lanes[1])
    told = shop.alice.lanes()
    # Those of everybody follow the network's events as well.
    assert fold_lanes(Follower(shop.town.rpc, shop.town.contracts, shop.town.plan.clock).events()) == told
    for lane in lanes:
        redeemed, closes_at, closed = shop.alice.lane_state(lane.id)
        fact = told[lane.id]
        assert (fact.redeemed, fact.closes_at_unix_s, fact.closed) == (redeemed, closes_at, closed)
        assert fact.parameters == lane.parameters
    first = told[lanes[0].id]
    # 6 and 1 more: the share of each redemption is rounded up.
    assert (first.redeemed, first.seq, first.net) == (7, 9, 5)
    assert first.lines == lines_hash([Line(ASSETS[0], 4), Line(ASSETS[1], 3)])
    assert (told[lanes[1].id].lines, told[lanes[1].id].closes_at_unix_s) == (NO_LINES, shop.now + DELAY)
    assert told[lanes[2].id].redeemable(lanes[2].closes_at_unix_s - 1)
    assert not told[lanes[2].id].redeemable(lanes[2].closes_at_unix_s)
    with pytest.raises(LookupError, match="no Configured event"):
        shop.alice.lanes(first=shop.town.rpc.block().number - 3)


def test_an_older_or_equal_voucher_changes_nothing(shop: Shop) -> None:
    shop.alice.deposit(ALICE.address, 50)
    lane = shop.lane(50)
    shop.redeem(lane, 2, [(ASSETS[0], 30)])
    before = shop.alice.lane_state(lane.id), shop.alice.redeemed()
    shop.redeem(lane, 1, [(ASSETS[0], 20)])
    shop.redeem(lane, 2, [(ASSETS[0], 30)])
    assert (shop.alice.lane_state(lane.id), shop.alice.redeemed()) == before
    shop.redeem(lane, 3, [(ASSETS[0], 31)])
    assert shop.alice.lane_state(lane.id)[0] == 31


def test_signatures_that_are_not_the_lanes(shop: Shop) -> None:
    shop.alice.deposit(ALICE.address, 20)
    lane, other = shop.lane(10), shop.lane(10, KEYS[1], OTHER_CLERK)
    voucher, good = shop.signed(lane, 1, [(ASSETS[0], 5)])
    countersignature = shop.countersigned([voucher])
    refusing = (
        ("the account instead of the session key", shop.signed(lane, 1, [(ASSETS[0], 5)], ALICE)[1], countersignature, "BadSignatureAt"),
        ("another total than was signed", replace(good, total=6), countersignature, "BadSignatureAt"),
        ("another number than was signed", replace(good, seq=2), countersignature, "BadSignatureAt"),
        ("other lines than were signed", replace(good, lines=b"\x01" * 32), countersignature, "BadSignatureAt"),
        ("another clerk", good, shop.countersigned([voucher], OTHER_CLERK), "BadCountersignature"),
        ("the customer for the clerk", good, shop.countersigned([voucher], ALICE), "BadCountersignature"),
        ("a list of more than what is redeemed", good, shop.countersigned([voucher, voucher]), "BadCountersignature"),
        ("a lane that was never opened", replace(good, lane=replace(lane, number=99)), countersignature, "UnknownLaneAt"),
    )
    for what, redemption, by_clerk, why in refusing:
        with pytest.raises(ChainRefused) as refused:
            shop.alice.redeem_many([redemption], by_clerk)
        assert refused.value.name == f"Channels_{why}", what
    voucher_two, two = shop.signed(other, 1, [(ASSETS[0], 5)], KEYS[1])
    with pytest.raises(ChainRefused, match="Channels_OtherClerkAt"):
        shop.alice.redeem_many([good, two], shop.countersigned([voucher, voucher_two]))
    with pytest.raises(ValueError, match="0 vouchers"):
        shop.alice.redeem_many([], countersignature)
    with pytest.raises(ValueError, match=r"\[64, 65\] bytes"):
        shop.alice.redeem_many([good], countersignature + b"\0")
    assert shop.alice.lane_state(lane.id)[0] == 0


def test_a_voucher_of_another_chain_or_contract_is_worth_nothing(shop: Shop) -> None:
    shop.alice.deposit(ALICE.address, 10)
    lane = shop.lane(10)
    voucher, good = shop.signed(lane, 1, [(ASSETS[0], 5)])
    chain_id, channels = shop.chain
    for chain in ((chain_id + 1, channels), (chain_id, BOB.address)):
        elsewhere = replace(good, signature=KEYS[0].sign_digest(voucher_digest(voucher, *chain)))
        with pytest.raises(ChainRefused, match="Channels_BadSignatureAt"):
            shop.alice.redeem_many([elsewhere], shop.countersigned([voucher]))
        by_clerk = CLERK.sign_digest(countersigned_digest([voucher_struct_hash(voucher)], *chain))
        with pytest.raises(ChainRefused, match="Channels_BadCountersignature"):
            shop.alice.redeem_many([good], by_clerk)
    shop.alice.redeem_many([good], shop.countersigned([voucher]))


def test_ten_assets_and_a_revocation_in_the_middle(shop: Shop) -> None:
    shop.alice.deposit(ALICE.address, 10_000)
    lane = shop.lane(10_000)
    hosts = shop.alice.redeemed()
    owed = {asset: 100 * number for number, asset in enumerate(ASSETS, 1)}
    shop.redeem(lane, 1, sorted(owed.items()))
    shop.alice.revoke(lane)
    closes_at = shop.alice.lane_state(lane.id)[1]
    assert closes_at == shop.now + DELAY
    with pytest.raises(ChainRefused, match="Channels_ClosesAnyway"):
        shop.alice.revoke(lane)
    with pytest.raises(ChainRefused, match="Channels_NotCustomer"):
        shop.bob.revoke(lane)
    # What was served before the revocation can still be redeemed, for more than two epochs.
    owed[ASSETS[3]] += 77
    voucher, redemption = shop.signed(lane, 2, sorted(owed.items()))
    # The next transaction's block is one second later, the last one in which this works.
    shop.town.go_to(closes_at - 2)
    with pytest.raises(ChainRefused, match="Channels_NotClosable"):
        shop.alice.close(lane)
    shop.alice.redeem_many([redemption], shop.countersigned([voucher]))
    total = sum(owed.values())
    assert shop.alice.redeemed() - hosts == (5500 - 551) + (77 - 8)
    shop.town.go_to(closes_at)
    owed[ASSETS[0]] += 1
    shop.redeem(lane, 3, sorted(owed.items()))
    assert shop.alice.lane_state(lane.id)[0] == total
    free = shop.alice.free(ALICE.address)
    shop.bob.close(lane)
    assert shop.alice.free(ALICE.address) - free == 10_000 - total
    with pytest.raises(ChainRefused, match="Channels_NotClosable"):
        shop.alice.close(lane)
    assert shop.alice.lanes()[lane.id].closed


def test_one_countersignature_redeems_a_batch(shop: Shop) -> None:
    shop.alice.deposit(ALICE.address, 60)
    shop.bob.deposit(BOB.address, 20)
    lanes = [shop.lane(20) for _ in range(3)] + [shop.bob.open_lane(KEYS[1].address, CLERK.address, 20, shop.now + DAY)]
    made = [shop.signed(lane, 1, [(ASSETS[0], 10 + at)], KEYS[at == 3]) for at, lane in enumerate(lanes)]
    shop.redeem(lanes[1], 2, [(ASSETS[0], 15)])
    batch = [redemption for _, redemption in made]
    shop.alice.redeem_many(batch, shop.countersigned([voucher for voucher, _ in made]))
    assert [shop.alice.lane_state(lane.id)[0] for lane in lanes] == [10, 15, 12, 13]
    with pytest.raises(ChainRefused, match="Channels_BadCountersignature"):
        shop.alice.redeem_many(batch[::-1], shop.countersigned([voucher for voucher, _ in made]))


def test_without_an_account_only_questions_can_be_asked(shop: Shop) -> None:
    nobody = Channels(shop.town.rpc, shop.town.contracts)
    assert nobody.close_delay_seconds() == DELAY
    with pytest.raises(ValueError, match="no account was given that could send deposit"):
        nobody.deposit(ALICE.address, 1)


def test_issuers_vouch_and_take_it_back(shop: Shop) -> None:
    rpc, contracts, until = shop.town.rpc, shop.town.contracts, shop.now + DAY
    by_issuer, by_alice = (Attestations(rpc, contracts, Sender(rpc, account)) for account in (CLERK, ALICE))
    assert by_alice.issuers("person") == (CLERK.address,)
    assert by_alice.issuers("installed") == ()
    with pytest.raises(ChainRefused, match="Attestations_NotIssuer"):
        by_alice.attest(ALICE.address, "person", until)
    by_issuer.attest(ASSETS[0], "person", until)
    assert by_alice.holds(ASSETS[0], "person")
    assert not by_alice.holds(ASSETS[0], "installed")
    # Signed by the issuer, handed in by whom it is about.
    signature = by_alice.sign(ALICE.address, "person", until, CLERK)
    with pytest.raises(ChainRefused, match="Attestations_NotSigned"):
        by_alice.hand_in(BOB.address, "person", until, CLERK.address, signature)
    by_alice.hand_in(ALICE.address, "person", until, CLERK.address, signature)
    assert by_alice.word(ALICE.address, "person", CLERK.address) == (until, 1)
    with pytest.raises(ChainRefused, match="Attestations_NotSigned"):
        by_alice.hand_in(ALICE.address, "person", until, CLERK.address, signature)
    by_issuer.revoke(ALICE.address, "person")
    assert not by_alice.holds(ALICE.address, "person")
    shop.town.go_to(until)
    assert not by_alice.holds(ASSETS[0], "person")
    assert subject_of(ALICE.address) == bytes(12) + ALICE.address
    with pytest.raises(ValueError, match="not 5 bytes"):
        subject_of(b"alice")
    with pytest.raises(PlanRefused, match="is not a name"):
        by_alice.holds(ALICE.address, "two words")
    with pytest.raises(ValueError, match="no account was given that could send attest"):
        Attestations(rpc, contracts).attest(ALICE.address, "person", until)


def test_a_raise_that_succeeds_and_one_that_fails(shop: Shop) -> None:
    rpc, contracts = shop.town.rpc, shop.town.contracts
    builder, alice, bob = (SharesFactory(rpc, contracts, Sender(rpc, account)) for account in (CLERK, ALICE, BOB))
    terms = Terms(
        name="Roof 7",
        symbol="ROOF7",
        builder=CLERK.address,
        soft_cap=100,
        hard_cap=1000,
        raise_end_unix_s=shop.now + DAY,
        build_end_unix_s=shop.now + 9 * DAY,
        topics=(),
        milestones=(Milestone(NO_ASSET, 2500, 0, 0), Milestone(Hash(ASSETS[0]), 7500, 5, 1)),
    )
    with pytest.raises(ChainRefused, match="SharesFactory_NotBuilder"):
        alice.create(terms)
    for_builder, failing = builder.create(terms), builder.create(terms, b"\x01" * 32)
    good, bad = (alice.shares(each.contract.address) for each in (for_builder, failing))
    assert alice.created() == [(good.contract.address, terms), (bad.contract.address, terms)]
    assert (good.terms(), good.state(), good.raised()) == (terms, RaiseState.RAISE, 0)
    assert alice.is_shares(good.contract.address)
    assert not alice.is_shares(contracts.token)

    good.contribute(70)
    bob.shares(good.contract.address).contribute(30)
    bad.contribute(99)
    with pytest.raises(ChainRefused, match="AssetShares_WrongState"):
        bad.refund(ALICE.address)
    shop.town.go_to(terms.raise_end_unix_s)
    assert (good.state(), bad.state()) == (RaiseState.LIVE, RaiseState.REFUND)
    held = shop.alice.payment.balance(ALICE.address)
    bad.refund(ALICE.address)
    assert shop.alice.payment.balance(ALICE.address) - held == 99

    built = shop.alice.payment.balance(CLERK.address)
    good.release(0, (0, 0, 0, 0), [])
    assert shop.alice.payment.balance(CLERK.address) - built == 25
    with pytest.raises(ChainRefused, match="ERC721NonexistentToken"):
        good.release(1, (9, 0, 0, 9), [])
    # Revenue of those who hold the shares when it arrives.
    shop.alice.payment.transfer(Sender(rpc, ALICE), good.contract.address, 10)
    good.sync()
    good.transfer(BOB.address, 20)
    assert (good.balance(ALICE.address), good.balance(BOB.address)) == (50, 50)
    assert [good.withdrawable(each.address, contracts.payment) for each in (ALICE, BOB)] == [7, 3]
    before = shop.alice.payment.balance(BOB.address)
    good.withdraw(BOB.address, contracts.payment)
    assert shop.alice.payment.balance(BOB.address) - before == 3
    with pytest.raises(ValueError, match="no account was given that could send create"):
        SharesFactory(rpc, contracts).create(terms)
    with pytest.raises(ValueError, match="no account was given that could send sync"):
        SharesFactory(rpc, contracts).shares(good.contract.address).sync()


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ((b"\1" * 19, b"\1" * 20, b"\1" * 20, 1, 1, 1), "customer has 20 bytes, not 19"),
        ((b"\1" * 20, b"\1" * 20, b"\1" * 20, 2**128, 1, 1), "does not fit uint128"),
        ((b"\1" * 20, b"\1" * 20, b"\1" * 20, 1, 2**40, 1), "expiry = 1099511627776 does not fit uint40"),
        ((b"\1" * 20, b"\1" * 20, b"\1" * 20, 1, 1, -1), "number = -1"),
    ],
)
def test_what_is_no_lane_has_no_id(parameters: tuple[bytes, bytes, bytes, int, int, int], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        lane_id(*parameters)
