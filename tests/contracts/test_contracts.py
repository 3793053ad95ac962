"""The contracts keep what their trees say, and the package carries exactly what the sources compile to."""

import hashlib
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sha3

from subak.chain.abi import CONTRACTS

ROOT = Path(__file__).resolve().parents[2]
FORGE = ROOT / "node_modules/@foundry-rs/forge-linux-amd64/bin/forge"
ARTIFACTS = sorted((ROOT / "src/subak/chain/artifacts").glob("*.json"))
FEWEST_TESTS = 180


@cache
def forge_results() -> dict[str, dict[str, str]]:
    """Suite file -> test name -> "Success" or why not, from one run of everything."""
    assert FORGE.exists(), "forge is missing: npm ci"
    done = subprocess.run([FORGE, "test", "--json"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout.strip().startswith("{"), f"forge test did not run\n{done.stdout}\n{done.stderr}"
    suites = json.loads(done.stdout.strip().splitlines()[-1])
    results: dict[str, dict[str, str]] = {}
    for suite, found in suites.items():
        tests = results.setdefault(suite.split(":")[0], {})
        for signature, result in found["test_results"].items():
            tests[signature.split("(")[0]] = result["status"] if result["status"] == "Success" else str(result["reason"])
    if done.returncode != 0:
        assert any(status != "Success" for tests in results.values() for status in tests.values()), done.stderr
    return results


@pytest.mark.timeout(600)
def test_forge_tests_pass() -> None:
    results = forge_results()
    failed = [(suite, name, status) for suite, tests in results.items() for name, status in tests.items() if status != "Success"]
    assert failed == []
    assert sum(map(len, results.values())) >= FEWEST_TESTS


@pytest.mark.timeout(600)
def test_every_case_of_a_tree_is_a_test_and_every_test_is_in_its_tree() -> None:
    for suite, tests in forge_results().items():
        tree = (ROOT / suite.replace(".t.sol", ".tree")).read_text()
        cases = [line for line in tree.splitlines() if re.search(r"── it ", line)]
        named = [name for line in cases for name in re.findall(r"  (\w+)$", line)]
        assert len(named) == len(cases), f"{suite}: a case without a test"
        assert sorted(named) == sorted(tests), suite


@pytest.mark.timeout(120)
def test_artifacts_are_what_the_sources_compile_to() -> None:
    done = subprocess.run([sys.executable, ROOT / "contracts/build.py", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", ARTIFACTS, ids=lambda path: path.stem)
def test_artifact_names_its_sources_and_its_bytecode_names_it(path: Path) -> None:
    """Needs no compiler: sources hash to the metadata, and the metadata hashes to the tail of the bytecode."""
    artifact: dict[str, Any] = json.loads(path.read_text())
    for source, facts in json.loads(artifact["metadata"])["sources"].items():
        digest = sha3.keccak_256((ROOT / source).read_bytes()).hexdigest()
        assert f"0x{digest}" == facts["keccak256"], f"{source} changed: python contracts/build.py"
    assert artifact["bytecode"][2:].count(ipfs_multihash(artifact["metadata"].encode()).hex()) == 1


def ipfs_multihash(content: bytes) -> bytes:
    """What solc appends: the hash under which IPFS keeps `content` as one chunk."""
    assert len(content) <= 256 * 1024
    length = varint(len(content))
    file = b"\x08\x02\x12" + length + content + b"\x18" + length
    return b"\x12\x20" + hashlib.sha256(b"\x0a" + varint(len(file)) + file).digest()


def varint(number: int) -> bytes:
    """A protobuf number."""
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def test_the_package_carries_every_contract() -> None:
    assert sorted(path.stem for path in ARTIFACTS) == sorted(CONTRACTS)
