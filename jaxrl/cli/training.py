"""Commands that train: train, resume, work, replay, verify, select.

Everything heavy is imported by the command that needs it, so that `--help` answers at once.
"""

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxrl.cli import arguments as arg
from jaxrl.cli.printing import print_outcomes, print_plan, print_planned, print_preset, print_summary
from jaxrl.cli.starting import prepare
from jaxrl.errors import InputError
from jaxrl.text import command, file_name, parts

if TYPE_CHECKING:
    from jaxrl.store.results import Results


def train(
    algorithm: str | None = None,
    environment: str | None = None,
    /,
    seeds: str | None = None,
    steps: int | None = None,
    set: Sequence[str] = (),
    env: Sequence[str] = (),
    preset: bool = False,
    config: str | None = None,
    out: str | None = None,
    evaluate_every: int | None = None,
    evaluation_episodes: int | None = None,
    evaluation_steps: int | None = None,
    evaluate_in: Sequence[str] = (),
    width: int | None = None,
    memory: str | None = None,
    checkpoint_every: float | None = None,
    prng: str | None = None,
    precision: str | None = None,
    log: str | None = None,
    workers: str | None = None,
    dry_run: bool = False,
    plan_only: bool = False,
    trust: Sequence[str] = (),
) -> None:
    """Trains an algorithm in an environment with many seeds at once.

    Args:
        algorithm: a name from `jaxrl list`, or several joined by commas.
        environment: a name from `jaxrl list`, or several joined by commas.
        seeds (N, A:B or A,B,C): a count (128 is 0 to 127), a range (100:200) or a list (3,5,8).
        steps (INT): environment steps of each run. Seeds and steps may come from --preset or --config.
        set (FIELD=VALUE,...): a field of the algorithm, several values for a grid; '/' joins a tuple's parts.
        env (FIELD=VALUE,...): the same for a field of the environment.
        preset: takes a study from `jaxrl list --presets`; other options change it.
        config (FILE): takes a study from a TOML file; other options change it.
        out (FOLDER): the results folder or a URL; if not given, a folder in runs, named by what is trained.
        evaluate_every (INT): environment steps between two evaluations; chosen from `steps` if not given.
        evaluation_episodes (INT): episodes of one evaluation; 10 if nothing else is given.
        evaluation_steps (INT): steps after which an episode of evaluation is cut; its return so far counts.
        evaluate_in (NAME:FIELD=VALUE,...): a further environment of evaluation: a name, and what differs.
        width (INT): lanes of a batch, on which a run's bits depend; chosen to fit the memory if not given.
        memory (SIZE): limit per device, such as 4GB; 0.9 of a GPU's, or half of a CPU's by its devices.
        checkpoint_every (SECONDS): time between two checkpoints; if not given, they take 3 % of the time.
        prng (NAME): the random number generator, pcg4x32 (if not given) or threefry2x32.
        precision (NAME): of matrix products on a GPU, float32 (if not given) or tensorfloat32.
        log (tensorboard|wandb): logs each setting's means live, and with ",seeds" the first 100 runs too.
        workers (ray or ray:N): trains on N workers of a Ray cluster, or on one for each of its GPUs or cores.
        dry_run: prints the plan and trains nothing.
        plan_only: writes the study and its plan into the folder and trains nothing; `jaxrl work` trains it.
        trust (MODULE): imports a module, such as a script of yours that registers an environment.
    """
    prepare()
    given: dict[str, Any] = {"evaluate_every": evaluate_every, "evaluation_steps": evaluation_steps}
    given |= {"evaluation_episodes": evaluation_episodes, "prng": prng, "precision": precision}
    study = arg.chosen(algorithm, environment, preset, config, trust)
    study = arg.changed(study, set, env, evaluate_in, seeds=seeds, steps=steps, width=width, **given)
    study |= {"out": out or _folder(algorithm, environment, config), "memory": memory}
    _begin(study, preset, dry_run, plan_only, log, checkpoint_every, workers)


def _folder(algorithm: str | None, environment: str | None, config: str | None) -> str:
    """The results folder if none is given."""
    name = Path(config).stem if config else f"{algorithm}-{environment}".replace(" ", "")
    return f"runs/{file_name(name, also=',')}"


def _begin(
    study: Mapping[str, Any],
    preset: bool,
    dry_run: bool,
    plan_only: bool,
    log: str | None,
    checkpoint_every: float | None,
    workers: str | None,
) -> None:
    """Plans or trains the study that these arguments of `jaxrl.train` describe. Says which preset it is."""
    from jaxrl.run.train import train as run

    if preset:
        print_preset(study)
    if dry_run:
        print_plan(study)
    elif plan_only:
        print_planned(study)
    else:
        _train(run, study["out"], log, checkpoint_every, workers, **study)


def resume(
    folder: str,
    /,
    extend_seeds: str | None = None,
    extend_steps: int | None = None,
    rerun: str | None = None,
    force: bool = False,
    checkpoint_every: float | None = None,
    log: str | None = None,
    workers: str | None = None,
    trust: Sequence[str] = (),
) -> None:
    """Finishes the study in a results folder from its last checkpoints, or extends it.

    Args:
        folder: the results folder.
        extend_seeds (N, A:B or A,B,C): further seeds to train, as for train; a count is that number of seeds
            after the largest one. The existing runs stay as they are.
        extend_steps (INT): a larger budget of environment steps, up to which all runs are trained.
        rerun (BATCH): the index of a batch to train again from its start, or all.
        force: continues although jaxrl's code, jax or the device differ, and records it in the manifest.
        checkpoint_every (SECONDS): as for train.
        log (tensorboard|wandb): as for train.
        workers (ray or ray:N): as for train.
        trust (MODULE): imports a module, without which an environment of the folder is refused.
    """
    from jaxrl.run.train import resume as run

    prepare()
    arg.import_trusted(trust)
    batch = int(rerun) if rerun and rerun.isdecimal() else rerun
    extension = {"more_seeds": extend_seeds, "steps": extend_steps}
    options = {"path": folder, "rerun": batch, "force": force} | extension
    _train(run, folder, log, checkpoint_every, workers, **options)


