"""What builders and investors do: raises, milestones, shares and their revenue."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec

from subak.archive.books import read_state
from subak.archive.store import ArchiveError, HttpArchive
from subak.chain.accounts import Account
from subak.chain.channels import Erc20
from subak.chain.contracts import Contract, Sender
from subak.chain.network_file import load_network
from subak.chain.rpc import Rpc
from subak.chain.shares import NO_ASSET, Milestone, RaiseState, Shares, SharesFactory, Terms
from subak.chain.snapshot import Follower
from subak.cli.units import Currencies, Currency, NotReadable, address, currencies, decimal_text, hexed, short, table, tell, when
from subak.core.nouns import Address, Hash, Network, State
from subak.core.nouns.document import convert
from subak.core.settlement.money import to_ints
from subak.core.settlement.roots import asset_tree

WHOLE_BPS = 10_000


class CannotInvest(ValueError):
    """Something about shares that cannot be done as things are; the text says why and what to do."""


class MilestoneTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ``[[milestones]]`` table of the terms."""

    amount_bps: int
    """Part of the raised money in basis points."""
    asset: Hash = NO_ASSET
    """Whose work counts; left away, it is paid for the raise's success alone."""
    min_units: int = 0
    """Work ever that it needs."""
    min_paid_epochs: int = 0
    """Paid epochs ever that it needs."""


class TermsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The terms of a raise, as a builder writes them down."""

    name: str
    """Name of the shares."""
    symbol: str
    """Their ticker."""
    soft_cap: str | int
    """The least that makes the raise succeed: "5000.00"."""
    hard_cap: str | int
    """The most that it takes."""
    raise_end: Any
    """A day or a time (UTC) from which nobody can pay in."""
    build_end: Any
    """From when on what no milestone released is the holders'."""
    milestones: tuple[MilestoneTable, ...]
    """What the money is released for."""
    topics: tuple[str, ...] = ()
    """What must be attested of whoever receives shares."""


@dataclass(frozen=True)
class _Door:
    """A network, and an account that acts on it."""

    network: Network
    rpc: Rpc
    sender: Sender | None
    written: Currencies

    @classmethod
    def open(cls, network_file: Path, key: Path | None = None) -> _Door:
        network = load_network(network_file)
        rpc = Rpc(network.nodes.rpc)
        sender = Sender(rpc, Account.load(key)) if key is not None else None
        return cls(network, rpc, sender, currencies(rpc, network))

    @property
    def factory(self) -> SharesFactory:
        return SharesFactory(self.rpc, self.network.contracts, self.sender)

    @property
    def me(self) -> Address:
        assert self.sender is not None
        return self.sender.address

    def shares(self, text: str) -> Shares:
        """The share contract. Errors: NotReadable; CannotInvest if it is not the network's own."""
        where = address(text, "the share contract")
        if not self.factory.is_shares(where):
            raise CannotInvest(
                f"{text} is no share contract of this network: its terms could be anything; `subak raise list` names those that are"
            )
        return self.factory.shares(where)

    def names(self, currency: bytes) -> Currency:
        return self.written.token if currency == self.network.contracts.token else self.written.payment

    @property
    def each_currency(self) -> list[Address]:
        """The payment asset and the token, once if they are one."""
        return list(dict.fromkeys((self.network.contracts.payment, self.network.contracts.token)))


def read_terms(path: Path, builder: bytes, payment: Currency) -> Terms:
    """The terms in a file. Errors: NotReadable naming file and field."""
    try:
        file = convert(tomllib.loads(path.read_text()), TermsFile)
        ends = [_time(getattr(file, name), name) for name in ("raise_end", "build_end")]
        caps = [payment.parse(str(getattr(file, name)), name) for name in ("soft_cap", "hard_cap")]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError, NotReadable) as error:
        raise NotReadable(f"{path}: {error}") from None
    parts = sum(each.amount_bps for each in file.milestones)
    if parts != WHOLE_BPS:
        raise NotReadable(f"{path}: the milestones' amount_bps add up to {parts}, not to {WHOLE_BPS}")
    milestones = tuple(Milestone(each.asset, each.amount_bps, each.min_units, each.min_paid_epochs) for each in file.milestones)
    return Terms(file.name, file.symbol, Address(builder), caps[0], caps[1], ends[0], ends[1], file.topics, milestones)


