"""A network's inputs: how observations become arrays of float32, as images or flat."""

import math

import chex
import jax
import jax.numpy as jnp
from jax import Array

from jaxrl.mdp.spaces import Box, Discrete, Space, is_channel_first


def features(space: Space, obs: Array) -> Array:
    """Observations [..., *obs] as a network's input, [..., *inputs] float32.

    Discrete observations become one-hot. Images keep their shape, but for channels that come first and are
    moved to the end. All others become flat. Bytes are divided by the largest that the space allows.
    """
    lead = obs.shape[: obs.ndim - len(space.shape)]
    chex.assert_shape(obs, (*lead, *space.shape))
    if isinstance(space, Discrete):
        return jax.nn.one_hot(obs, space.n)
    x = obs.astype(jnp.float32)
    if isinstance(space, Box) and space.dtype == jnp.uint8:
        x = x / jnp.max(jnp.asarray(space.high, jnp.float32), initial=1.0)
    if is_channel_first(space):
        return jnp.moveaxis(x, -3, -1)
    return x if is_image(space) else x.reshape(*lead, -1)


def input_shape(space: Space) -> tuple[int, ...]:
    """The shape of `features` of one observation."""
    if isinstance(space, Discrete):
        return (space.n,)
    if is_channel_first(space):
        return (*space.shape[1:], space.shape[0])
    return tuple(space.shape) if is_image(space) else (math.prod(space.shape),)


def is_image(space: Space) -> bool:
    """Whether observations are images, [height, width, channels] of 3 x 3 pixels or more or channel-first."""
    return len(space.shape) == 3 and (min(space.shape[:2]) >= 3 or is_channel_first(space))
