"""The interface of brax, which MuJoCo Playground keeps."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random

from envs.adapters.suite import Suite, strongly_typed
from jaxrl.environment import Box
from jaxrl.errors import InputError


class Simulator(NamedTuple):
    env: Any  # the suite's environment, without the wrappers that end and reset episodes
    obs: Any  # the shape and type of an observation, or a dict of several


def simulator_of(env: Any) -> Simulator:
    """Traces a reset and a step, so it raises what the suite raises if it does not work with this jax."""

    def observed(key: Array, action: Array) -> Any:
        return env.step(env.reset(key), action).obs

    return Simulator(env, jax.eval_shape(observed, random.key(0), jnp.zeros(env.action_size)))


class BraxInterface(Suite):
    """An environment whose `reset` and `step` return a state with an observation, a reward and `done`."""

    def simulator(self) -> Simulator:
        """The suite's environment of this name."""
        raise self._missing("simulator")

    @property
    def observation_space(self) -> Box:
        obs = self.simulator().obs
        if isinstance(obs, Mapping):
            raise InputError(
                f"observations of {self.title} are a dict of {', '.join(obs)}, which is neither a Discrete "
                "nor a Box"
            )
        return Box(-np.inf, np.inf, obs.shape, obs.dtype)

    @property
    def action_space(self) -> Box:
        return Box(-1.0, 1.0, (self.simulator().env.action_size,))

    def reset(self, key: Array) -> Any:
        return strongly_typed(self.simulator().env.reset(key))

    def step(self, key: Array, state: Any, action: Array) -> tuple[Any, Array, Array]:
        # A copy, since some environments write into the dicts of the state that they are given.
        after = self.simulator().env.step(jax.tree.map(lambda leaf: leaf, state), action)
        return strongly_typed(after), jnp.float32(after.reward), after.done.astype(bool)

    def observe(self, state: Any) -> Array:
        return state.obs
