"""The command line: `jaxrl train` and what goes with it.

Everything heavy is imported by the command that needs it, so that `--help` answers at once.
"""

import contextlib
import itertools
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import tyro

from jaxrl.errors import InputError

if TYPE_CHECKING:
    from jaxrl.config import Config
    from jaxrl.run.reproduce import Reproduction, SavedStates
    from jaxrl.store.results import Results

T = TypeVar("T")

# Counts are read as text here, so that a bad one gets the same one sentence as any other bad value.
Count = Annotated[str, tyro.conf.arg(metavar="INT")]
OptionalCount = Annotated[str | None, tyro.conf.arg(metavar="INT")]
Seconds = Annotated[str | None, tyro.conf.arg(metavar="SECONDS")]
Name = Annotated[str, tyro.conf.arg(metavar="NAME")]
OptionalName = Annotated[str | None, tyro.conf.arg(metavar="NAME")]
Directory = Annotated[str, tyro.conf.arg(metavar="DIR")]
OptionalDirectory = Annotated[str | None, tyro.conf.arg(metavar="DIR")]
Directories = tyro.conf.Positional[Annotated[list[str], tyro.conf.arg(metavar="DIR [DIR ...]")]]
Effects = Annotated[str | None, tyro.conf.arg(metavar="RETURN or ENVIRONMENT=RETURN,...")]
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
        | {f"{prefix}:NAME": adapter for prefix, adapter in registry.adapters().items()},
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
    out: OptionalDirectory = None,
    evaluate_every: OptionalCount = None,
    evaluation_episodes: Count = "10",
    width: OptionalCount = None,
    memory: Annotated[str | None, tyro.conf.arg(metavar="SIZE")] = None,
    checkpoint_every: Seconds = None,
    prng: OptionalName = None,
    dry_run: bool = False,
) -> None:
    """Trains an algorithm in an environment with many seeds at once.

    Args:
        algorithm: a name from `jaxrl list`, or several joined by commas.
        environment: a name from `jaxrl list`, or several joined by commas.
        seeds: a count (128 is 0 to 127) or a range (100:200).
        steps: environment steps of each run.
        set: field=value, or field=value,value,... for a grid; a tuple's parts are joined by '/'. Repeatable.
        env: the same for a constant of the environment.
        out: the results folder; runs/<algorithm>-<environment> if not given, with - for : and /.
        evaluate_every: environment steps between two evaluations; a fiftieth of the steps if not given.
        evaluation_episodes: episodes of one evaluation.
        width: lanes of a batch; the bits of a run depend on it. At most 256 if not given.
        memory: of the lanes of one device, such as 4GB; half of what is free if not given, 0.9 of a GPU's.
        checkpoint_every: seconds between two checkpoints; so that they take 3 % of the time if not given.
        prng: the random number generator: pcg4x32 if not given, or threefry2x32.
        dry_run: prints the plan and trains nothing.
    """
    from jaxrl import registry
    from jaxrl.compiled.lane_memory import parse_bytes
    from jaxrl.run import train as training
    from jaxrl.study.plan import make_plan
    from jaxrl.study.study import make_study

    _prepare()
    what: dict[str, Any] = {
        "algorithm": _grids(algorithm, registry.algorithm, "--set", set),
        "environment": _grids(environment, registry.environment, "--env", env),
        "seeds": seeds,
        "steps": _integer("steps", steps),
        "evaluate_every": _optional(_integer, "evaluate_every", evaluate_every),
        "evaluation_episodes": _integer("evaluation_episodes", evaluation_episodes),
        **({} if prng is None else {"prng": prng}),
    }
    lanes = _optional(_integer, "width", width)
    if dry_run:
        limit = None if memory is None else parse_bytes(memory)
        print(make_plan(make_study(**what), lanes, limit))
        return
    results = training.train(
        **what,
        out=out or f"runs/{re.sub('[:/]', '-', f'{algorithm}-{environment}')}",
        width=lanes,
        memory=memory,
        checkpoint_every=_optional(_seconds, "checkpoint_every", checkpoint_every),
    )
    _print_summary(results)


@app.command
def resume(
    folder: tyro.conf.Positional[Directory],
    extend_seeds: Annotated[str | None, tyro.conf.arg(metavar="N or A:B")] = None,
    extend_steps: OptionalCount = None,
    rerun: Annotated[str | None, tyro.conf.arg(metavar="BATCH")] = None,
    force: bool = False,
    checkpoint_every: Seconds = None,
) -> None:
    """Finishes the study in a results folder from its last checkpoints, or extends it.

    Args:
        folder: the folder.
        extend_seeds: further seeds to train, a range, or a count of those after the largest; the runs
            there are stay as they are.
        extend_steps: a larger budget of environment steps, to which all runs are trained on.
        rerun: the index of a batch to train again from its start, or all.
        force: go on though jaxrl's code, jax or the device differ, and note so in the manifest.
        checkpoint_every: seconds between two checkpoints; so that they take 3 % of the time if not given.
    """
    from jaxrl.run import train as training

    _prepare()
    results = training.resume(
        folder,
        more_seeds=extend_seeds,
        steps=_optional(_integer, "extend_steps", extend_steps),
        rerun=int(rerun) if rerun and rerun.isdecimal() else rerun,
        force=force,
        checkpoint_every=_optional(_seconds, "checkpoint_every", checkpoint_every),
    )
    _print_summary(results)


