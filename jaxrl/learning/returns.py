"""Returns and advantages along a trajectory. A termination is not a time limit."""

import chex
import jax.numpy as jnp
from jax import Array, lax

from jaxrl.config import Scalar
from jaxrl.mdp.episode import Experience


def td_target(reward: Array, discount: Scalar, terminated: Array, next_value: Array) -> Array:
    """r + γ (1 - terminated) v(s') (Sutton & Barto, eq. 6.2). All [] or equal shapes.

    `next_value` is the true successor's value, so a truncated transition needs no special case.
    """
    chex.assert_equal_shape([reward, terminated, next_value])
    return reward + discount * jnp.where(terminated, 0.0, next_value)


def generalised_advantage(delta: Array, done: Array, discount: Scalar, gae_lambda: Scalar) -> Array:
    """Advantages from TD errors (Schulman et al. 2016, eq. 16). The trace ends where `done`.

    delta [T, ...] float32, done [T, ...] bool (terminated or truncated), the others []; returns [T, ...].
    An advantage plus the value of its state is the λ-return (Sutton & Barto, eq. 12.18).
    """
    chex.assert_equal_shape([delta, done])

    def backwards(following: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        delta, done = inputs
        advantage = delta + discount * gae_lambda * jnp.where(done, 0.0, following)
        return advantage, advantage

    _, advantages = lax.scan(backwards, jnp.zeros_like(delta[0]), (delta, done), reverse=True)
    return advantages


def n_step_return(segment: Experience, discount: Scalar) -> tuple[Array, Array, Array]:
    """The parts of the n-step return of an n-step segment's first state (Sutton & Barto, eq. 7.1).

    The segment is transitions [n, ...] of one environment. Returns the discounted reward up to the end of the
    episode or of the segment, the discount of the bootstrapped value, which is 0 after a termination (both []
    float32), and the observation to bootstrap from, [*obs]. That is the true successor of the last transition
    that counts, also at a time limit.
    """
    ended = jnp.cumsum(segment.done)
    counts = jnp.concatenate([jnp.ones(1, bool), ended[:-1] == 0])  # up to and including the first end
    weight = discount ** jnp.arange(counts.size)
    last = jnp.sum(counts) - 1
    reward = jnp.sum(jnp.where(counts, weight * segment.reward, 0.0))
    bootstrap = jnp.where(segment.terminated[last], 0.0, discount * weight[last])
    return reward, bootstrap, segment.next_obs[last]
