"""Seconds of the bootstrap of a curve band, of comparisons, and of whole reports of 1,000 runs."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Group
from rich.table import Table

from benchmarks.timing import timed
from jaxrl.report.page import write_studies
from jaxrl.statistics import RESAMPLES, compare_all, compare_with_best, curve_band
from jaxrl.store.results import Results

POINTS, CALLS = 100, 3
SHAPES = {  # environments, settings of each, runs of each setting
    "report of 1 setting": (1, 1, 1_000),
    "report of 10 settings": (1, 10, 100),
    "report of 4 environments x 10 settings": (4, 10, 25),
}
COMPARISONS = {  # what compares, settings, runs of each setting
    "comparison with the best of 10 settings": (compare_with_best, 10, 1_000),
    "comparison with the best of 30 settings": (compare_with_best, 30, 30),
    "comparison with the best of 100 settings": (compare_with_best, 100, 30),
    "comparison with the best of 300 settings": (compare_with_best, 300, 30),
    "comparison of all pairs of 30 settings": (compare_all, 30, 30),
}
BAND = f"curve band of {POINTS} points, {RESAMPLES:,} resamples"


def measure(smoke: bool, only: str) -> Iterator[dict[str, Any]]:
    """A row for each workload whose name contains `only`."""
    calls = 1 if smoke else CALLS
    if only in BAND:
        runs = 50 if smoke else 1_000
        curves = np.random.default_rng(0).normal(size=(runs, POINTS))
        seconds = [timed(curve_band, curves, np.random.default_rng(1)) for _ in range(calls)]
        yield {"work": BAND, "runs": runs, "seconds": seconds}
    for name, (compare, settings, runs) in COMPARISONS.items():
        if only in name:
            table = made_scores(*((2, 4) if smoke else (settings, runs)))
            seconds = [timed(compare, table, np.random.default_rng(1), 0.5) for _ in range(calls)]
            yield {"work": name, "runs": len(table), "seconds": seconds}
    for name, shape in SHAPES.items():
        if only in name:
            environments, settings, runs = (min(size, 2) for size in shape) if smoke else shape
            with tempfile.TemporaryDirectory() as folder:
                study = made_study(Path(folder), environments, settings, runs)
                seconds = [timed(write_studies, [study], study.path) for _ in range(calls)]
                size = (study.path / "report.html").stat().st_size
            yield {"work": name, "runs": len(study.runs), "seconds": seconds, "bytes": size}


def report(rows: list[dict[str, Any]]) -> Group:
    """A table with a line for each row."""
    table = Table("work", "runs", "seconds (least, most)", "page", box=None)
    for row in rows:
        median, least, most = (f(row["seconds"]) for f in (np.median, np.min, np.max))
        page = f"{row['bytes'] / 1e6:.1f} MB" if "bytes" in row else "-"
        table.add_row(row["work"], f"{row['runs']:,}", f"{median:.2f} ({least:.2f}, {most:.2f})", page)
    return Group(table)


def made_scores(settings: int, runs: int) -> pd.DataFrame:
    """An invented score table, whose settings differ by up to ten standard deviations of their runs."""
    scores = np.random.default_rng(0).normal(np.linspace(0, 10, settings)[:, None], 1, (settings, runs))
    names = np.repeat([f"s{setting}" for setting in range(settings)], runs)
    columns = {"run": np.arange(scores.size), "environment": "E", "setting": names, "score": scores.ravel()}
    return pd.DataFrame(columns)


def made_study(path: Path, environments: int, settings: int, runs: int) -> Results:
    """An invented study: curves that rise to a return that differs by setting and seed."""
    names = [(f"E{e}-v0", 1e-4 * (s + 1)) for e in range(environments) for s in range(settings)]
    table = pd.DataFrame([(*name, seed) for name in names for seed in range(runs)])
    table.columns = pd.Index(["environment", "learning_rate", "seed"])
    table = table.assign(algorithm="ppo", status="complete", steps=100_000, solved_return=475.0)
    table.insert(0, "run", np.arange(len(table)))
    rng = np.random.default_rng(0)
    final = 400 + 3e4 * table["learning_rate"].to_numpy() + rng.normal(0, 30, len(table))
    values = final[:, None] * np.linspace(0, 1, POINTS) + rng.normal(0, 5, (len(table), POINTS))
    place = {
        "run": np.repeat(table["run"].to_numpy(), POINTS),
        "step": np.tile(np.linspace(0, 100_000, POINTS).astype(int), len(table)),
    }
    metrics = ("eval_return", "return")
    curves = [pd.DataFrame({**place, "metric": metric, "value": values.ravel()}) for metric in metrics]
    manifest = {
        "status": "complete",
        "jaxrl": "0",
        "created": "2026-01-01T00:00:00+00:00",
        "study": {"evaluation_episodes": 10, "prng": "threefry2x32", "seeds": [*range(runs)]},
        "plan": {"width": 64, "devices": 1},
        "machine": {"jax": "0", "python": "3", "device": "cpu"},
        "seconds": [{"runs": table["run"].to_list(), "train": 1.0}],
    }
    return Results(path, manifest, table, pd.concat(curves, ignore_index=True))
