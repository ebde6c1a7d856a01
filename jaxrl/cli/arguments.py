"""The conversion of command-line arguments from text to values."""

import importlib
import itertools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jaxrl.errors import InputError
from jaxrl.text import parts

if TYPE_CHECKING:
    from jaxrl.config import Config


def effects(text: str | None) -> float | dict[str, float] | None:
    """The smallest effects from a text such as "10" or "CartPole-v1=10,Pendulum-v1=50".

    Raises InputError for anything else.
    """
    if text is None:
        return None
    try:
        if "=" not in text:
            return float(text)
        return {name: float(value) for name, _, value in (part.rpartition("=") for part in parts(text))}
    except ValueError:
        raise InputError(
            f"smallest_effect must be a number or environment=number,..., got {text!r}"
        ) from None


def named(names: str, look_up: Callable[[str], "Config"]) -> list[Any]:
    """The registered configs with the names "a,b". Raises InputError for an unknown name.

    A module in a name, as in gymnasium:mymod:Env-v0, may lie in the working folder.
    """
    if any(name.count(":") > 1 for name in parts(names)):
        _look_in_working_folder()
    return [look_up(name) for name in parts(names)]


def grids(configs: Sequence["Config"], option: str, assignments: Sequence[str]) -> list[Any]:
    """The copies of each config with every combination of an option's assignments.

    Raises InputError for an unknown field or a bad value.
    """
    values: dict[str, list[str]] = {}
    for assignment in assignments:
        name, texts = _split(option, assignment)
        if name in values:
            raise InputError(f"{option} {name} was given twice; join the values by commas")
        values[name] = parts(texts)
    combinations = [dict(zip(values, texts, strict=True)) for texts in itertools.product(*values.values())]
    return [_parsed(config, texts) for config in configs for texts in combinations]


def evaluations(environments: Sequence["Config"], options: Sequence[str]) -> dict[str, Any]:
    """Copies of the only environment by name, from options "name:field=value,field=value".

    Raises InputError for several environments, an option of another form, an unknown field or a bad value.
    """
    if options and len(environments) > 1:
        raise InputError(f"--evaluate-in needs one training environment, got {len(environments)}")
    named: dict[str, Any] = {}
    for option in options:
        name, colon, assignments = option.partition(":")
        if not (name and colon and assignments):
            raise InputError(f"--evaluate-in needs name:field=value,field=value,..., got {option!r}")
        if name in named:
            raise InputError(f"--evaluate-in {name} was given twice")
        pairs = (_split("--evaluate-in", assignment) for assignment in parts(assignments))
        named[name] = _parsed(environments[0], dict(pairs))
    return named


def import_trusted(modules: Sequence[str]) -> None:
    """Imports the modules that --trust names. Raises InputError for one that cannot be imported.

    They may lie in the working folder.
    """
    if modules:
        _look_in_working_folder()
    for name in modules:
        try:
            importlib.import_module(name)
        except (ImportError, ValueError) as error:
            raise InputError(f"--trust {name}: the module cannot be imported: {error}") from None


def _look_in_working_folder() -> None:
    """Lets modules in the working folder be imported. None of them hides an installed package."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def _split(option: str, assignment: str) -> tuple[str, str]:
    name, equals, text = (part.strip() for part in assignment.partition("="))
    if not (name and equals and text):
        raise InputError(f"{option} needs field=value or field=value,value,..., got {assignment!r}")
    return name, text


def _parsed(config: "Config", texts: Mapping[str, str]) -> Any:
    """A config with values from texts. Components come first, since their own fields may follow."""
    from jaxrl.registry import parse

    for name in sorted(texts, key=lambda name: name.count(".")):
        config = config.replace(**{name: parse(config, name, texts[name])})
    config.validate()
    return config
