"""Exploration: how a policy tries actions that it does not think best."""

import chex
import jax.numpy as jnp
from jax import Array, random

from jaxrl.config import Scalar


def epsilon_greedy(key: Array, values: Array, epsilon: Scalar) -> Array:
    """The greedy action, or with probability `epsilon` a uniform one: values [n], gives [] int32.

    One uniform draw decides both: given that it lies below `epsilon`, its position there is uniform.
    """
    chex.assert_rank([values, epsilon], [1, 0])
    uniform, n = random.uniform(key), values.shape[0]
    explored = jnp.floor(uniform / jnp.maximum(epsilon, 1e-8) * n).astype(jnp.int32)
    return jnp.where(uniform < epsilon, jnp.minimum(explored, n - 1), jnp.argmax(values))
