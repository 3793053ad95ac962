"""An owner's money through the door: the year for a tax return, and the payout."""

from __future__ import annotations

import csv
from decimal import Decimal
from pathlib import Path

import pytest

from subak.chain.channels import Erc20

from .paper import ALICE, BOB, CELL, TOKEN, Paper, door


@pytest.fixture(scope="module")
def roofs(paper: Paper) -> list[bytes]:
    """Two roofs of Alice's, and what they earned: ranges that are final on 29 and 31 December 2017 and on 1 and 3 January 2018."""
    made = []
    for name in ("east", "west"):
        told = door(
            *("assets", "register", "--network", paper.file, "--key", paper.key(ALICE), "--key-file", paper.folder / f"{name}.key"),
            *("--kind", "energy", "--cell", CELL, "--rated", 5000, "--json"),
        ).json()
        made.append(bytes.fromhex(told["asset"][2:]))
    east, west = made
    alice = bytes(ALICE.address)
    paper.finalise({alice: (3 * TOKEN // 2, 0)}, {east: (10, 3 * TOKEN // 2, 0, 1)})
    paper.finalise({alice: (2 * TOKEN + 1, 2_500_000)}, {east: (20, 3 * TOKEN // 2, 0, 1), west: (5, TOKEN // 2 + 1, 2_500_000, 1)}, 2)
    paper.finalise({alice: (2 * TOKEN + 1, 2_500_000)}, {east: (30, 3 * TOKEN // 2, 0, 1), west: (5, TOKEN // 2 + 1, 2_500_000, 1)})
    later = {east: (40, 5 * TOKEN // 2, 0, 2), west: (5, TOKEN // 2 + 1, 2_500_000, 1)}
    paper.finalise({alice: (3 * TOKEN + 1, 2_500_000)}, later, 2)
    return made


def rates(folder: Path, *lines: str) -> Path:
    path = folder / "rates.csv"
    path.write_text("\n".join(["date,currency,rate", *lines]) + "\n")
    return path


GOOD = ("2017-12-29,SUBAK,0.333", "2017-12-31,SUBAK,0.1", "2017-12-31,TUSD,0.9", "2018-01-03,SUBAK,7")


def test_a_year_for_the_tax_office(paper: Paper, roofs: list[bytes], tmp_path: Path) -> None:
    east, west = ("0x" + each.hex() for each in roofs)
    who = ("statement", "--account", "0x" + ALICE.address.hex(), *paper.public)
    done = door(*who, "--year", 2017, "--csv", "--rates", rates(tmp_path, *GOOD))
    assert (done.code, done.err) == (0, "")
    wanted = [
        f"2017-12-29,0,0,{east},rewards,SUBAK,1.5,0.333,0.50",
        f"2017-12-31,1,2,{west},fees,TUSD,2.5,0.9,2.25",
        f"2017-12-31,1,2,{west},rewards,SUBAK,0.500000000000000001,0.1,0.05",
        "total,,,,rewards,SUBAK,2.000000000000000001,,0.55",
        "total,,,,fees,TUSD,2.5,,2.25",
    ]
    assert done.out.splitlines() == [
        "date,first_epoch,last_epoch,asset,what,currency,amount,rate,value_rounded_half_even_to_2_decimals",
        *wanted,
    ]
    plain = door(*who, "--year", 2017, "--csv").out
    table = list(csv.DictReader(plain.splitlines()))
    assert list(table[0]) == ["date", "first_epoch", "last_epoch", "asset", "what", "currency", "amount"]
    for what, base in (("rewards", Decimal(2 * TOKEN + 1).scaleb(-18)), ("fees", Decimal("2.5"))):
        mine = [Decimal(row["amount"]) for row in table if row["what"] == what]
        assert sum(mine[:-1]) == mine[-1] == base
    told = door(*who, "--year", 2018, "--json", "--rates", rates(tmp_path, *GOOD)).json()
    assert told["totals"]["rewards"] == {"currency": "SUBAK", "amount": "1", "base_units": str(TOKEN), "value": "7.00"}
    assert [(each["asset"], each["first_epoch"], each["last_epoch"]) for each in told["earnings"]] == [(east, 4, 5)]
    words = door(*who, "--year", 2017).out
    assert "1–2" in words
    assert words.splitlines()[-2:] == ["rewards of 2017: 2.000000000000000001 SUBAK", "fees of 2017: 2.5 TUSD"]
    empty = door(*who, "--year", 2016, "--csv").out.splitlines()
    assert empty[1:] == ["total,,,,rewards,SUBAK,0", "total,,,,fees,TUSD,0"]


def test_a_rate_that_is_missing_is_named_by_its_day(paper: Paper, roofs: list[bytes], tmp_path: Path) -> None:
    who = ("statement", "--account", "0x" + ALICE.address.hex(), *paper.public, "--year", 2017)
    lacking = rates(tmp_path, *(line for line in GOOD if "TUSD" not in line))
    done = door(*who, "--csv", "--rates", lacking)
    assert (done.code, done.out) == (1, "")
    assert f"{lacking} has no rate for TUSD on 2017-12-31: add a line 2017-12-31,TUSD,…" in done.err
    wrong = door(*who, "--csv", "--rates", rates(tmp_path, "2017-12-29,SUBAK,0,333"))
    assert "line 2 has 4 fields, not 3" in wrong.err


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ((), 2, "name an asset, or an account with --account"),
        (("0x" + "11" * 32, "--account", "0x" + "11" * 20), 2, "name an asset, or an account with --account"),
        (("0x" + "11" * 32, "--csv"), 2, "--year, --rates and --csv go with --account"),
        (("--account", "0x" + "11" * 20), 2, "--account goes with --year"),
        (("--account", "0x" + "11" * 20, "--year", "1800"), 2, "1970"),
        (("--account", "0x" + "11" * 19, "--year", "2017"), 1, "the account is '0x1111"),
        (("0x" + "11" * 31,), 1, "the asset is '0x1111"),
    ],
)
def test_half_a_question_is_no_question(paper: Paper, options: tuple[str, ...], code: int, words: str) -> None:
    done = door("statement", *options, *paper.public)
    assert done.code == code
    assert words in " ".join(done.err.replace("│", " ").split())


def test_a_payout_is_told_in_units_and_exactly(paper: Paper, roofs: list[bytes]) -> None:
    paper.finalise(
        {bytes(ALICE.address): (3 * TOKEN + 1, 2_500_000), bytes(BOB.address): (3 * TOKEN // 2, 0)}, {roofs[0]: (50, 5 * TOKEN // 2, 0, 2)}
    )
    command = ("claim", "0x" + BOB.address.hex(), *paper.public, "--key", paper.key(ALICE))
    told = door(*command, "--json").json()
    assert told["rewards"] == {"total": str(3 * TOKEN // 2), "taken_before": "0", "paid": str(3 * TOKEN // 2)}
    assert Erc20(paper.rpc, paper.network.contracts.token).balance(BOB.address) == 3 * TOKEN // 2
    again = door(*command)
    assert "paid 0 SUBAK of rewards to 0x" in again.out
    assert "1.5 SUBAK earned ever, 1.5 SUBAK taken before" in again.out
    nobody = door("claim", "0x" + "77" * 20, *paper.public, "--key", paper.key(ALICE))
    assert (nobody.code, "has earned nothing" in nobody.err) == (1, True)
