"""FrozenLake, as in Gymnasium 1.x: cross the ice to the goal without falling into a hole."""

import jax.numpy as jnp
import numpy as np
from jax import Array

from envs.grids.drawing import draw_grid, text_grid
from envs.grids.maps import cells_of, neighbour, require_map
from jaxrl.environment import FiniteEnvironment, static, traced
from jaxrl.errors import InputError

MAP_4X4 = ("SFFF", "FHFH", "FFFH", "HFFG")
MAP_8X8 = (
    "SFFFFFFF",
    "FFFFFFFF",
    "FFFHFFFF",
    "FFFFFHFF",
    "FFFHFFFF",
    "FHHFFFHF",
    "FHFFHFHF",
    "FFFHFFFG",
)
# Row and column changes of the actions left, down, right, up.
MOVES = ((0, -1), (1, 0), (0, 1), (-1, 0))
MAP_DRAWS = 1_000  # maps that random_map tries


class FrozenLake(FiniteEnvironment):
    """A state is the index of the agent's cell, counted row by row.

    Actions: 0 left, 1 down, 2 right, 3 up. On slippery ice the agent moves as intended with probability
    `success_rate`, otherwise to either side with equal probability. The goal gives 1, every other cell 0.
    """

    rows: tuple[str, ...] = static(MAP_4X4, "the map: S start, F frozen, H hole, G goal")
    is_slippery: bool = traced(True, "whether the agent may slip to a side")
    success_rate: float = traced(1 / 3, "probability of the intended move on slippery ice", low=0, high=1)
    max_steps: int = traced(100, low=1)

    def validate(self) -> None:
        super().validate()
        require_map("FrozenLake", self.rows, "SFHG", {"S": "start", "G": "goal"})

    @property
    def num_states(self) -> int:
        return len(self.rows) * len(self.rows[0])

    @property
    def num_actions(self) -> int:
        return len(MOVES)

    @property
    def solved_return(self) -> float | None:
        """Gymnasium's thresholds for the two standard maps; other maps have none."""
        return {MAP_4X4: 0.70, MAP_8X8: 0.85}.get(self.rows)

    def initial(self) -> np.ndarray:
        starts = self.cells() == "S"
        return starts / starts.sum()

    def outcomes(self) -> Array:
        """The agent moves by the action before the intended one, by the intended one, or by the next one."""
        success = jnp.where(self.is_slippery, self.success_rate, 1.0)
        slip = (1.0 - success) / 2
        return jnp.stack([slip, success, slip])

    def successor(self, state: Array, action: Array, outcome: Array) -> tuple[Array, Array, Array]:
        height, width = len(self.rows), len(self.rows[0])
        move = jnp.asarray(MOVES)[(action + outcome - 1) % len(MOVES)]
        ahead = neighbour(state, move, height, width)
        goal, hole = jnp.asarray(self.cells() == "G"), jnp.asarray(self.cells() == "H")
        over = goal[state] | hole[state]
        successor = jnp.where(over, state, ahead).astype(jnp.int32)
        reward = jnp.where(goal[successor] & ~over, 1.0, 0.0)
        return successor, reward, goal[successor] | hole[successor]

    @property
    def layout(self) -> np.ndarray:
        return np.arange(self.num_states).reshape(len(self.rows), -1)

    def symbol(self, state: int, action: int) -> str:
        return "←↓→↑"[action]

    def render(self, state: Array) -> np.ndarray:
        return draw_grid(self.rows, int(state))

    def text(self, state: Array) -> str:
        return text_grid(self.rows, int(state))

    def cells(self) -> np.ndarray:
        """The map's letters: [num_states]."""
        return cells_of(self.rows)


def random_map(size: int, rng: np.random.Generator, frozen: float = 0.8) -> tuple[str, ...]:
    """A random size x size map whose goal can be reached. `frozen` is the probability of a frozen cell.

    Raises InputError for a size below 2, a probability outside (0, 1], or a probability so low that none of
    MAP_DRAWS maps can be crossed.
    """
    if not isinstance(size, int) or size < 2:
        raise InputError(f"a random map needs an integer size of at least 2, got {size!r}")
    if not 0 < frozen <= 1:
        raise InputError(f"the probability of a frozen cell must be in (0, 1], got {frozen}")
    for _ in range(MAP_DRAWS):
        free = rng.random((size, size)) < frozen
        free[0, 0] = free[-1, -1] = True
        if _connected(free):
            letters = np.where(free, "F", "H")
            letters[0, 0], letters[-1, -1] = "S", "G"
            return tuple("".join(row) for row in letters)
    raise InputError(
        f"none of {MAP_DRAWS:,} random maps of size {size} could be crossed; frozen must be above {frozen}"
    )


def _connected(free: np.ndarray) -> bool:
    """Whether a path of free cells joins the first cell and the last."""
    reached = np.zeros_like(free)
    frontier = [(0, 0)]
    while frontier:
        row, column = frontier.pop()
        inside = 0 <= row < free.shape[0] and 0 <= column < free.shape[1]
        if inside and free[row, column] and not reached[row, column]:
            reached[row, column] = True
            frontier += [(row + down, column + right) for down, right in MOVES]
    return bool(reached[-1, -1])
