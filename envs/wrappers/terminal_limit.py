"""The time limit as a termination, as many learners wrongly treat it (Pardo et al. 2018)."""

import jax.numpy as jnp
from flax import struct
from jax import Array

from envs.wrappers.shaped import Shaped
from jaxrl.environment import Environment, Wrapper
from jaxrl.environment import State as Inner
from jaxrl.errors import InputError


class State(struct.PyTreeNode):
    inner: Inner
    steps: Array  # [] int32, since the start of the episode


class TerminalLimit(Wrapper):
    """The time limit terminates the episode: a learner does not bootstrap there.

    The observation does not show the time, so the value of a state depends on something that is not seen.
    Episodes and their returns are those of the inner environment.
    """

    def validate(self) -> None:
        super().validate()
        inner: Environment = self.env
        while isinstance(inner, Wrapper):
            if isinstance(inner, Shaped):
                raise InputError(
                    f"Shaped must stand outside of {type(self).__name__}, whose last step is terminal"
                )
            inner = inner.env

    def reset(self, key: Array) -> State:
        return State(self.env.reset(key), jnp.int32(0))

    def step(self, key: Array, state: State, action: Array) -> tuple[State, Array, Array]:
        inner, reward, terminated = self.env.step(key, state.inner, action)
        steps = state.steps + 1
        return State(inner, steps), reward, terminated | (steps >= self.max_steps)

    def inner(self, state: State) -> Inner:
        return state.inner
