"""Spaces: the sets that observations and actions are elements of."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random

from jaxrl.errors import InputError


class Discrete(NamedTuple):
    """The integers 0 to n - 1, as [] int32.

    `start` is the number that stands for 0 outside of jaxrl, in the library that an environment comes from.
    """

    n: int
    shape: tuple[int, ...] = ()
    dtype: Any = jnp.int32
    start: int = 0

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
    """Arrays of `shape` between `low` and `high`, which broadcast to `shape` and may be infinite."""

    low: Any
    high: Any
    shape: tuple[int, ...]
    dtype: Any = jnp.float32

    def sample(self, key: Array) -> Array:
        """A uniform draw from finite bounds: [*shape]. Integers come from at most 2^24 of them."""
        if not self.is_integer:
            return random.uniform(key, self.shape, self.dtype, self.low, self.high)
        low, high = (jnp.asarray(bound, jnp.float32) for bound in (self.low, self.high))
        return self.clip(jnp.floor(random.uniform(key, self.shape, minval=low, maxval=high + 1)))

    def clip(self, action: Array) -> Array:
        """The nearest element: [..., *shape]."""
        if not self.is_integer:
            return jnp.clip(action, self.low, self.high)
        # Clipped before the conversion too, since a number beyond the type's range may wrap around.
        rounded = jnp.clip(jnp.round(action), self.low, self.high).astype(self.dtype)
        return jnp.clip(rounded, self.low, self.high).astype(self.dtype)

    def contains(self, element: Array) -> Array:
        """Whether every number of an element lies within its bounds, or is NaN: [] bool."""
        return ~jnp.any((element < self.low) | (element > self.high))

    @property
    def is_integer(self) -> bool:
        """Whether the elements are made of integers."""
        return bool(jnp.issubdtype(self.dtype, jnp.integer))

    @property
    def is_bounded(self) -> bool:
        """Whether `high - low` is a finite float32 everywhere. The bounds must be concrete."""
        with np.errstate(over="ignore", invalid="ignore"):
            return bool(np.isfinite(np.float32(self.high) - np.float32(self.low)).all())


class Composite(NamedTuple):
    """Several spaces side by side. An element is the same tree with an element of each space.

    The parts are, for instance, the spaces of several agents, or an observation and a mask of legal actions.
    """

    parts: Any  # a dict, list or tuple of Discrete and Box

    def sample(self, key: Array) -> Any:
        """A uniform draw from each part."""
        spaces, structure = jax.tree.flatten(self.parts, is_leaf=is_simple)
        keys = jax.tree.unflatten(structure, list(random.split(key, len(spaces))))
        return jax.tree.map(lambda space, key: space.sample(key), self.parts, keys, is_leaf=is_simple)

    def clip(self, action: Any) -> Any:
        """The nearest element of each part."""
        return jax.tree.map(lambda space, part: space.clip(part), self.parts, action, is_leaf=is_simple)

    def contains(self, element: Any) -> Array:
        """Whether every part lies in its space: [] bool."""
        inside = jax.tree.map(
            lambda space, part: space.contains(part), self.parts, element, is_leaf=is_simple
        )
        return jnp.all(jnp.stack(jax.tree.leaves(inside)))

    @property
    def shape(self) -> tuple[int, ...]:
        raise InputError(f"{self} has parts, so it has no shape; this needs a Discrete or a Box")

    @property
    def dtype(self) -> Any:
        raise InputError(f"{self} has parts, so it has no type; this needs a Discrete or a Box")


Space = Discrete | Box | Composite


def is_simple(space: Any) -> bool:
    """Whether the elements of a space are single arrays."""
    return isinstance(space, Discrete | Box)


def is_channel_first(space: Space) -> bool:
    """Whether observations are taken as images [channels, height, width]: 1 to 4 channels, more pixels."""
    return len(space.shape) == 3 and space.shape[0] <= 4 < min(space.shape[1:])


def bounds(*numbers: Any) -> Any:
    """Numbers as one array, [n] float32, for the bounds of a Box.

    It is numpy's unless a number is traced, so that reading a space does not start jax.
    """
    traced = any(isinstance(number, Array) for number in numbers)
    return jnp.stack([jnp.float32(each) for each in numbers]) if traced else np.asarray(numbers, np.float32)


def zeros(space: Space, *lead: int) -> Any:
    """Zeros in the shape and type of elements of a space, [*lead, *shape]: an array, or a tree of them."""
    parts = space.parts if isinstance(space, Composite) else space
    return jax.tree.map(lambda each: jnp.zeros((*lead, *each.shape), each.dtype), parts, is_leaf=is_simple)


def draw_below(key: Array, n: int) -> Array:
    """A uniform integer from 0 to n - 1: [] int32. Probabilities are exact up to a float32's 2^-23.

    It uses one word of random bits; jax.random.randint uses two and splits the key.
    """
    if n == 1:
        return jnp.int32(0)
    return jnp.minimum(jnp.floor(random.uniform(key) * n).astype(jnp.int32), n - 1)
