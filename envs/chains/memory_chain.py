"""MemoryChain, as in bsuite (Osband et al. 2020): the last action must name what the first step showed."""

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array, random

from envs.grids.drawing import draw_grid
from jaxrl.environment import Box, Discrete, Environment, bounds, static, traced
from jaxrl.errors import InputError


class Chain(struct.PyTreeNode):
    """The bits to remember, and which of them is asked for."""

    context: Array  # [bits] int32, 0 or 1
    query: Array  # [] int32, the index of a bit
    t: Array  # [] int32, steps taken


class MemoryChain(Environment):
    """The first observation shows random bits, the last action must name one of them.

    An observation holds the share of the episode that is left, the index of the bit that is asked for (0
    before the last step), and the bits as -1 or 1 (0 after the first step). The last of `length` actions is
    rewarded with 1 if it equals the bit, and with -1 if not. The others change nothing. A policy without
    memory is right in exactly half of the episodes, so its mean return is 0. bsuite shows the first
    observation twice, so its episodes are one step longer.
    """

    length: int = traced(10, "steps of an episode", low=2)
    bits: int = static(1, "bits to remember, one of which is asked for", low=1)

    def validate(self) -> None:
        super().validate()
        if self.length > self.max_steps:
            raise InputError(
                f"MemoryChain.length must be at most max_steps = {self.max_steps}, got {self.length}"
            )

    @property
    def observation_space(self) -> Box:
        low, high = [0.0, 0.0, *[-1.0] * self.bits], [1.0, self.bits - 1.0, *[1.0] * self.bits]
        return Box(bounds(*low), bounds(*high), (self.bits + 2,))

    @property
    def action_space(self) -> Discrete:
        return Discrete(2)

    @property
    def solved_return(self) -> float:
        """The mean return of 95 % right answers."""
        return 0.9

    def reset(self, key: Array) -> Chain:
        key_context, key_query = random.split(key)
        context = random.randint(key_context, (self.bits,), 0, 2)
        return Chain(context, random.randint(key_query, (), 0, self.bits), jnp.int32(0))

    def step(self, key: Array, state: Chain, action: Array) -> tuple[Chain, Array, Array]:
        last = state.t == self.length - 1
        answer = jnp.where(action == state.context[state.query], 1.0, -1.0)
        return state.replace(t=state.t + 1), jnp.where(last, answer, 0.0), last

    def observe(self, state: Chain) -> Array:
        left = 1 - state.t / self.length
        query = jnp.where(state.t == self.length - 1, state.query, 0)
        context = jnp.where(state.t == 0, 2 * state.context - 1, 0)
        return jnp.concatenate([jnp.stack([left, query]), context]).astype(jnp.float32)

    def render(self, state: Chain) -> np.ndarray:
        """The steps of the episode in a row, with a disc in the present one."""
        length = int(self.length)
        return draw_grid(["S" + "F" * (length - 2) + "G"], min(int(state.t), length - 1))
