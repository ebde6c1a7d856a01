"""Every-visit Monte Carlo control with an ε-greedy policy (Sutton & Barto 2018, 5.4, which is first-visit).

The returns of an episode are summed up while it runs: with a trace z(s, a) = Σ γ^(k - i) over the visits i
up to step k, the returns that follow all visits add up to Σ r(k) z(s, a) over the steps k. Memory and work
are therefore the same in every step, and the whole episode counts, however long it is. A return that the
time limit cuts goes on with the policy's expected value of the last state.
"""

import jax.numpy as jnp
from flax import struct
from jax import Array, random

from jaxrl.config import Scalar, traced
from jaxrl.learning.exploration import epsilon_greedy
from jaxrl.learning.metrics import Metrics, episode_metrics, mean_metrics
from jaxrl.learning.tables import TableLearner, epsilon_greedy_value, table, visited
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Episode


class State(struct.PyTreeNode):
    """Tables are [num_states, num_actions] float32. The last three are those of the present episode."""

    q: Array  # action values, averages of returns
    count: Array  # visits in all completed episodes
    episode: Episode
    trace: Array  # discounted number of visits
    visits: Array
    total: Array  # sum of the returns since each visit


class MonteCarlo(TableLearner):
    """An iteration is one environment step. The table changes where an episode ends."""

    learning_rate: float = traced(
        0.0, "least weight of a new return; 0 averages all returns alike", low=0, high=1
    )

    def init(self, env: Environment, key: Array) -> State:
        zeros = table(self, env, 0.0)
        q = table(self, env, self.initial_value)
        return State(q, zeros, Episode.start(env, key), zeros, zeros, zeros)

    def step(
        self, env: Environment, state: State, key: Array, t: Array, total: Array
    ) -> tuple[State, Metrics]:
        key_act, key_env = random.split(key)
        epsilon = self.epsilon(t, total)
        action = epsilon_greedy(key_act, state.q[state.episode.obs], epsilon)
        episode, transition = state.episode.step(env, key_env, action)

        obs, done = transition.obs, transition.done
        trace = visited(state.trace, self.discount, obs, action, replacing=False)
        visits = state.visits.at[obs, action].add(1.0)
        beyond = epsilon_greedy_value(state.q[transition.next_obs], epsilon)
        reward = transition.reward + jnp.where(transition.truncated, self.discount * beyond, 0.0)
        returns = state.total + reward * trace

        q = averaged(state.q, state.count, visits, returns, self.rate(t, total))
        change = jnp.where(done, jnp.max(jnp.abs(q - state.q)), 0.0)
        state = State(
            q=jnp.where(done, q, state.q),
            count=jnp.where(done, state.count + visits, state.count),
            episode=episode,
            trace=jnp.where(done, 0.0, trace),
            visits=jnp.where(done, 0.0, visits),
            total=jnp.where(done, 0.0, returns),
        )
        metrics = mean_metrics(epsilon=epsilon) | {"change": (change, jnp.float32(done))}
        return state, episode_metrics(transition) | metrics


def averaged(q: Array, count: Array, visits: Array, total: Array, least: Scalar) -> Array:
    """Averages of `count` returns after `visits` more with the sum `total` (Sutton & Barto 2018, eq. 2.3).

    A new return weighs at least `least`, [], so that an average forgets. The others have equal shapes.
    """
    equal = visits / jnp.maximum(count + visits, 1.0)
    weight = jnp.maximum(equal, jnp.minimum(least * visits, 1.0))
    return q + weight * (total / jnp.maximum(visits, 1.0) - q)
