"""Training: the host loop around what is compiled, which alone prints, times and saves."""

import contextlib
import itertools
import os
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from jaxrl.algorithm import Algorithm, State
from jaxrl.engine import engine_for
from jaxrl.environment import Environment
from jaxrl.errors import InputError
from jaxrl.folder import KINDS, Folder, differences
from jaxrl.generators import DEFAULT
from jaxrl.interruption import interruptible
from jaxrl.memory import parse_bytes
from jaxrl.plan import Batch, Plan, Team, make_batches, make_plan, make_teams
from jaxrl.results import Results, load
from jaxrl.study import Chunk, Study, make_study, parse_seeds, study_of

MAX_ITERATIONS = 2**14  # of one compiled call; a float32 sum of many more would lose digits
SAVING_SHARE = 0.03  # of the time, which checkpoints may take unless the user says how often
FIRST_CHECKPOINT = 10.0  # seconds, when it is not yet known how long one takes
Progressed = Callable[[int, np.ndarray], None]  # (environment steps since the last call, returns [lanes])


def train(
    algorithm: Algorithm | Sequence[Algorithm],
    environment: Environment | Sequence[Environment],
    *,
    seeds: int | str | Iterable[int],
    steps: int,
    out: str | os.PathLike[str] | None = None,
    evaluate_every: int | None = None,
    evaluation_episodes: int = 10,
    width: int | None = None,
    memory: str | None = None,
    checkpoint_every: float | None = None,
    prng: str = DEFAULT,
) -> Results:
    """Trains every algorithm in every environment with every seed, and keeps the results in a folder.

    Args:
      algorithm: one, or several as from `grid`.
      environment: one, or several as from `grid`.
      seeds: a count, a range "100:200", or distinct integers in [0, 2³²).
      steps: environment steps of each run, rounded down to whole iterations.
      out: the results folder; if None, a new one in the system's temporary folder, which is kept. A
        folder that already holds this very study, complete, is read and nothing is trained.
      evaluate_every: environment steps between two evaluations; metrics are means over that stretch. A
        fiftieth of `steps` if None.
      evaluation_episodes: episodes of one evaluation; their mean is one value.
      width: lanes of a batch; the bits of a run depend on it. By default the least that fits the largest
        program into as few batches as the memory allows, on a processor also its caches, and 256 lanes.
      memory: what the lanes of one device may take, such as "4GB"; by default half of what the
        processor has free, or nine tenths of a GPU's.
      checkpoint_every: seconds between two checkpoints of a batch, each taken at the end of a chunk (0:
        after every one). By default so that they take about three per cent of the time.
      prng: the generator of all keys, by its name in jaxrl.generators.

    Raises:
      InputError: a value or a combination that cannot be trained, or a folder that holds something else.
      KeyboardInterrupt: after Ctrl-C, once the chunk under way is finished and saved; `resume` goes on
        from there. A second Ctrl-C does not wait.
    """
    study = make_study(
        algorithm,
        environment,
        seeds=seeds,
        steps=steps,
        evaluate_every=evaluate_every,
        evaluation_episodes=evaluation_episodes,
        prng=prng,
    )
    folder = Folder(Path(out or tempfile.mkdtemp(prefix="jaxrl-")))
    if not folder.empty:
        folder.require_same(study, width)
        _say(f"{folder.path} holds this study, complete: read, not trained")
        return load(folder.path)
    plan = make_plan(study, width, None if memory is None else parse_bytes(memory))
    with folder.locked():
        folder.create(study, plan)
        _say(str(plan))
        train_plan(study, plan, folder, checkpoint_every)
    return load(folder.path)


