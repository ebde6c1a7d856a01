"""DeepSea, as in bsuite (Osband et al. 2020): dive to the bottom right corner, where the only treasure is."""

import jax.numpy as jnp
import numpy as np
from jax import Array

from envs.grids.drawing import draw_grid, text_grid
from jaxrl.environment import FiniteEnvironment, static, traced


class DeepSea(FiniteEnvironment):
    """A state is the index of the diver's cell in a size x size grid, counted row by row; size² is the end.

    Each step leads one row down, and one column to the left or to the right, as far as there is one. In each
    cell one of the two actions means right, drawn as bsuite draws it. A step to the right costs
    move_cost / size. The treasure of 1 is only found by `size` steps to the right, so a policy of random
    actions finds it with probability 2^-size. bsuite's stochastic variant, whose rewards have normally
    distributed noise, is not a finite environment and not included.
    """

    size: int = static(10, "cells along a side", low=2, high=1_000)
    move_cost: float = traced(0.01, "cost of as many steps to the right as the grid has columns")
    random_actions: bool = static(True, "whether the meaning of the actions is drawn; otherwise 1 is right")
    mapping_seed: int = static(42, "seed of the meaning of the actions", low=0, high=2**31 - 1)
    max_steps: int = traced(1_000, low=1)

    @property
    def num_states(self) -> int:
        return self.size**2 + 1

    @property
    def num_actions(self) -> int:
        return 2

    @property
    def solved_return(self) -> float:
        """The return of the only path to the treasure."""
        return float(1.0 - self.move_cost - 1e-4)  # float32 rounding

    def initial(self) -> np.ndarray:
        return np.eye(self.num_states)[0]

    def successor(self, state: Array, action: Array, outcome: Array) -> tuple[Array, Array, Array]:
        end = self.size**2
        row, column = state // self.size, state % self.size
        over = state == end
        right = action == jnp.asarray(self.right())[jnp.minimum(state, end - 1)]
        treasure = jnp.where((column == self.size - 1) & right, 1.0, 0.0)
        reward = treasure - jnp.where(right, self.move_cost / self.size, 0.0)
        following = jnp.clip(column + jnp.where(right, 1, -1), 0, self.size - 1)
        last = row >= self.size - 1
        successor = jnp.where(last, end, (row + 1) * self.size + following).astype(jnp.int32)
        return successor, jnp.where(over, 0.0, reward), last

    def right(self) -> np.ndarray:
        """The action that means right in each cell: [size²] int32."""
        if not self.random_actions:
            return np.ones(self.size**2, np.int32)
        rng = np.random.RandomState(self.mapping_seed)  # bsuite's generator, so the mapping is its own
        return rng.binomial(1, 0.5, self.size**2).astype(np.int32)

    @property
    def layout(self) -> np.ndarray:
        return np.arange(self.size**2).reshape(self.size, self.size)

    def symbol(self, state: int, action: int) -> str:
        return "↘" if action == self.right()[state] else "↙"

    def render(self, state: Array) -> np.ndarray:
        return draw_grid(self.rows(), min(int(state), self.size**2 - 1))

    def text(self, state: Array) -> str:
        return text_grid(self.rows(), int(state))

    def rows(self) -> list[str]:
        """The map as strings: S start, F water, G treasure."""
        cells = "S" + "F" * (self.size**2 - 2) + "G"
        return [cells[i : i + self.size] for i in range(0, len(cells), self.size)]
