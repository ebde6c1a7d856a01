"""Names of environments and algorithms: plain dicts, joined over the installed packages.

A package adds its own by an entry point of the group `jaxrl.environments` or `jaxrl.algorithms` whose
value is a dict of names; a script adds to the dict that `environments()` or `algorithms()` returns.
"""

import functools
import importlib.metadata
import sys
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
    return _joined("jaxrl.environments")


@functools.cache
def algorithms() -> dict[str, Algorithm]:
    """Every known algorithm, with default hyper-parameters, by its name."""
    return _joined("jaxrl.algorithms")


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


def _joined(group: str) -> dict[str, Any]:
    joined: dict[str, Any] = {}
    for entry in importlib.metadata.entry_points(group=group):
        try:
            joined.update(entry.load())
        except (AttributeError, ImportError) as error:
            raise InputError(
                f"{entry.value!r} of group {group} cannot be loaded ({error}): the package "
                f"{entry.module!r} was found at {_location(entry.module)}; if that is another package "
                "of the same name, rename it or take its folder off the Python path"
            ) from None
    return joined


def _location(module: str) -> str:
    """The folder of an imported package, also of one without __init__.py."""
    return next(iter(getattr(sys.modules.get(module), "__path__", ["no folder"])))
