"""A founder's commands: a policy from a table of assets, and tables that are refused with the row that is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from subak.archive.books import read_limit_tables, read_policy
from subak.archive.store import FolderArchive
from subak.core.canon import ed25519
from subak.core.canon.ids import asset_id
from subak.lab.recording import CELL

OWNER = bytes(range(20))
KEY = ed25519.public_key(b"k" * 32)
HEADER = "owner,curve,key,kind,cell,rated\n"
GOOD = f"0x{OWNER.hex()},1,0x{KEY.hex()},energy,{CELL},5000\n"


def subak(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "subak", *arguments], capture_output=True, text=True, timeout=120, check=False)


def build(folder: Path, table: str) -> subprocess.CompletedProcess[str]:
    (folder / "assets.csv").write_text(table)
    issuer = "0x" + "11" * 20
    return subak(
        *("policy", "build", "--out", str(folder / "archive"), "--assets", str(folder / "assets.csv"), "--issuer", issuer),
        *("--first", "2017-06-01", "--last", "2017-06-02", "--json"),
    )


def test_a_policy_is_made_with_its_table_and_attestations(tmp_path: Path) -> None:
    done = build(tmp_path, HEADER + GOOD)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    archive = FolderArchive(tmp_path / "archive")
    policy = read_policy(archive, bytes.fromhex(told["policy"][2:]))
    assert [bytes(each.asset) for each in policy.bootstrap.attestations] == [asset_id(1, KEY, OWNER)]
    sky = read_limit_tables(archive, policy)["energy"]["clear_sky"]
    assert len(sky["cell"]) == told["tables"]["clear_sky"] == 48


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("owner,key\n", "they have to be"),
        (HEADER + GOOD + GOOD, "rows 2 and 3 are the same asset"),
        (HEADER + GOOD.replace("energy", "tides"), "row 2, kind = 'tides'"),
        (HEADER + GOOD.replace(KEY.hex(), "00" * 32), "row 2, key"),
        (HEADER + GOOD.replace("5000", "five"), "row 2, rated = 'five'"),
        (HEADER + GOOD.replace(OWNER.hex(), "ab"), "an address has 20 bytes, this has 1"),
    ],
)
def test_a_bad_row_is_named_with_its_value(tmp_path: Path, table: str, words: str) -> None:
    done = build(tmp_path, table)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
