"""Metrics: pairs of a sum and a weight. The engine adds them up over the iterations of a chunk."""

import jax.numpy as jnp
from jax import Array

from jaxrl.mdp.episode import Transition

Metrics = dict[str, tuple[Array, Array]]  # name -> ([] sum, [] weight); a chunk reports sum / weight


def episode_metrics(transition: Transition) -> Metrics:
    """Return and length of the episodes that end in a batch of transitions, any leading axes."""
    done = transition.done
    count = jnp.sum(done, dtype=jnp.float32)
    lengths = jnp.where(done, transition.episode_length, 0)
    return {
        "return": (jnp.sum(jnp.where(done, transition.episode_return, 0.0)), count),
        "length": (jnp.sum(lengths, dtype=jnp.float32), count),
    }


def mean_metrics(**values: Array) -> Metrics:
    """Metrics of weight 1. Each is the mean of a value over all its axes."""
    return {name: (jnp.mean(value), jnp.float32(1)) for name, value in values.items()}
