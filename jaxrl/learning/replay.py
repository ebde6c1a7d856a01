"""Experience replay: the last transitions of a run in a ring of rows, one row a step of all environments.

The successor's observation stands beside the observation, since at a time limit no other row has it. The
place of a row follows from the step's number, so that nothing but the data is state, and a write is
one slice for all environments.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax, random

from jaxrl.config import Scalar
from jaxrl.errors import InputError
from jaxrl.mdp.episode import Experience

Replay = Any  # a pytree of arrays [rows, num_envs, ...]


def require_capacity(name: str, capacity: int, multiple_of: int, **least: int) -> None:
    """Raises InputError unless a capacity is a multiple of a write and at least each of `least`."""
    if capacity % multiple_of:
        raise InputError(
            f"{name}.capacity must be a multiple of num_envs x num_steps = {multiple_of}, got {capacity}"
        )
    what = max(least, key=lambda each: least[each])
    if capacity < least[what]:
        raise InputError(f"{name}.capacity must be at least {what} = {least[what]}, got {capacity}")


def create(rows: Any, count: int) -> Replay:
    """An empty ring of `count` rows like `rows`, shapes and types [n, num_envs, ...], in their own types."""
    return jax.tree.map(lambda leaf: jnp.zeros((count, *leaf.shape[1:]), leaf.dtype), rows)


def write(replay: Replay, rows: Any, step: Array) -> Replay:
    """Puts `rows` ([n, num_envs, ...]), of the steps `step` to `step + n - 1`, over the oldest ones.

    n must divide the number of rows and `step` be a multiple of n, so that rows never wrap around.
    """

    def put(ring: Array, new: Array) -> Array:
        return lax.dynamic_update_slice_in_dim(ring, new, step % ring.shape[0], axis=0)

    return jax.tree.map(put, replay, rows)


def sample(replay: Replay, key: Array, steps: Array, batch: int, length: int = 1) -> Any:
    """Uniformly drawn stretches of `length` successive rows of one environment: leaves [batch, length, ...].

    `steps` ([] int32) rows were written so far; at least `length` of them. Drawn with replacement.
    """
    rows, num_envs = jax.tree.leaves(replay)[0].shape[:2]
    filled = jnp.minimum(steps, rows)
    key_row, key_env = random.split(key)
    oldest = steps - filled
    first = oldest + random.randint(key_row, (batch,), 0, filled - length + 1)
    row = (first[:, None] + jnp.arange(length)) % rows
    env = random.randint(key_env, (batch, 1), 0, num_envs)
    return jax.tree.map(lambda leaf: leaf[row, env], replay)


def n_step(stretch: Experience, discount: Scalar) -> tuple[Array, Array, Array]:
    """What a stretch of one environment's transitions ([n, ...]) is worth to its first state.

    Gives the discounted reward up to the end of the episode or of the stretch (Sutton & Barto, eq. 7.1),
    the discount of the value that follows, 0 after a termination (both [] float32), and the observation
    of that value, [*obs]: the true successor of the last transition that counts, also at a time limit.
    """
    ended = jnp.cumsum(stretch.done)
    counts = jnp.concatenate([jnp.ones(1, bool), ended[:-1] == 0])  # until the first end, it included
    weight = discount ** jnp.arange(counts.size)
    last = jnp.sum(counts) - 1
    reward = jnp.sum(jnp.where(counts, weight * stretch.reward, 0.0))
    bootstrap = jnp.where(stretch.terminated[last], 0.0, discount * weight[last])
    return reward, bootstrap, stretch.next_obs[last]
