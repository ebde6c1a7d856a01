"""States of batches on disk: arrays without code, whole or not at all, with a hash for each run."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random

from jaxrl.algorithm import State
from jaxrl.errors import InputError
from jaxrl.generators import GENERATORS


def write_state(path: Path, state: State) -> None:
    """Saves a state, typed keys as their data, so that it appears whole or not at all.

    Raises OSError where the file system refuses.
    """
    import orbax.checkpoint as ocp

    arrays = plain(state)
    if shutil.disk_usage(path.parent).free < sum(leaf.nbytes for leaf in jax.tree.leaves(arrays)):
        raise OSError("No space left on device")
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(path.absolute(), arrays)
    except ValueError as error:  # as which tensorstore hands on what the file system says
        full = "RESOURCE_EXHAUSTED" in str(error)
        raise OSError("No space left on device" if full else str(error).splitlines()[0]) from None


def read_state(path: Path, shapes: State, prng: str) -> State:
    """Reads a state of these shapes that `write_state` saved. Raises InputError if it cannot."""
    import orbax.checkpoint as ocp

    def data(leaf: Any) -> Any:
        return jax.eval_shape(random.key_data, leaf) if is_key(leaf) else leaf

    def restored(leaf: Any, saved: Array) -> Array:
        return random.wrap_key_data(saved, impl=GENERATORS[prng]) if is_key(leaf) else saved

    try:
        with ocp.StandardCheckpointer() as checkpointer:
            saved = checkpointer.restore(path.absolute(), jax.tree.map(data, shapes))
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"the checkpoint {path} cannot be read: {reason}") from None
    return jax.tree.map(restored, shapes, saved)


def plain(state: State) -> State:
    """The state as numpy arrays, typed keys as their data."""
    return jax.tree.map(lambda leaf: np.asarray(random.key_data(leaf) if is_key(leaf) else leaf), state)


def lane_hashes(state: State, lanes: Sequence[int]) -> list[str]:
    """For each of these lanes, a hash of all bits of its state."""
    leaves = [np.ascontiguousarray(leaf) for leaf in jax.tree.leaves(plain(state))]
    hashes = []
    for lane in lanes:
        digest = hashlib.sha256()
        for leaf in leaves:
            digest.update(leaf[lane].data if leaf.ndim > 1 else leaf[lane].tobytes())
        hashes.append(digest.hexdigest())
    return hashes


def is_key(leaf: Any) -> bool:
    """Whether a value is a typed key."""
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
