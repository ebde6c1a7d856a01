"""Config: the frozen dataclass behind every environment and algorithm, and the fields it is made of.

A field is *traced* or *static*. A traced field is a number that the compiled program takes as an
argument: it may differ from lane to lane. A static field is part of the program: another value is
another compilation. Both know the range they may hold, so that one function checks all of them.
"""

import dataclasses
import functools
import itertools
import math
import typing
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar, dataclass_transform

import jax
import numpy as np
from jax import Array

from jaxrl.errors import InputError, unknown

C = TypeVar("C", bound="Config")
Scalar = Array | float  # a [] hyper-parameter: a number on the host, traced in a program
DTYPES = {float: np.float32, int: np.int32, bool: np.bool_}
ACCEPTED = {float: (float, int, np.floating, np.integer), int: (int, np.integer), bool: (bool, np.bool_)}
LIMITS = {float: float(np.finfo(np.float32).max), int: 2**31 - 1}


def traced(default: Any, meaning: str = "", *, low: float = -math.inf, high: float = math.inf) -> Any:
    """A number in [low, high] that may differ between lanes of one program, and what it means."""
    return dataclasses.field(default=default, metadata={"meaning": meaning, "low": low, "high": high})


def static(
    default: Any,
    meaning: str = "",
    *,
    low: float = -math.inf,
    high: float = math.inf,
    choices: Sequence[str] = (),
) -> Any:
    """A hashable value that the program is compiled for: a size, a shape, a choice of branch.

    `low` and `high` bound a number, or each number of a tuple; `choices` names the allowed strings.
    """
    bounds = {"low": low, "high": high, "choices": tuple(choices)}
    return dataclasses.field(default=default, metadata={"static": True, "meaning": meaning, **bounds})


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Config:
    """A frozen, keyword-only dataclass that is a pytree: traced fields are leaves, static ones structure.

    Every subclass becomes one by itself. Field types are float, int, bool, str or a tuple of one of
    these; traced fields are numbers, and a field that is not marked is traced.
    """

    packages: ClassVar[tuple[str, ...]] = ()  # of whose versions, beside its source, depends what it computes

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True, kw_only=True)(cls)
        # Not jax.tree_util.register_dataclass, which flax.struct uses too: the structures of two such
        # classes compare equal if their static values do (jax 0.10.2 and 0.11.2), so that one
        # environment could run in the program compiled for another.
        flatten = functools.partial(_flatten, traced_fields(cls), static_fields(cls))
        unflatten = functools.partial(_unflatten, cls, traced_fields(cls), static_fields(cls))
        jax.tree_util.register_pytree_with_keys(cls, flatten, unflatten)

    def replace(self, **values: Any) -> Self:
        """A copy with other values, unchecked."""
        return dataclasses.replace(self, **values)  # type: ignore[type-var]

    def with_values(self, **values: Any) -> Self:
        """A copy with other values. Raises InputError for an unknown field or a bad value."""
        for name in values:
            field_type(self, name)
        changed = self.replace(**values)
        changed.validate()
        return changed

    def validate(self) -> None:
        """Raises InputError if a field's value has the wrong type or lies outside its range.

        For concrete values, on the host; a subclass adds what concerns several fields at once.
        """
        types = field_types(type(self))
        for field in _fields(self):
            owner = f"{type(self).__name__}.{field.name}"
            if types[field.name] not in DTYPES and not field.metadata.get("static", False):
                raise InputError(f"{owner} is no number, so it cannot be traced; mark it static(...)")
            _check(owner, types[field.name], getattr(self, field.name), field.metadata)

    def parameters(self) -> dict[str, Any]:
        """Every field's name and plain Python value, in order of definition."""
        values = {field.name: getattr(self, field.name) for field in _fields(self)}
        return {name: v.item() if isinstance(v, np.generic) else v for name, v in values.items()}

    def arrays(self) -> Self:
        """A copy whose traced fields are [] numpy arrays of the field's type (float32, int32, bool)."""
        types = field_types(type(self))
        leaves: dict[str, Any] = {
            name: np.asarray(getattr(self, name), DTYPES[types[name]]) for name in traced_fields(type(self))
        }
        return self.replace(**leaves)


def grid(config: C, **values: Sequence[Any]) -> list[C]:
    """Every combination of the listed values: `grid(PPO(), learning_rate=[1e-3, 1e-4], num_envs=[4, 8])`.

    Traced values share one compiled program; static ones split it. The last field varies fastest.
    Raises InputError for an unknown field, a bad value or an empty list.
    """
    if not isinstance(config, Config):
        raise InputError(f"grid needs an instance such as PPO() or CartPole(), got {config!r}")
    values = {
        name: options.tolist() if isinstance(options, np.ndarray) else options
        for name, options in values.items()
    }
    for name, options in values.items():
        if isinstance(options, str) or not isinstance(options, Sequence):
            raise InputError(f"grid needs a list of values for {name!r}, got {options!r}")
        if len(options) == 0:
            raise InputError(f"grid got no values for {name!r}; give at least one")
    combinations = itertools.product(*values.values())
    return [config.with_values(**dict(zip(values, each, strict=True))) for each in combinations]


