"""Domain randomisation (Tobin et al. 2017): every episode draws its own constants."""

import jax
import numpy as np
from flax import struct
from jax import Array, random

from envs.wrappers.ranges import between, require_ends, require_ranges
from jaxrl.environment import Environment, Wrapper, attach, component, detach, static
from jaxrl.environment import State as Inner
from jaxrl.errors import InputError


class State(struct.PyTreeNode):
    env: Environment  # with the constants that the episode drew, without shared arrays
    inner: Inner  # the state of `env`


class Randomised(Wrapper):
    """Each reset draws every constant between its value in `env` and its value in `high`.

    `Randomised(env=CartPole(pole_length=0.25), high=CartPole(pole_length=1.0))` draws the length of the pole.
    The time limit must be the same in both. With the scale `log`, the logarithms of the constants are drawn
    uniformly, so that each order of magnitude is equally likely.
    """

    high: Environment = component(meaning="the same environment with the upper end of each range")
    scale: str = static("uniform", "on which scale all draws are uniform", choices=("uniform", "log"))

    def validate(self) -> None:
        super().validate()
        require_ends("Randomised", self.env, self.high)
        require_ranges("Randomised", self.env, self.high, self.scale == "log")
        if self.env.max_steps != self.high.max_steps:
            raise InputError(
                "Randomised cannot draw the time limit: max_steps must be the same in both, "
                f"got {self.env.max_steps} and {self.high.max_steps}"
            )

    def reset(self, key: Array) -> State:
        key_constants, key_reset = random.split(key)
        (low, arrays), (high, _) = detach(self.env), detach(self.high)
        leaves, structure = jax.tree.flatten(low)
        shares = random.uniform(key_constants, (len(leaves),))
        drawn = between(low, high, jax.tree.unflatten(structure, [*shares]), self.scale == "log")
        return State(drawn, attach(drawn, arrays).reset(key_reset))

    def step(self, key: Array, state: State, action: Array) -> tuple[State, Array, Array]:
        inner, reward, terminated = self.drawn(state).step(key, state.inner, action)
        return state.replace(inner=inner), reward, terminated

    def inner(self, state: State) -> Inner:
        return state.inner

    def observe(self, state: State) -> Array:
        return self.drawn(state).observe(state.inner)

    def potential(self, state: State) -> Array:
        return self.drawn(state).potential(state.inner)

    def render(self, state: State) -> np.ndarray:
        return self.drawn(state).render(state.inner)

    def text(self, state: State) -> str:
        return self.drawn(state).text(state.inner)

    def drawn(self, state: State) -> Environment:
        """The environment of an episode, with the shared arrays that its state does not carry."""
        return attach(state.env, detach(self.env)[1])
