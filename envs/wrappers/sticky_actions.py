"""Sticky actions (Machado et al. 2018, section 5.2): the last action is sometimes executed again."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array, random

from jaxrl.environment import State as Inner
from jaxrl.environment import Wrapper, select, traced, zeros


class State(struct.PyTreeNode):
    inner: Inner
    executed: Any  # the last action that was executed
    started: Array  # [] bool, whether there is one in this episode


class StickyActions(Wrapper):
    """Each step executes the previous step's action again with a probability, instead of the chosen one.

    The first action of an episode is always executed. The observation does not show which action was
    executed last, so a world with observed states becomes one with a hidden part.
    """

    probability: float = traced(0.25, "probability of the previous action", low=0, high=1)

    def reset(self, key: Array) -> State:
        return State(self.env.reset(key), zeros(self.env.action_space), jnp.bool_(False))

    def step(self, key: Array, state: State, action: Array) -> tuple[State, Array, Array]:
        key_sticky, key_step = random.split(key)
        sticky = state.started & (random.uniform(key_sticky) < self.probability)
        chosen = jax.tree.map(lambda old, new: jnp.asarray(new, old.dtype), state.executed, action)
        executed = select(sticky, state.executed, chosen)
        inner, reward, terminated = self.env.step(key_step, state.inner, executed)
        return State(inner, executed, jnp.bool_(True)), reward, terminated

    def inner(self, state: State) -> Inner:
        return state.inner