def parse(config: Config, name: str, text: str) -> Any:
    """The value of field `name` written as text; the parts of a tuple are joined by '/'.

    Raises InputError for an unknown field or a text that does not fit the field's type.
    """
    kind = field_type(config, name)
    try:
        if typing.get_origin(kind) is tuple:
            return tuple(_parse_scalar(typing.get_args(kind)[0], part) for part in text.split("/"))
        return _parse_scalar(kind, text)
    except ValueError:
        raise InputError(f"{type(config).__name__}.{name} must be {_described(kind)}, got {text!r}") from None


def field_types(cls: type) -> Mapping[str, Any]:
    """The type of each field of a Config class."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in _fields(cls)}


def field_type(config: Config, name: str) -> Any:
    """The type of one field. Raises InputError if there is none of this name."""
    types = field_types(type(config))
    if name not in types:
        raise unknown(f"field of {type(config).__name__}", name, types)
    return types[name]


def traced_fields(cls: type) -> tuple[str, ...]:
    """Names of the traced fields of a Config class."""
    return tuple(field.name for field in _fields(cls) if not field.metadata.get("static", False))


def static_fields(cls: type) -> tuple[str, ...]:
    """Names of the static fields of a Config class."""
    return tuple(field.name for field in _fields(cls) if field.metadata.get("static", False))


def meanings(cls: type) -> dict[str, str]:
    """What each field of a Config class means; a redefined field keeps its meaning unless it says another."""
    texts: dict[str, str] = {}
    for ancestor in reversed([each for each in cls.__mro__ if dataclasses.is_dataclass(each)]):
        said = {field.name: field.metadata.get("meaning", "") for field in _fields(ancestor)}
        texts |= {name: text for name, text in said.items() if text or name not in texts}
    return {name: texts[name] for name in field_types(cls)}


def shown(value: Any) -> str:
    """A field's value as text, the inverse of `parse`."""
    return "/".join(map(str, value)) if isinstance(value, tuple) else str(value)


def stack(configs: Sequence[C]) -> C:
    """Configs of equal structure as one whose traced fields have a leading axis: [lanes]."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *[each.arrays() for each in configs])


def _fields(config: Any) -> tuple[dataclasses.Field, ...]:
    return dataclasses.fields(config)


def _flatten(traced: Sequence[str], static: Sequence[str], config: Config) -> tuple[Any, Any]:
    leaves = [(jax.tree_util.GetAttrKey(name), getattr(config, name)) for name in traced]
    return leaves, tuple(getattr(config, name) for name in static)


def _unflatten(
    cls: type[C], traced: Sequence[str], static: Sequence[str], static_values: Any, leaves: Any
) -> C:
    """Without __init__, since jax also unflattens placeholders that are no numbers."""
    config = object.__new__(cls)
    for name, value in zip((*traced, *static), (*leaves, *static_values), strict=True):
        object.__setattr__(config, name, value)
    return config


def _parse_scalar(kind: type, text: str) -> Any:
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError
        return text.lower() == "true"
    return kind(text)


def _check(owner: str, kind: Any, value: Any, metadata: Mapping[str, Any]) -> None:
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, tuple):
            raise InputError(f"{owner} must be {_described(kind)}, got {value!r}")
        for item in value:
            _check(f"each item of {owner}", typing.get_args(kind)[0], item, metadata)
        return
    if not isinstance(value, ACCEPTED.get(kind, kind)) or (kind is not bool and isinstance(value, bool)):
        raise InputError(f"{owner} must be {_described(kind)}, got {value!r}")
    choices = metadata.get("choices", ())
    if choices and value not in choices:
        raise unknown(f"value of {owner}", value, choices)
    if kind in (int, float):
        low, high = metadata.get("low", -math.inf), metadata.get("high", math.inf)
        fits = -LIMITS[kind] <= value <= LIMITS[kind]  # false for NaN
        if not (fits and low <= value <= high):
            expected = _described_range(low, high) + ("" if fits else f" as {np.dtype(DTYPES[kind])}")
            raise InputError(f"{owner} must be {expected}, got {value!r}")


def _described(kind: Any) -> str:
    if typing.get_origin(kind) is tuple:
        return f"a tuple of {typing.get_args(kind)[0].__name__}"
    return {float: "a number", int: "an integer", bool: "true or false"}.get(kind, kind.__name__)


def _described_range(low: float, high: float) -> str:
    if math.isinf(low) and math.isinf(high):
        return "finite"
    if math.isinf(high):
        return f"at least {low:g}"
    return f"in [{low:g}, {high:g}]"
