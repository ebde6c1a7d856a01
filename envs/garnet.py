"""Garnet (Archibald, McKinnon & Thomas 1995): random finite MDPs, for studies of learners."""

import math

import jax.numpy as jnp
import numpy as np
from jax import Array, random

from envs.grids.drawing import draw_grid, text_grid
from jaxrl.environment import FiniteEnvironment, static, traced
from jaxrl.errors import InputError
from jaxrl.random.generators import GENERATORS
from jaxrl.random.shuffle import permutation


class Garnet(FiniteEnvironment):
    """Each seed is another MDP. Training runs on many seeds share one program.

    An action in a state leads to one of `branching` different states, which are drawn uniformly. Their
    probabilities are the parts into which uniform draws cut [0, 1]. The reward of an action in a state is
    drawn from a standard normal distribution (as in Bhatnagar et al. 2009, without noise). The start is
    uniform, and nothing terminates.
    """

    states: int = static(20, "states", low=2)
    actions: int = static(4, "actions in each state", low=1)
    branching: int = static(3, "states that an action may lead to", low=1)
    seed: int = traced(0, "number of the MDP", low=0)
    max_steps: int = traced(100, low=1)

    def validate(self) -> None:
        super().validate()
        if self.branching > self.states:
            raise InputError(
                f"Garnet.branching must be at most the number of states, {self.states}, got {self.branching}"
            )

    @property
    def num_states(self) -> int:
        return self.states

    @property
    def num_actions(self) -> int:
        return self.actions

    def initial(self) -> np.ndarray:
        return np.full(self.states, 1 / self.states)

    def outcomes_of(self, state: Array, action: Array) -> Array:
        cuts = jnp.sort(random.uniform(self.key(state, action, 0), (self.branching - 1,)))
        return jnp.diff(cuts, prepend=0.0, append=1.0)

    def successor(self, state: Array, action: Array, outcome: Array) -> tuple[Array, Array, Array]:
        following = permutation(self.key(state, action, 1), self.states)[outcome]
        return following, random.normal(self.key(state, action, 2)), jnp.bool_(False)

    def key(self, state: Array, action: Array, purpose: int) -> Array:
        """The key of a draw that belongs to an action in a state."""
        # One generator, so that the MDP does not depend on the one that a study chooses.
        key = random.key(self.seed, impl=GENERATORS["pcg4x32"])
        return random.fold_in(random.fold_in(key, state * self.actions + action), purpose)

    def render(self, state: Array) -> np.ndarray:
        return draw_grid(self.rows(), int(state))

    def text(self, state: Array) -> str:
        return text_grid(self.rows(), int(state))

    def rows(self) -> list[str]:
        """The states as F in a square, filled up with W."""
        side = math.isqrt(self.states - 1) + 1
        return [("F" * min(side, self.states - i)).ljust(side, "W") for i in range(0, self.states, side)]
