"""Bandits: environments of arms whose rewards depend on nothing but the arm."""

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array, random

from jaxrl.config import static, traced
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.spaces import Box, Discrete


class Arms(struct.PyTreeNode):
    means: Array  # [num_arms] float32, expected rewards
    seen: Array  # [num_arms + 1] float32, see Bandit


class Bandit(Environment):
    """An action is the pull of an arm. Each episode is a problem of its own, whose arms are drawn.

    An observation is the pull before: its arm as a one-hot vector, then its reward. At the start it is
    all 0. A subclass defines `draw_means` and `pull`.
    """

    num_arms: int = static(10, "arms", low=2)
    drift: float = traced(0.0, "standard deviation of what each pull adds to each arm's mean", low=0)
    max_steps: int = traced(1_000, low=1)

    @property
    def is_binary(self) -> bool:
        """Whether every reward is 0 or 1."""
        return False

    @property
    def observation_space(self) -> Box:
        bound = np.append(np.ones(self.num_arms), np.inf).astype(np.float32)
        return Box(np.append(np.zeros(self.num_arms), -np.inf).astype(np.float32), bound, bound.shape)

    @property
    def action_space(self) -> Discrete:
        return Discrete(self.num_arms)

    def draw_means(self, key: Array) -> Array:
        """The arms' expected rewards at the start of an episode: [num_arms] float32."""
        raise self._missing("draw_means")

    def drifted(self, means: Array, change: Array) -> Array:
        """The expected rewards after a change of each, [num_arms]."""
        return means + change

    def pull(self, key: Array, mean: Array) -> Array:
        """A reward of an arm with this expected reward: [] float32."""
        raise self._missing("pull")

    def reset(self, key: Array) -> Arms:
        return Arms(self.draw_means(key), jnp.zeros(self.num_arms + 1))

    def step(self, key: Array, state: Arms, action: Array) -> tuple[Arms, Array, Array]:
        key_reward, key_drift = random.split(key)
        reward = self.pull(key_reward, state.means[action])
        change = self.drift * random.normal(key_drift, state.means.shape)
        seen = jnp.zeros_like(state.seen).at[action].set(1.0).at[-1].set(reward)
        return Arms(self.drifted(state.means, change), seen), reward, jnp.bool_(False)

    def observe(self, state: Arms) -> Array:
        return state.seen
