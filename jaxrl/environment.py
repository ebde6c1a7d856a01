"""The environment contract, and Episode: auto-reset, time limit and running return, once for all.

An environment is a Markov decision process as pure functions. It never resets itself, never counts
its own time limit and never sees a batch; `Episode` does the first two and `jax.vmap` the third.
"""

from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array, lax, random

from jaxrl.config import Config, static, traced
from jaxrl.errors import InputError

__all__ = [
    "Box",
    "Discrete",
    "Environment",
    "Episode",
    "Experience",
    "FiniteEnvironment",
    "Transition",
    "static",
    "traced",
]

State = Any  # a pytree of arrays; each environment names its own


class Discrete(NamedTuple):
    """The integers 0 to n - 1, as [] int32."""

    n: int
    shape: tuple[int, ...] = ()
    dtype: Any = jnp.int32

    def sample(self, key: Array) -> Array:
        """A uniform draw: [] int32."""
        return draw_below(key, self.n)

    def clip(self, action: Array) -> Array:
        """The nearest element: [] int32."""
        return jnp.clip(action, 0, self.n - 1)


class Box(NamedTuple):
    """Real arrays of `shape` between `low` and `high`, which broadcast to it and may be infinite."""

    low: Any
    high: Any
    shape: tuple[int, ...]
    dtype: Any = jnp.float32

    def sample(self, key: Array) -> Array:
        """A uniform draw from finite bounds: [*shape]."""
        return random.uniform(key, self.shape, self.dtype, self.low, self.high)

    def clip(self, action: Array) -> Array:
        """The nearest element: [*shape]."""
        return jnp.clip(action, self.low, self.high)


Space = Discrete | Box


class Environment(Config):
    """A Markov decision process; its fields are its constants. `key` arguments are single typed keys."""

    max_steps: int = traced(1_000, "time limit of an episode, no part of the MDP", low=1)

    @property
    def title(self) -> str:
        """What messages call it."""
        return type(self).__name__

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
        """The mean evaluation return from which this environment counts as solved; None if undefined."""
        return None

    def reset(self, key: Array) -> State:
        """A draw from the initial state distribution."""
        raise self._missing("reset")

    def step(self, key: Array, state: State, action: Array) -> tuple[State, Array, Array]:
        """One transition: (next state, reward [] float32, terminated [] bool).

        Reward and terminated may also be Python's numbers.
        """
        raise self._missing("step")

    def observe(self, state: State) -> Array:
        """What the agent sees of a state: an element of `observation_space`."""
        raise self._missing("observe")

    def render(self, state: State) -> np.ndarray:
        """A picture of a state: [height, width, 3] uint8, RGB."""
        raise InputError(f"{self.title} draws no picture")

    def text(self, state: State) -> str:
        """A grid's state as lines of text."""
        raise InputError(f"{self.title} has no text form")

    def _missing(self, what: str) -> InputError:
        return InputError(f"{type(self).__name__} must define {what}")


def check_contract(env: Environment) -> None:
    """Raises InputError if `reset`, `observe` or `step` return another shape or type than they promise.

    Only traces them: nothing is compiled or computed.
    """

    name = env.title

    def trace(env: Environment, key: Array) -> tuple[State, Array, State, Array, Array]:
        _check_space(f"{name}.observation_space", env.observation_space)
        space = _check_space(f"{name}.action_space", env.action_space)
        state = env.reset(key)
        if not jax.tree.leaves(state):
            raise InputError(f"{name}.reset must return a state, got {state!r}")
        outcome = env.step(key, state, jnp.zeros(space.shape, space.dtype))
        if not isinstance(outcome, tuple) or len(outcome) != 3:
            raise InputError(f"{name}.step must return (state, reward, terminated), got {outcome!r}")
        return state, env.observe(state), *outcome

    state, obs, successor, reward, terminated = jax.eval_shape(trace, env.arrays(), random.key(0))
    space = env.observation_space
    promises = (
        ("observe must return an observation", obs, jax.ShapeDtypeStruct(space.shape, space.dtype)),
        ("step must return a reward", reward, jax.ShapeDtypeStruct((), jnp.float32)),
        ("step must return terminated", terminated, jax.ShapeDtypeStruct((), jnp.bool_)),
        ("step must return a state like reset's,", successor, state),
    )
    for promise, got, expected in promises:
        if described(got) != described(expected):
            raise InputError(f"{name}.{promise} of {described(expected)}, got {described(got)}")


def _check_space(what: str, space: Any) -> Space:
    if not isinstance(space, Discrete | Box):
        raise InputError(f"{what} must be a Discrete or a Box, got {space!r}; is it a @property?")
    if isinstance(space, Discrete) and isinstance(space.n, jax.core.Tracer):
        raise InputError(f"{what} has a size that is traced: mark the field behind it static(...)")
    return space


def described(tree: Any) -> str:
    """Shapes and types of a pytree's leaves, such as "float32[4]"; with several, its structure too."""
    leaves, structure = jax.tree.flatten(tree)
    short = [f"{leaf.dtype}{list(leaf.shape)}" for leaf in leaves]
    return short[0] if len(short) == 1 else f"{', '.join(short)} in {structure}"


