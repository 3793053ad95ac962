"""What the chain says of an epoch: the fold of its contracts' events. Old contract state is never read; nodes prune it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from subak.chain.contracts import Contract, Event, decode_logs
from subak.chain.deploy import WHOLE_BPS, contract
from subak.chain.rpc import Block, Rpc
from subak.core.nouns.book import SnapshotRef
from subak.core.nouns.document import Address, Hash
from subak.core.nouns.network import Clock, Contracts
from subak.core.nouns.snapshot import ASSETS, ATTESTATIONS, LANES, PAYEES, POOLS, VERIFIERS, Snapshot
from subak.core.settlement.duties import CAP_FROM, CAP_PART

EVENTS = {
    "AllowList": ("SignersSet",),
    "Assets": ("Registered", "SiteRegistered", "PayeesSet", "KeyRotated", "Transfer", "Possessed"),
    "Attestations": ("IssuerSet", "Attested", "Revoked"),
    "Channels": ("Configured", "LaneOpened", "LaneRevoked", "LaneClosed", "Redeemed"),
    "Minter": ("ScheduleSet", "WeightsSet"),
    "Settlement": ("PolicySet", "Opened", "Finalized", "Begun"),
    "Stake": ("Joined", "SignerRotated", "WeightSet"),
}
"""The events that facts follow from, by contract."""
MOST_RATED = MOST_COLUMN = 2**63 - 1
"""A rated capacity or sequence above this counts as this: a column holds no more, and anyone can give any number."""
_NOBODY = bytes(20)
_NO_HASH = Hash(bytes(32))
_NOWHERE = Address(bytes(20))


@dataclass(frozen=True)
class Finalised:
    """A range of epochs that became final, as its event tells it."""

    first: int
    """First epoch of the range."""
    last: int
    """Last epoch of the range."""
    attempt: int
    """Which lead's attempt it was."""
    root: Hash
    """Root of the payout tree after."""
    state_root: Hash
    """Columns hash of the carried state after."""
    asset_root: Hash
    """Root of the tree of assets' totals after."""
    verdicts_hash: Hash
    """Columns hash of the verdicts."""
    rewards: int
    """Token units minted for rewards ever."""
    fees: int
    """Payment units redeemed for hosts ever."""
    book_hashes: tuple[Hash, ...]
    """The Books, one for each epoch."""
    policy_hashes: tuple[Hash, ...]
    """The policies, one for each epoch."""
    block: int
    """Height of the block in which it became final."""
    transaction: Hash
    """The transaction that made it final."""
    unix_s: int
    """Network time at which it became final."""
    settlement: Address = _NOWHERE
    """The Settlement in which it became final: there its leaves are claimed."""


def read_events(rpc: Rpc, contracts: Contracts, first: int, last: int) -> list[Event]:
    """The events that facts follow from, of the blocks ``first`` to ``last``, both included, in order."""
    sources = [source for name in EVENTS if any((source := contract(rpc, contracts, name)).address)]
    topics = [source.abi.topic(event) for source in sources for event in EVENTS[source.name]]
    logs = rpc.logs(first, last, list(dict.fromkeys(source.address for source in sources)), topics)
    # Two may stand at one address: a network has one of them there, and their events differ.
    return [event for log in logs for source in sources if (event := source.event(log)) is not None]


def fold(events: Iterable[Event], clock: Clock, epoch: int) -> Snapshot:
    """The snapshot of an epoch. ``events`` are those of ``read_events``, in order, at least up to the epoch's end; later ones are ignored.

    What happens to assets and attestations in an epoch acts from the next one; before genesis, from epoch 0. What is redeemed in an epoch
    is paid in it. A pool's budget is its share of what the schedule gives the epoch, rounded down; the plan sees to it that the token's cap
    never cuts that.
    """
    known = [event for event in events if event.log.timestamp < clock.end_unix_s(epoch)]
    earlier = [event for event in known if event.log.timestamp < clock.first_unix_s(epoch)]
    assets: dict[bytes, _Asset] = {}
    for event in earlier:
        _apply(assets, event)
    ordered = [assets[id_] for id_ in sorted(assets)]
    shares = [(each.id, payee, parts) for each in ordered for payee, parts in each.payees]
    pools = sorted(_budgets(known, epoch))
    return Snapshot(
        assets=_table(ASSETS, [(a.id, a.kind, a.curve, a.key, a.owner, a.cell, a.rated, a.possessed) for a in ordered]),
        payees=_table(PAYEES, shares),
        pools=_money_table(POOLS, pools),
        lanes=_money_table(LANES, _redeemed(known)),
        attestations=_table(ATTESTATIONS, _attestations(earlier)),
        verifiers=_money_table(VERIFIERS, _verifiers(known, epoch)),
    )


