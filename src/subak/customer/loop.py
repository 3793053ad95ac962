"""The loop that buys: it follows final epochs, bills them once, pays, and keeps a lane with money in it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import msgspec

from subak.archive.store import Archive, ArchiveError, HttpArchive
from subak.chain.contracts import ChainForgot, ChainRefused
from subak.chain.rpc import NotMined, Rpc, RpcError, RpcUnreachable
from subak.chain.snapshot import Finalised, Follower
from subak.core.canon.vouchers import MAX_LINES
from subak.core.nouns import Address, Network
from subak.customer.billing import EpochWork, energy_bill, joined, storage_bill
from subak.customer.config import Purchases
from subak.customer.paying import ClerkUnreachable, Payer, Settled, VoucherRefused
from subak.customer.reading import read_range
from subak.customer.store import KeptLane, KeptVoucher
from subak.customer.wallet import Wallet

if TYPE_CHECKING:
    from subak.customer.storage import Keeping

log = logging.getLogger("subak.customer")

LOOK_S = 1.0
"""Real seconds between two looks."""
RANGES_AT_ONCE = 16
"""Final ranges that are billed in one look."""
ASKS_AN_EPOCH = 8
"""How often hosts are asked to show their places, in an epoch."""


class NoMoney(ValueError):
    """A lane cannot be opened: the account or the budget has too little."""


NOT_NOW = (
    *(ArchiveError, RpcError, RpcUnreachable, NotMined, ChainForgot, ChainRefused),
    *(ClerkUnreachable, VoucherRefused, NoMoney),
)
"""What a later look mends, or the customer has to."""


@dataclass
class Look:
    """What came of one look."""

    billed: list[int] = field(default_factory=list)
    """Epochs that were billed."""
    settled: list[Settled] = field(default_factory=list)
    """Vouchers that were countersigned."""
    opened: list[bytes] = field(default_factory=list)
    """Lanes that were opened."""
    closed: list[bytes] = field(default_factory=list)
    """Lanes that gave back what they did not spend."""
    troubles: list[str] = field(default_factory=list)
    """What could not be done, in words; it is tried again."""


class CustomerLoop:
    """Buys for one customer: ``run`` or ``tick`` by one thread, ``passes`` and ``payer`` by any.

    Promises: an epoch is billed once, also over restarts; what is billed is owed, until vouchers or the chain say that it is paid; a lane
    is opened before the last one is spent or expires; no more than the budget is ever deposited by itself.
    """

    def __init__(
        self,
        network: Network,
        wallet: Wallet,
        purchases: Purchases,
        *,
        archives: Sequence[Archive] = (),
        keeping: Keeping | None = None,
        client: httpx.Client | None = None,
    ) -> None:
        """``archives``: those of the network's verifiers by default. ``keeping``: own data on storage hosts, if there are any.

        Errors: CustomerFileRefused.
        """
        purchases.check()
        self.network, self.wallet, self.purchases, self.keeping = network, wallet, purchases, keeping
        self._rpc: Rpc = wallet.channels.contract.rpc
        self._archives = list(archives) or [HttpArchive(f"{url.rstrip('/')}/archive", seconds=30.0) for url in network.nodes.verifiers]
        self._follower = Follower(self._rpc, network.contracts, network.clock)
        self._client = client or httpx.Client(timeout=10.0, trust_env=False)
        self._payers: dict[bytes, Payer] = {}
        self._carried: set[bytes] = set()
        self._longest: int | None = None
        self._asked_at: int | None = None
        self._started = False

    def run(self, stop: threading.Event, now: Callable[[], int]) -> None:
        """Look every ``LOOK_S`` until stopped. ``now``: network time."""
        said: list[str] = []
        while not stop.is_set():
            try:
                look = self.tick(now())
                troubles = look.troubles
                for epoch in look.billed:
                    log.info("epoch %d: %d payment units owed", epoch, self.wallet.store.bills(epoch, epoch).money)
            except Exception as error:
                log.exception("a look failed; it is tried again")
                troubles = [f"{type(error).__name__}: {error}"]
            for trouble in troubles:
                if trouble not in said:
                    log.warning("%s", trouble)
            said = troubles
            stop.wait(LOOK_S)

    def tick(self, now: int) -> Look:
        """One look at network time ``now``: bill what became final, pay what is owed, see to the lanes."""
        look = Look()
        with self._noting(look):
            self._start(now)
        if not self._started:
            return look
        with self._noting(look):
            self._look_ahead(now, look)
        if self.keeping is not None and self._due(now):
            with self._noting(look):
                look.troubles += self.keeping.ask(self.passes, now)
        with self._noting(look):
            self._bill(now, look)
        for lane in self.wallet.store.lanes():
            if not lane.closed:
                with self._noting(look):
                    settled = self._payer(lane).settle_up(now)
                    look.settled += [settled] if settled else []
        with self._noting(look):
            look.closed += [bytes(lane.fact.id) for lane in self.wallet.close_what_can_be_closed()]
        for lane in self.wallet.store.lanes():
            if lane.closed:
                with self._noting(look):
                    self._carry_over(lane, now, look)
        return look

    def payer(self) -> Payer | None:
        """Pays on the newest lane that is not over; also makes passes for hosts."""
        lanes = [lane for lane in self.wallet.store.lanes() if not lane.closed]
        return self._payer(lanes[-1]) if lanes else None

    def passes(self, asset: bytes, now: float) -> str:
        """A pass for an asset's host: what a kind's customer part asks for. Errors: NoMoney while there is no lane; ValueError."""
        payer = self.payer()
        if payer is None:
            raise NoMoney("no lane is open yet: see to the deposit")
        return payer.pass_for(asset, now)

    def _start(self, now: int) -> None:
        """What is agreed acts from the next epoch, like everything in the network."""
        if self._started:
            return
        store, next_epoch = self.wallet.store, max(0, self.network.clock.epoch_at(now) + 1)
        self.wallet.sync()
        if store.fact("from_epoch") is None:
            store.note("from_epoch", str(next_epoch))
        store.buy(next_epoch, self.purchases.shares)
        self._started = True

    def _bill(self, now: int, look: Look) -> None:
        finals = self._follower.history()
        from_epoch = int(self.wallet.store.fact("from_epoch") or 0)
        taken = 0
        for place, final in enumerate(finals):
            wanted = set(range(max(final.first, from_epoch), final.last + 1))
            wanted -= self.wallet.store.billed(final.first, final.last)
            if not wanted:
                continue
            for work in self._read(final, finals[place - 1] if place else None):
                if work.epoch in wanted:
                    self._bill_epoch(work, now, look)
            taken += 1
            if taken == RANGES_AT_ONCE:
                return

    def _bill_epoch(self, work: EpochWork, now: int, look: Look) -> None:
        bills = [energy_bill(work, self.wallet.store.bought(work.epoch), self.purchases.cell_number)]
        if self.keeping is not None:
            most = self.purchases.storage.max_price if self.purchases.storage else 0
            bills.append(storage_bill(work, self.keeping.kept(work, most)))
        bill = joined(bills)
        lane = self._lane_for(bill.by_asset, now, look).fact.id if bill.money else None
        self.wallet.store.bill(work.epoch, work.verdicts_hash, bill, lane)
        look.billed.append(work.epoch)

    def _read(self, final: Finalised, previous: Finalised | None) -> list[EpochWork]:
        assets = {*self.wallet.store.ever_bought(), *(self.keeping.assets() if self.keeping else ())}
        trouble: ArchiveError | None = None
        for archive in self._archives:
            try:
                return read_range(self.network, archive, final, previous, assets)
            except ArchiveError as error:
                trouble = trouble or error
        raise trouble or ArchiveError("there is no archive to read: network.toml names no verifiers")

    def _look_ahead(self, now: int, look: Look) -> None:
        """Open the next lane before the last one is spent or expires."""
        lanes = self.wallet.store.lanes()
        low = self.purchases.limit * self.purchases.low_permille // 1000
        lasts = lanes and self.wallet.store.room(lanes[-1].fact.id) >= low and now < lanes[-1].fact.expiry_unix_s - self._renew_seconds()
        if not lasts or not self._takes(lanes[-1], {}, now):
            self._open(0, look)

    def _lane_for(self, money: Mapping[bytes, int], now: int, look: Look) -> KeptLane:
        """The newest lane if it can take this money, else another one that can."""
        lanes = self.wallet.store.lanes()
        return lanes[-1] if lanes and self._takes(lanes[-1], money, now) else self._open(sum(money.values()), look)

    def _takes(self, lane: KeptLane, money: Mapping[bytes, int], now: int) -> bool:
        """Whether a lane lives and has room for this money."""
        owed = self.wallet.store.owed(lane.fact.id)
        fits = sum(owed.values()) + sum(money.values()) <= lane.fact.limit and len(owed.keys() | money.keys()) <= MAX_LINES
        if not fits or lane.closed or now >= lane.fact.expiry_unix_s:
            return False
        _, closes_at, over = self.wallet.channels.lane_state(lane.fact.id)
        return not over and closes_at >= lane.fact.closes_at_unix_s

    def _lane_seconds(self) -> int:
        if self._longest is None:
            self._longest = self.wallet.channels.latest_expiry(0)
        if self._longest <= 0:
            raise NoMoney(f"lanes cannot be opened: clerks' stakes are held {-self._longest} s too short after a lane closes")
        return min(self.purchases.lane_seconds or self._longest, self._longest)

    def _renew_seconds(self) -> int:
        return min(self.purchases.renew_seconds or self.network.clock.epoch_seconds, self._lane_seconds() // 2)

    def _open(self, need: int, look: Look) -> KeptLane:
        limit = max(self.purchases.limit, need)
        clerk = self._clerk_address()
        lacking = limit - self.wallet.free()
        if lacking > 0:
            self._deposit(lacking)
        fact = self.wallet.open_lane(clerk, limit, self._chain_time() + self._lane_seconds(), self.purchases.clerk)
        look.opened.append(bytes(fact.id))
        return self.wallet.store.lane(fact.id)

    def _chain_time(self) -> int:
        return self._rpc.block("latest").timestamp

    def _deposit(self, amount: int) -> None:
        store, account = self.wallet.store, self.wallet.account.address
        deposited, balance = int(store.fact("deposited") or 0), self.wallet.balance()
        if deposited + amount > self.purchases.budget:
            words = f"{deposited} of the budget of {self.purchases.budget} is deposited, and {amount} more is needed"
            raise NoMoney(f"{words}: raise it, or deposit by hand")
        if balance < amount:
            raise NoMoney(f"the account 0x{account.hex()} holds {balance} payment units, and {amount} are needed: pay some in")
        # Counted first: a crash in between makes the budget smaller, never larger.
        store.note("deposited", str(deposited + amount))
        try:
            self.wallet.top_up(amount)
        except ChainRefused:
            store.note("deposited", str(deposited))
            raise

    def _clerk_address(self) -> Address:
        """Who listens at the clerk's address; the chain then says whether it may be a clerk."""
        url = f"{self.purchases.clerk.rstrip('/')}/v1/status"
        try:
            answer = self._client.get(url)
            told = msgspec.json.decode(answer.content, type=dict[str, object]) if answer.status_code == 200 else {}
            address = bytes.fromhex(str(told.get("verifier", ""))[2:])
        except (httpx.HTTPError, ValueError) as error:
            raise ClerkUnreachable(f"{url}: {error or type(error).__name__}") from error
        if len(address) != Address.LENGTH:
            raise ClerkUnreachable(f"{url} answered {answer.status_code} and names no verifier: is this a verifier's address?")
        return Address(address)

    def _payer(self, lane: KeptLane) -> Payer:
        id_ = bytes(lane.fact.id)
        if id_ in self._payers:
            return self._payers[id_]
        url = lane.clerk_url or self.purchases.clerk
        if url != self.purchases.clerk:
            # The lane's clerk may have moved, or customer.toml names another one.
            try:
                url = self.purchases.clerk if self._clerk_address() == lane.fact.clerk else url
            except ClerkUnreachable:
                return Payer(self.wallet, id_, self._client, url)
        return self._payers.setdefault(id_, Payer(self.wallet, id_, self._client, url))

    def _carry_over(self, lane: KeptLane, now: int, look: Look) -> None:
        """What was owed on a lane that is over, and no voucher covers, is owed on another one: the host gave it."""
        store = self.wallet.store
        counts = _covered(store.countersigned(lane.fact.id))
        if lane.fact.id in self._carried or not store.lines(lane.fact.id):
            return
        pending = store.pending(lane.fact.id)
        redeemed, closes_at, _ = self.wallet.channels.lane_state(lane.fact.id)
        if pending is not None and pending.voucher.total == redeemed:
            # Its countersignature got lost on the way here, and not on the way to the chain.
            counts = _covered(pending)
        if not closes_at:
            # The chain forgot the lane, and nobody can redeem anything of it.
            counts = {}
        rest = _beyond(store.lines(lane.fact.id), counts)
        if rest:
            store.move(lane.fact.id, rest, self._lane_for(rest, now, look).fact.id)
        self._carried.add(lane.fact.id)

    def _due(self, now: int) -> bool:
        if self._asked_at is not None and now - self._asked_at < self.network.clock.epoch_seconds // ASKS_AN_EPOCH:
            return False
        self._asked_at = now
        return True

    @contextmanager
    def _noting(self, look: Look) -> Iterator[None]:
        try:
            yield
        except NOT_NOW as error:
            look.troubles.append(str(error))


def _covered(kept: KeptVoucher | None) -> dict[bytes, int]:
    return {line.asset: line.money for line in kept.voucher.lines} if kept else {}


def _beyond(lines: Mapping[bytes, int], covered: Mapping[bytes, int]) -> dict[bytes, int]:
    return {asset: money - covered.get(asset, 0) for asset, money in lines.items() if money > covered.get(asset, 0)}
