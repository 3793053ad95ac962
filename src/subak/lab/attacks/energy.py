"""Homes that lie about their meters, among ten recorded ones that share a pot by the day."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from subak.core.kind import Schema
from subak.core.nouns import Bootstrap, Settlement
from subak.kinds.energy import kind
from subak.kinds.energy.rules.schemas import PARAMETERS, READING, RESET
from subak.lab.attacks.bots import Outcome
from subak.lab.attacks.world import HOUR_S, Asset, Moment, Said, Speak, World, possession, rewards_of
from subak.lab.recording import CELL, CLEAR_SKY, FIRST_COUNTER_WH, june_2017

DAY_S: Final = 24 * HOUR_S
JUNE: Final = 30
DAYS: Final = 10
POT: Final = 1_000_000
"""What the pot mints in a day, in units."""
MINUTE_S: Final = 60
EXPORTS_MUCH, EXPORTS_LITTLE = 1, 12
"""Homes of the recording: one that feeds in most of what it makes, one that uses most of it."""

Hours = NDArray[np.int64]


@dataclass(frozen=True)
class Day:
    """What a home made and used, hour by hour from the recording's beginning, in Wh."""

    made: Hours
    used: Hours

    @property
    def exported(self) -> Hours:
        exported: Hours = np.maximum(self.made - self.used, 0)
        return exported

    @property
    def bought(self) -> Hours:
        bought: Hours = np.maximum(self.used - self.made, 0)
        return bought


