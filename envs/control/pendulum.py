"""Pendulum, as in Gymnasium 1.x: swing a pendulum up with too little torque, and hold it there."""

import math

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array, random
from PIL import Image, ImageDraw

from jaxrl.environment import Box, Environment, bounds, traced


class State(struct.PyTreeNode):
    theta: Array  # [] rad in [-π, π), from upright
    theta_dot: Array  # [] rad/s


class Pendulum(Environment):
    """The action is the torque, [1] in N m. A step costs θ² + 0.1 θ_dot² + 0.001 torque².

    It never terminates.
    """

    gravity: float = traced(10.0, "acceleration of free fall, m/s²")
    mass: float = traced(1.0, "mass of the pendulum, kg", low=1e-6)
    length: float = traced(1.0, "length of the pendulum, m", low=1e-6)
    time_step: float = traced(0.05, "duration of one Euler step, s", low=0)
    max_speed: float = traced(8.0, "speed limit of the rotation, rad/s", low=0)
    max_torque: float = traced(2.0, "torque to which an action is clipped, N m", low=0)
    max_steps: int = traced(200, low=1)

    @property
    def observation_space(self) -> Box:
        """cos θ, sin θ, θ_dot."""
        high = bounds(1.0, 1.0, self.max_speed)
        return Box(-high, high, (3,))

    @property
    def action_space(self) -> Box:
        return Box(-self.max_torque, self.max_torque, (1,))

    def reset(self, key: Array) -> State:
        theta, theta_dot = random.uniform(key, (2,), minval=-1.0, maxval=1.0)
        return State(math.pi * theta, theta_dot)

    def step(self, key: Array, state: State, action: Array) -> tuple[State, Array, Array]:
        torque = jnp.clip(action[0], -self.max_torque, self.max_torque)
        cost = state.theta**2 + 0.1 * state.theta_dot**2 + 0.001 * torque**2
        fall = 3 * self.gravity / (2 * self.length) * jnp.sin(state.theta)
        theta_acc = fall + 3 * torque / (self.mass * self.length**2)
        theta_dot = state.theta_dot + theta_acc * self.time_step
        theta_dot = jnp.clip(theta_dot, -self.max_speed, self.max_speed)
        state = State(wrapped(state.theta + theta_dot * self.time_step), theta_dot)
        return state, -cost, jnp.bool_(False)

    def observe(self, state: State) -> Array:
        return jnp.stack([jnp.cos(state.theta), jnp.sin(state.theta), state.theta_dot])

    def heuristic(self, obs: Array) -> Array:
        """Pumps energy until it is that of standing upright (Åström & Furuta 2000), then holds it there.

        Near the top, a critically damped spring of twice gravity's stiffness holds the pendulum.
        """
        cos, sin, theta_dot = obs
        weight, inertia = self.mass * self.gravity * self.length, self.mass * self.length**2 / 3
        energy = inertia * theta_dot**2 / 2 + weight / 2 * (cos - 1)  # J, 0 when it stands upright
        pumping = self.max_torque * jnp.where((energy < 0) == (theta_dot >= 0), 1.0, -1.0)
        damping = jnp.sqrt(2 * inertia * weight)
        holding = -weight * jnp.arctan2(sin, cos) - damping * theta_dot
        torque = jnp.where(cos > 0.8, holding, pumping)
        return jnp.clip(torque, -self.max_torque, self.max_torque)[None]

    def render(self, state: State) -> np.ndarray:
        size = 500
        image = Image.new("RGB", (size, size), "white")
        pen = ImageDraw.Draw(image)
        centre, reach = size / 2, 0.4 * size
        tip = (centre + reach * math.sin(-state.theta), centre - reach * math.cos(state.theta))
        pen.line((centre, centre, *tip), fill=(204, 77, 77), width=36)
        for x, y in ((centre, centre), tip):
            pen.ellipse((x - 18, y - 18, x + 18, y + 18), fill=(204, 77, 77))
        pen.ellipse((centre - 8, centre - 8, centre + 8, centre + 8), fill=(30, 30, 30))
        return np.asarray(image)


def wrapped(angle: Array) -> Array:
    """The same angle in [-π, π)."""
    return (angle + math.pi) % (2 * math.pi) - math.pi
