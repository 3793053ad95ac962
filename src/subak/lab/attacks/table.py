"""Every attack with its words, in the order of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, partial
from typing import Final

from subak.lab.attacks import energy, money, storage, verifiers
from subak.lab.attacks.bots import Attack, Outcome
from subak.lab.attacks.energy import EXPORTS_LITTLE, EXPORTS_MUCH, JUNE, MINUTE_S
from subak.lab.recording import HOUR_S

NEIGHBOUR: Final = 7
"""The home that feeds in most."""
NOTHING: Final = "none known"
POSSIBLE: Final = "lies that could be true"
ISSUERS: Final = "issuers who lie"
DULL: Final = "days held back"
COPIES: Final = "plain copies"
SYBILS: Final = "many verifiers, one person"


REMAINS: Final = {
    POSSIBLE: "A reading that sun and rating allow is believed. It mints nothing: the pot is fixed, so the liar takes from the other "
    "homes' share, at most what a clear sky allows its attested rating (“just below every limit” is that bound). Caps for "
    "each issuer and cell cut what a group can take, the pots fade until their sunset, and a correction by vote becomes a "
    "debt that all later earnings pay first. The home's own history, its neighbours and its energy balance are to tell; "
    "rules for them are missing.",
    ISSUERS: "Whoever attests what is not there is believed until the authority dismisses it; from then on its word counts for "
    "nothing. Until then the policy's caps bound what all its assets get together: with 30 % of the pot for one issuer, 30 "
    "%.",
    DULL: "A pot is shared by the Wh that one Book lists, and a late line counts in the Book that lists it, up to `late_epochs` "
    "later. Who hands sunny days in on a dull one gets the dull day's price, and presses it by so many Wh at once. It mints "
    "nothing; it takes from the others at most the difference of the days' prices, in June 12 % of what the smallest home "
    "earns. Rewarding only what is listed within an epoch would end it, and cost honest homes that were offline their "
    "reward.",
    COPIES: "Proofs show that somebody who can be reached has the bytes. Of a file in plain copies (k = 1) one disk can answer for "
    "several, and saves the other disks. The customer's loss is the safety that it paid for. Files coded with k of two or "
    "more, as the customer's software does by default, give every disk other bytes.",
    SYBILS: "Weights go by stake, so identities gain nothing by themselves; but the cap and the duties see verifiers, not persons. "
    "A stake above the cap gets its full share again when it is divided: never more than its part of all stake. Two that "
    "judge once between them save one judging.",
}
"""What is left, in words, by the risk that rows name."""


@dataclass(frozen=True)
class Group:
    """Attacks on one part of the network."""

    title: str
    world: str
    """What is settled, and in what money is counted."""
    attacks: tuple[Attack, ...]


@dataclass(frozen=True)
class Row:
    """An attack and what it came to."""

    attack: Attack
    outcome: Outcome


THIRD: Final = Fraction(1, 3)
DISK_COST: Final = "a disk costs its host half of what it charges"
JUDGING_COST: Final = "judging a day costs 25,000"
BILLS: Final = "what it pays to itself"

ENERGY: Final = (
    Attack(
        "doubling, at a home that exports much",
        "decision 0011",
        "home 1 reports twice what it makes, all June",
        partial(energy.scaled, EXPORTS_MUCH, 2000, days=JUNE),
        "an impossible hour is refused, and refused energy never comes back",
        "mornings and evenings in which twice the sun is possible are paid",
    ),
    *(
        Attack(
            f"doubling, at home {home}, which hardly exports",
            "decision 0011",
            "the same at a home that uses most of what it makes, all June",
            partial(energy.scaled, home, 2000, days=JUNE),
            "noon only",
            POSSIBLE,
            pays=True,
        )
        for home in (4, EXPORTS_LITTLE)
    ),
    Attack(
        "tripling",
        "energy study, ×3",
        "home 1 reports three times what it makes",
        partial(energy.scaled, EXPORTS_MUCH, 3000),
        "nearly every hour of sun is impossible",
        NOTHING,
    ),
    Attack(
        "half as much again",
        "energy study, ×1.5",
        "home 1 reports 1.5 times what it makes",
        partial(energy.scaled, EXPORTS_MUCH, 1500),
        "the hours around noon are impossible",
        "a home that hardly exports would gain, as by doubling",
    ),
    *(
        Attack(
            f"scaling by {permille / 1000:.1f}",
            "energy study, ×1.1 and ×1.2",
            "home 1 reports a little more than it makes",
            partial(energy.scaled, EXPORTS_MUCH, permille),
            "hardly anything",
            POSSIBLE,
            pays=True,
        )
        for permille in (1100, 1200)
    ),
    Attack(
        "just below every limit",
        "energy study, fabricated sun",
        "no panels at all: home 12 reports, and exports, whatever the rules believe",
        partial(energy.invented, EXPORTS_LITTLE),
        "nothing in the rules",
        POSSIBLE,
        pays=True,
    ),
    Attack(
        "denying the load",
        "energy study, energy balance",
        "home 12 says that all it makes is fed in",
        partial(energy.denied, EXPORTS_LITTLE),
        "nothing in the rules",
        POSSIBLE,
        pays=True,
    ),
    Attack(
        "a neighbour's numbers",
        "energy study, replay",
        "home 12 signs what the best home of the street reads",
        partial(energy.anothers_numbers, EXPORTS_LITTLE, NEIGHBOUR),
        "nothing in the rules",
        POSSIBLE,
        pays=True,
    ),
    Attack(
        "the best day again",
        "energy study, best of the last 14 days",
        "home 1 repeats the day with the most export",
        partial(energy.repeated, EXPORTS_MUCH),
        "nothing in the rules",
        POSSIBLE,
        pays=True,
    ),
    Attack(
        "export at night",
        "energy study, night",
        "1.2 kW more in every dark hour, from a battery or from paper",
        partial(energy.nightly, EXPORTS_MUCH, 1200),
        "the sun was down",
        NOTHING,
    ),
    Attack(
        "a drip at night",
        "decision 0011, two quanta",
        "2 Wh in every dark hour, which meters of honest homes show now and then",
        partial(energy.nightly, EXPORTS_MUCH, 2),
        "more than 2 Wh an hour would be refused",
        "bounded: 17 Wh in a June night, 0.2 % of what a home feeds in",
        pays=True,
    ),
    Attack(
        "a day in one line",
        "decision 0011",
        "doubles, and hides the impossible noon in a line of a day",
        partial(energy.scaled, EXPORTS_MUCH, 2000, 24 * HOUR_S),
        "a line over several hours earns no reward and is not sold",
        NOTHING,
    ),
    Attack(
        "lines from half past",
        "decision 0011",
        "doubles, in lines that touch two hours each and have the limits of both",
        partial(energy.scaled, EXPORTS_MUCH, 2000, HOUR_S, 30 * MINUTE_S),
        "the same",
        NOTHING,
    ),
    Attack(
        "short lines",
        "decision 0011",
        "doubles, in lines of five minutes",
        partial(energy.scaled, EXPORTS_MUCH, 2000, 5 * MINUTE_S),
        "limits hold for the hour; an hour with a refusal earns nothing",
        NOTHING,
    ),
    Attack(
        "one line over noon",
        "decision 0011",
        "doubles, and covers the seven hours around noon with one line",
        partial(energy.over_noon, EXPORTS_MUCH, one_line=True),
        "the sum of the hours is impossible too; else it would be too coarse",
        NOTHING,
    ),
    Attack(
        "a gap at noon",
        "energy study, gaps",
        "doubles, is silent for seven hours and shows the counters after them",
        partial(energy.over_noon, EXPORTS_MUCH, one_line=False),
        "a gap is one interval under its own limit, without reward",
        NOTHING,
    ),
    Attack(
        "a new meter each night",
        "energy study, counters",
        "signs a reset that is 5 kWh lower, then the old counters: the climb should be paid",
        partial(energy.new_meter_each_night, EXPORTS_MUCH),
        "the climb is growth like any other",
        "by day a climb within the limits is paid: " + POSSIBLE,
    ),
    Attack(
        "a new meter each quarter",
        "decision 0011",
        "doubles, and signs a reset before each quarter of an hour so that the hour forgets",
        partial(energy.new_meter_each_quarter, EXPORTS_MUCH),
        "a new meter keeps what the hour has used, and breaks the hour",
        NOTHING,
    ),
    Attack(
        "a fall and a recovery",
        "energy study, counters",
        "the counters fall by 3 kWh at noon and are back an hour later",
        partial(energy.falling, EXPORTS_MUCH, 3000),
        "counting goes on from the value before the fall",
        NOTHING,
    ),
    Attack(
        "a spike",
        "energy study, counters",
        "the counters jump by 50 kWh at noon and fall back",
        partial(energy.falling, EXPORTS_MUCH, -50_000),
        "the spike is refused and the mark before it restored",
        NOTHING,
    ),
    Attack(
        "a neighbour's Entries",
        "Helium, copied payloads",
        "posts the Entries of the best home with its own asset's id in them",
        partial(energy.copied_entries, EXPORTS_MUCH, NEIGHBOUR),
        "the signature covers the asset",
        NOTHING,
    ),
    Attack(
        "yesterday's lines again",
        "decision 0005",
        "signs every day once more under new sequences",
        partial(energy.again_the_next_day, EXPORTS_MUCH),
        "high-water marks of time and counters decide, not sequences",
        NOTHING,
    ),
    Attack(
        "to every verifier",
        "design, Entries",
        "posts each Entry to three verifiers, and the Book lists it three times",
        partial(energy.to_every_verifier, EXPORTS_MUCH),
        "an identical copy changes nothing",
        NOTHING,
    ),
    Attack(
        "two stories",
        "design, conflicts; Glow",
        "signs the truth and twice the truth under each sequence",
        partial(energy.two_stories, EXPORTS_MUCH),
        "the first listed stands and is not paid; both are kept as proof",
        NOTHING,
    ),
    Attack(
        "two halves",
        "design, splitting",
        "registers one inverter as two assets of half the rating",
        partial(energy.halves, EXPORTS_MUCH),
        "work is additive",
        NOTHING,
    ),
    Attack(
        "two in one",
        "design, merging",
        "registers two inverters as one asset of both ratings",
        partial(energy.merged, EXPORTS_MUCH, 3),
        "work is additive; one division less saves its dust",
        "bounded: less than one unit a day",
        pays=True,
    ),
    Attack(
        "a second identity",
        "networks study, identity",
        "a second key beside the same inverter, registered as another asset; nobody attests it",
        partial(energy.twin, EXPORTS_MUCH, attested=False),
        "what is not attested as installed has no share of the pot",
        "without attestation it can sell the same Wh a second time if the policy does not require one",
    ),
    Attack(
        "a second identity, attested",
        "networks study, identity",
        "the same, and an issuer attests it unseen",
        partial(energy.twin, EXPORTS_MUCH, attested=True),
        "nothing in the rules",
        ISSUERS,
        pays=True,
    ),
    Attack(
        "twice the rating",
        "networks study, claimed capacity",
        "registers 8 kW where 4 are, and doubles; the issuer looks, and does not attest",
        partial(energy.overrated, EXPORTS_MUCH, attested=False),
        "what is not attested as installed has no share of the pot; rating and place cannot be changed later",
        NOTHING,
    ),
    Attack(
        "twice the rating, attested",
        "networks study, claimed capacity",
        "the same, and the issuer does not look",
        partial(energy.overrated, EXPORTS_MUCH, attested=True),
        "nothing in the rules",
        ISSUERS,
        pays=True,
    ),
    Attack(
        "homes that are not there",
        "networks study, io.net; status, known limits",
        "an issuer attests ten homes of 5 kW that do not exist; each reports whatever the rules believe; one issuer gets at most 30 %",
        energy.ghosts,
        "the cap for one issuer",
        ISSUERS,
        pays=True,
    ),
    Attack(
        "a place without limits",
        "contract row 67",
        "registers in a cell that the policy has no limits for, and doubles",
        partial(energy.elsewhere, EXPORTS_MUCH),
        "held until there are limits",
        NOTHING,
    ),
    Attack(
        "a stolen key",
        "contract row 65",
        "a stranger registers a home's public key for himself and posts what that home's device signs",
        partial(energy.thief, NEIGHBOUR),
        "the device's word and its readings name its own asset",
        NOTHING,
    ),
    Attack(
        "a clock an hour ahead",
        "energy study, clock",
        "all lines an hour early, so that the dawn looks brighter",
        partial(energy.clocked, EXPORTS_MUCH, HOUR_S),
        "what ends after the Book closed is refused, what falls into the dark too",
        "an hour's shift is not seen where a home stays below the limits; it earns nothing",
    ),
    Attack(
        "a clock three hours behind",
        "energy study, clock",
        "all lines three hours late",
        partial(energy.clocked, EXPORTS_MUCH, -3 * HOUR_S),
        "energy after sunset",
        NOTHING,
    ),
    Attack(
        "late, all at once",
        "design, L epochs",
        "holds ten days back and hands them in with the last Book",
        partial(energy.too_late, EXPORTS_MUCH),
        "a week is the limit; what is late shares one day's pot",
        NOTHING,
    ),
    Attack(
        "days held back",
        "found by this lab",
        "a small home lists up to eight days in the Book of a dull day, when a Wh gets more of the pot; it knows the weather",
        partial(energy.held_back, EXPORTS_LITTLE, JUNE, 8),
        "many days in one pot share that day's price",
        DULL,
        pays=True,
    ),
    Attack(
        "days held back, by a large home",
        "found by this lab",
        "the same by home 1, which has an eighth of the pot",
        partial(energy.held_back, EXPORTS_MUCH, JUNE, 8),
        "its own days press the price",
        DULL,
        pays=True,
    ),
)

STORAGE: Final = (
    Attack(
        "never stored",
        "contract row 78",
        "keeps the hashes, throws the bytes away",
        storage.never_stored,
        "the leaf itself is asked for",
        NOTHING,
        DISK_COST,
    ),
    Attack(
        "a piece deleted",
        "contract row 78, skip by not proving",
        "deletes one piece of eight and leaves the questions about it out",
        storage.lost_a_piece,
        "all or nothing, by the epoch",
        NOTHING,
        DISK_COST,
    ),
    Attack(
        "one leaf in a hundred deleted",
        "storage study, 1 % lost",
        "the same, with 1 % of the leaves",
        storage.lost_a_hundredth,
        "20 questions an hour: noticed within a day in 99 of 100 cases",
        "hours in which none of the lost leaves is asked are paid",
        DISK_COST,
    ),
    Attack(
        "“it was empty”",
        "contract row 78, remove in mid-period",
        "deletes one piece of eight and calls its slot empty",
        storage.says_it_was_empty,
        "an empty slot is proven too",
        NOTHING,
        DISK_COST,
    ),
    Attack(
        "old answers",
        "contract row 78, answer replay",
        "keeps what it was asked in the first hour, and answers with it for ever",
        storage.keeps_old_answers,
        "every epoch asks for other leaves",
        NOTHING,
        DISK_COST,
    ),
    Attack(
        "a neighbour's answers",
        "contract row 78, copying of another's proof",
        "two disks with the same set, one of them empty: it copies the other's answers",
        storage.asks_the_neighbour,
        "each asset is asked for leaves of its own",
        NOTHING,
        DISK_COST,
    ),
    Attack(
        "one copy for two disks, coded",
        "storage study, outsourcing",
        "two disks of one operator, the second empty; both answer from the first; the file was coded",
        partial(storage.one_copy_for_two, coded=True),
        "of a coded file every disk has other bytes",
        NOTHING,
        DISK_COST,
    ),
    Attack(
        "one copy for two disks, plain",
        "storage study, outsourcing",
        "the same, and the customer placed two plain copies (k = 1)",
        partial(storage.one_copy_for_two, coded=False),
        "nothing: somebody who can be reached has the bytes, and that is all that is proven",
        COPIES,
        DISK_COST,
        pays=True,
    ),
    Attack(
        "asleep when asked",
        "storage study, offline",
        "switches off for four hours",
        storage.sleeps,
        "an epoch without answers is worth nothing and is counted as offline",
        NOTHING,
        "half of what it charges; nothing while it sleeps",
    ),
    Attack(
        "answers a Book late",
        "storage study, timeout",
        "keeps everything on tape and answers when the Book is closed",
        storage.answers_late,
        "answers belong to the Book of their epoch",
        NOTHING,
        "tape costs half of a disk",
    ),
    Attack(
        "a set that suits the question",
        "contract row 78, seed known before commitment",
        "keeps one piece of eight, and signs a set of that piece when the questions are known",
        storage.suits_the_question,
        "questions go by the set that was in force before the epoch",
        NOTHING,
        DISK_COST,
    ),
    Attack(
        "more than the disk",
        "networks study, claimed capacity",
        "signs a set of twice the rated capacity",
        storage.over_capacity,
        "such a set is not taken",
        "rating is the owner's word: it bounds what is lent, not what is paid",
        DISK_COST,
    ),
    Attack(
        "holes",
        "storage study, claimed capacity",
        "a set of 64 slots of which eight hold something; the bill is for eight",
        storage.holes,
        "a hole is no fault and no business",
        NOTHING,
        DISK_COST,
    ),
)

MONEY: Final = (
    Attack(
        "its own customer",
        "design, usage rewards",
        "a home buys from itself, with a clerk; the share f = 10 % is burned, and 99.99 % of it is rewarded",
        partial(money.own_customer, 1),
        "usage rewards are less than what was burned",
        NOTHING,
        BILLS,
    ),
    Attack(
        "its own customer, with a third of all tokens",
        "design, usage rewards",
        "the same by somebody whose tokens gain by what is burned",
        partial(money.own_customer, 1, THIRD),
        "the burn is shared with all who hold tokens",
        NOTHING,
        BILLS,
    ),
    Attack(
        "its own customer, in dollars",
        "design, usage rewards",
        "the same where the share goes to the treasury",
        partial(money.own_customer, 1, THIRD, money.Terms("dollar", 1000, 9999, 1_000_000)),
        "where nothing is burned there are no usage rewards",
        NOTHING,
        BILLS,
    ),
    Attack(
        "its own customer, without a clerk",
        "lanes, countersignature",
        "signs vouchers that no clerk countersigned, and hands the lines in",
        money.without_a_clerk,
        "the chain redeems nothing, so the lines are worth nothing",
        NOTHING,
    ),
    Attack(
        "a ring of ten",
        "networks study, wash trade",
        "ten homes, each the customer of the next",
        partial(money.own_customer, 10),
        "usage rewards are less than what was burned",
        NOTHING,
        BILLS,
    ),
    Attack(
        "a ring of ten, with a third of all tokens",
        "networks study, wash trade",
        "the same by people whose tokens gain by what is burned",
        partial(money.own_customer, 10, THIRD),
        "the burn is shared with all who hold tokens",
        NOTHING,
        BILLS,
    ),
    Attack(
        "its own customer for data made up again",
        "decision 0013",
        "a disk that keeps nothing proves random pieces of its own making, and pays itself for them",
        money.regenerated,
        "no bootstrap pot for storage; usage rewards are less than what was burned",
        "host and customer together can invent usage, at a loss",
        BILLS,
    ),
    Attack(
        "work that nobody measured",
        "decision 0014",
        "its own customer for ten times what the home feeds in",
        money.unmeasured,
        "a bill is paid, burned and rewarded only up to measured work; the rest waits",
        NOTHING,
        BILLS,
    ),
    Attack(
        "sold twice",
        "decision 0014",
        "sells all that it feeds in to two customers, who both sign",
        money.sold_twice,
        "each measured unit is sold once; the second bill waits",
        "the second customer's money waits: his software buys only what it counts itself",
    ),
    Attack(
        "lines withheld",
        "status, known limits",
        "customer and clerk redeem and keep the lines to themselves; what they earn is what does not reach the home",
        money.withheld_lines,
        "money without lines waits until anyone hands them in, then it is paid in full",
        "a delay, at the customer's cost",
    ),
    Attack(
        "other lines",
        "decision 0012",
        "customer and clerk hand in lines of an accomplice for what was redeemed",
        money.other_lines,
        "lines count only if they hash to what the chain redeemed",
        NOTHING,
    ),
)

VERIFIERS: Final = (
    Attack(
        "a copied seal",
        "design, seals; networks study, verifier economics",
        "gives out a peer's seal as its own",
        verifiers.copied_seal,
        "a seal names its signer, so a copy is wrong",
        NOTHING,
        JUDGING_COST,
    ),
    Attack(
        "a late seal",
        "design, seals",
        "waits for the others' votes and seals what they voted for",
        verifiers.sealed_late,
        "a seal counts if heads of more than half of the weight list it, and the honest list what came in time",
        NOTHING,
        JUDGING_COST,
    ),
    Attack(
        "late together",
        "design, seals",
        "three of seven seal late and list each other's seals",
        verifiers.late_together,
        "less than half can admit nothing",
        "more than half of the weight can admit late seals: they save the judging, and the root still needs two thirds",
        JUDGING_COST,
    ),
    Attack(
        "rivals struck",
        "design, seals",
        "three of seven leave the others' seals out of their heads",
        verifiers.rivals_struck,
        "less than half can strike nothing; what a verifier does not earn is not minted",
        "more than half of the weight can strike others' pay, and gains nothing by it",
    ),
    Attack(
        "a reveal withheld",
        "design, beacon",
        "keeps its secret back so that another lot is drawn",
        verifiers.reveal_withheld,
        "unpaid; the block after the opening is not known yet",
        "whoever also makes that block could choose between two draws",
    ),
    Attack(
        "one judgement for two",
        "design, stated risks",
        "two verifiers of one person judge once",
        verifiers.one_judgement_for_two,
        "nothing: both seals are right",
        SYBILS,
        JUDGING_COST,
        pays=True,
    ),
    Attack(
        "two identities below the cap",
        "contract row 41",
        "divides a stake that the cap does not bind",
        verifiers.split_below_the_cap,
        "pay goes by weight, not by heads",
        NOTHING,
    ),
    Attack(
        "four identities for a stake above the cap",
        "contract row 41",
        "40 of 70 staked, as four verifiers in the place of one",
        verifiers.split_above_the_cap,
        "nothing: the cap cannot see persons",
        SYBILS,
        pays=True,
    ),
    Attack(
        "three small ones cap a large one",
        "contract row 41; found by this lab",
        "3 % of all stake, as three verifiers in the place of one: from four on the large one is capped",
        verifiers.capping_a_rival,
        "what the cap cuts off is not minted",
        "the large one earns less; a cap has no other way",
    ),
)

GROUPS: Final = (
    Group(
        "Energy",
        "Ten recorded homes in Fontana share a pot of 1,000,000 units a day by rewarded Wh, for ten days or all of June 2017. Nine are "
        "honest. Money is in the token's units. Lying costs nothing.",
        ENERGY,
    ),
    Group(
        "Storage",
        "Disks of 2 MiB; a customer signs a bill for all of it every hour, whatever he gets. A KiB-hour costs 2 units and its keeping 1: "
        "what a cheat saves is a cost below zero. Half a day of hours, with the default number of questions.",
        STORAGE,
    ),
    Group(
        "Money",
        "Homes offer what they feed in at 100 units a Wh; 30,000 units a day are billed. Money is in tokens, or in what they can buy where "
        "the attacker holds a third of them. What an attacker pays to itself is the cost.",
        MONEY,
    ),
    Group(
        "Verifiers",
        "A pool of 1,000,000 units a day for seals and reveals, five days. Judging a day costs 25,000 units: what a cheat saves is "
        "a cost below zero. Stakes are equal unless the attack says otherwise.",
        VERIFIERS,
    ),
)
"""All attacks."""


@cache
def played() -> Mapping[str, Sequence[Row]]:
    """Every attack with what it came to, by the title of its group. Takes some twenty seconds; the same every time."""
    return {group.title: [Row(attack, attack.play()) for attack in group.attacks] for group in GROUPS}
