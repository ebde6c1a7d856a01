"""Environments with finitely many states, whose outcomes can be enumerated."""

import jax.numpy as jnp
import numpy as np
from jax import Array, random

from jaxrl.mdp.environment import Environment
from jaxrl.mdp.spaces import Discrete, draw_below


class FiniteEnvironment(Environment):
    """An environment with finitely many states and finitely many outcomes of a step, fully observed.

    A state is an index, [] int32, and is also the observation. A subclass defines the distributions and
    `successor`. `step` draws an outcome and calls `successor`, so enumerating `successor` enumerates `step`.
    """

    @property
    def num_states(self) -> int:
        raise self._missing("num_states")

    @property
    def num_actions(self) -> int:
        raise self._missing("num_actions")

    def initial(self) -> Array | np.ndarray:
        """Probability of each state at the start of an episode: [num_states].

        A numpy array unless it depends on a traced field, since drawing from constants is cheaper.
        """
        raise self._missing("initial")

    def outcomes(self) -> Array | np.ndarray:
        """Probability of each outcome of a step: [num_outcomes], the same in all states.

        A numpy array unless it depends on a traced field.
        """
        return np.ones(1)

    def outcomes_of(self, state: Array, action: Array) -> Array | np.ndarray:
        """Probability of each outcome of an action in a state: [num_outcomes]; by default `outcomes()`."""
        return self.outcomes()

    def successor(self, state: Array, action: Array, outcome: Array) -> tuple[Array, Array, Array]:
        """What an outcome leads to: (next state, reward, terminated), each []. Deterministic."""
        raise self._missing("successor")

    @property
    def layout(self) -> np.ndarray | None:
        """The state of each cell of a map, [rows, columns] integers; None if the states are on no map."""
        return None

    def symbol(self, state: int, action: int) -> str:
        """An action in a state as one character, such as an arrow; its number if it has none."""
        return str(action)

    @property
    def observation_space(self) -> Discrete:
        return Discrete(self.num_states)

    @property
    def action_space(self) -> Discrete:
        return Discrete(self.num_actions)

    def reset(self, key: Array) -> Array:
        return draw(key, self.initial())

    def step(self, key: Array, state: Array, action: Array) -> tuple[Array, Array, Array]:
        return self.successor(state, action, draw(key, self.outcomes_of(state, action)))

    def observe(self, state: Array) -> Array:
        return state


def draw(key: Array, probabilities: Array | np.ndarray) -> Array:
    """An index drawn with the given probabilities ([n], summing to about 1): [] int32."""
    if isinstance(probabilities, np.ndarray):
        possible = np.flatnonzero(probabilities)
        if np.ptp(probabilities[possible]) == 0:
            return jnp.asarray(possible, jnp.int32)[draw_below(key, possible.size)]
    cumulative = jnp.cumsum(probabilities)
    # Scaled: if rounding leaves the sum below 1, the largest draws would give the last index, even if its
    # probability is 0.
    uniform = random.uniform(key) * cumulative[-1]
    return jnp.sum(uniform >= cumulative[:-1], dtype=jnp.int32)
