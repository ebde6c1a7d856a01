"""The environment contract: a Markov decision process as pure functions, and its check.

An environment does not reset itself and does not count steps: `Episode` does both. It describes one copy;
`jax.vmap` makes a batch of it.
"""

import re
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random

from jaxrl.config import Config, traced
from jaxrl.errors import InputError
from jaxrl.mdp.spaces import Box, Composite, Discrete, Space, is_simple, zeros
from jaxrl.mdp.tracing import unknown_values_explained

State = Any  # a pytree of arrays; each environment names its own


class Environment(Config):
    """A Markov decision process; its fields are its constants. `key` arguments are single typed keys."""

    max_steps: int = traced(1_000, "time limit of an episode; not part of the MDP", low=1)

    @property
    def title(self) -> str:
        """The environment's name in messages."""
        return type(self).__name__

    def at(self, t: Array, total: Array) -> Self:
        """The environment of iteration `t` of `total` planned iterations ([] int32 each), for curricula.

        Only traced fields may change. Evaluation uses the environment of t = total.
        """
        return self

    @property
    def num_agents(self) -> int:
        """Agents with rewards of their own. Their episodes end together."""
        return 1

    @property
    def observation_space(self) -> Space:
        """What `observe` returns."""
        raise self._missing("observation_space")

    @property
    def action_space(self) -> Space:
        """What `step` accepts."""
        raise self._missing("action_space")

    @property
    def solved_return(self) -> float | None:
        """The least mean evaluation return that counts as solved; None if undefined."""
        return None

    def reset(self, key: Array) -> State:
        """A draw from the initial state distribution."""
        raise self._missing("reset")

    def step(self, key: Array, state: State, action: Array) -> tuple[State, Array, Array]:
        """One transition: (next state, reward [] float32, terminated [] bool).

        The reward may also be a Python number, terminated a bool. With several agents the reward is
        [num_agents].
        """
        raise self._missing("step")

    def observe(self, state: State) -> Array:
        """What the agent sees of a state: an element of `observation_space`."""
        raise self._missing("observe")

    def potential(self, state: State) -> Array:
        """Φ, a guess of a state's value for shaping: [] float32. That of a terminal state is not used."""
        raise InputError(f"{self.title} has no potential")

    def heuristic(self, obs: Array) -> Array | None:
        """A good action for an observation; None if the environment has no heuristic."""
        return None

    def render(self, state: State) -> np.ndarray:
        """A picture of a state: [height, width, 3] uint8, RGB."""
        raise InputError(f"{self.title} draws no picture; its class must define render(state)")

    def text(self, state: State) -> str:
        """A grid's state as lines of text."""
        raise InputError(f"{self.title} has no text form")

    def _missing(self, what: str) -> InputError:
        return InputError(f"{type(self).__name__} must define {what}")


def check_contract(env: Environment) -> None:
    """Raises InputError if `reset`, `observe` or `step` return another shape or type than they promise.

    The methods are only traced; nothing is compiled or computed. Raises InputError if jax computes with 64
    bits, since every promise is of 32 bits.
    """
    name = env.title
    require_32_bits()

    def trace(env: Environment, key: Array) -> tuple[State, Array, State, Array, Array]:
        _check_space(f"{name}.observation_space", env.observation_space)
        _check_space(f"{name}.action_space", env.action_space)
        state = env.reset(key)
        if not jax.tree.leaves(state):
            raise InputError(f"{name}.reset must return a state, got {state!r}")
        if described(env.at(jnp.int32(0), jnp.int32(1))) != described(env):
            raise InputError(f"{name}.at must return an environment that differs only in traced fields")
        outcome = env.step(key, state, zeros(env.action_space))
        if not isinstance(outcome, tuple) or len(outcome) != 3:
            raise InputError(f"{name}.step must return (state, reward, terminated), got {outcome!r}")
        successor, reward, terminated = outcome
        reward = jnp.float32(reward) if isinstance(reward, int | float) else reward
        return state, env.observe(state), successor, reward, terminated

    with unknown_values_explained(name):
        state, obs, successor, reward, terminated = jax.eval_shape(trace, env.arrays(), random.key(0))
    rewards = () if env.num_agents == 1 else (env.num_agents,)
    promises = (
        ("observe must return an observation", obs, zeros(env.observation_space)),
        ("step must return a reward", reward, jax.ShapeDtypeStruct(rewards, jnp.float32)),
        ("step must return terminated", terminated, jax.ShapeDtypeStruct((), jnp.bool_)),
        ("step must return a state like reset's,", successor, state),
    )
    for promise, got, expected in promises:
        require_described(f"{name}.{promise} of", got, expected)


