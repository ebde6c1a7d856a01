"""Time and memory by the number of seeds, and the time until CartPole is solved by many at once."""

import statistics
from collections.abc import Iterator
from typing import Any

from rich.console import Group
from rich.table import Table

from benchmarks import solve
from benchmarks.processes import in_fresh_process
from benchmarks.training import MIN_SECONDS, seed_counts, train
from jaxrl.compiled.lane_memory import shown_bytes
from jaxrl.registry import plain_parameters

COST = ("ppo CartPole-v1", "dqn CartPole-v1", "q_learning GridWorld-v0")
SOLVE = "solve CartPole-v1"
SOLVED_SEEDS = (1, 64, 256)
ROUNDS = 3  # of processes; a round has one for each number of seeds
CALLS = 3


def measure(smoke: bool, only: str) -> Iterator[dict[str, Any]]:
    """A row for each workload whose name contains `only` and each number of seeds."""
    chosen = [name for name in COST if only in name]
    for name in chosen[-1:] if smoke else chosen:
        yield from costs(name, smoke)
    if only in SOLVE:
        yield from solutions(smoke)


def costs(name: str, smoke: bool) -> Iterator[dict[str, Any]]:
    """A row for each number of seeds: wall-clock microseconds per step of any seed, and memory."""
    counts, rounds, calls = ((2,), 1, 1) if smoke else (seed_counts(), ROUNDS, CALLS)
    processes = [
        [in_fresh_process(train, name, seeds, calls, MIN_SECONDS) for seeds in counts] for _ in range(rounds)
    ]
    for seeds, reports in zip(counts, zip(*processes, strict=True), strict=True):
        yield {
            "work": name,
            "seeds": seeds,
            "microseconds": 1e6 / statistics.median(each["steps_per_second"] for each in reports),
            "resident_bytes": statistics.median(each["resident_bytes"] for each in reports),
            "processes": reports,
        }


def solutions(smoke: bool) -> Iterator[dict[str, Any]]:
    """A row for each number of seeds: seconds and steps until CartPole is solved, or None.

    Each round uses other seeds.
    """
    counts, rounds, budget = ((2,), 1, 2_560) if smoke else (SOLVED_SEEDS, ROUNDS, solve.BUDGET)
    processes = [
        [in_fresh_process(solve.solve, f"{i * seeds}:{(i + 1) * seeds}", budget) for seeds in counts]
        for i in range(rounds)
    ]
    for seeds, reports in zip(counts, zip(*processes, strict=True), strict=True):
        ends = [report["curve"][-1] for report in reports]
        solved = all(end["share"] >= solve.SHARE for end in ends)
        yield {
            "work": SOLVE,
            "seeds": seeds,
            "seconds": statistics.median(end["seconds"] for end in ends) if solved else None,
            "steps": statistics.median(end["steps"] for end in ends) if solved else None,
            "share": statistics.median(end["share"] for end in ends),
            "processes": reports,
            "settings": plain_parameters(solve.SETTINGS),
        }


def report(rows: list[dict[str, Any]]) -> Group:
    """A table of costs and one of solutions, if there are any."""
    cost = Table("work", "seeds", "wall-clock µs per step", "resident memory", box=None)
    solution = Table("work", "seeds", "seconds", "steps of a seed", "solved", box=None)
    for row in rows:
        if row["work"] == SOLVE:
            took = (f"{row['seconds']:.2f}", f"{row['steps']:,.0f}") if row["seconds"] else ("not solved", "")
            solution.add_row(row["work"], f"{row['seeds']:,}", *took, f"{row['share']:.0%}")
        else:
            memory = shown_bytes(row["resident_bytes"])
            cost.add_row(row["work"], f"{row['seeds']:,}", f"{row['microseconds']:.3g}", memory)
    note = (
        f"medians of {len(rows[0]['processes'])} processes; solved: at least {solve.SHARE:.0%} of the seeds "
        "have a return of 475 in one deterministic evaluation, without the time to compile"
    )
    return Group(*(table for table in (cost, solution) if table.rows), note)
