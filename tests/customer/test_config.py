"""customer.toml, as people write it."""

from __future__ import annotations

from pathlib import Path

import pytest

from subak.customer.billing import Share
from subak.customer.config import CustomerFileRefused, load

ONE, TWO = "0x" + "01" * 32, "0x" + "02" * 32
GOOD = f"""
clerk = "http://127.0.0.1:8001"
limit = 1_000_000
budget = 20_000_000
cell = "8729a004bffffff"

[[energy]]
asset = "{ONE}"
permille = 500
max_price = 250_000_000

[[energy]]
asset = "{TWO}"
permille = 1000

[storage]
folder = "files"
"""

# What is written instead of what | what is said
CASES = f"""
limit = 1_000_000           => limit = 0                          | limit = 0 is not in 1 to 10^38 - 1
limit = 1_000_000           => limit = "much"                     | Expected `int`, got `str` - at `$.limit`
limit = 1_000_000           =>                                    | missing required field `limit`
budget = 20_000_000         => budget = -1                        | 'budget': -1
cell = "8729a004bffffff"    => cell = "Amsterdam"                 | cell = 'Amsterdam' is no H3 cell
cell = "8729a004bffffff"    => cell = "-1"                        | cell = '-1' is no H3 cell
cell = "8729a004bffffff"    => low_permille = 1000                | low_permille = 1000 is not in 0 to 999
permille = 500              => permille = 1001                    | permille = 1001, max_price = 250000000; permille is 1 to 1000
permille = 500              => permille = 0                       | permille = 0
max_price = 250_000_000     => max_price = -1                     | max_price = -1
asset = "{TWO}"             => asset = "{ONE}"                    | 2 tables of energy name 1 homes: each once
asset = "{TWO}"             => asset = "0x02"                     | Hash has 32 bytes, got 1
[storage]                   => [storage                           | line
"""


def test_what_a_customer_writes(tmp_path: Path) -> None:
    (tmp_path / "customer.toml").write_text(GOOD)
    purchases = load(tmp_path / "customer.toml")
    assert purchases.shares == [Share(b"\x01" * 32, 500, 250_000_000), Share(b"\x02" * 32, 1000, 0)]
    assert purchases.cell_number == 0x8729A004BFFFFFF
    assert purchases.storage is not None
    assert purchases.storage.folder == "files"
    (tmp_path / "least.toml").write_text('clerk = "http://127.0.0.1:8001"\nlimit = 5\n')
    least = load(tmp_path / "least.toml")
    assert (least.shares, least.storage, least.cell_number, least.budget) == ([], None, 0, 0)


@pytest.mark.parametrize("case", [line for line in CASES.splitlines() if line.strip()])
def test_what_is_wrong_with_a_file_is_said(case: str, tmp_path: Path) -> None:
    change, _, said = case.partition("|")
    old, new = (part.strip() for part in change.split("=>"))
    assert old in GOOD
    path = tmp_path / "customer.toml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(CustomerFileRefused) as refused:
        load(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert said.strip() in str(refused.value)
