"""jaxrl's side: the engine's own functions, a batch on each device, as its command line trains."""

from typing import Any

from benchmarks.lanes import Lanes, planned
from benchmarks.peers.work import Settings, run_worker
from jaxrl import registry, use_all_cores


def start(work: str, settings: Settings, seeds: int) -> Lanes:
    name, environment = work.split()
    algorithm = registry.algorithms()[name].replace(**fields(name, settings))
    return Lanes(planned(algorithm, registry.environments()[environment], seeds))


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
    use_all_cores()
    run_worker(start, ("jaxrl", "jax", "jaxlib", "flax", "optax"))
