"""Timing of calls that do as many iterations as told: compilation apart, the median of several calls.

Needs the standard library alone, so that it also runs where jax is not installed.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

MIN_SECONDS = 0.2  # of one timed call, so that its overhead and the clock do not matter


class Timing(NamedTuple):
    compile_seconds: float  # first call, which does no work
    iterations: int  # of each timed call
    seconds: list[float]  # of each timed call

    @property
    def iterations_per_second(self) -> float:
        """By the median call."""
        return self.iterations / statistics.median(self.seconds)


def time_calls(call: Callable[[int], Any], calls: int, min_seconds: float = MIN_SECONDS) -> Timing:
    """Times `call(iterations)`, which is compiled by `call(0)`, `calls` times.

    A call must return only when its results are computed (`jax.block_until_ready`). The number of
    iterations grows until one call takes `min_seconds`.
    """
    compile_seconds = timed(call, 0)
    iterations = 1
    while (seconds := timed(call, iterations)) < min_seconds:
        iterations = max(2 * iterations, int(0.9 * iterations * min_seconds / seconds))
    return Timing(compile_seconds, iterations, [timed(call, iterations) for _ in range(calls)])


def timed(call: Callable[[int], Any], iterations: int) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call(iterations)
    return time.perf_counter() - start
