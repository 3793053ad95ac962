"""``tests/tables/earnings.txt``, written as final states and told as a year; the same as the settlement divides; and files of rates."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from subak.archive.books import write_state
from subak.archive.store import FolderArchive
from subak.archive.tables import write_tables
from subak.chain.snapshot import Finalised
from subak.core.canon.json import encode, hash_json
from subak.core.nouns import Address, Book, Bootstrap, Contents, Correction, Hash, KindPolicy, Policy, Snapshot, SnapshotRef, State
from subak.core.nouns.snapshot import ASSETS, ATTESTATIONS, LANES, PAYEES, POOLS
from subak.core.nouns.state import ACCOUNTS, DEBTS
from subak.core.nouns.state import ASSETS as STATE_ASSETS
from subak.core.settlement.debts import Kept
from subak.core.settlement.money import split
from subak.explorer.earnings import COLUMNS, VALUED, MissingRate, Rates, RatesRefused, earnings_of
from subak.explorer.words import TokenFacts

TABLE = Path(__file__).parents[1] / "tables" / "earnings.txt"
CURRENCIES = {"rewards": TokenFacts("SUBAK", 18), "fees": TokenFacts("TUSD", 6)}
NOBODY = Hash(bytes(32))


def asset_of(name: str) -> bytes:
    return name.encode().ljust(32, b"\x01")


def account_of(name: str) -> bytes:
    return name.encode().ljust(20, b"\x01")


@dataclass
class Grown:
    """What a range brought: growth of assets' and accounts' totals, by (name, rewards or fees); and debts."""

    day: str
    first: int
    last: int
    assets: dict[tuple[str, str], int] = field(default_factory=dict)
    accounts: dict[tuple[str, str], int] = field(default_factory=dict)
    corrections: list[tuple[int, str, str, str, int]] = field(default_factory=list)


@dataclass
class World:
    """Assets with their payees, from which epoch on, and ranges; written into an archive as verifiers would."""

    owners: dict[str, str] = field(default_factory=dict)
    payees: dict[str, list[tuple[int, dict[str, int]]]] = field(default_factory=dict)
    ranges: list[Grown] = field(default_factory=list)
    debts: dict[tuple[str, str, str], int] = field(default_factory=dict)
    debts_after: dict[int, dict[tuple[str, str, str], int]] = field(default_factory=dict)

    def snapshot(self, epoch: int) -> Snapshot:
        in_force = {name: [named for since, named in each if since <= epoch][-1] for name, each in self.payees.items()}
        named = [(asset_of(name), _payee(payee), parts) for name in sorted(in_force) for payee, parts in in_force[name].items()]
        assets = [
            (asset_of(name), "" if name.startswith("site") else "tick", 1, b"", account_of(owner), 7, 1, False)
            for name, owner in sorted(self.owners.items())
        ]
        return Snapshot(
            assets=pl.DataFrame(assets, schema=ASSETS, orient="row"),
            payees=pl.DataFrame(named, schema=PAYEES, orient="row"),
            pools=_table([], POOLS),
            lanes=_table([], LANES),
            attestations=_table([], ATTESTATIONS),
        )

    def write(self, archive: FolderArchive) -> list[Finalised]:
        finals, totals = [], {"assets": {}, "accounts": {}}  # type: ignore[var-annotated]
        for number, each in enumerate(self.ranges):
            for kind, grown in (("assets", each.assets), ("accounts", each.accounts)):
                for key, amount in grown.items():
                    totals[kind][key] = totals[kind].get(key, 0) + amount
            state = _state(totals["assets"], totals["accounts"], self.debts_after.get(number, {}))
            books = [self._book(archive, epoch, each) for epoch in range(each.first, each.last + 1)]
            unix_s = int(datetime.fromisoformat(each.day).replace(tzinfo=UTC, hour=23, minute=59).timestamp())
            root = Hash(write_state(archive, state))
            blank: dict[str, Any] = dict.fromkeys(("root", "asset_root", "verdicts_hash", "transaction"), NOBODY)
            finals.append(
                Finalised(
                    first=each.first,
                    last=each.last,
                    attempt=0,
                    state_root=root,
                    rewards=0,
                    fees=0,
                    book_hashes=tuple(books),
                    policy_hashes=(),
                    block=number,
                    unix_s=unix_s,
                    **blank,
                )
            )
        return finals

    def _book(self, archive: FolderArchive, epoch: int, grown: Grown) -> Hash:
        corrections = tuple(
            Correction(at, Hash(asset_of(asset)), what, amount, Address(account_of(creditor)), "it was too much")
            for at, asset, what, creditor, amount in grown.corrections
            if at == epoch
        )
        policy = Policy(1, 7, {"tick": KindPolicy(1, NOBODY, {}, {})}, Bootstrap(0), corrections=corrections)
        archive.put(f"policy/{hash_json(policy).hex()}.json", encode(policy))
        ref = SnapshotRef(epoch, NOBODY, Hash(write_tables(archive, "snapshot", self.snapshot(epoch).tables)))
        contents = Contents(NOBODY, epoch, 0, 1, 2, Hash(hash_json(policy)), ref, (), (), (), NOBODY, NOBODY)
        archive.put(f"book/{hash_json(contents).hex()}.json", encode(contents))
        return Hash(hash_json(contents))


def _payee(name: str) -> bytes:
    return asset_of(name) if name.startswith("site") else bytes(12) + account_of(name)


def _state(assets: Mapping[Any, int], accounts: Mapping[Any, int], debts: Mapping[tuple[str, str, str], int]) -> State:
    def both(totals: Mapping[Any, int], name: str) -> tuple[int, int]:
        return totals.get((name, "rewards"), 0), totals.get((name, "fees"), 0)

    earned = [(asset_of(name), True, 0, *both(assets, name), 0) for name in sorted({name for name, _ in assets})]
    paid = [(account_of(name), *both(accounts, name)) for name in sorted({name for name, _ in accounts})]
    owed = [(asset_of(asset), what, account_of(creditor), amount) for (asset, what, creditor), amount in sorted(debts.items()) if amount]
    tables = dict(State.genesis().tables)
    tables |= {
        "assets": _table(earned, STATE_ASSETS),
        "accounts": _table(paid, ACCOUNTS),
        "debts": _table(owed, DEBTS),
    }
    return State.from_tables(tables)


def _table(rows: Sequence[tuple[Any, ...]], schema: Mapping[str, Any]) -> pl.DataFrame:
    whole = {name: pl.Int128 if isinstance(dtype, pl.Decimal) else dtype for name, dtype in schema.items()}
    return pl.DataFrame(rows, schema=whole, orient="row").cast(dict(schema))  # type: ignore[arg-type]


@dataclass
class Case:
    """A case of the table."""

    world: World = field(default_factory=World)
    rates: dict[tuple[date, str], str] = field(default_factory=dict)
    years: list[tuple[str, int, list[str]]] = field(default_factory=list)


def _cases() -> dict[str, Case]:
    cases: dict[str, Case] = {}
    case = Case()
    for line in TABLE.read_text().splitlines():
        row = line.partition("#")[0].split()
        world = case.world
        match row:
            case ["case", *words]:
                case = cases[" ".join(words)] = Case()
            case ["asset", name, owner, *payees]:
                world.owners[name] = owner
                if payees:
                    world.payees[name] = [(0, _parts(payees))]
            case ["payees", name, epoch, *payees]:
                world.payees.setdefault(name, [(0, {world.owners[name]: 1})]).append((int(epoch), _parts(payees)))
            case ["final", day, epochs]:
                first, last = epochs.split("-")
                world.ranges.append(Grown(day, int(first), int(last)))
                world.debts_after[len(world.ranges) - 1] = world.debts = dict(world.debts)
            case ["grow", asset, what, amount]:
                world.ranges[-1].assets[asset, what] = int(amount)
            case ["paid", account, what, amount]:
                world.ranges[-1].accounts[account, what] = int(amount)
            case ["owes", asset, what, creditor, amount]:
                world.debts[asset, what, creditor] = int(amount)
            case ["corrected", epoch, asset, what, creditor, amount]:
                world.ranges[-1].corrections.append((int(epoch), asset, what, creditor, int(amount)))
            case ["rate", day, currency, rate]:
                case.rates[date.fromisoformat(day), currency] = rate
            case ["year", account, year]:
                case.years.append((account, int(year), []))
            case [">", told]:
                case.years[-1][2].append(told)
            case [_, *_]:
                raise AssertionError(line)
    return cases


def _parts(payees: Sequence[str]) -> dict[str, int]:
    return {name: int(parts) for name, _, parts in (each.partition(":") for each in payees)}


@pytest.mark.parametrize("name", _cases())
def test_case(name: str, tmp_path: Path) -> None:
    case = _cases()[name]
    archive = FolderArchive(tmp_path)
    finals = case.world.write(archive)
    rates = Rates(case.rates, "the table") if case.rates else None
    assert case.years
    for account, year, wanted in case.years:
        heard: list[tuple[int, int]] = []
        found = earnings_of(account_of(account), year, archive, finals, CURRENCIES, lambda *each: heard.append(each))  # noqa: B023
        header, *rows = found.as_csv(rates).splitlines()
        assert tuple(header.split(",")) == (VALUED if rates else COLUMNS)
        named = {"0x" + asset_of(asset).hex(): asset for asset in case.world.owners}
        assert [",".join(named.get(cell, cell) for cell in row.split(",")) for row in rows] == wanted
        assert heard == [(count + 1, len(heard)) for count in range(len(heard))]
        told = found.as_dict(rates)
        assert [row["base_units"] for row in told["earnings"]] == [str(each.base_units) for each in found.earnings]
        assert {what: int(each["base_units"]) for what, each in told["totals"].items()} == dict(found.totals)


def test_it_divides_as_the_settlement_does(tmp_path: Path) -> None:
    """One pool, one epoch: every asset's row is what the settlement gave the account for it, through sites too."""
    dice = random.Random(7)
    people, sites = [f"p{number}" for number in range(6)], ["site0", "site1"]
    world = World({site: dice.choice(people) for site in sites})
    world.payees["site0"] = [(0, {"p1": 2, "p3": 5})]
    for number in range(20):
        name = f"a{number:02}"
        world.owners[name] = dice.choice(people)
        if number % 3:
            world.payees[name] = [(0, {payee: dice.randint(1, 9) for payee in dice.sample([*people, *sites], 3)})]
    grown = {(name, what): dice.randint(0, 10**20) for name in world.owners if name.startswith("a") for what in ("rewards", "fees")}

    def shares(only: Mapping[tuple[str, str], int]) -> dict[tuple[bytes, str], int]:
        names = sorted(world.owners)
        amounts = {what: [only.get((name, what), 0) for name in names] for what in ("rewards", "fees")}
        snapshot = world.snapshot(0)
        empty = State.genesis()
        kept = Kept({"tick": amounts["rewards"]}, amounts["fees"], {}, {}, empty.escrow, empty.debts)
        contents = Contents(NOBODY, 0, 0, 1, 2, NOBODY, SnapshotRef(0, NOBODY, NOBODY), (), (), (), NOBODY, NOBODY)
        policy = Policy(1, 7, {}, Bootstrap(0))
        found = split(kept, {}, Book(contents, policy, {}, snapshot, {}, pl.DataFrame()))
        every = zip(found.accounts.to_list(), found.rewards, found.fees, strict=True)
        return {(account, what): amount for account, *both in every for what, amount in zip(("rewards", "fees"), both, strict=True)}

    paid = shares(grown)
    accounts = {(name, what): paid.get((account_of(name), what), 0) for name in people for what in ("rewards", "fees")}
    world.ranges.append(Grown("2017-06-04", 0, 0, grown, accounts))
    archive = FolderArchive(tmp_path)
    finals = world.write(archive)
    for name in people:
        found = earnings_of(account_of(name), 2017, archive, finals, CURRENCIES)
        rows = {(row.asset, row.what): row.base_units for row in found.earnings}
        for asset, what in grown:
            alone = shares({(asset, what): grown[asset, what]}).get((account_of(name), what), 0)
            assert rows.pop(("0x" + asset_of(asset).hex(), what), 0) == alone
        assert rows == {}


