"""What the chain itself tells of customers, lanes and raises: events, read a step at a time and folded into rows.

Amounts follow from events alone, so that a page shows them while the chain does not answer. A chain that took blocks back is read anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from eth_abi.exceptions import DecodingError

from subak.chain.channels import LANE_EVENTS, LaneFact, fold_lanes
from subak.chain.contracts import Contract, Event
from subak.chain.deploy import contract
from subak.chain.rpc import Block, Rpc
from subak.chain.shares import Terms
from subak.core.nouns import Address, Network
from subak.explorer.reading import Row

log = logging.getLogger("subak.explorer")

MOST_LETTERS = 80
"""Of a name that a stranger chose."""
_CHANNEL_EVENTS = (*LANE_EVENTS, "Deposited", "Withdrawn")
_SHARE_EVENTS = ("Contributed", "Refunded", "Released", "RevenueCounted", "Withdrawn", "Transfer")
_ADDRESSES = 500
_NOBODY = Address(bytes(20))


@dataclass(frozen=True)
class Changes:
    """Rows of the index that are new or different; of each name, those that it replaces together are all here."""

    whole: bool
    """Whether these are all that there are."""
    unix_s: int
    """Network time of the block up to which this was read."""
    rows: dict[str, list[Row]]
    """By table."""


@dataclass
class _Customer:
    deposited: int = 0
    withdrawn: int = 0
    lanes: set[bytes] = field(default_factory=set)


@dataclass
class _Holder:
    shares: int = 0
    contributed: int = 0
    withdrawn: dict[bytes, int] = field(default_factory=dict)


@dataclass
class _Raise:
    terms: Terms
    began_unix_s: int
    supply: int = 0
    contributed: int = 0
    refunded: int = 0
    holding: int = 0
    released: dict[int, int] = field(default_factory=dict)
    revenue: dict[bytes, int] = field(default_factory=dict)
    withdrawn: dict[bytes, int] = field(default_factory=dict)
    holders: dict[bytes, _Holder] = field(default_factory=dict)

    def holder(self, account: bytes) -> _Holder:
        return self.holders.setdefault(account, _Holder())

    def move(self, account: bytes, amount: int) -> None:
        """Shares to an account, or away from it; nobody's are those that are made or destroyed."""
        if account == _NOBODY:
            self.supply -= amount
            return
        holder = self.holder(account)
        self.holding -= holder.shares > 0
        holder.shares += amount
        self.holding += holder.shares > 0


Touched = tuple[str, bytes, bytes]
"""The table of a row, and what names it there."""


