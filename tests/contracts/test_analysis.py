"""What slither and halmos said is judged and listed; `make analysis` asks them again."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

CONTRACTS = Path(__file__).resolve().parents[2] / "contracts"
PROPERTIES = sorted((CONTRACTS / "test" / "halmos").glob("*.t.sol"))


def listed(name: str, table: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = tomllib.loads((CONTRACTS / "analysis" / name).read_text())[table]
    return rows


def test_every_finding_is_judged_and_says_why() -> None:
    groups = listed("slither-triage.toml", "finding")
    assert {group["verdict"] for group in groups} <= {"false", "meant", "accepted"}
    assert [group["detector"] for group in groups if not group["why"] or not group["places"]] == []


def test_nothing_heavy_was_accepted() -> None:
    """What slither calls High or Medium is wrong or meant; only lesser things may stand because a change is not worth it."""
    heavy = [group for group in listed("slither-triage.toml", "finding") if group["impact"] in ("High", "Medium")]
    assert [group["detector"] for group in heavy if group["verdict"] == "accepted"] == []


def test_every_property_has_a_result_and_none_is_refuted() -> None:
    written = [name for path in PROPERTIES for name in re.findall(r"^    function (check_\w+)", path.read_text(), re.MULTILINE)]
    results = listed("halmos-results.toml", "property")
    assert sorted(each["name"].split(".")[1] for each in results) == sorted(written)
    assert {each["result"] for each in results} <= {"proved", "not decided"}
    assert [each["name"] for each in results if each["result"] != "proved" and not each.get("remark")] == []


def test_properties_are_no_tests_of_forge() -> None:
    """Nothing in their folder begins as forge's tests do, so that its runs are not slower for them."""
    assert PROPERTIES
    assert [path.name for path in PROPERTIES if re.search(r"function (test|invariant|testFail)", path.read_text())] == []