@app.command
def replay(
    folder: tyro.conf.Positional[Directory],
    run: Count,
    gif: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Trains one run again and says whether curve and final state are the same, bit for bit.

    Exit code 1 if they are not.

    Args:
        folder: the results folder.
        run: the run's number in runs.parquet.
        gif: where to write a picture of the final policy playing one episode.
    """
    from jaxrl.run import reproduce
    from jaxrl.store.results import load

    _prepare()
    results, number = load(folder), _index("run", run)
    if gif is not None:
        print(f"{reproduce.write_gif(results, number, gif)} shows the policy of run {number}")
    sys.exit(_report_outcomes([reproduce.replay(results, number)]))


@app.command
def verify(folder: tyro.conf.Positional[Directory], runs: Count = "3") -> None:
    """Checks all saved states, trains randomly chosen runs again and compares them with the folder's.

    On the same machine and versions the bits must agree: exit code 1 if they do not, or a state is damaged.

    Args:
        folder: the results folder.
        runs: how many.
    """
    from jaxrl.run import reproduce
    from jaxrl.store.results import load

    _prepare()
    sys.exit(_report_outcomes(reproduce.verify(load(folder), _integer("runs", runs))))


@app.command
def report(folder: tyro.conf.Positional[Directory], smallest_effect: Effects = None) -> None:
    """Writes report.html and figures/ into a results folder, or into a folder of results folders.

    Args:
        folder: the folder.
        smallest_effect: the least difference of mean returns that matters, one for all environments or one
            of each, by its name or its label; without it no two settings are called equivalent.
    """
    from jaxrl.report import write_report

    print(write_report(folder, _effects(smallest_effect)))


@app.command
def compare(
    folders: Directories,
    metric: Name = "eval_return",
    smallest_effect: Effects = None,
    out: OptionalDirectory = None,
) -> None:
    """Compares every two settings of results folders; writes compare.csv, compare.md and compare.tex.

    Args:
        folders: results folders of the same environments and budget.
        metric: what a run scores: auc (area under the evaluations), training (mean return of training
            episodes), or the last value of any recorded metric. Greater is better.
        smallest_effect: the least difference of means that matters, for all environments or for each by its
            name or label; half the standard deviation between the runs of a setting if not given.
        out: where the three files go; the first folder if not given.
    """
    from jaxrl.analysis import compare as comparing

    comparing.show(comparing.compare(folders, metric, _effects(smallest_effect), out))


@app.command
def select(
    folder: tyro.conf.Positional[Directory],
    metric: Name = "eval_return",
    seeds: Annotated[str | None, tyro.conf.arg(metavar="N or A:B")] = None,
    out: OptionalDirectory = None,
) -> None:
    """Chooses the best setting of each algorithm and environment, and trains it again on fresh seeds.

    The score it was chosen for flatters it; its score on seeds that had no part in the choice is the result.

    Args:
        folder: a results folder of several settings.
        metric: what a run scores: auc (area under the evaluations), training (mean return of training
            episodes), or the last value of any recorded metric. Greater is better.
        seeds: the fresh seeds, a range, or a count of those after the largest; as many as before if not
            given.
        out: gets a results folder for each environment; selected-<metric> in the folder if not given.
    """
    from jaxrl.analysis import select as selecting

    _prepare()
    selecting.show(selecting.select(folder, metric, seeds, out))


@app.command
def export(
    folders: Directories,
    to: Annotated[str, tyro.conf.arg(metavar="rliable|marl-eval|tensorboard|wandb")],
    out: Annotated[str | None, tyro.conf.arg(metavar="PATH")] = None,
) -> None:
    """Writes results folders in the form of another tool.

    Args:
        folders: results folders.
        to: rliable (final scores as .npz), marl-eval (evaluations as .json), tensorboard (event files) or
            wandb (offline runs of Weights & Biases).
        out: the file or the new folder; in the first folder if not given.
    """
    from jaxrl.analysis import export as exporting

    print(exporting.export(folders, to, out))


@app.command
def bench(
    name: tyro.conf.Positional[Name],
    only: Annotated[str, tyro.conf.arg(metavar="TEXT")] = "",
    smoke: bool = False,
    out: OptionalDirectory = None,
) -> None:
    """Measures what this code costs on this machine: prints a table, writes a figure and every raw time.

    Needs a checkout of the repository, whose folder benchmarks/ is not installed.

    Args:
        name: compile (with an empty and a full cache), environments (beside gymnax and Gymnasium), kills
            (studies that end with the same bits after kill -9), numpy (Q-learning beside a plain loop), peers
            (training beside rejax and Stable-Baselines3, installed into the user's cache folder), randomness
            (of every generator, by dieharder), reporting (of 1,000 runs), seeds (time and memory of each, and
            time until CartPole is solved) or training (steps per second).
        only: of that, the pieces whose name contains this; nothing is then written without --out.
        smoke: little of it and each timed once, to see that it runs; nothing is written without --out.
        out: the folder of the figure and the times; benchmarks/results/<device> if not given.
    """
    _checkout("benchmarks.command").run(name, only, smoke, out)


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
    except KeyboardInterrupt as interrupt:
        print(f"jaxrl: {str(interrupt) or 'stopped at once'}", file=sys.stderr, flush=True)
        os._exit(130)  # at once: a thread may still be in the middle of a compiled chunk


def _checkout(module: str) -> Any:
    """A module that lies beside this package, in a checkout alone. Raises InputError elsewhere."""
    import importlib

    root = Path(__file__).parents[2]
    if not (root / module.partition(".")[0]).is_dir():
        raise InputError(f"jaxrl bench needs a checkout of jaxrl's repository; {root} is none")
    sys.path.insert(0, str(root))
    return importlib.import_module(module)


def _prepare() -> None:
    """Before anything is compiled."""
    import logging

    from jaxrl.compiled.compilation_cache import enable_compilation_cache
    from jaxrl.compiled.cores import use_all_cores

    enable_compilation_cache()
    use_all_cores()
    logging.getLogger("absl").setLevel(logging.CRITICAL)  # orbax logs with a traceback what it also raises


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


def _grids(
    names: str, look_up: Callable[[str], "Config"], option: str, assignments: Sequence[str]
) -> list[Any]:
    """The configs that assignments make of each of the names "a,b"."""
    return [config for name in names.split(",") for config in _grid(look_up(name), option, assignments)]


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


def _effects(text: str | None) -> "float | dict[str, float] | None":
    """The smallest effects "10" or "CartPole-v1=10,Pendulum-v1=50"."""
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


def _integer(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(f"{name} must be an integer of at least 1, got {text!r}") from None


def _index(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(f"{name} must be an integer of at least 0, got {text!r}") from None


def _seconds(name: str, text: str) -> float:
    with contextlib.suppress(ValueError):
        if (seconds := float(text)) >= 0:
            return seconds
    raise InputError(f"{name} must be a number of seconds of at least 0, got {text!r}")


def _optional(convert: Callable[[str, str], T], name: str, text: str | None) -> T | None:
    return None if text is None else convert(name, text)


def _report_outcomes(outcomes: "Iterable[SavedStates | Reproduction]") -> int:
    """Prints each outcome of a comparison as it comes; gives the exit code."""
    code = 0
    for outcome in outcomes:
        print(outcome, flush=True)
        code = code if outcome.acceptable else 1
    return code


def _print_summary(results: "Results") -> None:
    """Per environment a line for each setting: runs, final mean with interval, solved share."""
    import numpy as np
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from jaxrl.report.page import share
    from jaxrl.report.summary import throughput
    from jaxrl.statistics import describe, final_scores
    from jaxrl.statistics.intervals import RESAMPLING_SEED
    from jaxrl.text import bounds, counted, number

    plan = results.manifest["plan"]
    parts = [(len(results.runs), "run"), (plan["programs"], "program"), (plan["batches"], "batch")]
    print(f"{', '.join(counted(*part) for part in parts)} of width {plan['width']}\n")
    scores = final_scores(results.runs, results.curves)
    described = describe(scores, np.random.default_rng(RESAMPLING_SEED))
    for environment, rows in described.groupby("environment", sort=False):
        table = Table(str(environment), "runs", "final mean [95 %]", "solved [95 %]", box=None)
        for row in rows.to_dict("records"):
            final = f"{number(row['mean'])} {bounds(row['mean_low'], row['mean_high'])}"
            runs = f"{row['runs']}, {row['failed']} failed" if row["failed"] else str(row["runs"])
            table.add_row(*map(escape, (row["setting"], runs, final, share(row))))
        Console().print(table)
        speed = throughput(results, scores[scores["environment"] == environment])
        print(f"{number(speed)} training steps/s\n")
    print(f"{results.path} holds manifest, tables and final states; next: jaxrl report {results.path}")
