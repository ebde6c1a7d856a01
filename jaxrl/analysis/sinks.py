"""Writers of runs for TensorBoard and Weights & Biases, whose packages are optional."""

import importlib
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from jaxrl.errors import InputError
from jaxrl.store.files import subfolder
from jaxrl.text import file_name

Name = tuple[str, str, str]  # environment, setting and seed of a run; no other run has the same three


class Sink(Protocol):
    """Writes runs into a folder. Each call about a run takes what `start` returned for it."""

    def start(self, name: Name, parameters: Mapping[str, Any]) -> Any:
        """Begins a run. Several runs may be open at the same time."""

    def write(self, run: Any, step: int, values: Mapping[str, float]) -> None:
        """Writes metrics that a run has after some environment steps. NaN is left out."""

    def finish(self, run: Any) -> None:
        """Ends a run."""

    def close(self) -> None:
        """Returns when all runs are on disk. All of them have ended before."""


class TensorBoard:
    """Event files in the folder environment/setting/seed of each run, without parameters that are tuples.

    live: whether each value is in the file within a second.
    """

    def __init__(self, folder: Path, live: bool) -> None:
        # The writer's own `flush` would leave out what its thread has not yet taken from its queue.
        self.folder, self.seconds = folder, 1 if live else 120
        self.package = imported("tensorboardX", "tensorboard")

    def start(self, name: Name, parameters: Mapping[str, Any]) -> Any:
        self.folder.mkdir(parents=True, exist_ok=True)
        place = subfolder(self.folder, *map(file_name, name))
        writer = self.package.SummaryWriter(str(place), flush_secs=self.seconds)
        # add_hparams would put the parameters into another run than the curves. The first part describes all
        # runs, which TensorBoard collects by itself.
        for part in importlib.import_module("tensorboardX.summary").hparams(parameters, {})[1:]:
            writer.file_writer.add_summary(part)
        return writer

    def write(self, run: Any, step: int, values: Mapping[str, float]) -> None:
        for metric, value in values.items():
            if not math.isnan(value):
                run.add_scalar(metric, value, step)

    def finish(self, run: Any) -> None:
        run.close()

    def close(self) -> None:
        pass  # `finish` has closed each file


class WeightsAndBiases:
    """Runs for `wandb sync`, grouped by environment and setting.

    live: whether the variable WANDB_MODE may put runs online.
    """

    def __init__(self, folder: Path, live: bool) -> None:
        self.folder, self.mode = folder, os.environ.get("WANDB_MODE", "offline") if live else "offline"
        self.package = imported("wandb", "wandb")

    def start(self, name: Name, parameters: Mapping[str, Any]) -> Any:
        self.folder.mkdir(parents=True, exist_ok=True)
        subfolder(self.folder, "wandb")  # where the package writes
        return self.package.init(
            project="jaxrl",
            dir=str(self.folder),
            name=" ".join(name),
            group=" ".join(name[:-1]),
            config=dict(parameters),
            mode=self.mode,
            reinit="create_new",  # leaves the other runs open
            settings=self.package.Settings(silent=True, console="off", x_disable_stats=True),
        )

    def write(self, run: Any, step: int, values: Mapping[str, float]) -> None:
        run.log({metric: value for metric, value in values.items() if not math.isnan(value)}, step=step)

    def finish(self, run: Any) -> None:
        run.finish()

    def close(self) -> None:
        self.package.teardown()  # waits for the process that writes the files, as finish() does not


SINKS: Mapping[str, Callable[[Path, bool], Sink]] = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases}


def imported(package: str, extra: str) -> Any:
    """The module of a package. Raises InputError, with the extra to install, if it is missing."""
    try:
        return importlib.import_module(package)
    except ImportError:
        raise InputError(
            f"this needs the package {package}, which is not installed: pip install -e '.[{extra}]'"
        ) from None
