"""Config: the frozen dataclass behind every environment, algorithm and component."""

import dataclasses
import functools
import inspect
import itertools
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar, dataclass_transform

import jax
import numpy as np
from jax import Array

from jaxrl.errors import InputError, unknown
from jaxrl.fields import DTYPES, check_value, kind_of, plain, redefined
from jaxrl.fields import Shared as Shared
from jaxrl.fields import component as component
from jaxrl.fields import shared as shared
from jaxrl.fields import static as static
from jaxrl.fields import traced as traced

C = TypeVar("C", bound="Config")
_TYPES: dict[type, Mapping[str, Any]] = {}  # class -> its field_types, kept since reading them is slow
Scalar = Array | float  # a [] hyper-parameter: a number on the host, an array in a compiled program


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Config:
    """A frozen, keyword-only dataclass that is a pytree. A subclass needs no decorator.

    Traced fields are leaves, components and shared fields are subtrees, static fields are structure. The type
    of a traced field is float, int or bool. The type of a static field is float, int, bool, str, or a tuple
    of one of them. An unmarked field is a component if its default is a Config, otherwise traced.

    A class attribute with the name of an inherited field gives the field another default. A property with
    that name replaces the field by a computed value.
    """

    packages: ClassVar[tuple[str, ...]] = ()  # packages whose version changes what this config computes

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _redefine_fields(cls)
        dataclasses.dataclass(frozen=True, kw_only=True)(cls)
        # jax.tree_util.register_dataclass does not serve: in jax 0.10.2 and 0.11.2 the structures of two
        # such classes compare equal if their static values are equal. One environment could then run in
        # the program that was compiled for another.
        static_names = names_of(cls, "static")
        inner_names = (*names_of(cls, "traced"), *names_of(cls, "component"), *names_of(cls, "shared"))
        flatten = functools.partial(_flatten, inner_names, static_names)
        unflatten = functools.partial(_unflatten, cls, inner_names, static_names)
        jax.tree_util.register_pytree_with_keys(cls, flatten, unflatten)

    def __post_init__(self) -> None:
        for name in (*names_of(type(self), "traced"), *names_of(type(self), "static")):
            if not isinstance(value := getattr(self, name), np.ndarray):  # as `arrays` makes
                object.__setattr__(self, name, plain(value))
        for name in names_of(type(self), "shared"):
            value = getattr(self, name)
            tracing = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value))
            if isinstance(value, Mapping) and not isinstance(value, Shared) and not tracing:
                object.__setattr__(self, name, Shared(value))

    def replace(self, **values: Any) -> Self:
        """A copy with other values, unchecked. Dotted names reach into components: `network.hidden`."""
        own = {name: value for name, value in values.items() if "." not in name}
        changed: Any = dataclasses.replace(self, **own)  # type: ignore[type-var]
        for name in sorted(values.keys() - own.keys()):  # a component comes before its fields
            outer, _, inner = name.partition(".")
            part = getattr(changed, outer).replace(**{inner: values[name]})
            changed = dataclasses.replace(changed, **{outer: part})
        return changed

    def with_values(self, **values: Any) -> Self:
        """A checked copy with other values. Dotted names reach into components, old or given in this call.

        Raises InputError for an unknown field or a bad value.
        """
        changed = self
        for name in sorted(values):  # a component comes before its fields
            field_type(changed, name)
            changed = changed.replace(**{name: values[name]})
        changed.validate()
        return changed

    def validate(self) -> None:
        """Raises InputError if a field's value has the wrong type or lies outside its range.

        The values must be concrete. A subclass adds checks that concern several fields at once.
        """
        types = field_types(type(self))
        for field in _fields(self):
            owner, kind = f"{type(self).__name__}.{field.name}", kind_of(field)
            expected, value = types[field.name], getattr(self, field.name)
            if kind == "component":
                if not isinstance(value, expected):
                    raise InputError(f"{owner} must be an instance of {expected.__name__}, got {value!r}")
                value.validate()
            elif kind == "shared":
                if not isinstance(value, Shared) or not value:
                    raise InputError(f"{owner} must be a mapping from names to arrays, got {value!r}")
            elif kind == "traced" and expected not in DTYPES:
                raise InputError(f"{owner} is not a number, so it cannot be traced; mark it static(...)")
            else:
                check_value(owner, expected, value, field.metadata)

    def parameters(self) -> dict[str, Any]:
        """Every field's dotted name and plain value, in order of definition.

        A component is followed by its own fields.
        """
        return {name: plain(value) for name, _, value in _all_fields(self)}

    def arrays(self) -> Self:
        """A copy whose traced fields are [] numpy arrays of the field's type (float32, int32, bool)."""
        types = field_types(type(self))
        values: dict[str, Any] = {
            name: np.asarray(getattr(self, name), DTYPES[types[name]])
            for name in names_of(type(self), "traced")
        }
        values |= {name: getattr(self, name).arrays() for name in names_of(type(self), "component")}
        return self.replace(**values)


