"""What an owner is told: what was accepted, held and refused, why, what it earned and owes, who paid, what is in the wallet. In words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from subak.archive.store import Archive
from subak.chain.rpc import Rpc
from subak.chain.snapshot import Follower
from subak.core.nouns import Network
from subak.explorer.reading import AssetFacts, Row, gather, paid_accounts
from subak.explorer.sales import COUNTED
from subak.explorer.wallets import Currencies, Earlier, Purse, currencies_of, earlier, is_shares, purses
from subak.explorer.words import TokenFacts, amount, count, moment, some, span, spans_in_words
from subak.kinds.registry import installed
from subak.verifier.checking import known_network


@dataclass(frozen=True)
class Wallet(Purse):
    """An account that is paid."""

    account: str = ""
    """Its address, 0x hex."""
    rewards: str = "0"
    """On the books of the Settlement of now, ever, in base units of the token."""
    fees: str = "0"
    """The same in base units of the payment asset."""
    parts: int = 1
    """Its part of the asset's, or site's, earnings …"""
    of_parts: int = 1
    """… of so many."""
    earlier: tuple[Earlier, ...] = ()
    """What it has in Settlements that votes replaced, where that stays claimable; oldest first."""


@dataclass(frozen=True)
class SitePart:
    """A site that is paid: what it gets goes on to its own payees."""

    site: str
    """Its id, 0x hex."""
    parts: int
    """Its part of the asset's earnings …"""
    of_parts: int
    """… of so many."""
    wallets: tuple[Wallet, ...]
    """Who shares that."""


@dataclass(frozen=True)
class Offer:
    """What the asset asks for its work, from the next epoch on."""

    price: str
    """Base units of the payment asset for ``per_units``; 0: it offers nothing any more."""
    per_units: int
    """Units of the kind's first work unit."""
    valid_until_unix_s: int
    """Until when."""
    capacity: int | None
    """In the unit of the rated capacity; None if no Book that was read lists the offer itself."""
    endpoint: str
    """Where its host says that customers reach it: text of a stranger."""


@dataclass(frozen=True)
class Owed:
    """A mistake of an earlier epoch, as governance found it."""

    epoch: int
    """From when the asset owes it."""
    amount: str
    """How much, in base units of the currency."""
    why: str
    """What the owner reads."""


@dataclass(frozen=True)
class Debt:
    """What the asset got too much; it is kept back from what it earns, never taken from a wallet."""

    currency: str
    """``rewards`` or ``fees``."""
    creditor: str
    """Account that gets what is kept back, 0x hex; empty: it returns to the pool."""
    left: str
    """What is still to be kept back, in base units."""
    owed: tuple[Owed, ...]
    """What it is for."""


@dataclass(frozen=True)
class Payer:
    """A lane that paid for the asset's work."""

    lane: str
    """Its id, 0x hex."""
    customer: str
    """Whose it is, 0x hex."""
    money: str
    """Billed on it for this asset, ever, in base units of the payment asset, before what is burned or the treasury's."""


@dataclass(frozen=True)
class ReasonSpans:
    """The lines of one epoch that share a reason."""

    status: str
    """``accepted``, ``held`` or ``refused``."""
    reason: str
    """Its name, for programs."""
    sentence: str
    """Its sentence, for people."""
    lines: int
    """How many."""
    spans: tuple[tuple[int, int], ...]
    """When, as (start, end) in Unix seconds, touching ones joined; only for what was held or refused."""


