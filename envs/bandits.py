"""Bandits with Gaussian and with Bernoulli arms, whose means may drift (Sutton & Barto 2018, chapter 2)."""

import jax.numpy as jnp
from jax import Array, random

from jaxrl.environment import Bandit, traced


class GaussianBandit(Bandit):
    """A bandit whose rewards are normally distributed, by default the 10-armed testbed (Sutton & Barto, 2.3).

    The means of the arms are drawn from a normal distribution.
    """

    mean: float = traced(0.0, "mean of the arms' means")
    spread: float = traced(1.0, "standard deviation of the arms' means", low=0)
    noise: float = traced(1.0, "standard deviation of a reward around its arm's mean", low=0)

    def draw_means(self, key: Array) -> Array:
        return self.mean + self.spread * random.normal(key, (self.num_arms,))

    def pull(self, key: Array, mean: Array) -> Array:
        return mean + self.noise * random.normal(key)


class BernoulliBandit(Bandit):
    """A bandit whose rewards are 0 or 1, each arm with a probability drawn uniformly from [0, 1).

    A mean that would drift out of [0, 1] is reflected at the bound.
    """

    @property
    def is_binary(self) -> bool:
        return True

    def draw_means(self, key: Array) -> Array:
        return random.uniform(key, (self.num_arms,))

    def drifted(self, means: Array, change: Array) -> Array:
        folded = jnp.mod(means + change, 2.0)
        return jnp.minimum(folded, 2.0 - folded)

    def pull(self, key: Array, mean: Array) -> Array:
        return jnp.where(random.uniform(key) < mean, 1.0, 0.0)
