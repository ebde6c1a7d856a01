"""Noisy sensors: every observation has Gaussian noise."""

from typing import cast

import numpy as np
from flax import struct
from jax import Array, random

from envs.wrappers.boxes import require_box, require_real
from jaxrl.environment import Box, Wrapper, traced
from jaxrl.environment import State as Inner


class State(struct.PyTreeNode):
    inner: Inner
    noise: Array  # [*obs], standard normal


class NoisyObservations(Wrapper):
    """Independent noise is added to each number of each observation. The state itself has none."""

    deviation: float = traced(0.1, "standard deviation of the noise, in the observation's units", low=0)

    def validate(self) -> None:
        super().validate()
        space = require_box("NoisyObservations", "observations", self.env.title, self.env.observation_space)
        require_real("NoisyObservations", "observations", self.env.title, space)

    @property
    def observation_space(self) -> Box:
        space = cast(Box, self.env.observation_space)
        return Box(-np.inf, np.inf, space.shape, space.dtype)

    def reset(self, key: Array) -> State:
        key_noise, key_reset = random.split(key)
        return State(self.env.reset(key_reset), self.noise(key_noise))

    def step(self, key: Array, state: State, action: Array) -> tuple[State, Array, Array]:
        key_noise, key_step = random.split(key)
        inner, reward, terminated = self.env.step(key_step, state.inner, action)
        return State(inner, self.noise(key_noise)), reward, terminated

    def noise(self, key: Array) -> Array:
        """Standard normal numbers in the shape of an observation."""
        space = self.observation_space
        return random.normal(key, space.shape, space.dtype)

    def inner(self, state: State) -> Inner:
        return state.inner

    def observe(self, state: State) -> Array:
        return self.env.observe(state.inner) + self.deviation * state.noise
