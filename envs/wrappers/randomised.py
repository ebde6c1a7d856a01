"""Domain randomisation (Tobin et al. 2017): every episode draws its own constants."""

import jax
import numpy as np
from flax import struct
from jax import Array, random

from envs.wrappers.ranges import between, require_ends
from jaxrl.environment import Environment, Wrapper, component
from jaxrl.environment import State as Inner
from jaxrl.errors import InputError


class State(struct.PyTreeNode):
    env: Environment  # with the constants that the episode drew
    inner: Inner  # the state of `env`


class Randomised(Wrapper):
    """Each reset draws every constant uniformly between its value in `env` and its value in `high`.

    `Randomised(env=CartPole(pole_length=0.25), high=CartPole(pole_length=1.0))` draws the length of the pole.
    The time limit must be the same in both.
    """

    high: Environment = component(meaning="the same environment with the upper end of each range")

    def validate(self) -> None:
        super().validate()
        require_ends("Randomised", self.env, self.high, ordered=True)
        if self.env.max_steps != self.high.max_steps:
            raise InputError(
                "Randomised cannot draw the time limit: max_steps must be the same in both, "
                f"got {self.env.max_steps} and {self.high.max_steps}"
            )

    def reset(self, key: Array) -> State:
        key_constants, key_reset = random.split(key)
        leaves, structure = jax.tree.flatten(self.env)
        shares = random.uniform(key_constants, (len(leaves),))
        drawn = between(self.env, self.high, jax.tree.unflatten(structure, [*shares]))
        return State(drawn, drawn.reset(key_reset))

    def step(self, key: Array, state: State, action: Array) -> tuple[State, Array, Array]:
        inner, reward, terminated = state.env.step(key, state.inner, action)
        return state.replace(inner=inner), reward, terminated

    def observe(self, state: State) -> Array:
        return state.env.observe(state.inner)

    def render(self, state: State) -> np.ndarray:
        return state.env.render(state.inner)

    def text(self, state: State) -> str:
        return state.env.text(state.inner)
