"""How far a training is, on the standard error: a bar in a terminal or a notebook, lines in a log file."""

import contextlib
import datetime
import importlib.util
import sys
import time
from collections.abc import Iterator

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from jaxrl.run.callbacks import Callback, ChunkReport

SECONDS_BETWEEN_LINES = 10.0
STARTING = "compiling and first evaluation"


class Pace:
    """Environment steps of all runs so far, steps per second and the last mean training return."""

    def __init__(self, total: int, done: int) -> None:
        self.total, self.done = total, done
        self.mean_return = float("nan")
        self.begun: tuple[float, int] | None = None  # time and steps at the first report, after compiling

    def add(self, report: ChunkReport) -> None:
        self.done += report.advanced * len(report.runs)
        self.begun = self.begun or (time.monotonic(), self.done)
        returns = report.metrics.get("return", np.empty(0))
        known = returns[np.isfinite(returns)]
        self.mean_return = float(known.mean()) if known.size else self.mean_return

    @property
    def steps_per_second(self) -> float:
        """NaN until there is a second report."""
        start, steps = self.begun or (time.monotonic(), self.done)
        return (self.done - steps) / (time.monotonic() - start) if self.done > steps else float("nan")

    def __str__(self) -> str:
        """Only what is known yet."""
        speed = self.steps_per_second
        known = [] if np.isnan(speed) else [f"{speed:,.0f} steps/s"]
        known += [] if np.isnan(self.mean_return) else [f"return {self.mean_return:.1f}"]
        return ", ".join(known)


@contextlib.contextmanager
def progress_shown(total: int, done: int) -> Iterator[Callback]:
    """A callback that shows steps, steps/s, mean training return and time left.

    It begins at `done` of the `total` environment steps of all runs.
    """
    console, pace = Console(stderr=True), Pace(total, done)
    if console.is_terminal or (console.is_jupyter and importlib.util.find_spec("ipywidgets")):
        with _bar(console, pace) as callback:
            yield callback
    else:
        yield _lines(pace)


@contextlib.contextmanager
def _bar(console: Console, pace: Pace) -> Iterator[Callback]:
    columns = (
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
        TextColumn("{task.fields[pace]}"),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=console)
    task = progress.add_task("training", total=pace.total, completed=pace.done, pace=STARTING)

    def advance(report: ChunkReport) -> None:
        pace.add(report)
        progress.update(task, completed=pace.done, pace=str(pace))

    progress.start()
    try:
        yield advance
    finally:
        with contextlib.suppress(OSError):  # the terminal is closed
            progress.stop()


def _lines(pace: Pace) -> Callback:
    """A callback that prints a line after an evaluation, but at most one in SECONDS_BETWEEN_LINES."""
    printed = time.monotonic()

    def advance(report: ChunkReport) -> None:
        nonlocal printed
        pace.add(report)
        now = time.monotonic()
        if now - printed < SECONDS_BETWEEN_LINES:
            return
        printed = now
        share, seconds = pace.done / pace.total, (pace.total - pace.done) / pace.steps_per_second
        left = "" if np.isnan(seconds) else f", {datetime.timedelta(seconds=round(seconds))} left"
        at = datetime.datetime.now().strftime("%H:%M:%S")
        parts = [f"{at} {pace.done:,} of {pace.total:,} steps ({share:.0%})", str(pace)]
        with contextlib.suppress(OSError):  # the log cannot be written
            print(f"{', '.join(filter(None, parts))}{left}", file=sys.stderr, flush=True)

    return advance
