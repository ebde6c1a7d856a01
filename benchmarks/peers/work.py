"""The settings that are compared, under jaxrl's names, which each framework's worker translates.

A worker is a process of one framework in its own virtual environment, so this file needs only the standard
library. A worker compiles, fills its replay, times several calls and prints one line of JSON.

**What is equal.** Environment, number of seeds, environments of a seed, steps and updates of an iteration
(every worker reads the updates from its optimiser's own counter, and the parent refuses different numbers),
batch, layers and activation (tanh for PPO, else ReLU), a replay that is full before the clock starts, target
copies, a constant epsilon of 0.05, a constant learning rate. Nothing is evaluated while the clock runs. All
run on the CPU; rejax and jaxrl use the same jax, vmapped over the seeds.

**What is not.** rejax clips gradients element by element, the others their global norm. rejax draws a
batch from replay without replacement, at a cost that grows with the capacity, the others with
replacement; so the capacity of SAC is 10,000, as in rejax's own settings for Pendulum. rejax bootstraps
no truncated episode, so it keeps no second observation for PPO; jaxrl does, and also sums training
returns and losses, which rejax does not record. Stable-Baselines3 uses the Huber loss in DQN and one
thread, its fastest choice for networks this small. XLA has all cores for rejax's one vmap; jaxrl trains
a batch on each core, as its command line does, where there is more than one seed. Each has its own
initialisation, generator and implementation of the environment (rejax gymnax's, Stable-Baselines3
Gymnasium's).
"""

import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from benchmarks.timing import time_calls, timed
from benchmarks.turns import compiling, turn

Settings = dict[str, Any]
CHECKED = 8  # iterations whose updates are counted

WORK: dict[str, Settings] = {
    "ppo CartPole-v1": {
        "learning_rate": 2.5e-4,
        "discount": 0.99,
        "gae_lambda": 0.95,
        "clip": 0.2,
        "value_coefficient": 0.5,
        "entropy_coefficient": 0.01,
        "max_grad_norm": 0.5,
        "num_envs": 4,
        "num_steps": 128,
        "epochs": 4,
        "minibatches": 4,
        "hidden": (64, 64),
    },
    "dqn CartPole-v1": {
        "learning_rate": 2.5e-4,
        "discount": 0.99,
        "epsilon": 0.05,
        "target_period": 500,
        "max_grad_norm": 10.0,
        "num_envs": 10,
        "num_steps": 1,
        "updates": 1,
        "batch_size": 128,
        "capacity": 10_000,
        "hidden": (120, 84),
    },
    "sac Pendulum-v1": {
        "learning_rate": 3e-4,
        "discount": 0.99,
        "target_rate": 0.005,
        "num_envs": 1,
        "num_steps": 1,
        "updates": 1,
        "batch_size": 256,
        "capacity": 10_000,
        "hidden": (64, 64),
    },
}
SEEDS = {"ppo CartPole-v1": 64, "dqn CartPole-v1": 32, "sac Pendulum-v1": 8}


class Trainer(Protocol):
    """A framework in the middle of training all seeds."""

    def advance(self, iterations: int) -> None:
        """Trains every seed for this many more iterations and waits for the result; 0 only compiles."""

    def updates(self) -> int:
        """Optimiser steps of one seed so far."""


def steps_per_iteration(settings: Settings) -> int:
    """Environment steps of one seed in an iteration."""
    return int(settings["num_envs"] * settings["num_steps"])


def run_worker(
    start: Callable[[str, Settings, int], Trainer],
    packages: tuple[str, ...],
    more: Mapping[str, Callable[[], Any]] = MappingProxyType({}),
) -> None:
    """The main function of a worker with arguments `work seeds calls min_seconds`.

    It also reports what each function of `more` returns.
    """
    work, seeds, calls, min_seconds = sys.argv[1:]
    settings = WORK[work]
    with compiling():
        trainer = start(work, settings, int(seeds))
        compile_seconds = timed(trainer.advance, 0)
    with turn():
        if "capacity" in settings:  # 2 more, since the frameworks count the first step differently
            trainer.advance(settings["capacity"] // steps_per_iteration(settings) + 2)
        before = trainer.updates()
        trainer.advance(CHECKED)
        updates = (trainer.updates() - before) / CHECKED
        timing = time_calls(trainer.advance, int(calls), float(min_seconds))
        values = {name: function() for name, function in more.items()}
    report = {
        "versions": {package: importlib.metadata.version(package) for package in packages},
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "updates_per_iteration": updates,
        "steps_per_iteration": int(seeds) * steps_per_iteration(settings),
        **timing._asdict(),
        "compile_seconds": compile_seconds,
        **values,
    }
    print(json.dumps(report))
