"""Policies as distributions over actions. `...` stands for leading axes of a batch."""

import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import Array, random


class Categorical(NamedTuple):
    """One of n actions."""

    logits: Array  # [..., n]

    def sample(self, key: Array) -> Array:
        """Actions: [...] int32."""
        return random.categorical(key, self.logits)

    def mode(self) -> Array:
        """The likeliest actions: [...] int32."""
        return jnp.argmax(self.logits, axis=-1)

    def log_prob(self, action: Array) -> Array:
        """log π(action): actions [...] int in [0, n), gives [...]."""
        chex.assert_equal_shape([self.logits[..., 0], action])
        return jnp.take_along_axis(jax.nn.log_softmax(self.logits), action[..., None], axis=-1)[..., 0]

    def entropy(self) -> Array:
        """-Σ π log π in nats: [...]. A probability that underflows adds 0."""
        log_prob = self._log_probs()
        return -jnp.sum(jnp.exp(log_prob) * log_prob, axis=-1)

    def kl(self, other: "Categorical") -> Array:
        """The KL divergence Σ π (log π - log π') from another policy π', in nats: [...]."""
        log_prob = self._log_probs()
        return jnp.sum(jnp.exp(log_prob) * (log_prob - other._log_probs()), axis=-1)

    def _log_probs(self) -> Array:
        return jnp.maximum(jax.nn.log_softmax(self.logits), jnp.finfo(jnp.float32).min)  # 0 * -inf is NaN


class Gaussian(NamedTuple):
    """d independent normal numbers."""

    mean: Array  # [..., d]
    log_std: Array  # [..., d]

    def sample(self, key: Array) -> Array:
        """Actions: [..., d]."""
        return self.mean + jnp.exp(self.log_std) * random.normal(key, self.mean.shape)

    def mode(self) -> Array:
        """The likeliest actions: [..., d]."""
        return self.mean

    def log_prob(self, action: Array) -> Array:
        """The log density of actions [..., d]: [...]."""
        chex.assert_equal_shape([self.mean, self.log_std, action])
        standardised = (action - self.mean) * jnp.exp(-self.log_std)
        each = 0.5 * jnp.square(standardised) + self.log_std + 0.5 * math.log(2 * math.pi)
        return -jnp.sum(each, axis=-1)

    def entropy(self) -> Array:
        """The differential entropy in nats: [...]."""
        return jnp.sum(self.log_std + 0.5 * math.log(2 * math.pi * math.e), axis=-1)

    def kl(self, other: "Gaussian") -> Array:
        """The KL divergence from another policy, ∫ π (log π - log π'), in nats: [...]."""
        variance, distance = jnp.exp(2 * self.log_std), jnp.square(self.mean - other.mean)
        each = other.log_std - self.log_std + 0.5 * (variance + distance) * jnp.exp(-2 * other.log_std) - 0.5
        return jnp.sum(each, axis=-1)


# The largest entropy per dimension of a TanhGaussian is 0.6836 nats, at mean 0 and standard deviation 0.874.
# It is below log 2, the entropy of the uniform distribution. A larger target entropy cannot be reached.
MAX_ENTROPY = 0.68


class TanhGaussian(NamedTuple):
    """d numbers in (-1, 1): the tanh of independent normal numbers (Haarnoja et al. 2018, appendix C)."""

    mean: Array  # [..., d], before the tanh
    log_std: Array  # [..., d], before the tanh

    def sample(self, key: Array) -> Array:
        """Actions: [..., d]."""
        return self.transformed(random.normal(key, self.mean.shape))[0]

    def transformed(self, noise: Array) -> tuple[Array, Array]:
        """The actions [..., d] that standard normal noise [..., d] gives, and their log densities [...].

        The density is computed from the number before the tanh, which an action that rounds to 1 no longer
        determines. Differentiable with respect to mean and log_std.
        """
        normal = Gaussian(self.mean, self.log_std)
        before = self.mean + jnp.exp(self.log_std) * noise
        correction = jnp.sum(log_tanh_derivative(before), axis=-1)
        return jnp.tanh(before), normal.log_prob(before) - correction

    def mode(self) -> Array:
        """The tanh of the means: [..., d]."""
        return jnp.tanh(self.mean)


def log_tanh_derivative(x: Array) -> Array:
    """log(1 - tanh(x)²), exact also where tanh(x) rounds to 1. Any shape."""
    return 2 * (math.log(2) - x - jax.nn.softplus(-2 * x))
