"""Bringing a network's contracts onto a chain, from a founder's plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from subak.chain.abi import abi
from subak.chain.accounts import Account
from subak.chain.contracts import ChainRefused, Contract, Sender
from subak.chain.rpc import Rpc
from subak.core.canon.keccak import keccak256
from subak.core.nouns.document import Address, Hash
from subak.core.nouns.network import Clock, Contracts, Nodes
from subak.core.nouns.state import State

MONEY_LIMIT = 10**38
"""Money is below this everywhere: the columns of state and snapshot are DECIMAL(38,0)."""
WHOLE_BPS = 10_000
"""The sum of the pools' weights."""
TEST, TOKEN = "test", "token"
"""What a plan's customers can pay in beside an existing stablecoin."""
FIELDS = {
    "Timelock": "timelock",
    "Token": "token",
    "SubakGovernor": "governor",
    "Treasury": "treasury",
    "TestDollar": "payment",
    "Minter": "minter",
    "Stake": "stake",
    "Assets": "assets",
    "Channels": "channels",
    "Attestations": "attestations",
    "SharesFactory": "shares",
    "Settlement": "settlement",
    "Challenges": "challenges",
    "Guardian": "guardian",
}
"""Solidity's names in the order of deployment, and where ``Contracts`` keeps their addresses."""
SEAMS = {"AllowList": "stake", "Vault": "minter", "MirrorAssets": "assets"}
"""What stands in these places in a network that existed before: ``subak.chain.seams``."""
_NOBODY = Address(bytes(20))


class PlanRefused(ValueError):
    """A founder's plan that cannot work; the text names the values that disagree."""


class TokenPlan(msgspec.Struct, frozen=True):
    """The token. Amounts are in its smallest unit; it has 18 decimals."""

    name: str
    """What people call it."""
    symbol: str
    """Its ticker."""
    cap: int
    """The most that can ever exist."""
    allocation: dict[str, int]
    """Who has how much at genesis: address as 0x hex to amount."""


class SchedulePlan(msgspec.Struct, frozen=True):
    """How much each epoch may mint, in the token's smallest unit."""

    epochs_per_period: int
    """Epochs with the same budget."""
    budget_per_epoch: tuple[int, ...]
    """What an epoch of each period may mint; nothing after the last."""
    burst: int
    """What can be minted at once; at least the largest epoch's budget."""
    refill_per_second: int
    """How fast the breaker refills; over an epoch at least the largest epoch's budget."""


class StakePlan(msgspec.Struct, frozen=True):
    """Verifiers' bonds."""

    minimum: int
    """The least that a verifier brings, in the token's smallest unit."""
    unbonding_seconds: int
    """How long a bond is held after the last epoch it weighed in; at least 14 days."""


class GovernancePlan(msgspec.Struct, frozen=True):
    """How members decide. Each number is bounded in the governor's bytecode, also for the votes that change it."""

    voting_delay_seconds: int = 86_400
    """From a proposal to its vote; who votes is as of its end."""
    voting_period_seconds: int = 5 * 86_400
    """How long a vote lasts."""
    late_quorum_seconds: int = 86_400
    """How long a vote goes on at least after it reaches its quorum: nobody turns it in the last minute."""
    quorum_percent: int = 4
    """Of all votes, how many must be for or abstain."""
    threshold: int = 0
    """Votes that a proposer needs, in the token's smallest unit; at most a hundredth of the supply."""


class ChallengePlan(msgspec.Struct, frozen=True):
    """What it costs to contest a result, in the smallest unit of the token that bonds are in."""

    bond: int = 0
    """Of a first challenge; 0 is a hundredth of the first epoch's budget."""
    data_fee: int = 0
    """Burned by who says that data is missing; 0 is a tenth of the bond."""


class GuardianPlan(msgspec.Struct, frozen=True):
    """Who may pause minting for a week and challenge without a bond while a network is young."""

    keyholder: str = ""
    """Its account as 0x hex; left away, there is no guardian."""
    until_unix_s: int = 0
    """When its powers end; at most 18 months after genesis."""


