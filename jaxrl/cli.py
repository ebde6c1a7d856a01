"""The command line: `jaxrl list`, `jaxrl train`, `jaxrl report`.

Everything heavy is imported by the command that needs it, so that `--help` answers at once.
"""

import itertools
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from jaxrl.errors import InputError

if TYPE_CHECKING:
    from jaxrl.config import Config

# Counts are read as text here, so that a bad one gets the same one sentence as any other bad value.
Count = Annotated[str, tyro.conf.arg(metavar="INT")]
Name = Annotated[str, tyro.conf.arg(metavar="NAME")]
Folder = Annotated[str, tyro.conf.arg(metavar="DIR")]

app = tyro.extras.SubcommandApp()


@app.command(name="list")
def list_names() -> None:
    """Lists the environments and algorithms with their fields."""
    from rich.console import Console
    from rich.table import Table

    from jaxrl import registry

    def print_table(kind: str, registered: Iterable[tuple[str, "Config"]]) -> None:
        table = Table(kind, "fields and defaults", title_justify="left", box=None)
        for name, config in sorted(registered):
            fields = (f"{field}={_shown(value)}" for field, value in config.parameters().items())
            table.add_row(name, ", ".join(fields), style=None)
        Console().print(table)

    print_table("environment", registry.environments().items())
    print()
    print_table("algorithm", registry.algorithms().items())


@app.command
def train(
    algorithm: tyro.conf.Positional[Name],
    environment: tyro.conf.Positional[Name],
    seeds: Annotated[str, tyro.conf.arg(metavar="N or A:B")],
    steps: Count,
    set: tyro.conf.UseAppendAction[Annotated[list[str], tyro.conf.arg(metavar="FIELD=VALUE,...")]],
    out: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None,
    points: Count = "50",
    eval_episodes: Count = "10",
    width: Annotated[str | None, tyro.conf.arg(metavar="INT")] = None,
    prng: Name = "threefry2x32",
) -> None:
    """Trains an algorithm in an environment with many seeds at once.

    Args:
        algorithm: a name from `jaxrl list`, or several joined by commas.
        environment: a name from `jaxrl list`, or several joined by commas.
        seeds: a count (128 is 0 to 127) or a range (100:200).
        steps: environment steps of each run.
        set: field=value, or field=value,value,... for a grid; env.field=... for the environment's.
            Parts of a tuple are joined by '/'. May be given several times.
        out: the results folder; runs/<algorithm>-<environment> if not given.
        points: how often each run is evaluated and recorded.
        eval_episodes: episodes of one evaluation.
        width: lanes of a batch; the bits of a run depend on it. At most 256 if not given.
        prng: jax's name of the random number generator.
    """
    from jaxrl import registry, training
    from jaxrl.compilation_cache import enable_compilation_cache

    enable_compilation_cache()
    algorithms = [registry.algorithm(name) for name in algorithm.split(",")]
    environments = [registry.environment(name) for name in environment.split(",")]
    ours = [setting for setting in set if not setting.startswith("env.")]
    theirs = [setting.removeprefix("env.") for setting in set if setting.startswith("env.")]
    results = training.train(
        list(itertools.chain.from_iterable(_grid(each, ours) for each in algorithms)),
        list(itertools.chain.from_iterable(_grid(each, theirs) for each in environments)),
        seeds=seeds,
        steps=_integer("steps", steps),
        out=out or f"runs/{algorithm}-{environment}",
        points=_integer("points", points),
        eval_episodes=_integer("eval_episodes", eval_episodes),
        width=None if width is None else _integer("width", width),
        prng=prng,
    )
    _print_summary(results)


@app.command
def report(folder: tyro.conf.Positional[Folder]) -> None:
    """Writes report.html into a results folder, or into a folder of results folders.

    Args:
        folder: the folder.
    """
    from jaxrl.report import write_report

    print(write_report(folder))


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line; bad input ends in one sentence and exit code 2."""
    try:
        app.cli(prog="jaxrl", description="Reinforcement learning in JAX, by the hundred.", args=args)
    except InputError as error:
        print(f"jaxrl: {error}", file=sys.stderr)
        sys.exit(2)


def _grid(config: "Config", settings: Sequence[str]) -> list[Any]:
    """The configs that settings "field=value,value" make of one."""
    from jaxrl.config import grid, parse

    values: dict[str, list[Any]] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not (name and equals and text):
            raise InputError(f"--set needs field=value or field=value,value,..., got {setting!r}")
        if name in values:
            raise InputError(f"--set {name} was given twice; join the values by commas")
        values[name] = [parse(config, name, part) for part in text.split(",")]
    return grid(config, **values)


def _integer(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(f"{name} must be an integer of at least 1, got {text!r}") from None


def _print_summary(results: Any) -> None:
    """Per environment a line for each setting: runs, final mean with interval, solved share."""
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    from jaxrl.report.page import RESAMPLING_SEED, interval, number, percent
    from jaxrl.report.summary import summarise

    for section in summarise(results, np.random.default_rng(RESAMPLING_SEED)):
        table = Table(section.environment, "runs", "final mean [95 %]", "solved [95 %]", box=None)
        for setting in section.settings:
            final = " ".join([number(setting.final.estimate), interval(setting.final)])
            solved = percent(setting.solved) if setting.solved else "-"
            table.add_row(setting.label, str(setting.runs), final, solved)
        Console().print(table)
        print(f" {number(section.steps_per_second)} training steps/s\n")
    print(f"{results.path} holds manifest, tables and final states; next: jaxrl report {results.path}")


def _shown(value: Any) -> str:
    return "/".join(map(str, value)) if isinstance(value, tuple) else f"{value}"