def run_create(network_file: Path, terms_file: Path, key: Path, json: bool) -> int:
    """Begin a raise."""
    door = _Door.open(network_file, key)
    terms = read_terms(terms_file, door.me, door.written.payment)
    shares = door.factory.create(terms)
    told = {"shares": hexed(shares.contract.address), **_terms_told(terms, door)}
    tell(json, told, f"{terms.name} at {hexed(shares.contract.address)}\n" + "\n".join(_terms_words(terms, door)))
    return 0


def run_show(network_file: Path, where: str, json: bool) -> int:
    """How a raise stands."""
    door = _Door.open(network_file)
    shares = door.shares(where)
    terms, state, raised = shares.terms(), shares.state(), shares.raised()
    released, bits = shares.contract.call_many([("released", ()), ("releasedMilestones", ())])
    done = [bool(bits >> number & 1) for number in range(len(terms.milestones))]
    payment = door.written.payment
    told = {
        "shares": hexed(shares.contract.address),
        "state": state.name.lower(),
        "raised": payment.told(raised),
        "released": payment.told(released),
        **_terms_told(terms, door, done),
    }
    words = [f"{terms.name} ({terms.symbol}) at {hexed(shares.contract.address)}: {_state_words(state, terms, raised, payment)}"]
    words += [f"{payment.words(raised)} raised, {payment.words(released)} of it released", *_terms_words(terms, door, done)]
    tell(json, told, "\n".join(words))
    return 0


def run_list(network_file: Path, json: bool) -> int:
    """Every raise of the network."""
    door = _Door.open(network_file)
    payment = door.written.payment
    found = []
    for where, terms in door.factory.created():
        shares = door.factory.shares(where)
        found.append((where, terms, shares.state(), shares.raised()))
    told = [
        {"shares": hexed(where), "name": terms.name, "symbol": terms.symbol, "state": state.name.lower(), "raised": payment.told(raised)}
        for where, terms, state, raised in found
    ]
    rows = [
        (hexed(where), terms.symbol, state.name.lower(), payment.plain(raised), payment.plain(terms.hard_cap), when(terms.raise_end_unix_s))
        for where, terms, state, raised in found
    ]
    titles = ("address", "shares", "state", f"raised {payment.symbol}", "at most", "until")
    tell(json, {"raises": told}, table(titles, rows, frozenset({3, 4})) if rows else "nothing was raised here yet")
    return 0


def run_contribute(network_file: Path, where: str, amount: str, key: Path, json: bool) -> int:
    """Pay into a raise."""
    door = _Door.open(network_file, key)
    shares, payment = door.shares(where), door.written.payment
    money, balance = payment.parse(amount, "the amount"), Erc20(door.rpc, door.network.contracts.payment).balance(door.me)
    if balance < money:
        raise CannotInvest(f"{hexed(door.me)} holds {payment.words(balance)}, not {payment.words(money)}")
    receipt = shares.contribute(money)
    events = shares.contract.events(receipt.block, receipt.block, ["Contributed"])
    taken = next(event.values["amount"] for event in events if event.log.transaction == receipt.transaction)
    held = shares.balance(door.me)
    told = {"shares": hexed(shares.contract.address), "taken": payment.told(taken), "held": payment.told(held)}
    less = f", which is all that the hard cap leaves of {payment.words(money)}" if taken < money else ""
    tell(json, told, f"paid in {payment.words(taken)}{less}; {hexed(door.me)} holds {_shares_words(shares, held, payment)}")
    return 0


def run_refund(network_file: Path, where: str, account: str, key: Path, json: bool) -> int:
    """After a failed raise: an account's money back."""
    door = _Door.open(network_file, key)
    shares, payment = door.shares(where), door.written.payment
    who = address(account) if account else bytes(door.me)
    held = shares.balance(who)
    _want(shares, RaiseState.REFUND, "money goes back only after a raise that failed")
    shares.refund(who)
    told = {"account": hexed(who), "refunded": payment.told(held)}
    tell(json, told, f"{payment.words(held)} are back at {hexed(who)}")
    return 0