def budget_of(events: Iterable[Event], epoch: int) -> int:
    """What the schedule lets the epoch mint, in token units: Solidity's ``scheduled(epoch, epoch)``; 0 before any schedule is known."""
    budget = 0
    for event in events:
        if event.name == "ScheduleSet":
            periods = event.values["budgetPerEpoch"]
            period = epoch // event.values["epochsPerPeriod"]
            budget = periods[period] if period < len(periods) else 0
    return budget


def policy_in_force(events: Iterable[Event], epoch: int) -> Hash:
    """Hash of the policy in force in an epoch. Errors: LookupError if these events name none."""
    in_force = [event.values["policyHash"] for event in events if event.name == "PolicySet" and event.values["fromEpoch"] <= epoch]
    if not in_force:
        raise LookupError(f"no PolicySet event for epoch {epoch}")
    return Hash(in_force[-1])


def finalised_ranges(events: Iterable[Event]) -> list[Finalised]:
    """The ranges that became final, in order."""
    return [_finalised(event) for event in events if event.name == "Finalized"]


def text_of(word: bytes) -> str:
    """A bytes32 name as text: ASCII without the zeros after it. What is no printable name, also the empty one, stands as 0x hex."""
    raw = word.rstrip(b"\0")
    printable = bool(raw) and all(0x21 <= byte <= 0x7E for byte in raw)
    return raw.decode("ascii") if printable else "0x" + word.hex()


