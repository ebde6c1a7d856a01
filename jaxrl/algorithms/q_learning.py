"""Tabular Q-learning (Watkins 1989) and Double Q-learning (van Hasselt 2010)."""

import jax.numpy as jnp
from flax import struct
from jax import Array, random

from jaxrl.config import static, traced
from jaxrl.learning.algorithm import Algorithm, num_actions, num_observations
from jaxrl.learning.exploration import epsilon_greedy, scheduled_epsilon, slow_epsilon
from jaxrl.learning.metrics import Metrics, episode_metrics, mean_metrics
from jaxrl.learning.returns import td_target
from jaxrl.learning.schedules import linear
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Episode, Memory


class State(struct.PyTreeNode):
    q: Array  # [tables, num_states, num_actions] float32, action values
    episode: Episode
    completed: Array  # [] int32, completed episodes


class QLearning(Algorithm):
    """An iteration is one environment step and one update of one table entry."""

    learning_rate: float = traced(0.1, "step size", low=0, high=1)
    learning_rate_decay: float = traced(1.0, "factor of the learning rate at the run's end", low=0, high=1)
    discount: float = traced(0.99, "γ, discount of a reward one step later", low=0, high=1)
    initial_value: float = traced(0.0, "initial action value; optimistic if above the true values")
    epsilon_start: float = traced(1.0, "probability of a uniform action at the start", low=0, high=1)
    epsilon_end: float = traced(0.05, "probability of a uniform action after its schedule", low=0, high=1)
    epsilon_schedule: str = static(
        "linear", "linear in steps, or exponential in episodes", choices=("linear", "exponential")
    )
    epsilon_fraction: float = traced(0.5, "linear: share of the run until epsilon_end", low=0, high=1)
    epsilon_decay: float = traced(0.99, "exponential: factor of epsilon per completed episode", low=0, high=1)
    double: bool = static(False, "whether one of two tables selects the action that the other evaluates")

    @property
    def steps_per_iteration(self) -> int:
        return 1

    def validate_for(self, env: Environment) -> None:
        num_actions(self, env)
        num_observations(self, env)

    def never_reached(self, steps: int) -> tuple[str, ...]:
        return super().never_reached(steps) + slow_epsilon(self, steps)

    def init(self, env: Environment, key: Array) -> State:
        shape = (2 if self.double else 1, num_observations(self, env), num_actions(self, env))
        return State(
            q=jnp.full(shape, self.initial_value, jnp.float32),
            episode=Episode.start(env, key),
            completed=jnp.int32(0),
        )

    def step(
        self, env: Environment, state: State, key: Array, t: Array, total: Array
    ) -> tuple[State, Metrics]:
        key_act, key_env, key_table = random.split(key, 3)
        epsilon = scheduled_epsilon(self, state.completed, t, total)
        action = epsilon_greedy(key_act, self.values(state, state.episode.obs), epsilon)
        episode, transition = state.episode.step(env, key_env, action)

        selector = random.randint(key_table, (), 0, 2) if self.double else 0
        evaluator = 1 - selector if self.double else 0
        next_action = jnp.argmax(state.q[selector, transition.next_obs])
        next_value = state.q[evaluator, transition.next_obs, next_action]
        target = td_target(transition.reward, self.discount, transition.terminated, next_value)
        error = target - state.q[selector, transition.obs, action]
        rate = self.learning_rate * linear(1.0, self.learning_rate_decay, 1.0, t, total)
        state = state.replace(
            q=state.q.at[selector, transition.obs, action].add(rate * error),
            episode=episode,
            completed=state.completed + transition.done,
        )
        metrics = mean_metrics(td_error=jnp.abs(error), epsilon=epsilon)
        return state, episode_metrics(transition) | metrics

    def act(
        self, env: Environment, state: State, memory: Memory, obs: Array, key: Array, explore: bool
    ) -> tuple[Array, Memory]:
        epsilon = self.epsilon_end if explore else 0.0
        return epsilon_greedy(key, self.values(state, obs), epsilon), memory

    def values(self, state: State, obs: Array) -> Array:
        """Action values in a state, averaged over the tables: [num_actions]."""
        return jnp.mean(state.q[:, obs], axis=0)
