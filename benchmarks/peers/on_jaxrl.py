"""jaxrl's side: the engine's own `initialise` and `advance`, a batch on each device."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import optax

from benchmarks.peers.work import Settings, Trainer, run_worker
from jaxrl import registry
from jaxrl.plan import Batch
from jaxrl.study import Run
from jaxrl.training import advance, initialise

TOTAL = 1_000_000_000  # planned iterations; schedules hardly move within a measurement


class Lanes(Trainer):
    def __init__(self, work: str, settings: Settings, seeds: int) -> None:
        name, environment = work.split()
        algorithm = registry.algorithms()[name].replace(**fields(name, settings))
        env = registry.environments()[environment]
        runs = [Run(seed, env, algorithm, seed) for seed in range(seeds)]
        self.batches = [
            OnDevice(device, tuple(runs[i :: jax.local_device_count()]))
            for i, device in enumerate(jax.local_devices()[:seeds])
        ]
        self.pool = ThreadPoolExecutor(len(self.batches))
        self.t = 0

    def advance(self, iterations: int) -> None:
        stop = self.t + iterations
        list(self.pool.map(lambda batch: batch.advance(self.t, stop), self.batches))
        self.t = stop

    def updates(self) -> int:
        counts = optax.tree_utils.tree_get_all_with_path(self.batches[0].state, "count")
        return max(int(count[0]) for _, count in counts)


class OnDevice:
    """A batch of runs, all of whose lanes are one device's."""

    def __init__(self, device: jax.Device, runs: tuple[Run, ...]) -> None:
        self.device = device
        with jax.default_device(device):
            self.algorithms, self.envs, keys, _ = Batch(0, len(runs), runs).lanes("threefry2x32")
            self.state = initialise(self.algorithms, self.envs, keys)

    def advance(self, start: int, stop: int) -> None:
        with jax.default_device(self.device):
            self.state, *metrics = advance(self.algorithms, self.envs, self.state, start, stop, TOTAL)
            jax.block_until_ready(metrics)


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
