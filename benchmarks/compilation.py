"""Seconds of compiling each program, and of loading it from the persistent cache."""

import statistics
import tempfile
from collections.abc import Iterator
from typing import Any

from rich.console import Group
from rich.table import Table

from benchmarks.lanes import Lanes, planned
from benchmarks.processes import in_fresh_process
from benchmarks.timing import timed
from benchmarks.training import WORK
from jaxrl import enable_compilation_cache
from jaxrl.compiled.cores import count_cores
from jaxrl.registry import plain_parameters

SEEDS = 64
ROUNDS = 3
PARTS = ("initialise", "advance", "evaluate")


def measure(smoke: bool, only: str) -> Iterator[dict[str, Any]]:
    """A row for each workload whose name contains `only`, on one device and on all devices at once."""
    chosen = [name for name in WORK if only in name]
    for name in chosen[:1] if smoke else chosen:
        for devices in (1,) if smoke else sorted({1, count_cores()}):
            times: dict[str, list[dict[str, float]]] = {"cold": [], "cached": []}
            for _ in range(1 if smoke else ROUNDS):
                with tempfile.TemporaryDirectory() as folder:
                    variables = {"JAX_COMPILATION_CACHE_DIR": folder, "JAX_NUM_CPU_DEVICES": str(devices)}
                    for of_state in times.values():
                        of_state.append(in_fresh_process(compile_all, name, SEEDS, **variables))
            settings = plain_parameters(WORK[name][0])
            yield {"work": name, "seeds": SEEDS, "devices": devices, **times, "settings": settings}


def compile_all(name: str, seeds: int) -> dict[str, float]:
    """Seconds of each program of a workload when it first runs in this process.

    They include tracing, compiling or loading, and running. `advance` runs no iteration.
    """
    enable_compilation_cache()
    groups, made = planned(*WORK[name], seeds)[:1], list[Lanes]()
    seconds = {"initialise": timed(lambda: made.append(Lanes(groups)))}
    (lanes,) = made
    return seconds | {"advance": timed(lanes.advance, 0), "evaluate": timed(lanes.evaluate)}


def medians(row: dict[str, Any], state: str) -> dict[str, float]:
    """The median seconds of each part over the rounds."""
    return {part: statistics.median(seconds[part] for seconds in row[state]) for part in PARTS}


def report(rows: list[dict[str, Any]]) -> Group:
    """A table with a line for each workload and each state of the cache."""
    table = Table("work", "devices", "cache", "all", *PARTS, box=None)
    for row in rows:
        for state, cache in (("cold", "empty"), ("cached", "full")):
            parts = medians(row, state)
            cells = (f"{seconds:.2f} s" for seconds in (sum(parts.values()), *parts.values()))
            table.add_row(row["work"], str(row["devices"]), cache, *cells)
    return Group(
        table, f"medians of {len(rows[0]['cold'])} pairs of processes, {SEEDS} seeds, on all devices at once"
    )
