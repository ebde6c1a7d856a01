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
        """The nearest element: [] int32."""
        return jnp.clip(action, 0, self.n - 1)


class Box(NamedTuple):
    """Real arrays of `shape` between `low` and `high`, which broadcast to it and may be infinite."""

    low: Any
    high: Any
    shape: tuple[int, ...]
    dtype: Any = jnp.float32

    def sample(self, key: Array) -> Array:
        """A uniform draw from finite bounds: [*shape]."""
        return random.uniform(key, self.shape, self.dtype, self.low, self.high)

    def clip(self, action: Array) -> Array:
        """The nearest element: [*shape]."""
        return jnp.clip(action, self.low, self.high)


Space = Discrete | Box


def draw_below(key: Array, n: int) -> Array:
    """One of 0 to n - 1, equally likely but for the 2^-23 that a float32 resolves: [] int32.

    One word of random bits, where jax.random.randint takes two and splits the key for them.
    """
    if n == 1:
        return jnp.int32(0)
    return jnp.minimum(jnp.floor(random.uniform(key) * n).astype(jnp.int32), n - 1)
