"""Ranges of constants, whose ends are given by two environments of the same class."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxrl.environment import Environment
from jaxrl.errors import InputError


def between(low: Environment, high: Environment, shares: Any) -> Environment:
    """The environment whose constants lie between those of two; a share of 0 gives `low`, 1 gives `high`.

    `shares` is a tree like the environments, or one number for all constants. Numbers are interpolated, and
    integers are rounded down. A bool is that of `high` from a share of 1/2 on.
    """
    if not isinstance(shares, Environment):
        shares = jax.tree.map(lambda _: shares, low)

    def one(low: Any, high: Any, share: Any) -> Any:
        kind = jnp.result_type(low)
        if kind == jnp.bool_:
            return jnp.where(share < 0.5, low, high)
        value = low + share * (high - low)
        return jnp.floor(value).astype(kind) if jnp.issubdtype(kind, jnp.integer) else value

    return jax.tree.map(one, low, high, shares)


def require_ends(name: str, low: Environment, high: Environment, ordered: bool) -> None:
    """Raises InputError unless both have one structure and, if `ordered`, no constant is larger in `low`."""
    same: bool = jax.tree.structure(low) == jax.tree.structure(high)  # type: ignore[operator]
    if not same:
        raise InputError(
            f"{name} needs two environments of one class with equal static fields, got {low} and {high}"
        )
    ends = high.parameters()
    for field, value in low.parameters().items():
        if ordered and isinstance(value, int | float) and value > ends[field]:
            raise InputError(f"{name}: the range of {field} is upside down, from {value} to {ends[field]}")
