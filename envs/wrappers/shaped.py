"""Potential-based shaping (Ng, Harada & Russell 1999): denser rewards with the same optimal policy."""

import jax.numpy as jnp
from jax import Array

from jaxrl.environment import State, Wrapper, traced


class Shaped(Wrapper):
    """Each step from s to s' also gives F = γΦ(s') − Φ(s), where Φ of a terminal state is 0.

    The potential Φ is the inner environment's `potential`, or that of a subclass which overrides it. The
    optimal policies stay the same if `discount` is the learner's. Returns differ from those of the inner
    environment, so evaluate in that one too.
    """

    discount: float = traced(0.99, "γ, the learner's discount", low=0, high=1)

    @property
    def solved_return(self) -> None:
        """None, since the returns hold potentials."""
        return

    def step(self, key: Array, state: State, action: Array) -> tuple[State, Array, Array]:
        successor, reward, terminated = self.env.step(key, state, action)
        following = jnp.where(terminated, 0.0, self.potential(successor))
        return successor, reward + self.discount * following - self.potential(state), terminated
