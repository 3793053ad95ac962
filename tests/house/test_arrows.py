"""The arrows between rooms are guarded: an import that points the wrong way, planted in a copy of the package, breaks its contract."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .rooms import PACKAGE, ROOT

LINT = Path(sys.executable).parent / "lint-imports"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package's Python files and the contracts, free to be spoiled."""
    shutil.copytree(PACKAGE, tmp_path / "subak", ignore=lambda folder, names: {n for n in names if "." in n and not n.endswith(".py")})
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "200"}
    return subprocess.run([LINT, "--no-cache", "--no-logo"], cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("file", "planted", "contract"),
    [
        ("core/settlement/money.py", "import subak.kinds.energy", "Rooms"),
        ("verifier/intake.py", "import subak.host.outbox", "Rooms"),
        ("host/agent.py", "import subak.explorer.ledger", "Rooms"),
        ("chain/rpc.py", "import subak.archive.store", "Rooms"),
        ("a_new_room.py", "", "Rooms"),
        ("core/canon/entry.py", "import time", "Core and every kind's rules are pure"),
        ("core/nouns/book.py", "from pathlib import Path", "Core and every kind's rules are pure"),
        ("kinds/energy/rules/judge.py", "def f():\n    import random", "Core and every kind's rules are pure"),
        ("kinds/energy/rules/judge.py", "import polars", "Rules import only core"),
        ("kinds/_blueprint/rules/__init__.py", "import subak.kinds.registry", "Rules import only core"),
        ("kinds/energy/rules/judge.py", "from subak.kinds.energy import policy", "Only the door calls the code that builds limit tables"),
        (
            "verifier/closing.py",
            "import subak.kinds.energy.policy",
            "Only the door calls the code that builds limit tables",
        ),
        ("lab/recording.py", "import pvlib", "Only the code that builds limit tables computes with pvlib"),
        ("kinds/_blueprint/__init__.py", "import subak.kinds.energy.rules", "Kinds are strangers"),
        ("verifier/known.py", "import pymodbus", "A device's protocol stays beside the device"),
    ],
)
def test_a_wrong_arrow_breaks_its_contract(copy: Path, file: str, planted: str, contract: str) -> None:
    path = copy / "subak" / file
    path.write_text((path.read_text() if path.exists() else '"""New."""\n') + f"\n{planted}\n")
    done = lint(copy)
    broken = [line for line in done.stdout.splitlines() if line.endswith(" BROKEN")]
    assert done.returncode == 1, done.stdout + done.stderr
    assert any(line.startswith(contract) for line in broken), done.stdout


def test_unspoiled_the_copy_is_kept(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout + done.stderr
