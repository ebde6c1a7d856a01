"""The T-maze (Bakker 2002): a corridor, a cue at its start, and a junction where the cue is needed."""

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array, random

from envs.grids.drawing import draw_grid, text_grid
from jaxrl.environment import Discrete, Environment, traced
from jaxrl.errors import InputError

UP, DOWN, LEFT, RIGHT = range(4)  # actions; UP and DOWN are also the cues, and what is seen at the start
CORRIDOR, JUNCTION = 2, 3  # what is seen behind the start


class Maze(struct.PyTreeNode):
    """Where the agent stands, and where it should turn."""

    cell: Array  # [] int32, steps from the start
    cue: Array  # [] int32, UP or DOWN


class TMaze(Environment):
    """Walk `length` steps to the right and turn up or down there, as the cue at the start said.

    The start shows one of two cues, equally often. All cells of the corridor look alike, and so does the
    junction in every episode, where a step up or down ends the episode: with 4 if it is the way that the cue
    said, with -0.1 if not. A step against a wall costs 0.1. Rewards are Bakker's. A policy
    without memory turns the right way in at most half of the episodes, so its best mean return is 1.95.
    """

    length: int = traced(10, "steps from the start to the junction", low=1)
    max_steps: int = traced(500, low=1)

    def validate(self) -> None:
        super().validate()
        if self.length >= self.max_steps:
            raise InputError(f"TMaze.length must be below max_steps = {self.max_steps}, got {self.length}")

    @property
    def observation_space(self) -> Discrete:
        return Discrete(4)

    @property
    def action_space(self) -> Discrete:
        return Discrete(4)

    @property
    def solved_return(self) -> float:
        """The mean return of 95 % right turns."""
        return 3.795

    def reset(self, key: Array) -> Maze:
        return Maze(jnp.int32(0), random.randint(key, (), 0, 2))

    def step(self, key: Array, state: Maze, action: Array) -> tuple[Maze, Array, Array]:
        turned = (state.cell == self.length) & (action <= DOWN)
        moved = jnp.clip(state.cell + (action == RIGHT) - (action == LEFT), 0, self.length)
        bumped = (moved == state.cell) & ~turned
        reward = jnp.where(turned & (action == state.cue), 4.0, 0.0)
        reward = jnp.where(bumped | turned & (action != state.cue), -0.1, reward)
        return state.replace(cell=moved), reward, turned

    def observe(self, state: Maze) -> Array:
        behind = jnp.where(state.cell == self.length, JUNCTION, CORRIDOR)
        return jnp.where(state.cell == 0, state.cue, behind)

    def render(self, state: Maze) -> np.ndarray:
        return draw_grid(self.rows(state), self.place(state))

    def text(self, state: Maze) -> str:
        return text_grid(self.rows(state), self.place(state))

    def rows(self, state: Maze) -> list[str]:
        """The map as strings: S start, F corridor, W wall, G the right way, H the wrong one."""
        length, ends = int(self.length), "GH" if int(state.cue) == UP else "HG"
        return ["W" * length + ends[0], "S" + "F" * length, "W" * length + ends[1]]

    def place(self, state: Maze) -> int:
        """The index of the agent's cell in the map."""
        return int(self.length) + 1 + int(state.cell)
