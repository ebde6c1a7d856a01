import contextlib
from collections.abc import Callable, Iterator

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

Progressed = Callable[[int, np.ndarray], None]  # (environment steps since the last call, returns [lanes])


@contextlib.contextmanager
def progress_bar(total: int) -> Iterator[Progressed]:
    """A bar of steps, steps/s, mean training return and time left; silent if not a terminal."""
    console = Console(stderr=True)
    columns = (
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
        TextColumn("{task.fields[rate]:,.0f} steps/s"),
        TextColumn("return {task.fields[mean_return]:.1f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("training", total=total, rate=0.0, mean_return=float("nan"))

        def progressed(steps: int, returns: np.ndarray) -> None:
            rate, known = progress.tasks[0].speed or 0.0, returns[np.isfinite(returns)]
            progress.update(task, advance=steps, rate=rate)
            if known.size:
                progress.update(task, mean_return=known.mean())

        yield progressed
