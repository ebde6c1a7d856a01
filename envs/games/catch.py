"""Catch, as in bsuite (Mnih et al. 2014; Osband et al. 2020): catch a ball with a paddle, from pixels."""

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from jaxrl.environment import Box, Discrete, Environment, draw_below, static, traced
from jaxrl.errors import InputError

PIXEL = 32  # of a picture, for each pixel of the observation


class State(struct.PyTreeNode):
    ball_row: Array  # [] int32, 0 at the top
    ball_column: Array  # [] int32
    paddle: Array  # [] int32, its column in the last row


class Catch(Environment):
    """Actions: 0 left, 1 stay, 2 right. The ball falls by one row each step, from a random column.

    In the last row, a ball that the paddle catches gives 1, a missed ball -1.
    """

    rows: int = static(10, "pixels from top to bottom", low=2)
    columns: int = static(5, "pixels from left to right", low=2)
    max_steps: int = traced(1_000, low=1)

    def validate(self) -> None:
        super().validate()
        if self.rows > self.max_steps:
            raise InputError(f"Catch.rows must be at most max_steps = {self.max_steps}, got {self.rows}")

    @property
    def observation_space(self) -> Box:
        """An image of one channel: 1 where the ball or the paddle is, else 0."""
        return Box(0.0, 1.0, (self.rows, self.columns, 1))

    @property
    def action_space(self) -> Discrete:
        return Discrete(3)

    @property
    def solved_return(self) -> float | None:
        """1 if the paddle can reach every ball in time."""
        return 1.0 if self.rows - 1 >= self.columns // 2 else None

    def reset(self, key: Array) -> State:
        return State(jnp.int32(0), draw_below(key, self.columns), jnp.int32(self.columns // 2))

    def step(self, key: Array, state: State, action: Array) -> tuple[State, Array, Array]:
        paddle = jnp.clip(state.paddle + jnp.asarray(action, jnp.int32) - 1, 0, self.columns - 1)
        state = State(state.ball_row + 1, state.ball_column, paddle)
        over = state.ball_row == self.rows - 1
        return state, jnp.where(over, jnp.where(paddle == state.ball_column, 1.0, -1.0), 0.0), over

    def observe(self, state: State) -> Array:
        row, column = jnp.arange(self.rows)[:, None, None], jnp.arange(self.columns)[:, None]
        ball = (row == state.ball_row) & (column == state.ball_column)
        paddle = (row == self.rows - 1) & (column == state.paddle)
        return jnp.where(ball | paddle, 1.0, 0.0)

    def render(self, state: State) -> np.ndarray:
        lit = np.asarray(self.observe(state))[:, :, 0] > 0
        pixels = np.where(lit[..., None], (238, 243, 248), (44, 62, 80)).astype(np.uint8)
        return pixels.repeat(PIXEL, axis=0).repeat(PIXEL, axis=1)

    def text(self, state: State) -> str:
        """The ball is ●, the paddle ▔; a caught ball hides the paddle."""
        letters = np.full((self.rows, self.columns), "·")
        letters[-1, int(state.paddle)] = "▔"
        letters[int(state.ball_row), int(state.ball_column)] = "●"
        return "\n".join(" ".join(row) for row in letters)
