"""The types of command-line arguments, and their conversion from text to values.

Every argument is read as text, so that a bad argument ends in one sentence like any other bad input.
"""

import contextlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import tyro

from jaxrl.errors import InputError

if TYPE_CHECKING:
    from jaxrl.config import Config

T = TypeVar("T")

Algorithm = Annotated[str, tyro.conf.arg(metavar="ALGORITHM")]
Environment = Annotated[str, tyro.conf.arg(metavar="ENVIRONMENT")]
Folder = Annotated[str, tyro.conf.arg(metavar="FOLDER")]
Folders = Annotated[
    tuple[str, ...], tyro.conf.arg(metavar="FOLDER [FOLDER ...]", help_behavior_hint="(at least one)")
]
Name = Annotated[str, tyro.conf.arg(metavar="NAME")]
Seeds = Annotated[str, tyro.conf.arg(metavar="N or A:B")]
Count = Annotated[str, tyro.conf.arg(metavar="INT")]
Assignments = tyro.conf.UseAppendAction[
    Annotated[tuple[str, ...], tyro.conf.arg(metavar="FIELD=VALUE,...", help_behavior_hint="(repeatable)")]
]
Flag = tyro.conf.FlagCreatePairsOff[Annotated[bool, tyro.conf.arg(help_behavior_hint="")]]


def optional(metavar: str, text: str | None = None) -> object:
    """The help of an option that may be left out: a text, or the docstring's if None; no "None" default."""
    return tyro.conf.arg(metavar=metavar, help=text, help_behavior_hint="")


Form = Annotated[str, tyro.conf.arg(metavar="rliable|marl-eval|npz|tensorboard|wandb")]

Text = Annotated[str, optional("TEXT")]
OptionalLog = Annotated[str | None, optional("tensorboard|wandb")]
Evaluations = tyro.conf.UseAppendAction[
    Annotated[
        tuple[str, ...], tyro.conf.arg(metavar="NAME:FIELD=VALUE,...", help_behavior_hint="(repeatable)")
    ]
]
OptionalName = Annotated[str | None, optional("NAME")]
OptionalFolder = Annotated[str | None, optional("FOLDER")]
OptionalFile = Annotated[str | None, optional("FILE")]
OptionalSeeds = Annotated[str | None, optional("N or A:B")]
OptionalCount = Annotated[str | None, optional("INT")]
OptionalSeconds = Annotated[str | None, optional("SECONDS")]
OptionalSize = Annotated[str | None, optional("SIZE")]
OptionalEffects = Annotated[str | None, optional("RETURN or ENVIRONMENT=RETURN,...")]


def integer(name: str, text: str, low: int = 1) -> int:
    """An integer of at least `low` from a text. Raises InputError for anything else."""
    with contextlib.suppress(ValueError):
        if (value := int(text)) >= low:
            return value
    raise InputError(f"{name} must be an integer of at least {low}, got {text!r}")


def seconds(name: str, text: str) -> float:
    """A number of seconds of at least 0 from a text. Raises InputError for anything else."""
    with contextlib.suppress(ValueError):
        if (value := float(text)) >= 0:
            return value
    raise InputError(f"{name} must be a number of seconds of at least 0, got {text!r}")


def if_given(convert: Callable[[str, str], T], name: str, text: str | None) -> T | None:
    """The converted text of an option; None if the option is not given."""
    return None if text is None else convert(name, text)


def effects(text: str | None) -> float | dict[str, float] | None:
    """The smallest effects from a text such as "10" or "CartPole-v1=10,Pendulum-v1=50".

    Raises InputError for anything else.
    """
    if text is None:
        return None
    try:
        if "=" not in text:
            return float(text)
        return {name: float(value) for name, _, value in (part.rpartition("=") for part in text.split(","))}
    except ValueError:
        raise InputError(
            f"smallest_effect must be a number or environment=number,..., got {text!r}"
        ) from None


def named(names: str, look_up: Callable[[str], "Config"]) -> list[Any]:
    """The registered configs with the names "a,b". Raises InputError for an unknown name."""
    return [look_up(name) for name in names.split(",")]


def grids(configs: Sequence["Config"], option: str, assignments: Sequence[str]) -> list[Any]:
    """The copies of each config with every combination of an option's assignments.

    Raises InputError for an unknown field or a bad value.
    """
    return [changed for config in configs for changed in _grid(config, option, assignments)]


def _grid(config: "Config", option: str, assignments: Sequence[str]) -> list[Any]:
    """The copies of a config with every combination of the assignments "field=value,value"."""
    values: dict[str, list[str]] = {}
    for assignment in assignments:
        name, texts = _split(option, assignment)
        if name in values:
            raise InputError(f"{option} {name} was given twice; join the values by commas")
        values[name] = texts.split(",")
    combinations = itertools.product(*values.values())
    return [_parsed(config, dict(zip(values, texts, strict=True))) for texts in combinations]


def evaluations(base: "Config", options: Sequence[str]) -> dict[str, Any]:
    """Copies of an environment by name, from options "name:field=value,field=value".

    Raises InputError for an option of another form, an unknown field or a bad value.
    """
    named: dict[str, Any] = {}
    for option in options:
        name, colon, assignments = option.partition(":")
        if not (name and colon and assignments):
            raise InputError(f"--evaluate-in needs name:field=value,field=value,..., got {option!r}")
        if name in named:
            raise InputError(f"--evaluate-in {name} was given twice")
        pairs = (_split("--evaluate-in", assignment) for assignment in assignments.split(","))
        named[name] = _parsed(base, dict(pairs))
    return named


def _split(option: str, assignment: str) -> tuple[str, str]:
    name, equals, text = assignment.partition("=")
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
