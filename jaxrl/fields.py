"""The fields of a Config: their four kinds, the values they may hold, and how values are written as text.

A *traced* field is a number that the compiled program takes as an argument: it may differ from lane to lane.
A *static* field is part of the program: another value needs another compilation. A *component* is itself a
Config and can be exchanged. A *shared* field holds arrays that are the same for all lanes of a program.
"""

import dataclasses
import functools
import hashlib
import math
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.errors import InputError, unknown
from jaxrl.text import whole_number

DTYPES = {float: np.float32, int: np.int32, bool: np.bool_}
ACCEPTED = {float: (float, int, np.floating, np.integer), int: (int, np.integer), bool: (bool, np.bool_)}
LIMITS = {float: float(np.finfo(np.float32).max), int: 2**31 - 1}


def traced(
    default: Any = dataclasses.MISSING,
    meaning: str | None = None,
    *,
    low: float | None = None,
    high: float | None = None,
) -> Any:
    """A number in [low, high] that may differ between the lanes of one program.

    A field that redefines an inherited field inherits the meaning and the bounds that are not given.
    """
    return _field("traced", default, meaning=meaning, low=low, high=high)


def static(
    default: Any = dataclasses.MISSING,
    meaning: str | None = None,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] | None = None,
) -> Any:
    """A hashable value that the program is compiled for: a size, a shape, a choice of branch.

    `low` and `high` bound a number, or each number of a tuple. `choices` are the allowed strings. What is not
    given is inherited, as for `traced`.
    """
    return _field("static", default, meaning=meaning, low=low, high=high, choices=choices)


def component(default: Any = dataclasses.MISSING, meaning: str | None = None) -> Any:
    """A part that is itself a Config, such as a network. If the default is a Config, no mark is needed."""
    return _field("component", default, meaning=meaning)


def shared(meaning: str | None = None) -> Any:
    """Named arrays that all lanes share, such as a data set or the weights of a frozen network."""
    return _field("shared", Shared({}), meaning=meaning)


