"""CartPole, as in Gymnasium 1.x (Barto, Sutton & Anderson 1983): balance a pole on a cart."""

import math

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array, random
from PIL import Image, ImageDraw

from jaxrl.environment import Box, Discrete, Environment, bounds, traced


class State(struct.PyTreeNode):
    x: Array  # [] m, position of the cart
    x_dot: Array  # [] m/s
    theta: Array  # [] rad, angle of the pole from upright
    theta_dot: Array  # [] rad/s


class CartPole(Environment):
    """Actions: 0 pushes the cart to the left, 1 to the right. Every step gives 1."""

    gravity: float = traced(9.8, "acceleration of free fall, m/s²")
    cart_mass: float = traced(1.0, "mass of the cart, kg", low=1e-6)
    pole_mass: float = traced(0.1, "mass of the pole, kg", low=1e-6)
    pole_length: float = traced(0.5, "half the pole's full length, m", low=1e-6)
    force: float = traced(10.0, "force of a push, N")
    time_step: float = traced(0.02, "duration of one Euler step, s", low=0)
    x_limit: float = traced(2.4, "position of the cart beyond which the episode terminates, m", low=1e-6)
    theta_limit: float = traced(
        12 * math.pi / 180, "angle of the pole beyond which the episode terminates, rad", low=0
    )
    reset_range: float = traced(0.05, "bound of each state variable at the start, ±", low=0)
    max_steps: int = traced(500, low=1)

    @property
    def observation_space(self) -> Box:
        """x, x_dot, theta, theta_dot. Terminal observations lie within twice the limits."""
        unbounded = math.inf
        high = bounds(2 * self.x_limit, unbounded, 2 * self.theta_limit, unbounded)
        return Box(-high, high, (4,))

    @property
    def action_space(self) -> Discrete:
        return Discrete(2)

    @property
    def solved_return(self) -> float:
        """Gymnasium's threshold."""
        return 475.0

    def reset(self, key: Array) -> State:
        start = random.uniform(key, (4,), minval=-self.reset_range, maxval=self.reset_range)
        return State(*start)

    def step(self, key: Array, state: State, action: Array) -> tuple[State, Array, Array]:
        """The equations of motion without friction (Florian 2007, eq. 23 and 24), one Euler step."""
        total_mass = self.cart_mass + self.pole_mass
        moment = self.pole_mass * self.pole_length
        sin, cos = jnp.sin(state.theta), jnp.cos(state.theta)
        force = jnp.where(action == 1, self.force, -self.force)
        push = (force + moment * state.theta_dot**2 * sin) / total_mass
        inertia = self.pole_length * (4 / 3 - self.pole_mass * cos**2 / total_mass)
        theta_acc = (self.gravity * sin - cos * push) / inertia
        x_acc = push - moment * theta_acc * cos / total_mass
        state = State(
            x=state.x + self.time_step * state.x_dot,
            x_dot=state.x_dot + self.time_step * x_acc,
            theta=state.theta + self.time_step * state.theta_dot,
            theta_dot=state.theta_dot + self.time_step * theta_acc,
        )
        terminated = (jnp.abs(state.x) > self.x_limit) | (jnp.abs(state.theta) > self.theta_limit)
        return state, jnp.float32(1), terminated

    def observe(self, state: State) -> Array:
        return jnp.stack([state.x, state.x_dot, state.theta, state.theta_dot])

    def heuristic(self, obs: Array) -> Array:
        """Pushes the cart towards the side to which the pole would fall if the cart stood still.

        That is the sign of ωθ + θ_dot, the growing part of the linearised motion. The cart's place does not
        matter.
        """
        growth = jnp.sqrt(3 * self.gravity / (4 * self.pole_length))  # ω, 1/s, of a uniform pole
        return (growth * obs[2] + obs[3] > 0).astype(jnp.int32)

    def render(self, state: State) -> np.ndarray:
        width, height, ground = 600, 400, 300
        image = Image.new("RGB", (width, height), "white")
        pen = ImageDraw.Draw(image)
        pixels = width / (2 * float(self.x_limit))  # per metre
        x = width / 2 + float(state.x) * pixels
        pole = 2 * float(self.pole_length) * pixels
        tip = (x + pole * math.sin(state.theta), ground - 15 - pole * math.cos(state.theta))
        pen.line((0, ground, width, ground), fill=(120, 120, 120), width=2)
        pen.rectangle((x - 30, ground - 30, x + 30, ground), fill=(44, 62, 80))
        pen.line((x, ground - 15, *tip), fill=(202, 120, 60), width=10)
        pen.ellipse((x - 6, ground - 21, x + 6, ground - 9), fill=(129, 132, 203))
        return np.asarray(image)
