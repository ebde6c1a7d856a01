"""States of batches on disk: one safetensors file for each batch, whole or absent, and a hash for each run.

Such a file holds no code. It is a JSON header with the type, shape and place of each array, followed by the
arrays' bytes. For states of PPO, DQN and SAC of 1 to 14 MB, Orbax wrote 10 to 13 files, took 4.5 to 8.3 times
as long to write and 2.3 to 10 times as long to read (medians); its compressed files were 6 to 21 % smaller.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random
from safetensors import safe_open

from jaxrl.errors import InputError
from jaxrl.learning.algorithm import State
from jaxrl.store.files import appearing_whole, reading

# The types of arrays that can be saved, and their names in the format.
TYPES = {
    "bool": "BOOL",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "bfloat16": "BF16",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
    "complex64": "C64",
}


def write_state(path: Path, state: State) -> str:
    """Writes a state to a file, whole or not at all, typed keys as their data. Returns the file's hash.

    Raises OSError if the file system refuses, InputError for an array of a type that is not in TYPES.
    """
    return write_arrays(path, named_leaves(plain(state)))


def write_arrays(
    path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> str:
    """Writes a safetensors file, whole or not at all, without copying arrays. Returns the file's hash.

    `metadata` are texts that the file also holds. Raises the errors of `write_state`.
    """
    pieces: Iterable[bytes | memoryview] = chain(
        [_header(arrays, metadata or {})], map(_bytes, arrays.values())
    )
    digest = hashlib.sha256()
    # The library's `save` copies all arrays twice. Its `save_file` makes a temporary file that only the owner
    # may read and that stays behind if the process is killed.
    with appearing_whole(path) as file:
        for piece in pieces:
            file.write(piece)
            digest.update(piece)
    return digest.hexdigest()


def read_arrays(path: Path, expected: str | None = None) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays and the metadata of a safetensors file that has the `expected` hash.

    Raises InputError if it cannot be read.
    """
    with reading(path, expected):
        path.open("rb").close()  # raises the system's error, which the library replaces by another
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
            return arrays, file.metadata() or {}


def read_state(path: Path, shapes: State, expected: str) -> State:
    """Reads a state of these shapes from a file of `write_state` that has the `expected` hash.

    Raises InputError if it cannot be read.
    """
    leaves, (arrays, _) = named_leaves(shapes), read_arrays(path, expected)
    if more := arrays.keys() - leaves.keys():
        raise InputError(f"{path} holds another state, which also has {min(more)}")
    found = [restored(path, name, leaf, arrays.pop(name, None)) for name, leaf in leaves.items()]
    return jax.tree.unflatten(jax.tree.structure(shapes), found)


def restored(path: Path, name: str, leaf: Any, array: np.ndarray | None) -> Array:
    """A leaf of this shape, type and generator from its array in a file.

    Raises InputError, which names the file, if the array does not fit or is None.
    """
    data = jax.eval_shape(random.key_data, leaf) if is_key(leaf) else leaf
    got, wanted = ("missing" if each is None else f"{each.dtype}{[*each.shape]}" for each in (array, data))
    if got != wanted:
        raise InputError(f"{path} holds another state: {name} is {got}, expected {wanted}")
    if not is_key(leaf):
        return jnp.asarray(array)
    # The leaf determines the generator, since an environment may have keys of another generator.
    return random.wrap_key_data(jnp.asarray(array), impl=random.key_impl(jnp.empty((), leaf.dtype)))


def plain(state: State) -> State:
    """The state as numpy arrays, typed keys as their data."""
    return jax.tree.map(lambda leaf: np.asarray(random.key_data(leaf) if is_key(leaf) else leaf), state)


def lane_hashes(state: State, lanes: Sequence[int]) -> list[str]:
    """A hash of all bits of the state in each of these lanes."""
    leaves = jax.tree.leaves(plain(state))
    hashes = []
    for lane in lanes:
        digest = hashlib.sha256()
        for leaf in leaves:
            digest.update(_bytes(leaf[lane]))
        hashes.append(digest.hexdigest())
    return hashes


def is_key(leaf: Any) -> bool:
    """Whether a value is a typed key."""
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def named_leaves(state: State) -> dict[str, Any]:
    """The leaves of a state by their paths in it."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(state)}


def _header(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """The beginning of a safetensors file: type, shape and place of each array among the bytes that follow.

    Raises InputError for an array of a type that is not in TYPES.
    Source: https://huggingface.co/docs/safetensors, "Format".
    """
    entries: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, array in arrays.items():
        if array.dtype.name not in TYPES:
            expected = ", ".join(TYPES)
            raise InputError(f"{name} is {array.dtype}, which cannot be saved; expected one of {expected}")
        begin, end = end, end + array.nbytes
        entries[name] = {
            "dtype": TYPES[array.dtype.name],
            "shape": array.shape,
            "data_offsets": [begin, end],
        }
    header = json.dumps(entries).encode()
    return len(header).to_bytes(8, "little") + header


def _bytes(array: np.ndarray) -> memoryview:
    """The bytes of an array in C order, copied only if the array is not contiguous."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
