"""Environments of Jumanji, such as jumanji:Snake-v1."""

import functools
import math
import warnings
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random

from envs.adapters.suite import State, Suite, imported, made, strongly_typed
from jaxrl.environment import Box, Discrete, static
from jaxrl.errors import InputError

LARGEST_SPACE = 10_000  # combinations of a MultiDiscrete action that become one Discrete


class FromJumanji(Suite):
    """Jumanji's environment `name`. All parts of an observation are one vector of float32.

    An action of several discrete numbers is one number, which counts their combinations with the last one
    fastest. Jumanji counts its time limit among the terminations; here it is never reached, and `max_steps`
    replaces it. MultiCVRP also gives up after twice as many steps as there are customers, and this cannot be
    told from a termination.
    """

    packages = ("jumanji",)
    name: str = static("Snake-v1")
    max_steps = 10_000  # for environments that end by themselves

    @classmethod
    def from_name(cls, name: str) -> Self:
        """The environment with Jumanji's time limit, if any. Raises InputError if Jumanji cannot make it."""
        limit = _made(name).limit
        if name.startswith("MultiCVRP"):
            warnings.warn(
                f"jumanji:{name} gives up after twice as many steps as there are customers, and this counts "
                "as a termination, since Jumanji does not tell it apart",
                stacklevel=2,
            )
        return cls(name=name) if limit is None else cls(name=name, max_steps=limit)

    @property
    def observation_space(self) -> Box:
        return Box(-np.inf, np.inf, (_made(self.name).size,))

    @property
    def action_space(self) -> Discrete | Box:
        """Raises InputError for more than LARGEST_SPACE combinations of numbers."""
        spec = _made(self.name).env.action_spec
        if not np.issubdtype(spec.dtype, np.integer):
            return Box(np.asarray(spec.minimum), np.asarray(spec.maximum), spec.shape, np.dtype(spec.dtype))
        if (number := math.prod(_sizes(spec))) > LARGEST_SPACE:
            raise InputError(
                f"actions of {self.title} are a MultiDiscrete of {number:,} combinations, and at most "
                f"{LARGEST_SPACE:,} can be one Discrete"
            )
        return Discrete(number)

    def reset(self, key: Array) -> State:
        inner, timestep = _made(self.name).env.reset(key)
        return strongly_typed(State(inner, _flat(timestep.observation)))

    def step(self, key: Array, state: State, action: Array) -> tuple[State, Array, Array]:
        env = _made(self.name).env
        if isinstance(self.action_space, Discrete):
            parts = jnp.stack(jnp.unravel_index(action, _sizes(env.action_spec)))
            action = parts.reshape(env.action_spec.shape).astype(env.action_spec.dtype)
        inner, timestep = env.step(state.inner, action)
        after = State(inner, _flat(timestep.observation))
        return strongly_typed(after), jnp.float32(timestep.reward), timestep.last()

    def observe(self, state: State) -> Array:
        return state.obs


class Made(NamedTuple):
    env: Any  # whose time limit is never reached
    limit: int | None  # Jumanji's
    size: int  # numbers in an observation


@functools.cache
def _made(name: str) -> Made:
    suite = imported("jumanji", "jumanji")

    def make() -> Made:
        limit = getattr(suite.make(name), "time_limit", None)
        env = suite.make(name, **({} if limit is None else {"time_limit": np.iinfo(np.int32).max}))
        _, timestep = jax.eval_shape(env.reset, random.key(0))
        return Made(env, limit, sum(part.size for part in jax.tree.leaves(timestep.observation)))

    return made("jumanji", name, suite.registered_environments(), make)


def _sizes(spec: Any) -> list[int]:
    """How many values each number of a discrete action has. Jumanji's numbers begin at 0."""
    return (np.ravel(spec.maximum).astype(int) + 1).tolist()


def _flat(observation: Any) -> Array:
    """All parts of an observation as one vector: [number] float32."""
    return jnp.concatenate([jnp.ravel(part).astype(jnp.float32) for part in jax.tree.leaves(observation)])
