"""Training steps per second by the number of lanes."""

from collections.abc import Iterator
from typing import Any

from benchmarks.accelerator.jobs import Job, side_by_side
from benchmarks.arithmetic import iteration_flops
from benchmarks.lanes import Lanes, planned
from benchmarks.memory import peak_bytes
from benchmarks.timing import timed, time_calls
from benchmarks.training import WORK
from benchmarks.turns import turn
from jaxrl.algorithms import PPO
from jaxrl.registry import environment

LANES = (1, 64, 1_024, 8_192)
CALLS = 5
MIN_SECONDS = 0.3  # of a call
BREAKOUT = "ppo gymnax:Breakout-MinAtar"
NAMES = (
    "ppo CartPole-v1",
    "dqn CartPole-v1",
    "sac Pendulum-v1",
    "q_learning GridWorld-v0",
    BREAKOUT,
    "discrete_sac CartPole-v1",
)


def measure(smoke: bool) -> Iterator[dict[str, Any]]:
    """A row for each workload and each number of lanes."""
    names, lanes, calls = (NAMES[:1], (2,), 1) if smoke else (NAMES, LANES, CALLS)
    for result in side_by_side([Job(rates, (name, lanes, calls)) for name in names]):
        yield from result.get("rows", [result])


def rates(name: str, lanes: tuple[int, ...], calls: int) -> dict[str, Any]:
    """The rows of a workload, by ascending numbers of lanes, since memory shows the most that was ever used."""
    rows = []
    for seeds in lanes:
        try:
            rows.append(rate(name, seeds, calls))
        except Exception as error:  # such as too little memory for this many lanes
            rows.append({"work": name, "seeds": seeds, "failed": str(error)[-1_500:]})
    return {"rows": rows}


def rate(name: str, seeds: int, calls: int) -> dict[str, Any]:
    """The row of a workload with this many lanes."""
    algorithm, env = work(name)
    groups = planned(algorithm, env, seeds)
    lanes: list[Lanes] = []
    compile_seconds = timed(lambda: lanes.append(Lanes(groups)))
    compile_seconds += timed(lanes[0].advance, 0) + timed(lanes[0].evaluate)
    with turn():
        timing = time_calls(lanes[0].advance, calls, MIN_SECONDS)
        evaluate_seconds = timed(lanes[0].evaluate)
    iteration_steps = lanes[0].steps_per_iteration
    steps_per_second = iteration_steps * timing.iterations_per_second
    return {
        "work": name,
        "seeds": seeds,
        "steps_per_second": steps_per_second,
        "flops_per_second": steps_per_second
        * iteration_flops(algorithm, env)
        / algorithm.steps_per_iteration,
        "iterations_per_second": timing.iterations_per_second,
        "seconds": timing.seconds,
        "compile_seconds": compile_seconds,
        "evaluate_seconds": evaluate_seconds,
        "peak_bytes": peak_bytes(),
        "batches": sum(len(group.batches) for group in groups),
        "width": groups[0].batches[0].width,
    }


def work(name: str) -> Any:
    """Algorithm and environment of a workload."""
    if name == BREAKOUT:
        return PPO(), environment("gymnax:Breakout-MinAtar")
    return WORK[name]
