"""The report on studies that are still trained, written again whenever more of them was saved."""

import datetime
import os
import time
from collections.abc import Callable
from pathlib import Path

from jaxrl.errors import InputError, with_urls
from jaxrl.report.page import find_studies, require_effect, write_report, write_studies
from jaxrl.report.summary import Effect
from jaxrl.store.results import Results, load_so_far
from jaxrl.store.status import Status
from jaxrl.store.working_copy import opened, output

EVERY = 30.0  # seconds


def watch_report(
    path: str | os.PathLike[str],
    smallest_effect: Effect = None,
    out: str | os.PathLike[str] | None = None,
    films: bool = False,
    *,
    every: float = EVERY,
    wait: Callable[[float], object] = time.sleep,
) -> Path:
    """As `write_report`, but also while the studies are trained, until all of them are complete.

    It looks every so many seconds, and writes the page if more was saved. It prints a line each time. Films
    are made when the studies are complete. wait: waits some seconds. Raises InputError as `write_report`.
    """
    if not 1 <= every <= 86_400:
        raise InputError(f"--every must be in [1, 86400] seconds, got {every:g}")
    folder = opened(path).path
    target = output(out, folder)
    find_studies(folder)
    shown: list[int] | None = None  # steps of each study that the page shows
    waiting = False
    while True:
        try:
            found, studies = _read(folder)
        except InputError:  # a file that the training has just replaced
            found, studies = _read(folder)
        if all(status.complete for status in found):
            return write_report(folder, smallest_effect, out, films)
        steps = [status.steps_done for status in found]
        if not studies and not waiting:
            waiting = True
            _say(f"nothing of {folder} was saved so far; the page comes with the first save")
        if studies and steps != shown:
            require_effect(smallest_effect, studies)
            page = write_studies(studies, target, smallest_effect, folder.resolve().name, refresh=every)
            shown, share = steps, sum(steps) / sum(status.steps for status in found)
            _say(f"{page} shows {share:.0%} of the environment steps")
        wait(every)


def _read(folder: Path) -> tuple[list[Status], list[Results]]:
    """How far each study in a folder is, and what was saved of those that have begun."""
    studies = [opened(study) for study in find_studies(folder)]
    for study in studies:
        study.refresh()
    begun = [study for study in studies if not study.untouched]
    return [Status.of(study) for study in studies], [load_so_far(study.path) for study in begun]


def _say(text: str) -> None:
    print(f"{datetime.datetime.now().strftime('%H:%M:%S')} {with_urls(text)}", flush=True)