@dataclass(frozen=True)
class EpochStatement:
    """One epoch of one asset."""

    epoch: int
    """Its number."""
    first: int
    """First epoch of the range that was settled at once."""
    last: int
    """Last epoch of that range."""
    first_unix_s: int
    """When the epoch began."""
    end_unix_s: int
    """When it ended."""
    accepted: int
    """Intervals accepted."""
    messages: int
    """Accepted lines that speak of an instant: a possession, a new meter."""
    held: int
    """Intervals held."""
    refused: int
    """Intervals refused."""
    units: int
    """Accepted work, in the kind's first unit."""
    rewards: str | None
    """Growth of the asset's rewards over the range, in base units, on the range's last epoch; None on the others."""
    fees: str | None
    """The same of its fees, in base units of the payment asset."""
    counters: dict[str, int]
    """What its kind counted over the range, on the range's last epoch; empty on the others."""
    reasons: tuple[ReasonSpans, ...]
    """Everything but plain acceptance."""


@dataclass(frozen=True)
class Statement:
    """An asset's statement."""

    asset: str
    """Its id, 0x hex."""
    kind: str
    """Its kind."""
    owner: str
    """Who holds it, 0x hex."""
    cell: str
    """H3 cell, hex."""
    rated: int
    """Rated capacity."""
    rated_unit: str
    """Unit of it: ``W``."""
    unit_words: str
    """What ``units`` count: "Wh exported"."""
    line_word: str
    """What one of its lines is called: "interval"."""
    live: bool
    """Whether its device has signed that its owner holds it."""
    token: TokenFacts
    """How rewards are written."""
    payment: TokenFacts
    """How fees are written."""
    one_currency: bool
    """Whether both are the same token."""
    owner_is_shares: bool | None
    """Whether it is held by a share contract, whose holders are paid; None if the chain did not answer."""
    epochs_in_all: int
    """Epochs in which something became of it."""
    accepted: int
    """Intervals accepted, ever."""
    messages: int
    """Accepted messages, ever."""
    held: int
    """Intervals held, ever."""
    refused: int
    """Intervals refused, ever."""
    units: int
    """Accepted work, ever."""
    rewards: str
    """Earned and vested, ever, in base units of the token."""
    waiting: str
    """Earned and not vested yet, in base units."""
    fees: str
    """Fees earned, ever, in base units of the payment asset."""
    paid_epochs: int
    """Epochs in which it earned anything, ever."""
    billed: str
    """What customers were billed for its work, ever, before what is burned or the treasury's."""
    bills_waiting: str
    """What of that waits until more of its work is measured …"""
    fees_waiting: str
    """… and what it will get of it."""
    unsold: str
    """Value of measured work that nobody was billed for yet."""
    offer: Offer | None
    """What it asks; None if it never offered anything."""
    debts: tuple[Debt, ...]
    """What it owes or owed."""
    counters: dict[str, int]
    """What its kind counted, ever."""
    payers: tuple[Payer, ...]
    """Lanes that paid for it, those that paid most first …"""
    payers_in_all: int
    """… of so many."""
    epochs: tuple[EpochStatement, ...]
    """Epoch by epoch, in order; perhaps only the newest."""
    wallets: tuple[Wallet, ...]
    """Accounts that are paid."""
    sites: tuple[SitePart, ...]
    """Sites that are paid and pay their own payees."""

    def as_dict(self) -> dict[str, Any]:
        """For programs: plain values, amounts as text in base units; and the words, by epoch and of the totals."""
        epochs = [{**asdict(each), "words": epoch_in_words(each, self)} for each in self.epochs]
        return {**asdict(self), "epochs": epochs, "words": totals_in_words(self)}


class UnknownAsset(LookupError):
    """No final Book's snapshot names this asset."""


def statement(asset: bytes, archive: Archive, rpc: Rpc, last: int | None = None) -> Statement:
    """The statement of an asset (32 bytes) from a verifier's archive and the chain, nothing else.

    ``last``: only so many of its newest epochs; the totals are of all. Errors: UnknownAsset; CannotCheck if archive and chain are of
    different networks; NotThere, WrongContent naming a file; RpcError, RpcUnreachable.
    """
    network = known_network(archive, rpc)
    finals = Follower(rpc, network.contracts, network.clock).history()
    facts = gather(asset, network, archive, finals)
    if facts is None:
        known = f"up to epoch {finals[-1].last}" if finals else "(none is)"
        raise UnknownAsset(f"no final epoch {known} knows the asset 0x{asset.hex()}: is the id right, and is it registered long enough?")
    if last is not None:
        facts = replace(facts, epochs=facts.epochs[len(facts.epochs) - min(last, len(facts.epochs)) :])
    return tell(facts, currencies_of(network, rpc), network, rpc)


