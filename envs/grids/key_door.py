"""KeyDoor: fetch a key, open a door with it and find the goal. There is no other reward on the way."""

import jax.numpy as jnp
import numpy as np
from jax import Array

from envs.grids.drawing import draw_grid, text_grid
from envs.grids.maps import MOVES, cells_of, neighbour, require_map
from jaxrl.environment import FiniteEnvironment, static, traced
from jaxrl.errors import InputError

MAP = (
    "SFFFWFFG",
    "FFFFWFFF",
    "FFFFWFFF",
    "FFFFDFFF",
    "FFFFWFFF",
    "FFFFWFFF",
    "FFFFWFFF",
    "KFFFWFFF",
)


class KeyDoor(FiniteEnvironment):
    """A state is the index of the agent's cell, counted row by row, plus the number of cells with the key.

    Actions: 0 up, 1 down, 2 left, 3 right. Walls, the map's edge, and doors without the key leave the agent
    where it is. One key opens all doors. The goal gives 1, and nothing else gives anything.
    """

    rows: tuple[str, ...] = static(MAP, "the map: S start, F free, W wall, K key, D door, G goal")
    max_steps: int = traced(200, low=1)

    def validate(self) -> None:
        super().validate()
        require_map("KeyDoor", self.rows, "SFWKDG", {"S": "start", "G": "goal"})
        if "D" in "".join(self.rows) and "K" not in "".join(self.rows):
            raise InputError(f"a KeyDoor map with a door (D) needs a key (K), got {self.rows}")

    @property
    def num_cells(self) -> int:
        return len(self.rows) * len(self.rows[0])

    @property
    def num_states(self) -> int:
        return 2 * self.num_cells

    @property
    def num_actions(self) -> int:
        return len(MOVES)

    @property
    def solved_return(self) -> float:
        """The goal's reward."""
        return 1.0

    def initial(self) -> np.ndarray:
        starts = np.append(cells_of(self.rows) == "S", np.zeros(self.num_cells))
        return starts / starts.sum()

    def successor(self, state: Array, action: Array, outcome: Array) -> tuple[Array, Array, Array]:
        wall, key, door, goal = (jnp.asarray(cells_of(self.rows) == letter) for letter in "WKDG")
        cell, carries = state % self.num_cells, state >= self.num_cells
        ahead = neighbour(cell, jnp.asarray(MOVES)[action], len(self.rows), len(self.rows[0]))
        over = goal[cell]
        stays = over | wall[ahead] | (door[ahead] & ~carries)
        cell = jnp.where(stays, cell, ahead)
        successor = cell + self.num_cells * (carries | key[cell])
        return successor.astype(jnp.int32), jnp.where(goal[cell] & ~over, 1.0, 0.0), goal[cell]

    @property
    def layout(self) -> np.ndarray:
        """The cells without the key, above those with it."""
        return np.arange(self.num_states).reshape(2 * len(self.rows), -1)

    def symbol(self, state: int, action: int) -> str:
        return "↑↓←→"[action]

    def render(self, state: Array) -> np.ndarray:
        return draw_grid(self.seen(state), int(state) % self.num_cells)

    def text(self, state: Array) -> str:
        return text_grid(self.seen(state), int(state) % self.num_cells)

    def seen(self, state: Array) -> list[str]:
        """The map, where keys and doors are gone once the agent has the key."""
        opened = int(state) >= self.num_cells
        return [row.replace("K", "F").replace("D", "F") if opened else row for row in self.rows]
