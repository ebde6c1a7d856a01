"""Time-awareness (Pardo et al. 2018): the observation shows how much of the episode remains."""

from typing import cast

import jax
import jax.numpy as jnp
from jax import Array

from envs.wrappers.boxes import bounds_of, require_box, require_real
from envs.wrappers.terminal_limit import State, TerminalLimit
from jaxrl.environment import Box, Discrete


class TimeAware(TerminalLimit):
    """A flat observation gets one more number: the share of the time limit that remains, from 1 to 0.

    A discrete observation becomes a one-hot vector first. The time limit is part of what the agent sees, so
    it terminates the episode: a learner does not bootstrap there.
    """

    def validate(self) -> None:
        super().validate()
        space = self.env.observation_space
        if not isinstance(space, Discrete):
            space = require_box("TimeAware", "observations", self.env.title, space, axes=1)
            require_real("TimeAware", "observations", self.env.title, space)

    @property
    def observation_space(self) -> Box:
        space = self.env.observation_space
        if isinstance(space, Discrete):
            return Box(0.0, 1.0, (space.n + 1,))
        space = cast(Box, space)
        library, low, high = bounds_of(space)
        return Box(library.append(low, 0.0), library.append(high, 1.0), (space.shape[0] + 1,), space.dtype)

    def observe(self, state: State) -> Array:
        obs, space = self.env.observe(state.inner), self.env.observation_space
        obs = jax.nn.one_hot(obs, space.n) if isinstance(space, Discrete) else obs
        return jnp.append(obs, 1 - state.steps / self.max_steps)
