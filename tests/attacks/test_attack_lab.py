"""Every cheat of the lab: what the page says is what the bots give, and none pays that is not known and bounded."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from subak.cli.main import app
from subak.lab.attacks import GROUPS, Attack, Row, energy, money, objects, page, played, storage, verifiers
from subak.lab.attacks.table import REMAINS

PAGE = Path(__file__).parents[2] / "docs" / "attacks.md"
ATTACKS = [attack for group in GROUPS for attack in group.attacks]


def outcome_of(name: str) -> Row:
    return next(row for rows in played().values() for row in rows if row.attack.name == name)


def test_the_page_says_what_the_bots_give() -> None:
    assert PAGE.read_text() == page(played()), "run: .venv/bin/python -m tests.house.make_attacks"


def test_each_attack_has_a_name_of_its_own() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) == sum(map(len, played().values())) > 70


@pytest.mark.parametrize("attack", [each for each in ATTACKS if not each.pays], ids=lambda each: each.name)
def test_cheating_does_not_pay(attack: Attack) -> None:
    row = outcome_of(attack.name)
    assert row.outcome.profit <= 0, row


@pytest.mark.parametrize("attack", [each for each in ATTACKS if each.pays], ids=lambda each: each.name)
def test_what_is_known_to_pay_says_what_bounds_it(attack: Attack) -> None:
    """And still pays: once it does not, the page has to say so."""
    assert outcome_of(attack.name).outcome.profit > 0
    assert attack.risk in REMAINS or attack.risk.startswith("bounded: ")


def test_no_lie_about_energy_takes_more_than_the_pot() -> None:
    taken = {row.attack.name: row.outcome.cheat for row in played()["Energy"]}
    assert max(taken.values()) < energy.POT * energy.DAYS


def test_the_homes_that_are_not_there_take_what_the_cap_allows() -> None:
    assert outcome_of("homes that are not there").outcome.cheat == energy.POT * energy.DAYS * energy.CAP_BPS // 10_000


@pytest.mark.parametrize("name", ["doubling, at home 4, which hardly exports", "doubling, at home 12, which hardly exports"])
def test_doubling_at_homes_that_hardly_export_pays_up_to_five_times(name: str) -> None:
    found = outcome_of(name).outcome
    assert 2 * found.honest < found.cheat < 5 * found.honest


@pytest.mark.parametrize("home", [1, 2, 3, 5, 6, 7, 8, 9])
def test_doubling_pays_at_no_home_that_exports_what_it_makes(home: int) -> None:
    assert energy.scaled(home, 2000).profit < 0


def test_splitting_and_merging_move_dust_only() -> None:
    """Less than one unit for each division."""
    for name in ("two halves", "two in one"):
        assert abs(outcome_of(name).outcome.profit) < energy.DAYS


def test_an_honest_disk_is_paid_in_full() -> None:
    earned, reasons = storage.honest()
    assert earned == (storage.EPOCHS - 1) * storage.KIB * storage.PRICE
    assert set(reasons) == {"accepted", "set_taken"}


def test_what_nobody_earned_of_the_verifiers_pool_is_not_minted() -> None:
    """The others get the same whether the bot is paid or not."""
    others = verifiers.peers(3)
    assert verifiers.paid((*others, *verifiers.bot(copies="peer 0"))) == 0
    assert verifiers.paid((*others, *verifiers.bot())) == (verifiers.EPOCHS - 1) * verifiers.POT // 4


def test_the_homes_of_the_ring_are_billed_within_what_they_feed_in() -> None:
    books = money.ring(money.USUAL, 10)
    assert books.settled[-1].summary.waiting == 0
    assert books.spent - books.fees == books.share == books.spent // 10


def test_the_door_tells_every_attack() -> None:
    told = CliRunner().invoke(app, ["lab", "attacks", "--json"])
    assert told.exit_code == 0, told.output
    assert msgspec.json.decode(told.output) == objects(played())
    words = CliRunner().invoke(app, ["lab", "attacks"], env={"COLUMNS": "250"})
    assert words.exit_code == 0
    assert [attack.name for attack in ATTACKS if attack.name not in words.output] == []