class OnChain:
    """Reads a network's customers, lanes and raises, and tells what changed."""

    def __init__(self, network: Network, rpc: Rpc) -> None:
        """Nothing is asked yet."""
        self._rpc, self._contracts = rpc, network.contracts
        self._channels = contract(rpc, network.contracts, "Channels")
        self._factory = contract(rpc, network.contracts, "SharesFactory")
        self._read_to: Block | None = None
        self._configured: list[Event] = []
        self._lane_events: dict[bytes, list[Event]] = {}
        self._lanes: dict[bytes, LaneFact] = {}
        self._customers: dict[bytes, _Customer] = {}
        self._raises: dict[bytes, _Raise] = {}

    def look(self, take: Callable[[Changes], None]) -> None:
        """Gives ``take`` what changed up to the newest block, if there is a new one; what it does not take is told again by a later look.

        Errors: RpcError, RpcUnreachable, and whatever ``take`` raises.
        """
        head = self._rpc.block("latest")
        if self._read_to is not None and self._read_to.hash == head.hash:
            return
        if self._read_to is not None and not self._still_there(self._read_to):
            self._forget()
        whole = self._read_to is None
        events = list(self._new_events(0 if self._read_to is None else self._read_to.number + 1, head.number))
        if not self._still_there(head):
            self._forget()
            return
        try:
            touched = {each for event in events for each in self._apply(event)}
            take(Changes(whole, head.timestamp, self._rows(sorted(touched))))
        except BaseException:
            # What was half counted must not be counted again.
            self._forget()
            raise
        self._read_to = head

    def _forget(self) -> None:
        self._read_to, self._configured = None, []
        self._lane_events, self._lanes, self._customers, self._raises = {}, {}, {}, {}

    def _still_there(self, block: Block) -> bool:
        now = self._rpc.find_block(block.number)
        return now is not None and now.hash == block.hash

    def _new_events(self, first: int, last: int) -> Iterator[Event]:
        yield from self._events([self._channels], _CHANNEL_EVENTS, first, last)
        created = list(self._events([self._factory], ["Created"], first, last))
        yield from created
        known = [*self._raises, *(event.values["shares"] for event in created)]
        for start in range(0, len(known), _ADDRESSES):
            some = [Contract("AssetShares", Address(address), self._rpc) for address in known[start : start + _ADDRESSES]]
            yield from self._events(some, _SHARE_EVENTS, first, last)

    def _events(self, contracts: Sequence[Contract], names: Iterable[str], first: int, last: int) -> Iterator[Event]:
        by_address = {each.address: each for each in contracts}
        topics = [contracts[0].abi.topic(name) for name in names]
        for each in self._rpc.logs(first, last, list(by_address), topics):
            try:
                event = by_address[each.address].event(each)
            except (DecodingError, ValueError):
                # A raise whose name is not UTF-8: whoever made it can make a better one.
                log.warning("an event of 0x%s in block %d cannot be read", each.address.hex(), each.block)
                continue
            if event is not None:
                yield event

    def _apply(self, event: Event) -> Iterator[Touched]:
        """Counts an event; the rows that it touched."""
        values, address = event.values, event.log.address
        if address == self._factory.address:
            self._raises[values["shares"]] = _Raise(Terms.of(values["terms"]), event.log.timestamp)
            yield from (("raises", values["shares"], b""), ("milestones", values["shares"], b""))
        elif address in self._raises:
            yield from self._apply_to_raise(address, event)
        elif event.name == "Configured":
            self._configured = [event]
        elif event.name in ("Deposited", "Withdrawn"):
            customer = self._customers.setdefault(values["customer"], _Customer())
            if event.name == "Deposited":
                customer.deposited += values["amount"]
            else:
                customer.withdrawn += values["amount"]
            yield "customers", values["customer"], b""
        else:
            told = self._lane_events.setdefault(values["lane"], [])
            told.append(event)
            lane = self._lanes[values["lane"]] = fold_lanes([*self._configured, *told])[values["lane"]]
            self._customers.setdefault(lane.customer, _Customer()).lanes.add(lane.id)
            yield from (("lanes", lane.id, b""), ("customers", lane.customer, b""))

    def _apply_to_raise(self, address: bytes, event: Event) -> Iterator[Touched]:
        found, values = self._raises[address], event.values
        moved: tuple[bytes, ...] = ()
        match event.name:
            case "Contributed":
                found.contributed += values["amount"]
                found.holder(values["account"]).contributed += values["amount"]
                moved = (values["account"],)
            case "Refunded":
                found.refunded += values["amount"]
            case "Released":
                found.released[values["milestone"]] = values["amount"]
                yield "milestones", address, b""
            case "RevenueCounted":
                _add(found.revenue, values["currency"], values["amount"])
            case "Withdrawn":
                _add(found.withdrawn, values["currency"], values["amount"])
                _add(found.holder(values["account"]).withdrawn, values["currency"], values["amount"])
                moved = (values["account"],)
            case "Transfer":
                found.move(values["from"], -values["value"])
                found.move(values["to"], values["value"])
                moved = (values["from"], values["to"])
        yield "raises", address, b""
        yield from (("holders", address, account) for account in moved if account != _NOBODY)

    def _rows(self, touched: Sequence[Touched]) -> dict[str, list[Row]]:
        rows: dict[str, list[Row]] = {}
        for table, name, account in touched:
            of_table = rows.setdefault(table, [])
            match table:
                case "lanes":
                    revoked = any(event.name == "LaneRevoked" for event in self._lane_events[name])
                    of_table.append({**_lane_row(self._lanes[name]), "revoked": revoked})
                case "customers":
                    of_table.append(self._customer_row(name))
                case "raises":
                    of_table.append(self._raise_row(name))
                case "milestones":
                    of_table.extend(_milestone_rows(name, self._raises[name]))
                case "holders":
                    of_table.append(self._holder_row(name, account))
        return rows

    def _customer_row(self, account: bytes) -> Row:
        """``free`` as the contract counts it: what no lane holds."""
        customer = self._customers[account]
        lanes = [self._lanes[lane] for lane in customer.lanes]
        redeemed = sum(lane.redeemed for lane in lanes)
        reserved = sum(lane.limit - lane.redeemed for lane in lanes if not lane.closed)
        free = customer.deposited - customer.withdrawn - redeemed - reserved
        money = {"deposited": customer.deposited, "withdrawn": customer.withdrawn, "free": free, "reserved": reserved, "redeemed": redeemed}
        return {"account": _hex(account), **{name: str(value) for name, value in money.items()}, "lanes": len(lanes)}

    def _raise_row(self, address: bytes) -> Row:
        found = self._raises[address]
        terms = found.terms
        money = {
            "soft_cap": terms.soft_cap,
            "hard_cap": terms.hard_cap,
            "supply": found.supply,
            "contributed": found.contributed,
            "refunded": found.refunded,
            "released": sum(found.released.values()),
            **{f"{name}_revenue": found.revenue.get(currency, 0) for name, currency in self._currencies()},
            **{f"{name}_withdrawn": found.withdrawn.get(currency, 0) for name, currency in self._currencies()},
        }
        return {
            "address": _hex(address),
            "builder": _hex(terms.builder),
            "name": printable(terms.name),
            "symbol": printable(terms.symbol),
            "raise_end_unix_s": terms.raise_end_unix_s,
            "build_end_unix_s": terms.build_end_unix_s,
            "began_unix_s": found.began_unix_s,
            "topics": "\n".join(printable(topic) for topic in terms.topics),
            "holders": found.holding,
            **{name: str(value) for name, value in money.items()},
        }

    def _holder_row(self, address: bytes, account: bytes) -> Row:
        holder = self._raises[address].holders[account]
        withdrawn = {f"{name}_withdrawn": str(holder.withdrawn.get(currency, 0)) for name, currency in self._currencies()}
        row = {"address": _hex(address), "account": _hex(account), "shares": str(holder.shares)}
        return {**row, "contributed": str(holder.contributed), **withdrawn}

    def _currencies(self) -> tuple[tuple[str, bytes], tuple[str, bytes]]:
        """Fees come in the payment asset, rewards in the token. If customers pay in the token, all of it is fees."""
        payment, token = self._contracts.payment, self._contracts.token
        return ("fees", payment), ("rewards", token if token != payment else _NOBODY)


