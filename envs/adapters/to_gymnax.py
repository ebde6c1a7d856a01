"""An environment of jaxrl as one of gymnax, with gymnax's own auto-reset and six-valued `step`."""

import math
from typing import Any

import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces
from jax import Array

from jaxrl.environment import Composite, Discrete, Environment, Space
from jaxrl.errors import InputError


@struct.dataclass
class State(environment.EnvState):
    """The inherited field `time` is the number of steps so far."""

    inner: Any  # our environment's state
    terminated: Array  # [] bool, whether the last step ended the episode


@struct.dataclass(kw_only=True)
class Params(environment.EnvParams):
    """The inherited field `max_steps_in_episode` is the time limit, in place of `env.max_steps`."""

    env: Environment  # its traced fields may be replaced, or vmapped over


class ToGymnax(environment.Environment):
    """`env` as a gymnax environment. Its constants are those of `env` in the parameters.

    As everywhere in jaxrl, a step that terminates at the time limit is terminated and not truncated.
    """

    def __init__(self, env: Environment) -> None:
        env.validate()
        self.env = env

    @property
    def name(self) -> str:
        return self.env.title

    @property
    def default_params(self) -> Params:
        return Params(max_steps_in_episode=self.env.max_steps, env=self.env.arrays())

    @property
    def num_actions(self) -> int:
        """The number of discrete actions, or the number of dimensions of a continuous action."""
        space = self.env.action_space
        return space.n if isinstance(space, Discrete) else math.prod(space.shape)

    def action_space(self, params: Params | None = None) -> spaces.Space:
        return _translated((params or self.default_params).env.action_space)

    def observation_space(self, params: Params | None = None) -> spaces.Space:
        return _translated((params or self.default_params).env.observation_space)

    def reset_env(self, key: Array, params: Params) -> tuple[Array, State]:
        inner = params.env.reset(key)
        return params.env.observe(inner), State(time=jnp.int32(0), inner=inner, terminated=jnp.bool_(False))

    def step_env(
        self, key: Array, state: State, action: Any, params: Params
    ) -> tuple[Array, State, Array, Array, dict[str, Array]]:
        """(observation, state, reward, terminated, {"discount": 0 where terminated, else 1})."""
        inner, reward, terminated = params.env.step(key, state.inner, action)
        state = State(time=state.time + 1, inner=inner, terminated=jnp.asarray(terminated))
        info = {"discount": self.discount(state, params)}
        return params.env.observe(inner), state, jnp.asarray(reward), state.terminated, info

    def observe(self, key: Array, state: State, action: Any, params: Params) -> Array:
        return params.env.observe(state.inner)

    def is_terminated(self, state: State, params: Params) -> Array:
        return state.terminated

    def is_truncated(self, state: State, params: Params) -> Array:
        return (state.time >= params.max_steps_in_episode) & ~state.terminated


def _translated(space: Space) -> spaces.Space:
    if isinstance(space, Composite):
        raise InputError(f"the adapter to gymnax cannot translate a space with parts, got {space}")
    if isinstance(space, Discrete):
        return spaces.Discrete(space.n)
    return spaces.Box(space.low, space.high, space.shape, space.dtype)
