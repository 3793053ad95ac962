"""The fold of events, case by case; and of who weighs what, beside the contract that says so."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import polars as pl
import pytest

from subak.chain.contracts import Contract, Event
from subak.chain.rpc import Log, RpcError
from subak.chain.snapshot import MOST_RATED, Follower, budget_of, fold, policy_in_force, read_events, text_of
from subak.core.nouns.document import Address, Hash
from subak.core.nouns.network import Clock
from subak.core.nouns.snapshot import ASSETS, ATTESTATIONS, LANES, PAYEES, POOLS, VERIFIERS

from .conftest import TOKEN, Town

CLOCK = Clock(genesis_unix_s=100_000, epoch_seconds=1000, grace_seconds=0, attempt_seconds=1, challenge_seconds=1)
BEFORE, IN_0, IN_1 = 99_000, 100_500, 101_500
A, B, SITE = b"\x0a" * 32, b"\x0b" * 32, b"\x05" * 32
ALICE, BOB = b"\xa1" * 20, b"\xb0" * 20
KEY, KEY_2 = b"\x01" * 32, b"\x02" * 33


def event(name: str, at: int, **values: Any) -> Event:
    log = Log(Address(bytes(20)), (), b"", at, at, Hash(bytes(32)), 0)
    return Event(name, values, log)


def registered(at: int, asset: bytes = A, owner: bytes = ALICE, **other: Any) -> Event:
    values = {"asset": asset, "owner": owner, "kind": b"energy".ljust(32, b"\0"), "cell": 7, "rated": 4000, "curve": 1, "key": KEY}
    return event("Registered", at, **values | other)


def site(at: int) -> Event:
    return event("SiteRegistered", at, site=SITE, owner=BOB, cell=9)


def payees(at: int, *shares: tuple[bytes, int], asset: bytes = A) -> Event:
    return event("PayeesSet", at, asset=asset, payees=tuple(each[0] for each in shares), parts=tuple(each[1] for each in shares))


def transfer(at: int, to: bytes, from_: bytes = ALICE, asset: bytes = A) -> Event:
    return event("Transfer", at, **{"from": from_, "to": to, "tokenId": int.from_bytes(asset, "big")})


def rotated(at: int) -> Event:
    return event("KeyRotated", at, asset=A, curve=2, key=KEY_2)


def possessed(at: int) -> Event:
    return event("Possessed", at, asset=A, owner=ALICE)


def word(account: bytes) -> bytes:
    return account.rjust(32, b"\0")


ROW = (A, "energy", 1, KEY, ALICE, 7, 4000, False)


@dataclass(frozen=True)
class Case:
    name: str
    events: list[Event]
    epoch: int
    assets: list[tuple[Any, ...]]
    payees: list[tuple[Any, ...]]


CASES = [
    Case("nothing happened", [], 0, [], []),
    Case("before genesis acts from epoch 0", [registered(BEFORE)], 0, [ROW], []),
    Case("a second before an epoch acts in it", [registered(100_999)], 1, [ROW], []),
    Case("in an epoch's first second acts from the next", [registered(100_000)], 0, [], []),
    Case("within an epoch acts from the next", [registered(IN_0)], 0, [], []),
    Case("and then for good", [registered(IN_0)], 9, [ROW], []),
    Case("what comes after the epoch does not count", [registered(BEFORE), rotated(IN_1)], 0, [ROW], []),
    Case("sorted by id", [registered(BEFORE, B), registered(BEFORE)], 0, [ROW, (B, *ROW[1:])], []),
    Case("a site has no kind and no key", [site(BEFORE)], 0, [(SITE, "", 0, b"", BOB, 9, 0, False)], []),
    Case("a key acts from the next epoch", [registered(BEFORE), rotated(IN_0)], 0, [ROW], []),
    Case("a new key replaces the old", [registered(BEFORE), rotated(IN_0)], 1, [(A, "energy", 2, KEY_2, *ROW[4:])], []),
    Case(
        "payees stand in the owner's order",
        [registered(BEFORE), site(BEFORE), payees(BEFORE, (SITE, 3), (word(BOB), 1))],
        0,
        [(SITE, "", 0, b"", BOB, 9, 0, False), ROW],
        [(A, SITE, 3), (A, word(BOB), 1)],
    ),
    Case(
        "new payees replace the old, from the next epoch",
        [registered(BEFORE), payees(BEFORE, (word(BOB), 1)), payees(IN_0, (word(ALICE), 2))],
        1,
        [ROW],
        [(A, word(ALICE), 2)],
    ),
    Case("until then the old are paid", [registered(BEFORE), payees(BEFORE, (word(BOB), 1)), payees(IN_0)], 0, [ROW], [(A, word(BOB), 1)]),
    Case("no payees means the owner", [registered(BEFORE), payees(BEFORE, (word(BOB), 1)), payees(IN_0)], 1, [ROW], []),
    Case(
        "a buyer is the owner and the seller's payees are gone",
        [registered(BEFORE), payees(BEFORE, (word(ALICE), 1)), transfer(IN_0, BOB)],
        1,
        [(*ROW[:4], BOB, *ROW[5:])],
        [],
    ),
    Case("sold later", [registered(BEFORE), transfer(IN_1, BOB)], 1, [ROW], []),
    Case("the transfer of a mint changes nothing", [transfer(BEFORE, ALICE, bytes(20)), registered(BEFORE)], 0, [ROW], []),
    Case("a rating no column holds", [registered(BEFORE, rated=2**64 - 1)], 0, [(*ROW[:6], MOST_RATED, False)], []),
    Case("a cell of 64 bits", [registered(BEFORE, cell=2**64 - 1)], 0, [(*ROW[:5], 2**64 - 1, *ROW[6:])], []),
    Case("the chain checked whose it is", [registered(BEFORE), possessed(IN_0)], 1, [(*ROW[:7], True)], []),
    Case("not before the next epoch", [registered(BEFORE), possessed(IN_0)], 0, [ROW], []),
    Case("not for another key", [registered(BEFORE), possessed(BEFORE), rotated(IN_0)], 1, [(A, "energy", 2, KEY_2, *ROW[4:])], []),
    Case("not for another owner", [registered(BEFORE), possessed(BEFORE), transfer(IN_0, BOB)], 1, [(*ROW[:4], BOB, *ROW[5:])], []),
    Case("an asset of no kind is no site", [registered(BEFORE, kind=bytes(32))], 0, [(A, "0x" + "00" * 32, *ROW[2:])], []),
]


SCHEMAS = {"assets": ASSETS, "payees": PAYEES, "pools": POOLS, "lanes": LANES, "attestations": ATTESTATIONS, "verifiers": VERIFIERS}
LANE, OTHER_LANE, CUSTOMER, ISSUER = b"\x1a" * 32, b"\x0a" * 32, b"\xc0" * 20, b"\x15" * 20
INSTALLED = b"installed".ljust(32, b"\0")


def opened(lane: bytes = LANE) -> Event:
    return event("LaneOpened", BEFORE, lane=lane, customer=CUSTOMER)


def redeemed(at: int, total: int, net: int, seq: int = 1, lane: bytes = LANE) -> Event:
    return event("Redeemed", at, lane=lane, seq=seq, total=total, net=net, lines=bytes([seq]) * 32)


def configured(burns: bool) -> Event:
    return event("Configured", BEFORE, payment=bytes(20), burns=burns, closeDelaySeconds=1)


@pytest.mark.parametrize(("burns", "burned"), [(True, 15), (False, 0)])
def test_what_is_redeemed_in_an_epoch_counts_in_it_at_the_share_of_its_time(burns: bool, burned: int) -> None:
    events = [configured(burns), opened(), opened(OTHER_LANE), redeemed(IN_0, 100, 90), redeemed(IN_0 + 1, 110, 5, 2)]
    events += [redeemed(IN_0 + 2, 7, 7, 9, OTHER_LANE), redeemed(IN_1, 200, 80, 3)]
    lanes = fold(events, CLOCK, 0).lanes.rows()
    assert lanes == [(OTHER_LANE, CUSTOMER, 9, 7, 7, 0, bytes([9]) * 32), (LANE, CUSTOMER, 2, 110, 95, burned, bytes([2]) * 32)]
    assert fold(events, CLOCK, 1).lanes["net"].to_list() == [7, 175]


def test_words_of_accepted_issuers_count_from_the_next_epoch_until_they_are_taken_back() -> None:
    accepted = event("IssuerSet", BEFORE, topic=INSTALLED, issuer=ISSUER, accepted=True)
    word_ = event("Attested", IN_0, subject=A, topic=INSTALLED, issuer=ISSUER, expiry=77)
    other = event("Attested", IN_0, subject=B, topic=INSTALLED, issuer=BOB, expiry=77)
    revoked = event("Revoked", IN_1, subject=A, topic=INSTALLED, issuer=ISSUER)
    dismissed = event("IssuerSet", IN_1, topic=INSTALLED, issuer=ISSUER, accepted=False)
    row = ("installed", A, ISSUER, 77)
    told = [accepted, word_, other]
    assert [fold(told, CLOCK, epoch).attestations.rows() for epoch in (0, 1)] == [[], [row]]
    assert [fold([*told, revoked], CLOCK, epoch).attestations.rows() for epoch in (1, 2)] == [[row], []]
    assert fold([*told, dismissed], CLOCK, 2).attestations.rows() == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_fold(case: Case) -> None:
    snapshot = fold(case.events, CLOCK, case.epoch)
    assert snapshot.assets.rows() == case.assets
    assert snapshot.payees.rows() == case.payees
    assert {name: dict(table.schema) for name, table in snapshot.tables.items()} == SCHEMAS
    assert len(snapshot.hash()) == 32


def schedule(*budgets: int) -> Event:
    return event("ScheduleSet", BEFORE, genesis=100_000, epochSeconds=1000, epochsPerPeriod=2, budgetPerEpoch=budgets)


def weights(at: int, from_epoch: int, **bps: int) -> Event:
    pools = tuple(name.encode().ljust(32, b"\0") for name in bps)
    return event("WeightsSet", at, fromEpoch=from_epoch, pools=pools, weightsBps=tuple(bps.values()))


@pytest.mark.parametrize(
    ("epoch", "pools"),
    [
        (0, [("a", 333), ("z", 666)]),
        (1, [("a", 333), ("z", 666)]),
        (2, [("a", 32), ("z", 66)]),
        (3, [("a", 49), ("b", 0), ("z", 49)]),
        (4, [("a", 0), ("b", 0), ("z", 0)]),
    ],
)
def test_pools_share_the_schedules_budget_rounded_down(epoch: int, pools: list[tuple[str, int]]) -> None:
    events = [schedule(1000, 99), weights(BEFORE, 0, z=6667, a=3333), weights(IN_1, 3, z=5000, b=0, a=5000)]
    assert fold(events, CLOCK, epoch).pools.select("pool", pl.col("budget").cast(pl.Int64)).rows() == pools


def test_a_budget_of_38_digits_keeps_every_one() -> None:
    pools = fold([schedule(10**38 - 1), weights(BEFORE, 0, all=10_000)], CLOCK, 0).pools
    assert pools["budget"].cast(pl.Int128).to_list() == [10**38 - 1]
    assert budget_of([], 0) == 0


def test_the_newest_policy_that_has_begun_is_in_force() -> None:
    events = [
        event("PolicySet", BEFORE, fromEpoch=from_epoch, policyHash=bytes([number]) * 32)
        for number, from_epoch in ((1, 0), (2, 3), (3, 3), (4, 8))
    ]
    assert [policy_in_force(events, epoch)[0] for epoch in (0, 2, 3, 7, 8)] == [1, 1, 3, 3, 4]
    with pytest.raises(LookupError):
        policy_in_force([], 0)


@pytest.mark.parametrize(
    ("word", "text"),
    [
        (b"energy".ljust(32, b"\0"), "energy"),
        (b"k" * 32, "k" * 32),
        (bytes(32), "0x" + "00" * 32),
        (b"a\0b".ljust(32, b"\0"), "0x61" + "0062" + "00" * 29),
        (b"\xff" * 32, "0x" + "ff" * 32),
        (b"a b".ljust(32, b"\0"), "0x612062" + "00" * 29),
    ],
)
def test_names_that_are_no_text_stand_as_hex(word: bytes, text: str) -> None:
    assert text_of(word) == text


def joined(from_epoch: int, owner: bytes, signer: bytes, weight: int) -> list[Event]:
    entered = event("Joined", BEFORE, owner=owner, signer=signer, amount=weight, fromEpoch=from_epoch)
    return [weighed(from_epoch, owner, weight), entered]


def weighed(from_epoch: int, owner: bytes, weight: int) -> Event:
    return event("WeightSet", BEFORE, owner=owner, fromEpoch=from_epoch, rawWeight=weight)


def allowed(from_epoch: int, *weights: int) -> Event:
    signers = tuple(owner_of(99 - number) for number in range(len(weights)))
    return event("SignersSet", BEFORE, fromEpoch=from_epoch, signers=signers, weights=weights)


def owner_of(number: int) -> bytes:
    return bytes([number]) * 20


def many(*raw: int) -> list[Event]:
    return [each for number, weight in enumerate(raw, 1) for each in joined(0, owner_of(number), owner_of(100 - number), weight)]


@pytest.mark.parametrize(
    ("events", "epoch", "rows"),
    [
        ([], 0, []),
        (many(5, 7), 0, [(98, 2, 7), (99, 1, 5)]),
        ([*many(5), weighed(2, owner_of(1), 9)], 1, [(99, 1, 5)]),
        ([*many(5), weighed(2, owner_of(1), 9)], 2, [(99, 1, 9)]),
        ([*many(5), weighed(2, owner_of(1), 9), weighed(2, owner_of(1), 0)], 2, []),
        ([*many(5), event("SignerRotated", BEFORE, owner=owner_of(1), signer=owner_of(50), fromEpoch=1)], 0, [(99, 1, 5)]),
        ([*many(5), event("SignerRotated", BEFORE, owner=owner_of(1), signer=owner_of(50), fromEpoch=1)], 1, [(50, 1, 5)]),
        ([*many(5), weighed(1, owner_of(1), 0), *joined(9, owner_of(1), owner_of(50), 8)], 9, [(50, 1, 8)]),
        (many(1000, 1, 1), 0, [(97, 3, 1), (98, 2, 1), (99, 1, 1000)]),
        (many(1000, 1, 1, 1), 0, [(96, 4, 1), (97, 3, 1), (98, 2, 1), (99, 1, 250)]),
        ([*many(1000, 1, 1, 1), weighed(1, owner_of(4), 0)], 1, [(97, 3, 1), (98, 2, 1), (99, 1, 1000)]),
        (many(10, 10, 10, 10), 0, [(96, 4, 10), (97, 3, 10), (98, 2, 10), (99, 1, 10)]),
        ([allowed(0, 1, 1, 1, 1000)], 0, [(96, 96, 1000), (97, 97, 1), (98, 98, 1), (99, 99, 1)]),
        ([allowed(0, 1, 1, 1, 1000), allowed(2, 5, 0)], 1, [(96, 96, 1000), (97, 97, 1), (98, 98, 1), (99, 99, 1)]),
        ([allowed(0, 1, 1, 1, 1000), allowed(2, 5, 0)], 2, [(99, 99, 5)]),
        (many(500, 400, 100, 103), 0, [(96, 4, 103), (97, 3, 100), (98, 2, 275), (99, 1, 275)]),
    ],
)
def test_who_weighs_and_from_when(events: list[Event], epoch: int, rows: list[tuple[int, int, int]]) -> None:
    table = fold(events, CLOCK, epoch).verifiers
    assert table.rows() == [(owner_of(signer), owner_of(owner), weight) for signer, owner, weight in rows]
    assert table.schema == VERIFIERS


@dataclass
class Play:
    """Verifiers who come, go, grow, are punished and change keys, by the throw of dice."""

    town: Town
    dice: random.Random
    owners: list[bytes]
    done: dict[str, int] = field(default_factory=dict)
    """How often each move was taken by the contract."""
    signers: list[bytes] = field(default_factory=list)
    """Everyone that ever signed."""

    def __post_init__(self) -> None:
        token = self.town.contract("Token")
        self.signers += [signer for signer, _, _ in _weighing(self.town, 0)]
        self.town.rpc.request("anvil_autoImpersonateAccount", True)
        contracts = self.town.contracts
        for account in [*self.owners, contracts.challenges, contracts.channels, contracts.timelock]:
            self.town.chain.fund(account, TOKEN)
        for owner in self.owners:
            self.town.founder.send(token, "transfer", owner, 800 * TOKEN)
            send(self.town, owner, token, "approve", contracts.stake, 800 * TOKEN)

    def move(self) -> None:
        owner = self.dice.choice(self.owners)
        stake, contracts = self.town.contract("Stake"), self.town.contracts
        signer = stake.call("signerOf", owner)
        fresh = self.dice.randbytes(20)
        amount = self.dice.choice([1, 7, 100 * TOKEN, self.dice.randrange(100 * TOKEN, 700 * TOKEN)])
        moves: list[tuple[str, Callable[[], bool]]] = [
            ("join", lambda: send(self.town, owner, stake, "join", fresh, max(amount, 100 * TOKEN))),
            ("add", lambda: send(self.town, owner, stake, "add", amount)),
            ("rotate", lambda: send(self.town, owner, stake, "rotateSigner", fresh)),
            ("exit", lambda: send(self.town, owner, stake, "exit")),
            ("withdraw", lambda: send(self.town, owner, stake, "withdraw")),
            ("slash", lambda: send(self.town, contracts.challenges, stake, "slash", signer, amount // 2)),
            ("slash as a clerk", lambda: send(self.town, contracts.channels, stake, "slash", signer, amount // 3)),
            ("forfeit", lambda: send(self.town, contracts.challenges, stake, "forfeit", signer)),
            ("adjust", lambda: any(send(self.town, owner, stake, "adjust", each) for each in self.owners)),
            ("punish", lambda: send(self.town, contracts.timelock, stake, "punish", owner, 1500, bytes(32))),
            ("expel", lambda: send(self.town, contracts.timelock, stake, "expel", owner)),
            ("publish", lambda: send(self.town, owner, stake, "publish")),
        ]
        shares = [18, 6, 6, 2, 4, 2, 2, 2, 4, 2, 1, 3]
        name, act = self.dice.choices(moves, shares)[0]
        if act():
            self.done[name] = self.done.get(name, 0) + 1
            if name in ("join", "rotate"):
                self.signers.append(fresh)


def send(town: Town, sender: bytes, contract: Contract, function: str, *arguments: Any) -> bool:
    """Send as anyone; whether the contract took it."""
    call = {"from": "0x" + sender.hex(), "to": "0x" + contract.address.hex(), "gas": hex(15_000_000)}
    call["data"] = "0x" + contract.abi.encode_call(function, *arguments).hex()
    try:
        town.rpc.request("eth_call", call, "latest")
    except RpcError:
        return False
    town.rpc.request("eth_sendTransaction", call)
    town.chain.mine()
    return True


def _weighing(town: Town, epoch: int) -> list[tuple[bytes, bytes, int]]:
    events = read_events(town.rpc, town.contracts, 0, town.rpc.block().number)
    rows: list[tuple[bytes, bytes, int]] = fold(events, town.plan.clock, epoch).verifiers.cast({"weight": pl.Int128}).rows()
    return rows


def test_weights_are_what_the_contract_says_in_every_epoch(town: Town) -> None:
    """Fuzzed: the fold beside ``weightOf`` and ``totalWeight``, for past, running and coming epochs."""
    stake, clock = town.contract("Stake"), town.plan.clock
    play = Play(town, random.Random(4), [bytes([0xE0 + number]) * 20 for number in range(12)])
    most = capped = 0
    for epoch in range(50):
        town.go_to(max(clock.first_unix_s(epoch) + 60, town.rpc.block().timestamp + 1))
        for _ in range(play.dice.randrange(5)):
            play.move()
        for asked in {max(epoch - 9, 0), max(epoch - 1, 0), epoch, epoch + 1, epoch + 7}:
            rows = _weighing(town, asked)
            weights = {signer: weight for signer, _, weight in rows}
            most = max(most, len(rows))
            capped += len(rows) >= 4 and 4 * max(weights.values()) > sum(weights.values())
            told = stake.call_many([("weightOf", (signer, asked)) for signer in play.signers])
            assert {signer: weight for signer, weight in zip(play.signers, told, strict=True) if weight} == weights, (epoch, asked)
            assert stake.call("totalWeight", asked) == sum(weights.values())
            signers = [signer for signer, _, _ in rows]
            if signers:
                assert stake.call("weigh", signers, asked) == (sum(weights.values()), sum(weights.values()))
            assert stake.call_many([("ownerOfSigner", (signer,)) for signer in signers]) == [owner for _, owner, _ in rows]
    assert (most >= 7, capped >= 20) == (True, True), (most, capped)
    assert {"join", "add", "rotate", "exit", "slash", "forfeit", "adjust", "publish"} <= set(play.done), play.done


def test_a_network_without_some_contracts_is_read_without_them(town: Town) -> None:
    less = msgspec.structs.replace(town.contracts, channels=Address(bytes(20)), attestations=Address(bytes(20)))
    head = town.rpc.block().number
    every, fewer = (read_events(town.rpc, contracts, 0, head) for contracts in (town.contracts, less))
    left_out = {town.contracts.channels, town.contracts.attestations}
    assert fewer == [each for each in every if each.log.address not in left_out]
    assert any(each.log.address in left_out for each in every)


def test_books_and_when_they_were_opened(town: Town) -> None:
    follower, clock = Follower(town.rpc, town.contracts, town.plan.clock), town.plan.clock
    settlement = town.contract("Settlement")
    assert follower.books_of(0) == []
    with pytest.raises(LookupError, match="never opened"):
        follower.opened_unix_s(bytes(32))
    town.rpc.request("anvil_autoImpersonateAccount", True)
    one, two, three = (bytes([number]) * 32 for number in (1, 2, 3))
    times = []
    for last, books in ((1, [one, two]), (0, [one]), (1, [three, two])):
        town.go_to(town.rpc.block().timestamp + clock.attempt_seconds)
        attempt = settlement.call("currentAttempt")
        lead = town.contract("Stake").call("leadOf", attempt)
        town.chain.fund(lead, TOKEN)
        assert send(town, lead, settlement, "open", 0, last, attempt, books, 1)
        times.append(town.rpc.block().timestamp)
        assert follower.opened_books(0, attempt) == tuple(books)
    assert follower.books_of(0) == [one, three]
    assert follower.books_of(1) == [two]
    assert follower.books_of(2) == []
    assert [follower.opened_unix_s(each) for each in (one, two, three)] == [times[0], times[0], times[2]]
    assert follower.first_state_root() is None
