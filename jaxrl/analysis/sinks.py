"""Where the curves of runs can go besides the results folder: other tools' files, behind one interface.

Their packages are optional.
"""

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
    """Takes runs one after the other."""

    def write(self, name: tuple[str, ...], parameters: Parameters, curves: pd.DataFrame) -> None:
        """Keeps a run.

        name: environment, setting and seed, unique together. curves: index step, columns metrics, NaN where
        a metric has no value.
        """

    def close(self) -> None:
        """Returns once all runs are on disk."""


class TensorBoard:
    """Event files, a folder for each run: environment/setting/seed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.package = _imported("tensorboardX", "tensorboard")

    def write(self, name: tuple[str, ...], parameters: Parameters, curves: pd.DataFrame) -> None:
        summary = importlib.import_module("tensorboardX.summary")
        with self.package.SummaryWriter(str(self.folder.joinpath(*map(file_name, name)))) as writer:
            # Not add_hparams, which puts them into a run of their own, apart from the curves.
            for part in summary.hparams(dict(parameters), dict.fromkeys(curves.columns, 0.0)):
                writer.file_writer.add_summary(part)
            for step, values in _rows(curves):
                for metric, value in values.items():
                    writer.add_scalar(metric, value, step)

    def close(self) -> None:
        pass  # each writer has closed its file


class WeightsAndBiases:
    """Offline runs, which `wandb sync` uploads; their group is environment and setting."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.package = _imported("wandb", "wandb")

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
        self.package.teardown()  # another process writes the files, and finish() may return before it


def _rows(curves: pd.DataFrame) -> list[tuple[int, dict[str, float]]]:
    """Each step with the metrics that have a value there."""
    rows: Any = curves.sort_index().to_dict("index").items()
    return [(int(step), {str(k): v for k, v in row.items() if not math.isnan(v)}) for step, row in rows]


def _imported(package: str, extra: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError:
        raise InputError(
            f"this needs the package {package}, which is not installed: pip install -e '.[{extra}]'"
        ) from None
