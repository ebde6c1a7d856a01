"""The command line: `jaxrl train` and what goes with it.

Everything heavy is imported by the command that needs it, so that `--help` answers at once.
"""

import itertools
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from jaxrl.cli import arguments as arg
from jaxrl.cli.printing import print_fields, print_list, print_outcomes, print_plan, print_summary
from jaxrl.cli.usage import HELP, check_usage, errors_in_one_sentence
from jaxrl.errors import InputError, unknown
from jaxrl.version import VERSION


def train(
    algorithm: arg.Algorithm,
    environment: arg.Environment,
    /,
    seeds: arg.Seeds,
    steps: arg.Count,
    set: arg.Assignments = (),
    env: arg.Assignments = (),
    out: arg.OptionalFolder = None,
    evaluate_every: arg.OptionalCount = None,
    evaluation_episodes: arg.Count = "10",
    width: arg.OptionalCount = None,
    memory: arg.OptionalSize = None,
    checkpoint_every: arg.OptionalSeconds = None,
    prng: arg.OptionalName = None,
    dry_run: arg.Flag = False,
) -> None:
    """Trains an algorithm in an environment with many seeds at once.

    Args:
        algorithm: a name from `jaxrl list`, or several joined by commas.
        environment: a name from `jaxrl list`, or several joined by commas.
        seeds: a count (128 is 0 to 127) or a range (100:200).
        steps: environment steps of each run.
        set: field=value, or field=value,value,... for a grid; a tuple's parts are joined by '/'.
        env: the same for a constant of the environment.
        out: the results folder; runs/<algorithm>-<environment> if not given, with - for : and /.
        evaluate_every: environment steps between two evaluations; a fiftieth of the steps if not given.
        evaluation_episodes: episodes of one evaluation.
        width: lanes of a batch, on which the bits of a run depend; at most 256 if not given.
        memory: what one device's lanes may take, such as 4GB; half of what is free (a GPU: 0.9) if not given.
        checkpoint_every: seconds between two checkpoints; if not given, checkpoints take 3 % of the time.
        prng: the random number generator, pcg4x32 or threefry2x32; pcg4x32 if not given.
        dry_run: prints the plan and trains nothing.
    """
    from jaxrl import registry
    from jaxrl.run import train as training

    _prepare()
    what: dict[str, Any] = {
        "algorithm": arg.grids(algorithm, registry.algorithm, "--set", set),
        "environment": arg.grids(environment, registry.environment, "--env", env),
        "seeds": seeds,
        "steps": arg.integer("steps", steps),
        "evaluate_every": arg.if_given(arg.integer, "evaluate_every", evaluate_every),
        "evaluation_episodes": arg.integer("evaluation_episodes", evaluation_episodes),
        **({} if prng is None else {"prng": prng}),
    }
    lanes = arg.if_given(arg.integer, "width", width)
    if dry_run:
        print_plan(what, lanes, memory)
        return
    results = training.train(
        **what,
        out=out or f"runs/{re.sub('[:/]', '-', f'{algorithm}-{environment}')}",
        width=lanes,
        memory=memory,
        checkpoint_every=arg.if_given(arg.seconds, "checkpoint_every", checkpoint_every),
    )
    print_summary(results)


def resume(
    folder: arg.Folder,
    /,
    extend_seeds: arg.OptionalSeeds = None,
    extend_steps: arg.OptionalCount = None,
    rerun: arg.OptionalName = None,
    force: arg.Flag = False,
    checkpoint_every: arg.OptionalSeconds = None,
) -> None:
    """Finishes the study in a results folder from its last checkpoints, or extends it.

    Args:
        folder: the results folder.
        extend_seeds: further seeds to train: a range, or a count of those after the largest. The runs that
            exist stay as they are.
        extend_steps: a larger budget of environment steps, to which all runs are trained on.
        rerun: the index of a batch to train again from its start, or all.
        force: goes on although jaxrl's code, jax or the device differ, and notes so in the manifest.
        checkpoint_every: seconds between two checkpoints; if not given, checkpoints take 3 % of the time.
    """
    from jaxrl.run import train as training

    _prepare()
    results = training.resume(
        folder,
        more_seeds=extend_seeds,
        steps=arg.if_given(arg.integer, "extend_steps", extend_steps),
        rerun=int(rerun) if rerun and rerun.isdecimal() else rerun,
        force=force,
        checkpoint_every=arg.if_given(arg.seconds, "checkpoint_every", checkpoint_every),
    )
    print_summary(results)


def replay(folder: arg.Folder, /, run: arg.Count, gif: arg.OptionalFile = None) -> None:
    """Trains one run again and says whether its curve and final state are the same, bit for bit.

    The exit code is 1 if they are not.

    Args:
        folder: the results folder.
        run: the run's number in runs.parquet.
        gif: where to write a picture of the final policy playing one episode.
    """
    from jaxrl.run import reproduce
    from jaxrl.store.results import load

    _prepare()
    results, number = load(folder), arg.integer("run", run, low=0)
    if gif is not None:
        print(f"{reproduce.write_gif(results, number, gif)} shows the policy of run {number}")
    sys.exit(print_outcomes([reproduce.replay(results, number)]))


