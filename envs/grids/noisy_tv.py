"""NoisyTV: a maze with a television, which distracts curious agents (Burda et al. 2019)."""

import jax.numpy as jnp
import numpy as np
from jax import Array

from envs.grids.drawing import draw_grid, text_grid
from envs.grids.maps import MOVES, cells_of, neighbour, require_map
from jaxrl.environment import FiniteEnvironment, static, traced
from jaxrl.errors import InputError

MAP = (
    "FFFFFFF",
    "FWWWWWF",
    "SWWWWWF",
    "FWWWWWF",
    "TWWWWWG",
)
WATCH = len(MOVES)


class NoisyTV(FiniteEnvironment):
    """A state is the index of the agent's cell, counted row by row; then come the pictures of the television.

    Actions: 0 up, 1 down, 2 left, 3 right, 4 watch. In the cell of the television, watching shows a picture
    that is drawn uniformly; elsewhere it does nothing. The goal gives 1, and nothing else gives anything. An
    agent that looks for what it has seldom seen, or cannot predict, stays with the television.
    """

    rows: tuple[str, ...] = static(MAP, "the map: S start, F free, W wall, T television, G goal")
    pictures: int = static(256, "pictures of the television", low=1)
    max_steps: int = traced(100, low=1)

    def validate(self) -> None:
        super().validate()
        require_map("NoisyTV", self.rows, "SFWTG", {"S": "start", "T": "television", "G": "goal"})
        if "".join(self.rows).count("T") > 1:
            raise InputError(f"a NoisyTV map has one television (T), got {self.rows}")

    @property
    def num_cells(self) -> int:
        return len(self.rows) * len(self.rows[0])

    @property
    def num_states(self) -> int:
        return self.num_cells + self.pictures

    @property
    def num_actions(self) -> int:
        return len(MOVES) + 1

    @property
    def solved_return(self) -> float:
        """The goal's reward."""
        return 1.0

    def initial(self) -> np.ndarray:
        starts = np.append(cells_of(self.rows) == "S", np.zeros(self.pictures))
        return starts / starts.sum()

    def outcomes(self) -> np.ndarray:
        """The picture that the television shows next."""
        return np.full(self.pictures, 1 / self.pictures)

    def successor(self, state: Array, action: Array, outcome: Array) -> tuple[Array, Array, Array]:
        wall, goal = (jnp.asarray(cells_of(self.rows) == letter) for letter in "WG")
        cell = jnp.where(state < self.num_cells, state, self.television)
        moves = jnp.asarray((*MOVES, (0, 0)))
        ahead = neighbour(cell, moves[action], len(self.rows), len(self.rows[0]))
        over = goal[cell]
        moved = jnp.where(over | wall[ahead], cell, ahead)
        watches = (action == WATCH) & (cell == self.television)
        successor = jnp.where(watches, self.num_cells + outcome, moved).astype(jnp.int32)
        return successor, jnp.where(goal[moved] & ~over, 1.0, 0.0), goal[moved]

    @property
    def television(self) -> int:
        """The television's cell."""
        return "".join(self.rows).index("T")

    @property
    def layout(self) -> np.ndarray:
        return np.arange(self.num_cells).reshape(len(self.rows), -1)

    def symbol(self, state: int, action: int) -> str:
        return "↑↓←→•"[action]

    def render(self, state: Array) -> np.ndarray:
        picture = draw_grid(self.rows, self.cell(state)).copy()
        if int(state) >= self.num_cells:
            picture[:8] = np.random.default_rng(int(state)).integers(256, size=(8, picture.shape[1], 3))
        return picture

    def text(self, state: Array) -> str:
        shown = f"picture {int(state) - self.num_cells}" if int(state) >= self.num_cells else "no picture"
        return f"{text_grid(self.rows, self.cell(state))}\n{shown}"

    def cell(self, state: Array) -> int:
        """The agent's cell."""
        return self.television if int(state) >= self.num_cells else int(state)
