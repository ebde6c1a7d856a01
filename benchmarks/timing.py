"""Timing of calls that do as many iterations as told: compilation apart, the median of several calls.

Needs the standard library alone, so that it also runs where jax is not installed.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

MIN_SECONDS = 0.2  # of one timed call, so that its overhead and the clock do not matter

Call = Callable[[int], Any]  # does that many iterations and returns when their results are computed


class Timing(NamedTuple):
    compile_seconds: float  # first call, which does no work
    iterations: int  # of each timed call
    seconds: list[float]  # of each timed call

    @property
    def iterations_per_second(self) -> float:
        """By the median call."""
        return self.iterations / statistics.median(self.seconds)


def time_calls(call: Call, calls: int, min_seconds: float = MIN_SECONDS) -> Timing:
    """Times `call(iterations)`, which is compiled by `call(0)`, `calls` times.

    The number of iterations grows until one call takes `min_seconds`.
    """
    return time_in_turn({"": call}, calls, min_seconds)[""]


def time_in_turn(
    calls: Mapping[str, Call], rounds: int, min_seconds: float = MIN_SECONDS
) -> dict[str, Timing]:
    """`time_calls` of several contenders, each timed once a round: a slow minute of the machine meets all."""
    compiled = {name: timed(call, 0) for name, call in calls.items()}
    iterations = {name: enough(call, min_seconds) for name, call in calls.items()}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            seconds[name].append(timed(call, iterations[name]))
    return {name: Timing(compiled[name], iterations[name], seconds[name]) for name in calls}


def enough(call: Call, min_seconds: float) -> int:
    """Iterations of a compiled call that take at least that long."""
    iterations = 1
    while (seconds := timed(call, iterations)) < min_seconds:
        iterations = max(2 * iterations, int(0.9 * iterations * min_seconds / seconds))
    return iterations


def timed(call: Callable[..., Any], *arguments: Any) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start