def resume(
    path: str | os.PathLike[str],
    *,
    more_seeds: int | str | Iterable[int] | None = None,
    steps: int | None = None,
    rerun: int | str | None = None,
    force: bool = False,
    checkpoint_every: float | None = None,
) -> Results:
    """Finishes the study in a folder, from its last checkpoints; the bits are those of an uninterrupted one.

    Args:
      path: the results folder.
      more_seeds: further seeds to train, as in `train`, a count being that many after the largest; the
        other runs stay as they are.
      steps: a larger budget, to which all runs are trained on. Schedules follow it from there on.
      rerun: the index of a batch to train again from its start, or "all".
      force: goes on though jax, the device or jaxrl's code differ; the manifest then records it.
      checkpoint_every: as in `train`.

    Raises:
      InputError: a folder that cannot be resumed here, or an extension that does not fit it.
      KeyboardInterrupt: as in `train`.
    """
    folder = Folder(Path(path))
    folder.manifest()  # or else there is nothing to lock
    with folder.locked():
        manifest = folder.manifest()
        study, width = study_of(manifest), manifest["plan"]["width"]
        extended = more_seeds is not None or steps is not None
        if manifest["status"] == "complete" and rerun is None and not extended:
            return _read_again(folder, study, width)
        if manifest["status"] == "complete" and rerun != "all":  # or else what is new would join damage
            folder.table("curves.parquet", manifest["sha256"]["curves.parquet"])
        if extended:
            study = _extended(folder, study, more_seeds, steps)
        plan = make_plan(study, width, sys.maxsize)  # the memory was seen to when its width was chosen
        again = _chosen(plan.batches, rerun)
        differing = differences(manifest, study)
        if differing and not force:
            name, (there, here) = next(iter(differing.items()))
            raise InputError(
                f"{path} was trained with {name} {there!r}, here it is {here!r}, so that the bits may "
                "differ; --force goes on nevertheless and records it"
            )
        for batch in again:
            folder.forget(batch)
        if rerun == "all":
            folder.forget_curves()
        folder.curves(study, plan.batches)  # or else what is lost would be noticed when all is trained
        folder.reopen(study, plan, differing)
        _say(str(plan))
        train_plan(study, plan, folder, checkpoint_every)
    return load(path)


def _read_again(folder: Folder, study: Study, width: int) -> Results:
    """The results of a complete study, its table of runs written again if that was lost."""
    if folder.mend_runs(study, make_batches(study, width)):
        _say(f"{folder.path}/runs.parquet was missing or altered: written again")
    else:
        _say(f"{folder.path} holds its study, complete: nothing to resume")
    return load(folder.path)


def _extended(
    folder: Folder, study: Study, more_seeds: int | str | Iterable[int] | None, steps: int | None
) -> Study:
    """The study in a folder, extended. Raises InputError for an extension that does not fit."""
    first = max(run.seed for run in study.runs()) + 1
    seeds = () if more_seeds is None else parse_seeds(more_seeds, first)
    try:
        return study.extended(seeds, steps)
    except InputError as error:
        if folder.manifest()["status"] == "complete":
            raise
        raise InputError(f"{error}, or finish what was begun with: jaxrl resume {folder.path}") from None


def _chosen(batches: Sequence[Batch], rerun: int | str | None) -> Sequence[Batch]:
    """The batches to train again. Raises InputError for an index that there is not."""
    if rerun is None or rerun == "all":
        return batches if rerun else ()
    if isinstance(rerun, str) or not 0 <= rerun < len(batches):
        raise InputError(f"rerun must be a batch in [0, {len(batches) - 1}] or all, got {rerun!r}")
    return [batches[rerun]]


def train_plan(study: Study, plan: Plan, folder: Folder, checkpoint_every: float | None) -> None:
    """Trains what is left of each batch, team by team on the meshes, and finishes the study."""
    waiting, failures = queue.SimpleQueue[tuple[Batch, ...]](), list[BaseException]()

    def work(mesh: Mesh) -> None:
        try:
            with contextlib.suppress(queue.Empty):
                while not stop.is_set():
                    team = Team(waiting.get_nowait(), mesh)
                    train_team(study, team, folder, checkpoint_every, stop, progressed)
        except jax.errors.JaxRuntimeError as failure:
            failures.append(_from_callback(failure))
            stop.set()
        except BaseException as failure:
            failures.append(failure)
            stop.set()

    with interruptible() as stop, progress_bar(plan.steps) as progressed:
        try:
            teams, meshes = make_teams(*_unfinished(study, plan, folder, progressed), plan.shared)
            for members in teams:
                waiting.put(members)
            workers = [threading.Thread(target=work, args=(mesh,), daemon=True) for mesh in meshes]
            for worker in workers:
                worker.start()
            for worker in workers:
                while worker.is_alive():  # a join without end would sleep on if another thread got the signal
                    worker.join(timeout=0.1)
        except KeyboardInterrupt:  # the second one
            folder.abandon()
            raise KeyboardInterrupt(f"stopped at once; continue with: jaxrl resume {folder.path}") from None
    if failures:
        raise failures[0]
    if stop.is_set():
        raise KeyboardInterrupt(f"stopped; continue with: jaxrl resume {folder.path}")
    folder.finish(study, plan.batches)


