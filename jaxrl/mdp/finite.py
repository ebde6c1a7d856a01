"""Environments with finitely many states, whose outcomes can be listed and drawn."""

import jax.numpy as jnp
import numpy as np
from jax import Array, random

from jaxrl.mdp.environment import Environment
from jaxrl.mdp.spaces import Discrete, draw_below


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
