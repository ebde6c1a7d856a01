"""Callbacks, which get a report after each chunk of training, and the progress bar, which is one."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from jaxrl.study.study import Run


class ChunkReport(NamedTuple):
    """The runs of a batch after a chunk."""

    runs: tuple[Run, ...]
    step: int  # environment steps of each run so far
    advanced: int  # environment steps of each run in this chunk
    metrics: Mapping[str, np.ndarray]  # name -> [runs] float64, NaN where nothing was counted


# Called after each chunk of each batch, one call at a time. A true result stops training as Ctrl-C does.
Callback = Callable[[ChunkReport], object]


def all_of(callbacks: Sequence[Callback]) -> Callback:
    """Several callbacks as one. Several threads may call it; it serves one at a time."""
    lock = threading.Lock()

    def called(report: ChunkReport) -> bool:
        with lock:
            answers = [callback(report) for callback in callbacks]  # all of them are called
            return any(answers)

    return called


@contextlib.contextmanager
def progress_bar(total: int, done: int) -> Iterator[Callback]:
    """A bar of steps, steps/s, mean training return and time left. Only a terminal shows it.

    It begins at `done` of the `total` environment steps of all runs.
    """
    console = Console(stderr=True)
    columns = (
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
        TextColumn("{task.fields[rate]:,.0f} steps/s"),
        TextColumn("return {task.fields[mean_return]:.1f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("training", total=total, completed=done, rate=0.0, mean_return=float("nan"))

        def advance(report: ChunkReport) -> None:
            progress.update(task, advance=report.advanced * len(report.runs))
            returns = report.metrics.get("return", np.empty(0))
            known = returns[np.isfinite(returns)]
            progress.update(task, rate=progress.tasks[0].speed or 0.0)
            if known.size:
                progress.update(task, mean_return=known.mean())

        yield advance