def grid(config: C, **values: Sequence[Any]) -> list[C]:
    """Every combination of the listed values: `grid(PPO(), learning_rate=[1e-3, 1e-4], num_envs=[4, 8])`.

    Settings that differ only in traced fields share one compiled program. The last field varies fastest.
    Dotted names reach into components: `grid(PPO(), **{"network.hidden": [(64,), (64, 64)]})`.
    Raises InputError for an unknown field, a bad value or an empty list.
    """
    if not isinstance(config, Config):
        raise InputError(f"grid needs an instance such as PPO() or CartPole(), got {config!r}")
    values = {
        name: plain(options) if isinstance(options, np.ndarray) else options
        for name, options in values.items()
    }
    for name, options in values.items():
        if isinstance(options, str) or not isinstance(options, Sequence):
            raise InputError(f"grid needs a list of values for {name!r}, got {options!r}")
        if len(options) == 0:
            raise InputError(f"grid got no values for {name!r}; give at least one")
    combinations = itertools.product(*values.values())
    return [config.with_values(**dict(zip(values, each, strict=True))) for each in combinations]


def stack(configs: Sequence[C]) -> C:
    """Joins configs of equal structure to one config whose traced fields are arrays [lanes]."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *[each.arrays() for each in configs])


def detach(config: C) -> tuple[C, dict[str, Any]]:
    """A config without its shared arrays, and the arrays by the dotted names of their fields."""
    arrays = {
        name: value.arrays if isinstance(value, Shared) else value
        for name, field, value in _all_fields(config)
        if kind_of(field) == "shared" and value is not None
    }
    return config.replace(**dict.fromkeys(arrays)), arrays


def shared_bytes(config: Config) -> int:
    """Bytes of a config's shared arrays, which every device holds once."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(detach(config)[1]))


def attach(config: C, arrays: Mapping[str, Any]) -> C:
    """The inverse of `detach`. The arrays may be traced."""
    return config.replace(**arrays) if arrays else config


def field_types(cls: type) -> Mapping[str, Any]:
    """The type of each field of a Config class."""
    if cls not in _TYPES:
        hints = typing.get_type_hints(cls)
        _TYPES[cls] = {field.name: hints[field.name] for field in _fields(cls)}
    return _TYPES[cls]


def field_type(config: Config, name: str) -> Any:
    """The type of the field with this dotted name, `Shared` for a shared field.

    Raises InputError for an unknown name.
    """
    outer, dot, inner = name.partition(".")
    types = field_types(type(config))
    if outer not in types:
        raise unknown(f"field of {type(config).__name__}", outer, types)
    if not dot:
        return Shared if outer in names_of(type(config), "shared") else types[outer]
    held = getattr(config, outer)
    if not isinstance(held, Config):
        raise InputError(f"{type(config).__name__}.{outer} is not a component, so it has no field {inner!r}")
    return field_type(held, inner)


def meanings(config: Config) -> dict[str, str]:
    """What each field means, by its dotted name."""
    return {name: field.metadata.get("meaning", "") for name, field, _ in _all_fields(config)}


def _all_fields(config: Config) -> Iterator[tuple[str, dataclasses.Field, Any]]:
    """Dotted name, field and value of every field. A component is followed by its own fields."""
    for field in _fields(config):
        value = getattr(config, field.name)
        yield field.name, field, value
        if isinstance(value, Config):
            for name, inner, held in _all_fields(value):
                yield f"{field.name}.{name}", inner, held


def names_of(cls: type, kind: str) -> tuple[str, ...]:
    """The names of those fields of a Config class that are of one kind."""
    return tuple(field.name for field in _fields(cls) if kind_of(field) == kind)


def _fields(config: Any) -> tuple[dataclasses.Field, ...]:
    return dataclasses.fields(config)


def _redefine_fields(cls: type) -> None:
    """Lets attributes of a class, and of its bases that are not Configs, redefine inherited fields."""
    inherited: dict[str, tuple[type, dataclasses.Field]] = {}
    for base in reversed(cls.__mro__[1:]):
        if dataclasses.is_dataclass(base) and issubclass(base, Config):
            inherited |= {field.name: (base, field) for field in _fields(base)}
    annotations = dict(inspect.get_annotations(cls))
    for name, (base, field) in inherited.items():
        holder = next((each for each in cls.__mro__ if name in each.__dict__), base)
        if issubclass(holder, Config) and holder is not cls and name not in annotations:
            continue
        value = holder.__dict__.get(name, field.default)
        if isinstance(value, property):
            annotations[name] = ClassVar[Any]
            setattr(cls, name, value)
        elif callable(value) or isinstance(value, classmethod | staticmethod):
            raise TypeError(f"{cls.__name__}.{name} is a function, but {base.__name__}.{name} is a field")
        else:
            setattr(cls, name, redefined(field, value))
            annotations.setdefault(name, field_types(base)[name])
    cls.__annotations__ = annotations


def _flatten(inner: Sequence[str], static: Sequence[str], config: Config) -> tuple[Any, Any]:
    children = [(jax.tree_util.GetAttrKey(name), getattr(config, name)) for name in inner]
    return children, tuple(getattr(config, name) for name in static)


def _unflatten(
    cls: type[C], inner: Sequence[str], static: Sequence[str], static_values: Any, children: Any
) -> C:
    """Skips __init__, since jax also unflattens placeholders that are not numbers."""
    config = object.__new__(cls)
    for name, value in zip((*inner, *static), (*children, *static_values), strict=True):
        object.__setattr__(config, name, value)
    return config
