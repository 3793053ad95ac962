"""``subak simulate``: the whole network in one process, from one seed."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

SEEDS = "A..B"


def simulate(
    scenario: Annotated[str, typer.Option(help="Which one; `list` tells them all.")] = "mixed",
    seed: Annotated[int, typer.Option(help="What everything is drawn from.")] = 1,
    seeds: Annotated[str, typer.Option(metavar=SEEDS, help="Many seeds one after another, both ends included, instead of one.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON for each seed.")] = False,
    log: Annotated[bool, typer.Option(help="Tell everything that happened; one seed after another.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Run seeds in so many processes at once; 0: in as many as there are cores.")] = 1,
) -> None:
    """Live through a network's days in seconds: real intake, archive, settlement and contracts; pretend clock, wire and chain.

    A run is a function of scenario and seed. A seed that breaks a promise prints how to run it again, and the exit code is 1.
    """
    # Tables of a few rows gain nothing from threads, and lose a quarter of the time. Read when Polars is first imported.
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    import logging

    import msgspec

    from subak.lab.simulator.many import run_seeds
    from subak.lab.simulator.scenarios import SCENARIOS
    from subak.lab.simulator.world import simulate as run

    if scenario == "list":
        for each in SCENARIOS.values():
            typer.echo(f"{each.name:14} {each.about}")
        return
    if scenario not in SCENARIOS:
        raise typer.BadParameter(f"there is no {scenario}; there are {', '.join(SCENARIOS)}", param_hint="--scenario")
    logging.getLogger("subak").addHandler(logging.NullHandler())
    failed = 0
    numbers = _range(seeds) if seeds else range(seed, seed + 1)
    told_all = (run(SCENARIOS[scenario], number, say=typer.echo) for number in numbers)
    for outcome in told_all if log else run_seeds(scenario, numbers, min(workers or os.cpu_count() or 1, len(numbers))):
        failed += not outcome.passed
        if as_json:
            told = {**msgspec.to_builtins(outcome), "passed": outcome.passed, "replay": outcome.replay}
            typer.echo(msgspec.json.encode(told).decode())
            continue
        typer.echo(
            f"{outcome.scenario} seed {outcome.seed}: {'ok' if outcome.passed else 'BROKEN'}, {outcome.final_epochs} epochs final in "
            f"{outcome.steps} steps, {outcome.seconds:.1f} s, trace {outcome.trace[:16]}"
        )
        for name, words in outcome.told.items():
            typer.echo(f"  {name}: {words}")
        for words in outcome.violations:
            typer.echo(f"  {words}")
        if not outcome.passed:
            typer.echo(f"  again: {outcome.replay} --log")
    if failed:
        sys.exit(1)


def _range(text: str) -> range:
    first, dots, last = text.partition("..")
    if not (dots and first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
        raise typer.BadParameter(f"{text!r} is no range like 1..50", param_hint="--seeds")
    return range(int(first), int(last) + 1)
