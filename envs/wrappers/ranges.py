"""Ranges of constants, whose ends are given by two environments of the same class."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxrl.config import Config, names_of
from jaxrl.environment import Environment
from jaxrl.errors import InputError


def between(low: Environment, high: Environment, shares: Any, log: bool = False) -> Environment:
    """The environment whose constants lie between those of two; a share of 0 gives `low`, 1 gives `high`.

    `shares` is a tree like the environments, or one number for all constants. Numbers, or with `log` their
    logarithms, are interpolated. Each integer from one end to the other has an equal part of the shares, with
    `log` a part by its logarithm. A bool is that of `high` from a share of 1/2 on.
    """
    if not isinstance(shares, Environment):
        shares = jax.tree.map(lambda _: shares, low)

    def one(low: Any, high: Any, share: Any) -> Any:
        kind = jnp.result_type(low)
        if kind == jnp.bool_:
            return jnp.where(share < 0.5, low, high)
        integer = jnp.issubdtype(kind, jnp.integer)
        # The part of the last integer ends where that of the next one would begin.
        end = high + jnp.where(high < low, -1, 1) if integer else high
        # Equal ends may be 0 or negative, whose quotient means nothing.
        value = low * jnp.where(low == high, 1.0, end / low) ** share if log else low + share * (end - low)
        if not integer:
            return value
        rounded = jnp.where(high < low, jnp.ceil(value), jnp.floor(value)).astype(kind)
        # Equal ends stay as they are, since a large integer is no float32.
        within = jnp.clip(rounded, jnp.minimum(low, high), jnp.maximum(low, high))
        return jnp.where(low == high, low, within)

    return jax.tree.map(one, low, high, shares)


def require_ends(name: str, low: Environment, high: Environment) -> None:
    """Raises InputError unless both environments are alike but for traced fields."""
    if not _alike(low, high):
        raise InputError(f"{name} needs two environments of one class, {_difference(low, high)}")


def require_ranges(name: str, low: Environment, high: Environment, log: bool) -> None:
    """Raises InputError if a range is upside down, or if one of a log scale does not have positive ends."""
    ends = high.parameters()
    for field, value in low.parameters().items():
        if not isinstance(value, int | float) or isinstance(value, bool) or value == ends[field]:
            continue
        if value > ends[field]:
            raise InputError(f"{name}: the range of {field} is upside down, from {value} to {ends[field]}")
        if log and value <= 0:
            raise InputError(
                f"{name}: a log scale needs positive ends, but the range of {field} goes from {value} to "
                f"{ends[field]}"
            )


def _difference(low: Config, high: Config) -> str:
    """In what two configs of different structure differ."""
    if type(low) is not type(high):
        return f"got {type(low).__name__} and {type(high).__name__}"
    for name in (*names_of(type(low), "static"), *names_of(type(low), "shared")):
        one, other = getattr(low, name), getattr(high, name)
        if one != other:
            return f"with equal fields that are not traced: {type(low).__name__}.{name} is {one} and {other}"
    parts = ((getattr(low, name), getattr(high, name)) for name in names_of(type(low), "component"))
    return next(_difference(one, other) for one, other in parts if not _alike(one, other))


def _alike(one: Config, other: Config) -> bool:
    """Whether two configs differ in traced fields at most."""
    same: bool = jax.tree.structure(one) == jax.tree.structure(other)  # type: ignore[operator]
    return same
