"""The payout tree against ``@openzeppelin/merkle-tree``: the same 100,000 leaves (address, uint256, uint256), the same root, one run.

Timed for us: from addresses as an array and amounts as Python integers to the root, which is ABI packing, two hashes a leaf, sorting and
every node of the tree; the median of several builds. Timed for OpenZeppelin: ``StandardMerkleTree.of`` on ready values and its root, once,
in node. Reading the input is timed for neither.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from subak.core.canon.keccak import keccak_rows
from subak.core.canon.merkle import Tree, pack_words, standard_leaf_hashes

LEAVES = 100_000
ROUNDS = 9
MOST_UNITS = 10**24
"""A million tokens of 18 decimals, the most that a leaf holds here."""


def run() -> dict[str, float]:
    """Measures, prints and returns ``merkle_vs_openzeppelin``, how many times less time a leaf takes, and both times in microseconds."""
    dice = np.random.default_rng(20)
    accounts = dice.integers(0, 256, (LEAVES, 20), np.uint8)
    rewards, fees = ([int(share * MOST_UNITS) for share in dice.random(LEAVES)] for _ in range(2))

    seconds: dict[str, list[float]] = {"pack": [], "leaves": [], "tree": []}
    root = b""
    for _ in range(ROUNDS):
        started = time.perf_counter()
        words = pack_words(accounts, rewards, fees)
        packed = time.perf_counter()
        leaves = standard_leaf_hashes(words)
        hashed = time.perf_counter()
        root = Tree(leaves).root
        planted = time.perf_counter()
        for part, took in zip(seconds, (packed - started, hashed - packed, planted - hashed), strict=True):
            seconds[part].append(took)
    totals = [sum(parts) for parts in zip(*seconds.values(), strict=True)]
    ours_us = statistics.median(totals) / LEAVES * 1e6

    theirs = _openzeppelin(["0x" + account.tobytes().hex() for account in accounts], rewards, fees)
    assert theirs["root"] == "0x" + root.hex(), f"other roots: theirs {theirs['root']}, ours 0x{root.hex()}"
    theirs_us = float(theirs["milliseconds"]) * 1e3 / LEAVES

    parts = ", ".join(f"{part} {statistics.median(took) / LEAVES * 1e6:.3f}" for part, took in seconds.items())
    print(f"  ours            {ours_us:8.3f} us a leaf (median of {ROUNDS}, {min(totals) / LEAVES * 1e6:.3f} at best: {parts})")
    print(f"  OpenZeppelin    {theirs_us:8.3f} us a leaf (node {theirs['node']}, once)")
    print(f"  keccak          {lanes()}, {_keccak_ns():.0f} ns for 64 bytes")
    print(f"  same root       0x{root.hex()[:16]}…")
    return {"merkle_vs_openzeppelin": theirs_us / ours_us, "merkle_us_per_leaf": ours_us, "openzeppelin_us_per_leaf": theirs_us}


def lanes() -> str:
    """Which build of the batch keccak this processor gets, in words."""
    if find_spec("subak.core.canon._keccak") is None:
        return "safe-pysha3, one at a time (the C extension was not built)"
    cpu = Path("/proc/cpuinfo")
    flags = set(cpu.read_text().partition("flags")[2].partition("\n")[0].split()) if cpu.exists() else set()
    build = next((name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags), "baseline")
    return f"C extension, 8 messages at a time, {build}"


def _keccak_ns() -> float:
    """Time of one hash in a large batch of pairs."""
    pairs = np.random.default_rng(1).integers(0, 256, (LEAVES, 64), np.uint8)
    took = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        keccak_rows(pairs)
        took.append(time.perf_counter() - started)
    return statistics.median(took) / LEAVES * 1e9


def _openzeppelin(accounts: list[str], rewards: list[int], fees: list[int]) -> dict[str, str]:
    question = {"accounts": accounts, "rewards": [str(each) for each in rewards], "fees": [str(each) for each in fees]}
    script = Path(__file__).with_suffix(".mjs")
    done = subprocess.run(["node", script], input=json.dumps(question), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"node failed, is npm ci done? {done.stderr.strip()[-500:]}")
    answer: dict[str, str] = json.loads(done.stdout)
    return answer