@dataclass(frozen=True)
class Meter:
    """Counters on full hours; between them they grow evenly, rounded down."""

    counters: Hours
    """Shape (hours + 1, 3): export, import, generation."""

    @classmethod
    def of(cls, exported: Hours, bought: Hours, made: Hours) -> Meter:
        steps = np.stack((exported, bought, made), axis=1)
        return cls(FIRST_COUNTER_WH + np.concatenate((np.zeros((1, 3), np.int64), steps.cumsum(axis=0))))

    def at(self, seconds: int) -> tuple[int, int, int]:
        """What it reads so many seconds after the recording's beginning."""
        hour, into_s = divmod(seconds, HOUR_S)
        low = self.counters[min(hour, len(self.counters) - 1)]
        high = self.counters[min(hour + 1, len(self.counters) - 1)]
        export_wh, import_wh, generation_wh = (low + (high - low) * into_s // HOUR_S).tolist()
        return export_wh, import_wh, generation_wh


@dataclass(frozen=True)
class Line:
    """A reading: when it begins and ends, in seconds from the recording's beginning, and what it says."""

    start_s: int
    end_s: int
    counters: tuple[int, int, int]
    schema: Schema = READING


@cache
def recorded(home: int) -> Day:
    """A home's June."""
    recording = june_2017()
    ends = range(recording.first_unix_s, recording.end_unix_s + 1, HOUR_S)
    counters = [recording.counters_at(home, end) for end in ends]
    columns = np.array([(each.export_wh, each.import_wh, each.generation_wh) for each in counters], np.int64)
    exported, bought, made = np.diff(columns, axis=0).T
    return Day(made, made - exported + bought)


@cache
def sky() -> tuple[Hours, NDArray[np.bool_]]:
    """By recorded hour: the most that 1 kW may make, in Wh; and whether it is dark."""
    first = june_2017().first_unix_s
    table = pl.read_parquet(CLEAR_SKY).filter((pl.col("cell") == CELL) & (pl.col("start_unix_s") >= first))
    return table["limit_wh_per_kw"].to_numpy().astype(np.int64), table["dark"].to_numpy()


@cache
def homes() -> tuple[Asset, ...]:
    return tuple(Asset(f"home {home}", kind.rules.name, june_2017().rated_w(home)) for home in june_2017().homes)


def asset_of(home: int) -> Asset:
    return homes()[june_2017().homes.index(home)]


def honest_meter(home: int) -> Meter:
    day = recorded(home)
    return Meter.of(day.exported, day.bought, day.made)


def world(assets: Sequence[Asset], bootstrap: Bootstrap | None = None) -> World:
    """A network of homes in Fontana, an epoch a day."""
    table = pl.read_parquet(CLEAR_SKY)
    return World(
        assets=assets,
        kinds={kind.rules.name: kind.rules},
        epoch_seconds=DAY_S,
        genesis_unix_s=june_2017().first_unix_s,
        budgets={kind.rules.name: POT},
        tables={kind.rules.name: {"clear_sky": {name: table[name].to_numpy() for name in table.columns}}},
        bootstrap=bootstrap or Bootstrap(0),
    )


def hourly(meter: Meter, seconds: int = HOUR_S, shift_s: int = 0) -> Callable[[int], list[Line]]:
    """The lines of each day, so many seconds long; the first day begins with the reading that counting starts from."""

    def lines(day: int) -> list[Line]:
        ends = [end + shift_s for end in range(day * DAY_S + seconds, (day + 1) * DAY_S + 1, seconds)]
        first = [Line(shift_s - seconds, shift_s, meter.at(shift_s))] if day == 0 else []
        return first + [Line(end - seconds, end, meter.at(end)) for end in ends if end <= (day + 1) * DAY_S]

    return lines


def says(asset: Asset, lines: Callable[[int], Sequence[Line]], key: str = "", speaks_of: Asset | None = None) -> Speak:
    """A device that signs each day's lines at its end: one Entry for each row of lines of one length and schema."""

    def speak(moment: Moment) -> Iterable[Said]:
        return pages(asset, moment.epoch, lines(moment.epoch), key, speaks_of)

    return speak


def pages(asset: Asset, day: int, lines: Sequence[Line], key: str = "", speaks_of: Asset | None = None) -> list[Said]:
    """Lines as Entries; the sequence counts from a thousand times the day."""
    first_unix_s = june_2017().first_unix_s
    runs: list[list[Line]] = []
    for line in lines:
        last = runs[-1][-1] if runs else None
        goes_on = last and last.end_s == line.start_s and last.schema is line.schema is READING
        if last and goes_on and last.end_s - last.start_s == line.end_s - line.start_s:
            runs[-1].append(line)
        else:
            runs.append([line])
    return [
        Said(
            asset,
            run[0].schema,
            1000 * (day + 1) + number,
            first_unix_s + run[0].start_s,
            run[0].end_s - run[0].start_s,
            tuple(line.counters for line in run),
            key,
            speaks_of,
        )
        for number, run in enumerate(runs)
    ]


@cache
def honest(days: int) -> list[Settlement]:
    """Ten honest homes."""
    return world(homes()).play(days, [says(asset_of(home), hourly(honest_meter(home))) for home in june_2017().homes])


Members = Sequence[tuple[Asset, Speak]]


def against(home: int, members: Members, days: int = DAYS, honest_too: Sequence[int] = ()) -> Outcome:
    """Nine honest homes and, in the place of one, ``members``; ``honest_too`` are homes that the bot holds beside it."""
    mine = {home, *honest_too}
    others = [each for each in june_2017().homes if each not in mine]
    assets = [asset_of(each) for each in others] + [asset for asset, _ in members]
    speak = [says(asset_of(each), hourly(honest_meter(each))) for each in others] + [one for _, one in members]
    there = world(assets)
    settled = there.play(days, speak)
    owners = {asset.owner or asset.name for asset, _ in members}
    before = honest(days)
    usual = set(world(homes()).reasons(before, asset_of(home)))
    found: dict[str, int] = {}
    for asset, _ in members:
        for reason, count in there.reasons(settled, asset).items():
            found[reason] = found.get(reason, 0) + count
    return Outcome(
        honest=rewards_of(before[-1].state, *(f"home {each}" for each in mine)),
        cheat=rewards_of(settled[-1].state, *owners),
        reasons={reason: count for reason, count in found.items() if reason not in usual},
    )


def lying(home: int, meter: Meter, seconds: int = HOUR_S, shift_s: int = 0, days: int = DAYS) -> Outcome:
    """A home whose meter lies and whose lines are of this length."""
    return against(home, [(asset_of(home), says(asset_of(home), hourly(meter, seconds, shift_s)))], days)


def saying(home: int, lines: Callable[[int], Sequence[Line]], days: int = DAYS) -> Outcome:
    """A home that signs other lines."""
    return against(home, [(asset_of(home), says(asset_of(home), lines))], days)


def multiplied(home: int, permille: int) -> Meter:
    """An inverter that reports so many thousandths of what it makes; what is left after the load is exported on paper."""
    day = recorded(home)
    lie = Day(day.made * permille // 1000, day.used)
    return Meter.of(lie.exported, lie.bought, lie.made)


def up_to_the_limit(rated_w: int) -> Meter:
    """No panels at all: each hour all that the rules believe, all of it exported."""
    limit, dark = sky()
    hours = len(recorded(EXPORTS_MUCH).made)
    allowed = rated_w * (PARAMETERS["margin_permille"] * limit[:hours] + 1000 * PARAMETERS["slack_permille"]) // 1_000_000
    made = np.where(dark[:hours], 2 * PARAMETERS["meter_quantum_wh"], np.minimum(allowed, rated_w))
    return Meter.of(made, np.zeros_like(made), made)


def denies_its_load(home: int) -> Meter:
    """Whatever is made is said to be fed in."""
    day = recorded(home)
    return Meter.of(day.made, day.used, day.made)


def with_nights(home: int, wh: int) -> Meter:
    """So many Wh on top, made and exported, in every dark hour."""
    day, dark = recorded(home), sky()[1][: len(recorded(home).made)]
    extra = np.where(dark, np.maximum(wh - day.made, 0), 0)
    return Meter.of(day.exported + extra, day.bought, day.made + extra)


def best_day(home: int) -> Meter:
    """The day with the most export, again and again."""
    day = recorded(home)
    best = int(day.exported.reshape(-1, 24).sum(axis=1).argmax())
    made, used = (np.tile(each.reshape(-1, 24)[best], len(each) // 24) for each in (day.made, day.used))
    return Meter.of(np.maximum(made - used, 0), np.maximum(used - made, 0), made)


def without_noon(meter: Meter, one_line: bool) -> Callable[[int], list[Line]]:
    """Nothing between 9 and 16 o'clock: then one long line, or an hour's line after a gap."""

    def lines(day: int) -> list[Line]:
        begin, end = day * DAY_S + 9 * HOUR_S, day * DAY_S + 16 * HOUR_S
        said = hourly(meter)(day)
        noon = Line(begin if one_line else end - HOUR_S, end, meter.at(end))
        return [each for each in said if each.end_s <= begin] + [noon] + [each for each in said if each.start_s >= end]

    return lines


def resets_lower(home: int) -> Callable[[int], list[Line]]:
    """Each midnight a "new meter" that reads 5 kWh less; then the old counters again, to be paid for the climb."""
    meter = honest_meter(home)

    def lines(day: int) -> list[Line]:
        said = hourly(meter)(day)
        at = day * DAY_S + 2 * HOUR_S
        lower = Line(at, at, _fallen(meter.at(at), 5000), RESET)
        return [each for each in said if each.end_s < at] + [lower] + [each for each in said if each.start_s >= at]

    return lines


def resets_amid_hours(meter: Meter) -> Callable[[int], list[Line]]:
    """Quarters of an hour, and a "new meter" before each, so that no quarter remembers the ones before it."""

    def lines(day: int) -> list[Line]:
        said: list[Line] = []
        for line in hourly(meter, 15 * MINUTE_S)(day):
            again = [Line(line.end_s + 1, line.end_s + 1, line.counters, RESET)] if line.end_s % HOUR_S else []
            starts = line.start_s + 1 if said and said[-1].schema is RESET else line.start_s
            said += [replace(line, start_s=starts), *again]
        return said

    return lines


def drops(home: int, fall_wh: int) -> Callable[[int], list[Line]]:
    """At noon the counters fall, and are back an hour later; below zero: they jump, and fall back."""
    meter = honest_meter(home)

    def lines(day: int) -> list[Line]:
        noon = day * DAY_S + 12 * HOUR_S
        return [replace(each, counters=_fallen(each.counters, fall_wh)) if each.end_s == noon else each for each in hourly(meter)(day)]

    return lines


def _fallen(counters: tuple[int, int, int], wh: int) -> tuple[int, int, int]:
    export_wh, import_wh, generation_wh = counters
    return export_wh - wh, import_wh - wh, generation_wh - wh


def shifted(home: int, seconds: int) -> Callable[[int], list[Line]]:
    """A clock that is ahead by so much, or behind if below zero."""
    meter = honest_meter(home)
    return lambda day: [replace(each, start_s=each.start_s + seconds, end_s=each.end_s + seconds) for each in hourly(meter)(day)]


def scaled(home: int, permille: int, seconds: int = HOUR_S, shift_s: int = 0, days: int = DAYS) -> Outcome:
    """Reports so many thousandths of what it makes, in lines of this length."""
    return lying(home, multiplied(home, permille), seconds, shift_s, days)


def invented(home: int) -> Outcome:
    """See ``up_to_the_limit``."""
    return lying(home, up_to_the_limit(asset_of(home).rated))


def denied(home: int) -> Outcome:
    """See ``denies_its_load``."""
    return lying(home, denies_its_load(home))


def anothers_numbers(home: int, victim: int) -> Outcome:
    """Signs what another home's meter reads."""
    return lying(home, honest_meter(victim))


def repeated(home: int) -> Outcome:
    """See ``best_day``."""
    return lying(home, best_day(home))


def nightly(home: int, wh: int) -> Outcome:
    """See ``with_nights``."""
    return lying(home, with_nights(home, wh))


def over_noon(home: int, one_line: bool) -> Outcome:
    """Doubles, but for the hours of ``without_noon``."""
    return saying(home, without_noon(multiplied(home, 2000), one_line))


def new_meter_each_night(home: int) -> Outcome:
    """See ``resets_lower``."""
    return saying(home, resets_lower(home))


def new_meter_each_quarter(home: int) -> Outcome:
    """Doubles; see ``resets_amid_hours``."""
    return saying(home, resets_amid_hours(multiplied(home, 2000)))


def falling(home: int, wh: int) -> Outcome:
    """See ``drops``."""
    return saying(home, drops(home, wh))


def clocked(home: int, seconds: int) -> Outcome:
    """See ``shifted``."""
    return saying(home, shifted(home, seconds))


def copied_entries(home: int, victim: int) -> Outcome:
    """Beside its own Entries it posts the neighbour's, its own asset's id in the place of the neighbour's."""
    mine, theirs = asset_of(home), asset_of(victim)

    def speak(moment: Moment) -> Iterable[Said]:
        copied = pages(theirs, moment.epoch, hourly(honest_meter(victim))(moment.epoch), speaks_of=mine)
        return copied + pages(mine, moment.epoch, hourly(honest_meter(home))(moment.epoch))

    return against(home, [(mine, speak)])


def again_the_next_day(home: int) -> Outcome:
    """Each day it signs yesterday's lines once more, under new sequences."""
    mine, lines = asset_of(home), hourly(honest_meter(home))

    def speak(moment: Moment) -> Iterable[Said]:
        yesterday = pages(mine, moment.epoch + 500, lines(moment.epoch - 1)) if moment.epoch else []
        return pages(mine, moment.epoch, lines(moment.epoch)) + yesterday

    return against(home, [(mine, speak)])


def to_every_verifier(home: int) -> Outcome:
    """The same Entries come to three verifiers; the Book lists each of them three times."""
    mine, lines = asset_of(home), hourly(honest_meter(home))
    return against(home, [(mine, lambda moment: 3 * pages(mine, moment.epoch, lines(moment.epoch)))])


def two_stories(home: int) -> Outcome:
    """Under each sequence it signs two Entries, the true one and one with twice the energy, and lets verifiers choose."""
    mine, stories = asset_of(home), [hourly(multiplied(home, 2000)), hourly(honest_meter(home))]
    return against(home, [(mine, lambda moment: [page for lines in stories for page in pages(mine, moment.epoch, lines(moment.epoch))])])


def halves(home: int) -> Outcome:
    """One inverter as two assets of half the rating, each with half the counters."""
    whole, asset = honest_meter(home).counters, asset_of(home)
    parts = [whole // 2, whole - whole // 2]
    names = [replace(asset, name=f"{asset.name}{side}", owner=asset.name, rated=asset.rated // 2) for side in "ab"]
    return against(home, [(name, says(name, hourly(Meter(part)))) for name, part in zip(names, parts, strict=True)])


def merged(home: int, other: int) -> Outcome:
    """Two inverters as one asset of both ratings."""
    one = replace(asset_of(home), rated=asset_of(home).rated + asset_of(other).rated)
    both = Meter(honest_meter(home).counters + honest_meter(other).counters)
    return against(home, [(one, says(one, hourly(both)))], honest_too=[other])


def twin(home: int, attested: bool) -> Outcome:
    """A second key beside the same inverter, registered as another asset of the same owner."""
    asset, lines = asset_of(home), hourly(honest_meter(home))
    second = replace(asset, name=f"{asset.name} again", owner=asset.name, issuer=asset.issuer if attested else "")
    return against(home, [(asset, says(asset, lines)), (second, says(second, lines))])


def overrated(home: int, attested: bool) -> Outcome:
    """Registers twice the rating and doubles what it makes."""
    asset = replace(asset_of(home), rated=2 * asset_of(home).rated, issuer=asset_of(home).issuer if attested else "")
    return against(home, [(asset, says(asset, hourly(multiplied(home, 2000))))])


def elsewhere(home: int) -> Outcome:
    """Registers in a cell that the policy has no limits for, and doubles what it makes."""
    asset = replace(asset_of(home), cell=0x871FB4662FFFFFF)
    return against(home, [(asset, says(asset, hourly(multiplied(home, 2000))))])


def thief(victim: int) -> Outcome:
    """A stranger without an inverter registers the victim's key for himself, and posts what the victim's device signs."""
    theirs = asset_of(victim)
    stolen = replace(theirs, owner="thief", key=theirs.name, possessed=False)
    lines = hourly(honest_meter(victim))

    def speak(moment: Moment) -> Iterable[Said]:
        word = [replace(possession(theirs, moment.first_unix_s), speaks_of=stolen)] if moment.epoch == 0 else []
        return word + pages(theirs, moment.epoch, lines(moment.epoch), speaks_of=stolen)

    assets = [*homes(), stolen]
    there = world(assets)
    honest_speak = [says(asset_of(home), hourly(honest_meter(home))) for home in june_2017().homes]
    settled = there.play(DAYS, [speak, *honest_speak])
    return Outcome(0, rewards_of(settled[-1].state, "thief"), 0, there.reasons(settled, stolen))


def held_back(home: int, days: int, most: int) -> Outcome:
    """Holds its days back and lists up to ``most`` of them in the Book of a dull day, when a Wh gets more of the pot.

    It knows what the others feed in, and the weather: the best cut of the days into batches, by dynamic programming.
    """
    mine, lines = asset_of(home), hourly(honest_meter(home))
    own = recorded(home).exported.reshape(-1, 24).sum(axis=1).tolist()
    others = sum(recorded(each).exported.reshape(-1, 24).sum(axis=1) for each in june_2017().homes if each != home).tolist()
    best = [0]
    batches: list[int] = [0]
    for day in range(days):
        values = [
            (best[first] + POT * sum(own[first : day + 1]) // (sum(own[first : day + 1]) + others[day]), first)
            for first in range(max(0, day + 1 - most), day + 1)
        ]
        value, first = max(values)
        best.append(value)
        batches.append(first)
    due: dict[int, list[int]] = {}
    day = days
    while day:
        due[day - 1] = list(range(batches[day], day))
        day = batches[day]

    def speak(moment: Moment) -> Iterable[Said]:
        return [page for listed in due.get(moment.epoch, ()) for page in pages(mine, listed, lines(listed))]

    return against(home, [(mine, speak)], days)


def too_late(home: int) -> Outcome:
    """Holds everything back and lists it in the last Book."""
    mine, lines = asset_of(home), hourly(honest_meter(home))

    def speak(moment: Moment) -> Iterable[Said]:
        last = moment.epoch == DAYS - 1
        return [page for day in range(DAYS) for page in pages(mine, day, lines(day))] if last else []

    return against(home, [(mine, speak)])


CAP_BPS: Final = 3000
"""The most of the pot for one issuer's assets, in the world of the lying issuer."""


def ghosts(count: int = 10) -> Outcome:
    """An issuer attests homes that do not exist; each reports all that the rules believe. Five honest issuers have two homes each."""
    caps = Bootstrap(0, issuer_cap_bps=CAP_BPS)
    real = [replace(asset, issuer=f"issuer {number // 2}") for number, asset in enumerate(homes())]
    speak = [says(asset, hourly(honest_meter(home))) for asset, home in zip(real, june_2017().homes, strict=True)]
    false = [Asset(f"ghost {number}", kind.rules.name, 5000, owner="liar", issuer="lying issuer") for number in range(count)]
    lines = hourly(up_to_the_limit(5000))
    settled = world([*real, *false], caps).play(DAYS, [*speak, *(says(ghost, lines) for ghost in false)])
    return Outcome(0, rewards_of(settled[-1].state, "liar"))
