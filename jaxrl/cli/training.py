"""Commands that train: train, resume, replay, verify, select.

Everything heavy is imported by the command that needs it, so that `--help` answers at once.
"""

import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxrl.cli import arguments as arg
from jaxrl.cli.printing import print_outcomes, print_plan, print_summary
from jaxrl.errors import InputError

if TYPE_CHECKING:
    from jaxrl.run.callbacks import Callback


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
    evaluate_in: arg.Evaluations = (),
    width: arg.OptionalCount = None,
    memory: arg.OptionalSize = None,
    checkpoint_every: arg.OptionalSeconds = None,
    prng: arg.OptionalName = None,
    precision: arg.Name = "float32",
    log: arg.OptionalLog = None,
    dry_run: arg.Flag = False,
) -> None:
    """Trains an algorithm in an environment with many seeds at once.

    Args:
        algorithm: a name from `jaxrl list`, or several joined by commas.
        environment: a name from `jaxrl list`, or several joined by commas.
        seeds: a count (128 is 0 to 127) or a range (100:200).
        steps: environment steps of each run.
        set: field=value of the algorithm, or field=value,value,... for a grid; a tuple's parts are joined by
            '/'.
        env: the same for a field of the environment.
        out: the results folder; runs/<algorithm>-<environment> if not given, with - for : and /.
        evaluate_every: environment steps between two evaluations; a fiftieth of the steps if not given.
        evaluation_episodes: episodes of one evaluation.
        evaluate_in: a further environment of evaluation: its name, and the fields in which it differs from
            the training environment.
        width: lanes of a batch, on which the bits of a run depend; chosen to fit the memory if not given.
        memory: the memory for the lanes of one device, such as 4GB; if not given, 0.9 of a GPU's memory, or
            an equal share of half of a processor's free memory.
        checkpoint_every: seconds between two checkpoints; if not given, checkpoints take 3 % of the time.
        prng: the random number generator, pcg4x32 or threefry2x32; pcg4x32 if not given.
        precision: of matrix products on a GPU: float32 or tensorfloat32.
        log: writes the metrics of the first 100 runs after every chunk into the results folder, for
            TensorBoard or Weights & Biases.
        dry_run: prints the plan and trains nothing.
    """
    from jaxrl import registry
    from jaxrl.run import train as run

    prepare()
    environments = arg.grids(arg.named(environment, registry.environment), "--env", env)
    if evaluate_in and len(environments) > 1:
        raise InputError(f"--evaluate-in needs one training environment, got {len(environments)}")
    what: dict[str, Any] = {
        "algorithm": arg.grids(arg.named(algorithm, registry.algorithm), "--set", set),
        "environment": environments,
        "evaluate_in": arg.evaluations(environments[0], evaluate_in),
        "seeds": seeds,
        "steps": arg.integer("steps", steps),
        "evaluate_every": arg.if_given(arg.integer, "evaluate_every", evaluate_every),
        "evaluation_episodes": arg.integer("evaluation_episodes", evaluation_episodes),
        **({} if prng is None else {"prng": prng}),
        "precision": precision,
    }
    lanes = arg.if_given(arg.integer, "width", width)
    if dry_run:
        print_plan(what, lanes, memory)
        return
    folder = out or f"runs/{re.sub('[:/]', '-', f'{algorithm}-{environment}')}"
    with _logging(log, folder) as callbacks:
        results = run.train(
            **what,
            out=folder,
            width=lanes,
            memory=memory,
            checkpoint_every=arg.if_given(arg.seconds, "checkpoint_every", checkpoint_every),
            callbacks=callbacks,
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
    log: arg.OptionalLog = None,
) -> None:
    """Finishes the study in a results folder from its last checkpoints, or extends it.

    Args:
        folder: the results folder.
        extend_seeds: further seeds to train: a range, or a count of seeds after the largest one. The
            existing runs stay as they are.
        extend_steps: a larger budget of environment steps, up to which all runs are trained.
        rerun: the index of a batch to train again from its start, or all.
        force: continues although jaxrl's code, jax or the device differ, and records it in the manifest.
        checkpoint_every: seconds between two checkpoints; if not given, checkpoints take 3 % of the time.
        log: as for train.
    """
    from jaxrl.run import train as run

    prepare()
    with _logging(log, folder) as callbacks:
        results = run.resume(
            folder,
            more_seeds=extend_seeds,
            steps=arg.if_given(arg.integer, "extend_steps", extend_steps),
            rerun=int(rerun) if rerun and rerun.isdecimal() else rerun,
            force=force,
            checkpoint_every=arg.if_given(arg.seconds, "checkpoint_every", checkpoint_every),
            callbacks=callbacks,
        )
    print_summary(results)


def replay(folder: arg.Folder, /, run: arg.Count, gif: arg.OptionalFile = None) -> None:
    """Trains one run again and says whether its curve and final state are the same, bit for bit.

    The exit code is 1 if they are not. With --gif it draws the trained policy instead, and trains nothing.

    Args:
        folder: the results folder.
        run: the run's number in runs.parquet.
        gif: where to write a picture of the final policy playing one episode.
    """
    from jaxrl.run import reproduce
    from jaxrl.store.results import load

    prepare()
    results, number = load(folder), arg.integer("run", run, low=0)
    if gif is not None:
        print(f"{reproduce.write_gif(results, number, gif)} shows the policy of run {number}")
        return
    sys.exit(print_outcomes([reproduce.replay(results, number)]))


def verify(folder: arg.Folder, /, runs: arg.Count = "3") -> None:
    """Checks all saved states, trains randomly chosen runs again and compares them with the saved ones.

    The exit code is 1 if a state is damaged, or if a run differs on the same machine with the same versions.

    Args:
        folder: the results folder.
        runs: how many runs are trained again.
    """
    from jaxrl.run import reproduce
    from jaxrl.store.results import load

    prepare()
    sys.exit(print_outcomes(reproduce.verify(load(folder), arg.integer("runs", runs))))


def select(
    folder: arg.Folder,
    /,
    metric: arg.Name = "eval_return",
    seeds: arg.OptionalSeeds = None,
    out: arg.OptionalFolder = None,
) -> None:
    """Chooses the best setting of each algorithm and environment, and trains it again on fresh seeds.

    The score by which a setting was chosen is biased upwards. Its score on the fresh seeds is the result.

    Args:
        folder: a results folder of several settings.
        metric: the score of a run: auc (area under the evaluations), training (mean return of training
            episodes), or the last value of any recorded metric. Greater is better.
        seeds: the fresh seeds: a range, or a count of seeds after the largest one; as many as before if not
            given.
        out: a folder for the results folders of all environments; selected-<metric> in the results folder
            if not given.
    """
    from jaxrl.analysis import select as selecting

    prepare()
    selecting.show(selecting.select(folder, metric, seeds, out))


@contextlib.contextmanager
def _logging(log: str | None, folder: str) -> "Iterator[list[Callback]]":
    """The callbacks that --log asks for."""
    if log is None:
        yield []
        return
    from jaxrl.analysis.live import log_to

    with log_to(log, Path(folder) / log) as callback:
        yield [callback]


def prepare() -> None:
    """Prepares jax for a command that compiles: its cache, and one device per core of a processor."""
    from jaxrl.compiled.compilation_cache import enable_compilation_cache
    from jaxrl.compiled.cores import use_all_cores

    enable_compilation_cache()
    use_all_cores()
