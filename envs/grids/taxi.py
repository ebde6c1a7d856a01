"""Taxi, as in Gymnasium 1.x (Dietterich 2000): fetch a passenger and bring them to their destination."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from envs.grids.drawing import draw_grid, text_grid
from jaxrl.environment import FiniteEnvironment, traced

SIZE = 5
STANDS = ((0, 0), (0, 4), (4, 0), (4, 3))  # row and column of the stands R, G, Y, B
IN_TAXI = len(STANDS)  # the passenger's place while they ride
MAP = (
    "|R: | : :G|",
    "| : | : : |",
    "| : : : : |",
    "| | : | : |",
    "|Y| : |B: |",
)  # the taxi can pass a ':' between two cells, but not a '|'
# Row and column changes of the actions south, north, east, west; pickup and dropoff stay.
MOVES = ((1, 0), (-1, 0), (0, 1), (0, -1), (0, 0), (0, 0))
PICKUP, DROPOFF = 4, 5


class Taxi(FiniteEnvironment):
    """A state is ((row * 5 + column) * 5 + passenger) * 4 + destination; passenger 4 rides in the taxi.

    Actions: 0 south, 1 north, 2 east, 3 west, 4 pickup, 5 dropoff. A step gives -1, an impossible pickup or
    dropoff -10, the delivery 20.
    """

    max_steps: int = traced(200, low=1)

    @property
    def num_states(self) -> int:
        return SIZE * SIZE * (len(STANDS) + 1) * len(STANDS)

    @property
    def num_actions(self) -> int:
        return len(MOVES)

    @property
    def solved_return(self) -> float:
        """Gymnasium's threshold; the optimum is 7.93 on average."""
        return 8.0

    def initial(self) -> np.ndarray:
        _, _, passenger, destination = decoded(np.arange(self.num_states))
        possible = (passenger != IN_TAXI) & (passenger != destination)
        return possible / possible.sum()

    def successor(self, state: Array, action: Array, outcome: Array) -> tuple[Array, Array, Array]:
        row, column, passenger, destination = decoded(state)
        over = passenger == destination  # only after a delivery
        stand = jnp.argmax(jnp.asarray([(row == r) & (column == c) for r, c in STANDS] + [True]))
        riding = passenger == IN_TAXI

        picks = (action == PICKUP) & (stand == passenger) & (stand < IN_TAXI)
        drops = (action == DROPOFF) & riding & (stand < IN_TAXI)
        delivers = drops & (stand == destination)
        refused = ((action == PICKUP) & ~picks) | ((action == DROPOFF) & ~drops)
        passenger = jnp.where(picks, IN_TAXI, jnp.where(drops, stand, passenger))
        move = jnp.asarray(MOVES)[action] * jnp.asarray(passable())[row, column, action]
        successor = encoded(row + move[0], column + move[1], passenger, destination)
        reward = jnp.where(delivers, 20.0, jnp.where(refused, -10.0, -1.0))
        successor = jnp.where(over, state, successor).astype(jnp.int32)
        return successor, jnp.where(over, 0.0, reward), over | delivers

    def symbol(self, state: int, action: int) -> str:
        return "↓↑→←PD"[action]

    def render(self, state: Array) -> np.ndarray:
        return draw_grid(self.rows(state), self.cell(state))

    def text(self, state: Array) -> str:
        return text_grid(self.rows(state), self.cell(state))

    def rows(self, state: Array) -> list[str]:
        """The map as strings: S the waiting passenger, G the destination, F any other cell."""
        _, _, passenger, destination = (int(part) for part in decoded(state))
        cells = np.full((SIZE, SIZE), "F")
        cells[STANDS[destination]] = "G"
        if passenger != IN_TAXI:
            cells[STANDS[passenger]] = "S"
        return ["".join(row) for row in cells]

    def cell(self, state: Array) -> int:
        """The taxi's cell, row by row."""
        row, column, _, _ = decoded(state)
        return int(row * SIZE + column)


def encoded(row: Array, column: Array, passenger: Array, destination: Array) -> Array:
    """The state with these four parts."""
    return ((row * SIZE + column) * (len(STANDS) + 1) + passenger) * len(STANDS) + destination


def decoded(state: Any) -> tuple[Any, Any, Any, Any]:
    """Row, column, passenger and destination of a state, or of a numpy or jax array of states."""
    rest, destination = state // len(STANDS), state % len(STANDS)
    rest, passenger = rest // (len(STANDS) + 1), rest % (len(STANDS) + 1)
    return rest // SIZE, rest % SIZE, passenger, destination


def passable() -> np.ndarray:
    """Whether the taxi can move from a cell by an action: [row, column, action] bool."""
    table = np.zeros((SIZE, SIZE, len(MOVES)), bool)
    table[:-1, :, 0] = table[1:, :, 1] = True
    for row in range(SIZE):
        for column in range(SIZE):
            table[row, column, 2] = MAP[row][2 * column + 2] == ":"
            table[row, column, 3] = MAP[row][2 * column] == ":"
    return table
