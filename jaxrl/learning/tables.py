"""What learners of a table of action values share: their common hyper-parameters, policies and traces."""

from typing import Any

import jax.numpy as jnp
from jax import Array, random

from jaxrl.config import Scalar, traced
from jaxrl.learning.algorithm import Algorithm, num_actions, num_observations
from jaxrl.learning.exploration import epsilon_greedy
from jaxrl.learning.schedules import linear
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Memory


class TableLearner(Algorithm):
    """A learner that acts ε-greedily by a table of action values. An iteration is one environment step.

    Its state has a field q: [num_states, num_actions] float32.
    """

    learning_rate: float = traced(0.1, "step size", low=0, high=1)
    learning_rate_decay: float = traced(1.0, "factor of the learning rate at the run's end", low=0, high=1)
    discount: float = traced(0.99, "γ, discount of a reward one step later", low=0, high=1)
    initial_value: float = traced(0.0, "initial action value; optimistic if above the true values")
    epsilon_start: float = traced(1.0, "probability of a uniform action at the start", low=0, high=1)
    epsilon_end: float = traced(0.05, "probability of a uniform action after its schedule", low=0, high=1)
    epsilon_fraction: float = traced(0.5, "share of the run until epsilon_end", low=0, high=1)

    @property
    def steps_per_iteration(self) -> int:
        return 1

    def validate_for(self, env: Environment) -> None:
        num_actions(self, env)
        num_observations(self, env)

    def act(
        self, env: Environment, state: Any, memory: Memory, obs: Array, key: Array, explore: bool
    ) -> tuple[Array, Memory]:
        return epsilon_greedy(key, state.q[obs], self.epsilon_end if explore else 0.0), memory

    def rate(self, t: Array, total: Array) -> Array:
        """The step size in iteration `t` of `total`: []."""
        return self.learning_rate * linear(1.0, self.learning_rate_decay, 1.0, t, total)

    def epsilon(self, t: Array, total: Array) -> Array:
        """Probability of a uniform action in iteration `t` of `total`: []."""
        return linear(self.epsilon_start, self.epsilon_end, self.epsilon_fraction, t, total)


def table(algorithm: Algorithm, env: Environment, value: Scalar, dtype: Any = jnp.float32) -> Array:
    """A table with one value everywhere: [num_states, num_actions]."""
    return jnp.full((num_observations(algorithm, env), num_actions(algorithm, env)), value, dtype)


def epsilon_greedy_value(values: Array, epsilon: Scalar) -> Array:
    """The expected value of an ε-greedy action (Sutton & Barto 2018, eq. 6.9): values [n], returns []."""
    return (1.0 - epsilon) * jnp.max(values) + epsilon * jnp.mean(values)


def greedy(key: Array, values: Array) -> Array:
    """The action with the greatest value, a random one of several: values [n], returns [] int32."""
    rank = random.uniform(key, values.shape)
    return jnp.argmax(jnp.where(values == jnp.max(values), rank, -1.0))


def visited(trace: Array, decay: Scalar, obs: Array, action: Array, replacing: bool) -> Array:
    """The eligibility traces after a visit (Sutton & Barto 2018, eq. 12.5 and 12.12 with one-hot features).

    Every trace [num_states, num_actions] is multiplied by `decay`. The trace of the visited pair then grows
    by 1, or becomes 1 if it is `replacing`.
    """
    trace = decay * trace
    return trace.at[obs, action].set(1.0) if replacing else trace.at[obs, action].add(1.0)
