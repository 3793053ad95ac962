"""Runs the benchmarks, prints what they found beside the targets, and keeps it in ``bench/results.json``: an object from name to value.

Exit code 0 if everything that was asked for ran, whether or not its target was met; 1 if a benchmark failed to run.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results.json"


@dataclass(frozen=True)
class Target:
    """What a benchmark should reach."""

    module: str
    """Module of this package that measures it."""
    bound: float
    """The least or the most."""
    least: bool
    """True if the value must reach the bound, false if it must not exceed it."""

    def met(self, value: float) -> bool:
        """Whether a value is good enough."""
        return value >= self.bound if self.least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.least else '≤'} {number(self.bound)}"


TARGETS = {
    "intake_vs_bare_verify": Target("intake", 0.85, least=True),
    "settle_million_seconds": Target("settle", 20, least=False),
    "settle_million_gib": Target("settle", 3, least=False),
    "watch_vs_settle": Target("watch", 1.5, least=False),
    "merkle_vs_openzeppelin": Target("merkle", 100, least=True),
    "voucher_sign_vs_coincurve": Target("vouchers", 0.8, least=True),
    "voucher_verify_vs_coincurve": Target("vouchers", 0.8, least=True),
    "million_lines_seconds": Target("lines", 10, least=False),
    "store_put_vs_parts": Target("store", 0.4, least=True),
    "store_get_vs_parts": Target("store", 0.4, least=True),
    "claim_gas_first": Target("gas", 110_000, least=False),
    "claim_gas_repeat": Target("gas", 76_000, least=False),
    "redeem_gas_each_of_50": Target("gas", 19_500, least=False),
    "open_gas": Target("gas", 65_000, least=False),
    "settle_14_of_21_gas": Target("gas", 155_000, least=False),
    "equivocation_gas": Target("gas", 50_000, least=False),
}
MODULES = tuple(dict.fromkeys(target.module for target in TARGETS.values()))


def modules_of(only: str) -> tuple[str, ...]:
    """The modules that a result's or module's name asks for; all for "". Errors: ValueError naming what there is."""
    if not only:
        return MODULES
    module = TARGETS[only].module if only in TARGETS else only
    if module not in MODULES:
        raise ValueError(f"there is no benchmark {only!r}: choose one of {', '.join([*TARGETS, *MODULES])}")
    return (module,)


def measure(modules: Sequence[str]) -> tuple[dict[str, float], list[str]]:
    """What the modules found, and the names of those that failed to run, their traceback printed."""
    found: dict[str, float] = {}
    failed = []
    for module in modules:
        print(f"\n{module}", flush=True)
        try:
            results = import_module(f"bench.{module}").run()
            missing = [name for name, target in TARGETS.items() if target.module == module and name not in results]
            if missing:
                raise RuntimeError(f"bench.{module} gave no {', '.join(missing)}")
            found.update(results)
        except Exception:
            traceback.print_exc()
            failed.append(module)
    return found, failed


def merged(before: Mapping[str, float], found: Mapping[str, float], failed: Sequence[str]) -> dict[str, float]:
    """What was known with what was found now; a benchmark that failed keeps no value of an earlier run."""
    stale = {name for name, target in TARGETS.items() if target.module in failed}
    return {name: value for name, value in sorted({**before, **found}.items()) if name not in stale}


def table(found: Mapping[str, float], modules: Sequence[str]) -> Table:
    """Targets first, a row for each that was asked for; then what was measured beside them."""
    shown = Table("name", "value", "target", "met")
    for name, target in TARGETS.items():
        if target.module in modules:
            value = found.get(name)
            verdict = "failed to run" if value is None else "yes" if target.met(value) else "NO"
            shown.add_row(name, "" if value is None else number(value), str(target), verdict)
    for name in sorted(found.keys() - TARGETS.keys()):
        shown.add_row(name, number(found[name]), "", "", style="dim")
    return shown


def number(value: float) -> str:
    """For people: three digits after the point, none for large or whole numbers."""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:,.3f}"


def main(arguments: Sequence[str] | None = None, results: Path = RESULTS) -> int:
    """Run what the command line asks for. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure, and compare with the targets.")
    parser.add_argument("--only", default="", metavar="NAME", help="one result or module: " + ", ".join([*TARGETS, *MODULES]))
    only = parser.parse_args(arguments).only
    try:
        modules = modules_of(only)
    except ValueError as error:
        parser.error(str(error))
    found, failed = measure(modules)
    before = json.loads(results.read_text()) if only and results.exists() else {}
    results.write_text(json.dumps(merged(before, found, failed), indent=2) + "\n")
    print()
    Console().print(table(found, modules))
    if failed:
        print(f"failed to run: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
