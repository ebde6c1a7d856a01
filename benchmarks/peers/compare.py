"""Runs the workers of jaxrl and of each peer in turn, and compares their steps per second."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from rich.console import Group
from rich.table import Table

from benchmarks.peers.work import SEEDS, WORK
from benchmarks.processes import ask

MODULES = {"rejax": "on_rejax", "stable-baselines3": "on_stable_baselines3"}
PROCESSES = 5  # of each side, in turn, so that a slow minute of the machine affects both
CALLS = 5  # timed in each process
MIN_SECONDS = 1.0  # of a call
RESAMPLES = 2_000


def measure(smoke: bool, only: str) -> Iterator[dict[str, Any]]:
    """A row for each workload and peer. With `smoke` only jaxrl's side runs and nothing is installed."""
    chosen = [work for work in WORK if only in work]
    if smoke:
        for work in chosen[:1]:
            report = run_worker(Path(sys.executable), "on_jaxrl", work, seeds=2, calls=1, min_seconds=0.1)
            yield row(work, 2, {"jaxrl": [report]})
        return
    pythons = {peer: environment(peer) for peer in MODULES}
    for work in chosen:
        for peer, module in MODULES.items():
            seeds = 1 if peer == "stable-baselines3" else SEEDS[work]
            sides = {"jaxrl": (Path(sys.executable), "on_jaxrl"), peer: (pythons[peer], module)}
            reports: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
            for _ in range(PROCESSES):
                for side, (python, worker) in sides.items():
                    reports[side].append(run_worker(python, worker, work, seeds, CALLS, MIN_SECONDS))
            yield row(work, seeds, reports)


def environment(peer: str) -> Path:
    """The Python of a peer's virtual environment. Makes it from pinned requirements if it is missing."""
    requirements = Path(__file__).with_name(f"{peer}.txt")
    identity = f"{sys.version} {requirements.read_text()}"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    folder = platformdirs.user_cache_path("jaxrl") / "peers" / f"{peer}-{digest}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    complete = folder / "complete"
    if not complete.exists():
        print(f"installing {peer} into {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "-q", "--retries", "1", "-r", str(requirements)], check=True
        )
        complete.touch()
    return python


def run_worker(
    python: Path, worker: str, work: str, seeds: int, calls: int, min_seconds: float
) -> dict[str, Any]:
    """What a worker reports. Raises RuntimeError with its last messages if it fails."""
    module, arguments = f"benchmarks.peers.{worker}", (work, str(seeds), str(calls), str(min_seconds))
    # A peer's virtual environment holds jax for the CPU only.
    return ask([str(python), "-m", module, *arguments], {**os.environ, "JAX_PLATFORMS": "cpu"})


def row(work: str, seeds: int, reports: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The medians, their ratio and all that the workers of each side reported; jaxrl's side comes first.

    Raises RuntimeError if two of them did not do the same number of steps and updates an iteration.
    """
    counts = ("steps_per_iteration", "updates_per_iteration")
    done = {side: {tuple(report[name] for name in counts) for report in of} for side, of in reports.items()}
    if len(set.union(*done.values())) != 1:
        raise RuntimeError(f"{work}: steps and updates of an iteration differ: {done}")
    rates = {side: [rates_of(report) for report in of] for side, of in reports.items()}
    medians = {side: float(np.median(of)) for side, of in rates.items()}
    result = {"work": work, "seeds": seeds, "steps_per_second": medians}
    if len(rates) == 2:
        ours, theirs = rates.values()
        result["ratio"] = ratio_interval(ours, theirs, np.random.default_rng(0))
    result["share_of_product"] = float(np.median([share_of_product(each) for each in reports["jaxrl"]]))
    return result | {"settings": WORK[work], "processes": reports}


def share_of_product(report: dict[str, Any]) -> float:
    """Operations of jaxrl's matrix products a second, by those of one large product in the same process."""
    rate = report["iterations"] / float(np.median(report["seconds"]))
    return rate * report["flops_per_iteration"] / report["product_flops_per_second"]


def rates_of(report: dict[str, Any]) -> list[float]:
    """Environment steps of all seeds per second, of each timed call."""
    steps = report["iterations"] * report["steps_per_iteration"]
    return [steps / seconds for seconds in report["seconds"]]


def ratio_interval(
    ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]], rng: np.random.Generator
) -> tuple[float, float, float]:
    """The ratio of two medians with its 95 % percentile-bootstrap interval: estimate, low, high.

    Each side is [processes, calls]. A resample draws processes, and calls within each: the calls of one
    process share its luck, so alone they would promise too much.
    """

    def medians(rates: Sequence[Sequence[float]]) -> np.ndarray:
        values = np.asarray(rates)
        processes, calls = values.shape
        process = rng.integers(processes, size=(RESAMPLES, processes, 1))
        call = rng.integers(calls, size=(RESAMPLES, processes, calls))
        return np.median(values[process, call], axis=(1, 2))

    low, high = np.quantile(medians(ours) / medians(theirs), [0.025, 0.975])
    return float(np.median(ours) / np.median(theirs)), float(low), float(high)


def report(rows: list[dict[str, Any]]) -> Group:
    """A table with a line for each row, and what was timed."""
    columns = ("jaxrl steps/s", "of a product", "peer", "peer steps/s", "ratio", "95 %")
    table = Table("work", "seeds", *columns, box=None)
    for row in rows:
        ours, *theirs = row["steps_per_second"].items()
        cells = [row["work"], str(row["seeds"]), f"{ours[1]:,.0f}", f"{row['share_of_product']:.1%}"]
        for peer, rate in theirs:
            ratio, low, high = row["ratio"]
            cells += [peer, f"{rate:,.0f}", f"{ratio:.2f}", f"{low:.2f} to {high:.2f}"]
        table.add_row(*cells)
    ours, *theirs = rows[0]["processes"].values()
    if theirs:
        note = f"medians of {len(ours)} processes x {len(ours[0]['seconds'])} calls in turn, on the CPU"
    else:
        note = f"jaxrl alone: {' and '.join(MODULES)} need an installation, which --smoke leaves out"
    return Group(table, note)
