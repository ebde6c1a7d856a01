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


def metric_if(condition: Array, value: Array) -> tuple[Array, Array]:
    """A metric of weight 1 where the condition holds, else of weight 0. All []."""
    return jnp.where(condition, value, 0.0), condition.astype(jnp.float32)


def explained_variance(value: Array, target: Array, where: Array | None = None) -> Array:
    """1 - Var(target - value) / Var(target): 1 for perfect values, 0 for constant ones, [].

    The arguments have equal shapes. `where` (bool) chooses the entries that count. The result is 0 for
    targets that do not vary.
    """
    variance, error = (jnp.var(each, where=where) for each in (target, target - value))
    return jnp.where(variance > 0, 1 - error / jnp.where(variance > 0, variance, 1), 0.0)