def run_finish(network_file: Path, where: str, key: Path, json: bool) -> int:
    """Do what is left to do once a raise has ended, whoever it is for."""
    door = _Door.open(network_file, key)
    assert door.sender is not None
    shares, payment = door.shares(where), door.written.payment
    terms, state = shares.terms(), shares.state()
    told: dict[str, Any] = {"shares": hexed(shares.contract.address), "state": state.name.lower()}
    if state is RaiseState.RAISE:
        left = payment.words(terms.hard_cap - shares.raised())
        raise CannotInvest(f"the raise goes on until {when(terms.raise_end_unix_s)}, or until {left} more are paid in: wait")
    if state is RaiseState.LIVE:
        paid = _release_the_unconditional(door, shares, terms)
        shares.sync()
        words = [f"released milestone {number}: {payment.words(money)} to {hexed(terms.builder)}" for number, money in paid]
        told["released"] = [{"milestone": number, "money": payment.told(money)} for number, money in paid]
        words.append("what arrived is counted as the holders' revenue")
    else:
        returned = _assets_of(door, shares.contract.address)
        for asset in returned:
            door.sender.send(shares.contract, "returnAsset", asset)
        earned = [(each, _kept(door, shares, each)) for each in door.each_currency]
        for currency, money in earned:
            if money:
                door.sender.send(shares.contract, "returnEarnings", currency)
        told |= {
            "returned_assets": [hexed(asset) for asset in returned],
            "returned_earnings": [door.names(currency).told(money) for currency, money in earned if money],
        }
        words = [f"gave the asset {hexed(asset)} back to {hexed(terms.builder)}" for asset in returned]
        words += [f"gave {door.names(currency).words(money)} that they earned back too" for currency, money in earned if money]
        words.append(f"the raise failed; {payment.words(shares.raised())} can be had back with `subak raise refund`")
    tell(json, told, "\n".join(words))
    return 0


def run_milestone(network_file: Path, where: str, number: int, key: Path, json: bool) -> int:
    """Have the builder paid for a milestone that final data prove."""
    door = _Door.open(network_file, key)
    shares, payment = door.shares(where), door.written.payment
    _want(shares, RaiseState.LIVE, "money is released only after a raise that succeeded")
    terms = shares.terms()
    if number >= len(terms.milestones):
        raise CannotInvest(f"there is no milestone {number}: they are 0 to {len(terms.milestones) - 1}")
    wanted = terms.milestones[number]
    leaf, proof = _proof(door, shares, wanted.asset) if any(wanted.asset) else ((0, 0, 0, 0), [])
    if leaf[0] < wanted.min_units or leaf[3] < wanted.min_paid_epochs:
        needs = f"{wanted.min_units:,} units and {wanted.min_paid_epochs:,} paid epochs"
        raise CannotInvest(f"milestone {number} needs {needs}; final are {leaf[0]:,} and {leaf[3]:,}: wait for more")
    shares.release(number, leaf, proof)
    money = shares.raised() * wanted.amount_bps // WHOLE_BPS
    told = {"milestone": number, "money": payment.told(money), "builder": hexed(terms.builder), "units": leaf[0], "paid_epochs": leaf[3]}
    tell(json, told, f"milestone {number} is reached: {payment.words(money)} to {hexed(terms.builder)}")
    return 0


def run_shares_show(network_file: Path, where: str, account: str, json: bool) -> int:
    """What an account holds, and what of the revenue is its own."""
    door = _Door.open(network_file)
    shares, payment = door.shares(where), door.written.payment
    who, terms, all_of_them = address(account), shares.terms(), shares.raised()
    held = shares.balance(who)
    due = [(each, shares.withdrawable(who, each)) for each in door.each_currency]
    told = {
        "shares": hexed(shares.contract.address),
        "symbol": terms.symbol,
        "state": shares.state().name.lower(),
        "account": hexed(who),
        "held": payment.told(held),
        "of": payment.told(all_of_them),
        "withdrawable": [door.names(currency).told(money) for currency, money in due],
    }
    words = [f"{hexed(who)} holds {payment.plain(held)} of {payment.plain(all_of_them)} {terms.symbol}"]
    words += [f"  {door.names(currency).words(money)} of revenue can be withdrawn" for currency, money in due]
    tell(json, told, "\n".join(words))
    return 0


