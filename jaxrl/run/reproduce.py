"""Trains runs of a study again and compares them with its results folder."""

import dataclasses
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import random
from PIL import Image

from jaxrl.errors import InputError
from jaxrl.learning.algorithm import State
from jaxrl.run.loop import visits
from jaxrl.store.differences import trained_elsewhere
from jaxrl.store.files import appearing_whole, located
from jaxrl.store.playing import frames
from jaxrl.store.results import Results
from jaxrl.store.states import plain
from jaxrl.study.batch import Batch
from jaxrl.study.placement import MeshBatches
from jaxrl.study.seeds import require_count
from jaxrl.study.study import Run
from jaxrl.text import counted


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """The result of training a run again."""

    run: int
    first: str | None  # the first value that differs; None if every bit agrees
    deviation: float  # the largest absolute difference in a metric or in a number of the final state
    one_sided: int  # values that are missing or NaN on one side only, so that they have no difference
    machine: Mapping[str, tuple[str, str]]  # differences of machine and versions: name -> (there, here)

    @property
    def acceptable(self) -> bool:
        """Whether the bits agree, or need not agree since machine or versions differ."""
        return self.first is None or bool(self.machine)

    def __str__(self) -> str:
        if self.first is None:
            return f"run {self.run}: curve and final state reproduced bit for bit"
        most = f", by at most {self.deviation:.3g}" if self.deviation else ""
        lone = f", {counted(self.one_sided, 'value')} missing or NaN on one side" if self.one_sided else ""
        text = f"run {self.run}: differs, first in {self.first}{most}{lone}"
        here = [f"{name} ({there!r} there, {here!r} here)" for name, (there, here) in self.machine.items()]
        why = f"which may be due to {', '.join(here)}" if here else "though machine and versions are the same"
        return f"{text}, {why}"


@dataclasses.dataclass(frozen=True)
class SavedStates:
    """The result of comparing all saved states with their hashes."""

    checked: int  # batches
    damaged: tuple[str, ...]  # a sentence for each damaged batch

    @property
    def acceptable(self) -> bool:
        """Whether no batch is damaged."""
        return not self.damaged

    def __str__(self) -> str:
        good = self.checked - len(self.damaged)
        return "\n".join((*self.damaged, f"saved states: {good} of {self.checked} match their hashes"))


def replay(results: Results, run: int) -> Reproduction:
    """Trains one run again, alone in a batch of the study's width. Raises InputError for an unknown run."""
    (reproduction,) = _retrained(results, [run])
    return reproduction


def verify(
    results: Results, runs: int, rng: np.random.Generator | None = None
) -> Iterator[SavedStates | Reproduction]:
    """Checks every saved state, then trains `runs` randomly chosen runs again, or all if there are fewer.

    It chooses among the runs whose saved states match their hashes. Raises InputError for fewer than one run.
    """
    runs = require_count("runs", runs)
    damaged, sound = list[str](), list[int]()
    for batch in results.batches:
        try:
            results.state(batch)
            sound += [run.id for run in batch.runs]
        except InputError as error:
            damaged.append(str(error))
    yield SavedStates(len(results.batches), tuple(damaged))
    rng = rng or np.random.default_rng()
    chosen = rng.choice(sound, min(runs, len(sound)), replace=False)
    yield from _retrained(results, sorted(map(int, chosen)))


def _retrained(results: Results, runs: Iterable[int]) -> Iterator[Reproduction]:
    """Trains runs again in batches of the study's width, the runs of one batch together."""
    chosen: dict[int, tuple[Batch, list[int]]] = {}
    for number in runs:
        batch, lane = results.find(number)
        chosen.setdefault(batch.index, (batch, []))[1].append(lane)
    for batch, lanes in chosen.values():
        saved = plain(results.state(batch))
        machine = trained_elsewhere(results.manifest, results.study, results.sessions(batch))
        members = tuple(batch.runs[lane] for lane in lanes)
        again: dict[tuple[int, str], np.ndarray] = {}
        group = MeshBatches.alone(dataclasses.replace(batch, runs=members))
        for visit in visits(results.study, group, defaultdict(float)):
            step = visit.chunk.stop * batch.steps_per_iteration
            again |= {(step, name): values for name, values in visit.values.items()}
            state = visit.state
        trained = plain(state)
        for place, (lane, run) in enumerate(zip(lanes, members, strict=True)):
            pairs = [
                *_curve_pairs(results, run, {key: values[place] for key, values in again.items()}),
                *_state_pairs(saved, trained, lane, place),
            ]
            differing = [name for name, there, here in pairs if not _same(there, here)]
            deviation = max(_deviation(there, here) for _, there, here in pairs)
            one_sided = sum(_one_sided(there, here) for _, there, here in pairs)
            yield Reproduction(run.id, differing[0] if differing else None, deviation, one_sided, machine)


def _curve_pairs(
    results: Results, run: Run, again: Mapping[tuple[int, str], float]
) -> Iterator[tuple[str, Any, Any]]:
    """(name, value there, value here) of every point of a run's curves, in the order of training.

    A value that is missing on one side is an empty array.
    """
    curves = results.curves[results.curves.run == run.id]
    there = dict(zip(zip(curves.step, curves.metric, strict=True), curves.value, strict=True))
    for key in dict.fromkeys((*again, *there)):
        lacking = [side for side, values in (("there", there), ("here", again)) if key not in values]
        what = f"{key[1]} at step {key[0]}" + "".join(f", which is missing {side}" for side in lacking)
        yield what, np.asarray(there.get(key, ()), float), np.asarray(again.get(key, ()), float)


def _state_pairs(saved: State, trained: State, lane: int, place: int) -> Iterator[tuple[str, Any, Any]]:
    """(name, value there, value here) of every leaf of a run's final state."""
    there, here = jax.tree.leaves_with_path(saved), jax.tree.leaves(trained)
    for (path, leaf), other in zip(there, here, strict=True):
        yield f"the final state's {jax.tree_util.keystr(path).lstrip('.')}", leaf[lane], other[place]


def _same(there: Any, here: Any) -> bool:
    """Whether all bits agree. A metric that is NaN on both sides agrees, whatever its bits."""
    return there.tobytes() == here.tobytes() or bool(there.ndim == 0 and np.isnan(there) and np.isnan(here))


def _deviation(there: Any, here: Any) -> float:
    """The largest absolute difference, without values that are missing or NaN."""
    with np.errstate(invalid="ignore"):
        difference = np.abs(np.asarray(there, np.float64) - np.asarray(here, np.float64))
    return float(np.max(difference, initial=0.0, where=~np.isnan(difference)))


def _one_sided(there: Any, here: Any) -> int:
    """The number of values that are missing or NaN on one side only."""
    there, here = np.asarray(there, np.float64), np.asarray(here, np.float64)
    if there.shape != here.shape:
        return 1
    return int(np.count_nonzero(np.isnan(there) != np.isnan(here)))


def write_gif(results: Results, run: int, file: str | os.PathLike[str]) -> Path:
    """Draws one greedy episode of a run's final policy as an animated GIF. Trains nothing.

    Raises InputError for an unknown run, an environment without pictures, or a file that cannot be written.
    """
    images = [Image.fromarray(frame) for frame in frames(results.policy(run), random.key(0))]
    path = located(file)
    try:
        with appearing_whole(path) as opened:
            images[0].save(opened, format="GIF", save_all=True, append_images=images[1:], duration=50, loop=0)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
    return path
