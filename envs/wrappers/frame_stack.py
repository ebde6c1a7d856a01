"""Frame stacking (Mnih et al. 2015): the last observations are seen together."""

from typing import cast

import jax.numpy as jnp
from flax import struct
from jax import Array

from envs.wrappers.boxes import bounds_of, require_box
from jaxrl.environment import Box, Wrapper, is_channel_first, static
from jaxrl.environment import State as Inner
from jaxrl.errors import InputError


class State(struct.PyTreeNode):
    inner: Inner
    stack: Array  # [..., frames * n] for observations [..., n], the oldest first


class FrameStack(Wrapper):
    """The last observations side by side along their last axis, the newest at its end.

    Images must be [height, width, channels] and get more channels. At the start of an episode, all
    frames are its first observation.
    """

    frames: int = static(4, "observations that are seen together", low=1)

    def validate(self) -> None:
        super().validate()
        space = require_box("FrameStack", "observations", self.env.title, self.env.observation_space)
        if is_channel_first(space):
            raise InputError(
                f"FrameStack needs images [height, width, channels]; those of {self.env.title} have the "
                f"shape {space.shape}, channels first: move the channels to the end, as jnp.moveaxis does"
            )

    @property
    def observation_space(self) -> Box:
        space = cast(Box, self.env.observation_space)
        library, low, high = bounds_of(space)
        repeats = (*(1 for _ in space.shape[1:]), self.frames)
        shape = (*space.shape[:-1], space.shape[-1] * self.frames)
        return Box(library.tile(low, repeats), library.tile(high, repeats), shape, space.dtype)

    def reset(self, key: Array) -> State:
        inner = self.env.reset(key)
        return State(inner, jnp.concatenate([self.env.observe(inner)] * self.frames, axis=-1))

    def step(self, key: Array, state: State, action: Array) -> tuple[State, Array, Array]:
        inner, reward, terminated = self.env.step(key, state.inner, action)
        obs = self.env.observe(inner)
        stack = jnp.concatenate([state.stack[..., obs.shape[-1] :], obs], axis=-1)
        return State(inner, stack), reward, terminated

    def inner(self, state: State) -> Inner:
        return state.inner

    def observe(self, state: State) -> Array:
        return state.stack
