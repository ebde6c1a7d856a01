"""Any environment of Gymnasium, such as gymnasium:LunarLander-v3. It is slow, since Python steps it."""

import functools
import warnings
from typing import Self

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array, random

from envs.adapters.gymnasium_host import host_of, translated
from jaxrl.environment import Box, Discrete, Environment, static


class State(struct.PyTreeNode):
    """The seed and all actions, from which Gymnasium's environment can be restored."""

    seed: Array  # [] uint32, of Gymnasium's reset
    count: Array  # [] int32, actions so far
    actions: Array  # [max_steps, *action]; the first `count` were taken
    obs: Array  # [*obs], after the last action; zeros before the first one


class FromGymnasium(Environment):
    """Gymnasium's environment `name`, stepped on the host.

    All its random numbers must come from the seed of its reset. Then a step is a pure function, and runs can
    be resumed and replayed like any others. Numbers of 64 bits become numbers of 32 bits.
    """

    packages = ("gymnasium",)
    name: str = static("CartPole-v1", "Gymnasium's id of the environment")
    # Static, since it is the number of actions for which the state has room.
    max_steps: int = static(1_000, "time limit of an episode; Gymnasium's own from `from_name`", low=1)

    @classmethod
    def from_name(cls, name: str) -> Self:
        """The environment with Gymnasium's time limit, or with our default if it has none.

        Warns once per id that it is slow. Raises InputError for an id that Gymnasium cannot make.
        """
        limit = host_of(name).max_steps
        _say_slow(name)
        return cls(name=name) if limit is None else cls(name=name, max_steps=limit)

    @property
    def title(self) -> str:
        return f"gymnasium:{self.name}"

    @property
    def observation_space(self) -> Discrete | Box:
        return translated(f"observations of {self.title}", host_of(self.name).observation_space)

    @property
    def action_space(self) -> Discrete | Box:
        return translated(f"actions of {self.title}", host_of(self.name).action_space)

    def reset(self, key: Array) -> State:
        """The start of an episode. Only `observe` resets Gymnasium, since most resets are never observed."""
        obs, action = self.observation_space, self.action_space
        actions = jnp.zeros((self.max_steps, *action.shape), action.dtype)
        seed = random.bits(key, (), jnp.uint32)
        return State(seed, jnp.int32(0), actions, jnp.zeros(obs.shape, obs.dtype))

    def step(self, key: Array, state: State, action: Array) -> tuple[State, Array, Array]:
        """One transition; at most `max_steps` of them after a reset."""
        action = jnp.asarray(action, self.action_space.dtype)
        shapes = (_shape(self.observation_space), jax.ShapeDtypeStruct((), jnp.float32))
        obs, reward, terminated = jax.pure_callback(
            host_of(self.name).step,
            (*shapes, jax.ShapeDtypeStruct((), jnp.bool_)),
            state.seed,
            state.count,
            state.actions,
            action,
            vmap_method="broadcast_all",
        )
        actions = state.actions.at[state.count].set(action)
        return State(state.seed, state.count + 1, actions, obs), reward, terminated

    def observe(self, state: State) -> Array:
        first = jax.pure_callback(
            host_of(self.name).first,
            _shape(self.observation_space),
            state.seed,
            state.count,
            vmap_method="broadcast_all",
        )
        return jnp.where(state.count == 0, first, state.obs)


@functools.cache
def _say_slow(name: str) -> None:
    warnings.warn(
        f"gymnasium:{name} is stepped in Python, one copy after the other: it makes some ten thousand steps "
        "per second at best, a compiled environment millions",
        stacklevel=3,
    )


def _shape(space: Discrete | Box) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(space.shape, space.dtype)
