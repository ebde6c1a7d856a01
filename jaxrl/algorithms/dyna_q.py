"""Tabular Dyna-Q and prioritised sweeping (Sutton & Barto 2018, 8.2 and 8.4): Q-learning that plans.

The learned model is a table of what followed each pair of state and action the last time. It is exact where
the environment draws nothing. Elsewhere planning treats the last outcome of each pair as certain.
"""

from typing import Any

import jax.numpy as jnp
from flax import struct
from jax import Array, lax, random

from jaxrl.config import static, traced
from jaxrl.learning.algorithm import num_actions
from jaxrl.learning.exploration import epsilon_greedy
from jaxrl.learning.metrics import Metrics, episode_metrics, mean_metrics
from jaxrl.learning.returns import td_target
from jaxrl.learning.tables import TableLearner, table
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Episode, Transition


class Model(struct.PyTreeNode):
    """What followed each pair the last time. A pair is the number state * num_actions + action.

    The fields are [num_states * num_actions], apart from `size`.
    """

    reward: Array  # float32
    next_obs: Array  # int32
    terminated: Array  # bool
    known: Array  # bool, whether the pair was visited
    order: Array  # int32, the pairs in the order of their first visits
    size: Array  # [] int32, visited pairs

    @classmethod
    def empty(cls, pairs: int) -> "Model":
        numbers, flags = jnp.zeros(pairs, jnp.int32), jnp.zeros(pairs, bool)
        return cls(jnp.zeros(pairs), numbers, flags, flags, numbers, jnp.int32(0))

    def after(self, pair: Array, transition: Transition) -> "Model":
        """The model that has seen what followed a pair ([] int32)."""
        is_new = ~self.known[pair]
        position = jnp.where(is_new, self.size, self.order.size)  # beyond the end nothing is written
        return Model(
            reward=self.reward.at[pair].set(transition.reward),
            next_obs=self.next_obs.at[pair].set(transition.next_obs),
            terminated=self.terminated.at[pair].set(transition.terminated),
            known=self.known.at[pair].set(True),
            order=self.order.at[position].set(pair, mode="drop"),
            size=self.size + is_new,
        )

    def drawn(self, uniform: Array) -> Array:
        """The visited pair at a position in [0, 1), which a uniform draw makes a uniform pair: [] int32."""
        return self.order[jnp.minimum(jnp.floor(uniform * self.size).astype(jnp.int32), self.size - 1)]


class State(struct.PyTreeNode):
    q: Array  # [num_states, num_actions] float32, action values
    model: Model
    priority: Any  # [num_states * num_actions] float32, of pairs that wait for an update; () without sweeping
    episode: Episode


class DynaQ(TableLearner):
    """An iteration is one environment step, one update from it and updates from the model."""

    planning_steps: int = static(10, "updates from the model after each step", low=0)
    prioritised: bool = static(False, "whether pairs with the largest errors are updated, not random ones")
    threshold: float = traced(1e-4, "prioritised: the least error that waits for an update", low=0)

    def init(self, env: Environment, key: Array) -> State:
        q = table(self, env, self.initial_value)
        priority = jnp.zeros(q.size) if self.prioritised else ()
        return State(q, Model.empty(q.size), priority, Episode.start(env, key))

    def step(
        self, env: Environment, state: State, key: Array, t: Array, total: Array
    ) -> tuple[State, Metrics]:
        key_act, key_env, key_plan = random.split(key, 3)
        epsilon = self.epsilon(t, total)
        action = epsilon_greedy(key_act, state.q[state.episode.obs], epsilon)
        episode, transition = state.episode.step(env, key_env, action)

        pair = transition.obs * num_actions(self, env) + action
        state = state.replace(model=state.model.after(pair, transition), episode=episode)
        rate, error = self.rate(t, total), self.error(state.q, state.model, pair)
        if self.prioritised:
            state, updates = self.swept(state, pair, error, rate)
        else:
            state, updates = self.planned(state, pair, rate, key_plan), jnp.float32(1 + self.planning_steps)
        metrics = mean_metrics(
            td_error=jnp.abs(error), epsilon=epsilon, known_pairs=state.model.size, updates=updates
        )
        return state, episode_metrics(transition) | metrics

    def error(self, q: Array, model: Model, pair: Array) -> Array:
        """The TD error of a pair by the model: []."""
        next_value = jnp.max(q[model.next_obs[pair]])
        target = td_target(model.reward[pair], self.discount, model.terminated[pair], next_value)
        return target - q.reshape(-1)[pair]

    def planned(self, state: State, pair: Array, rate: Array, key: Array) -> State:
        """The state after an update of a pair and of `planning_steps` random ones (lines d and f in 8.2)."""
        uniform = random.uniform(key, (1 + self.planning_steps,))

        def update(i: Array, q: Array) -> Array:
            chosen = jnp.where(i == 0, pair, state.model.drawn(uniform[i]))
            return added(q, chosen, rate * self.error(q, state.model, chosen))

        return state.replace(q=lax.fori_loop(0, 1 + self.planning_steps, update, state.q))

    def swept(self, state: State, pair: Array, error: Array, rate: Array) -> tuple[State, Array]:
        """The state after at most 1 + planning_steps updates of the pairs with the largest errors.

        The pair of the step joins the queue with its error. After each update so do the pairs that lead to
        the updated state (lines e to g of prioritised sweeping in 8.4). Returns the number of updates too,
        which is smaller if the queue was empty before.
        """
        model, num_actions = state.model, state.q.shape[1]

        def update(_: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            q, priority, updates = carry
            pair = jnp.argmax(priority)
            waits = priority[pair] > 0
            q = added(q, pair, jnp.where(waits, rate * self.error(q, model, pair), 0.0))
            obs = pair // num_actions
            leads_here = model.known & ~model.terminated & (model.next_obs == obs)
            errors = jnp.abs(model.reward + self.discount * jnp.max(q[obs]) - q.reshape(-1))
            found = jnp.where(waits & leads_here, self.priority(errors), 0.0)
            return q, jnp.maximum(priority.at[pair].set(0.0), found), updates + waits

        priority = state.priority.at[pair].set(self.priority(error))
        carry = (state.q, priority, jnp.float32(0))
        q, priority, updates = lax.fori_loop(0, 1 + self.planning_steps, update, carry)
        return state.replace(q=q, priority=priority), updates

    def priority(self, error: Array) -> Array:
        """The priorities of pairs with these errors, 0 if they do not wait: any shape."""
        size = jnp.abs(error)
        return jnp.where(size > self.threshold, size, 0.0)


def added(q: Array, pair: Array, change: Array) -> Array:
    """A table, [num_states, num_actions], with a change of one pair added."""
    return q.reshape(-1).at[pair].add(change).reshape(q.shape)