def tell(facts: AssetFacts, currencies: Currencies, network: Network, rpc: Rpc | None) -> Statement:
    """The statement that follows from these facts; balances from the chain, if it answers."""
    row, totals = facts.asset, facts.totals
    reasons: dict[int, list[Row]] = {}
    for reason in facts.reasons:
        reasons.setdefault(reason["epoch"], []).append(reason)
    spans: dict[tuple[int, str], list[tuple[int, int]]] = {}
    for line in facts.refusals:
        spans.setdefault((line["epoch"], line["reason"]), []).append((line["start_unix_s"], line["end_unix_s"]))
    names = counters_of(row["kind"]) or tuple(sorted(row["counters"]))
    rated_unit, unit_words = unit_words_of(row["kind"])
    wallets, sites = _payees(facts, network, rpc)
    return Statement(
        asset=row["id"],
        kind=row["kind"],
        owner=row["owner"],
        cell=row["cell"],
        rated=row["rated"],
        rated_unit=rated_unit,
        unit_words=unit_words,
        line_word=line_word_of(row["kind"]),
        live=row["live"],
        token=currencies.token,
        payment=currencies.payment,
        one_currency=currencies.one,
        owner_is_shares=is_shares(row["owner"], network, rpc),
        epochs_in_all=totals["epochs"],
        accepted=totals["accepted"] - totals["instants"],
        messages=totals["instants"],
        held=totals["held"],
        refused=totals["refused"],
        units=row["units"],
        rewards=row["rewards"],
        waiting=row["waiting"],
        fees=row["fees"],
        paid_epochs=row["paid_epochs"],
        billed=row["billed"],
        bills_waiting=row["bills_waiting"],
        fees_waiting=row["fees_waiting"],
        unsold=row["unsold"],
        offer=_offer(row, facts.offer),
        debts=_debts(facts),
        counters={name: row["counters"].get(name, 0) for name in names},
        payers=tuple(Payer(each["lane"], each["customer"], each["money"]) for each in facts.payers),
        payers_in_all=row["payers"],
        epochs=tuple(_epoch(part, reasons.get(part["epoch"], []), spans, names) for part in facts.epochs),
        wallets=wallets,
        sites=sites,
    )


def unit_words_of(kind: str) -> tuple[str, str]:
    """A kind's unit of rated capacity and words for its first unit of work, as its package gives them."""
    package = installed().get(kind)
    if package is None:
        return "", "units counted"
    unit = package.rules.work_units[0]
    return package.notes.get("rated", ""), package.notes.get(unit, unit)


def line_word_of(kind: str) -> str:
    """What one line of a kind's Entries is called: kinds that ask count answers."""
    if kind not in installed():
        return "line"
    return "answer" if any(name.endswith("_answers") for name in counters_of(kind)) else "interval"


def counters_of(kind: str) -> tuple[str, ...]:
    """Names of what a kind's rules count about an asset, in their order."""
    package = installed().get(kind)
    return tuple(each.name for each in package.rules.carried if each.name.endswith(COUNTED)) if package else ()


def in_words(statement: Statement) -> str:
    """The statement as an owner reads it, a sentence or two for each epoch, then the totals."""
    holder = f"held by {'the share contract ' if statement.owner_is_shares else ''}{statement.owner}"
    what = f"{statement.kind} asset {statement.asset}, {count(statement.rated)} {statement.rated_unit}"
    lines = [f"{what if statement.kind else f'site {statement.asset}'}, {holder}"]
    if statement.kind and not statement.live:
        lines.append("It earns nothing yet: its device has not signed that its owner holds it.")
    lines += [epoch_in_words(each, statement) for each in statement.epochs]
    return "\n".join([*lines, *totals_in_words(statement)])


