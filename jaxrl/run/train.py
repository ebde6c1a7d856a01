"""The functions that train a study and resume it."""

import os
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence

from jaxrl.compiled.engine import PRECISIONS
from jaxrl.compiled.lane_memory import parse_bytes
from jaxrl.errors import InputError
from jaxrl.learning.algorithm import Algorithm
from jaxrl.mdp.environment import Environment
from jaxrl.random.generators import DEFAULT
from jaxrl.run.callbacks import Callback
from jaxrl.run.on_ray import cluster_for, train_on_ray
from jaxrl.run.progress import say
from jaxrl.run.workers import train_here
from jaxrl.store.differences import accepted_differences
from jaxrl.store.folder import Folder
from jaxrl.store.manifest import CURVES_FILE
from jaxrl.store.remedy import how_to_continue
from jaxrl.store.results import Results, load
from jaxrl.store.sharing import MOMENT, PATIENCE
from jaxrl.store.working_copy import opened
from jaxrl.study.batch import Batch
from jaxrl.study.plan import Plan, make_batches, make_plan
from jaxrl.study.seeds import parse_seeds
from jaxrl.study.study import Study, make_study
from jaxrl.text import command


def train(
    algorithm: Algorithm | Sequence[Algorithm],
    environment: Environment | Sequence[Environment],
    *,
    seeds: int | str | Iterable[int],
    steps: int,
    out: str | os.PathLike[str] | None = None,
    evaluate_every: int | None = None,
    evaluation_episodes: int = 10,
    evaluation_steps: int | None = None,
    evaluate_in: Mapping[str, Environment] | None = None,
    width: int | None = None,
    memory: str | float | None = None,
    checkpoint_every: float | None = None,
    prng: str = DEFAULT,
    precision: str = PRECISIONS[0],
    callbacks: Sequence[Callback] = (),
    workers: str | None = None,
) -> Results:
    """Trains every algorithm in every environment with every seed, and keeps the results in a folder.

    Args:
      algorithm, environment: one, or several as from `grid`.
      seeds: a count, a range "100:200", or distinct integers in [0, 2³²).
      steps: environment steps of each run, rounded down to whole iterations.
      out: the results folder or a URL; by default in the temporary folder. A complete equal study is read.
      evaluate_every: environment steps between two evaluations, called a chunk; training metrics are means
        over it. If None, a fiftieth of `steps`, or more if the evaluations would take too many steps.
      evaluation_episodes: episodes of one evaluation; their mean is one value.
      evaluation_steps: steps after which an episode of evaluation is cut and counts with its return so far.
      evaluate_in: further environments of evaluation by name, with metrics such as `eval_return/<name>`.
      width: lanes of a batch, on which bits depend; by default few batches, each fitting memory and caches.
      memory: limit per device, such as "4GB"; by default 0.9 of a GPU's, or half of a CPU's by its devices.
      checkpoint_every: seconds between checkpoints, 0 for each chunk; by default they take 3 % of the time.
      prng: the generator of all keys, by its name in jaxrl.random.generators.
      precision: of matrix products on a GPU, "float32" or "tensorfloat32".
      callbacks: called after each chunk of a batch with a `ChunkReport`; a true result stops as Ctrl-C does.
      workers: "ray" or "ray:8" for workers of a Ray cluster, which share the folder.

    Raises:
      InputError: a value or a combination that cannot be trained, or a folder that holds something else.
      KeyboardInterrupt: after Ctrl-C, once the current chunk is saved. A second Ctrl-C does not wait.
    """
    study = make_study(
        algorithm,
        environment,
        seeds=seeds,
        steps=steps,
        evaluate_every=evaluate_every,
        evaluation_episodes=evaluation_episodes,
        evaluation_steps=evaluation_steps,
        evaluate_in=evaluate_in,
        prng=prng,
        precision=precision,
    )
    folder = opened(out or tempfile.mkdtemp(prefix="jaxrl-"))
    if not folder.empty:
        return _held(folder, study, width)
    plan = make_plan(study, width, None if memory is None else parse_bytes(memory))
    return _begin(study, plan, folder, checkpoint_every, callbacks, workers)


def _held(folder: Folder, study: Study, width: int | None) -> Results:
    """The results of a study that a folder holds. Raises InputError unless it is the same, and complete."""
    if folder.require_same(study, width)["status"] != "complete":
        with folder.locked():
            raise InputError(f"{folder.path} holds this study unfinished; {how_to_continue(study, folder)}")
    say(f"{folder.path} holds this study, complete: read, not trained")
    return load(folder.path)


def _begin(
    study: Study,
    plan: Plan,
    folder: Folder,
    checkpoint_every: float | None,
    callbacks: Sequence[Callback],
    workers: str | None,
) -> Results:
    """Trains a study in an empty folder."""
    check_options(checkpoint_every, callbacks)
    with cluster_for(workers) as cluster:
        with folder.locked():
            folder.create(study, plan, "running" if cluster is None else "planned")
            say(str(plan))
            if cluster is None:
                train_here(study, plan, folder, checkpoint_every, callbacks)
        if cluster is not None:
            train_on_ray(cluster, study, plan, folder, checkpoint_every, callbacks)
    return load(folder.path)