class FiniteEnvironment(Environment):
    """An environment with finitely many states, all of them observed, and finitely many outcomes of a step.

    A state is its index, [] int32, and is also the observation. A subclass gives the distributions and
    `successor`; `step` only draws the outcome, so that who enumerates `successor` enumerates `step`.
    """

    @property
    def num_states(self) -> int:
        raise self._missing("num_states")

    @property
    def num_actions(self) -> int:
        raise self._missing("num_actions")

    def initial(self) -> Array | np.ndarray:
        """Probability of each state at the start of an episode: [num_states].

        An array of numpy's, unless it depends on a traced field: what the compiler knows is cheaper to draw.
        """
        raise self._missing("initial")

    def outcomes(self) -> Array | np.ndarray:
        """Probability of each outcome of a step, the same in all states: [num_outcomes], as `initial`."""
        return np.ones(1)

    def successor(self, state: Array, action: Array, outcome: Array) -> tuple[Array, Array, Array]:
        """What an outcome leads to: (next state, reward, terminated), each []. Deterministic."""
        raise self._missing("successor")

    @property
    def observation_space(self) -> Discrete:
        return Discrete(self.num_states)

    @property
    def action_space(self) -> Discrete:
        return Discrete(self.num_actions)

    def reset(self, key: Array) -> Array:
        return draw(key, self.initial())

    def step(self, key: Array, state: Array, action: Array) -> tuple[Array, Array, Array]:
        return self.successor(state, action, draw(key, self.outcomes()))

    def observe(self, state: Array) -> Array:
        return state


def draw(key: Array, probabilities: Array | np.ndarray) -> Array:
    """An index drawn with the given probabilities ([n], summing to about 1): [] int32."""
    if isinstance(probabilities, np.ndarray):
        possible = np.flatnonzero(probabilities)
        if np.ptp(probabilities[possible]) == 0:
            return jnp.asarray(possible, jnp.int32)[draw_below(key, possible.size)]
    cumulative = jnp.cumsum(probabilities)
    # Scaled, since a rounded sum below 1 would let the largest draws fall on an index of probability 0.
    uniform = random.uniform(key) * cumulative[-1]
    return jnp.sum(uniform >= cumulative[:-1], dtype=jnp.int32)


def draw_below(key: Array, n: int) -> Array:
    """One of 0 to n - 1, equally likely but for the 2^-23 that a float32 resolves: [] int32.

    One word of random bits, where jax.random.randint takes two and splits the key for them.
    """
    if n == 1:
        return jnp.int32(0)
    return jnp.minimum(jnp.floor(random.uniform(key) * n).astype(jnp.int32), n - 1)


class Experience(struct.PyTreeNode):
    """One step, as a learner sees it.

    At most one of `terminated` and `truncated` holds; either ends the episode.
    """

    obs: Array  # [*obs]
    action: Array  # [*action]
    reward: Array  # [] float32
    next_obs: Array  # [*obs], the true successor's observation, before any reset
    terminated: Array  # [] bool, the MDP ended: nothing follows, do not bootstrap
    truncated: Array  # [] bool, the time limit cut the episode: bootstrap from next_obs

    @property
    def done(self) -> Array:
        """[] bool, the episode is over."""
        return self.terminated | self.truncated


class Transition(Experience):
    """One step, and the episode's totals with it."""

    episode_return: Array  # [] float32, undiscounted return so far, this reward included
    episode_length: Array  # [] int32, steps so far, this one included

    @property
    def experience(self) -> Experience:
        """Without the totals."""
        return Experience(self.obs, self.action, self.reward, self.next_obs, self.terminated, self.truncated)


class Episode(struct.PyTreeNode):
    """An environment in the middle of an episode."""

    state: State
    obs: Array  # [*obs]
    episode_return: Array  # [] float32, undiscounted return so far
    episode_length: Array  # [] int32, steps so far

    @classmethod
    def start(cls, env: Environment, key: Array) -> Self:
        """A fresh episode."""
        state = env.reset(key)
        return cls(state, env.observe(state), jnp.float32(0), jnp.int32(0))

    def step(self, env: Environment, key: Array, action: Array) -> tuple[Self, Transition]:
        """One transition, and the episode that goes on: a fresh one where this one is over."""
        # Not split, of which XLA computes both keys, even where an environment draws nothing.
        key_step, key_reset = random.fold_in(key, 0), random.fold_in(key, 1)
        state, *outcome = env.step(key_step, self.state, action)
        reward, terminated = map(jnp.asarray, outcome)  # an environment may return Python numbers
        length = self.episode_length + 1
        transition = Transition(
            obs=self.obs,
            action=action,
            reward=reward,
            next_obs=env.observe(state),
            terminated=terminated,
            truncated=(length >= env.max_steps) & ~terminated,
            episode_return=self.episode_return + reward,
            episode_length=length,
        )
        # Observed once it is known which: nothing else needs what a reset that is dropped looks like.
        following = select(transition.done, env.reset(key_reset), state)
        going_on = self.replace(
            state=following,
            obs=env.observe(following),
            episode_return=jnp.where(transition.done, 0.0, transition.episode_return),
            episode_length=jnp.where(transition.done, 0, length),
        )
        return going_on, transition


def select(condition: Array, on_true: Any, on_false: Any) -> Any:
    """`on_true` where the [] bool condition holds, else `on_false`: pytrees of equal structure."""
    return jax.tree.map(lambda a, b: lax.select(condition, a, b), on_true, on_false)
