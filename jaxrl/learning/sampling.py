"""How transitions are drawn from replay: uniformly, or by their priorities."""

from typing import Any

import jax.numpy as jnp
from flax import struct
from jax import Array, lax, random

from jaxrl.config import Config, traced
from jaxrl.learning.replay import Replay, Segments, uniform_segments
from jaxrl.learning.schedules import linear


class Sampling(Config):
    """Draws n-step segments uniformly, with replacement. It keeps nothing, and all weights are 1."""

    def create(self, rows: int, num_envs: int) -> Any:
        """What is kept of a ring of [rows, num_envs] transitions."""
        return ()

    def write(self, kept: Any, steps: int, step: Array) -> Any:
        """Notes that the rows `step` to `step + steps - 1` were written."""
        return kept

    def draw(
        self, kept: Any, replay: Replay, key: Array, steps: Array, batch: int, length: int, progress: Array
    ) -> tuple[Segments, Array]:
        """Segments of `length` transitions, and the weights of their losses, [batch] float32.

        `steps` is the number of rows written so far and `progress` the share of the run that is over.
        """
        return uniform_segments(replay, key, steps, batch, length), jnp.ones(batch)

    def update(self, kept: Any, places: Segments, priority: Array) -> Any:
        """Notes the priorities of segments that were learned from: [batch] float32."""
        return kept


class Priorities(struct.PyTreeNode):
    priority: Array  # [rows, num_envs] float32, of the segment that begins there; 0 where nothing was written
    largest: Array  # [] float32, of all priorities so far


class Prioritised(Sampling):
    """Proportional prioritised replay (Schaul et al. 2016). Its defaults are theirs."""

    alpha: float = traced(0.6, "α, exponent of priorities; 0 draws uniformly", low=0, high=1)
    beta_start: float = traced(0.4, "β, exponent of the importance weights, at the start", low=0, high=1)
    beta_end: float = traced(1.0, "β at the end of the run; 1 removes the bias", low=0, high=1)
    smallest: float = traced(1e-6, "what is added to each priority, so that none is 0", low=1e-12)

    def create(self, rows: int, num_envs: int) -> Priorities:
        return Priorities(jnp.zeros((rows, num_envs)), jnp.float32(1))

    def write(self, kept: Priorities, steps: int, step: Array) -> Priorities:
        """A new transition gets the largest priority, so that it is soon drawn."""
        rows, num_envs = kept.priority.shape
        new = jnp.broadcast_to(kept.largest, (steps, num_envs))
        priority = lax.dynamic_update_slice_in_dim(kept.priority, new, step % rows, axis=0)
        return kept.replace(priority=priority)

    def draw(
        self,
        kept: Priorities,
        replay: Replay,
        key: Array,
        steps: Array,
        batch: int,
        length: int,
        progress: Array,
    ) -> tuple[Segments, Array]:
        rows, num_envs = kept.priority.shape
        row = jnp.arange(rows)
        age = (steps - 1 - row) % rows  # of the newest row it is 0
        whole = (age >= length - 1) & (age < steps)
        mass = jnp.where(whole[:, None], kept.priority**self.alpha, 0.0).ravel()
        cumulative = jnp.cumsum(mass)
        # One draw from each of `batch` equal parts of the mass (Schaul et al. 2016, appendix B.2.1).
        part = (jnp.arange(batch) + random.uniform(key, (batch,))) / batch
        index = places_at(part * cumulative[-1], cumulative, mass)
        beta = linear(self.beta_start, self.beta_end, 1.0, progress, jnp.float32(1))
        weight = importance_weight(mass[index] / cumulative[-1], jnp.sum(whole) * num_envs, beta)
        first, env = jnp.divmod(index, num_envs)
        places = (first[:, None] + jnp.arange(length)[None]) % rows
        return Segments(places, env[:, None]), weight

    def update(self, kept: Priorities, places: Segments, priority: Array) -> Priorities:
        priority = priority + self.smallest
        kept = kept.replace(largest=jnp.maximum(kept.largest, jnp.max(priority)))
        return kept.replace(priority=kept.priority.at[places.row[:, 0], places.env[:, 0]].set(priority))


def places_at(position: Array, cumulative: Array, mass: Array) -> Array:
    """The places, [n] int32, that hold positions [n] of the cumulative mass [places].

    Rounding errors of the sum may lead to a place of mass 0, behind the one that is meant. None is returned.
    """
    place = jnp.minimum(jnp.searchsorted(cumulative, position, side="right"), mass.size - 1)
    return lax.cummax(jnp.where(mass > 0, jnp.arange(mass.size), 0))[place]


def importance_weight(probability: Array, number: Array, beta: Array) -> Array:
    """(1 / (N P(i)))^β, divided by the largest of the batch (Schaul et al. 2016, section 3.4): [batch]."""
    weight = (number * probability) ** -beta
    return weight / jnp.max(weight)


SAMPLINGS: dict[str, Sampling] = {"prioritised": Prioritised(), "uniform": Sampling()}
