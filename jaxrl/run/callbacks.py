"""Callbacks, which get a report after each chunk of training."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

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
