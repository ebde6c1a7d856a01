"""GridWorld: go from the top left of an open square to its bottom right. Every step has a small cost."""

import jax.numpy as jnp
import numpy as np
from jax import Array

from envs.grids.drawing import draw_grid, text_grid
from envs.grids.maps import MOVES, neighbour
from jaxrl.environment import FiniteEnvironment, static, traced


class GridWorld(FiniteEnvironment):
    """A state is the index of the agent's cell in a size x size grid, counted row by row.

    Actions: 0 up, 1 down, 2 left, 3 right. A step into the wall leaves the agent where it is.
    """

    size: int = static(4, "cells along a side", low=2, high=1_000)
    goal_reward: float = traced(10.0, "reward for reaching the goal")
    wall_reward: float = traced(-1.0, "reward for a step into the wall")
    step_reward: float = traced(-0.1, "reward for any other step")
    max_steps: int = traced(100, low=1)

    @property
    def num_states(self) -> int:
        return self.size**2

    @property
    def num_actions(self) -> int:
        return len(MOVES)

    @property
    def solved_return(self) -> float:
        shortest = 2 * (self.size - 1)
        return float(self.goal_reward + self.step_reward * (shortest - 1) - 1e-4)  # float32 rounding

    def initial(self) -> np.ndarray:
        return np.eye(self.num_states)[0]

    def successor(self, state: Array, action: Array, outcome: Array) -> tuple[Array, Array, Array]:
        goal = self.num_states - 1
        ahead = neighbour(state, jnp.asarray(MOVES)[action], self.size, self.size)
        successor = jnp.where(state == goal, goal, ahead)
        moved = jnp.where(successor == state, self.wall_reward, self.step_reward)
        arrived = jnp.where(state == goal, 0.0, self.goal_reward)
        reward = jnp.where(successor == goal, arrived, moved)
        return successor.astype(jnp.int32), reward.astype(jnp.float32), successor == goal

    def potential(self, state: Array) -> Array:
        """`step_reward` for each step of a shortest path from here."""
        distance = 2 * (self.size - 1) - state // self.size - state % self.size
        return self.step_reward * distance

    @property
    def layout(self) -> np.ndarray:
        return np.arange(self.num_states).reshape(self.size, self.size)

    def symbol(self, state: int, action: int) -> str:
        return "↑↓←→"[action]

    def render(self, state: Array) -> np.ndarray:
        return draw_grid(self.rows(), int(state))

    def text(self, state: Array) -> str:
        return text_grid(self.rows(), int(state))

    def rows(self) -> list[str]:
        """The map as strings: S start, F free, G goal."""
        cells = "S" + "F" * (self.num_states - 2) + "G"
        return [cells[i : i + self.size] for i in range(0, len(cells), self.size)]
