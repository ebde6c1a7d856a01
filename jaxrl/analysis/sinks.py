"""Writers of runs in the files of TensorBoard and Weights & Biases, whose packages are optional."""

import importlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from jaxrl.errors import InputError
from jaxrl.text import file_name

Parameters = Mapping[str, bool | int | float | str]


class Sink(Protocol):
    """Writes runs, one after the other."""

    def write(self, name: tuple[str, ...], parameters: Parameters, curves: pd.DataFrame) -> None:
        """Writes one run.

        name: environment, setting and seed; no other run has the same three. curves: indexed by step, one
        column per metric, NaN where a metric has no value.
        """

    def close(self) -> None:
        """Returns when all runs are on disk."""


class TensorBoard:
    """Event files in the folder environment/setting/seed of each run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.package = imported("tensorboardX", "tensorboard")

    def write(self, name: tuple[str, ...], parameters: Parameters, curves: pd.DataFrame) -> None:
        summary = importlib.import_module("tensorboardX.summary")
        with self.package.SummaryWriter(str(self.folder.joinpath(*map(file_name, name)))) as writer:
            # add_hparams would put the parameters into another run than the curves.
            for part in summary.hparams(dict(parameters), dict.fromkeys(curves.columns, 0.0)):
                writer.file_writer.add_summary(part)
            for step, values in _rows(curves):
                for metric, value in values.items():
                    writer.add_scalar(metric, value, step)

    def close(self) -> None:
        pass  # `write` has closed each file


class WeightsAndBiases:
    """Offline runs for `wandb sync`, grouped by environment and setting."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.package = imported("wandb", "wandb")

    def write(self, name: tuple[str, ...], parameters: Parameters, curves: pd.DataFrame) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        run = self.package.init(
            project="jaxrl",
            dir=str(self.folder),
            name=" ".join(name),
            group=" ".join(name[:-1]),
            config=dict(parameters),
            mode="offline",
            settings=self.package.Settings(silent=True, console="off", x_disable_stats=True),
        )
        for step, values in _rows(curves):
            run.log(values, step=step)
        run.finish()

    def close(self) -> None:
        self.package.teardown()  # waits for the process that writes the files, as finish() does not


def _rows(curves: pd.DataFrame) -> list[tuple[int, dict[str, float]]]:
    """Each step in order, with the metrics that have a value there."""
    rows: Any = curves.sort_index().to_dict("index").items()
    return [(int(step), {str(k): v for k, v in row.items() if not math.isnan(v)}) for step, row in rows]


def imported(package: str, extra: str) -> Any:
    """The module of a package. Raises InputError, with the extra to install, if it is missing."""
    try:
        return importlib.import_module(package)
    except ImportError:
        raise InputError(
            f"this needs the package {package}, which is not installed: pip install -e '.[{extra}]'"
        ) from None
