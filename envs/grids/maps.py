"""Maps of letters, and moves from cell to cell."""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxrl.errors import InputError

# Row and column changes of the actions up, down, left, right.
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))


def require_map(world: str, rows: Sequence[str], letters: str, needed: Mapping[str, str]) -> None:
    """Raises InputError unless a map is a rectangle of these letters with each of those that are needed.

    `needed` says what a letter stands for.
    """
    cells = "".join(rows)
    if not cells or len({len(row) for row in rows}) != 1:
        raise InputError(f"a {world} map needs one row or more, all of equal length, got {rows}")
    if set(cells) - set(letters):
        known = ", ".join(letters[:-1]) + f" and {letters[-1]}"
        raise InputError(f"a {world} map is made of {known}, got {rows}")
    for letter, name in needed.items():
        if letter not in cells:
            raise InputError(f"a {world} map needs a {name} ({letter}), got {rows}")


def cells_of(rows: Sequence[str]) -> np.ndarray:
    """The letters of a map, row by row: [cells]."""
    return np.array(list("".join(rows)))


def neighbour(cell: Array, move: Array, height: int, width: int) -> Array:
    """The cell to which a change of row and column, [2], leads; at the map's edge the cell itself."""
    row = jnp.clip(cell // width + move[0], 0, height - 1)
    column = jnp.clip(cell % width + move[1], 0, width - 1)
    return row * width + column