def _unfinished(
    study: Study, plan: Plan, folder: Folder, progressed: Progressed
) -> tuple[list[Batch], list[int | None]]:
    """The batches that are left, and how far each of them is. The states of the others are checked."""
    left, iterations = list[Batch](), list[int | None]()
    for batch in plan.batches:
        if folder.finished(study, batch):
            folder.state(batch, study.prng)  # or else damage would be noticed only when somebody wants it
            progressed(len(batch.runs) * study.steps_of(batch.runs[0].algorithm), np.empty(0))
        else:
            progress = folder.progress(batch)
            left.append(batch)
            iterations.append(None if progress is None else progress.iteration)
    return left, iterations


def train_team(
    study: Study,
    team: Team,
    folder: Folder,
    checkpoint_every: float | None,
    stop: threading.Event,
    progressed: Progressed,
) -> None:
    """Trains a team from the iteration that all of it has reached; records every chunk, and saves some."""
    algorithm = team.batches[0].runs[0].algorithm
    steps = algorithm.steps_per_iteration * sum(len(batch.runs) for batch in team.batches)  # of an iteration
    saved = [progress for batch in team.batches if (progress := folder.progress(batch))]
    failed = {run: where for progress in saved for run, where in progress.failed.items()}
    spent, state, at = dict.fromkeys(KINDS, 0.0), None, 0
    if saved:
        at = saved[0].iteration
        state = _restored(study, team, folder)
        progressed(at * steps, np.empty(0))
    earlier = [progress.seconds for progress in saved] or [spent.copy() for _ in team.batches]
    last = study.chunks(algorithm)[-1].stop
    wait = FIRST_CHECKPOINT if checkpoint_every is None else checkpoint_every
    written = time.monotonic()
    for visit in visits(study, team, spent, state, at):
        chunk = visit.chunk
        with timed(spent, "save"):
            for place, batch in enumerate(team.batches):
                values = {
                    name: np.split(lanes, team.mesh.size)[place] for name, lanes in visit.values.items()
                }
                folder.record(batch, chunk.stop * algorithm.steps_per_iteration, values)
        for lane, metric in visit.broken.items():
            if run := team.run_in(lane):
                failed.setdefault(str(run.id), (chunk.stop, metric))
        stopping = stop.is_set()  # once, or it could be set between saving and returning
        if chunk.stop == last or stopping or time.monotonic() - written >= wait:
            start = time.monotonic()
            with timed(spent, "save"):
                for batch, part, before in zip(team.batches, team.split(visit.state), earlier, strict=True):
                    seconds = {kind: before[kind] + spent[kind] for kind in KINDS}
                    folder.save(batch, chunk.stop, part, seconds, failed)
            written = time.monotonic()
            wait = (written - start) / SAVING_SHARE if checkpoint_every is None else checkpoint_every
        progressed((chunk.stop - chunk.start) * steps, visit.values.get("return", np.empty(0)))
        if stopping:
            return


def _restored(study: Study, team: Team, folder: Folder) -> State:
    """The last saved states of a team's batches, each read, and put on its device, before the next one."""
    pairs = zip(team.batches, team.mesh.devices, strict=False)
    return team.join([jax.device_put(folder.state(batch, study.prng)[2], device) for batch, device in pairs])


class Visit(NamedTuple):
    """What the host sees after a chunk; the state's buffers are used again for the next one."""

    chunk: Chunk
    state: State
    values: dict[str, np.ndarray]  # metric -> [lanes]
    broken: dict[int, str]  # lane -> the first metric that is not finite there, or "state"


