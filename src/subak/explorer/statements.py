"""What an owner is told: what was accepted, held and refused, why, what it earned, and what of it is in the wallet. In words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from subak.archive.store import Archive
from subak.chain.deploy import contract
from subak.chain.rpc import Rpc
from subak.chain.snapshot import Follower
from subak.core.nouns import Address, Network
from subak.explorer.reading import AssetFacts, Row, gather
from subak.kinds.registry import installed
from subak.verifier.checking import known_network

MOST_SPANS = 6
"""Time spans that a sentence names before it says how many more there are."""
_ACCOUNT_LETTERS = len("0x") + 40


@dataclass(frozen=True)
class TokenFacts:
    """How amounts are written."""

    symbol: str
    """The token's ticker."""
    decimals: int
    """Digits after the point of one whole token."""


@dataclass(frozen=True)
class Wallet:
    """What the chain says of an account that is paid."""

    account: str
    """Its address, 0x hex."""
    rewards: str
    """On the books ever, in base units of the token."""
    taken: str | None
    """Taken on chain ever, in base units; None if the chain did not answer."""
    balance: str | None
    """The account's token balance, in base units; None if the chain did not answer."""
    parts: int
    """Its part of the asset's earnings …"""
    of_parts: int
    """… of so many."""


@dataclass(frozen=True)
class SitePart:
    """A site that is paid: what it gets goes on to its own payees."""

    site: str
    """Its id, 0x hex."""
    parts: int
    """Its part of the asset's earnings …"""
    of_parts: int
    """… of so many."""


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
    live: bool
    """Whether its device has signed that its owner holds it."""
    token: TokenFacts
    """How amounts are written."""
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
    finals = Follower(rpc, network.contracts, network.clock).finalised()
    facts = gather(asset, network, archive, finals)
    if facts is None:
        known = f"up to epoch {finals[-1].last}" if finals else "(none is)"
        raise UnknownAsset(f"no final epoch {known} knows the asset 0x{asset.hex()}: is the id right, and is it registered long enough?")
    if last is not None:
        facts = replace(facts, epochs=facts.epochs[len(facts.epochs) - min(last, len(facts.epochs)) :])
    return tell(facts, token_of(network, rpc), network, rpc)


def tell(facts: AssetFacts, token: TokenFacts, network: Network, rpc: Rpc | None) -> Statement:
    """The statement that follows from these facts; balances from the chain, if it answers."""
    row, totals = facts.asset, facts.totals
    reasons: dict[int, list[Row]] = {}
    for reason in facts.reasons:
        reasons.setdefault(reason["epoch"], []).append(reason)
    spans: dict[tuple[int, str], list[tuple[int, int]]] = {}
    for line in facts.refusals:
        spans.setdefault((line["epoch"], line["reason"]), []).append((line["start_unix_s"], line["end_unix_s"]))
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
        live=row["live"],
        token=token,
        epochs_in_all=totals["epochs"],
        accepted=totals["accepted"] - totals["instants"],
        messages=totals["instants"],
        held=totals["held"],
        refused=totals["refused"],
        units=row["units"],
        rewards=row["rewards"],
        waiting=row["waiting"],
        epochs=tuple(_epoch(part, reasons.get(part["epoch"], []), spans) for part in facts.epochs),
        wallets=wallets,
        sites=sites,
    )


def token_of(network: Network, rpc: Rpc) -> TokenFacts:
    """How the chain's token is written. Errors: RpcError, RpcUnreachable."""
    return TokenFacts(*contract(rpc, network.contracts, "Token").call_many([("symbol", ()), ("decimals", ())]))


def unit_words_of(kind: str) -> tuple[str, str]:
    """A kind's unit of rated capacity and words for its first unit of work, as its package gives them."""
    package = installed().get(kind)
    if package is None:
        return "", "units counted"
    unit = package.rules.work_units[0]
    return package.notes.get("rated", ""), package.notes.get(unit, unit)


