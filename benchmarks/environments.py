"""Steps per second of each environment under a random policy."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax, random

from benchmarks.timing import time_calls
from jaxrl import registry
from jaxrl.environment import Environment, Episode

COPIES = (1, 8, 64, 256, 1_024, 16_384)


@jax.jit
def random_steps(env: Environment, episodes: Episode, key: Array, steps: Array) -> tuple[Episode, Array]:
    """`steps` uniform actions in each copy ([copies]); the episodes after them and the sum of rewards."""

    def step(t: Array, carry: tuple[Episode, Array]) -> tuple[Episode, Array]:
        episodes, total = carry
        keys = random.split(random.fold_in(key, t), total.shape[0])
        episodes, reward = jax.vmap(one_step, (None, 0, 0))(env, episodes, keys)
        return episodes, total + reward

    return lax.fori_loop(0, steps, step, (episodes, jnp.zeros_like(episodes.episode_return)))


def one_step(env: Environment, episode: Episode, key: Array) -> tuple[Episode, Array]:
    """A uniform action and its reward."""
    key_act, key_env = random.split(key)
    episode, transition = episode.step(env, key_env, env.action_space.sample(key_act))
    return episode, transition.reward


def measure(smoke: bool, only: str) -> Iterator[dict[str, Any]]:
    """A row for each environment whose name contains `only`, and number of copies."""
    chosen = {name: env for name, env in sorted(registry.environments().items()) if only in name}
    for name, env in chosen.items():
        for copies in COPIES[:2] if smoke else COPIES:
            keys = random.split(random.key(0), copies)
            arrays = env.arrays()
            episodes = jax.vmap(Episode.start, (None, 0))(arrays, keys)

            def call(steps: int, env: Any = arrays, episodes: Any = episodes) -> Any:
                return jax.block_until_ready(random_steps(env, episodes, random.key(1), steps))

            timing = time_calls(call, calls=1 if smoke else 7)
            yield {
                "environment": name,
                "copies": copies,
                "steps_per_second": copies * timing.iterations_per_second,
                **timing._asdict(),
            }
