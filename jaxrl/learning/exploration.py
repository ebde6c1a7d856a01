"""Exploration: how a policy tries actions that are not greedy."""

from typing import Any

import chex
import jax.numpy as jnp
from jax import Array, lax, random

from jaxrl.config import Scalar
from jaxrl.learning.schedules import exponential, linear


def epsilon_greedy(key: Array, values: Array, epsilon: Scalar) -> Array:
    """The greedy action, or with probability `epsilon` a uniform one: values [n], returns [] int32.

    One uniform draw decides both: if it lies below `epsilon`, its position in [0, epsilon) is uniform.
    """
    chex.assert_rank([values, epsilon], [1, 0])
    uniform, n = random.uniform(key), values.shape[0]
    explored = jnp.floor(uniform / jnp.maximum(epsilon, 1e-8) * n).astype(jnp.int32)
    return jnp.where(uniform < epsilon, jnp.minimum(explored, n - 1), jnp.argmax(values))


def scheduled_epsilon(fields: Any, completed: Array, t: Array, total: Array) -> Array:
    """ε after `completed` episodes and `t` of `total` iterations: []. `fields` has those of the schedule."""
    start, end = fields.epsilon_start, fields.epsilon_end
    if fields.epsilon_schedule == "exponential":
        return exponential(start, end, fields.epsilon_decay, completed)
    return linear(start, end, fields.epsilon_fraction, t, total)


def slow_epsilon(fields: Any, steps: int) -> tuple[str, ...]:
    """The field that keeps ε above its end for a run of `steps` steps even if each is an episode.

    An end of 0 is only approached, so it counts as no end.
    """
    start, end, decay = (float(x) for x in (fields.epsilon_start, fields.epsilon_end, fields.epsilon_decay))
    above = fields.epsilon_schedule == "exponential" and start * decay**steps > end > 0
    return ("epsilon_decay",) if above else ()


def repeated_uniform(key: Array, held: Array, steps: Array, period: int) -> tuple[Array, Array]:
    """Uniform actions in [-1, 1), each repeated for `period` steps, so that exploration goes further.

    held [num_envs, d] are the actions of the step before, steps [n] the numbers of the steps. Returns the
    actions of the last step, [num_envs, d], and of all steps, [n, num_envs, d].
    """

    def one(held: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        step, key = inputs
        fresh = random.uniform(key, held.shape, minval=-1.0, maxval=1.0)
        held = jnp.where(step % period == 0, fresh, held)
        return held, held

    return lax.scan(one, held, (steps, random.split(key, steps.size)))
