"""Names of environments and algorithms: plain dicts, joined over the installed packages.

A package adds its own by an entry point of the group `jaxrl.environments` or `jaxrl.algorithms` whose
value is a dict of names; a script adds to the dict that `environments()` or `algorithms()` returns.
"""

import functools
import importlib.metadata
import importlib.util
from collections.abc import Mapping
from typing import Any, TypeVar

from jaxrl.algorithm import Algorithm
from jaxrl.config import Config
from jaxrl.environment import Environment
from jaxrl.errors import InputError, unknown

C = TypeVar("C", bound=Config)


@functools.cache
def environments() -> dict[str, Environment]:
    """Every known environment by its id."""
    return _joined("jaxrl.environments", Environment)


@functools.cache
def algorithms() -> dict[str, Algorithm]:
    """Every known algorithm, with default hyper-parameters, by its name."""
    return _joined("jaxrl.algorithms", Algorithm)


def environment(name: str) -> Environment:
    """The environment of this id. Raises InputError if there is none."""
    return _named("environment", name, environments())


def algorithm(name: str) -> Algorithm:
    """The algorithm of this name. Raises InputError if there is none."""
    return _named("algorithm", name, algorithms())


def name_of(config: Config, registered: Mapping[str, Config]) -> str:
    """The registered name of a config's class, its own class name if it has none.

    Where a class is registered several times, the entry that differs in the fewest fields.
    """
    parameters = config.parameters()
    distances = {
        name: sum(parameters[field] != value for field, value in entry.parameters().items())
        for name, entry in registered.items()
        if type(entry) is type(config)
    }
    return min(distances, key=lambda name: distances[name], default=type(config).__name__)


def _named(kind: str, name: str, registered: Mapping[str, C]) -> C:
    if name not in registered:
        raise unknown(kind, name, registered)
    return registered[name]


def _joined(group: str, kind: type) -> dict[str, Any]:
    joined: dict[str, Any] = {}
    for entry in importlib.metadata.entry_points(group=group):
        try:
            found = entry.load()
            if not all(isinstance(config, kind) for config in found.values()):
                raise TypeError(f"it is no dict of {kind.__name__} instances")
        except Exception as error:  # whatever a foreign package does when it is imported
            raise InputError(
                f"{entry.value!r} of group {group} cannot be loaded ({error}): the package "
                f"{entry.module!r} was found at {_location(entry.module)}; if that is another package "
                "of the same name, rename it or take its folder off the Python path"
            ) from None
        joined.update(found)
    return joined


def _location(name: str) -> str:
    """The folder or file of an importable package, also of one without __init__.py or that fails."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        return "no folder"
    return next(iter(spec.submodule_search_locations or []), spec.origin or "no folder")
