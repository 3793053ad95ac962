"""Many seeds, in this process or in several; what happens in one touches no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context

from subak.lab.simulator.scenarios import SCENARIOS
from subak.lab.simulator.world import Outcome, simulate

SEEDS_A_PROCESS = 100
"""So many runs, then a fresh process: whatever a library piles up goes with the old one."""
AHEAD = 4
"""So many seeds a process wait in line."""


Run = Callable[[str, int], Outcome]
"""One seed of a scenario; a function of a module, so that other processes find it."""


def run_one(scenario: str, seed: int) -> Outcome:
    """How a seed of a scenario of ``SCENARIOS`` ends."""
    return simulate(SCENARIOS[scenario], seed)


def run_seeds(scenario: str, seeds: Sequence[int], workers: int = 1, run: Run = run_one) -> Iterator[Outcome]:
    """How each seed of a scenario of ``SCENARIOS`` ends, in the order of the seeds, each as soon as it and all before it are done.

    A process that dies takes no other seed with it: the first seed without an outcome is run again alone, and is broken if that one
    dies too.
    """
    if workers == 1:
        yield from (run(scenario, seed) for seed in seeds)
        return
    left = list(seeds)
    while left:
        try:
            for outcome in _in_pool(scenario, tuple(left), workers, run):
                left.remove(outcome.seed)
                yield outcome
        except BrokenProcessPool:
            yield _alone(scenario, left.pop(0), run)


def _in_pool(scenario: str, seeds: Sequence[int], workers: int, run: Run) -> Iterator[Outcome]:
    # A fork would copy the threads' locks of Polars without the threads.
    with ProcessPoolExecutor(workers, get_context("spawn"), max_tasks_per_child=SEEDS_A_PROCESS) as pool:
        waiting, rest = list[Future[Outcome]](), iter(seeds)
        try:
            waiting += [pool.submit(run, scenario, seed) for seed in islice(rest, workers * AHEAD)]
            while waiting:
                yield waiting.pop(0).result()
                waiting += [pool.submit(run, scenario, seed) for seed in islice(rest, 1)]
        finally:
            for future in waiting:
                future.cancel()


def _alone(scenario: str, seed: int, run: Run) -> Outcome:
    try:
        return next(_in_pool(scenario, [seed], 1, run))
    except BrokenProcessPool as error:
        return Outcome(scenario, seed, [f"the process died: {error}"], "", 0, 0, 0.0)
