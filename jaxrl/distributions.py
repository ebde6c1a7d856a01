"""Policies as distributions over actions. Functions of one action; `jax.vmap` adds axes."""

import chex
import jax
import jax.numpy as jnp
from jax import Array, random

from jaxrl.config import Scalar


def categorical_log_prob(logits: Array, action: Array) -> Array:
    """log π(action): logits [n], action [] int in [0, n), gives []."""
    chex.assert_rank([logits, action], [1, 0])
    return jax.nn.log_softmax(logits)[action]


def categorical_entropy(logits: Array) -> Array:
    """-Σ π log π in nats, 0 for probabilities that underflow: logits [n], gives []."""
    chex.assert_rank(logits, 1)
    log_prob = jnp.maximum(jax.nn.log_softmax(logits), jnp.finfo(jnp.float32).min)  # 0 * -inf is NaN
    return -jnp.sum(jnp.exp(log_prob) * log_prob)


def epsilon_greedy(key: Array, values: Array, epsilon: Scalar) -> Array:
    """The greedy action, or with probability `epsilon` a uniform one: values [n], gives [] int32.

    One uniform draw decides both: given that it lies below `epsilon`, its position there is uniform.
    """
    chex.assert_rank([values, epsilon], [1, 0])
    uniform, n = random.uniform(key), values.shape[0]
    explored = jnp.floor(uniform / jnp.maximum(epsilon, 1e-8) * n).astype(jnp.int32)
    return jnp.where(uniform < epsilon, jnp.minimum(explored, n - 1), jnp.argmax(values))
