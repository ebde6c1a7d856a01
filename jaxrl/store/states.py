"""States of batches on disk: one safetensors file each, whole or absent, with a hash for each run.

Such a file is a JSON header, which gives type, shape and place of each array, and the arrays' bytes; it holds
no code. Orbax's folder of 10 to 13 files took 4.5 to 8.3 times as long to write and 2.3 to 10 times as long
to read (medians for states of PPO, DQN and SAC, 1 to 14 MB); being compressed, it was 6 to 21 % smaller.
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
from safetensors import SafetensorError, safe_open

from jaxrl.errors import InputError
from jaxrl.learning.algorithm import State
from jaxrl.store.tables import appearing_whole, file_hash

# The types of arrays that can be saved, and the format's names of them.
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
    """Saves a state, typed keys as their data, so that it appears whole or not at all; gives its file's hash.

    Raises OSError where the file system refuses, InputError for an array of a type that is not in TYPES.
    """
    return write_arrays(path, named_leaves(plain(state)))


def write_arrays(
    path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> str:
    """Writes a safetensors file, whole or not at all, without a copy of an array; gives its hash.

    metadata: texts that the file holds too. Raises what `write_state` does.
    """
    pieces: Iterable[bytes | memoryview] = chain(
        [_header(arrays, metadata or {})], map(_bytes, arrays.values())
    )
    digest = hashlib.sha256()
    # The library's `save` copies all arrays twice. Its `save_file` makes a temporary file of its own, which
    # only the owner may read and which stays behind if the process is killed.
    with appearing_whole(path) as temporary, temporary.open("wb") as file:
        for piece in pieces:
            file.write(piece)
            digest.update(piece)
    return digest.hexdigest()


def read_state(path: Path, shapes: State, expected: str) -> State:
    """Reads a state of these shapes, whose file has the `expected` hash, that `write_state` saved.

    Raises InputError if it cannot.
    """
    leaves = named_leaves(shapes)

    def restored(file: safe_open, name: str) -> Array:
        leaf, entry = leaves[name], file.get_slice(name)
        data = jax.eval_shape(random.key_data, leaf) if is_key(leaf) else leaf
        found = f"{entry.get_dtype()} {entry.get_shape()}"
        wanted = f"{TYPES.get(data.dtype.name)} {[*data.shape]}"
        if found != wanted:
            raise InputError(f"{path} holds another state: {name} is {found}, expected {wanted}")
        saved = jnp.asarray(file.get_tensor(name))
        if not is_key(leaf):
            return saved
        # The leaf says which generator, since an environment's keys may be of another one than the study's.
        return random.wrap_key_data(saved, impl=random.key_impl(jnp.empty((), leaf.dtype)))

    try:
        if file_hash(path) != expected:
            raise InputError(f"{path} was altered or cut short: its hash is not that of its note")
        with safe_open(path, framework="numpy") as file:
            if differing := leaves.keys() ^ file.keys():
                name = min(differing)
                how = "lacks" if name in leaves else "also has"
                raise InputError(f"{path} holds another state, which {how} {name}")
            return jax.tree.unflatten(jax.tree.structure(shapes), [restored(file, name) for name in leaves])
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except SafetensorError as error:
        raise InputError(f"{path} cannot be read: {error}") from None


def plain(state: State) -> State:
    """The state as numpy arrays, typed keys as their data."""
    return jax.tree.map(lambda leaf: np.asarray(random.key_data(leaf) if is_key(leaf) else leaf), state)


def lane_hashes(state: State, lanes: Sequence[int]) -> list[str]:
    """For each of these lanes, a hash of all bits of its state."""
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
    """The leaves of a state by their places in it."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(state)}


def _header(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """How a safetensors file begins: where each array lies among the bytes that follow, in this order.

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
