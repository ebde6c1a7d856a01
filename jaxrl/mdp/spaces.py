"""Spaces: the sets that observations and actions are elements of."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array, random


class Discrete(NamedTuple):
    """The integers 0 to n - 1, as [] int32."""

    n: int
    shape: tuple[int, ...] = ()
    dtype: Any = jnp.int32

    def sample(self, key: Array) -> Array:
        """A uniform draw: [] int32."""
        return draw_below(key, self.n)

    def clip(self, action: Array) -> Array:
        """The nearest element: any shape, int32."""
        return jnp.clip(action, 0, self.n - 1)

    def contains(self, element: Array) -> Array:
        """Whether an element of the right shape and type lies in the space: [] bool."""
        return (element >= 0) & (element < self.n)


class Box(NamedTuple):
    """Real arrays of `shape` between `low` and `high`, which broadcast to `shape` and may be infinite."""

    low: Any
    high: Any
    shape: tuple[int, ...]
    dtype: Any = jnp.float32

    def sample(self, key: Array) -> Array:
        """A uniform draw from finite bounds: [*shape]."""
        return random.uniform(key, self.shape, self.dtype, self.low, self.high)

    def clip(self, action: Array) -> Array:
        """The nearest element: [..., *shape]."""
        return jnp.clip(action, self.low, self.high)

    def contains(self, element: Array) -> Array:
        """Whether every number of an element lies within its bounds, or is NaN: [] bool."""
        return ~jnp.any((element < self.low) | (element > self.high))


Space = Discrete | Box


def draw_below(key: Array, n: int) -> Array:
    """A uniform integer from 0 to n - 1: [] int32. Probabilities are exact up to a float32's 2^-23.

    It uses one word of random bits; jax.random.randint uses two and splits the key.
    """
    if n == 1:
        return jnp.int32(0)
    return jnp.minimum(jnp.floor(random.uniform(key) * n).astype(jnp.int32), n - 1)
