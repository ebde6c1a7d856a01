"""Normalisation of observations, rewards and advantages."""

from typing import Self

import jax.numpy as jnp
from flax import struct
from jax import Array, lax

from jaxrl.config import Scalar

LIMIT = 10.0  # normalised numbers are clipped to ± this, as in OpenAI Baselines' VecNormalize


class Moments(struct.PyTreeNode):
    """Mean and variance, entry by entry, of all arrays seen so far."""

    mean: Array  # [*shape]
    variance: Array  # [*shape]
    count: Array  # [] float32, arrays seen

    @classmethod
    def create(cls, shape: tuple[int, ...]) -> Self:
        """Before the first array: mean 0 and variance 1, which the first batch replaces."""
        return cls(jnp.zeros(shape), jnp.ones(shape), jnp.float32(1e-4))

    def updated(self, batch: Array) -> Self:
        """The moments with a batch [n, *shape] added, free of cancellation (Chan, Golub & LeVeque 1983)."""
        number = jnp.float32(batch.shape[0])
        count = self.count + number
        difference = jnp.mean(batch, axis=0) - self.mean
        squares = self.variance * self.count + jnp.var(batch, axis=0) * number
        squares += jnp.square(difference) * self.count * number / count
        return self.replace(
            mean=self.mean + difference * number / count, variance=squares / count, count=count
        )

    def standardised(self, x: Array) -> Array:
        """(x - mean) / standard deviation, clipped to ± LIMIT: [..., *shape]."""
        mean, variance = (lax.broadcast_to_rank(each, x.ndim) for each in (self.mean, self.variance))
        return limited((x - mean) / jnp.sqrt(variance + 1e-8))

    def scaled(self, x: Array) -> Array:
        """x / standard deviation, clipped to ± LIMIT: [..., *shape]."""
        return limited(x / jnp.sqrt(lax.broadcast_to_rank(self.variance, x.ndim) + 1e-8))


def standardised(x: Array) -> Array:
    """An array shifted and scaled to mean 0 and standard deviation 1 over all its entries."""
    return (x - jnp.mean(x)) / (jnp.std(x) + 1e-8)


def limited(x: Array) -> Array:
    return jnp.clip(x, -LIMIT, LIMIT)


class Scales(struct.PyTreeNode):
    """The statistics that normalise a learner's inputs and rewards (OpenAI Baselines' VecNormalize)."""

    inputs: Moments  # of the network's inputs, [*inputs]
    returns: Moments  # of the running returns, []
    running_return: Array  # [num_envs] float32, discounted sum of the rewards in the current episodes

    @classmethod
    def create(cls, inputs: tuple[int, ...], num_envs: int) -> Self:
        """The statistics before the first rollout."""
        return cls(Moments.create(inputs), Moments.create(()), jnp.zeros(num_envs))

    def with_inputs(self, x: Array) -> Self:
        """The statistics with inputs [num_steps, num_envs, *inputs] added."""
        return self.replace(inputs=self.inputs.updated(x.reshape(-1, *x.shape[2:])))

    def with_rewards(self, reward: Array, done: Array, discount: Scalar) -> Self:
        """The statistics with the running returns of a rollout added: reward, done [num_steps, num_envs]."""
        running_return, sums = running_returns(self.running_return, reward, done, discount)
        return self.replace(running_return=running_return, returns=self.returns.updated(sums.ravel()))


def running_returns(before: Array, reward: Array, done: Array, discount: Scalar) -> tuple[Array, Array]:
    """Running discounted sums of an episode's rewards. Their spread is the scale of the rewards.

    before [...] are the sums so far, 0 at the start of an episode; reward and done are [T, ...]. Returns the
    sums to continue from, [...], and the sums after each reward, [T, ...].
    """

    def add(total: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        reward, done = inputs
        total = discount * total + reward
        return jnp.where(done, 0.0, total), total

    return lax.scan(add, before, (reward, done))
