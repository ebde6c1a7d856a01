"""Training steps per second by lanes, and what an iteration's time goes to.

All processes compile first, side by side; then each has its turn on the device.
"""

from collections.abc import Iterator
from typing import Any

from benchmarks.accelerator.jobs import Job, side_by_side
from benchmarks.accelerator.trace import traced
from benchmarks.arithmetic import iteration_flops
from benchmarks.lanes import Lanes, planned
from benchmarks.memory import peak_bytes
from benchmarks.timing import time_calls, timed
from benchmarks.training import WORK
from benchmarks.turns import compiling, turn
from jaxrl.algorithms import PPO
from jaxrl.compiled.engine import PRECISIONS
from jaxrl.registry import environment

LANES = (1, 64, 1_024, 8_192)
CALLS = 5
MIN_SECONDS = 0.25  # of a call
BREAKOUT = "ppo gymnax:Breakout-MinAtar"
CHOSEN = {
    "ppo CartPole-v1": LANES,
    "dqn CartPole-v1": LANES,
    "sac Pendulum-v1": LANES,
    "q_learning GridWorld-v0": LANES,
    BREAKOUT: LANES[:3],  # more lanes need several batches
}


def measure(smoke: bool) -> Iterator[dict[str, Any]]:
    """A row for each workload and number of lanes."""
    chosen, calls = ({"ppo CartPole-v1": (2,)}, 1) if smoke else (CHOSEN, CALLS)
    for result in side_by_side(
        [Job(rates, (name, lanes, calls, not smoke)) for name, lanes in chosen.items()]
    ):
        yield from result.get("rows", [result])


def rates(
    name: str, lanes: tuple[int, ...], calls: int, profile: bool, precision: str = PRECISIONS[0]
) -> dict[str, Any]:
    """The rows of a workload, by ascending numbers of lanes, since memory shows the most ever used."""
    algorithm, env = work(name)
    rows: list[dict[str, Any]] = []
    with compiling():
        for seeds in lanes:
            groups = planned(algorithm, env, seeds)
            ready: list[Lanes] = []
            seconds = timed(
                lambda groups=groups, ready=ready: ready.append(Lanes(groups, precision=precision))
            )
            seconds += timed(ready[0].advance, 0) + timed(ready[0].evaluate)
            rows.append(
                {
                    "work": name,
                    "seeds": seeds,
                    "compile_seconds": seconds,
                    "peak_bytes": peak_bytes(),
                    "batches": sum(len(group.batches) for group in groups),
                    "width": groups[0].batches[0].width,
                }
            )
    with turn():
        return {"rows": [row | rate(name, row["seeds"], calls, profile, precision) for row in rows]}


def rate(name: str, seeds: int, calls: int, profile: bool, precision: str) -> dict[str, Any]:
    """The speed of a workload that is compiled, with a trace of some iterations if asked."""
    algorithm, env = work(name)
    lanes = Lanes(planned(algorithm, env, seeds), precision=precision)
    timing = time_calls(lanes.advance, calls, MIN_SECONDS)
    steps_per_second = lanes.steps_per_iteration * timing.iterations_per_second
    flops_per_step = iteration_flops(algorithm, env) / algorithm.steps_per_iteration
    result = {
        "steps_per_second": steps_per_second,
        "flops_per_second": steps_per_second * flops_per_step,
        "iterations_per_second": timing.iterations_per_second,
        "seconds": timing.seconds,
        "evaluate_seconds": timed(lanes.evaluate),
    }
    if profile and seeds >= 1_024:
        result["profile"] = traced(lanes.advance, max(1, int(timing.iterations_per_second / 10)))
    return result


def work(name: str) -> Any:
    """Algorithm and environment of a workload."""
    return (PPO(), environment(name.split()[1])) if name == BREAKOUT else WORK[name]
