"""Hosts that are their own customers, and customers and clerks who would like others to pay: ten homes that sell what they feed in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from typing import Final

from subak.core.nouns import Settlement
from subak.core.settlement.money import USAGE, WHOLE_BPS
from subak.kinds.storage import kind as disks
from subak.lab.attacks import storage
from subak.lab.attacks.bots import Outcome
from subak.lab.attacks.energy import homes, honest_meter, hourly, says, world
from subak.lab.attacks.world import HOUR_S, Asset, Lane, Moment, Said, Speak, World, fees_of, offer, rewards_of
from subak.lab.recording import june_2017

SUPPLY: Final = 10**9
"""Tokens in all before the attack, in units."""
SPENT: Final = 30_000
"""What each member of a ring pays the next one in a day."""
DAYS: Final = 3
"""In which something is billed; offers are made the day before."""
PRICE: Final = 100
"""Units for a Wh."""


@dataclass(frozen=True)
class Terms:
    """What a network does with what customers pay."""

    currency: str
    """"token": the share is burned. "dollar": it goes to the treasury, of which everyone owns what he owns of all tokens."""
    share_bps: int
    """f: of what is redeemed."""
    k_bps: int
    """Of what was burned, this much is paid as a usage reward."""
    budget: int | None
    """What the usage pool may mint in a day; None: there is no such pool."""


USUAL: Final = Terms("token", 1000, 9999, 1_000_000)
"""The policy that gives back most of a burned share of a tenth."""


@dataclass(frozen=True)
class Books:
    """What a ring paid and got over some days, in units."""

    spent: int
    fees: int
    rewards: int
    settled: list[Settlement]

    @property
    def share(self) -> int:
        """What was burned, or went to the treasury."""
        return self.spent - self.fees


@cache
def ring(terms: Terms, members: int, days: int = DAYS) -> Books:
    """``members`` homes (1 to 10), each the customer of the next one, the last of the first; one is its own. All bills are within what
    was measured. Nobody is attested, so that all money comes from customers."""
    assets = [replace(asset, issuer="") for asset in homes()[:members]]
    lanes = [lane(asset, SPENT, terms) for asset in assets]
    settled = trade(assets, terms, lambda epoch: [one(epoch) for one in lanes if epoch], days)
    owners = [asset.name for asset in assets]
    last = settled[-1].state
    return Books(members * SPENT * days, fees_of(last, *owners), rewards_of(last, *owners), settled)


def lane(seller: Asset, a_day: int, terms: Terms, name: str = "", handed_in: bool = True) -> Callable[[int], Lane]:
    """A customer's lane on which so much is redeemed every day."""

    def on(epoch: int) -> Lane:
        total, share = a_day * epoch, epoch * -(-a_day * terms.share_bps // WHOLE_BPS)
        burned = share if terms.currency == "token" else 0
        return Lane(name or f"lane to {seller.name}", {seller: total}, epoch, total - share, burned, handed_in)

    return on


def trade(assets: Sequence[Asset], terms: Terms, lanes: Callable[[int], Sequence[Lane]], days: int = DAYS) -> list[Settlement]:
    """Homes that offer what they feed in from the first day on, and what was redeemed."""
    there = world(assets)
    budgets = {} if terms.budget is None else {USAGE: terms.budget}
    speak: list[Speak] = [_offers(assets)]
    speak += [says(asset, hourly(honest_meter(home))) for asset, home in zip(assets, june_2017().homes, strict=False)]
    return replace(there, budgets=budgets, k_bps=terms.k_bps).play(days + 1, speak, lanes)


def worth(terms: Terms, members: int, held: Fraction = Fraction(0)) -> Outcome:
    """Being one's own customer, counted in what the money can buy, rounded down.

    What is burned makes every token worth more, also those of an attacker that holds the part ``held`` of all: with S tokens before,
    S' after, and h before and h' after in its hands, it gains (h'·S − h·S') / S'.
    """
    books = ring(terms, members)
    if terms.currency == "dollar":
        gain = books.fees - books.spent + books.share * held
    else:
        before = held * SUPPLY
        after, supply = before - books.spent + books.fees + books.rewards, SUPPLY - books.share + books.rewards
        gain = (after * SUPPLY - before * supply) / supply
    return Outcome(0, gain.__floor__() + books.spent, books.spent)


def own_customer(members: int, held: Fraction = Fraction(0), terms: Terms = USUAL) -> Outcome:
    """A ring, or one alone."""
    return worth(terms, members, held)


def without_a_clerk() -> Outcome:
    """Its own customer with a voucher that no clerk countersigned: the chain redeems nothing, and lines alone are worth nothing."""
    seller = replace(homes()[0], issuer="")
    settled = trade([seller], USUAL, lambda epoch: [replace(lane(seller, SPENT, USUAL)(epoch), redeemed=False)] if epoch else [])
    last = settled[-1].state
    return Outcome(0, fees_of(last, seller.name) + rewards_of(last, seller.name))


def unmeasured() -> Outcome:
    """Its own customer for ten times what it feeds in: usage rewards for work that nobody measured."""
    seller = replace(homes()[0], issuer="")
    fed_in = sum(_fed_in(day) for day in range(1, DAYS + 1)) * PRICE
    a_day = 10 * fed_in // DAYS
    settled = trade([seller], USUAL, lambda epoch: [lane(seller, a_day, USUAL)(epoch)] if epoch else [])
    last = settled[-1].state
    return Outcome(0, fees_of(last, seller.name) + rewards_of(last, seller.name), a_day * DAYS)


def sold_twice() -> Outcome:
    """A home sells all it feeds in to two customers, who both sign."""
    seller = replace(homes()[0], issuer="")
    terms = replace(USUAL, k_bps=0)

    def lanes(buyers: int) -> Callable[[int], list[Lane]]:
        return lambda epoch: [_all_fed_in(seller, epoch, terms, f"buyer {buyer}") for buyer in range(buyers)] if epoch else []

    once, twice = (fees_of(trade([seller], terms, lanes(buyers))[-1].state, seller.name) for buyers in (1, 2))
    return Outcome(once, twice)


def withheld_lines() -> Outcome:
    """Customer and clerk redeem what is owed and keep the lines to themselves until the last day, when anyone who has them hands them in.
    What they earn is what does not reach the home."""
    seller, terms = replace(homes()[0], issuer=""), replace(USUAL, k_bps=0)
    owed = lane(seller, SPENT, terms)(DAYS).net

    def kept_back(until: int) -> int:
        def lanes(epoch: int) -> list[Lane]:
            return [lane(seller, SPENT, terms, handed_in=epoch >= until)(epoch)] if epoch else []

        return owed - fees_of(trade([seller], terms, lanes)[-1].state, seller.name)

    return Outcome(kept_back(until=1), kept_back(until=DAYS))


def other_lines() -> Outcome:
    """Customer and clerk hand in other lines than the voucher that was redeemed has: the money should go to an accomplice."""
    seller, accomplice = (replace(asset, issuer="") for asset in homes()[:2])
    terms = replace(USUAL, k_bps=0)

    def lanes(epoch: int) -> list[Lane]:
        return [replace(lane(seller, SPENT, terms)(epoch), told={accomplice: SPENT * epoch})] if epoch else []

    return Outcome(0, fees_of(trade([seller, accomplice], terms, lanes)[-1].state, accomplice.name))


def regenerated(terms: Terms = USUAL) -> Outcome:
    """A disk that keeps nothing, but makes its random pieces up again whenever it is asked; its own customer, for usage rewards."""
    host = storage.Host("disk 0", storage.placed(0), storage.keeps(storage.placed(0)))
    budgets = {} if terms.budget is None else {USAGE: terms.budget}
    there = World([host.asset], {disks.rules.name: disks.rules}, HOUR_S, storage.GENESIS_UNIX_S, budgets, k_bps=terms.k_bps)
    an_hour, hours = storage.KIB * storage.PRICE, storage.EPOCHS - 1
    paying = lane(host.asset, an_hour, terms)
    last = there.play(hours + 1, [host.speak], lambda epoch: [paying(epoch)] if epoch else [])[-1].state
    return Outcome(0, fees_of(last, host.name) + rewards_of(last, host.name), an_hour * hours)


def _offers(assets: Sequence[Asset]) -> Speak:
    def speak(moment: Moment) -> Iterable[Said]:
        return [offer(asset, 1, moment.first_unix_s, PRICE, 1) for asset in assets] if moment.epoch == 0 else []

    return speak


def _fed_in(day: int) -> int:
    """Wh that the first home fed in on a day, counted from 0."""
    counters = honest_meter(june_2017().homes[0]).counters[:, 0]
    return int(counters[24 * (day + 1)] - counters[24 * day])


def _all_fed_in(seller: Asset, epoch: int, terms: Terms, name: str) -> Lane:
    total = PRICE * sum(_fed_in(day) for day in range(1, epoch + 1))
    share = -(-total * terms.share_bps // WHOLE_BPS)
    return Lane(name, {seller: total}, epoch, total - share, share)
