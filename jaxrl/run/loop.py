import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrl.compiled.engine import engine_for
from jaxrl.learning.algorithm import Algorithm, State
from jaxrl.mdp.environment import Environment
from jaxrl.run.progress import Progressed
from jaxrl.store.folder import Folder
from jaxrl.store.manifest import KINDS
from jaxrl.study.study import Chunk, Study
from jaxrl.study.teams import Team

MAX_ITERATIONS = 2**14  # of one compiled call; a float32 sum of many more would lose digits


SAVING_SHARE = 0.03  # of the time, which checkpoints may take unless the user says how often


FIRST_CHECKPOINT = 10.0  # seconds, when it is not yet known how long one takes


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
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Adds the wall-clock time of the block to `seconds[name]`."""
    start = time.perf_counter()
    yield
    seconds[name] += time.perf_counter() - start


def _ratio(total: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Mean from sum and weight, NaN where nothing was counted."""
    return np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 0)
