"""Names of environments and algorithms: plain dicts, joined over the installed packages.

A package adds its own by an entry point of the group `jaxrl.environments` or `jaxrl.algorithms` whose
value is a dict of names; a script adds to the dict that `environments()` or `algorithms()` returns.

All environments of another library come through a door, under names such as `gymnax:Breakout-MinAtar`.
A door is an entry point of the group `jaxrl.doors`: its name is the prefix, its value a class of
environments with a field `name`, the rest of the name, and a class method `from_name` that makes one of it.
"""

import functools
import importlib.metadata
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

from jaxrl.config import Config
from jaxrl.errors import InputError, unknown
from jaxrl.learning.algorithm import Algorithm
from jaxrl.mdp.environment import Environment


@functools.cache
def environments() -> dict[str, Environment]:
    """Every known environment by its id."""
    return _joined("jaxrl.environments", Environment)


@functools.cache
def algorithms() -> dict[str, Algorithm]:
    """Every known algorithm, with default hyper-parameters, by its name."""
    return _joined("jaxrl.algorithms", Algorithm)


@functools.cache
def doors() -> dict[str, Any]:
    """Every class of environments of another library by its prefix."""

    def is_door(found: Any) -> bool:
        return issubclass(found, Environment) and hasattr(found, "from_name")

    entries = importlib.metadata.entry_points(group="jaxrl.doors")
    return {entry.name: _loaded(entry, is_door, "class of environments with from_name") for entry in entries}


def environment(name: str) -> Environment:
    """The environment of this id. Raises InputError if there is none."""
    if name in environments():
        return environments()[name]
    prefix, colon, rest = name.partition(":")
    if not colon:
        raise unknown("environment", name, [*environments(), *(f"{prefix}:NAME" for prefix in doors())])
    if prefix not in doors():
        raise unknown("prefix of an environment", prefix, doors())
    return doors()[prefix].from_name(rest)


def algorithm(name: str) -> Algorithm:
    """The algorithm of this name. Raises InputError if there is none."""
    if name not in algorithms():
        raise unknown("algorithm", name, algorithms())
    return algorithms()[name]


def name_of(config: Config, registered: Mapping[str, Config]) -> str:
    """The registered name of a config's class, its own class name if it has none.

    Where a class is registered several times, the entry that differs in the fewest fields.
    """
    for prefix, door in doors().items():
        if type(config) is door:
            return f"{prefix}:{config.parameters()['name']}"
    parameters = config.parameters()
    distances = {
        name: sum(parameters[field] != value for field, value in entry.parameters().items())
        for name, entry in registered.items()
        if type(entry) is type(config)
    }
    return min(distances, key=lambda name: distances[name], default=type(config).__name__)


def _joined(group: str, kind: type) -> dict[str, Any]:
    """The dicts of all entry points of a group as one."""

    def is_dict(found: Any) -> bool:
        return all(isinstance(config, kind) for config in found.values())

    joined: dict[str, Any] = {}
    for entry in importlib.metadata.entry_points(group=group):
        joined.update(_loaded(entry, is_dict, f"dict of {kind.__name__} instances"))
    return joined


def _loaded(entry: importlib.metadata.EntryPoint, holds: Callable[[Any], bool], expected: str) -> Any:
    """The value of an entry point. Raises InputError if it cannot be imported or is not what is expected."""
    try:
        found = entry.load()
        if not holds(found):
            raise TypeError(f"it is no {expected}")
    except Exception as error:  # whatever a foreign package does when it is imported
        package = entry.module.partition(".")[0]
        raise InputError(
            f"{entry.value!r} of group {entry.group} cannot be loaded ({error}): the package "
            f"{package!r} was found at {_location(package)}; if that is another package "
            "of the same name, rename it or take its folder off the Python path"
        ) from None
    return found


def _location(name: str) -> str:
    """The folder or file of an importable package, also of one without __init__.py or that fails."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        return "no folder"
    return next(iter(spec.submodule_search_locations or []), spec.origin or "no folder")