def totals_in_words(statement: Statement) -> list[str]:
    """Everything so far, and the money: earned, waiting, owed, on the books, taken, in the wallet."""
    return [*(_work_in_words(statement) if statement.kind else ()), *_payees_in_words(statement)]


def _work_in_words(statement: Statement) -> list[str]:
    epochs = some(statement.epochs_in_all, "epoch")
    outcome = [f"{some(statement.accepted, statement.line_word)} accepted", f"{count(statement.units)} {statement.unit_words}"]
    outcome += [f"{_earned(statement.rewards, statement.fees, statement)} earned"]
    outcome += [f"{count(statement.refused)} refused", f"{count(statement.held)} held"]
    lines = [f"In {epochs}: {', '.join(outcome)}."]
    if any(statement.counters.values()):
        lines.append(f"Counted: {_counted(statement.counters)}.")
    lines += _sales_in_words(statement)
    if int(statement.waiting):
        lines.append(f"{amount(statement.waiting, statement.token)} more is earned and waits to vest.")
    for debt in statement.debts:
        lines += debt_in_words(debt, statement)
    return lines


def _payees_in_words(statement: Statement) -> list[str]:
    lines = []
    for each in statement.wallets:
        lines.append(f"Paid to {each.account}{_share(each)}: {_wallet_in_words(each, statement)}")
    for part in statement.sites:
        lines.append(f"Paid to the site {part.site}{_share(part)} and pays its own payees:")
        lines += [f"from the site to {each.account}{_share(each)}: {_wallet_in_words(each, statement)}" for each in part.wallets]
    return lines


def debt_in_words(debt: Debt, statement: Statement) -> list[str]:
    """What it is for, and what is left: "From epoch 3 on it owes 5 SUBAK of rewards: …"."""
    token = statement.token if debt.currency == "rewards" else statement.payment
    lines = []
    for each in debt.owed:
        lines.append(f"From epoch {each.epoch} on it owes {amount(each.amount, token)} of {debt.currency}: {each.why.rstrip('.')}.")
    to = f"goes to {debt.creditor}" if debt.creditor else "returns to the pool"
    if not int(debt.left):
        return [*lines, f"All of that was kept back; it {to}."]
    return [*lines, f"{amount(debt.left, token)} of that is still to be kept back from what it earns; it {to}."]


def epoch_in_words(epoch: EpochStatement, statement: Statement) -> str:
    """One epoch: "Epoch 3 (4 June 2017): 21 intervals accepted, 18,431 Wh exported, 0.0312 SUBAK earned. 2 intervals refused: …"."""
    outcome = [f"{some(epoch.accepted, statement.line_word)} accepted"]
    if epoch.messages:
        outcome.append(f"{some(epoch.messages, 'message')} noted")
    outcome.append(f"{count(epoch.units)} {statement.unit_words}")
    together = f" by epochs {epoch.first} to {epoch.last}" if epoch.first != epoch.last else ""
    if epoch.rewards is None or epoch.fees is None:
        outcome.append(f"earnings with those of epoch {epoch.last}")
    else:
        outcome.append(f"{_earned(epoch.rewards, epoch.fees, statement)} earned{together}")
    sentences = [f"Epoch {epoch.epoch} ({span(epoch.first_unix_s, epoch.end_unix_s)}): {', '.join(outcome)}."]
    if any(epoch.counters.values()):
        sentences.append(f"Counted{together}: {_counted(epoch.counters)}.")
    sentences += [reason_in_words(reason, epoch, statement.line_word) for reason in epoch.reasons]
    return " ".join(sentences)