def test_what_the_assets_do_not_explain_stands_in_a_row_of_no_asset(tmp_path: Path) -> None:
    archive = FolderArchive(tmp_path)
    world = World({"roof": "alice"}, ranges=[Grown("2017-06-04", 0, 0, {("roof", "rewards"): 5}, {("alice", "rewards"): 3})])
    found = earnings_of(account_of("alice"), 2017, archive, world.write(archive), CURRENCIES)
    assert [(row.asset, row.base_units) for row in found.earnings] == [("", -2), ("0x" + asset_of("roof").hex(), 5)]
    assert found.totals["rewards"] == 3


GOOD = "date,currency,rate\n2017-06-04,SUBAK,0.3125\n\n2017-06-04, TUSD ,1\n"


def test_rates_are_exact(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text("\ufeff" + GOOD + "2017-06-04,SUBAK,0.3125\n2017-06-05,SUBAK,0.1\n")
    rates = Rates.read(path)
    assert rates.at(date(2017, 6, 4), "SUBAK") == Fraction(5, 16)
    assert rates.at(date(2017, 6, 5), "SUBAK") == Fraction(1, 10)
    assert rates.text(date(2017, 6, 4), "TUSD") == "1"
    with pytest.raises(MissingRate, match=r"no rate for SUBAK on 2017-06-06, and 1 more: add a line 2017-06-06,SUBAK,…"):
        rates.check([(date(2017, 6, 7), "TUSD"), (date(2017, 6, 6), "SUBAK"), (date(2017, 6, 5), "SUBAK")])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the columns are '', they have to be date,currency,rate"),
        ("day,currency,rate\n", "the columns are 'day,currency,rate'"),
        (GOOD + "2017-6-4,SUBAK,1\n", "line 5, date = '2017-6-4': write it as 2017-06-04"),
        (GOOD + "2017-02-29,SUBAK,1\n", "line 5, date = '2017-02-29'"),
        (GOOD + "20170604,SUBAK,1\n", "line 5, date = '20170604'"),
        (GOOD + "2017-06-04,SUBAK\n", "line 5 has 2 fields, not 3"),
        (GOOD + '2017-06-05,SUBAK,"1,5"\n', "rate = '1,5': write it as 0.3125"),
        (GOOD + "2017-06-05,SUBAK,-1\n", "rate = '-1'"),
        (GOOD + "2017-06-05,SUBAK,1e3\n", "rate = '1e3'"),
        (GOOD + "2017-06-05,SUBAK,nan\n", "rate = 'nan'"),
        (GOOD + "2017-06-05,SUBAK,١\n", "rate = '١'"),
        (GOOD + "2017-06-05,,1\n", "line 5 names no currency"),
        (GOOD + "2017-06-04,SUBAK,0.3\n", "line 5: SUBAK has two rates on 2017-06-04, 0.3125 and 0.3"),
    ],
)
def test_a_file_of_rates_that_is_none_is_refused_by_row_and_value(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(text)
    with pytest.raises(RatesRefused) as refused:
        Rates.read(path)
    assert words in str(refused.value)
    assert str(path) in str(refused.value)