def resume(
    path: str | os.PathLike[str],
    *,
    more_seeds: int | str | Iterable[int] | None = None,
    steps: int | None = None,
    rerun: int | str | None = None,
    force: bool = False,
    checkpoint_every: float | None = None,
    callbacks: Sequence[Callback] = (),
    workers: str | None = None,
) -> Results:
    """Finishes the study in a folder from its last checkpoints. The bits are those of an uninterrupted study.

    Args:
      path: the results folder, or a URL of a study to extend or to repair while nobody trains it.
      more_seeds: further seeds to train, as in `train`. A count means the seeds after the largest one.
      steps: a larger budget. All runs are trained further, and their schedules then use this budget.
      rerun: the index of a batch to train again from its start, or "all".
      force: whether to continue if jax, the device or the code differ; the manifest then records it.
      checkpoint_every, callbacks, workers: as in `train`.

    Raises:
      InputError: a folder that cannot be resumed here, or an extension that does not fit it.
      KeyboardInterrupt: as in `train`.
    """
    check_options(checkpoint_every, callbacks)
    folder = opened(path)
    manifest = folder.manifest()  # raises InputError if there is no study to lock
    extended = more_seeds is not None or steps is not None
    if manifest["status"] == "complete" and rerun is None and not extended and folder.has_runs(manifest):
        say(f"{folder.path} holds its study, complete: nothing to resume")
        return load(folder.path)  # without a lock, since the folder may be read-only
    if folder.continued_by != "resume" and rerun is None and not extended:
        how = command(folder.continued_by, folder.path)
        raise InputError(f"{folder.path} may be in training elsewhere; finish it with: {how}")
    with cluster_for(workers) as cluster:
        # The workers of a driver that was killed end within seconds.
        with folder.locked(MOMENT if cluster is None else PATIENCE):
            if (found := _reopened(folder, more_seeds, steps, rerun, force, cluster is None)) is None:
                return load(folder.path)
            study, plan = found
            if cluster is None:
                train_here(study, plan, folder, checkpoint_every, callbacks)
        if cluster is not None:
            train_on_ray(cluster, study, plan, folder, checkpoint_every, callbacks, force)
    return load(folder.path)


def _reopened(
    folder: Folder,
    more_seeds: int | str | Iterable[int] | None,
    steps: int | None,
    rerun: int | str | None,
    force: bool,
    here: bool,
) -> tuple[Study, Plan] | None:
    """The study in a locked folder and its plan, ready to be trained here or by others.

    Returns None if the study is complete. For the other arguments see `resume`.
    """
    manifest, extended = folder.manifest(), more_seeds is not None or steps is not None
    study, width = folder.study(), manifest["plan"]["width"]
    if manifest["status"] == "complete" and rerun is None and not extended:
        folder.mend_runs(study, make_batches(study, width))
        say(f"{folder.path}/runs.parquet was missing or altered: written again")
        return None
    if manifest["status"] == "complete" and rerun != "all":  # new curves must not join a damaged table
        folder.table(CURVES_FILE, manifest)
    if extended:
        study = _extended(folder, study, more_seeds, steps)
    plan = make_plan(study, width, sys.maxsize)  # the width was chosen to fit the memory
    again = _chosen(plan.batches, rerun)
    # A process that only hands out batches needs the same code, as one that only plans.
    began = manifest if here else manifest | {"status": "planned"}
    differing = accepted_differences(folder.path, began, study, force)
    for batch in again:
        folder.forget(batch)
    if rerun == "all":
        folder.forget_curves()
    folder.curves(manifest, plan.batches)  # raises InputError before the training if a part is lost
    folder.reopen(study, plan, differing, here)
    say(str(plan))
    return study, plan


def _extended(
    folder: Folder, study: Study, more_seeds: int | str | Iterable[int] | None, steps: int | None
) -> Study:
    """The study in a folder, extended. Raises InputError for an extension that does not fit."""
    first = max(run.seed for run in study.runs()) + 1
    seeds = () if more_seeds is None else parse_seeds(more_seeds, first)
    if steps is not None:
        say("schedules follow the larger budget: an annealed learning rate or epsilon rises again")
    try:
        return study.extended(seeds, steps)
    except InputError as error:
        if folder.manifest()["status"] == "complete":
            raise
        raise InputError(f"{error}, or finish the study as it is: {command('resume', folder.path)}") from None


def _chosen(batches: Sequence[Batch], rerun: int | str | None) -> Sequence[Batch]:
    """The batches to train again. Raises InputError for an unknown index."""
    if rerun is None or rerun == "all":
        return batches if rerun else ()
    if isinstance(rerun, str) or rerun not in range(len(batches)):
        raise InputError(f"rerun must be a batch in [0, {len(batches) - 1}] or all, got {rerun!r}")
    return [batches[int(rerun)]]


def check_options(checkpoint_every: float | None, callbacks: Sequence[Callback]) -> None:
    """Raises InputError for bad values of these options."""
    if checkpoint_every is not None and not checkpoint_every >= 0:
        raise InputError(
            f"checkpoint_every must be a number of seconds of at least 0, got {checkpoint_every}"
        )
    if not isinstance(callbacks, Sequence) or not all(map(callable, callbacks)):
        raise InputError(f"callbacks must be a list of functions, got {callbacks!r}")