def reason_in_words(reason: ReasonSpans, epoch: EpochStatement, noun: str = "interval") -> str:
    """Lines with one reason: "2 intervals refused: 12:00–14:00, more was produced than …"."""
    if reason.status == "accepted":
        return f"{count(reason.lines)} of them: {reason.sentence}."
    if reason.spans and all(start == end for start, end in reason.spans):
        noun = "message"
    times = spans_in_words(reason.spans, epoch.first_unix_s)
    return f"{some(reason.lines, noun)} {reason.status}: {times}{', ' if times else ''}{reason.sentence}."


def counter_in_words(name: str, number: int) -> str:
    """What a kind counted: "3 right answers", "1 proven epoch"."""
    words = name.replace("_", " ")
    return f"{count(number)} {words.removesuffix('s') if number == 1 else words}"


def _counted(counters: Mapping[str, int]) -> str:
    return ", ".join(counter_in_words(name, number) for name, number in counters.items() if number)


def _earned(rewards: str, fees: str, statement: Statement) -> str:
    """Both currencies, as far as there is something: "2 SUBAK and 1.2 TUSD"."""
    kinds = (" of rewards", " of fees") if statement.one_currency else ("", "")
    money = zip((rewards, fees), (statement.token, statement.payment), kinds, strict=True)
    return " and ".join(amount(each, token) + kind for each, token, kind in money if int(each)) or amount("0", statement.token)


def _sales_in_words(statement: Statement) -> list[str]:
    payment, offer = statement.payment, statement.offer
    lines = []
    if offer is not None:
        until = f"until {moment(offer.valid_until_unix_s)} UTC"
        asks = f"It asks {amount(offer.price, payment)} for {count(offer.per_units)} {statement.unit_words}, {until}."
        lines.append(asks if int(offer.price) else "It offers nothing now.")
    if int(statement.billed):
        lines.append(f"Customers were billed {amount(statement.billed, payment)} on {some(statement.payers_in_all, 'lane')}.")
    if int(statement.bills_waiting):
        waits = f"{amount(statement.bills_waiting, payment)} of that waits until more of its work is measured"
        lines.append(f"{waits}; {amount(statement.fees_waiting, payment)} of it will be its fees.")
    if int(statement.unsold):
        lines.append(f"Work worth {amount(statement.unsold, payment)} was measured and nobody was billed for it yet.")
    return lines


def _share(part: Wallet | SitePart) -> str:
    return "" if part.parts == part.of_parts else f", which has {count(part.parts)} of {count(part.of_parts)} parts of it"


def _wallet_in_words(each: Wallet, statement: Statement) -> str:
    told = [_purse_in_words(each.rewards, each.taken, each.balance, statement.token)]
    if int(each.fees):
        told.append(f"Of fees {_purse_in_words(each.fees, each.fees_taken, each.payment_balance, statement.payment)}")
    told += [words for before in each.earlier if (words := _earlier_in_words(before, statement))]
    return " ".join(told)


def _earlier_in_words(before: Earlier, statement: Statement) -> str:
    """What can still be claimed in a Settlement that a vote replaced; empty if nothing is left there."""
    where = f"in the Settlement before epoch {before.epoch}, {before.settlement}"
    if before.taken is None or before.fees_taken is None:
        return f"More may be left {where}; the chain did not answer."
    left = [str(max(0, int(total) - int(took))) for total, took in ((before.rewards, before.taken), (before.fees, before.fees_taken))]
    return f"{_earned(left[0], left[1], statement)} can be claimed {where}." if any(map(int, left)) else ""


def _purse_in_words(total: str, taken: str | None, balance: str | None, token: TokenFacts) -> str:
    if taken is None or balance is None:
        return f"{amount(total, token)} on the books; the chain did not answer when asked what was taken."
    left = int(total) - int(taken)
    rest = f"{amount(left, token)} can be claimed" if left > 0 else "nothing is left to claim"
    return f"{amount(total, token)} on the books, {amount(taken, token)} taken, {rest}; it holds {amount(balance, token)}."


