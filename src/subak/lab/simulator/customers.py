"""Customers: they prepay, open lanes, and sign vouchers that clerks countersign and redeem; and a checker of the sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from subak.archive.books import read_state
from subak.chain.accounts import Account
from subak.chain.channels import Channels, lane_id
from subak.chain.contracts import Sender
from subak.chain.rpc import RpcUnreachable
from subak.chain.settlement import SettlementView
from subak.core.canon.vouchers import Line, Voucher, voucher_digest
from subak.core.settlement.money import to_ints
from subak.lab.simulator.ground import DAY_S, LANE_LIMIT, account
from subak.verifier.clerk import Countersigned, Refused

if TYPE_CHECKING:
    from subak.lab.simulator.world import World

NUMBER = 600
"""The customer's, on the wire."""
CLERKS = 2
"""With so many verifiers it has a lane."""
LANE_DAYS = 20
SIGNS_PERMILLE = 700
MOST_GROWTH = 60_000
"""Payment units that a line grows by at most."""
PASSING = ("unknown_lane",)
"""Why a clerk may refuse for now: its view of the chain is behind."""


@dataclass
class Lane:
    """A lane as its customer sees it."""

    clerk: int
    """Which verifier countersigns."""
    key: Account
    """Session key."""
    expiry_unix_s: int
    """When it ends."""
    id: bytes
    """Hash of what never changes."""
    money: dict[bytes, int] = field(default_factory=dict)
    """Running money by asset."""
    waiting: Voucher | None = None
    """Signed, and not countersigned yet as far as the customer heard."""
    accepted: list[tuple[int, Voucher]] = field(default_factory=list)
    """Countersigned vouchers, and when the customer heard of it."""


class Customer:
    """Buys from all homes, on a lane with each of a few clerks, and sends again what was not answered."""

    def __init__(self) -> None:
        self.lanes: list[Lane] = []
        """Its lanes."""

    def act(self, world: World, view: SettlementView) -> None:
        if not world.sells:
            return
        channels = Channels(world.chain, world.network.contracts, Sender(world.chain, world.ground.customer))
        if not self.lanes:
            clerks = world.dice.sample(range(len(world.verifiers)), CLERKS)
            self.lanes = [self._lane(world, number, clerk) for number, clerk in enumerate(clerks)]
        world.customer = self
        for lane in self.lanes:
            if channels.lane_state(lane.id)[1] == 0:
                self._open(world, channels, lane)
            if lane.waiting is None and world.dice.randrange(1000) < SIGNS_PERMILLE:
                self._grow(world, lane)
            if lane.waiting is not None:
                self._hand_in(world, lane, lane.waiting)

    def _lane(self, world: World, number: int, clerk: int) -> Lane:
        key, expiry = account("session", clerk), world.chain.now + LANE_DAYS * DAY_S
        me, signer = world.ground.customer.address, world.ground.signers[clerk].address
        return Lane(clerk, key, expiry, lane_id(me, key.address, signer, LANE_LIMIT, expiry, number))

    def _open(self, world: World, channels: Channels, lane: Lane) -> None:
        """Also again, if the chain forgot it."""
        if channels.free(world.ground.customer.address) < LANE_LIMIT:
            channels.deposit(world.ground.customer.address, LANE_LIMIT)
        opened = channels.open_lane(lane.key.address, world.ground.signers[lane.clerk].address, LANE_LIMIT, lane.expiry_unix_s)
        world.say(f"customer: a lane with clerk {lane.clerk} is open")
        # Its number counts the lanes that the chain remembers, so that it may not be the one that was planned.
        lane.id = bytes(opened.id)

    def _grow(self, world: World, lane: Lane) -> None:
        for home in world.ground.homes:
            lane.money[home.asset] = lane.money.get(home.asset, 0) + world.dice.randrange(1, MOST_GROWTH)
        lines = tuple(sorted(Line(asset, money) for asset, money in lane.money.items()))
        seq = len(lane.accepted) + 1
        lane.waiting = Voucher(lane.id, seq, sum(lane.money.values()), lines)

    def _hand_in(self, world: World, lane: Lane, voucher: Voucher) -> None:
        verifier, name = world.verifiers[lane.clerk], f"voucher {voucher.seq}"
        if verifier.running is None or not world.passes(NUMBER, lane.clerk, name):
            return
        digest = voucher_digest(voucher, world.network.chain_id, world.network.contracts.channels)
        try:
            answer = verifier.countersign(voucher, lane.key.sign_digest(digest))
        except RpcUnreachable:
            return
        if not world.passes(lane.clerk, NUMBER, f"answer {name}"):
            return
        if isinstance(answer, Countersigned) and answer.voucher == voucher:
            lane.accepted.append((world.chain.now, voucher))
            lane.waiting = None
        elif not isinstance(answer, Refused) or answer.reason not in PASSING:
            world.host.refused.append(f"customer at clerk {lane.clerk}: {answer}")


@dataclass
class CustomersPay:
    """What the chain hands over for customers is in fees or waits, to the unit, in every final state; what is not claimed is there; and,
    where nobody lies, what a clerk countersigned before the last epoch is in it."""

    name: str = "what is redeemed is paid once"
    seen: int = 0
    """How many final ranges were looked at."""

    def look(self, world: World) -> list[str]:
        if world.customer is None:
            return []
        faults: list[str] = []
        for final in world.finals[self.seen :]:
            state = read_state(world.archive, final.state_root)
            fees, waits = to_ints(state.totals["fees"])[0], sum(to_ints(state.sales["net"]))
            net, owed = sum(to_ints(state.lanes["net"])), sum(to_ints(state.accounts["fees"]))
            if fees + waits != net or owed > fees or fees != final.fees:
                told = f"{fees} is in fees ({final.fees} on chain, {owed} owed), {waits} waits"
                faults.append(f"epoch {final.last}: {net} was handed over, {told}")
        self.seen = len(world.finals)
        settlement, dollars = world.ground.contract("Settlement"), world.ground.contract("TestDollar")
        net, paid = Channels(world.chain, world.network.contracts).redeemed(), settlement.call("paid")[1]
        held, final_fees = dollars.call("balanceOf", settlement.address), settlement.call("finals")[3]
        if not paid <= final_fees <= net or held != net - paid:
            faults.append(f"{net} was handed over, {final_fees} is final, {paid} was paid, and {held} is there")
        return faults

    def end(self, world: World) -> list[str]:
        if world.customer is None or not world.finals:
            return []
        world.told["fees"] = world.finals[-1].fees
        if any(not each.character.honest for each in world.verifiers):
            return []  # whoever leaves a clerk's head out has its lines wait for the next Book
        state = read_state(world.archive, world.finals[-1].state_root)
        taken: Mapping[bytes, int] = dict(zip(state.lanes["lane"].to_list(), to_ints(state.lanes["total"]), strict=True))
        by = world.network.clock.first_unix_s(world.last_epoch)
        faults: list[str] = []
        for lane in world.customer.lanes:
            owed = max((voucher.total for unix_s, voucher in lane.accepted if unix_s < by), default=0)
            if taken.get(lane.id, 0) < owed:
                faults.append(f"clerk {lane.clerk} countersigned {owed} before {by}, and {taken.get(lane.id, 0)} is in the last state")
        return faults
