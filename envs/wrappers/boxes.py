"""What wrappers of observations and actions ask of a Box."""

from types import ModuleType
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxrl.environment import Box, Space
from jaxrl.errors import InputError


def require_box(wrapper: str, what: str, title: str, space: Space, axes: int | None = None) -> Box:
    """The Box that a space must be, with `axes` axes or, for None, at least one.

    Otherwise it raises InputError.
    """
    if not isinstance(space, Box) or not (space.shape if axes is None else len(space.shape) == axes):
        shape = {None: "at least one axis", 1: "one axis"}[axes]
        raise InputError(f"{wrapper} needs {what} that are a Box with {shape}; those of {title} are {space}")
    return space


def require_real(wrapper: str, what: str, title: str, space: Box) -> None:
    """Raises InputError for a Box of integers."""
    if space.is_integer:
        raise InputError(f"{wrapper} needs {what} of real numbers; those of {title} are {space}")


def bounds_of(space: Box) -> tuple[ModuleType, Any, Any]:
    """The library of a Box's bounds, and its bounds in their whole shape: [*shape] each.

    The library is numpy unless a bound is traced, so that reading a space does not start jax.
    """
    traced = isinstance(space.low, Array) or isinstance(space.high, Array)
    library: ModuleType = jnp if traced else np
    low, high = (library.broadcast_to(bound, space.shape) for bound in (space.low, space.high))
    return library, low, high
