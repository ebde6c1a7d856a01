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


def chosen(
    algorithm: str | None, environment: str | None, preset: bool, config: str | None, trust: Sequence[str]
) -> dict[str, Any]:
    """The study that names, a preset or a file describe, as arguments of `jaxrl.train`.

    Imports the modules of `trust` before. Raises InputError for an unknown name, for names beside a file, and
    for a missing name.
    """
    from jaxrl import presets, registry
    from jaxrl.store.settings_file import read_settings

    import_trusted(trust)
    if config is not None:
        if algorithm is not None or preset:
            raise InputError("--config names algorithms and environments, so give no names and no --preset")
        return read_settings(config)
    if algorithm is None or environment is None:
        raise InputError("ALGORITHM and ENVIRONMENT are required without --config; see jaxrl train --help")
    if not preset:
        return {
            "algorithm": named(algorithm, registry.algorithm),
            "environment": named(environment, registry.environment),
        }
    if "," in algorithm + environment:
        raise InputError(f"--preset takes one algorithm and one environment, got {algorithm} {environment}")
    study = presets.preset(algorithm, environment)
    return study | {name: [study[name]] for name in ("algorithm", "environment")}


def changed(
    study: Mapping[str, Any],
    set: Sequence[str],
    env: Sequence[str],
    evaluate_in: Sequence[str],
    **given: Any,
) -> dict[str, Any]:
    """A study, as arguments of `jaxrl.train`, with what the options of the command `train` change.

    An option that is None was not given. Raises InputError for an unknown field, a bad value, and if there
    are no seeds or no steps.
    """
    study = dict(study) | {name: value for name, value in given.items() if value is not None}
    missing = [f"--{name}" for name in ("seeds", "steps") if name not in study]
    if missing:
        raise InputError(f"{' and '.join(missing)} must be given; see jaxrl train --help")
    study["algorithm"] = grids(study["algorithm"], "--set", set)
    study["environment"] = grids(study["environment"], "--env", env)
    if evaluate_in:
        study["evaluate_in"] = evaluations(study["environment"], evaluate_in)
    return study


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