def wallet(network: Network, rpc: Rpc | None, account: str) -> tuple[str | None, str | None]:
    """What an account took of its rewards, ever, and its token balance, in base units; None where the chain does not answer."""
    if rpc is None:
        return None, None
    address = Address(bytes.fromhex(account[2:]))
    try:
        rewards, _ = contract(rpc, network.contracts, "Settlement").call("taken", address)
        balance = contract(rpc, network.contracts, "Token").call("balanceOf", address)
    except (ConnectionError, RuntimeError, ValueError):
        return None, None
    return str(rewards), str(balance)


def in_words(statement: Statement) -> str:
    """The statement as an owner reads it, a sentence or two for each epoch, then the totals."""
    lines = [f"{statement.kind} asset {statement.asset}, {count(statement.rated)} {statement.rated_unit}, held by {statement.owner}"]
    if not statement.live:
        lines.append("It earns nothing yet: its device has not signed that its owner holds it.")
    lines += [epoch_in_words(each, statement) for each in statement.epochs]
    return "\n".join([*lines, *totals_in_words(statement)])


def totals_in_words(statement: Statement) -> list[str]:
    """Everything so far, and the money: earned, on the books, taken, in the wallet."""
    token = statement.token
    epochs = _number(statement.epochs_in_all, "epoch")
    outcome = [f"{_number(statement.accepted, 'interval')} accepted", f"{count(statement.units)} {statement.unit_words}"]
    outcome += [f"{amount(statement.rewards, token)} earned", f"{count(statement.refused)} refused", f"{count(statement.held)} held"]
    lines = [f"In {epochs}: {', '.join(outcome)}."]
    if int(statement.waiting):
        lines.append(f"{amount(statement.waiting, token)} more is earned and waits to vest.")
    for each in statement.wallets:
        share = "" if each.parts == each.of_parts else f", which has {each.parts} of {each.of_parts} parts of it"
        lines.append(f"Paid to {each.account}{share}: {_wallet_in_words(each, token)}")
    for part in statement.sites:
        lines.append(f"Paid to the site {part.site}, which has {part.parts} of {part.of_parts} parts of it and pays its own payees.")
    return lines


def epoch_in_words(epoch: EpochStatement, statement: Statement) -> str:
    """One epoch: "Epoch 3 (4 June 2017): 21 intervals accepted, 18,431 Wh exported, 0.0312 SUBAK earned. 2 intervals refused: …"."""
    outcome = [f"{_number(epoch.accepted, 'interval')} accepted"]
    if epoch.messages:
        outcome.append(f"{_number(epoch.messages, 'message')} noted")
    outcome.append(f"{count(epoch.units)} {statement.unit_words}")
    if epoch.rewards is None:
        outcome.append(f"earnings with those of epoch {epoch.last}")
    else:
        together = f" by epochs {epoch.first} to {epoch.last}" if epoch.first != epoch.last else ""
        outcome.append(f"{amount(epoch.rewards, statement.token)} earned{together}")
    sentences = [f"Epoch {epoch.epoch} ({span(epoch.first_unix_s, epoch.end_unix_s)}): {', '.join(outcome)}."]
    sentences += [reason_in_words(reason, epoch) for reason in epoch.reasons]
    return " ".join(sentences)


def reason_in_words(reason: ReasonSpans, epoch: EpochStatement) -> str:
    """Lines with one reason: "2 intervals refused: 12:00–14:00, more was produced than …"."""
    if reason.status == "accepted":
        return f"{count(reason.lines)} of them: {reason.sentence}."
    times = spans_in_words(reason.spans, epoch.first_unix_s)
    return f"{_number(reason.lines, 'interval')} {reason.status}: {times}{', ' if times else ''}{reason.sentence}."


