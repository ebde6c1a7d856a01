"""jaxrl's side: the engine's own functions with a batch on each device, as the command line trains."""

import sys
from typing import Any

from benchmarks.arithmetic import iteration_flops, product_rate
from benchmarks.lanes import Lanes, planned
from benchmarks.peers.work import WORK, Settings, run_worker
from jaxrl import registry, use_all_cores
from jaxrl.learning.algorithm import Algorithm
from jaxrl.mdp.environment import Environment


def start(work: str, settings: Settings, seeds: int) -> Lanes:
    return Lanes(planned(*configured(work, settings), seeds))


def configured(work: str, settings: Settings) -> tuple[Algorithm, Environment]:
    """Our algorithm with these settings, and the environment."""
    name, environment = work.split()
    algorithm = registry.algorithms()[name].replace(**fields(name, settings))
    return algorithm, registry.environments()[environment]


def fields(algorithm: str, settings: Settings) -> dict[str, Any]:
    """The settings as an algorithm's fields."""
    own = dict(settings)
    own["network.hidden"] = own.pop("hidden")
    if algorithm == "ppo":
        return own | {"anneal_learning_rate": False}
    if algorithm == "dqn":
        epsilon = own.pop("epsilon")
        own |= {"epsilon_start": epsilon, "epsilon_end": epsilon}
    return own | {"warmup": settings["capacity"]}


if __name__ == "__main__":
    use_all_cores()
    work, seeds = sys.argv[1:3]
    run_worker(
        start,
        ("jaxrl", "jax", "jaxlib", "flax", "optax"),
        {
            "flops_per_iteration": lambda: int(seeds) * iteration_flops(*configured(work, WORK[work])),
            "product_flops_per_second": product_rate,
        },
    )
