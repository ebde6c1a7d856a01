"""Any environment of XLand-MiniGrid, such as xminigrid:MiniGrid-Empty-5x5."""

import functools
from typing import Any, Self

import jax.numpy as jnp
import numpy as np
from jax import Array

from envs.adapters.suite import Suite, imported, made, strongly_typed
from jaxrl.environment import Box, Discrete, static


class FromXMiniGrid(Suite):
    """xminigrid's environment `name`. An observation holds the tile and the colour of each cell in view.

    xminigrid's discount is 0 after a termination and 1 at its time limit. `max_steps` replaces this limit,
    with which the reward of a goal falls.
    """

    packages = ("xminigrid",)
    name: str = static("MiniGrid-Empty-5x5")

    @classmethod
    def from_name(cls, name: str) -> Self:
        """The environment with xminigrid's time limit. Raises InputError for a name that xminigrid lacks."""
        return cls(name=name, max_steps=_made(name)[1].max_steps)

    @property
    def observation_space(self) -> Box:
        constants = imported("xminigrid", "xminigrid.core.constants")
        env, params = _made(self.name)
        largest = np.asarray([constants.NUM_TILES - 1, constants.NUM_COLORS - 1], np.uint8)
        return Box(0, largest, env.observation_shape(params), np.dtype(np.uint8))

    @property
    def action_space(self) -> Discrete:
        env, params = _made(self.name)
        return Discrete(env.num_actions(params))

    def reset(self, key: Array) -> Any:
        env, params = _made(self.name)
        return strongly_typed(env.reset(params, key))

    def step(self, key: Array, state: Any, action: Array) -> tuple[Any, Array, Array]:
        env, params = _made(self.name)
        after = env.step(params.replace(max_steps=self.max_steps), state, action)
        return strongly_typed(after), jnp.float32(after.reward), after.discount == 0

    def observe(self, state: Any) -> Array:
        return state.observation


@functools.cache
def _made(name: str) -> tuple[Any, Any]:
    """xminigrid's environment of this name and its parameters."""
    suite = imported("xminigrid", "xminigrid")
    return made("xminigrid", name, suite.registered_environments(), lambda: suite.make(name))
