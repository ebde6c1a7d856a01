import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import Array, random


class Categorical(NamedTuple):
    """One of n actions."""

    logits: Array  # [n]

    def sample(self, key: Array) -> Array:
        """An action: [] int32."""
        return random.categorical(key, self.logits)

    def mode(self) -> Array:
        """The likeliest action: [] int32."""
        return jnp.argmax(self.logits)

    def log_prob(self, action: Array) -> Array:
        """log π(action): action [] int in [0, n), gives []."""
        chex.assert_rank([self.logits, action], [1, 0])
        return jax.nn.log_softmax(self.logits)[action]

    def entropy(self) -> Array:
        """-Σ π log π in nats, 0 for probabilities that underflow: []."""
        chex.assert_rank(self.logits, 1)
        log_prob = jax.nn.log_softmax(self.logits)
        log_prob = jnp.maximum(log_prob, jnp.finfo(jnp.float32).min)  # 0 * -inf is NaN
        return -jnp.sum(jnp.exp(log_prob) * log_prob)


class Gaussian(NamedTuple):
    """An array of independent normal numbers."""

    mean: Array  # [*action]
    log_std: Array  # [*action]

    def sample(self, key: Array) -> Array:
        """An action: [*action]."""
        return self.mean + jnp.exp(self.log_std) * random.normal(key, self.mean.shape)

    def mode(self) -> Array:
        """The likeliest action: [*action]."""
        return self.mean

    def log_prob(self, action: Array) -> Array:
        """The log density of an action [*action]: []."""
        chex.assert_equal_shape([self.mean, self.log_std, action])
        standardised = (action - self.mean) * jnp.exp(-self.log_std)
        return -jnp.sum(0.5 * jnp.square(standardised) + self.log_std + 0.5 * math.log(2 * math.pi))

    def entropy(self) -> Array:
        """The differential entropy in nats: []."""
        return jnp.sum(self.log_std + 0.5 * math.log(2 * math.pi * math.e))


class TanhGaussian(NamedTuple):
    """An array in (-1, 1): the tanh of independent normal numbers (Haarnoja et al. 2018, appendix C)."""

    mean: Array  # [*action], before the tanh
    log_std: Array  # [*action], before the tanh

    def sample(self, key: Array) -> Array:
        """An action: [*action]."""
        return self.transformed(random.normal(key, self.mean.shape))[0]

    def transformed(self, noise: Array) -> tuple[Array, Array]:
        """The action [*action] that standard normal noise [*action] gives, and its log density [].

        In one, since the density follows from the number before the tanh, which an action that rounds to 1
        has lost. Differentiable with respect to mean and log_std.
        """
        normal = Gaussian(self.mean, self.log_std)
        before = self.mean + jnp.exp(self.log_std) * noise
        return jnp.tanh(before), normal.log_prob(before) - jnp.sum(log_tanh_derivative(before))

    def mode(self) -> Array:
        """The tanh of the mean: [*action]."""
        return jnp.tanh(self.mean)


def log_tanh_derivative(x: Array) -> Array:
    """log(1 - tanh(x)²), which stays exact where tanh(x) rounds to 1. Any shape."""
    return 2 * (math.log(2) - x - jax.nn.softplus(-2 * x))
