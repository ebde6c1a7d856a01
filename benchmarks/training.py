"""Environment steps per second of training, evaluation apart, for several numbers of seeds."""

from collections.abc import Iterator
from typing import Any

import jax

from benchmarks.timing import time_calls
from envs import CartPole, FrozenLake, GridWorld, Pendulum
from jaxrl.algorithm import Algorithm
from jaxrl.algorithms import DQN, PPO, SAC, QLearning
from jaxrl.environment import Environment
from jaxrl.plan import Batch
from jaxrl.study import Run
from jaxrl.training import advance, initialise

SEEDS = (1, 8, 64, 256)
TOTAL = 1_000_000  # planned iterations; schedules hardly move within a measurement
WORK: dict[str, tuple[Algorithm, Environment]] = {
    "q_learning GridWorld-v0": (QLearning(), GridWorld()),
    "q_learning FrozenLake-v1": (QLearning(), FrozenLake()),
    "ppo CartPole-v1": (PPO(), CartPole()),
    # Without a warm-up, during which most calls would do no update.
    "dqn CartPole-v1": (DQN(warmup=0), CartPole()),
    "sac Pendulum-v1": (SAC(warmup=0), Pendulum()),
}


def measure(smoke: bool, only: str) -> Iterator[dict[str, Any]]:
    """A row for each piece of work whose name contains `only`, and number of seeds."""
    chosen = {name: work for name, work in WORK.items() if only in name}
    for name, (algorithm, env) in chosen.items():
        for seeds in SEEDS[:2] if smoke else SEEDS:
            runs = [Run(seed, env, algorithm, seed) for seed in range(seeds)]
            algorithms, envs, keys, _ = Batch(0, seeds, tuple(runs)).lanes("threefry2x32")
            state = [initialise(algorithms, envs, keys)]

            def call(iterations: int, a: Any = algorithms, e: Any = envs, state: list[Any] = state) -> Any:
                state[0], *metrics = advance(a, e, state[0], 0, iterations, TOTAL)
                return jax.block_until_ready(metrics)

            timing = time_calls(call, calls=1 if smoke else 7)
            steps = seeds * algorithm.steps_per_iteration
            yield {
                "work": name,
                "seeds": seeds,
                "steps_per_second": steps * timing.iterations_per_second,
                **timing._asdict(),
            }