def require_32_bits() -> None:
    """Raises InputError if jax is told to compute with 64 bits."""
    if jax.dtypes.canonicalize_dtype(np.float64) == np.float64:
        raise InputError(
            "jaxrl computes with 32 bits and cannot with jax_enable_x64: unset JAX_ENABLE_X64, or call "
            'jax.config.update("jax_enable_x64", False) before training'
        )


def _check_space(what: str, space: Any) -> None:
    if isinstance(space, Composite):
        for path, part in jax.tree.leaves_with_path(space.parts, is_leaf=is_simple):
            _check_space(f"{what}{jax.tree_util.keystr(path)}", part)
        return
    if not is_simple(space):
        raise InputError(f"{what} must be a Discrete or a Box, got {space!r}; it may lack @property")
    if isinstance(space, Discrete) and space.shape:
        raise InputError(f"{what} must be one number, a Discrete of shape (), got shape {space.shape}")
    if isinstance(space, Discrete) and isinstance(space.n, jax.core.Tracer):
        raise InputError(f"{what} has a size that is traced: mark the field behind it static(...)")
    if isinstance(space, Box):
        _check_box(what, space)
    elif not isinstance(space.n, int | np.integer) or isinstance(space.n, bool) or space.n < 1:
        raise InputError(f"{what} must have an integer n of at least 1, got {space.n!r}")


def _check_box(what: str, space: Box) -> None:
    shape = space.shape
    if not isinstance(shape, tuple) or not all(isinstance(size, int | np.integer) for size in shape):
        raise InputError(f"{what} must have a shape that is a tuple of integers, got {shape!r}")
    if 0 in shape:
        raise InputError(f"{what} must hold at least one number, got shape {shape}")
    for bound in (space.low, space.high):
        own = np.shape(bound)
        if len(own) > len(shape) or any(
            a not in (1, b) for a, b in zip(own[::-1], shape[::-1], strict=False)
        ):
            raise InputError(f"{what} of shape {shape} must have bounds of that shape, got {own}")
    concrete = not any(isinstance(bound, jax.core.Tracer) for bound in (space.low, space.high))
    if concrete and not np.all(np.asarray(space.low) <= np.asarray(space.high)):  # false for NaN
        raise InputError(f"{what} must have low <= high, got {space.low} and {space.high}")


def require_described(promise: str, got: Any, expected: Any) -> None:
    """Raises InputError unless two pytrees have the same structure, shapes and types.

    If only leaves differ, the error names the first one that does.
    """
    if described(got) == described(expected):
        return
    pairs = [jax.tree.leaves_with_path(tree) for tree in (got, expected)]
    if [path for path, _ in pairs[0]] == [path for path, _ in pairs[1]]:
        for (path, ours), (_, theirs) in zip(*pairs, strict=True):
            if path and described(ours) != described(theirs):
                where = jax.tree_util.keystr(path)
                raise InputError(f"{promise} {described(theirs)} at {where}, got {described(ours)}")
    raise InputError(f"{promise} {described(expected)}, got {described(got)}")


def described(tree: Any) -> str:
    """A pytree's shapes and types, such as "float32[4]", and its structure unless it is a single array."""
    if tree is None:
        return "None"
    leaves, structure = jax.tree.flatten(tree)
    types = [leaf.dtype if hasattr(leaf, "dtype") else jnp.result_type(leaf) for leaf in leaves]
    short = [f"{dtype}{list(jnp.shape(leaf))}" for dtype, leaf in zip(types, leaves, strict=True)]
    if len(leaves) == 1 and tree is leaves[0]:
        return short[0]
    # MJX's states hold objects that are written with their addresses, which differ between equal ones.
    named = re.sub(" at 0x[0-9a-f]+", "", str(structure))
    return f"{', '.join(short) or 'no arrays'} in {named}"
