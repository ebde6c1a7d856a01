"""Schedules: functions of the iteration `t` and of the planned number of iterations `total`."""

import jax.numpy as jnp
from jax import Array

from jaxrl.config import Scalar


def linear(start: Scalar, end: Scalar, fraction: Scalar, t: Array, total: Array) -> Array:
    """Linear from `start` at t = 0 to `end` at t = max(fraction * total, 1), then constant. All []."""
    progress = jnp.clip(t / jnp.maximum(fraction * total, 1.0), 0.0, 1.0)
    return start * (1.0 - progress) + end * progress


def exponential(start: Scalar, end: Scalar, decay: Scalar, count: Array) -> Array:
    """`start * decay ** count`, but never below `end`. All []; `decay` in [0, 1]."""
    return jnp.maximum(end, start * decay**count)
