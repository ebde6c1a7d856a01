"""Live logs: a training's metrics in TensorBoard or Weights & Biases while it runs (`jaxrl train --log`).

Each of the first 100 runs is a run there too, named by environment, algorithm and seed. `jaxrl export` writes
all runs of a complete study.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from jaxrl import registry
from jaxrl.analysis.sinks import SINKS
from jaxrl.errors import unknown
from jaxrl.run.callbacks import Callback, ChunkReport
from jaxrl.store.files import located, require_no_link

MOST = 100  # runs that are logged, the first ones: each keeps a file open


@contextlib.contextmanager
def log_to(to: str, folder: str | os.PathLike[str]) -> Iterator[Callback]:
    """A callback for `train` and `resume` that logs every chunk of the first 100 runs.

    to: "tensorboard" or "wandb". Raises InputError for another, or a package that is not installed.
    """
    if to not in SINKS:
        raise unknown("log", to, SINKS)
    sink = SINKS[to](require_no_link(located(folder)), True)
    started: dict[int, Any] = {}

    def write(report: ChunkReport) -> None:
        for place, run in enumerate(report.runs):
            if run.id >= MOST:
                continue
            if run.id not in started:
                labels = registry.label_of(run.environment), registry.label_of(run.algorithm)
                parameters = registry.plain_parameters(run.algorithm)
                started[run.id] = sink.start((*labels, f"seed-{run.seed}"), parameters)
            values = {name: float(each[place]) for name, each in report.metrics.items()}
            sink.write(started[run.id], report.step, values)

    try:
        yield write
    finally:
        for each in started.values():
            sink.finish(each)
        sink.close()
