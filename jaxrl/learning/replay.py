"""Experience replay: the last transitions of a run in a ring of rows, one row a step of all environments.

The successor's observation stands beside the observation, since at a time limit no other row has it. The
place of a row follows from the step's number, so that nothing but the data is state, and a write is
one slice for all environments.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax, random

from jaxrl.errors import InputError
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Experience

Replay = Experience  # with leaves [rows, num_envs, ...]


class Segments(NamedTuple):
    """Where segments of successive transitions of one environment lie in a replay."""

    row: Array  # [batch, length] int32
    env: Array  # [batch, 1] int32


def require_capacity(name: str, capacity: int, multiple_of: int, **least: int) -> None:
    """Raises InputError unless a capacity is a multiple of a write and at least each of `least`."""
    if capacity % multiple_of:
        raise InputError(
            f"{name}.capacity must be a multiple of num_envs x num_steps = {multiple_of}, got {capacity}"
        )
    what = max(least, key=lambda each: least[each])
    if capacity < least[what]:
        raise InputError(f"{name}.capacity must be at least {what} = {least[what]}, got {capacity}")


def create(env: Environment, rows: int, num_envs: int) -> Replay:
    """An empty ring for transitions of an environment: [rows, num_envs, ...]."""
    lead, observation, action = (rows, num_envs), env.observation_space, env.action_space
    return Experience(
        obs=jnp.zeros((*lead, *observation.shape), observation.dtype),
        action=jnp.zeros((*lead, *action.shape), action.dtype),
        reward=jnp.zeros(lead, jnp.float32),
        next_obs=jnp.zeros((*lead, *observation.shape), observation.dtype),
        terminated=jnp.zeros(lead, jnp.bool_),
        truncated=jnp.zeros(lead, jnp.bool_),
    )


def write(replay: Replay, rows: Experience, step: Array) -> Replay:
    """Puts `rows` ([n, num_envs, ...]), of the steps `step` to `step + n - 1`, over the oldest ones.

    n must divide the number of rows and `step` be a multiple of n, so that rows never wrap around.
    """

    def put(ring: Array, new: Array) -> Array:
        return lax.dynamic_update_slice_in_dim(ring, new, step % ring.shape[0], axis=0)

    return jax.tree.map(put, replay, rows)


def uniform_segments(replay: Replay, key: Array, steps: Array, batch: int, length: int = 1) -> Segments:
    """Places of uniformly drawn segments of `length` transitions, with replacement.

    `steps` ([] int32) rows were written so far; at least `length` of them.
    """
    rows, num_envs = replay.reward.shape
    filled = jnp.minimum(steps, rows)
    key_row, key_env = random.split(key)
    oldest = steps - filled
    first = oldest + random.randint(key_row, (batch,), 0, filled - length + 1)
    row = (first[:, None] + jnp.arange(length)) % rows
    return Segments(row, random.randint(key_env, (batch, 1), 0, num_envs))


def read(replay: Replay, segments: Segments) -> Experience:
    """The transitions of some segments: [batch, length, ...]."""
    return jax.tree.map(lambda leaf: leaf[segments.row, segments.env], replay)