class SalesPlan(msgspec.Struct, frozen=True):
    """What customers pay in, and how their prepaid money is kept. Amounts are in the payment asset's smallest unit."""

    asset: str = "test"
    """"test" deploys a stablecoin of six decimals that is worth nothing; "token" takes the network's own token, whose share is then burned;
    or the address of an existing stablecoin."""
    allocation: dict[str, int] = {}
    """Who has how much of the test stablecoin: address as 0x hex to amount."""
    share_bps: int = 1_000
    """The share of what is redeemed that is burned or goes to the treasury; 100 to 10,000, which is burn-and-mint."""
    close_delay_seconds: int = 0
    """How long vouchers can be redeemed after a lane's expiry or revocation; more than two epochs; 0 is two epochs and an hour."""
    stake_units: int = 2 * 10**12
    """With ``payment_units`` how much of the token a clerk must have at stake behind its lanes' limits, as a ratio. Half of it is burned
    when the clerk is slashed, half goes to harmed hosts: so it should be worth twice the limit."""
    payment_units: int = 1
    """See ``stake_units``."""


class Genesis(msgspec.Struct, frozen=True):
    """What holds from epoch 0."""

    policy: Hash = Hash(bytes(32))
    """Hash of the first policy. A plan may leave it open; a deployment may not."""
    state_root: Hash = msgspec.field(default_factory=lambda: Hash(State.genesis().root()))
    """Hash of the carried state before epoch 0: nothing was earned."""


class Common(msgspec.Struct, frozen=True, kw_only=True):
    """What every plan says, whether the network is new or was there before."""

    name: str
    """What people call the network."""
    chain_id: int
    """EIP-155 id of the chain it goes to."""
    clock: Clock
    """Epochs and windows."""
    pools: dict[str, int]
    """Each pool's share of every epoch's budget, in basis points that add up to 10,000."""
    challenges: ChallengePlan = ChallengePlan()
    """What it costs to contest a result."""
    guardian: GuardianPlan = GuardianPlan()
    """Who watches over the first months."""
    replace_seconds: int = 60 * 86_400
    """How long the announcement of a new Settlement waits; longer than every exit."""
    issuers: dict[str, list[str]] = {}
    """Whose attestations count at genesis: topic to addresses as 0x hex."""
    genesis: Genesis = Genesis()
    """What holds from epoch 0."""
    nodes: Nodes = Nodes()
    """Where to reach it."""
    speed: int = 1
    """Network seconds per real second; 1 except in a replay."""

    def check_common(self) -> None:
        """Errors: PlanRefused."""
        shares = sum(self.pools.values())
        if shares != WHOLE_BPS:
            raise PlanRefused(f"the pools' weights add up to {shares} basis points, not {WHOLE_BPS}")
        for name in (*self.pools, *self.issuers):
            word_of(name)
        for issuer in (each for several in self.issuers.values() for each in several):
            address_of(issuer)
        if not any(self.genesis.policy):
            raise PlanRefused("the plan names no policy for epoch 0")
        if self.guardian.keyholder:
            address_of(self.guardian.keyholder)

    def check_chain(self, rpc: Rpc) -> None:
        """Whether it still fits this chain. Errors: PlanRefused."""
        now = rpc.block("latest").timestamp
        if now >= self.clock.genesis_unix_s:
            raise PlanRefused(f"epoch 0 begins at {self.clock.genesis_unix_s}, and the chain's time is already {now}")
        if rpc.chain_id() != self.chain_id:
            raise PlanRefused(f"the plan is for chain {self.chain_id}, {rpc.node} is chain {rpc.chain_id()}")


