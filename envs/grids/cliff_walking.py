"""CliffWalking, as in Gymnasium 1.x (Sutton & Barto, example 6.6): along a cliff to the other end."""

import jax.numpy as jnp
import numpy as np
from jax import Array

from envs.grids.drawing import draw_grid, text_grid
from envs.grids.maps import neighbour
from jaxrl.environment import FiniteEnvironment, traced

ROWS = ("FFFFFFFFFFFF", "FFFFFFFFFFFF", "FFFFFFFFFFFF", "SHHHHHHHHHHG")  # H is the cliff
HEIGHT, WIDTH = len(ROWS), len(ROWS[0])
START, GOAL = (HEIGHT - 1) * WIDTH, HEIGHT * WIDTH - 1
# Row and column changes of the actions up, right, down, left.
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))


class CliffWalking(FiniteEnvironment):
    """Actions: 0 up, 1 right, 2 down, 3 left. A step gives -1; the cliff gives -100 and leads to the start.

    On slippery ground the agent moves as intended or to either side, each with probability 1/3. Gymnasium
    has no time limit; this environment has one, so that every evaluation ends.
    """

    is_slippery: bool = traced(False, "whether the agent moves to either side with probability 1/3 each")
    max_steps: int = traced(1_000, low=1)

    @property
    def num_states(self) -> int:
        return HEIGHT * WIDTH

    @property
    def num_actions(self) -> int:
        return len(MOVES)

    @property
    def solved_return(self) -> float:
        """The return of the shortest path. Slippery ground allows less."""
        return -(WIDTH + 1.0)

    def initial(self) -> np.ndarray:
        return np.eye(self.num_states)[START]

    def outcomes(self) -> Array:
        """The agent moves by the action before the intended one, by the intended one, or by the next one."""
        slip = jnp.where(self.is_slippery, 1 / 3, 0.0)
        return jnp.stack([slip, 1 - 2 * slip, slip])

    def successor(self, state: Array, action: Array, outcome: Array) -> tuple[Array, Array, Array]:
        move = jnp.asarray(MOVES)[(action + outcome - 1) % len(MOVES)]
        cell = neighbour(state, move, HEIGHT, WIDTH)
        fallen = (cell > START) & (cell < GOAL)
        over = state == GOAL
        successor = jnp.where(over, GOAL, jnp.where(fallen, START, cell)).astype(jnp.int32)
        reward = jnp.where(over, 0.0, jnp.where(fallen, -100.0, -1.0))
        return successor, reward, successor == GOAL

    @property
    def layout(self) -> np.ndarray:
        return np.arange(self.num_states).reshape(HEIGHT, WIDTH)

    def symbol(self, state: int, action: int) -> str:
        return "↑→↓←"[action]

    def render(self, state: Array) -> np.ndarray:
        return draw_grid(ROWS, int(state))

    def text(self, state: Array) -> str:
        return text_grid(ROWS, int(state))
