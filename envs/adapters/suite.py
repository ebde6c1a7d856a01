"""What the adapters of suites written in jax share. A suite is imported only where its adapter is used."""

import importlib
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from jaxrl.environment import Environment, static
from jaxrl.errors import InputError, unknown


class Suite(Environment):
    """An environment of a suite. The first of its `packages` is the prefix of its ids."""

    name: str = static("", "the suite's name of the environment")

    @property
    def title(self) -> str:
        return f"{self.packages[0]}:{self.name}"


class State(struct.PyTreeNode):
    inner: Any  # the suite's own state
    obs: Array  # [*obs], kept since the suite may draw it or compute it from the action


def imported(suite: str, module: str) -> Any:
    """A module of a suite. Raises InputError that names the suite's extra if it cannot be imported."""
    try:
        return importlib.import_module(module)
    except Exception as error:  # importing a foreign package can raise anything
        raise InputError(
            f"{suite}:NAME needs the package {suite}, which cannot be imported ({error}): "
            f"pip install -e '.[{suite}]'"
        ) from None


def made(suite: str, name: str, known: Iterable[str], make: Callable[[], Any]) -> Any:
    """What `make` returns. Raises InputError for a name that is not `known`, or if `make` fails."""
    if name not in (known := [*known]):
        raise unknown(f"environment of {suite}", name, known)
    try:
        with jax.ensure_compile_time_eval():  # a function that is being traced may call this first
            return make()
    except Exception as error:  # some download files
        raise InputError(f"{suite} cannot make {name!r}: {error}") from None


def strongly_typed(tree: Any) -> Any:
    """Python numbers and weakly typed arrays as arrays of a definite type, so that steps keep the type."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), tree)
