"""Delayed rewards: the sum of several steps' rewards comes at once (Oh et al. 2018)."""

import jax.numpy as jnp
from flax import struct
from jax import Array

from jaxrl.environment import State as Inner
from jaxrl.environment import Wrapper, compensated_sum, traced


class State(struct.PyTreeNode):
    inner: Inner
    owed: Array  # [] float32 or [num_agents], rewards that were earned and not paid
    error: Array  # like `owed`, what rounding has added to it
    steps: Array  # [] int32, since the start of the episode


class DelayedRewards(Wrapper):
    """Rewards are summed and paid every `every` steps, and when the episode ends or reaches its time limit.

    An episode's return stays the same. The observation does not show what is owed, so a world with observed
    states becomes one with a hidden part.
    """

    every: int = traced(20, "steps from one payment to the next", low=1)

    def reset(self, key: Array) -> State:
        agents = () if self.num_agents == 1 else (self.num_agents,)
        return State(self.env.reset(key), jnp.zeros(agents), jnp.zeros(agents), jnp.int32(0))

    def step(self, key: Array, state: State, action: Array) -> tuple[State, Array, Array]:
        inner, reward, terminated = self.env.step(key, state.inner, action)
        owed, error = compensated_sum(state.owed, state.error, reward)
        steps = state.steps + 1
        pays = (steps % self.every == 0) | (steps >= self.max_steps) | terminated
        left = State(inner, jnp.where(pays, 0.0, owed), jnp.where(pays, 0.0, error), steps)
        return left, jnp.where(pays, owed, 0.0), terminated

    def inner(self, state: State) -> Inner:
        return state.inner