def work(
    folder: str,
    /,
    shard: str = "0/1",
    force: bool = False,
    checkpoint_every: float | None = None,
    trust: Sequence[str] = (),
) -> None:
    """Trains a share of the batches of a study that `jaxrl train --plan-only` has planned.

    Other processes, also on other machines, train the other shares in the same folder at the same time. The
    process that is done last joins the tables. The exit code is 0 if the share is done.

    Args:
        folder: the results folder, which all processes share, or the URL of the study.
        shard (I/N): the share of batches I, I + N, I + 2N, ..., with 0 <= I < N.
        force: trains although jaxrl's code, jax or the device differ from those of the first process, and
            records it.
        checkpoint_every (SECONDS): as for train.
        trust (MODULE): imports a module, without which an environment of the folder is refused.
    """
    from jaxrl.run.work import parse_shard
    from jaxrl.run.work import work as run

    share = parse_shard(shard)
    prepare()
    arg.import_trusted(trust)
    results = run(folder, shard=share, force=force, checkpoint_every=checkpoint_every)
    if results is None:
        print(f"shard {shard} is done; see the others with: {command('status', folder)}")
    else:
        print_summary(results)


def replay(
    folder: str,
    /,
    run: int,
    debug_nans: bool = False,
    gif: str | None = None,
    trust: Sequence[str] = (),
) -> None:
    """Trains one run again and says whether its curve and final state are the same, bit for bit.

    The exit code is 1 if they are not. With --gif it draws the trained policy instead, and trains nothing.

    Args:
        folder: the results folder.
        run (INT): the run's number in runs.parquet.
        debug_nans: trains it until a number is not finite, and shows the operation and the lines of code.
        gif (FILE): where to write a picture of the final policy playing one episode.
        trust (MODULE): imports a module, without which an environment of the folder is refused.
    """
    from jaxrl.run import nans, reproduce
    from jaxrl.store.results import load

    prepare()
    arg.import_trusted(trust)
    results = load(folder)
    if debug_nans:
        print(nans.first_nan(results, run))
        return
    if gif is not None:
        print(f"{reproduce.write_gif(results, run, gif)} shows the policy of run {run}")
        return
    sys.exit(print_outcomes([reproduce.replay(results, run)]))


def verify(folder: str, /, runs: int = 3, trust: Sequence[str] = ()) -> None:
    """Checks all saved states, trains randomly chosen runs again and compares them with the saved ones.

    The exit code is 1 if a state is damaged, or if a run differs on the same machine with the same versions.

    Args:
        folder: the results folder.
        runs (INT): how many runs are trained again.
        trust (MODULE): imports a module, without which an environment of the folder is refused.
    """
    from jaxrl.run import reproduce
    from jaxrl.store.results import load

    prepare()
    arg.import_trusted(trust)
    sys.exit(print_outcomes(reproduce.verify(load(folder), runs)))


def select(
    folder: str,
    /,
    metric: str = "eval_return",
    seeds: str | None = None,
    out: str | None = None,
    trust: Sequence[str] = (),
) -> None:
    """Chooses the best setting of each algorithm and environment, and trains it again on fresh seeds.

    The score by which a setting was chosen is biased upwards. Its score on the fresh seeds is the result.

    Args:
        folder: a results folder of several settings.
        metric (NAME): the score of a run: auc (area under the evaluations), training (mean return of training
            episodes), or the last value of any recorded metric. Greater is better.
        seeds (N, A:B or A,B,C): the fresh seeds, as for train; a count is that number of seeds after the
            largest one; as many as before if not given.
        out (FOLDER): a folder for the results folders of all environments; selected-<metric> in the results
            folder if not given.
        trust (MODULE): imports a module, without which an environment of the folder is refused.
    """
    from jaxrl.analysis import select as selecting
    from jaxrl.analysis.console import print_selection

    prepare()
    arg.import_trusted(trust)
    print_selection(selecting.select(folder, metric, seeds, out))


def _train(
    function: "Callable[..., Results]",
    folder: str,
    log: str | None,
    checkpoint_every: float | None,
    workers: str | None,
    **options: Any,
) -> None:
    """Calls `jaxrl.train` or `jaxrl.resume`, logs into the folder if --log asks for it, prints a summary."""
    from jaxrl.analysis.live import log_to

    to, *more = parts(log) if log is not None else [""]
    if more not in ([], ["seeds"]):
        raise InputError(f"--log takes tensorboard or wandb, with or without ,seeds, got {log!r}")
    logged = log_to(to, folder, bool(more)) if log is not None else contextlib.nullcontext()
    with logged as callback:
        callbacks = [callback] if callback else []
        options |= {"checkpoint_every": checkpoint_every, "callbacks": callbacks, "workers": workers}
        results = function(**options)
    print_summary(results)
