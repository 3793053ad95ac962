"""``tests/tables/catalogue.txt`` says which attack is tried by which test, and the tests' names say the same."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "tests/tables/catalogue.txt"
FIRST_OF_GROUP = {"A": 1, "B": 19, "C": 36, "D": 46, "E": 52, "F": 57, "G": 65, "H": 71, "I": 78, "J": 79, "K": 90}
ROWS = 90
SOLIDITY = re.compile(r"^ +function ((?:test|testFuzz|invariant)_([A-Z]\d+)_\w+)", re.MULTILINE)
PYTHON = re.compile(r"^ *(?:async )?def (test_([A-Z]\d+)_\w+)", re.MULTILINE)


@dataclass
class Row:
    """A row as the table has it."""

    status: str
    words: str
    tests: list[str] = field(default_factory=list)


def rows() -> dict[str, Row]:
    found: dict[str, Row] = {}
    for line in TABLE.read_text().splitlines():
        if line.startswith("     "):
            found[list(found)[-1]].tests.append(line.strip())
        elif text := line.partition("#")[0].strip():
            name, status, words = text.split(maxsplit=2)
            assert name not in found, f"{name} stands there twice"
            found[name] = Row(status, words)
    return found


def written() -> dict[str, list[str]]:
    """Row -> suite.test, of all tests that bear a row in their name."""
    found: dict[str, list[str]] = {}
    for folder, pattern, names in (("contracts/test", "*.t.sol", SOLIDITY), ("tests", "test_*.py", PYTHON)):
        for path in sorted((ROOT / folder).rglob(pattern)):
            for name, row in names.findall(path.read_text()):
                found.setdefault(row, []).append(f"{path.name.partition('.')[0]}.{name}")
    return found


def test_every_test_of_a_row_is_in_the_table_and_every_test_in_the_table_is_there() -> None:
    named, there = rows(), written()
    assert sorted(set(there) - set(named)) == [], "tests of rows that the catalogue does not have"
    wrong = {
        name: {"not in the table": sorted((Counter(there.get(name, [])) - Counter(row.tests)).elements()), "no such test": gone}
        for name, row in named.items()
        if (gone := sorted((Counter(row.tests) - Counter(there.get(name, []))).elements()))
        or Counter(there.get(name, [])) - Counter(row.tests)
    }
    assert wrong == {}


def test_a_row_has_a_test_or_a_reason() -> None:
    named = rows()
    assert {row.status for row in named.values()} <= {"test", "not-yet", "not-ours"}
    assert [name for name, row in named.items() if (row.status == "test") != bool(row.tests)] == []
    assert [name for name, row in named.items() if row.status != "test" and ": " not in row.words] == [], "say why after a colon"


def test_the_table_has_every_row_in_order() -> None:
    starts = [*FIRST_OF_GROUP.items(), ("", ROWS + 1)]
    wanted = [f"{group}{number:02}" for (group, first), (_, after) in pairwise(starts) for number in range(first, after)]
    assert list(rows()) == wanted