def verify(folder: arg.Folder, /, runs: arg.Count = "3") -> None:
    """Checks all saved states, trains randomly chosen runs again and compares them with the folder's.

    The exit code is 1 if a state is damaged, or if a run differs on the same machine and versions.

    Args:
        folder: the results folder.
        runs: how many runs are trained again.
    """
    from jaxrl.run import reproduce
    from jaxrl.store.results import load

    _prepare()
    sys.exit(print_outcomes(reproduce.verify(load(folder), arg.integer("runs", runs))))


def report(folder: arg.Folder, /, smallest_effect: arg.OptionalEffects = None) -> None:
    """Writes report.html and figures/ into a results folder, or into a folder of results folders.

    Args:
        folder: the results folder, or the folder of results folders.
        smallest_effect: the least difference of mean returns that matters, for all environments or for each
            by its name or label; if not given, no two settings are called equivalent.
    """
    from jaxrl.report import write_report

    print(write_report(folder, arg.effects(smallest_effect)))


def compare(
    folders: arg.Folders,
    /,
    metric: arg.Name = "eval_return",
    smallest_effect: arg.OptionalEffects = None,
    out: arg.OptionalFolder = None,
) -> None:
    """Compares every two settings of results folders; writes compare.csv, compare.md and compare.tex.

    Args:
        folders: results folders of the same environments and budget.
        metric: what a run scores: auc (area under the evaluations), training (mean return of training
            episodes), or the last value of any recorded metric. Greater is better.
        smallest_effect: the least difference of means that matters, for all environments or for each by its
            name or label; half the standard deviation between the runs of a setting if not given.
        out: the folder of the three files; the first results folder if not given.
    """
    from jaxrl.analysis import compare as comparing

    comparing.show(comparing.compare(folders, metric, arg.effects(smallest_effect), out))


def select(
    folder: arg.Folder,
    /,
    metric: arg.Name = "eval_return",
    seeds: arg.OptionalSeeds = None,
    out: arg.OptionalFolder = None,
) -> None:
    """Chooses the best setting of each algorithm and environment, and trains it again on fresh seeds.

    The score by which a setting was chosen is too high; its score on the fresh seeds is the result.

    Args:
        folder: a results folder of several settings.
        metric: what a run scores: auc (area under the evaluations), training (mean return of training
            episodes), or the last value of any recorded metric. Greater is better.
        seeds: the fresh seeds: a range, or a count of those after the largest; as many as before if not
            given.
        out: the folder of a results folder for each environment; selected-<metric> in the results folder if
            not given.
    """
    from jaxrl.analysis import select as selecting

    _prepare()
    selecting.show(selecting.select(folder, metric, seeds, out))


def export(folders: arg.Folders, /, to: arg.Form, out: arg.OptionalFile = None) -> None:
    """Writes results folders in the form of another tool.

    Args:
        folders: the results folders.
        to: rliable (final scores as .npz), marl-eval (evaluations as .json), tensorboard (event files) or
            wandb (offline runs of Weights & Biases).
        out: the file or the new folder; in the first results folder if not given.
    """
    from jaxrl.analysis import export as exporting

    print(exporting.export(folders, to, out))


COMMANDS: dict[str, Callable[..., None]] = {
    "list": print_list,
    "train": train,
    "resume": resume,
    "replay": replay,
    "verify": verify,
    "report": report,
    "compare": compare,
    "select": select,
    "export": export,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; bad input ends in one sentence and exit code 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with errors_in_one_sentence("jaxrl"):
        if [*arguments[:1]] == ["--version"]:
            print(f"jaxrl {VERSION}")
            return
        _check(arguments)
        if HELP & {*arguments} and arguments[0] == "train":
            print_fields([*itertools.takewhile(lambda name: not name.startswith("-"), arguments[1:])])
            arguments = ["train", "--help"]
        description = "Reinforcement learning research in JAX. jaxrl --version prints its version."
        tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="jaxrl", description=description, args=arguments)


def _check(arguments: Sequence[str]) -> None:
    """Raises InputError if there is no such command, or if it cannot take the arguments."""
    if not arguments:
        raise InputError(f"a command must be given: {', '.join(COMMANDS)}; see jaxrl --help")
    name, *rest = arguments
    if name in COMMANDS:
        check_usage(COMMANDS[name], f"jaxrl {name}", rest)
    elif not name.startswith("-"):
        raise unknown("command", name, COMMANDS)
    elif name not in HELP:
        raise unknown("option", name, ["--help", "--version"])


def _prepare() -> None:
    """Before anything is compiled."""
    import logging

    from jaxrl.compiled.compilation_cache import enable_compilation_cache
    from jaxrl.compiled.cores import use_all_cores

    enable_compilation_cache()
    use_all_cores()
    logging.getLogger("absl").setLevel(logging.CRITICAL)  # orbax logs with a traceback what it also raises
