"""Any environment of Gymnasium, such as gymnasium:LunarLander-v3. Python steps it, on several cores."""

import functools
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array, lax, random
from jax.experimental.buffer_callback import buffer_callback

from envs.adapters.gymnasium_host import translated
from envs.adapters.gymnasium_processes import hosts_of
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
        limit = hosts_of(name).spec.max_episode_steps
        _say_slow(name)
        return cls(name=name) if limit is None else cls(name=name, max_steps=limit)

    @property
    def title(self) -> str:
        return f"gymnasium:{self.name}"

    @property
    def observation_space(self) -> Discrete | Box:
        return translated(f"observations of {self.title}", hosts_of(self.name).here.observation_space)

    @property
    def action_space(self) -> Discrete | Box:
        return translated(f"actions of {self.title}", hosts_of(self.name).here.action_space)

    def reset(self, key: Array) -> State:
        """The start of an episode. Only `observe` resets Gymnasium, since most resets are never observed."""
        obs, action = self.observation_space, self.action_space
        actions = jnp.zeros((self.max_steps, *action.shape), action.dtype)
        seed = random.bits(key, (), jnp.uint32)
        return State(seed, jnp.int32(0), actions, jnp.zeros(obs.shape, obs.dtype))

    def step(self, key: Array, state: State, action: Array) -> tuple[State, Array, Array]:
        """One transition; at most `max_steps` of them after a reset."""
        action = jnp.asarray(action, self.action_space.dtype)
        actions = state.actions.at[state.count].set(action)
        shapes = (self._seen(), jax.ShapeDtypeStruct((), jnp.float32), jax.ShapeDtypeStruct((), jnp.bool_))
        numbers = _numbers(state)
        obs, reward, terminated = _on_the_host(hosts_of(self.name).step, shapes, numbers, actions)
        return State(state.seed, state.count + 1, actions, obs), reward, terminated

    def observe(self, state: State) -> Array:
        return jnp.where(state.count == 0, self._first(_numbers(state)), state.obs)

    def _first(self, numbers: Array) -> Array:
        """The first observation where the second number, the count of actions, is 0; else zeros.

        Calls the host only if any copy of a batch is at the start of an episode.
        """

        @jax.custom_batching.custom_vmap
        def first(numbers: Array) -> Array:
            shape = self._seen(numbers.shape[:-1])
            call = partial(_on_the_host, hosts_of(self.name).first, shape)
            begins = jnp.any(numbers[..., 1] == 0)
            return lax.cond(begins, call, lambda _: jnp.zeros(shape.shape, shape.dtype), numbers)

        first.def_vmap(lambda *of_batch: (first(of_batch[-1]), True))
        return first(numbers)

    def _seen(self, batch: tuple[int, ...] = ()) -> jax.ShapeDtypeStruct:
        """Shape and type of the observations of a batch of copies."""
        space = self.observation_space
        return jax.ShapeDtypeStruct((*batch, *space.shape), space.dtype)


def _numbers(state: State) -> Array:
    """Seed and number of actions: [2] uint32."""
    return jnp.stack([state.seed, state.count.astype(jnp.uint32)])


def _on_the_host(function: Callable[..., Any], shapes: Any, *arguments: Array) -> Any:
    """Calls a function of numpy arrays, once for all copies of a batch.

    On a processor `function` gets the program's own arrays, which takes a tenth of `pure_callback`'s time.
    """

    def fill(_: Any, results: Any, *buffers: Any) -> None:
        found = function(*map(np.asarray, buffers))
        for result, each in zip(jax.tree.leaves(results), jax.tree.leaves(found), strict=True):
            np.asarray(result)[...] = each

    return lax.platform_dependent(
        *arguments,
        cpu=buffer_callback(fill, shapes, vmap_method="broadcast_all"),
        default=partial(jax.pure_callback, function, shapes, vmap_method="broadcast_all"),
    )


@functools.cache
def _say_slow(name: str) -> None:
    warnings.warn(
        f"gymnasium:{name} is stepped in Python: a core makes some ten thousand steps per second, "
        "with a compiled environment millions",
        stacklevel=3,
    )
