"""Tabular Sarsa(λ), Expected Sarsa(λ) and Watkins's Q(λ) (Sutton & Barto 2018, 6.4, 6.6, 12.7 to 12.10).

The three differ in the value of the next state, and with λ = 0 are Sarsa, Expected Sarsa and Q-learning.
Q(λ) is here and n-step tree backup is not, since Q(λ) keeps one table of traces where tree backup keeps n
transitions, and it bootstraps at every step, so one iteration is one step whatever λ is.
"""

import jax.numpy as jnp
from flax import struct
from jax import Array, random

from jaxrl.config import static, traced
from jaxrl.learning.exploration import epsilon_greedy
from jaxrl.learning.metrics import Metrics, episode_metrics, mean_metrics
from jaxrl.learning.returns import td_target
from jaxrl.learning.tables import TableLearner, epsilon_greedy_value, table, visited
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Episode


class State(struct.PyTreeNode):
    q: Array  # [num_states, num_actions] float32, action values
    trace: Array  # [num_states, num_actions] float32, eligibility traces of this episode
    action: Array  # [] int32, the action that follows in `episode`
    episode: Episode


class Sarsa(TableLearner):
    """An iteration is one environment step and one update of every pair with a trace."""

    target: str = static(
        "sampled",
        "value of the next state: of the action taken there (Sarsa), the policy's mean (Expected Sarsa), or "
        "the greatest (Watkins's Q(λ))",
        choices=("sampled", "expected", "greatest"),
    )
    trace_decay: float = traced(0.0, "λ, decay of the eligibility traces; 0 updates one pair", low=0, high=1)
    replacing: bool = static(True, "whether a visit sets a trace to 1; otherwise it adds 1")

    def init(self, env: Environment, key: Array) -> State:
        key_env, key_act = random.split(key)
        q, episode = table(self, env, self.initial_value), Episode.start(env, key_env)
        action = epsilon_greedy(key_act, q[episode.obs], self.epsilon_start)
        return State(q, table(self, env, 0.0), action, episode)

    def step(
        self, env: Environment, state: State, key: Array, t: Array, total: Array
    ) -> tuple[State, Metrics]:
        key_env, key_act = random.split(key)
        epsilon, q, action = self.epsilon(t, total), state.q, state.action
        episode, transition = state.episode.step(env, key_env, action)

        # Within an episode both are one action, since equal values and one key give one draw.
        next_action = epsilon_greedy(key_act, q[transition.next_obs], epsilon)
        following = epsilon_greedy(key_act, q[episode.obs], epsilon)
        next_value = self.next_value(q[transition.next_obs], next_action, epsilon)
        target = td_target(transition.reward, self.discount, transition.terminated, next_value)
        error = target - q[transition.obs, action]

        decay = jnp.float32(self.discount * self.trace_decay)
        if self.target == "greatest":  # the returns of greedy actions end with one that is not greedy
            is_greedy = q[transition.obs, action] >= jnp.max(q[transition.obs])
            decay = jnp.where(is_greedy, decay, 0.0)
        trace = visited(state.trace, decay, transition.obs, action, self.replacing)
        state = State(
            q=q + self.rate(t, total) * error * trace,
            trace=jnp.where(transition.done, 0.0, trace),
            action=following,
            episode=episode,
        )
        metrics = mean_metrics(td_error=jnp.abs(error), epsilon=epsilon)
        return state, episode_metrics(transition) | metrics

    def next_value(self, values: Array, action: Array, epsilon: Array) -> Array:
        """The value of a state with action values [num_actions], in which `action` is taken: []."""
        if self.target == "sampled":
            return values[action]
        return epsilon_greedy_value(values, epsilon if self.target == "expected" else 0.0)
