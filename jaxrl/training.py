"""Training: the compiled chunk, and the host loop around it, which alone prints, times and saves."""

import contextlib
import itertools
import os
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax, random
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from jaxrl.algorithm import Algorithm, Metrics, State
from jaxrl.environment import Environment
from jaxrl.errors import InputError
from jaxrl.evaluate import evaluate
from jaxrl.folder import KINDS, Folder, differences
from jaxrl.generators import DEFAULT
from jaxrl.interruption import interruptible
from jaxrl.memory import parse_bytes
from jaxrl.plan import Batch, make_batches, make_plan
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
        train_batches(study, plan.batches, folder, checkpoint_every)
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
        train_batches(study, plan.batches, folder, checkpoint_every)
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


def train_batches(
    study: Study, batches: Sequence[Batch], folder: Folder, checkpoint_every: float | None
) -> None:
    """Trains what is left of each batch, one at a time on every device, and finishes the study."""
    waiting, failures = queue.SimpleQueue[Batch](), list[BaseException]()
    for batch in batches:
        waiting.put(batch)

    def work(device: jax.Device) -> None:
        try:
            with jax.default_device(device), contextlib.suppress(queue.Empty):
                while not stop.is_set():
                    train_batch(study, waiting.get_nowait(), folder, checkpoint_every, stop, progressed)
        except jax.errors.JaxRuntimeError as failure:
            failures.append(_from_callback(failure))
            stop.set()
        except BaseException as failure:
            failures.append(failure)
            stop.set()

    steps = sum(len(batch.runs) * study.steps_of(batch.runs[0].algorithm) for batch in batches)
    with interruptible() as stop, progress_bar(steps) as progressed:
        devices = jax.local_devices()[: len(batches)]
        workers = [threading.Thread(target=work, args=(device,), daemon=True) for device in devices]
        for worker in workers:
            worker.start()
        try:
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
    folder.finish(study, batches)


def train_batch(
    study: Study,
    batch: Batch,
    folder: Folder,
    checkpoint_every: float | None,
    stop: threading.Event,
    progressed: Progressed,
) -> None:
    """Trains one batch from its last checkpoint on; evaluates and records every chunk, saves some."""
    per_iteration = batch.runs[0].algorithm.steps_per_iteration
    progress, state = folder.progress(batch), None
    seconds, failed, at = dict.fromkeys(KINDS, 0.0), {}, 0
    if progress is not None:
        seconds, failed, at = progress.seconds, progress.failed, progress.iteration
        state = folder.state(batch, study.prng)[2]
        progressed(at * per_iteration * len(batch.runs), np.empty(0))
    last = study.chunks(batch.runs[0].algorithm)[-1].stop
    wait = FIRST_CHECKPOINT if checkpoint_every is None else checkpoint_every
    saved = time.monotonic()
    for visit in visits(study, batch, seconds, state, at):
        chunk = visit.chunk
        with timed(seconds, "save"):
            folder.record(batch, chunk.stop * per_iteration, visit.values)
        for lane, metric in visit.broken.items():
            if lane < len(batch.runs):
                failed.setdefault(str(batch.runs[lane].id), (chunk.stop, metric))
        stopping = stop.is_set()  # once, or it could be set between saving and returning
        if chunk.stop == last or stopping or time.monotonic() - saved >= wait:
            with timed(seconds, "save"):
                start = time.monotonic()
                folder.save(batch, chunk.stop, visit.state, seconds, failed)
            saved = time.monotonic()
            wait = (saved - start) / SAVING_SHARE if checkpoint_every is None else checkpoint_every
        steps = (chunk.stop - chunk.start) * per_iteration * len(batch.runs)
        progressed(steps, visit.values.get("return", np.empty(0)))
        if stopping:
            return


class Visit(NamedTuple):
    """What the host sees after a chunk; the state's buffers are used again for the next one."""

    chunk: Chunk
    state: State
    values: dict[str, np.ndarray]  # metric -> [lanes]
    broken: dict[int, str]  # lane -> the first metric that is not finite there, or "state"


