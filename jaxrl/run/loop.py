"""The loop over chunks: train, evaluate, record, save now and then."""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrl.compiled.engine import Engine, engine_for
from jaxrl.compiled.mesh import replicated
from jaxrl.config import detach, stack
from jaxrl.errors import InputError
from jaxrl.learning.algorithm import State
from jaxrl.run.callbacks import Callback, ChunkReport
from jaxrl.store.checkpoints import Progress
from jaxrl.store.folder import Folder
from jaxrl.store.manifest import KINDS
from jaxrl.study.batch import Lanes
from jaxrl.study.placement import MeshBatches
from jaxrl.study.study import Chunk, Study

MAX_ITERATIONS = 2**14  # iterations of one compiled call; a float32 sum over many more would lose digits
SAVING_SHARE = 0.03  # share of the time that checkpoints take by default
FIRST_CHECKPOINT = 10.0  # seconds before the first checkpoint, whose duration is not yet known
_COMPILED = set[tuple[Engine, Any, int]]()  # programs and widths that this process has begun to train


def train_batches(
    study: Study,
    group: MeshBatches,
    folder: Folder,
    checkpoint_every: float | None,
    stop: threading.Event,
    callback: Callback,
    evaluating: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
) -> None:
    """Trains a group of batches from the iteration that all of them have reached; saves after some chunks.

    Sets `stop` and returns after the chunk if the callback asks for it. Trains nothing if another worker has
    just finished the batches or saved only some of them.
    Every evaluation runs in a context `evaluating`.
    """
    if (found := _saved(group, folder)) is None:
        return
    saved, state = found
    failed = {run: where for progress in saved for run, where in progress.failed.items()}
    spent = dict.fromkeys(KINDS, 0.0)
    earlier = [progress.seconds for progress in saved] or [spent.copy() for _ in group.batches]
    at = saved[0].iteration if saved else 0
    last, steps_per_iteration = group.batches[0].iterations, group.batches[0].steps_per_iteration
    wait = FIRST_CHECKPOINT if checkpoint_every is None else checkpoint_every
    unsaved: list[dict[int, dict[str, np.ndarray]]] = [{} for _ in group.batches]  # step -> metric -> [lanes]
    written = time.monotonic()
    for visit in visits(study, group, spent, state, at, evaluating):
        chunk, step = visit.chunk, visit.chunk.stop * steps_per_iteration
        advanced, reports = step - chunk.start * steps_per_iteration, []
        for place, batch in enumerate(group.batches):
            values = {name: np.split(each, group.mesh.size)[place] for name, each in visit.values.items()}
            unsaved[place][step] = values
            kept = {name: each[: len(batch.runs)] for name, each in values.items()}
            reports.append(ChunkReport(batch.runs, step, advanced, kept))
        for lane, metric in visit.broken.items():
            if run := group.run_in(lane):
                failed.setdefault(str(run.id), (chunk.stop, metric))
        answers = [callback(report) for report in reports]  # all of them are called
        if any(answers):
            stop.set()
        stopping = stop.is_set()  # read once, since it could be set between saving and returning
        if chunk.stop == last or stopping or time.monotonic() - written >= wait:
            start = time.monotonic()
            with timed(spent, "save"):
                for place, (batch, part) in enumerate(
                    zip(group.batches, group.split(visit.state), strict=True)
                ):
                    seconds = {kind: earlier[place][kind] + spent[kind] for kind in KINDS}
                    folder.save(batch, chunk.stop, part, unsaved[place], seconds, failed)
                    unsaved[place] = {}
            written = time.monotonic()
            wait = (written - start) / SAVING_SHARE if checkpoint_every is None else checkpoint_every
        if stopping:
            return


def _saved(group: MeshBatches, folder: Folder) -> tuple[list[Progress], State | None] | None:
    """The progress of each batch of a group and their saved states; nothing if nothing was saved.

    Returns None if the batches are done, or if they have reached different iterations. Each state is put on
    its device before the next is read.
    """
    folder.refresh()
    saved = [progress for batch in group.batches if (progress := folder.progress(batch))]
    if not saved:
        return [], None
    if len(saved) < len(group.batches) or len({progress.iteration for progress in saved}) > 1:
        return None
    if saved[0].iteration == group.batches[0].iterations:
        return None
    places = zip(group.batches, saved, group.mesh.devices, strict=False)
    try:
        states = [jax.device_put(folder.state(batch, progress), device) for batch, progress, device in places]
    except InputError:
        if [folder.progress(batch) for batch in group.batches] == saved:
            raise
        return _saved(group, folder)  # another worker has replaced a state meanwhile
    return saved, group.join(states)


class Visit(NamedTuple):
    """What the host sees after a chunk. The next chunk reuses the buffers of the state."""

    chunk: Chunk
    state: State
    values: dict[str, np.ndarray]  # metric -> [lanes]
    broken: dict[int, str]  # lane that is not finite -> "state" or a metric


