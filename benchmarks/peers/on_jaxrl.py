"""jaxrl's side: the engine's own `initialise` and `advance`."""

from typing import Any

import jax
import optax

from benchmarks.peers.work import Settings, Trainer, run_worker
from jaxrl import registry
from jaxrl.plan import Batch, Run
from jaxrl.training import advance, initialise

TOTAL = 1_000_000_000  # planned iterations; schedules hardly move within a measurement


class Lanes(Trainer):
    def __init__(self, work: str, settings: Settings, seeds: int) -> None:
        name, environment = work.split()
        algorithm = registry.algorithms()[name].replace(**fields(name, settings))
        env = registry.environments()[environment]
        runs = tuple(Run(seed, env, algorithm, seed) for seed in range(seeds))
        self.algorithms, self.envs, keys, _ = Batch(0, seeds, runs).lanes("threefry2x32")
        self.state = initialise(self.algorithms, self.envs, keys)
        self.t = 0

    def advance(self, iterations: int) -> None:
        stop = self.t + iterations
        self.state, *metrics = advance(self.algorithms, self.envs, self.state, self.t, stop, TOTAL)
        self.t = stop
        jax.block_until_ready(metrics)

    def updates(self) -> int:
        counts = optax.tree_utils.tree_get_all_with_path(self.state, "count")
        return max(int(count[0]) for _, count in counts)


def fields(algorithm: str, settings: Settings) -> dict[str, Any]:
    """The settings as an algorithm's fields."""
    own = dict(settings)
    if algorithm == "ppo":
        return own | {"anneal_learning_rate": False}
    if algorithm == "dqn":
        epsilon = own.pop("epsilon")
        own |= {"epsilon_start": epsilon, "epsilon_end": epsilon}
    return own | {"warmup": settings["capacity"]}


if __name__ == "__main__":
    run_worker(Lanes, ("jaxrl", "jax", "jaxlib", "flax", "optax"))