def run_shares_withdraw(network_file: Path, where: str, account: str, key: Path, json: bool) -> int:
    """Pay an account its revenue, in every currency."""
    door = _Door.open(network_file, key)
    shares = door.shares(where)
    _want(shares, RaiseState.LIVE, "revenue is shared only after a raise that succeeded")
    who = address(account) if account else bytes(door.me)
    paid = [(each, money) for each in door.each_currency if (money := shares.withdrawable(who, each))]
    for currency, _ in paid:
        shares.withdraw(who, currency)
    told = {"account": hexed(who), "paid": [door.names(currency).told(money) for currency, money in paid]}
    words = " and ".join(door.names(currency).words(money) for currency, money in paid)
    tell(json, told, f"paid {words} to {hexed(who)}" if paid else f"nothing is due to {hexed(who)} now")
    return 0


def run_shares_transfer(network_file: Path, where: str, to: str, amount: str, key: Path, json: bool) -> int:
    """Give shares away."""
    door = _Door.open(network_file, key)
    shares, payment = door.shares(where), door.written.payment
    who, number, held = address(to, "the receiver"), payment.parse(amount, "the amount"), shares.balance(door.me)
    if number > held:
        raise CannotInvest(f"{hexed(door.me)} holds {_shares_words(shares, held, payment)}, not {payment.plain(number)}")
    shares.transfer(who, number)
    told = {"from": hexed(door.me), "to": hexed(who), "amount": payment.told(number)}
    tell(json, told, f"gave {_shares_words(shares, number, payment)} to {hexed(who)}")
    return 0