class Plan(Common, frozen=True, kw_only=True):
    """All that a founder decides before anything is on a chain."""

    token: TokenPlan
    """The token and who has it at genesis."""
    schedule: SchedulePlan
    """What may be minted."""
    stake: StakePlan
    """Verifiers' bonds."""
    timelock_seconds: int
    """How long the authority's decisions wait before they act."""
    sales: SalesPlan = SalesPlan()
    """What customers pay in."""
    governance: GovernancePlan = GovernancePlan()
    """How members decide."""

    @property
    def bond(self) -> int:
        """What a first challenge costs."""
        return self.challenges.bond or max(1, max(self.schedule.budget_per_epoch, default=0) // 100)

    @property
    def close_delay_seconds(self) -> int:
        """How long a lane's vouchers can be redeemed after its end."""
        return self.sales.close_delay_seconds or 2 * self.clock.epoch_seconds + 3600

    def check(self) -> None:
        """What the contracts would refuse only after some of them are deployed, or never. Errors: PlanRefused."""
        self.check_common()
        allocated = sum(self.token.allocation.values())
        scheduled = sum(self.schedule.budget_per_epoch) * self.schedule.epochs_per_period
        # So the cap never cuts an epoch's budget, and what a snapshot says of it does not depend on what was minted before.
        if allocated + scheduled > self.token.cap:
            raise PlanRefused(f"allocation {allocated} and schedule {scheduled} are more than the token's cap {self.token.cap}")
        if self.token.cap >= MONEY_LIMIT:
            raise PlanRefused(f"the token's cap {self.token.cap} is not below 10^38")
        for holder in (*self.token.allocation, *self.sales.allocation):
            address_of(holder)
        clock, vote = self.clock, self.governance
        windows = clock.epoch_seconds + clock.attempt_seconds + 3 * clock.challenge_seconds + clock.reconfirm_seconds
        windows += clock.governance_seconds
        if self.stake.unbonding_seconds <= windows:
            raise PlanRefused(
                f"a bond is held {self.stake.unbonding_seconds} s, and a vote can be contested for {windows} s: hold it longer"
            )
        deciding = vote.voting_delay_seconds + vote.voting_period_seconds + vote.late_quorum_seconds + self.timelock_seconds
        if clock.governance_seconds <= deciding:
            raise PlanRefused(
                f"an escalated result waits {clock.governance_seconds} s, and a vote takes up to {deciding} s: let it wait longer"
            )
        exits = max(self.stake.unbonding_seconds, self.close_delay_seconds) + clock.epoch_seconds
        if self.replace_seconds <= exits:
            raise PlanRefused(f"a new Settlement takes over after {self.replace_seconds} s, and leaving takes up to {exits} s")
        if self.sales.asset not in (TEST, TOKEN):
            address_of(self.sales.asset)
        if self.sales.allocation and self.sales.asset != TEST:
            raise PlanRefused(f"only the test stablecoin can be given away at genesis, and customers pay in {self.sales.asset}")


def deploy(rpc: Rpc, founder: Account, plan: Plan) -> Contracts:
    """Deploy the network's contracts. The founder pays, and may import assets until genesis; nobody administers. From then on the members'
    votes are the only authority, through the Governor and its Timelock.

    Token, Minter and Settlement know each other from their first block: a contract's address follows from its creator and the creator's
    count of transactions, so the founder must send nothing else meanwhile. After a chain that forgot them, the same call on a chain that
    also forgot the founder's transactions gives the same addresses.

    Errors: PlanRefused; ChainRefused with the contract's reason, before anything is sent; those of ``Sender.send``.
    """
    plan.check()
    plan.check_chain(rpc)
    sender = Sender(rpc, founder)
    start = rpc.nonce(founder.address)
    wanted = {"TestDollar": plan.sales.asset == TEST, "Guardian": bool(plan.guardian.keyholder)}
    names = [name for name in FIELDS if wanted.get(name, True)]
    at = {name: create_address(founder.address, start + place) for place, name in enumerate(names)}
    timelock, token, minter, settlement, stake = (at[name] for name in ("Timelock", "Token", "Minter", "Settlement", "Stake"))
    challenges, guardian = at["Challenges"], at.get("Guardian", _NOBODY)
    vote = plan.governance
    payment = {TEST: at.get("TestDollar"), TOKEN: token}.get(plan.sales.asset) or address_of(plan.sales.asset)
    clock, schedule, sales = plan.clock, plan.schedule, plan.sales
    arguments: dict[str, tuple[Any, ...]] = {
        "Timelock": (plan.timelock_seconds, at["SubakGovernor"]),
        "SubakGovernor": (
            *(token, timelock, vote.voting_delay_seconds, vote.voting_period_seconds, vote.threshold, vote.quorum_percent),
            vote.late_quorum_seconds,
        ),
        "Treasury": (timelock,),
        "Token": (
            *(plan.token.name, plan.token.symbol, plan.token.cap, minter),
            [address_of(holder) for holder in plan.token.allocation],
            list(plan.token.allocation.values()),
        ),
        "TestDollar": ([address_of(holder) for holder in sales.allocation], list(sales.allocation.values())),
        "Minter": (
            *(token, settlement, timelock, guardian, plan.replace_seconds),
            (clock.genesis_unix_s, clock.epoch_seconds, schedule.epochs_per_period, list(schedule.budget_per_epoch)),
            (schedule.burst, schedule.refill_per_second),
            [word_of(pool) for pool in plan.pools],
            list(plan.pools.values()),
        ),
        "Stake": (
            *(token, clock.genesis_unix_s, clock.epoch_seconds, plan.stake.minimum, plan.stake.unbonding_seconds),
            *(at["Channels"], challenges, timelock, plan.replace_seconds),
        ),
        "Assets": (f"{plan.name} assets", f"{plan.token.symbol}-A", clock.genesis_unix_s, founder.address),
        "Channels": (
            (
                *(payment, token, settlement, stake, at["Assets"], timelock, at["Treasury"]),
                *(clock.genesis_unix_s, clock.epoch_seconds, plan.close_delay_seconds, plan.replace_seconds),
                *(sales.share_bps, sales.stake_units, sales.payment_units),
            ),
        ),
        "Attestations": (
            timelock,
            [word_of(topic) for topic, issuers in plan.issuers.items() for _ in issuers],
            [address_of(issuer) for issuers in plan.issuers.values() for issuer in issuers],
        ),
        "SharesFactory": (settlement, at["Attestations"], at["Assets"], payment, token),
        "Settlement": (
            (token, payment, minter, stake, at["Channels"], timelock, challenges, _NOBODY),
            solidity_clock(clock),
            *(plan.genesis.state_root, plan.genesis.policy),
        ),
        "Challenges": ((settlement, token, stake, timelock, guardian, plan.bond, plan.challenges.data_fee or max(1, plan.bond // 10)),),
        "Guardian": (
            *(address_of(plan.guardian.keyholder or "0x" + bytes(20).hex()), plan.guardian.until_unix_s),
            *(minter, challenges),
        ),
    }
    contracts = Contracts(**{FIELDS[name]: address for name, address in at.items()} | {"payment": payment})
    creations = {name: abi(name).encode_creation(*arguments[name]) for name in names}
    # Some ask contracts that are not there yet, which fails without a reason.
    create_all(sender, creations, start, unsure=("Minter", "SharesFactory", "Settlement", "SubakGovernor"))
    return contracts


def create_all(sender: Sender, creations: Mapping[str, bytes], start: int, unsure: Sequence[str]) -> None:
    """Send what creates each contract, by name, as the sender's transactions from number ``start`` on. All are tried out before the first
    one is sent; those named in ``unsure`` may fail then without a reason.

    Errors: ChainRefused; those of ``Sender.send``; RuntimeError if the sender sent something else meanwhile.
    """
    for name, creation in creations.items():
        try:
            sender.rehearse(f"creation of {name}", None, creation)
        except ChainRefused as refused:
            if refused.name or name not in unsure:
                raise
    sent = [sender.submit_raw(f"creation of {name}", None, creation) for name, creation in creations.items()]
    for place, (name, transaction) in enumerate(zip(creations, sent, strict=True)):
        created, predicted = sender.wait(transaction).contract, create_address(sender.address, start + place)
        if created != predicted:
            raise RuntimeError(f"{name} is at {created!r}, not at {predicted!r}: the founder sent other transactions meanwhile")


def is_deployed(rpc: Rpc, contracts: Contracts) -> bool:
    """Whether all contracts are on the chain; false after a chain forgot the last of them."""
    return all(rpc.code(address) for address in msgspec.structs.astuple(contracts) if any(address))


def solidity_clock(clock: Clock) -> tuple[int, ...]:
    """Settlement's struct Clock."""
    return (
        *(clock.genesis_unix_s, clock.epoch_seconds, clock.grace_seconds, clock.seal_seconds, clock.attempt_seconds),
        *(clock.challenge_seconds, clock.reconfirm_seconds, clock.governance_seconds),
    )


def contract(rpc: Rpc, contracts: Contracts, name: str) -> Contract:
    """The network's contract with this Solidity name."""
    return Contract(name, Address(getattr(contracts, FIELDS.get(name) or SEAMS[name])), rpc)


def create_address(creator: bytes, nonce: int) -> Address:
    """Where an account's transaction number ``nonce`` creates a contract: keccak256(rlp([creator, nonce]))[12:]."""
    number = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    encoded = number if len(number) == 1 and number[0] < 0x80 else bytes([0x80 + len(number)]) + number
    body = b"\x94" + creator + encoded
    return Address(keccak256(bytes([0xC0 + len(body)]) + body)[12:])


def word_of(text: str) -> bytes:
    """A pool's or kind's name as bytes32: ASCII, padded with zeros. Errors: PlanRefused."""
    if not (text.isascii() and text.isprintable() and 0 < len(text) <= 32 and " " not in text):
        raise PlanRefused(f"{text!r} is not a name of 1 to 32 printable ASCII characters without blanks")
    return text.encode().ljust(32, b"\0")


def address_of(text: str) -> Address:
    """An account or contract, 0x and 40 hex digits. Errors: PlanRefused."""
    try:
        raw = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raw = b""
    if len(raw) != 20 or not text.startswith("0x"):
        raise PlanRefused(f"{text!r} is no address: 0x and 40 hex digits")
    return Address(raw)
