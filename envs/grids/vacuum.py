"""Vacuum: rooms in a row that a vacuum cleaner keeps clean (Russell & Norvig, chapter 2)."""

import jax.numpy as jnp
import numpy as np
from jax import Array

from envs.grids.drawing import draw_grid, text_grid
from jaxrl.environment import FiniteEnvironment, static, traced

LEFT, RIGHT, SUCK = range(3)


class Vacuum(FiniteEnvironment):
    """A state is room * 2^rooms + dirt, where bit i of `dirt` says whether room i is dirty.

    Actions: 0 left, 1 right, 2 suck. Each step gives 1 for each room that is clean after it. The start is
    uniform over all states, and nothing terminates.
    """

    rooms: int = static(2, "rooms in a row", low=1, high=8)
    dirt_rate: float = traced(0.0, "probability that dirt falls into a room in a step", low=0, high=1)
    move_cost: float = traced(0.0, "cost of a step to the left or to the right")
    max_steps: int = traced(1_000, low=1)

    @property
    def num_states(self) -> int:
        return self.rooms * 2**self.rooms

    @property
    def num_actions(self) -> int:
        return 3

    def initial(self) -> np.ndarray:
        return np.full(self.num_states, 1 / self.num_states)

    def outcomes(self) -> Array:
        """Into which rooms dirt falls, as bits."""
        falls = jnp.asarray(bits(np.arange(2**self.rooms), self.rooms))
        return jnp.prod(jnp.where(falls == 1, self.dirt_rate, 1 - self.dirt_rate), axis=-1)

    def successor(self, state: Array, action: Array, outcome: Array) -> tuple[Array, Array, Array]:
        room, dirt = state // 2**self.rooms, state % 2**self.rooms
        cleaned = jnp.where(action == SUCK, dirt & ~(1 << room), dirt) | outcome
        change = jnp.asarray([-1, 1, 0])[action]
        room = jnp.clip(room + change, 0, self.rooms - 1)
        clean = self.rooms - jnp.sum(bits(cleaned, self.rooms))
        successor = room * 2**self.rooms + cleaned
        return successor, clean - jnp.where(action == SUCK, 0.0, self.move_cost), jnp.bool_(False)

    def symbol(self, state: int, action: int) -> str:
        return "←→s"[action]

    def render(self, state: Array) -> np.ndarray:
        return draw_grid([self.row(state)], int(state) // 2**self.rooms)

    def text(self, state: Array) -> str:
        return text_grid([self.row(state)], int(state) // 2**self.rooms)

    def row(self, state: Array) -> str:
        """The rooms as letters: F free of dirt, H dirty."""
        dirt = bits(np.asarray(int(state) % 2**self.rooms), self.rooms)
        return "".join("FH"[each] for each in dirt)


def bits(number: Array | np.ndarray, count: int) -> Array | np.ndarray:
    """The lowest `count` bits of numbers [...], the lowest first: [..., count]."""
    return (number[..., None] >> np.arange(count)) & 1
