"""Finds the operation, and its line of code, with which a run ceased to be finite."""

import contextlib
import dataclasses
import io
import traceback
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import flax
import jax
import jax.numpy as jnp
import optax
from jax import random

from jaxrl.compiled.engine import Engine, engine_for, with_precision
from jaxrl.compiled.evaluate import episode_totals
from jaxrl.config import Config, attach, detach
from jaxrl.learning.algorithm import Algorithm, State
from jaxrl.mdp.environment import Environment
from jaxrl.run.loop import Visit, advance_chunk, broken_lanes, visits
from jaxrl.store.results import Results
from jaxrl.study.batch import Keys, Lanes
from jaxrl.study.placement import MeshBatches
from jaxrl.study.study import Chunk, Study

C = TypeVar("C", bound=Config)
Part = Callable[[], Any]  # a part of a run, on one lane

# The code whose frames are left out.
LIBRARIES = [Path(str(module.__file__)).parent for module in (jax, flax, optax)]
REPEATED = (
    "The run was trained up to there in a batch of the study's width, as for the study. This part was then "
    "repeated on one lane, one operation after the other. The last bits may differ between the two."
)


@dataclasses.dataclass(frozen=True)
class NonFinite:
    """Where a run, trained again, ceases to be finite."""

    run: int
    value: str | None  # "state" or a metric; None if all is finite
    part: str = ""  # of the run, such as "iteration 7"
    error: str = ""  # the operation in jax's words; "" if one lane alone gives finite numbers
    lines: str = ""  # the lines of code that called the operation, the last one innermost

    def __str__(self) -> str:
        if self.value is None:
            return f"run {self.run}: trained again, and all is finite"
        found = f"{self.lines}{self.error}" if self.error else "on one lane all numbers are finite"
        return f"run {self.run}: {self.value} is not finite, first in {self.part}\n{found}\n{REPEATED}"


def first_nan(results: Results, run: int) -> NonFinite:
    """Trains a run again until it is not finite, and repeats that part operation by operation.

    Raises InputError for an unknown run.
    """
    batch, lane = results.find(run)
    group = MeshBatches.alone(dataclasses.replace(batch, runs=(batch.runs[lane],)))
    before: State = None
    for visit in visits(results.study, group, defaultdict(float)):
        if visit.broken:
            part, repeat = _broken_part(results.study, group, before, visit)
            return NonFinite(run, visit.broken[0], part, *_checked(repeat, results.study.precision))
        before = jax.tree.map(jnp.copy, visit.state)  # the next chunk reuses the buffers
    return NonFinite(run, None)


def _broken_part(study: Study, group: MeshBatches, before: State, visit: Visit) -> tuple[str, Part]:
    """The part of a run that is not finite after a chunk, in words and as a function.

    `before` is the state before the chunk, None for the first one.
    """
    chunk, metric = visit.chunk, visit.broken[0]
    if metric.startswith("eval_"):
        steps = chunk.stop * group.batches[0].steps_per_iteration
        return f"the evaluation at step {steps}", _evaluation(study, group, visit)
    if before is None:
        algorithm, env, keys = _alone(group)
        start, end = jnp.int32(0), jnp.int32(chunk.total)
        return "the initial state", lambda: algorithm.init(env.at(start, end), keys.init)
    engine = engine_for(group.mesh, study.evaluation_episodes, study.precision, study.evaluation_steps)
    t, before = _first_broken(engine, group.lanes(), before, chunk)
    return f"iteration {t}", _iteration(group, before, t, chunk.total)


def _first_broken(engine: Engine, lanes: Lanes, state: State, chunk: Chunk) -> tuple[int, State]:
    """The first iteration that breaks lane 0 in a chunk that does, and the state before it, by bisection.

    `state` is that before the chunk.
    """
    start, stop = chunk.start, chunk.stop
    while stop - start > 1:
        middle = (start + stop) // 2
        copy = jax.tree.map(jnp.copy, state)  # the engine reuses the buffers
        after, metrics, finite = advance_chunk(engine, lanes, copy, Chunk(start, middle, chunk.total))
        if 0 in broken_lanes(finite, metrics, {}):
            stop = middle
        else:
            start, state = middle, after
    return start, state


def _iteration(group: MeshBatches, state: State, t: int, total: int) -> Part:
    """Iteration t, from the state before it."""
    algorithm, env, keys = _alone(group)
    own, now, end = _first_lane(state), jnp.int32(t), jnp.int32(total)
    key = random.fold_in(keys.steps, now)
    return lambda: algorithm.step(env.at(now, end), own, key, now, end)


def _evaluation(study: Study, group: MeshBatches, visit: Visit) -> Part:
    """The episodes of the evaluation after a chunk. Their return, as "eval_return/name", is not finite."""
    algorithm, env, keys = _alone(group)
    _, further, name = visit.broken[0].partition("/")
    env = _on_device(dict(study.evaluate_in)[name]) if further else env
    own, end = _first_lane(visit.state), jnp.int32(visit.chunk.total)
    key = random.fold_in(keys.evaluation, visit.chunk.stop)
    episodes = random.split(key, study.evaluation_episodes)
    play = partial(
        episode_totals, algorithm, env.at(end, end), own, explore=False, limit=study.evaluation_steps
    )
    return lambda: [play(key=each) for each in episodes]


def _alone(group: MeshBatches) -> tuple[Algorithm, Environment, Keys]:
    """The algorithm, the environment and the keys of lane 0."""
    run = group.batches[0].runs[0]
    return _on_device(run.algorithm), _on_device(run.environment), _first_lane(group.lanes().keys)


def _on_device(config: C) -> C:
    """A config with jax's arrays as numbers, since jax does not check the arithmetic of numpy's."""
    config, arrays = detach(config.arrays())
    return attach(*jax.tree.map(jnp.asarray, (config, arrays)))


def _first_lane(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[0], tree)


def _checked(part: Part, precision: str) -> tuple[str, str]:
    """The error of the first operation that gives NaN, or else infinity, and the lines that called it.

    Both are "" if there is no such operation.
    """
    for check in (jax.debug_nans, jax.debug_infs):
        with (
            jax.disable_jit(),
            check(True),
            contextlib.redirect_stdout(io.StringIO()),
        ):  # jax prints its steps
            try:
                jax.block_until_ready(with_precision(part, precision)())
            except FloatingPointError as error:
                return str(error).partition("\n")[0], _lines(error)
    return "", ""


def _lines(error: FloatingPointError) -> str:
    """The lines of code from the repeated part to the operation, without those of libraries.

    In the backward pass of a derivative, jax names the line of the forward pass as the error's cause.
    """
    frames = traceback.extract_tb((error.__cause__ or error).__traceback__)
    here = max((i for i, frame in enumerate(frames) if frame.filename == __file__), default=-1)
    own = [
        frame
        for frame in frames[here + 1 :]
        if not any(Path(frame.filename).is_relative_to(library) for library in LIBRARIES)
    ]
    return "".join(traceback.format_list(own))
