"""How far a training is, on the standard error: a bar in a terminal or a notebook, lines in a log file."""

import contextlib
import datetime
import importlib.util
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from jaxrl.errors import with_urls
from jaxrl.run.callbacks import ChunkReport
from jaxrl.text import duration

SECONDS_BETWEEN_LINES = 10.0
LONG = 1.0  # seconds after which an evaluation is mentioned


class Pace:
    """Environment steps of all runs so far, steps per second and the last mean training return."""

    def __init__(self, total: int, done: int) -> None:
        self.total, self.done = total, done
        self.mean_return = float("nan")
        self.begun: tuple[float, int] | None = None  # time and steps at the first report, after compiling
        self.evaluations: dict[int, float] = {}  # thread that evaluates -> since when
        self.elsewhere = ""  # how many workers train how many batches in other processes

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

    @property
    def evaluating(self) -> float:
        """Seconds for which the longest evaluation has lasted by now; 0 if there is none."""
        return time.monotonic() - min([*self.evaluations.values()], default=time.monotonic())

    def __str__(self) -> str:
        """Only what is known yet."""
        speed = self.steps_per_second
        known = [self.elsewhere] if self.elsewhere else []
        known += [] if self.begun else ["compiling"]
        known += [] if np.isnan(speed) else [f"{speed:,.0f} steps/s"]
        known += [] if np.isnan(self.mean_return) else [f"return {self.mean_return:.1f}"]
        lasting = self.evaluating
        known += [] if lasting < LONG else [f"evaluating for {duration(lasting)}"]
        return ", ".join(known)


class Display:
    """A callback that shows how far a training is. Several threads may evaluate at once."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace

    def __call__(self, report: ChunkReport) -> None:
        self.pace.add(report)

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """The time of an evaluation by this thread."""
        thread = threading.get_ident()
        self.pace.evaluations[thread] = time.monotonic()
        try:
            yield
        finally:
            del self.pace.evaluations[thread]

    def tick(self) -> None:
        """Shows what has changed without a report. It is called several times a second."""


class Bar(Display):
    """Shows a bar, which rich draws again several times a second."""

    def __init__(self, pace: Pace, console: Console) -> None:
        super().__init__(pace)
        columns = (
            BarColumn(),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
            TextColumn("{task.fields[pace]}"),
            TimeRemainingColumn(),
        )
        self.progress = Progress(*columns, console=console)
        self.task = self.progress.add_task("training", total=pace.total, completed=pace.done, pace=pace)

    def __call__(self, report: ChunkReport) -> None:
        super().__call__(report)
        self.progress.update(self.task, completed=self.pace.done)


class Lines(Display):
    """Prints a line after an evaluation, but at most one in SECONDS_BETWEEN_LINES.

    It also prints a line during an evaluation that lasts as long.
    """

    def __init__(self, pace: Pace) -> None:
        super().__init__(pace)
        self.printed = time.monotonic()
        self.waiting = False  # whether a line has said that an evaluation lasts

    def __call__(self, report: ChunkReport) -> None:
        super().__call__(report)
        self.waiting = False
        if time.monotonic() - self.printed >= SECONDS_BETWEEN_LINES:
            self._print()

    def tick(self) -> None:
        if not self.waiting and self.pace.evaluating >= SECONDS_BETWEEN_LINES:
            self.waiting = True
            self._print()

    def _print(self) -> None:
        pace, self.printed = self.pace, time.monotonic()
        share, seconds = pace.done / pace.total, (pace.total - pace.done) / pace.steps_per_second
        left = "" if np.isnan(seconds) else f", {duration(seconds)} left"
        at = datetime.datetime.now().strftime("%H:%M:%S")
        parts = [f"{at} {pace.done:,} of {pace.total:,} steps ({share:.0%})", str(pace)]
        with contextlib.suppress(OSError):  # the log cannot be written
            print(f"{', '.join(filter(None, parts))}{left}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress_shown(total: int, done: int) -> Iterator[Display]:
    """Shows steps, steps/s, mean training return and time left, and an evaluation that lasts.

    It begins at `done` of the `total` environment steps of all runs.
    """
    console, pace = Console(stderr=True), Pace(total, done)
    if not (console.is_terminal or (console.is_jupyter and importlib.util.find_spec("ipywidgets"))):
        yield Lines(pace)
        return
    bar = Bar(pace, console)
    bar.progress.start()
    try:
        yield bar
    finally:
        with contextlib.suppress(OSError):  # the terminal is closed
            bar.progress.stop()


def say(text: str) -> None:
    """Prints a line on the standard error."""
    Console(stderr=True).print(with_urls(text), markup=False, highlight=False, soft_wrap=True)
