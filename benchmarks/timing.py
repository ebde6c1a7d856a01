"""Times calls that do a given number of iterations: compilation apart, then the median of several calls.

It needs only the standard library, so it also runs where jax is not installed.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

MIN_SECONDS = 0.2  # of one timed call, so that overhead and the clock's resolution do not matter

Call = Callable[[int], Any]  # does this many iterations and returns when their results are computed


class Timing(NamedTuple):
    compile_seconds: float  # of the first call, which does no iteration
    iterations: int  # of each timed call
    seconds: list[float]  # of each timed call

    @property
    def iterations_per_second(self) -> float:
        """The rate of the median call."""
        return self.iterations / statistics.median(self.seconds)


def time_calls(call: Call, calls: int, min_seconds: float = MIN_SECONDS) -> Timing:
    """Times `call(iterations)` `calls` times, after `call(0)`, which compiles.

    `iterations` grows until one call takes `min_seconds`.
    """
    return time_in_turn({"": call}, calls, min_seconds)[""]


def time_in_turn(
    calls: Mapping[str, Call], rounds: int, min_seconds: float = MIN_SECONDS
) -> dict[str, Timing]:
    """`time_calls` for several contenders. Each is timed once a round, so a slow minute affects all."""
    compiled = {name: timed(call, 0) for name, call in calls.items()}
    iterations = {name: enough(call, min_seconds) for name, call in calls.items()}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            seconds[name].append(timed(call, iterations[name]))
    return {name: Timing(compiled[name], iterations[name], seconds[name]) for name in calls}


def enough(call: Call, min_seconds: float) -> int:
    """A number of iterations for which a compiled call takes at least this long."""
    iterations = 1
    while (seconds := timed(call, iterations)) < min_seconds:
        iterations = max(2 * iterations, int(0.9 * iterations * min_seconds / seconds))
    return iterations


def timed(call: Callable[..., Any], *arguments: Any) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start