def visits(
    study: Study,
    group: MeshBatches,
    seconds: dict[str, float],
    state: State | None = None,
    at: int = 0,
    evaluating: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
) -> Iterator[Visit]:
    """Trains a group of batches from its start, or from its state after `at` iterations, chunk by chunk.

    Adds the time to `seconds` by kind. Raises InputError for an action outside of the action space.
    """
    chunks = [chunk for chunk in group.batches[0].chunks if state is None or chunk.stop > at]
    engine = engine_for(group.mesh, study.evaluation_episodes, study.precision, study.evaluation_steps)
    program = (engine, group.batches[0].runs[0].program, group.batches[0].width)
    at_start = "evaluate" if program in _COMPILED else "compile"  # the first evaluation compiles
    _COMPILED.add(program)
    lanes = group.lanes()
    algorithm, env, keys, shared = lanes
    evaluations = _evaluations(study, group, lanes)
    with timed(seconds, "compile"):
        if state is None:
            state = engine.initialise(algorithm, env, keys.init, shared, chunks[0].total)
        # An empty chunk only compiles.
        ready = engine.advance(algorithm, env, state, keys.steps, shared, at, at, chunks[0].total)
        state, _, _ = jax.block_until_ready(ready)

    for chunk in chunks:
        with timed(seconds, "train"):
            state, metrics, finite = advance_chunk(engine, lanes, state, chunk)
        with timed(seconds, "evaluate" if chunk.stop else at_start), evaluating():
            returns, lengths = evaluated(engine, lanes, evaluations, state, chunk)
        values = {name: _ratio(*pair) for name, pair in metrics.items()} if chunk.stop else {}
        values |= {name: each.mean(axis=1, dtype=float) for name, each in (returns | lengths).items()}
        yield Visit(chunk, state, values, broken_lanes(finite, metrics, returns))


def _evaluations(study: Study, group: MeshBatches, lanes: Lanes) -> dict[str, Lanes]:
    """The lanes with each environment of evaluation, by the suffix of its metrics' names."""
    evaluations = {"": lanes}
    for name, environment in study.evaluate_in:
        env, arrays = detach(environment)
        stacked = group.join([stack([env] * group.batches[0].width) for _ in group.batches])
        shared = (lanes.shared[0], replicated(arrays, group.mesh))
        evaluations[f"/{name}"] = lanes._replace(environment=stacked, shared=shared)
    return evaluations


def evaluated(
    engine: Engine, lanes: Lanes, evaluations: Mapping[str, Lanes], state: State, chunk: Chunk
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Returns and lengths of the evaluations after a chunk, by their metrics' names: [lanes, episodes] each.

    Raises InputError for an action outside of the action space.
    """
    returns, lengths = dict[str, np.ndarray](), dict[str, np.ndarray]()
    keys = engine.keys_at(lanes.keys.evaluation, chunk.stop)
    for suffix, (algorithm, env, _, shared) in evaluations.items():
        totals = engine.evaluate(algorithm, env, state, keys, shared, chunk.total)
        returns[f"eval_return{suffix}"], lengths[f"eval_length{suffix}"], valid = jax.device_get(totals)
        if not valid.all():
            raise InputError(f"{type(algorithm).__name__}.act gave an action that {env.title} does not have")
    return returns, lengths


def broken_lanes(
    finite: np.ndarray,
    metrics: Mapping[str, tuple[np.ndarray, np.ndarray]],
    returns: Mapping[str, np.ndarray],
) -> dict[int, str]:
    """The lanes where something is not finite, with the first such thing.

    The order is the state (`finite` [lanes]), returns of evaluations ([lanes, episodes]), and the sums of
    metrics ([lanes]).
    """
    whole = {"state": finite} | {name: np.isfinite(each).all(axis=1) for name, each in returns.items()}
    whole |= {name: np.isfinite(total) for name, (total, _) in metrics.items()}
    return {int(lane): name for name, good in reversed(whole.items()) for lane in np.flatnonzero(~good)}


def advance_chunk(
    engine: Engine, lanes: Lanes, state: State, chunk: Chunk
) -> tuple[State, dict[str, tuple[np.ndarray, np.ndarray]], np.ndarray]:
    """Runs a chunk in calls of at most MAX_ITERATIONS. Their float32 sums are added in float64."""
    algorithm, env, keys, shared = lanes
    sums: Any = None
    marks = [chunk.start, *range(chunk.start + MAX_ITERATIONS, chunk.stop, MAX_ITERATIONS), chunk.stop]
    for begin, end in itertools.pairwise(marks):
        state, metrics, finite = engine.advance(
            algorithm, env, state, keys.steps, shared, begin, end, chunk.total
        )
        metrics = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), jax.device_get(metrics))
        sums = metrics if sums is None else jax.tree.map(np.add, sums, metrics)
    return state, sums, np.asarray(finite)


@contextlib.contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Adds the wall-clock time of the block to `seconds[name]`."""
    start = time.perf_counter()
    yield
    seconds[name] += time.perf_counter() - start


def _ratio(total: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Mean from sum and weight; NaN where the weight is 0."""
    return np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 0)
