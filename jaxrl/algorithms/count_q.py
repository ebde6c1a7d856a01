"""Q-learning that explores by counts: MBIE-EB's bonus (Strehl & Littman 2008) on action values.

Two tables are learned from the same steps. The optimistic one adds β / √n to the reward of a pair that was
tried n times, and its greatest value selects the actions. The other one has no bonus, and its greedy policy
is the result. MBIE-EB solves a learned model; these tables are updated as by Q-learning. The bonus is added
when a value is read, so that it is always that of the present counts; a pair that was never tried counts
as tried once.
"""

import jax.numpy as jnp
from flax import struct
from jax import Array, random

from jaxrl.config import traced
from jaxrl.learning.algorithm import Algorithm, num_actions, num_observations
from jaxrl.learning.bonuses import count_bonus
from jaxrl.learning.metrics import Metrics, episode_metrics, mean_metrics
from jaxrl.learning.returns import td_target
from jaxrl.learning.tables import greedy, table
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Episode, Memory


class State(struct.PyTreeNode):
    q: Array  # [num_states, num_actions] float32, action values
    optimistic: Array  # [num_states, num_actions] float32, values with the bonuses of what follows
    count: Array  # [num_states, num_actions] int32, how often each pair was tried
    episode: Episode


class CountQ(Algorithm):
    """An iteration is one environment step and one update of one entry of both tables."""

    learning_rate: float = traced(0.5, "step size", low=0, high=1)
    discount: float = traced(0.99, "γ, discount of a reward one step later", low=0, high=1)
    initial_value: float = traced(0.0, "initial action value of both tables")
    bonus: float = traced(0.1, "β; a pair that was tried n times has the bonus β / √n", low=0)

    @property
    def steps_per_iteration(self) -> int:
        return 1

    def validate_for(self, env: Environment) -> None:
        num_actions(self, env)
        num_observations(self, env)

    def init(self, env: Environment, key: Array) -> State:
        q = table(self, env, self.initial_value)
        return State(q, q, table(self, env, 0, jnp.int32), Episode.start(env, key))

    def step(
        self, env: Environment, state: State, key: Array, t: Array, total: Array
    ) -> tuple[State, Metrics]:
        key_act, key_env = random.split(key)
        action, _ = self.act(env, state, (), state.episode.obs, key_act, explore=True)
        episode, transition = state.episode.step(env, key_env, action)

        obs, next_obs, terminated = transition.obs, transition.next_obs, transition.terminated
        count = state.count.at[obs, action].add(1)
        hoped = state.optimistic[next_obs] + count_bonus(count[next_obs], self.bonus)
        optimum = td_target(transition.reward, self.discount, terminated, jnp.max(hoped))
        target = td_target(transition.reward, self.discount, terminated, jnp.max(state.q[next_obs]))
        error = target - state.q[obs, action]
        rise = self.learning_rate * (optimum - state.optimistic[obs, action])
        state = State(
            q=state.q.at[obs, action].add(self.learning_rate * error),
            optimistic=state.optimistic.at[obs, action].add(rise),
            count=count,
            episode=episode,
        )
        metrics = mean_metrics(
            td_error=jnp.abs(error), bonus=count_bonus(count[obs, action], self.bonus), tried=count > 0
        )
        return state, episode_metrics(transition) | metrics

    def act(
        self, env: Environment, state: State, memory: Memory, obs: Array, key: Array, explore: bool
    ) -> tuple[Array, Memory]:
        if not explore:
            return jnp.argmax(state.q[obs]), memory
        return greedy(key, state.optimistic[obs] + count_bonus(state.count[obs], self.bonus)), memory
