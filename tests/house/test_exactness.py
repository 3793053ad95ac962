"""No floats and no outer world in core and in any kind's rules; and the finder finds what is planted."""

from __future__ import annotations

from pathlib import Path

import pytest

from .exactness import floats_in, imports_beyond
from .rooms import PACKAGE, core_and_rules, name

FILES = core_and_rules()


def test_the_files_are_found() -> None:
    names = {name(path).removeprefix("src/subak/") for path in FILES}
    assert {"core/settlement/money.py", "kinds/energy/rules/judge.py", "kinds/_blueprint/rules/__init__.py"} <= names


@pytest.mark.parametrize("path", FILES, ids=name)
def test_core_and_rules_have_no_floats(path: Path) -> None:
    assert floats_in(path.read_text()) == []


@pytest.mark.parametrize("path", FILES, ids=name)
def test_core_and_rules_import_only_what_is_pure(path: Path) -> None:
    room = "core" if path.is_relative_to(PACKAGE / "core") else "rules"
    assert imports_beyond(path.read_text(), room) == []


@pytest.mark.parametrize(
    "planted",
    [
        "x = 0.5",
        "x = 1e3",
        "x = 2j",
        "x = a / b",
        "a /= b",
        "x = float(a)",
        "def f(x: float) -> int: ...",
        "x = np.zeros(3, np.float64)",
        "x = a.astype('f8')",
        "x = a.astype('>f4')",
        "x = a.astype(dtype='float64')",
        "x = column.cast(pl.Float32)",
        "x = np.double(a)",
        "x = np.zeros(3)",
        "x = np.ones((2, 3), order='C')",
        "x = np.empty(3)",
        "x = np.array([])",
        "x = a.mean()",
        "x = np.true_divide(a, b)",
        "x = np.sqrt(a)",
        "import math",
        "from statistics import median",
        "from operator import truediv\nx = truediv(a, b)",
    ],
)
def test_a_planted_float_is_found(planted: str) -> None:
    exact = "import numpy as np\nx = np.zeros(3, np.int64) // 2\ny = 'the mean of 2 f8 floats'\n"
    assert floats_in(exact) == []
    found = floats_in(exact + planted)
    assert [line.partition(":")[0] for line in found] == [str(4 + planted.count("\n"))] * len(found)
    assert found


@pytest.mark.parametrize(
    ("planted", "room"),
    [
        ("import time", "core"),
        ("from datetime import datetime", "core"),
        ("from os import path", "core"),
        ("import importlib", "core"),
        ("from subak.archive import store", "core"),
        ("from subak.kinds.energy.rules import judge", "core"),
        ("x = open('f')", "core"),
        ("__import__('time')", "core"),
        ("import polars as pl", "rules"),
        ("import msgspec", "rules"),
        ("from subak.kinds.energy.policy import build_clear_sky", "rules"),
        ("from ..wire import sunspec", "rules"),
    ],
)
def test_a_planted_import_is_found(planted: str, room: str) -> None:
    assert len(imports_beyond(planted, room)) == 1
    assert imports_beyond("from collections.abc import Mapping\nimport numpy as np\nfrom subak.core.kind import Lines\n", room) == []