class Shared(Mapping[str, Any]):
    """Named arrays, or mappings of named arrays, of which all lanes use the same copy.

    Two are equal if all names, types, shapes and bits are equal. For jax it is static structure without
    leaves; the engine passes the arrays to the program as arguments.
    """

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        """Raises InputError for a name with a dot or a slash, or a value that is not an array of numbers."""
        self.arrays = {name: _frozen(name, value) for name, value in sorted(arrays.items())}

    @functools.cached_property
    def hash(self) -> str:
        """A hash of all names, types, shapes and bits."""
        return hash_of(self.flat())

    def flat(self) -> dict[str, np.ndarray]:
        """Every array by its path, which is its names joined by slashes."""
        leaves = jax.tree.leaves_with_path(self.arrays)
        return {"/".join(step.key for step in path): leaf for path, leaf in leaves}

    def __getitem__(self, name: str) -> Any:
        return jax.tree.map(jnp.asarray, self.arrays[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shared) and (self is other or self.hash == other.hash)

    def __hash__(self) -> int:
        return hash(self.hash)

    def __repr__(self) -> str:
        shapes = (f"{name} {array.dtype}{list(array.shape)}" for name, array in self.flat().items())
        return f"Shared({', '.join(shapes)})"


jax.tree_util.register_pytree_node(Shared, lambda arrays: ((), arrays), lambda arrays, _: arrays)


def hash_of(arrays: Mapping[str, np.ndarray]) -> str:
    """A hash of all names, types, shapes and bits of arrays in their order."""
    digest = hashlib.sha256()
    for name, array in arrays.items():
        digest.update(f"{name}:{array.dtype}:{array.shape};".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `Shared.flat`: names joined by slashes become dicts in dicts."""
    arrays: dict[str, Any] = {}
    for name, array in flat.items():
        *outer, last = name.split("/")
        holder = arrays
        for step in outer:
            holder = holder.setdefault(step, {})
        holder[last] = array
    return arrays


def kind_of(field: dataclasses.Field) -> str:
    """The kind of a field: "traced", "static", "component" or "shared"."""
    unmarked = "component" if hasattr(field.default, "with_values") else "traced"
    return str(field.metadata.get("kind", unmarked))


def redefined(inherited: dataclasses.Field, value: Any) -> Any:
    """An inherited field, redefined by a class attribute `value`: a new default or a new field.

    Kind, meaning and bounds that `value` does not give are those of the inherited field.
    """
    if isinstance(value, dataclasses.Field):
        return dataclasses.field(default=value.default, metadata={**inherited.metadata, **value.metadata})
    return dataclasses.field(default=value, metadata=inherited.metadata)


def check_value(owner: str, kind: Any, value: Any, metadata: Mapping[str, Any]) -> None:
    """Raises InputError unless a traced or static field of this type may hold the value."""
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, tuple):
            raise InputError(f"{owner} must be {described_type(kind)}, got {value!r}")
        for item in value:
            check_value(f"each item of {owner}", typing.get_args(kind)[0], item, metadata)
        return
    if not isinstance(value, ACCEPTED.get(kind, kind)) or (kind is not bool and isinstance(value, bool)):
        raise InputError(f"{owner} must be {described_type(kind)}, got {value!r}")
    choices = metadata.get("choices", ())
    if choices and value not in choices:
        raise unknown(f"value of {owner}", value, choices)
    if kind in (int, float):
        low, high = metadata.get("low", -math.inf), metadata.get("high", math.inf)
        fits = -LIMITS[kind] <= value <= LIMITS[kind]  # false for NaN
        if not (fits and low <= value <= high):
            expected = _described_range(low, high) + ("" if fits else f" as {np.dtype(DTYPES[kind])}")
            raise InputError(f"{owner} must be {expected}, got {value!r}")


def parse_value(owner: str, kind: Any, text: str) -> Any:
    """A traced or static field's value from text; the parts of a tuple are joined by '/'.

    Raises InputError for a text that does not fit the field's type.
    """
    try:
        if typing.get_origin(kind) is tuple:
            return tuple(_parse_scalar(typing.get_args(kind)[0], part) for part in text.split("/"))
        return _parse_scalar(kind, text)
    except ValueError:
        raise InputError(f"{owner} must be {described_type(kind)}, got {text!r}") from None


def shown(value: Any) -> str:
    """A traced or static field's value as text, the inverse of `parse_value`."""
    return "/".join(map(str, value)) if isinstance(value, tuple) else str(value)


def plain(value: Any) -> Any:
    """A value whose numpy numbers, also those in tuples, become Python numbers. An array becomes a list."""
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    if isinstance(value, np.ndarray):
        return [*map(plain, value)] if value.ndim else python_number(value[()])
    return python_number(value) if isinstance(value, np.generic) else value


def python_number(value: Any) -> Any:
    """A numpy number as Python's. A float has the fewest digits that give the same numpy number."""
    return float(str(value)) if isinstance(value, np.floating) else value.item()


def described_type(kind: Any) -> str:
    """A field's type in words."""
    if typing.get_origin(kind) is tuple:
        return f"a tuple of {typing.get_args(kind)[0].__name__}"
    return {float: "a number", int: "an integer", bool: "true or false"}.get(kind, kind.__name__)


def _field(kind: str, default: Any, **metadata: Any) -> Any:
    if isinstance(default, list | dict | set):
        raise InputError(f"the default of a field must be immutable, such as a tuple, got {default!r}")
    given = {name: value for name, value in metadata.items() if value is not None}
    return dataclasses.field(default=default, metadata={"kind": kind, **given})


def _frozen(name: str, value: Any) -> Any:
    """A read-only array, or a dict of read-only arrays."""
    if not isinstance(name, str) or not name or {".", "/"} & {*name}:
        raise InputError(
            f"the name of a shared array must be a string without dots and slashes, got {name!r}"
        )
    if isinstance(value, Mapping):
        return {inner: _frozen(inner, each) for inner, each in sorted(value.items())}
    try:
        array = np.asarray(value).view()
    except ValueError:  # nested lists of different lengths
        array = np.empty(0, object)
    if array.dtype.kind not in "biufc":
        raise InputError(f"the shared array {name!r} must hold numbers, got {value!r}")
    array.flags.writeable = False
    return array


def _parse_scalar(kind: type, text: str) -> Any:
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError
        return text.lower() == "true"
    return whole_number(text) if kind is int else kind(text)


def _described_range(low: float, high: float) -> str:
    if math.isinf(low) and math.isinf(high):
        return "finite"
    if math.isinf(high):
        return f"at least {low:g}"
    return f"in [{low:g}, {high:g}]"
