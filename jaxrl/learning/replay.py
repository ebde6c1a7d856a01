"""Experience replay: a ring buffer of a run's last transitions. A row holds one step of all environments.

A row also holds the successors' observations, since after a time limit no other row has them. The step's
number determines a row's place, so the data are the only state and a write is one slice.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax, random

from jaxrl.errors import InputError
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Experience
from jaxrl.mdp.spaces import zeros

Replay = Experience  # with leaves [rows, num_envs, ...]


class Segments(NamedTuple):
    """The places in a replay of segments: successive transitions of one environment."""

    row: Array  # [batch, length] int32
    env: Array  # [batch, 1] int32


def require_capacity(name: str, capacity: int, multiple_of: int, **least: int) -> None:
    """Raises InputError unless a capacity is a multiple of `multiple_of` and at least each of `least`."""
    if capacity % multiple_of:
        raise InputError(
            f"{name}.capacity must be a multiple of num_envs x num_steps = {multiple_of}, got {capacity}"
        )
    what = max(least, key=lambda each: least[each])
    if capacity < least[what]:
        raise InputError(f"{name}.capacity must be at least {what} = {least[what]}, got {capacity}")


def create(env: Environment, rows: int, num_envs: int) -> Replay:
    """An empty ring for transitions of an environment: [rows, num_envs, ...]."""
    lead, agents = (rows, num_envs), () if env.num_agents == 1 else (env.num_agents,)
    return Experience(
        obs=zeros(env.observation_space, *lead),
        action=zeros(env.action_space, *lead),
        reward=jnp.zeros((*lead, *agents), jnp.float32),
        next_obs=zeros(env.observation_space, *lead),
        terminated=jnp.zeros(lead, jnp.bool_),
        truncated=jnp.zeros(lead, jnp.bool_),
    )


def write(replay: Replay, rows: Experience, step: Array) -> Replay:
    """Replaces the oldest rows by `rows` ([n, num_envs, ...]), the steps `step` to `step + n - 1`.

    n must divide the number of rows, and `step` must be a multiple of n, so that a write never wraps around.
    """

    def put(ring: Array, new: Array) -> Array:
        return lax.dynamic_update_slice_in_dim(ring, new, step % ring.shape[0], axis=0)

    return jax.tree.map(put, replay, rows)


def uniform_segments(replay: Replay, key: Array, steps: Array, batch: int, length: int = 1) -> Segments:
    """Draws segments of `length` transitions uniformly, with replacement.

    `steps` ([] int32) is the number of rows written so far, at least `length`.
    """
    rows, num_envs = replay.terminated.shape
    filled = jnp.minimum(steps, rows)
    key_row, key_env = random.split(key)
    oldest = steps - filled
    first = oldest + random.randint(key_row, (batch,), 0, filled - length + 1)
    row = (first[:, None] + jnp.arange(length)[None]) % rows
    return Segments(row, random.randint(key_env, (batch, 1), 0, num_envs))


def read(replay: Replay, segments: Segments) -> Experience:
    """The transitions of segments: [batch, length, ...]."""
    return jax.tree.map(lambda leaf: leaf[segments.row, segments.env], replay)
