"""Any environment of NAVIX, such as navix:Navix-Empty-5x5-v0."""

import functools
from typing import Any, Self

import jax.numpy as jnp
import numpy as np
from jax import Array

from envs.adapters.suite import Suite, imported, made, strongly_typed
from jaxrl.environment import Box, Discrete, static

# Of an object, a colour and a state or direction, in the three layers of a symbolic observation.
LARGEST = np.asarray([10, 5, 3], np.uint8)


class FromNavix(Suite):
    """NAVIX's environment `name`. An observation holds object, colour and state of each cell of the grid.

    NAVIX tells a termination from a truncation. `max_steps` replaces its time limit.
    """

    packages = ("navix",)
    name: str = static("Navix-Empty-5x5-v0")

    @classmethod
    def from_name(cls, name: str) -> Self:
        """The environment with NAVIX's time limit. Raises InputError for a name that NAVIX cannot make."""
        return cls(name=name, max_steps=_made(name).max_steps)

    @property
    def observation_space(self) -> Box:
        return Box(0, LARGEST, _made(self.name).observation_space.shape, np.dtype(np.uint8))

    @property
    def action_space(self) -> Discrete:
        return Discrete(len(_made(self.name).action_set))

    def reset(self, key: Array) -> Any:
        return strongly_typed(_made(self.name).reset(key))

    def step(self, key: Array, state: Any, action: Array) -> tuple[Any, Array, Array]:
        after = _made(self.name)._step(state, action)  # `step` would also reset
        return strongly_typed(after), jnp.float32(after.reward), after.is_termination()

    def observe(self, state: Any) -> Array:
        return state.observation


@functools.cache
def _made(name: str) -> Any:
    suite = imported("navix", "navix")
    return made("navix", name, suite.registry(), lambda: suite.make(name))