def spans_in_words(spans: Iterable[tuple[int, int]], epoch_start: int) -> str:
    """Times in UTC, those of the epoch's first day without a date."""
    known = list(spans)
    first = _moment(epoch_start)
    day = first.date() if first else None
    words = [_clock_span(start, end, day) for start, end in known[:MOST_SPANS]]
    more = len(known) - len(words)
    return ", ".join(words) + (f" and {count(more)} more times" if more else "")


def amount(base_units: str | int, token: TokenFacts) -> str:
    """An amount of token, exact: "1,234.0312 SUBAK"."""
    return f"{decimal(base_units, token.decimals)} {token.symbol}"


def decimal(base_units: str | int, decimals: int) -> str:
    """Base units as whole tokens, exact, without zeros at the end."""
    value = int(base_units)
    whole, part = divmod(abs(value), 10**decimals)
    fraction = f"{part:0{decimals}d}".rstrip("0") if decimals else ""
    return f"{'-' if value < 0 else ''}{whole:,}{'.' + fraction if fraction else ''}"


def count(number: int) -> str:
    """A whole number with commas."""
    return f"{number:,}"


def moment(unix_s: int) -> str:
    """A time for people, UTC: "4 June 2017, 07:00"."""
    at = _moment(unix_s)
    return f"{at.day} {at:%B %Y, %H:%M}" if at else f"{unix_s} (Unix seconds)"


def span(start: int, end: int) -> str:
    """A span for people, UTC: "4 June 2017" for a whole day, otherwise with times."""
    first, last = _moment(start), _moment(end)
    if first is None or last is None:
        return f"{start} to {end} (Unix seconds)"
    if end - start == 86_400 and first.hour == first.minute == first.second == 0:
        return f"{first.day} {first:%B %Y}"
    if start == end:
        return f"{moment(start)} UTC"
    if end - start < 86_400:
        return f"{moment(start)}–{last:%H:%M} UTC"
    year = "" if first.year == last.year else f" {last.year}"
    return f"{first.day} {first:%B %Y %H:%M} to {last.day} {last:%B}{year} {last:%H:%M} UTC"


def _moment(unix_s: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(unix_s, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _clock_span(start: int, end: int, day: object) -> str:
    first, last = _moment(start), _moment(end)
    if first is None or last is None:
        return f"{start} to {end} (Unix seconds)"
    date = "" if first.date() == day else f"{first.day} {first:%B} "
    if start == end:
        return f"{date}{first:%H:%M}"
    until = f"{last:%H:%M}" if last - first < timedelta(days=1) else f"{last.day} {last:%B} {last:%H:%M}"
    return f"{date}{first:%H:%M}–{until}"


def _number(number: int, noun: str) -> str:
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def _wallet_in_words(each: Wallet, token: TokenFacts) -> str:
    if each.taken is None or each.balance is None:
        return f"{amount(each.rewards, token)} on the books; the chain did not answer when asked what was taken."
    left = int(each.rewards) - int(each.taken)
    rest = f"{amount(left, token)} can be claimed" if left > 0 else "nothing is left to claim"
    return f"{amount(each.rewards, token)} on the books, {amount(each.taken, token)} taken, {rest}; it holds {amount(each.balance, token)}."


def _epoch(
    row: Mapping[str, Any], reasons: Iterable[Mapping[str, Any]], spans: Mapping[tuple[int, str], list[tuple[int, int]]]
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
    """Who is paid for an asset: its payees, or its owner if it names none."""
    shares = [(each["payee"], each["parts"]) for each in facts.asset["payees"]] or [(facts.asset["owner"], 1)]
    every = sum(parts for _, parts in shares)
    accounts = [(payee, parts) for payee, parts in shares if len(payee) == _ACCOUNT_LETTERS]
    wallets = (Wallet(payee, facts.accounts.get(payee, "0"), *wallet(network, rpc, payee), parts, every) for payee, parts in accounts)
    sites = (SitePart(payee, parts, every) for payee, parts in shares if len(payee) != _ACCOUNT_LETTERS)
    return tuple(wallets), tuple(sites)
