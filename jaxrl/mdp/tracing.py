"""Sentences for what authors of environments and algorithms get wrong while jax traces their methods."""

import contextlib
import traceback
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from jaxrl.errors import InputError

LIBRARIES = tuple(str(Path(place).parent) for place in (jax.__file__, np.__file__) if place)
UNKNOWN_VALUES = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)


@contextlib.contextmanager
def unknown_values_explained(name: str) -> Iterator[None]:
    """Raises InputError, which names the line of code, where Python needs a value while `name` is traced."""
    try:
        yield
    except UNKNOWN_VALUES as error:
        frames = traceback.extract_tb(error.__traceback__)
        place = [frame for frame in frames if not frame.filename.startswith(LIBRARIES)][-1]
        where = f"line {place.lineno} of {place.filename} ({place.line})"
        raise InputError(
            f"{name} cannot be compiled: {where} asks for the value of an array; write jnp.where or "
            "lax.cond for an if, jax.numpy for numpy, or mark the field that decides as static(...)"
        ) from error
