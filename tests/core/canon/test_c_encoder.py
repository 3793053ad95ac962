"""The firmware author's example, compiled as it stands, gives the bytes that Python gives."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).parents[3] / "vectors" / "c" / "encode.c"
READING = "energy.reading/1(export_wh:u63,import_wh:u63,generation_wh:u63)"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("c") / "encode"
    strict = ["-std=c99", "-pedantic-errors", "-Wall", "-Wextra", "-Werror", "-O2", "-fsanitize=undefined", "-fno-sanitize-recover"]
    subprocess.run(["gcc", *strict, "-o", program, SOURCE], check=True, timeout=60)
    return program


def arguments(golden: dict[str, Any]) -> list[str]:
    header = [golden[name].hex() for name in ("network", "subject", "signer")]
    numbers = [str(golden[name]) for name in ("sequence", "start_unix_s", "interval_seconds")]
    return header + numbers + [value for row in golden["rows"] for value in row]


def test_the_same_bytes(encoder: Path, vectors: Callable[[str], Any]) -> None:
    readings = [golden for golden in vectors("entries.json")["entries"] if golden["schema"] == READING]
    assert len(readings) == 4
    for golden in readings:
        done = subprocess.run([encoder, *arguments(golden)], capture_output=True, text=True, check=True, timeout=10)
        assert bytes.fromhex(done.stdout) == golden["signed"], golden["note"]


def test_the_schema_in_the_source_is_the_schema(vectors: Callable[[str], Any]) -> None:
    line = re.search(r"SCHEMA\[8\] = \{(.*)\}", SOURCE.read_text())
    assert line is not None
    (known,) = [schema["id"] for schema in vectors("ids.json")["schemas"] if schema["text"] == READING]
    assert bytes(int(byte, 16) for byte in line[1].split(",")) == known
    assert READING in SOURCE.read_text()


def test_values_out_of_range_are_refused(encoder: Path, vectors: Callable[[str], Any]) -> None:
    good = arguments(vectors("entries.json")["entries"][0])
    for at, value in ((4, 2**63), (6, 2**63), (8, 2**64 - 1)):
        done = subprocess.run([encoder, *good[:at], str(value), *good[at + 1 :]], capture_output=True, text=True, check=False, timeout=10)
        assert done.returncode == 1
        assert done.stdout == ""
    assert subprocess.run([encoder, *good[:-1]], capture_output=True, check=False, timeout=10).returncode == 2