def visits(
    study: Study, team: Team, seconds: dict[str, float], state: State | None = None, at: int = 0
) -> Iterator[Visit]:
    """Trains a team from its start, or from a state after `at` iterations, chunk by chunk.

    Adds the time it takes to `seconds`, by kind.
    """
    chunks = study.chunks(team.batches[0].runs[0].algorithm)
    chunks = [chunk for chunk in chunks if state is None or chunk.stop > at]
    engine = engine_for(team.mesh, study.evaluation_episodes)
    algorithm, env, key_train, key_eval = team.lanes(study.prng)
    with timed(seconds, "compile"):
        if state is None:
            state = engine.initialise(algorithm, env, key_train)
        state, _, _ = jax.block_until_ready(engine.advance(algorithm, env, state, at, at, at))

    for chunk in chunks:
        with timed(seconds, "train" if chunk.stop else "compile"):
            state, metrics, finite = advance_chunk(engine.advance, algorithm, env, state, *chunk)
        with timed(seconds, "evaluate" if chunk.stop else "compile"):
            keys = engine.keys_at(key_eval, chunk.stop)
            returns, lengths = jax.device_get(engine.evaluate(algorithm, env, state, keys))
        values = {name: _ratio(*pair) for name, pair in metrics.items()} if chunk.stop else {}
        values |= {"eval_return": returns.mean(axis=1), "eval_length": lengths.mean(axis=1)}
        yield Visit(chunk, state, values, broken_lanes(finite, metrics, returns))


def broken_lanes(
    finite: np.ndarray, metrics: dict[str, tuple[np.ndarray, np.ndarray]], returns: np.ndarray
) -> dict[int, str]:
    """The lanes where something is not finite, and what: the state ([lanes] whether it is), a metric's
    sum ([lanes] each), or the returns of the evaluation ([lanes, episodes])."""
    whole = {"state": finite, "eval_return": np.isfinite(returns).all(axis=1)}
    whole |= {name: np.isfinite(total) for name, (total, _) in metrics.items()}
    return {int(lane): name for name, good in reversed(whole.items()) for lane in np.flatnonzero(~good)}


def advance_chunk(
    advance: Callable[..., Any],
    algorithm: Algorithm,
    env: Environment,
    state: State,
    start: int,
    stop: int,
    total: int,
) -> tuple[State, dict[str, tuple[np.ndarray, np.ndarray]], np.ndarray]:
    """An engine's `advance` in calls of at most MAX_ITERATIONS, whose float32 sums are added in float64."""
    sums: Any = None
    for begin, end in itertools.pairwise([start, *range(start + MAX_ITERATIONS, stop, MAX_ITERATIONS), stop]):
        state, metrics, finite = advance(algorithm, env, state, begin, end, total)
        metrics = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), jax.device_get(metrics))
        sums = metrics if sums is None else jax.tree.map(np.add, sums, metrics)
    return state, sums, np.asarray(finite)


@contextlib.contextmanager
def progress_bar(total: int) -> Iterator[Progressed]:
    """A bar of steps, steps/s, mean training return and time left; silent if not a terminal."""
    console = Console(stderr=True)
    columns = (
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
        TextColumn("{task.fields[rate]:,.0f} steps/s"),
        TextColumn("return {task.fields[mean_return]:.1f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("training", total=total, rate=0.0, mean_return=float("nan"))

        def progressed(steps: int, returns: np.ndarray) -> None:
            rate, known = progress.tasks[0].speed or 0.0, returns[np.isfinite(returns)]
            progress.update(task, advance=steps, rate=rate)
            if known.size:
                progress.update(task, mean_return=known.mean())

        yield progressed


@contextlib.contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Adds the wall-clock time of the block to `seconds[name]`."""
    start = time.perf_counter()
    yield
    seconds[name] += time.perf_counter() - start


def _from_callback(failure: jax.errors.JaxRuntimeError) -> Exception:
    """The InputError that an environment raised on the host, whose text XLA keeps; else the failure."""
    _, found, text = str(failure).partition(f"{InputError.__name__}: ")
    return InputError(text.splitlines()[0]) if found else failure


def _ratio(total: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Mean from sum and weight, NaN where nothing was counted."""
    return np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 0)


def _say(text: str) -> None:
    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)
