"""The documents say what the code does: reasons, commands, targets, examples."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from subak.core.settlement import CORE_REASONS
from subak.kinds.registry import installed

from .documents import faults_in_commands, fenced, make_targets, pages
from .rooms import ROOT, name

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
EXAMPLE = ROOT / "docs" / "example.py"


@pytest.mark.parametrize("path", list(pages()), ids=name)
def test_a_page_that_follows_from_the_code_is_up_to_date(path: Path) -> None:
    assert path.read_text() == pages()[path], "run: .venv/bin/python -m tests.house.make_docs"


def test_every_reason_stands_in_the_page_with_its_status_and_sentence() -> None:
    page = (ROOT / "docs" / "reasons.md").read_text()
    reasons = [*CORE_REASONS, *(reason for kind in installed().values() for reason in kind.rules.reasons)]
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| (\w+) \| (.+) \|$", page, re.MULTILINE)
    assert sorted(rows) == sorted((str(each.code), each.name, each.status.name.lower(), each.sentence) for each in reasons)


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_commands_and_targets_in_a_page_exist(path: Path) -> None:
    text = path.read_text()
    assert faults_in_commands(text) == []
    assert make_targets(text) <= set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))


def test_a_wrong_command_in_a_page_is_found() -> None:
    page = "```sh\nsubak check 0 --archive a --rpc b  # fine\nsubak chek 0\nsubak check 0 --arch a\n```\n`subak doctor` `subak policy mend`"
    assert faults_in_commands(page) == [
        "subak chek 0: no such command",
        "subak check 0 --arch a: subak check has no --arch",
        "subak policy mend: no such command",
    ]
    assert make_targets("```\nmake up   # it\n```\nand `make nonsense`, but make haste") == {"up", "nonsense"}


def test_the_readme_names_its_two_commands() -> None:
    assert {"up", "test"} <= make_targets(README)


def test_the_readmes_example_is_the_file_and_prints_what_it_says() -> None:
    [block] = fenced(README, "python")
    assert block == EXAMPLE.read_text()
    [says] = fenced(README, "text")
    assert _run(EXAMPLE.read_text()) == says
    assert len(block.rpartition("import ")[2].splitlines()[1:]) <= 1 + 10, "a blank line and ten others after the imports"


@pytest.mark.parametrize("path", [path for path in PAGES if path.name != "README.md"], ids=name)
def test_python_in_a_page_runs(path: Path) -> None:
    for block in fenced(path.read_text(), "python"):
        _run(block)


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_links_in_a_page_lead_somewhere(path: Path) -> None:
    prose = re.sub(r"^```.*?^```$|`[^`\n]*`", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    targets = [
        target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", prose) if "://" not in target and not target.startswith("#")
    ]
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("page", [path for path in PAGES if path.name != "README.md"], ids=name)
def test_files_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text()
    paths = re.findall(r"`((?:src|tests|docs|bench|contracts|vectors)/[\w./-]+)`", text)
    modules = re.findall(r"`((?:core|kinds|archive|chain|host|verifier|explorer|lab|cli)(?:/\w+)+\.py)`", text)
    named = [*(ROOT / path for path in paths), *(ROOT / "src" / "subak" / module for module in modules)]
    assert [name(path) for path in named if not path.exists()] == []


def test_make_help_lists_every_target() -> None:
    shown = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=20).stdout
    phony = re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    assert phony is not None
    assert re.findall(r"^make (\w+)", shown, re.MULTILINE) == phony[1].split()
    assert {"up", "test", "check", "bench", "contracts", "clean"} <= set(phony[1].split())


def test_bench_knows_its_names() -> None:
    asked = subprocess.run([sys.executable, "-m", "bench", "--only", "nonsense"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert asked.returncode == 2
    promised = "intake_vs_bare_verify settle_million_seconds settle_million_gib merkle_vs_openzeppelin claim_gas_first claim_gas_repeat"
    assert [each for each in promised.split() if each not in asked.stderr.replace("\n", " ")] == []


def _run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout
