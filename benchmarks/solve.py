"""Wall-clock time until PPO solves CartPole for many seeds at once, with settings chosen for speed."""

import time
from typing import Any

import numpy as np

from benchmarks.lanes import Lanes, planned
from envs import CartPole
from jaxrl.algorithms import PPO

SETTINGS = PPO(
    learning_rate=5e-3, discount=0.98, gae_lambda=0.9, entropy_coefficient=0.0, num_envs=8, num_steps=32
)
BUDGET = 60_000  # environment steps of a run; the learning rate is 0 at their end
EVERY = 10  # iterations between two evaluations
SHARE = 0.95  # of the seeds


def solve(seeds: str, budget: int) -> dict[str, Any]:
    """Trains a range of seeds until the share SHARE of them is solved in one evaluation.

    A seed is solved if its greedy episodes have a mean return of at least 475. The time includes evaluations
    but not compilation.
    """
    env = CartPole()
    lanes = Lanes(planned(SETTINGS, env, seeds, budget), budget)
    lanes.advance(0)
    lanes.evaluate()
    curve: list[dict[str, float]] = []
    start = time.perf_counter()
    while lanes.t < lanes.total and (not curve or curve[-1]["share"] < SHARE):
        lanes.advance(min(EVERY, lanes.total - lanes.t))
        returns = lanes.evaluate()[0].mean(axis=1)
        steps, seconds = lanes.t * SETTINGS.steps_per_iteration, time.perf_counter() - start
        share = float(np.mean(returns >= env.solved_return))
        curve.append({"steps": steps, "seconds": seconds, "share": share})
    return {"seeds": seeds, "curve": curve}
