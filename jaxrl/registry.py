"""The names of environments, algorithms and components: plain dicts that installed packages add to.

A package adds its own by an entry point of the group `jaxrl.environments`, `jaxrl.algorithms` or
`jaxrl.components`, whose value is a dict from names to instances. A script adds to the dict that
`environments()`, `algorithms()` or `components()` returns.

The environments of another library come through an adapter, under names such as `gymnax:Breakout-MinAtar`.
An adapter is an entry point of the group `jaxrl.adapters`. The entry point's name is the prefix. Its value is
a class of environments with a field `name`, which holds the rest of the name, and a class method
`from_name(name)`.
"""

import dataclasses
import functools
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxrl.config import Config, field_type
from jaxrl.errors import InputError, printable, unknown
from jaxrl.fields import Shared, nested, parse_value, shown
from jaxrl.learning.algorithm import Algorithm
from jaxrl.mdp.environment import Environment
from jaxrl.text import rounded


@functools.cache
def environments() -> dict[str, Environment]:
    """Every known environment by its name."""
    return _joined("jaxrl.environments", Environment)


@functools.cache
def algorithms() -> dict[str, Algorithm]:
    """Every known algorithm, with default hyper-parameters, by its name."""
    return _joined("jaxrl.algorithms", Algorithm)


@functools.cache
def components() -> dict[str, Config]:
    """Every known component, such as a network, by its name."""
    return _joined("jaxrl.components", Config)


@functools.cache
def adapters() -> dict[str, Any]:
    """The class of environments of every other library, by its prefix."""

    def is_adapter(found: Any) -> bool:
        return issubclass(found, Environment) and hasattr(found, "from_name")

    entries = importlib.metadata.entry_points(group="jaxrl.adapters")
    return {
        entry.name: _loaded(entry, is_adapter, "class of environments with from_name") for entry in entries
    }


def environment(name: str) -> Environment:
    """The environment of this name. Raises InputError if there is none."""
    wrappers = {each: held for each, held in components().items() if isinstance(held, Environment)}
    if name in (known := environments() | wrappers):
        return known[name]
    prefix, colon, rest = name.partition(":")
    if not colon:
        raise unknown("environment", name, [*known, *(f"{prefix}:NAME" for prefix in adapters())])
    if prefix not in adapters():
        raise unknown("prefix of an environment", prefix, adapters())
    return adapters()[prefix].from_name(rest)


def algorithm(name: str) -> Algorithm:
    """The algorithm of this name. Raises InputError if there is none."""
    return component(Algorithm, name)


def component(kind: type[Config], name: str) -> Any:
    """The config of this name that a field of type `kind` may hold. Raises InputError if there is none."""
    if issubclass(kind, Environment):
        return environment(name)
    known = {each: held for each, held in (components() | algorithms()).items() if isinstance(held, kind)}
    if name not in known:
        raise unknown(kind.__name__.lower(), name, known)
    return known[name]


def recorded(kind: type[Config], name: str) -> Any:
    """The config of this name in a results folder, for `configured`: registered or defined by this process.

    The newest class of this name counts. Nothing is imported for a name of another class. Raises InputError
    if there is none.
    """
    try:
        return component(kind, name)
    except InputError as error:
        if ":" in name:
            raise
        defined = [each for each in _subclasses(kind) if each.__name__ == name]
        if not defined:
            raise InputError(
                f"{error}; if a script defines {name}, call jaxrl.load or jaxrl.resume in that script, name "
                "its module with --trust MODULE, or let a package register it"
            ) from None
    fields = dataclasses.fields(defined[-1])  # type: ignore[arg-type]
    return defined[-1](**{each.name: None for each in fields if each.default is dataclasses.MISSING})


def unregistered(config: Config) -> list[str]:
    """The names of those classes, of a config and of its components, that are not registered."""
    registered = {**components(), **algorithms(), **environments()}
    known = {*map(type, registered.values()), *adapters().values()}
    configs = [config, *(value for value in config.parameters().values() if isinstance(value, Config))]
    return [type(each).__name__ for each in configs if type(each) not in known]


def _subclasses(cls: type[Config]) -> list[type[Config]]:
    """All classes that derive from a class. Those of one class are in the order of their definitions."""
    return [each for below in cls.__subclasses__() for each in (below, *_subclasses(below))]


def parse(config: Config, name: str, text: str) -> Any:
    """The value that `text` gives to the field with this dotted name. A component is written as its name.

    Raises InputError for an unknown field or a text that does not fit the field's type.
    """
    kind = field_type(config, name)
    if isinstance(kind, type) and issubclass(kind, Config):
        return component(kind, text)
    if kind is Shared:
        return _read_arrays(text)
    return parse_value(f"{type(config).__name__}.{name}", kind, text)


