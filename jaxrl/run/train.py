"""The functions that train a study and resume it."""

import os
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console

from jaxrl.compiled.engine import PRECISIONS
from jaxrl.compiled.lane_memory import parse_bytes
from jaxrl.errors import InputError
from jaxrl.learning.algorithm import Algorithm
from jaxrl.mdp.environment import Environment
from jaxrl.random.generators import DEFAULT
from jaxrl.run.callbacks import Callback
from jaxrl.run.workers import train_plan
from jaxrl.store.differences import differences
from jaxrl.store.files import located
from jaxrl.store.folder import Folder
from jaxrl.store.manifest import CURVES_FILE
from jaxrl.store.results import Results, load
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
) -> Results:
    """Trains every algorithm in every environment with every seed, and keeps the results in a folder.

    Args:
      algorithm, environment: one, or several as from `grid`.
      seeds: a count, a range "100:200", or distinct integers in [0, 2³²).
      steps: environment steps of each run, rounded down to whole iterations.
      out: the results folder, a new one in the temporary folder if None. A complete equal study is read.
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
    folder = Folder(located(out or tempfile.mkdtemp(prefix="jaxrl-")))
    if not folder.empty:
        folder.require_same(study, width)
        _say(f"{folder.path} holds this study, complete: read, not trained")
        return load(folder.path)
    plan = make_plan(study, width, None if memory is None else parse_bytes(memory))
    return _begin(study, plan, folder, checkpoint_every, callbacks)


def _begin(
    study: Study, plan: Plan, folder: Folder, checkpoint_every: float | None, callbacks: Sequence[Callback]
) -> Results:
    """Trains a study in an empty folder."""
    _check(checkpoint_every, callbacks)
    with folder.locked():
        folder.create(study, plan)
        _say(str(plan))
        train_plan(study, plan, folder, checkpoint_every, callbacks)
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
) -> Results:
    """Finishes the study in a folder from its last checkpoints. The bits are those of an uninterrupted study.

    Args:
      path: the results folder.
      more_seeds: further seeds to train, as in `train`. A count means the seeds after the largest one.
      steps: a larger budget. All runs are trained further, and their schedules then use this budget.
      rerun: the index of a batch to train again from its start, or "all".
      force: whether to continue if jax, the device or the code differ; the manifest then records it.
      checkpoint_every, callbacks: as in `train`.

    Raises:
      InputError: a folder that cannot be resumed here, or an extension that does not fit it.
      KeyboardInterrupt: as in `train`.
    """
    _check(checkpoint_every, callbacks)
    folder = Folder(located(path))
    manifest = folder.manifest()  # raises InputError if there is no study to lock
    extended = more_seeds is not None or steps is not None
    if manifest["status"] == "complete" and rerun is None and not extended and folder.has_runs(manifest):
        _say(f"{folder.path} holds its study, complete: nothing to resume")
        return load(folder.path)  # without a lock, since the folder may be read-only
    with folder.locked():
        manifest = folder.manifest()
        study, width = folder.study(), manifest["plan"]["width"]
        if manifest["status"] == "complete" and rerun is None and not extended:
            folder.mend_runs(study, make_batches(study, width))
            _say(f"{folder.path}/runs.parquet was missing or altered: written again")
            return load(folder.path)
        if manifest["status"] == "complete" and rerun != "all":  # new curves must not join a damaged table
            folder.table(CURVES_FILE, manifest)
        if extended:
            study = _extended(folder, study, more_seeds, steps)
        plan = make_plan(study, width, sys.maxsize)  # the width was chosen to fit the memory
        again = _chosen(plan.batches, rerun)
        differing = differences(manifest, study)
        if differing and not force:
            name, (there, here) = next(iter(differing.items()))
            raise InputError(
                f"{path} was trained with {name} {there!r}, here it is {here!r}, so the bits may differ; "
                "--force continues anyway and records it"
            )
        for batch in again:
            folder.forget(batch)
        if rerun == "all":
            folder.forget_curves()
        folder.curves(manifest, plan.batches)  # raises InputError before the training if a part is lost
        folder.reopen(study, plan, differing)
        _say(str(plan))
        train_plan(study, plan, folder, checkpoint_every, callbacks)
    return load(folder.path)


def _extended(
    folder: Folder, study: Study, more_seeds: int | str | Iterable[int] | None, steps: int | None
) -> Study:
    """The study in a folder, extended. Raises InputError for an extension that does not fit."""
    first = max(run.seed for run in study.runs()) + 1
    seeds = () if more_seeds is None else parse_seeds(more_seeds, first)
    if steps is not None:
        _say("schedules follow the larger budget: an annealed learning rate or epsilon rises again")
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
    if isinstance(rerun, str) or not 0 <= rerun < len(batches):
        raise InputError(f"rerun must be a batch in [0, {len(batches) - 1}] or all, got {rerun!r}")
    return [batches[rerun]]


def _check(checkpoint_every: float | None, callbacks: Sequence[Callback]) -> None:
    """Raises InputError for bad values of these options."""
    if checkpoint_every is not None and not checkpoint_every >= 0:
        raise InputError(
            f"checkpoint_every must be a number of seconds of at least 0, got {checkpoint_every}"
        )
    if not isinstance(callbacks, Sequence) or not all(map(callable, callbacks)):
        raise InputError(f"callbacks must be a list of functions, got {callbacks!r}")


def _say(text: str) -> None:
    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)
