"""Environment steps per second of training without evaluation, and its share of the machine's rate."""

import math
import statistics
import time
from collections.abc import Iterator
from typing import Any

import jax
from rich.console import Group
from rich.table import Table

from benchmarks.arithmetic import iteration_flops, product_rate
from benchmarks.lanes import EPISODES, Lanes, planned
from benchmarks.memory import peak_bytes, resident_bytes
from benchmarks.processes import in_fresh_process
from benchmarks.timing import enough, timed
from envs import CartPole, FrozenLake, GridWorld, Pendulum
from jaxrl.algorithms import (
    A2C,
    C51,
    DQN,
    PPO,
    PQN,
    QRDQN,
    REINFORCE,
    SAC,
    TD3,
    TRPO,
    DiscreteSAC,
    DynaQ,
    MonteCarlo,
    QLearning,
    Rainbow,
    Sarsa,
)
from jaxrl.compiled.lane_memory import shown_bytes
from jaxrl.learning.algorithm import Algorithm
from jaxrl.mdp.environment import Environment
from jaxrl.registry import plain_parameters
from jaxrl.text import number

SEEDS = (1, 8, 64, 256, 1_024)
SEEDS_ON_GPU = (64, 1_024, 8_192)
CALLS = 5
MIN_SECONDS = 0.3  # of a call
# There is no warm-up, in which most calls would do no update.
WORK: dict[str, tuple[Algorithm, Environment]] = {
    "q_learning GridWorld-v0": (QLearning(), GridWorld()),
    "q_learning FrozenLake-v1": (QLearning(), FrozenLake()),
    "sarsa FrozenLake-v1": (Sarsa(trace_decay=0.8), FrozenLake()),
    "monte_carlo FrozenLake-v1": (MonteCarlo(), FrozenLake()),
    "dyna_q FrozenLake-v1": (DynaQ(), FrozenLake()),
    "ppo CartPole-v1": (PPO(), CartPole()),
    "a2c CartPole-v1": (A2C(), CartPole()),
    "trpo CartPole-v1": (TRPO(), CartPole()),
    "reinforce CartPole-v1": (REINFORCE(), CartPole()),
    "pqn CartPole-v1": (PQN(), CartPole()),
    "dqn CartPole-v1": (DQN(warmup=0), CartPole()),
    "c51 CartPole-v1": (C51(warmup=0), CartPole()),
    "qr_dqn CartPole-v1": (QRDQN(warmup=0), CartPole()),
    "rainbow CartPole-v1": (Rainbow(warmup=0), CartPole()),
    "sac Pendulum-v1": (SAC(warmup=0, capacity=10_000), Pendulum()),
    "td3 Pendulum-v1": (TD3(warmup=0, capacity=10_000), Pendulum()),
    "discrete_sac CartPole-v1": (DiscreteSAC(warmup=0, capacity=10_000), CartPole()),
}


def measure(smoke: bool, only: str) -> Iterator[dict[str, Any]]:
    """A row for each workload whose name contains `only` and each number of seeds."""
    chosen = [name for name in WORK if only in name]
    for name in chosen[:1] if smoke else chosen:
        for seeds in (2,) if smoke else seed_counts():
            yield in_fresh_process(train, name, seeds, 1 if smoke else CALLS, MIN_SECONDS)


def seed_counts() -> tuple[int, ...]:
    return SEEDS if jax.default_backend() == "cpu" else SEEDS_ON_GPU


def train(name: str, seeds: int, calls: int, min_seconds: float) -> dict[str, Any]:
    """The row of a workload, measured in this process, which does nothing else.

    It times every group: at least `calls` calls in all, of `min_seconds` each.
    """
    algorithm, env = WORK[name]
    groups = planned(algorithm, env, seeds)
    start = time.perf_counter()
    lanes = Lanes(groups[:1])
    lanes.advance(0)
    lanes.evaluate()
    compile_seconds = time.perf_counter() - start
    lanes.advance(1)  # the first one that trains is slower
    iterations = enough(lanes.advance, min_seconds)
    seconds, evaluate_seconds = list[list[float]](), list[float]()
    for i, group in enumerate(groups):
        lanes = lanes if i == 0 else Lanes([group])
        seconds.append([timed(lanes.advance, iterations) for _ in range(math.ceil(calls / len(groups)))])
        evaluate_seconds.append(timed(lanes.evaluate))
    of_all_seeds = [sum(of_groups) for of_groups in zip(*seconds, strict=True)]
    rate = seeds * algorithm.steps_per_iteration * iterations / statistics.median(of_all_seeds)
    memory = {"resident_bytes": resident_bytes(), "peak_bytes": peak_bytes()}  # before that of the product
    flops, product = iteration_flops(algorithm, env) / algorithm.steps_per_iteration, product_rate()
    return {
        "work": name,
        "seeds": seeds,
        "steps_per_second": rate,
        "flops_per_step": flops,
        "product_flops_per_second": product,
        "share_of_product": rate * flops / product,
        **memory,
        "iterations": iterations,
        "seconds": seconds,
        "compile_seconds": compile_seconds,
        "evaluate_seconds": sum(evaluate_seconds),
        "updates_per_iteration": lanes.updates() / lanes.t,
        "steps_per_iteration": seeds * algorithm.steps_per_iteration,
        "devices": jax.local_device_count(),
        "batches": sum(len(group.batches) for group in groups),
        "width": groups[0].batches[0].width,
        "settings": plain_parameters(algorithm),
    }


def report(rows: list[dict[str, Any]]) -> Group:
    """A table with a line for each row."""
    columns = ("steps/s", "spread", "of a product", "compile", "evaluation", "peak memory")
    table = Table("work", "seeds", *columns, box=None)
    for row in rows:
        table.add_row(
            row["work"],
            f"{row['seeds']:,}",
            number(row["steps_per_second"]),
            f"{max(map(max, row['seconds'])) / min(map(min, row['seconds'])) - 1:.0%}",
            f"{row['share_of_product']:.1%}" if row["flops_per_step"] else "",
            f"{row['compile_seconds']:.1f} s",
            f"{row['evaluate_seconds']:.3f} s",
            shown_bytes(row["peak_bytes"]),
        )
    product = statistics.median(row["product_flops_per_second"] for row in rows) / 1e9
    note = (
        f"at least {CALLS} calls; each line is a process; of a product: operations per second in matrix "
        f"products, as a share of those in one large float32 product (here {product:,.0f} G); "
        f"evaluation: {EPISODES} episodes of every seed"
    )
    return Group(table, note)