class Follower:
    """Follows a network's events and keeps what it read. Safe to use from several threads.

    It notices a chain that restarted a second back, or was reorganised, by the hash of the last block it read, and then reads anew.
    Every method asks the chain first; all raise RpcError and RpcUnreachable.
    """

    def __init__(self, rpc: Rpc, contracts: Contracts, clock: Clock, first_block: int = 0) -> None:
        """``first_block``: a block at or before the contracts' first one."""
        self._rpc = rpc
        self._contracts = contracts
        self._clock = clock
        self._first_block = first_block
        self._lock = threading.RLock()
        self._events: list[Event] = []
        self._read_to: Block | None = None
        self._ends: dict[int, Block] = {}
        self._earlier: tuple[Event, ...] | None = None

    def events(self) -> Sequence[Event]:
        """All events up to the newest block."""
        with self._lock:
            self._refresh()
            return tuple(self._events)

    def policy(self, epoch: int) -> Hash:
        """Hash of the policy in force in an epoch, under whichever Settlement. Errors: LookupError if the network is not deployed."""
        with self._lock:
            events = self.events()
            try:
                return policy_in_force(events, epoch)
            except LookupError:
                return policy_in_force(self._before(), epoch)

    def finalised(self) -> list[Finalised]:
        """The ranges that became final in this Settlement, in order."""
        return finalised_ranges(self.events())

    def history(self) -> list[Finalised]:
        """The ranges that became final ever, in order: in the Settlements before this one, then in it. Errors: also ChainRefused."""
        with self._lock:
            events = self.events()
            return finalised_ranges([*self._before(), *events])

    def first_state_root(self) -> Hash | None:
        """Root of the state that this Settlement took over from the one before; None for a network's first."""
        begun = [event.values["stateRoot"] for event in self.events() if event.name == "Begun"]
        return Hash(begun[0]) if begun else None

    def opened_books(self, first: int, attempt: int) -> tuple[Hash, ...]:
        """The Books that were opened in an attempt, one for each epoch from ``first`` on; empty if none were."""
        opened = [event.values for event in self.events() if event.name == "Opened"]
        found = [values["bookHashes"] for values in opened if (values["first"], values["attempt"]) == (first, attempt)]
        return tuple(Hash(each) for each in found[-1]) if found else ()

    def openings(self) -> list[Event]:
        """Every opening of Books ever, in order: in the Settlements before this one, until it began, then in it."""
        with self._lock:
            events = self.events()
            return [event for event in (*self._before(), *events) if event.name == "Opened"]

    def books_of(self, epoch: int) -> list[Hash]:
        """Every Book that was ever opened for an epoch."""
        opened = [event.values for event in self.openings()]
        books = [values["bookHashes"][epoch - values["first"]] for values in opened if values["first"] <= epoch <= values["last"]]
        return [Hash(book) for book in dict.fromkeys(books)]

    def opened_unix_s(self, book: bytes) -> int:
        """Network time at which a Book was opened first. Errors: LookupError if it never was."""
        for event in self.openings():
            if book in event.values["bookHashes"]:
                return event.log.timestamp
        raise LookupError(f"the Book {book.hex()} was never opened")

    def redeemed(self) -> dict[bytes, tuple[int, int, bytes]]:
        """Lane to sequence, total and hash of the lines of the voucher that was redeemed last."""
        told = [event.values for event in self.events() if event.name == "Redeemed"]
        return {values["lane"]: (min(values["seq"], MOST_COLUMN), values["total"], values["lines"]) for values in told}

    def beacon(self, epoch: int) -> tuple[Hash, Hash]:
        """What the tasks of an epoch are drawn from: the Book of the epoch before as it was opened first, and the hash of the block after
        that. Both zero while there is no such block, and for ever if it came after the epoch's end. An opening in a Settlement before this
        one counts, until this one began: devices were asked by it."""
        with self._lock:
            opened = self.openings()
            first = next((event for event in opened if event.values["first"] <= epoch - 1 <= event.values["last"]), None)
            block = self._rpc.find_block(first.log.block + 1) if first is not None else None
            if first is None or block is None or block.timestamp >= self._clock.end_unix_s(epoch):
                return _NO_HASH, _NO_HASH
            return Hash(first.values["bookHashes"][epoch - 1 - first.values["first"]]), block.hash

    def snapshot_block(self, epoch: int) -> Block | None:
        """The last block with a timestamp before the epoch's end, or None until that block is known and final."""
        with self._lock:
            end = self._clock.end_unix_s(epoch)
            final = self._rpc.find_block("finalized")
            if final is None:
                return None
            cached = self._ends.get(epoch)
            if cached is not None and cached.number <= final.number and self._still_there(cached):
                return cached
            # While the block after it is not there, another one could still come before the epoch's end.
            head = self._rpc.block("latest")
            if head.timestamp < end:
                return None
            found = self._last_before(end, head)
            if found.number > final.number:
                return None
            self._ends[epoch] = found
            return found

    def snapshot(self, epoch: int) -> tuple[SnapshotRef, Snapshot] | None:
        """The snapshot of an epoch and what a Book says of it, or None until its block is final."""
        with self._lock:
            block = self.snapshot_block(epoch)
            if block is None:
                return None
            self._refresh()
            if not self._still_there(block):
                return None
            snapshot = fold((event for event in self._events if event.log.block <= block.number), self._clock, epoch)
            return SnapshotRef(block.number, block.hash, Hash(snapshot.hash())), snapshot

    def _before(self) -> tuple[Event, ...]:
        """What the Settlements before this one told, each until the next began; to be asked after ``events``."""
        begun = next((event.log for event in self._events if event.name == "Begun"), None)
        if begun is None:
            return ()
        if self._earlier is None:
            earlier: list[Contract] = []
            source = contract(self._rpc, self._contracts, "Settlement")
            while any(address := source.call("PREDECESSOR")):
                source = Contract(source.name, Address(address), self._rpc)
                earlier.append(source)
            topics = [source.abi.topic(name) for name in EVENTS["Settlement"]]
            logs = self._rpc.logs(self._first_block, begun.block, [each.address for each in earlier], topics)
            early = (log for log in logs if (log.block, log.index) < (begun.block, begun.index))
            # A Settlement that is served no more can still open Books, which nobody is asked by, and be told policies.
            living, told = source.address, list[Event]()
            for event in decode_logs(early, earlier):
                living = event.log.address if event.name == "Begun" else living
                told += [event] if event.log.address == living else []
            self._earlier = tuple(told)
        return self._earlier

    def _refresh(self) -> None:
        head = self._rpc.block("latest")
        if self._read_to is not None and self._read_to.hash == head.hash:
            return
        if self._read_to is not None and not self._still_there(self._read_to):
            self._forget()
        first = self._first_block if self._read_to is None else self._read_to.number + 1
        self._events.extend(read_events(self._rpc, self._contracts, first, head.number))
        self._read_to = head
        if not self._still_there(head):
            self._forget()
            self._refresh()

    def _forget(self) -> None:
        self._events, self._read_to, self._ends, self._earlier = [], None, {}, None

    def _still_there(self, block: Block) -> bool:
        now = self._rpc.find_block(block.number)
        return now is not None and now.hash == block.hash

    def _last_before(self, unix_s: int, head: Block) -> Block:
        """By halving; ``head`` is not before ``unix_s``."""
        before = max((block for block in self._ends.values() if block.timestamp < unix_s), key=lambda block: block.number, default=None)
        # A restarted anvil gives block 0 the wall clock's time; the one after it kept its own.
        low = before if before is not None and self._still_there(before) else self._rpc.block(min(1, head.number))
        if low.timestamp >= unix_s:
            raise LookupError(f"the chain's first block is at {low.timestamp}, not before {unix_s}")
        high = head.number
        while high - low.number > 1:
            middle = self._rpc.block((low.number + high) // 2)
            if middle.timestamp < unix_s:
                low = middle
            else:
                high = middle.number
        return low


@dataclass
class _Asset:
    id: bytes
    kind: str
    curve: int
    key: bytes
    owner: bytes
    cell: int
    rated: int
    possessed: bool = False
    payees: list[tuple[bytes, int]] = field(default_factory=list)


def _apply(assets: dict[bytes, _Asset], event: Event) -> None:
    values = event.values
    match event.name:
        case "Registered":
            rated = min(values["rated"], MOST_RATED)
            asset = _Asset(values["asset"], text_of(values["kind"]), values["curve"], values["key"], values["owner"], values["cell"], rated)
            assets[asset.id] = asset
        case "SiteRegistered":
            assets[values["site"]] = _Asset(values["site"], "", 0, b"", values["owner"], values["cell"], 0)
        case "PayeesSet":
            if values["asset"] in assets:
                assets[values["asset"]].payees = list(zip(values["payees"], values["parts"], strict=True))
        case "KeyRotated":
            asset = assets[values["asset"]]
            asset.curve, asset.key, asset.possessed = values["curve"], values["key"], False
        case "Possessed":
            assets[values["asset"]].possessed = True
        case "Transfer" if values["from"] != _NOBODY:
            asset = assets[values["tokenId"].to_bytes(32, "big")]
            asset.owner, asset.payees, asset.possessed = values["to"], [], False


def _redeemed(events: list[Event]) -> list[tuple[Any, ...]]:
    """Lanes that were redeemed, with what hosts get of each and what was burned of it."""
    burns = any(event.name == "Configured" and event.values.get("burns", False) for event in events)
    customers = {event.values["lane"]: event.values["customer"] for event in events if event.name == "LaneOpened"}
    lanes: dict[bytes, tuple[Any, ...]] = {}
    for event in events:
        if event.name == "Redeemed":
            values = event.values
            lane = values["lane"]
            *_, total, net, burned, _ = lanes.get(lane, (0, 0, 0, 0))
            share = values["total"] - total - values["net"]
            net, burned = net + values["net"], burned + share * burns
            lanes[lane] = (lane, customers[lane], min(values["seq"], MOST_COLUMN), values["total"], net, burned, values["lines"])
    return [lanes[lane] for lane in sorted(lanes)]


def _attestations(events: list[Event]) -> list[tuple[Any, ...]]:
    """What accepted issuers say and did not take back."""
    accepted: set[tuple[bytes, bytes]] = set()
    words: dict[tuple[bytes, bytes, bytes], int] = {}
    for event in events:
        values = event.values
        match event.name:
            case "IssuerSet":
                (accepted.add if values["accepted"] else accepted.discard)((values["topic"], values["issuer"]))
            case "Attested":
                words[values["topic"], values["subject"], values["issuer"]] = values["expiry"]
            case "Revoked":
                words.pop((values["topic"], values["subject"], values["issuer"]), None)
    return sorted(
        (text_of(topic), subject, issuer, expiry) for (topic, subject, issuer), expiry in words.items() if (topic, issuer) in accepted
    )


def _verifiers(events: list[Event], epoch: int) -> list[tuple[Any, ...]]:
    """Who weighs in the epoch: ``weightOf`` of everyone's signer then, in Stake capped, in a list that is set as it is set."""
    signers: dict[bytes, bytes] = {}
    weights: dict[bytes, int] = {}
    capped = True
    for event in events:
        values = event.values
        if values.get("fromEpoch", 0) > epoch:
            continue
        match event.name:
            case "Joined" | "SignerRotated":
                signers[values["owner"]] = values["signer"]
            case "WeightSet":
                weights[values["owner"]] = values["rawWeight"]
            case "SignersSet":
                weights, capped = dict(zip(values["signers"], values["weights"], strict=True)), False
                signers = {signer: signer for signer in weights}
    raw = {owner: weight for owner, weight in weights.items() if weight}
    cap = sum(raw.values()) // CAP_PART if capped and len(raw) >= CAP_FROM else max(raw.values(), default=0)
    return sorted((signers[owner], owner, min(weight, cap)) for owner, weight in raw.items())


def _budgets(events: list[Event], epoch: int) -> Iterator[tuple[str, int]]:
    budget = budget_of(events, epoch)
    weights = [event.values for event in events if event.name == "WeightsSet" and event.values["fromEpoch"] <= epoch]
    if weights:
        for pool, bps in zip(weights[-1]["pools"], weights[-1]["weightsBps"], strict=True):
            yield text_of(pool), budget * bps // WHOLE_BPS


def _money_table(schema: dict[str, Any], rows: Sequence[tuple[Any, ...]]) -> pl.DataFrame:
    money = [name for name, dtype in schema.items() if isinstance(dtype, pl.Decimal)]
    table = _table({**schema, **dict.fromkeys(money, pl.Int128)}, rows)
    return table.with_columns(pl.col(money).cast(pl.Decimal(38, 0)))


def _table(schema: dict[str, Any], rows: Sequence[tuple[Any, ...]]) -> pl.DataFrame:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    plain = [[bytes(value) if isinstance(value, bytes) else value for value in column] for column in columns]
    return pl.DataFrame([pl.Series(name, values, dtype=dtype) for (name, dtype), values in zip(schema.items(), plain, strict=True)])


def _finalised(event: Event) -> Finalised:
    values = event.values
    return Finalised(
        first=values["first"],
        last=values["last"],
        attempt=values["attempt"],
        root=Hash(values["root"]),
        state_root=Hash(values["stateRoot"]),
        asset_root=Hash(values["assetRoot"]),
        verdicts_hash=Hash(values["verdictsHash"]),
        rewards=values["rewards"],
        fees=values["fees"],
        book_hashes=tuple(Hash(each) for each in values["bookHashes"]),
        policy_hashes=tuple(Hash(each) for each in values["policyHashes"]),
        block=event.log.block,
        transaction=event.log.transaction,
        unix_s=event.log.timestamp,
        settlement=event.log.address,
    )
