"""Training: the compiled chunk, and the host loop around it, which alone prints, times and saves."""

import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax, random
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from jaxrl.algorithm import Algorithm, Metrics, State
from jaxrl.config import Config
from jaxrl.environment import Environment
from jaxrl.evaluate import evaluate
from jaxrl.plan import Batch, Study, make_plan, parse_seeds, per_device, require_count
from jaxrl.results import Folder, Results

C = TypeVar("C", bound=Config)
MAX_ITERATIONS = 2**14  # of one compiled call; a float32 sum of many more would lose digits
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
    prng: str = "threefry2x32",
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
      width: lanes of each device in a batch; the bits of a run depend on it. By default the least
        that fits the largest program into batches of at most 256.
      prng: the generator of all keys, by jax's name.

    Raises:
      InputError: a value or a combination that cannot be trained, or a folder that holds something else.
    """
    steps = require_count("steps", steps)
    study = Study(
        environments=_as_tuple(environment),
        algorithms=_as_tuple(algorithm),
        seeds=parse_seeds(seeds),
        steps=steps,
        evaluate_every=max(steps // 50, 1)
        if evaluate_every is None
        else require_count("evaluate_every", evaluate_every),
        evaluation_episodes=require_count("evaluation_episodes", evaluation_episodes),
        prng=prng,
    )
    study.validate()
    plan = make_plan(study.runs(), width)
    folder = Folder(Path(out or tempfile.mkdtemp(prefix="jaxrl-")))
    if folder.holds_complete(study, plan):
        Console(stderr=True).print(
            f"{folder.path} holds this study, complete: read, not trained", markup=False
        )
        return folder.load()
    folder.create(study, plan)
    Console(stderr=True).print(str(plan), highlight=False)
    steps_of_all = sum(study.steps_of(run.algorithm) for run in study.runs())
    with progress_bar(steps_of_all) as progressed:
        for batch in plan.batches:
            train_batch(study, batch, folder, progressed)
    folder.finish(study)
    return folder.load()


def train_batch(study: Study, batch: Batch, folder: Folder, progressed: Progressed) -> None:
    """Trains one batch chunk by chunk, evaluates and records each, and saves its final state."""
    algorithm, env, key_train, key_eval = batch.lanes(study.prng)
    per_iteration = batch.runs[0].algorithm.steps_per_iteration
    marks = study.marks(batch.runs[0].algorithm)
    seconds = {"compile": 0.0, "train": 0.0, "evaluate": 0.0}
    with timed(seconds, "compile"):
        state = jax.block_until_ready(initialise(algorithm, env, key_train))

    for start, stop in itertools.pairwise([0, *marks]):  # the first chunk is empty: it compiles
        with timed(seconds, "train" if stop else "compile"):
            state, metrics, finite = advance_chunk(algorithm, env, state, start, stop, marks[-1])
        with timed(seconds, "evaluate" if stop else "compile"):
            keys = _at(key_eval, stop)
            evaluation = evaluate(algorithm, env, state, keys, study.evaluation_episodes)
            returns, lengths = jax.device_get(evaluation)
        values = {name: _ratio(*pair) for name, pair in metrics.items()} if stop else {}
        values |= {"eval_return": returns.mean(axis=1), "eval_length": lengths.mean(axis=1)}
        folder.record(batch, stop * per_iteration, values)
        progressed((stop - start) * per_iteration * len(batch.runs), values.get("return", np.empty(0)))
    folder.save_batch(batch, state, finite, seconds)


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
    return per_device(jax.vmap(lambda a, e, key: a.init(e, key)), (algorithm, env, keys))


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
    return per_device(iterate, (algorithm, env, state), start, stop, total)


def iterate(
    algorithm: Algorithm, env: Environment, state: State, start: Array, stop: Array, total: Array
) -> tuple[State, Metrics, Array]:
    """`advance` on one device."""

    def iteration(t: Array, carry: tuple[State, Metrics]) -> tuple[State, Metrics]:
        state, sums = carry
        state, metrics = jax.vmap(lambda a, e, s: a.step(e, s, t, total))(algorithm, env, state)
        return state, jax.tree.map(jnp.add, sums, metrics)

    step = jax.vmap(lambda a, e, s: a.step(e, s, start, total)[1])
    zeros = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(step, algorithm, env, state)
    )
    state, metrics = lax.fori_loop(start, stop, iteration, (state, zeros))
    return state, metrics, jax.vmap(all_finite)(state)


def all_finite(state: State) -> Array:
    """Whether every real number of a state is finite: [] bool."""
    leaves = [leaf for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    # By the extremes, which a NaN is too, since isfinite of each entry would be as large as the state.
    extremes = [extreme(leaf) for leaf in leaves for extreme in (jnp.min, jnp.max)]
    return jnp.all(jnp.isfinite(jnp.stack(extremes)))


@contextmanager
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


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Adds the wall-clock time of the block to `seconds[name]`."""
    start = time.perf_counter()
    yield
    seconds[name] += time.perf_counter() - start


@jax.jit
def _at(keys: Array, t: Array | int) -> Array:
    """Each lane's key for iteration t: [lanes]."""
    return jax.vmap(random.fold_in, (0, None))(keys, t)


def _ratio(total: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Mean from sum and weight, NaN where nothing was counted."""
    return np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 0)


def _as_tuple(configs: C | Sequence[C]) -> tuple[C, ...]:
    return tuple(configs) if isinstance(configs, Sequence) and not isinstance(configs, str) else (configs,)