def printable(text: str) -> str:
    """Text of a stranger, cut short, without what would turn or hide the rest of a line."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text[:MOST_LETTERS]).strip()


def _lane_row(lane: LaneFact) -> Row:
    return {
        "lane": _hex(lane.id),
        "customer": _hex(lane.customer),
        "key": _hex(lane.key),
        "clerk": _hex(lane.clerk),
        "limit": str(lane.limit),
        "redeemed": str(lane.redeemed),
        "net": str(lane.net),
        "number": lane.number,
        "expiry_unix_s": lane.expiry_unix_s,
        "closes_at_unix_s": lane.closes_at_unix_s,
        "seq": lane.seq,
        "closed": lane.closed,
    }


def _milestone_rows(address: bytes, found: _Raise) -> Iterator[Row]:
    for place, each in enumerate(found.terms.milestones):
        yield {
            "address": _hex(address),
            "place": place,
            "asset": _hex(each.asset) if any(each.asset) else "",
            "amount_bps": each.amount_bps,
            "min_units": str(each.min_units),
            "min_paid_epochs": each.min_paid_epochs,
            "released": str(found.released[place]) if place in found.released else None,
        }


def _add(sums: dict[bytes, int], name: bytes, amount: int) -> None:
    sums[name] = sums.get(name, 0) + amount


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