def _offer(row: Mapping[str, Any], said: Mapping[str, Any] | None) -> Offer | None:
    """What the state says that it asks, with what only its offer says, if that is the one."""
    if row["price"] is None:
        return None
    price, per_units, until = row["price"], row["per_units"], row["valid_until_unix_s"]
    same = said is not None and (said["per_units"], said["valid_until_unix_s"]) == (per_units, until)
    if said is None or not same or price != (said["price"] if said["capacity"] else "0"):
        return Offer(price, per_units, until, None, "")
    return Offer(price, per_units, until, said["capacity"], said["endpoint"])


def _debts(facts: AssetFacts) -> tuple[Debt, ...]:
    left = {(each["currency"], each["creditor"]): each["amount"] for each in facts.debts}
    owed: dict[tuple[str, str], list[Owed]] = {}
    for each in facts.corrections:
        owed.setdefault((each["currency"], each["creditor"]), []).append(Owed(each["epoch"], each["amount"], each["why"]))
    keys = sorted(left.keys() | owed.keys())
    return tuple(Debt(currency, to, left.get((currency, to), "0"), tuple(owed.get((currency, to), ()))) for currency, to in keys)


def _epoch(
    row: Mapping[str, Any],
    reasons: Iterable[Mapping[str, Any]],
    spans: Mapping[tuple[int, str], list[tuple[int, int]]],
    names: Sequence[str],
) -> EpochStatement:
    return EpochStatement(
        epoch=row["epoch"],
        first=row["first"],
        last=row["last"],
        first_unix_s=row["first_unix_s"],
        end_unix_s=row["end_unix_s"],
        accepted=row["accepted"] - row["instants"],
        messages=row["instants"],
        held=row["held"],
        refused=row["refused"],
        units=row["units"],
        rewards=row["rewards"],
        fees=row["fees"],
        counters={name: row["counters"].get(name, 0) for name in names} if row["epoch"] == row["last"] else {},
        reasons=tuple(
            ReasonSpans(
                status=reason["status"],
                reason=reason["reason"],
                sentence=reason["sentence"],
                lines=reason["lines"],
                spans=_joined(spans.get((row["epoch"], reason["reason"]), [])),
            )
            for reason in sorted(reasons, key=lambda reason: (reason["status"], reason["reason"]))
            if reason["reason"] != "accepted"
        ),
    )


def _joined(spans: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Spans in order, touching ones made one."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)


def _payees(facts: AssetFacts, network: Network, rpc: Rpc | None) -> tuple[tuple[Wallet, ...], tuple[SitePart, ...]]:
    """Who is paid for an asset: its payees, or its owner if it names none; the same for the sites among them."""
    found = purses(network, rpc, paid_accounts(facts.asset, facts.sites))

    def wallets(row: Mapping[str, Any]) -> tuple[tuple[Wallet, ...], int]:
        shares = [(each["payee"], each["parts"]) for each in row["payees"]] or [(row["owner"], 1)]
        every = sum(parts for _, parts in shares)
        accounts = [(payee, parts) for payee, parts in shares if payee in found]
        return tuple(wallet(payee, parts, every) for payee, parts in accounts), every

    def wallet(payee: str, parts: int, of_parts: int) -> Wallet:
        books = facts.accounts.get(payee, {"rewards": "0", "fees": "0"})
        before = earlier(network, rpc, payee, facts.earlier.get(payee, []))
        money = {name: books[name] for name in ("rewards", "fees")}
        return Wallet(**asdict(found[payee]), account=payee, **money, parts=parts, of_parts=of_parts, earlier=before)

    direct, every = wallets(facts.asset)
    named = [(each["payee"], each["parts"]) for each in facts.asset["payees"] if each["payee"] in facts.sites]
    return direct, tuple(SitePart(site, parts, every, wallets(facts.sites[site])[0]) for site, parts in named)
