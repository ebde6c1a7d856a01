"""Any environment of gymnax, such as gymnax:Breakout-MinAtar."""

import functools
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from envs.adapters.suite import State, Suite, imported, made, strongly_typed
from jaxrl.environment import Box, Discrete, static
from jaxrl.errors import InputError


class FromGymnax(Suite):
    """gymnax's environment `name` with its default parameters.

    Transitions, observations and rewards are those of gymnax's `step_env`, which does not reset and has no
    time limit. `max_steps` replaces `max_steps_in_episode`, which a few observations use.
    """

    packages = ("gymnax",)
    name: str = static("CartPole-v1")

    @classmethod
    def from_name(cls, name: str) -> Self:
        """The environment with gymnax's time limit. Raises InputError for a name that gymnax cannot make."""
        return cls(name=name, max_steps=int(_made(name)[1].max_steps_in_episode))

    @property
    def observation_space(self) -> Discrete | Box:
        """gymnax's bounds, with the shape and the type of the actual observations."""
        env, params = self._with_limit()
        space = env.observation_space(params)
        obs, _ = jax.eval_shape(lambda key: env.reset_env(key, params), jax.random.key(0))
        return _translated(f"observations of {self.title}", space, obs)

    @property
    def action_space(self) -> Discrete | Box:
        env, params = self._with_limit()
        space = env.action_space(params)
        return _translated(f"actions of {self.title}", space, space)

    def reset(self, key: Array) -> State:
        env, params = self._with_limit()
        obs, inner = env.reset_env(key, params)
        return strongly_typed(State(inner, obs))

    def step(self, key: Array, state: State, action: Array) -> tuple[State, Array, Array]:
        env, params = self._with_limit()
        obs, inner, reward, terminated, _ = env.step_env(key, state.inner, action, params)
        return strongly_typed(State(inner, obs)), jnp.float32(reward), terminated

    def observe(self, state: State) -> Array:
        return state.obs

    def _with_limit(self) -> tuple[Any, Any]:
        """gymnax's environment, and its parameters with our time limit."""
        env, params = _made(self.name)
        dtype = jnp.result_type(params.max_steps_in_episode)  # a float in BernoulliBandit-misc
        return env, params.replace(max_steps_in_episode=jnp.asarray(self.max_steps, dtype))


@functools.cache
def _made(name: str) -> tuple[Any, Any]:
    """gymnax's environment of this name and its default parameters. Raises InputError if there is none."""
    gymnax = imported("gymnax", "gymnax")
    return made("gymnax", name, gymnax.registered_envs, lambda: gymnax.make(name))


def _translated(what: str, space: Any, array: Any) -> Discrete | Box:
    """A space of gymnax as ours, with the shape and type of `array`. Raises InputError for other spaces."""
    from gymnax.environments import spaces

    if isinstance(space, spaces.Discrete):
        return Discrete(space.n)
    if isinstance(space, spaces.Box):
        return Box(space.low, space.high, tuple(array.shape), np.dtype(array.dtype))
    raise InputError(f"{what} are a {type(space).__name__}, which is neither a Discrete nor a Box")