def _release_the_unconditional(door: _Door, shares: Shares, terms: Terms) -> list[tuple[int, int]]:
    """Milestones that are paid for the raise's success alone, and their money."""
    if door.rpc.block("latest").timestamp >= terms.build_end_unix_s:
        return []
    bits = shares.contract.call("releasedMilestones")
    open_ones = [number for number, each in enumerate(terms.milestones) if not any(each.asset) and not bits >> number & 1]
    for number in open_ones:
        shares.release(number, (0, 0, 0, 0), [])
    return [(number, shares.raised() * terms.milestones[number].amount_bps // WHOLE_BPS) for number in open_ones]


def _proof(door: _Door, shares: Shares, asset: bytes) -> tuple[tuple[int, int, int, int], Sequence[bytes]]:
    """An asset's final totals (units, rewards, fees, paid epochs) and the proof of them in the Settlement that the raise believes, which it
    was made with: one that took over since proves nothing to it. Errors: CannotInvest; ArchiveError."""
    believed = shares.contract.call("SETTLEMENT")
    every = Follower(door.rpc, door.network.contracts, door.network.clock).history()
    finals = [each for each in every if each.settlement == believed]
    if not finals:
        raise CannotInvest("no epoch is final yet: nothing is proven of any asset")
    state = _state(door.network, finals[-1].state_root)
    assets = state.assets["asset"].to_list()
    if bytes(asset) not in assets:
        raise CannotInvest(f"the asset {hexed(asset)} was never live up to epoch {finals[-1].last}: its device has to sign first")
    row, table_ = assets.index(bytes(asset)), state.assets
    rewards, fees = to_ints(table_["rewards"])[row], to_ints(table_["fees"])[row]
    return (table_["units"][row], rewards, fees, table_["paid_epochs"][row]), asset_tree(state).proof(row)


def _state(network: Network, state_root: bytes) -> State:
    trouble: ArchiveError | None = None
    for verifier in network.nodes.verifiers:
        try:
            return read_state(HttpArchive(f"{verifier.rstrip('/')}/archive"), state_root)
        except ArchiveError as error:
            trouble = trouble or error
    raise trouble or CannotInvest("network.toml names no verifiers, and their archives tell what is final: add one")


def _assets_of(door: _Door, owner: bytes) -> list[bytes]:
    """Assets that an account owns now, by the events of the registry."""
    assets = Contract("Assets", door.network.contracts.assets, door.rpc)
    owned: dict[bytes, bytes] = {}
    for event in assets.events(0, door.rpc.block("latest").number, ["Transfer"]):
        owned[event.values["tokenId"].to_bytes(32, "big")] = event.values["to"]
    return sorted(asset for asset, holder in owned.items() if holder == owner)


def _kept(door: _Door, shares: Shares, currency: Address) -> int:
    """What a failed raise's contract holds beyond the holders' money."""
    balance = Erc20(door.rpc, currency).balance(shares.contract.address)
    return balance - (shares.raised() if currency == door.network.contracts.payment else 0)


def _want(shares: Shares, wanted: RaiseState, why: str) -> None:
    state = shares.state()
    if state is not wanted:
        raise CannotInvest(f"{why}: this one is in the state {state.name.lower()}")


def _time(value: Any, name: str) -> int:
    """Unix seconds of a TOML day or time; one without a zone is UTC. Errors: NotReadable."""
    if isinstance(value, datetime):
        return int((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp())
    if isinstance(value, date):
        return int(datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp())
    raise NotReadable(f"{name} is {value!r}: write a day as 2017-07-01, or a time as 2017-07-01T12:00:00Z, without quotes")


def _terms_told(terms: Terms, door: _Door, done: Sequence[bool] = ()) -> dict[str, Any]:
    payment = door.written.payment
    return {
        "name": terms.name,
        "symbol": terms.symbol,
        "builder": hexed(terms.builder),
        "soft_cap": payment.told(terms.soft_cap),
        "hard_cap": payment.told(terms.hard_cap),
        "raise_end_unix_s": terms.raise_end_unix_s,
        "build_end_unix_s": terms.build_end_unix_s,
        "topics": list(terms.topics),
        "milestones": [
            {
                "asset": hexed(each.asset) if any(each.asset) else None,
                "amount_bps": each.amount_bps,
                "min_units": each.min_units,
                "min_paid_epochs": each.min_paid_epochs,
                "released": bool(done and done[number]),
            }
            for number, each in enumerate(terms.milestones)
        ],
    }


def _terms_words(terms: Terms, door: _Door, done: Sequence[bool] = ()) -> list[str]:
    payment = door.written.payment
    words = [
        f"  takes {payment.words(terms.soft_cap)} to {payment.words(terms.hard_cap)} until {when(terms.raise_end_unix_s)}",
        f"  builder {hexed(terms.builder)}, who has until {when(terms.build_end_unix_s)}",
    ]
    words += [f"  whoever receives shares must be attested as {topic!r}" for topic in terms.topics]
    for number, each in enumerate(terms.milestones):
        needs = [f"{each.min_units:,} units"] * (each.min_units > 0) + [f"{each.min_paid_epochs:,} paid epochs"] * (
            each.min_paid_epochs > 0
        )
        for_what = f"{' and '.join(needs) or 'being owned'} by {short(each.asset)}" if any(each.asset) else "the raise's success"
        words.append(
            f"  milestone {number}: {decimal_text(each.amount_bps, 2)} % for {for_what}{', released' if done and done[number] else ''}"
        )
    return words


def _state_words(state: RaiseState, terms: Terms, raised: int, payment: Currency) -> str:
    if state is RaiseState.RAISE:
        lacking = max(0, terms.soft_cap - raised)
        return f"raises until {when(terms.raise_end_unix_s)}" + (f", {payment.words(lacking)} lack" if lacking else ", and will succeed")
    return "succeeded, revenue is the holders'" if state is RaiseState.LIVE else "failed, everybody can have their money back"


def _shares_words(shares: Shares, number: int, payment: Currency) -> str:
    return f"{payment.plain(number)} {shares.terms().symbol}"