def _read_arrays(path: str) -> Shared:
    """The arrays of an npz file. Raises InputError if it cannot be read."""
    try:
        with np.load(os.path.expanduser(path), allow_pickle=False) as file:
            return Shared(nested(dict(file)))
    except (OSError, ValueError, AttributeError) as error:  # no such file, no npz file, a single array
        raise InputError(f"{path} cannot be read as an npz file of arrays: {error}") from None


def name_of(config: Config) -> str:
    """The registered name of a config's class, or the class's own name if it is not registered.

    If a class has several names, it is the one whose entry is the most similar.
    """
    for prefix, adapter in adapters().items():
        if type(config) is adapter:
            return f"{prefix}:{config.parameters()['name']}"
    registered: Mapping[str, Config] = {**components(), **algorithms(), **environments()}
    parameters = config.parameters()
    distances = {
        name: sum(parameters.get(field) != value for field, value in entry.parameters().items())
        for name, entry in registered.items()
        if type(entry) is type(config)
    }
    return min(distances, key=lambda name: distances[name], default=type(config).__name__)


def label_of(config: Config) -> str:
    """A config's name and its fields that differ from the registered ones: "CartPole-v1 pole_length=0.25".

    Control characters are escaped.
    """
    name = name_of(config)
    registered = {**components(), **algorithms(), **environments()}.get(name)
    usual = {} if registered is None else plain_parameters(registered)
    changed = {
        field: rounded(value) if isinstance(value, float) else value
        for field, value in plain_parameters(config).items()
        if usual.get(field) != value
    }
    return printable(" ".join([name, *(f"{field}={shown(value)}" for field, value in changed.items())]))


def plain_parameters(config: Config) -> dict[str, Any]:
    """`config.parameters()` with components replaced by their names and shared arrays by their hashes."""

    def plain(value: Any) -> Any:
        if isinstance(value, Config):
            return name_of(value)
        return value.hash if isinstance(value, Shared) else value

    return {name: plain(value) for name, value in config.parameters().items()}


def entry_of(config: Config) -> dict[str, Any]:
    """A config's name and parameters as plain JSON values."""
    return {"name": name_of(config), "parameters": plain_parameters(config)}


def configured(config: Config, values: Mapping[str, Any], arrays: Mapping[str, Shared]) -> Any:
    """The inverse of `plain_parameters`: a copy of `config` with these values.

    `arrays` holds the shared arrays by their hashes. Raises InputError for an unknown field or name, a bad
    value, or a hash that `arrays` does not hold.
    """
    for name in sorted(values):  # a component comes before its fields
        value = values[name]
        kind = field_type(config, name)
        if isinstance(kind, type) and issubclass(kind, Config):
            value = recorded(kind, value)
        elif kind is Shared:
            if value not in arrays:
                raise InputError(f"the arrays of {type(config).__name__}.{name}, {value!r}, are missing")
            value = arrays[value]
        config = config.replace(**{name: tuple(value) if isinstance(value, list) else value})
    config.validate()
    return config


def _joined(group: str, kind: type) -> dict[str, Any]:
    """The dicts of all entry points of a group as one."""

    def is_dict(found: Any) -> bool:
        return all(isinstance(config, kind) for config in found.values())

    joined: dict[str, Any] = {}
    for entry in importlib.metadata.entry_points(group=group):
        joined.update(_loaded(entry, is_dict, f"dict of {kind.__name__} instances"))
    return joined


class _AskedTooEarly(InputError):
    """A package asks for the names while it is imported to give its own."""


def _loaded(entry: importlib.metadata.EntryPoint, holds: Callable[[Any], bool], expected: str) -> Any:
    """The value of an entry point. Raises InputError if it cannot be imported or is not as expected."""
    try:
        found = entry.load()
        if not holds(found):
            raise TypeError(f"it is not a {expected}")
    except _AskedTooEarly:
        raise
    except Exception as error:  # importing a foreign package can raise anything
        package = entry.module.partition(".")[0]
        if getattr(getattr(sys.modules.get(entry.module), "__spec__", None), "_initializing", False):
            raise _AskedTooEarly(
                f"{entry.module} asks for the names of {entry.group} while it is imported to give its own; "
                "remove its line with jaxrl.registry, since its entry point registers it"
            ) from None
        raise InputError(
            f"{entry.value!r} of group {entry.group} cannot be loaded ({error}): the package "
            f"{package!r} was found at {_location(package)}; if that is another package of the same name, "
            "rename it or remove its folder from the Python path"
        ) from None
    return found


def _location(name: str) -> str:
    """The folder or file of a package, even if it lacks __init__.py or cannot be imported."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        return "no folder"
    return next(iter(spec.submodule_search_locations or []), spec.origin or "no folder")
