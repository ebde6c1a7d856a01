"""Acrobot, as in Gymnasium 1.x (Sutton 1996): swing a two-link arm above a bar with a motor at the elbow."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array, random
from PIL import Image, ImageDraw

from envs.control.pendulum import wrapped
from jaxrl.environment import Box, Discrete, Environment, bounds, traced


class State(struct.PyTreeNode):
    theta1: Array  # [] rad in [-π, π), the first link's angle from hanging down
    theta2: Array  # [] rad in [-π, π), the second link's angle from the first one's
    theta1_dot: Array  # [] rad/s
    theta2_dot: Array  # [] rad/s


class Acrobot(Environment):
    """Actions: torque -1, 0 or 1 N m at the elbow. A step gives -1, the one that terminates 0."""

    gravity: float = traced(9.8, "acceleration of free fall, m/s²")
    link_mass_1: float = traced(1.0, "mass of the upper link, kg", low=1e-6)
    link_mass_2: float = traced(1.0, "mass of the lower link, kg", low=1e-6)
    link_length_1: float = traced(
        1.0, "length of the upper link, m; the lower link's length only matters in pictures", low=1e-6
    )
    link_centre_1: float = traced(0.5, "distance of its centre of mass from the shoulder, m", low=0)
    link_centre_2: float = traced(0.5, "distance of the lower link's from the elbow, m", low=0)
    link_inertia: float = traced(1.0, "moment of inertia of each link, kg m²", low=0)
    time_step: float = traced(0.2, "duration of one Runge-Kutta step, s", low=0)
    max_speed_1: float = traced(4 * math.pi, "speed limit of the upper joint, rad/s", low=0)
    max_speed_2: float = traced(9 * math.pi, "speed limit of the lower joint, rad/s", low=0)
    reset_range: float = traced(0.1, "bound of each state variable at the start, ±", low=0)
    max_steps: int = traced(500, low=1)

    @property
    def observation_space(self) -> Box:
        """cos θ1, sin θ1, cos θ2, sin θ2, θ1_dot, θ2_dot."""
        high = bounds(1.0, 1.0, 1.0, 1.0, self.max_speed_1, self.max_speed_2)
        return Box(-high, high, (6,))

    @property
    def action_space(self) -> Discrete:
        return Discrete(3)

    @property
    def solved_return(self) -> float:
        """Gymnasium's threshold."""
        return -100.0

    def reset(self, key: Array) -> State:
        return State(*random.uniform(key, (4,), minval=-self.reset_range, maxval=self.reset_range))

    def step(self, key: Array, state: State, action: Array) -> tuple[State, Array, Array]:
        moved = self.runge_kutta(state, (action - 1).astype(state.theta1.dtype))
        state = State(
            wrapped(moved.theta1),
            wrapped(moved.theta2),
            jnp.clip(moved.theta1_dot, -self.max_speed_1, self.max_speed_1),
            jnp.clip(moved.theta2_dot, -self.max_speed_2, self.max_speed_2),
        )
        sin1, cos1 = sine_and_cosine(state.theta1)
        sin2, cos2 = sine_and_cosine(state.theta2)
        terminated = -cos1 - (cos1 * cos2 - sin1 * sin2) > 1.0
        return state, jnp.where(terminated, 0.0, -1.0), terminated

    def observe(self, state: State) -> Array:
        sin1, cos1 = sine_and_cosine(state.theta1)
        sin2, cos2 = sine_and_cosine(state.theta2)
        return jnp.stack([cos1, sin1, cos2, sin2, state.theta1_dot, state.theta2_dot])

    def derivative(self, state: State, torque: Array) -> State:
        """The state's derivative, per second (Sutton & Barto, first edition, section 11.3)."""
        m1, m2, l1 = self.link_mass_1, self.link_mass_2, self.link_length_1
        c1, c2, inertia, g = self.link_centre_1, self.link_centre_2, self.link_inertia, self.gravity
        sin1, cos1 = sine_and_cosine(state.theta1)
        sin2, cos2 = sine_and_cosine(state.theta2)
        d1 = m1 * c1**2 + m2 * (l1**2 + c2**2 + 2 * l1 * c2 * cos2) + 2 * inertia
        d2 = m2 * (c2**2 + l1 * c2 * cos2) + inertia
        phi2 = m2 * c2 * g * (sin1 * cos2 + cos1 * sin2)
        phi1 = (
            -m2 * l1 * c2 * state.theta2_dot**2 * sin2
            - 2 * m2 * l1 * c2 * state.theta2_dot * state.theta1_dot * sin2
            + (m1 * c1 + m2 * l1) * g * sin1
            + phi2
        )
        force = torque + d2 / d1 * phi1 - m2 * l1 * c2 * state.theta1_dot**2 * sin2 - phi2
        theta2_acc = force / (m2 * c2**2 + inertia - d2**2 / d1)
        theta1_acc = -(d2 * theta2_acc + phi1) / d1
        return State(state.theta1_dot, state.theta2_dot, theta1_acc, theta2_acc)

    def runge_kutta(self, state: State, torque: Array) -> State:
        """The state one time step later, by the classical fourth-order method."""

        def after(slope: State, seconds: Array | float) -> State:
            return jax.tree.map(lambda x, dx: x + seconds * dx, state, slope)

        h = self.time_step
        k1 = self.derivative(state, torque)
        k2 = self.derivative(after(k1, h / 2), torque)
        k3 = self.derivative(after(k2, h / 2), torque)
        k4 = self.derivative(after(k3, h), torque)
        mean = jax.tree.map(lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6, k1, k2, k3, k4)
        return after(mean, h)

    def heuristic(self, obs: Array) -> Array:
        """The motor's reaction pushes the upper link the way it swings, which adds energy to that swing."""
        return jnp.where(obs[4] < 0, 2, 0)

    def render(self, state: State) -> np.ndarray:
        size = 500
        scale = size / (2.2 * (float(self.link_length_1) + 1.0))
        image = Image.new("RGB", (size, size), "white")
        pen = ImageDraw.Draw(image)
        bar = size / 2 - scale
        pen.line((0, bar, size, bar), fill=(120, 120, 120), width=2)
        x = y = size / 2
        links = ((state.theta1, float(self.link_length_1)), (state.theta1 + state.theta2, 1.0))
        for angle, length in links:
            end = (x + length * scale * math.sin(angle), y + length * scale * math.cos(angle))
            pen.line((x, y, *end), fill=(0, 170, 170), width=18)
            pen.ellipse((x - 10, y - 10, x + 10, y + 10), fill=(204, 204, 0))
            x, y = end
        return np.asarray(image)


def sine_and_cosine(angle: Array) -> tuple[Array, Array]:
    """Sine and cosine of an angle within ± 10,000 rad, with errors below 1e-7, as Moshier's Cephes sinf.

    XLA on a CPU calls the C library separately for every sine and cosine, and a step needs twenty.
    """
    quarters = jnp.round(angle * (2 / math.pi))
    for part in (1.5703125, 4.837512969970703e-4, 7.54978995489188e-8):  # of π/2; exact with the first two
        angle = angle - quarters * part
    x = angle**2
    sine = angle + angle * x * (-1.6666654611e-1 + x * (8.3321608736e-3 - x * 1.9515295891e-4))
    cosine = 1 - x / 2 + x**2 * (4.1666645683e-2 + x * (-1.3887316255e-3 + x * 2.4433157118e-5))
    turned = quarters.astype(jnp.int32)
    sine, cosine = jnp.where(turned & 1, cosine, sine), jnp.where(turned & 1, sine, cosine)
    return jnp.where(turned & 2, -sine, sine), jnp.where((turned + 1) & 2, -cosine, cosine)
