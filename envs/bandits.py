"""Bandits with Gaussian and with Bernoulli arms, whose means may drift (Sutton & Barto 2018, chapter 2)."""

import jax.numpy as jnp
import numpy as np
from jax import Array, random
from PIL import Image, ImageDraw

from jaxrl.environment import Arms, Bandit, traced

ARM = 32  # pixels of its width
HEIGHT = 256  # pixels


class GaussianBandit(Bandit):
    """A bandit whose rewards are normally distributed, by default the 10-armed testbed (Sutton & Barto, 2.3).

    The means of the arms are drawn from a normal distribution.
    """

    mean: float = traced(0.0, "mean of the arms' means")
    spread: float = traced(1.0, "standard deviation of the arms' means", low=0)
    noise: float = traced(1.0, "standard deviation of a reward around its arm's mean", low=0)

    def draw_means(self, key: Array) -> Array:
        return self.mean + self.spread * random.normal(key, (self.num_arms,))

    def pull(self, key: Array, mean: Array) -> Array:
        return mean + self.noise * random.normal(key)

    def render(self, state: Arms) -> np.ndarray:
        return draw_arms(state, self.mean - 3 * self.spread, self.mean + 3 * self.spread)


class BernoulliBandit(Bandit):
    """A bandit whose rewards are 0 or 1, each arm with a probability drawn uniformly from [0, 1).

    A mean that would drift out of [0, 1] is reflected at the bound.
    """

    @property
    def is_binary(self) -> bool:
        return True

    def draw_means(self, key: Array) -> Array:
        return random.uniform(key, (self.num_arms,))

    def drifted(self, means: Array, change: Array) -> Array:
        folded = jnp.mod(means + change, 2.0)
        return jnp.minimum(folded, 2.0 - folded)

    def pull(self, key: Array, mean: Array) -> Array:
        return jnp.where(random.uniform(key) < mean, 1.0, 0.0)

    def render(self, state: Arms) -> np.ndarray:
        return draw_arms(state, 0.0, 1.0)


def draw_arms(state: Arms, low: float, high: float) -> np.ndarray:
    """A bar for each arm's mean between two bounds, of another colour for the arm that was pulled last."""
    means, pulled = np.asarray(state.means), np.asarray(state.seen)[:-1]
    image = Image.new("RGB", (ARM * means.size, HEIGHT), "white")
    pen = ImageDraw.Draw(image)
    heights = np.clip((means - low) / max(high - low, 1e-6), 0, 1) * (HEIGHT - 2) + 1
    for arm, height in enumerate(heights):
        colour = (214, 96, 52) if pulled[arm] else (44, 82, 130)
        pen.rectangle((arm * ARM + 2, HEIGHT - int(height), (arm + 1) * ARM - 3, HEIGHT), fill=colour)
    return np.asarray(image)
