"""What every file of ours keeps: a first sentence, a licence, no name of the machine it was written on; and what the package carries."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from .rooms import ROOT, name, sources, texts

FOLDERS = {path for path in (ROOT, ROOT.parent, Path.home()) if path != Path("/")}
HERE = re.compile("|".join(rf"(?<![\w.-]){re.escape(str(path))}/" for path in sorted(FOLDERS)))
"""A path of the machine that this runs on: written down by mistake, since it worked there."""


@pytest.mark.parametrize("path", sources(), ids=name)
def test_a_module_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not tree.body or ast.get_docstring(tree)


def test_no_file_names_a_path_of_this_machine() -> None:
    lines = [(path, number, line) for path in texts() for number, line in enumerate(path.read_text().splitlines(), 1)]
    assert [f"{name(path)}:{number}: {line.strip()[:100]}" for path, number, line in lines if HERE.search(line)] == []
    assert HERE.search(f"see {ROOT}/README.md")


def test_the_licence_is_there_and_is_the_one_that_is_declared() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"] == "Apache-2.0"
    contracts = [*(ROOT / "contracts" / "src").rglob("*.sol"), *(ROOT / "contracts" / "test").rglob("*.sol")]
    assert len(contracts) > 10
    assert [name(path) for path in contracts if "SPDX-License-Identifier: Apache-2.0" not in path.read_text()] == []


@pytest.mark.parametrize("folder", ["src/subak/lab/data", "tests/data"])
def test_data_of_others_lie_beside_their_licence_and_where_they_come_from(folder: str) -> None:
    data = ROOT / folder
    note = (data / "README.md").read_text()
    assert [*data.glob("*LICENSE*")]
    assert [path.name for path in data.glob("*.parquet") if path.name not in note] == []


@pytest.mark.parametrize(
    ("package", "folder", "least"),
    [
        ("subak.chain", "artifacts", ("Settlement.json", "Token.json")),
        ("subak.lab", "data", ("fontana-2017-06.parquet", "clear-sky-fontana-2017-06.parquet", "fontana-LICENSE.txt", "README.md")),
        ("subak.explorer", "templates", ()),
        ("subak.explorer", "static", ()),
        ("subak", ".", ("py.typed",)),
    ],
)
def test_the_package_carries_its_data(package: str, folder: str, least: tuple[str, ...]) -> None:
    there = {each.name: each for each in files(package).joinpath(folder).iterdir()}
    assert there
    assert set(least) <= there.keys()
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    patterns = declared["*"] if folder == "." else [each for each in declared[package] if each.startswith(f"{folder}/")]
    for found in there.values():
        if found.is_file() and not found.name.endswith((".py", ".c", ".pyi", ".so")):
            relative = Path(found.name) if folder == "." else Path(folder) / found.name
            assert any(relative.match(pattern) for pattern in patterns), f"{package}: {relative} is not in package-data"
