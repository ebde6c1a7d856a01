"""Updates of parameters: optimisers, the loop of updates from replay, target networks."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax, random

from jaxrl.config import Config, Scalar
from jaxrl.errors import InputError
from jaxrl.random.shuffle import permutation

Carry = TypeVar("Carry")


def require_minibatches(
    algorithm: Config, minibatches: int, what: str, number: int, normalised: bool = False
) -> None:
    """Raises InputError unless a number of minibatches divides the number of what they are made of.

    A minibatch that is `normalised` must hold two of them or more, since one alone becomes 0.
    """
    name = type(algorithm).__name__
    if number % minibatches:
        raise InputError(f"{name}.minibatches must divide {what} = {number}, got {minibatches}")
    if normalised and number == minibatches:
        raise InputError(
            f"{name}.minibatches must be below {what} = {number}, since the normalised advantage of a single "
            f"transition is 0 and nothing is learned; got {minibatches}: choose fewer, or do not normalise"
        )


def require_several(algorithm: Config, number: int) -> None:
    """Raises InputError if normalised advantages are those of a single transition, which become 0."""
    if number == 1:
        name = type(algorithm).__name__
        raise InputError(
            f"{name}.num_envs x num_steps must be above 1, since the normalised advantage of a single "
            "transition is 0 and nothing is learned; got 1: take more steps, or do not normalise"
        )


def shuffled_minibatches(key: Array, number: int, epochs: int, minibatches: int) -> Array:
    """Indices of minibatches of equal size: [epochs * minibatches, number // minibatches] int32.

    Each epoch is a permutation of 0 to number - 1.
    """
    shuffled = jax.vmap(permutation, (0, None))(random.split(key, epochs), number)
    return shuffled.reshape(epochs * minibatches, -1)


def clipped_adam(
    learning_rate: Scalar, max_grad_norm: Scalar, eps: float = 1e-8
) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015) on gradients whose global norm is clipped."""
    return optax.chain(optax.clip_by_global_norm(max_grad_norm), optax.adam(learning_rate, eps=eps))


def updates_if(
    ready: Array, count: int, update: Callable[[Array, Carry], Carry], carry: Carry
) -> tuple[Carry, Array]:
    """Applies `carry = update(i, carry)` for i < count if `ready` ([] bool), else not at all.

    Returns the carry and the number of updates, [] float32. `ready` must be the same for all lanes, as a
    function of t is. Otherwise every lane under vmap waits for the longest loop.
    """
    number = jnp.where(ready, count, 0)
    return lax.fori_loop(0, number, update, carry), number.astype(jnp.float32)


def tracked(target: Any, params: Any, seen: Array, before: Array, period: Scalar, rate: Scalar) -> Any:
    """The target's parameters, moved by `rate` towards `params` if a multiple of `period` has been passed.

    `before` and `seen` ([] int32) are the environment steps before and after this iteration. A rate of 1 is a
    copy (Mnih et al. 2015); a rate below 1 is Polyak averaging.
    """
    passed = seen // period > before // period
    return optax.incremental_update(params, target, jnp.where(passed, rate, 0.0))
