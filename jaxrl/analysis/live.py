"""Live logs: a training's metrics in TensorBoard or Weights & Biases while it runs (`jaxrl train --log`).

Each setting is a run there, named by environment, algorithm and "mean", with the mean of each metric over the
runs of the setting. `<metric>/low` and `<metric>/high` are the mean's 95 % interval by Student's t, which is
cheap; reports have bootstrap intervals. `runs` is how many runs the means are over. If asked, each run of the
study is a run there too, named by its seed. `jaxrl export` writes all runs of a complete study.
"""

import contextlib
import functools
import os
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from jaxrl import registry
from jaxrl.analysis.sinks import SINKS, Sink
from jaxrl.errors import unknown
from jaxrl.run.callbacks import Callback, ChunkReport
from jaxrl.store.files import is_url, located, require_no_link
from jaxrl.store.working_copy import opened
from jaxrl.study.study import Run

MOST = 100  # settings that are logged, and runs, the first ones: each keeps a file open


@contextlib.contextmanager
def log_to(to: str, path: str | os.PathLike[str], seeds: bool = False) -> Iterator[Callback]:
    """A callback for `train` and `resume` into the results folder `path`, which logs every chunk there.

    If `path` is a URL, it logs into the current folder. to: "tensorboard" or "wandb". seeds: also logs the
    first 100 runs by themselves. Raises InputError for another `to`, or a package that is not installed.
    """
    if to not in SINKS:
        raise unknown("log", to, SINKS)
    place = Path() if is_url(path) else located(path)
    log = _Log(SINKS[to](require_no_link(place / to), True), path, seeds)
    try:
        yield log
    finally:
        log.close()


class _Log:
    """Writes each run's values at once, and the mean of a setting when all of its runs have reported a step.

    The runs of an extension by seeds are trained without those before, so they have a mean of their own.
    """

    def __init__(self, sink: Sink, path: str | os.PathLike[str], seeds: bool) -> None:
        self.sink, self.path, self.seeds = sink, path, seeds
        self.started: dict[Hashable, Any] = {}
        # (a run of the setting, step) by setting, block and step -> metric -> values of the runs so far
        self.waiting: dict[tuple[int, int, int], tuple[Run, dict[str, list[float]]]] = {}

    def __call__(self, report: ChunkReport) -> None:
        for place, run in enumerate(report.runs):
            values = {name: float(each[place]) for name, each in report.metrics.items()}
            if self.seeds and run.id < MOST:
                self._write(run, f"seed-{run.seed}", report.step, values)
            if run.setting < MOST:
                _, found = self.waiting.setdefault((run.setting, run.block, report.step), (run, {"runs": []}))
                for name, value in ({"runs": 1.0} | values).items():
                    found.setdefault(name, []).append(value)
        for key in [*self.waiting]:
            if len(self.waiting[key][1]["runs"]) == self.blocks[key[1]]:
                self._write_mean(key)

    @functools.cached_property
    def blocks(self) -> list[int]:
        """The runs of a setting in each block of seeds."""
        study = opened(self.path).manifest()["study"]
        return [len(seeds) for seeds in (study["seeds"], *study["more_seeds"])]

    def _write_mean(self, key: tuple[int, int, int]) -> None:
        (_, block, step), (run, values) = key, self.waiting.pop(key)
        name = f"mean-of-extension-{block}" if block else "mean"
        runs = {"runs": float(len(values.pop("runs")))}
        self._write(run, name, step, runs | means(values))

    def _write(self, run: Run, name: str, step: int, values: Mapping[str, float]) -> None:
        if (key := (run.setting, name)) not in self.started:
            labels = registry.label_of(run.environment), registry.label_of(run.algorithm)
            parameters = registry.plain_parameters(run.algorithm)
            self.started[key] = self.sink.start((*labels, name), parameters)
        self.sink.write(self.started[key], step, values)

    def close(self) -> None:
        """Ends all runs, after the means of those runs that have reported a step that others have not."""
        for key in sorted(self.waiting):
            self._write_mean(key)
        for each in self.started.values():
            self.sink.finish(each)
        self.sink.close()


def means(values: Mapping[str, list[float]]) -> dict[str, float]:
    """The mean of each metric without NaN, and its interval if there are two values or more."""
    found: dict[str, float] = {}
    for name, each in values.items():
        known = np.array(each)[np.isfinite(each)]
        if known.size:
            found[name] = float(known.mean())
        if known.size > 1:
            half = stats.t.ppf(0.975, known.size - 1) * known.std(ddof=1) / np.sqrt(known.size)
            found |= {f"{name}/low": found[name] - half, f"{name}/high": found[name] + half}
    return found
