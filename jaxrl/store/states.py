"""States of batches on disk: arrays without code, whole or not at all, with a hash for each run."""

import hashlib
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random

from jaxrl.errors import InputError
from jaxrl.learning.algorithm import State
from jaxrl.random.generators import GENERATORS


def write_state(path: Path, state: State) -> str:
    """Saves a state, typed keys as their data, so that it appears whole or not at all; gives its files' hash.

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
        raise OSError("No space left on device" if full else _first_clause(error)) from None
    return files_hash(path)


def read_state(path: Path, shapes: State, prng: str, expected: str) -> State:
    """Reads a state of these shapes, whose files have the `expected` hash, that `write_state` saved.

    Raises InputError if it cannot.
    """
    import orbax.checkpoint as ocp

    # First, since orbax leaves its own event loop in disorder where a file is damaged.
    if files_hash(path) != expected:
        raise InputError(f"{path} was altered or cut short: its hash is not that of its note")

    def data(leaf: Any) -> Any:
        return jax.eval_shape(random.key_data, leaf) if is_key(leaf) else leaf

    def restored(leaf: Any, saved: Array) -> Array:
        return random.wrap_key_data(saved, impl=GENERATORS[prng]) if is_key(leaf) else saved

    try:
        with ocp.StandardCheckpointer() as checkpointer:
            saved = checkpointer.restore(path.absolute(), jax.tree.map(data, shapes))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"the checkpoint {path} cannot be read: {_first_clause(error)}") from None
    return jax.tree.map(restored, shapes, saved)


def files_hash(path: Path) -> str:
    """A hash of all files below a folder and of their names."""
    digest = hashlib.sha256()
    for name in sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()):
        with (path / name).open("rb") as file:
            digest.update(name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


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


def _first_clause(error: Exception) -> str:
    """Of a message that may be a thousand characters long."""
    return re.split(r"[\n;\[]", str(error))[0].strip()[:200]
