"""Probe environments: each has one known answer, and a wrong learner gets it wrong."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxrl.environment import traced
from jaxrl.mdp.finite import FiniteEnvironment
from jaxrl.mdp.spaces import Box


class OneStep(FiniteEnvironment):
    """One state, one step, reward 1: the value is 1."""

    max_steps: int = traced(10)

    @property
    def num_states(self) -> int:
        return 1

    @property
    def num_actions(self) -> int:
        return 2

    def initial(self) -> Array:
        return jnp.ones(1)

    def successor(self, state, action, outcome):
        return state, jnp.float32(1), jnp.bool_(True)


class RewardDependsOnObservation(OneStep):
    """Two states, one step, reward -1 in the first and 1 in the second."""

    @property
    def num_states(self) -> int:
        return 2

    def initial(self) -> Array:
        return jnp.full(2, 0.5)

    def successor(self, state, action, outcome):
        return state, jnp.where(state == 1, 1.0, -1.0), jnp.bool_(True)


class RewardTwoStepsLater(OneStep):
    """A chain of three states, reward 1 at its end: the values are γ², γ, 1."""

    @property
    def num_states(self) -> int:
        return 3

    def initial(self) -> Array:
        return jnp.array([1.0, 0.0, 0.0])

    def successor(self, state, action, outcome):
        last = state == 2
        return jnp.minimum(state + 1, 2), last.astype(jnp.float32), last


class ActionMustMatchObservation(OneStep):
    """Two states, one step, reward 1 for the action of the state's own number, else -1."""

    @property
    def num_states(self) -> int:
        return 2

    def initial(self) -> Array:
        return jnp.full(2, 0.5)

    def successor(self, state, action, outcome):
        return state, jnp.where(action == state, 1.0, -1.0), jnp.bool_(True)


class TruncationBesideTermination(OneStep):
    """Reward 1 at each step. The first state goes on for ever, but for the time limit of one step: its
    value is 1 / (1 - γ). The second terminates after one step: its value is 1."""

    max_steps: int = traced(1)

    @property
    def num_states(self) -> int:
        return 2

    def initial(self) -> Array:
        return jnp.full(2, 0.5)

    def successor(self, state, action, outcome):
        return state, jnp.float32(1), state == 1


PROBES = {
    "one step": OneStep(),
    "observation": RewardDependsOnObservation(),
    "two steps": RewardTwoStepsLater(),
    "action": ActionMustMatchObservation(),
    "ends": TruncationBesideTermination(),
}


class Probe(FiniteEnvironment):
    """The probe of a number, so that one program serves all of them."""

    number: int = traced(0, low=0, high=len(PROBES) - 1)

    @property
    def num_states(self) -> int:
        return 3

    @property
    def num_actions(self) -> int:
        return 2

    def initial(self) -> Array:
        distributions = [jnp.asarray(each.initial()) for each in PROBES.values()]
        return jnp.stack([jnp.pad(each, (0, 3 - each.size)) for each in distributions])[self.number]

    def successor(self, state, action, outcome):
        outcomes = [each.successor(state, action, outcome) for each in PROBES.values()]
        return jax.tree.map(lambda *each: jnp.stack(each)[self.number], *outcomes)


class ContinuousProbe(Probe):
    """A probe whose action is a number in [-1, 1], which earns a mixture of what both its actions earn."""

    @property
    def action_space(self):
        return Box(-1.0, 1.0, (1,))

    def step(self, key, state, action):
        (successor, first, terminated), (_, second, _) = (self.successor(state, i, 0) for i in range(2))
        return successor, first + (second - first) * (action[0] + 1) / 2, terminated
