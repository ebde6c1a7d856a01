"""The command line: `jaxrl list`, `jaxrl train`, `jaxrl report`.

Everything heavy is imported by the command that needs it, so that `--help` answers at once.
"""

import itertools
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from jaxrl.errors import InputError

if TYPE_CHECKING:
    from jaxrl.config import Config
    from jaxrl.results import Results

# Counts are read as text here, so that a bad one gets the same one sentence as any other bad value.
Count = Annotated[str, tyro.conf.arg(metavar="INT")]
OptionalCount = Annotated[str | None, tyro.conf.arg(metavar="INT")]
Name = Annotated[str, tyro.conf.arg(metavar="NAME")]
Directory = Annotated[str, tyro.conf.arg(metavar="DIR")]
Assignments = Annotated[list[str], tyro.conf.arg(metavar="FIELD=VALUE,...")]

app = tyro.extras.SubcommandApp()


@app.command(name="list")
def list_names() -> None:
    """Lists the environments and algorithms."""
    from rich.console import Console
    from rich.table import Table

    from jaxrl import registry

    kinds: dict[str, dict[str, type]] = {
        "environment": {name: type(config) for name, config in registry.environments().items()}
        | {f"{prefix}:NAME": door for prefix, door in registry.doors().items()},
        "algorithm": {name: type(config) for name, config in registry.algorithms().items()},
    }
    for kind, registered in kinds.items():
        table = Table(kind, "", box=None)
        for name, cls in sorted(registered.items()):
            table.add_row(name, _summary(cls))
        Console().print(table)
        print()
    print(" jaxrl train ALGORITHM ENVIRONMENT --help lists their fields")


@app.command
def train(
    algorithm: tyro.conf.Positional[Name],
    environment: tyro.conf.Positional[Name],
    seeds: Annotated[str, tyro.conf.arg(metavar="N or A:B")],
    steps: Count,
    set: tyro.conf.UseAppendAction[Assignments],
    env: tyro.conf.UseAppendAction[Assignments],
    out: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None,
    evaluate_every: OptionalCount = None,
    evaluation_episodes: Count = "10",
    width: OptionalCount = None,
    prng: Name = "threefry2x32",
) -> None:
    """Trains an algorithm in an environment with many seeds at once.

    Args:
        algorithm: a name from `jaxrl list`, or several joined by commas.
        environment: a name from `jaxrl list`, or several joined by commas.
        seeds: a count (128 is 0 to 127) or a range (100:200).
        steps: environment steps of each run.
        set: a hyper-parameter as field=value, or field=value,value,... for a grid. The parts of a
            tuple are joined by '/'. May be given several times.
        env: the same for a constant of the environment.
        out: the results folder; runs/<algorithm>-<environment> if not given, with - for : and /.
        evaluate_every: environment steps between two evaluations; a fiftieth of the steps if not given.
        evaluation_episodes: episodes of one evaluation.
        width: lanes of each device in a batch; the bits of a run depend on it. At most 256 if not given.
        prng: jax's name of the random number generator.
    """
    from jaxrl import registry, training
    from jaxrl.compilation_cache import enable_compilation_cache

    enable_compilation_cache()
    algorithms = [registry.algorithm(name) for name in algorithm.split(",")]
    environments = [registry.environment(name) for name in environment.split(",")]
    results = training.train(
        list(itertools.chain.from_iterable(_grid(each, "--set", set) for each in algorithms)),
        list(itertools.chain.from_iterable(_grid(each, "--env", env) for each in environments)),
        seeds=seeds,
        steps=_integer("steps", steps),
        out=out or f"runs/{re.sub('[:/]', '-', f'{algorithm}-{environment}')}",
        evaluate_every=None if evaluate_every is None else _integer("evaluate_every", evaluate_every),
        evaluation_episodes=_integer("evaluation_episodes", evaluation_episodes),
        width=None if width is None else _integer("width", width),
        prng=prng,
    )
    _print_summary(results)


@app.command
def report(folder: tyro.conf.Positional[Directory]) -> None:
    """Writes report.html into a results folder, or into a folder of results folders.

    Args:
        folder: the folder.
    """
    from jaxrl.report import write_report

    print(write_report(folder))


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line; bad input ends in one sentence and exit code 2."""
    args = sys.argv[1:] if args is None else args
    try:
        if {"-h", "--help"} & {*args} and args[0] == "train":
            names = itertools.takewhile(lambda argument: not argument.startswith("-"), args[1:])
            _print_fields([*names])
        app.cli(prog="jaxrl", description="Reinforcement learning in JAX, by the hundred.", args=args)
    except InputError as error:
        print(f"jaxrl: {error}", file=sys.stderr)
        sys.exit(2)


def _print_fields(names: Sequence[str]) -> None:
    """For `jaxrl train ALGORITHM [ENVIRONMENT] --help`: every field, its default and its meaning."""
    from rich.console import Console
    from rich.table import Table

    from jaxrl import registry
    from jaxrl.config import meanings, shown

    finders = (("--set", registry.algorithm), ("--env", registry.environment))
    chosen = [
        (name, option, find(name))
        for joined, (option, find) in zip(names[:2], finders, strict=False)
        for name in joined.split(",")
    ]
    for name, option, config in chosen:
        print(f"{name}: {_summary(type(config))}\n\n{type(config).__doc__}\n")
        table = Table(f"{option} field", "default", "meaning", box=None)
        texts = meanings(type(config))
        for field, value in config.parameters().items():
            table.add_row(field, shown(value), texts[field])
        Console().print(table)
        print()


def _summary(cls: type) -> str:
    """The first line of what a class's file, or else the class, says of itself."""
    return (sys.modules[cls.__module__].__doc__ or cls.__doc__ or "").partition("\n")[0]


def _grid(config: "Config", option: str, assignments: Sequence[str]) -> list[Any]:
    """The configs that assignments "field=value,value", given by an option, make of one."""
    from jaxrl.config import grid, parse

    values: dict[str, list[Any]] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not (name and equals and text):
            raise InputError(f"{option} needs field=value or field=value,value,..., got {assignment!r}")
        if name in values:
            raise InputError(f"{option} {name} was given twice; join the values by commas")
        values[name] = [parse(config, name, part) for part in text.split(",")]
    return grid(config, **values)


def _integer(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(f"{name} must be an integer of at least 1, got {text!r}") from None


def _print_summary(results: "Results") -> None:
    """Per environment a line for each setting: runs, final mean with interval, solved share."""
    import numpy as np
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from jaxrl.plan import counted
    from jaxrl.report.page import RESAMPLING_SEED, interval, number, percent
    from jaxrl.report.summary import summarise

    plan = results.manifest["plan"]
    parts = [(len(results.runs), "run"), (plan["programs"], "program"), (plan["batches"], "batch")]
    print(f"{', '.join(counted(*part) for part in parts)} of width {plan['width']}\n")
    for section in summarise(results, np.random.default_rng(RESAMPLING_SEED)):
        table = Table(section.environment, "runs", "final mean [95 %]", "solved [95 %]", box=None)
        for setting in section.settings:
            final = " ".join([number(setting.final.estimate), interval(setting.final)])
            solved = percent(setting.solved) if setting.solved else "-"
            runs = f"{setting.runs}, {setting.failed} failed" if setting.failed else str(setting.runs)
            table.add_row(*map(escape, (setting.label, runs, final, solved)))
        Console().print(table)
        print(f"{number(section.steps_per_second)} training steps/s\n")
    print(f"{results.path} holds manifest, tables and final states; next: jaxrl report {results.path}")
