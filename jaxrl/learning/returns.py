"""Returns and advantages along a trajectory whose time limit and terminations are kept apart."""

import chex
import jax.numpy as jnp
from jax import Array, lax

from jaxrl.config import Scalar


def td_error(value: Array, reward: Array, discount: Scalar, terminated: Array, next_value: Array) -> Array:
    """r + γ (1 - terminated) v(s') - v(s) (Sutton & Barto, eq. 6.5). All [] or equal shapes.

    `next_value` is the true successor's, so that a truncated transition bootstraps by itself.
    """
    chex.assert_equal_shape([value, reward, terminated, next_value])
    return reward + discount * jnp.where(terminated, 0.0, next_value) - value


def generalised_advantage(delta: Array, done: Array, discount: Scalar, gae_lambda: Scalar) -> Array:
    """Advantages from TD errors (Schulman et al. 2016, eq. 16); the trace is cut where `done`.

    delta [T, ...] float32, done [T, ...] bool (terminated or truncated), the others []; gives [T, ...].
    """

    chex.assert_equal_shape([delta, done])

    def backwards(following: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        delta, done = inputs
        advantage = delta + discount * gae_lambda * jnp.where(done, 0.0, following)
        return advantage, advantage

    _, advantages = lax.scan(backwards, jnp.zeros_like(delta[0]), (delta, done), reverse=True)
    return advantages
