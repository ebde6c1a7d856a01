"""Live logs: a training's metrics in TensorBoard or Weights & Biases while it runs (`jaxrl train --log`).

Each of the first 100 runs is a run there too, named by environment, algorithm and seed. `jaxrl export` writes
all runs of a complete study.
"""

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from jaxrl import registry
from jaxrl.analysis.sinks import imported
from jaxrl.errors import unknown
from jaxrl.run.callbacks import Callback, ChunkReport
from jaxrl.study.study import Run
from jaxrl.text import file_name

MOST = 100  # runs that are logged, the first ones: each keeps a file open


class Log(Protocol):
    """Takes the metrics of one run."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Keeps finite values of metrics, reached after some environment steps."""

    def close(self) -> None:
        """Returns when all is written."""


class TensorBoardLog:
    """Event files of one run."""

    def __init__(self, folder: Path, run: Run) -> None:
        package = imported("tensorboardX", "tensorboard")
        self.writer = package.SummaryWriter(str(folder.joinpath(*map(file_name, _name(run)))))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()


class WeightsAndBiasesLog:
    """A run of Weights & Biases: offline, unless the variable WANDB_MODE says otherwise."""

    def __init__(self, folder: Path, run: Run) -> None:
        package = imported("wandb", "wandb")
        folder.mkdir(parents=True, exist_ok=True)
        name = _name(run)
        self.run = package.init(
            project="jaxrl",
            dir=str(folder),
            name=" ".join(name),
            group=" ".join(name[:-1]),
            config=registry.plain_parameters(run.algorithm),
            mode=os.environ.get("WANDB_MODE", "offline"),
            reinit="create_new",  # the runs of a batch are open at the same time
            settings=package.Settings(silent=True, console="off", x_disable_stats=True),
        )

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self.run.log(dict(values), step=step)

    def close(self) -> None:
        self.run.finish()


LOGS: Mapping[str, Callable[[Path, Run], Log]] = {
    "tensorboard": TensorBoardLog,
    "wandb": WeightsAndBiasesLog,
}


@contextlib.contextmanager
def log_to(to: str, folder: str | os.PathLike[str]) -> Iterator[Callback]:
    """A callback for `train` and `resume` that logs every chunk of the first 100 runs.

    to: "tensorboard" or "wandb". Raises InputError for another, or a package that is not installed.
    """
    if to not in LOGS:
        raise unknown("log", to, LOGS)
    imported({"tensorboard": "tensorboardX", "wandb": "wandb"}[to], to)
    logs: dict[int, Log] = {}

    def write(report: ChunkReport) -> None:
        for place, run in enumerate(report.runs):
            if run.id >= MOST:
                continue
            if run.id not in logs:
                logs[run.id] = LOGS[to](Path(folder), run)
            values: dict[str, Any] = {name: float(each[place]) for name, each in report.metrics.items()}
            finite = {name: value for name, value in values.items() if math.isfinite(value)}
            logs[run.id].write(report.step, finite)

    try:
        yield write
    finally:
        for log in logs.values():
            log.close()


def _name(run: Run) -> tuple[str, str, str]:
    return registry.label_of(run.environment), registry.label_of(run.algorithm), f"seed-{run.seed}"