def visits(
    study: Study, batch: Batch, seconds: dict[str, float], state: State | None = None, at: int = 0
) -> Iterator[Visit]:
    """Trains a batch from its start, or from a state after `at` iterations, chunk by chunk.

    Adds the time it takes to `seconds`, by kind.
    """
    algorithm, env, key_train, key_eval = batch.lanes(study.prng)
    chunks = [chunk for chunk in study.chunks(batch.runs[0].algorithm) if state is None or chunk.stop > at]
    with timed(seconds, "compile"):
        if state is None:
            state = initialise(algorithm, env, key_train)
        state, _, _ = jax.block_until_ready(advance(algorithm, env, state, at, at, at))

    for chunk in chunks:
        with timed(seconds, "train" if chunk.stop else "compile"):
            state, metrics, finite = advance_chunk(algorithm, env, state, *chunk)
        with timed(seconds, "evaluate" if chunk.stop else "compile"):
            keys = _at(key_eval, chunk.stop)
            evaluation = evaluate(algorithm, env, state, keys, study.evaluation_episodes)
            returns, lengths = jax.device_get(evaluation)
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
    algorithm: Algorithm, env: Environment, state: State, start: int, stop: int, total: int
) -> tuple[State, dict[str, tuple[np.ndarray, np.ndarray]], np.ndarray]:
    """`advance` on the host, in calls of at most MAX_ITERATIONS, whose float32 sums are added in float64."""
    sums: Any = None
    for begin, end in itertools.pairwise([start, *range(start + MAX_ITERATIONS, stop, MAX_ITERATIONS), stop]):
        state, metrics, finite = advance(algorithm, env, state, begin, end, total)
        metrics = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), jax.device_get(metrics))
        sums = metrics if sums is None else jax.tree.map(np.add, sums, metrics)
    return state, sums, np.asarray(finite)


@jax.jit
def initialise(algorithm: Algorithm, env: Environment, keys: Array) -> State:
    """The states of all lanes before the first iteration. All arguments [lanes]."""
    return jax.vmap(lambda a, e, key: a.init(e, key))(algorithm, env, keys)


@partial(jax.jit, donate_argnames="state")
def advance(
    algorithm: Algorithm,
    env: Environment,
    state: State,
    start: Array | int,
    stop: Array | int,
    total: Array | int,
) -> tuple[State, Metrics, Array]:
    """Iterations start to stop - 1, of `total` planned ones, in all lanes.

    The bounds are traced, so one compilation serves every chunk and every budget; with start = stop
    it only compiles. Gives the states, the metrics summed over the chunk, and whether each lane's
    state is finite ([lanes] bool).
    """

    def iteration(t: Array, carry: tuple[State, Metrics]) -> tuple[State, Metrics]:
        state, sums = carry
        state, metrics = iterate(algorithm, env, state, t, total)
        return state, jax.tree.map(jnp.add, sums, metrics)

    _, metrics = jax.eval_shape(iterate, algorithm, env, state, start, total)
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), metrics)
    state, metrics = lax.fori_loop(start, stop, iteration, (state, zeros))
    return state, metrics, jax.vmap(all_finite)(state)


@partial(jax.jit, inline=True)  # so that its shapes and the loop need one trace of it, not one each
def iterate(
    algorithm: Algorithm, env: Environment, state: State, t: Array | int, total: Array | int
) -> tuple[State, Metrics]:
    """Iteration t, of `total` planned ones, in all lanes."""
    return jax.vmap(lambda a, e, s: a.step(e, s, t, total))(algorithm, env, state)


def all_finite(state: State) -> Array:
    """Whether every real number of a state is finite: [] bool."""
    leaves = [leaf for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    # By the extremes, which a NaN is too, since isfinite of each entry would be as large as the state.
    extremes = [extreme(leaf) for leaf in leaves for extreme in (jnp.min, jnp.max)]
    return jnp.all(jnp.isfinite(jnp.stack(extremes)))


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


@jax.jit
def _at(keys: Array, t: Array | int) -> Array:
    """Each lane's key for iteration t: [lanes]."""
    return jax.vmap(random.fold_in, (0, None))(keys, t)


def _ratio(total: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Mean from sum and weight, NaN where nothing was counted."""
    return np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 0)


def _say(text: str) -> None:
    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)
