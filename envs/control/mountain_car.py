"""MountainCar and its continuous form, as in Gymnasium 1.x (Moore 1990): drive a weak car up a hill."""

import math

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array, random
from PIL import Image, ImageDraw

from jaxrl.environment import Box, Discrete, Environment, Space, bounds, traced


class State(struct.PyTreeNode):
    position: Array  # [], horizontal
    velocity: Array  # [], per step


class MountainCar(Environment):
    """Actions: 0 accelerates to the left, 1 not at all, 2 to the right. Every step gives -1."""

    gravity: float = traced(0.0025, "gravity, in velocity per step")
    force: float = traced(0.001, "push of an action, in velocity per step")
    min_position: float = traced(-1.2, "left end of the track, a wall")
    max_position: float = traced(0.6, "right end of the track")
    max_speed: float = traced(0.07, "speed limit, per step", low=0)
    goal_position: float = traced(0.5, "position from which the car has arrived")
    goal_velocity: float = traced(0.0, "velocity that arriving needs")
    max_steps: int = traced(200, low=1)

    @property
    def observation_space(self) -> Box:
        """position, velocity."""
        low = bounds(self.min_position, -self.max_speed)
        return Box(low, bounds(self.max_position, self.max_speed), (2,))

    @property
    def action_space(self) -> Space:
        return Discrete(3)

    @property
    def solved_return(self) -> float:
        """Gymnasium's threshold."""
        return -110.0

    def reset(self, key: Array) -> State:
        return State(random.uniform(key, minval=-0.6, maxval=-0.4), jnp.float32(0))

    def step(self, key: Array, state: State, action: Array) -> tuple[State, Array, Array]:
        state = self.accelerated(state, (action - 1) * self.force)
        return state, jnp.float32(-1), self.arrived(state)

    def observe(self, state: State) -> Array:
        return jnp.stack([state.position, state.velocity])

    def accelerated(self, state: State, push: Array) -> State:
        """The state after a step with this push and the slope."""
        slope = self.gravity * jnp.cos(3 * state.position)
        velocity = jnp.clip(state.velocity + push - slope, -self.max_speed, self.max_speed)
        position = jnp.clip(state.position + velocity, self.min_position, self.max_position)
        against_wall = (position == self.min_position) & (velocity < 0)
        return State(position, jnp.where(against_wall, 0.0, velocity))

    def arrived(self, state: State) -> Array:
        """Whether the car is at the goal and fast enough: [] bool."""
        return (state.position >= self.goal_position) & (state.velocity >= self.goal_velocity)

    def heuristic(self, obs: Array) -> Array:
        """Pushes the way the car moves, which adds energy in every step."""
        return jnp.where(obs[1] < 0, 0, 2)

    def render(self, state: State) -> np.ndarray:
        width, height = 600, 400
        image = Image.new("RGB", (width, height), "white")
        pen = ImageDraw.Draw(image)
        scale = width / (float(self.max_position) - float(self.min_position))

        def pixel(position: float) -> tuple[float, float]:
            hill = math.sin(3 * position) * 0.45 + 0.55
            return (position - float(self.min_position)) * scale, height - hill * scale

        track = np.linspace(float(self.min_position), float(self.max_position), 100)
        pen.line([pixel(x) for x in track], fill=(120, 120, 120), width=2)
        x, y = pixel(float(self.goal_position))
        pen.line((x, y, x, y - 50), fill=(72, 160, 96), width=3)
        pen.polygon((x, y - 50, x, y - 35, x + 25, y - 42), fill=(72, 160, 96))
        x, y = pixel(float(state.position))
        pen.ellipse((x - 14, y - 26, x + 14, y + 2), fill=(214, 96, 52))
        return np.asarray(image)


class MountainCarContinuous(MountainCar):
    """The action is the acceleration, [1] in [-1, 1]. Costs 0.1 action² a step; the goal gives 100."""

    force: float = traced(0.0015)
    goal_position: float = traced(0.45)
    max_steps: int = traced(999, low=1)

    @property
    def action_space(self) -> Space:
        return Box(-1.0, 1.0, (1,))

    @property
    def solved_return(self) -> float:
        """Gymnasium's threshold."""
        return 90.0

    def step(self, key: Array, state: State, action: Array) -> tuple[State, Array, Array]:
        state = self.accelerated(state, jnp.clip(action[0], -1.0, 1.0) * self.force)
        arrived = self.arrived(state)
        return state, jnp.where(arrived, 100.0, 0.0) - 0.1 * action[0] ** 2, arrived

    def heuristic(self, obs: Array) -> Array:
        return jnp.where(obs[1] < 0, -1.0, 1.0)[None]
