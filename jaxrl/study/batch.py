"""A batch: runs of one program on exactly `width` lanes of one device.

The bits of a run depend on that width. They do not depend on its lane, on its neighbours or on the number of
devices.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array, random

from jaxrl.config import C, detach, stack
from jaxrl.learning.algorithm import Algorithm
from jaxrl.mdp.environment import Environment
from jaxrl.random.generators import DEFAULT, GENERATORS, threefry_fixed
from jaxrl.study.study import Chunk, Run


class Keys(NamedTuple):
    """The keys of a run, or of lanes. They depend only on its seed and the generator."""

    init: Array  # for the state before the first iteration
    steps: Array  # iteration t gets fold_in(steps, t)
    evaluation: Array  # the evaluation after t iterations gets fold_in(evaluation, t)


class Lanes(NamedTuple):
    """The lanes' arguments to the compiled functions."""

    algorithm: Algorithm  # [lanes], without shared arrays
    environment: Environment  # [lanes], without shared arrays
    keys: Keys  # [lanes]
    shared: tuple[dict[str, Any], dict[str, Any]]  # the arrays of the algorithm and of the environment


@dataclasses.dataclass(frozen=True)
class Batch:
    """Runs of one program, at most one per lane. The remaining lanes repeat the last run."""

    index: int
    width: int
    runs: tuple[Run, ...]
    chunks: tuple[Chunk, ...] = ()  # of each run
    prng: str = DEFAULT  # name of the generator

    @property
    def algorithm(self) -> Algorithm:
        """The first run's algorithm. The others differ from it only in traced fields."""
        return self.runs[0].algorithm

    @property
    def iterations(self) -> int:
        """The planned iterations of each run."""
        return self.chunks[-1].stop

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps of one run in an iteration."""
        return self.algorithm.steps_per_iteration

    def lanes(self) -> Lanes:
        """The lanes of the batch: [width]."""
        padded = [*self.runs, *[self.runs[-1]] * (self.width - len(self.runs))]
        seeds = np.asarray([run.seed for run in padded], np.uint32)
        algorithm, environment = self.algorithm, self.runs[0].environment
        with threefry_fixed():
            keys = keys_of(seeds, self.prng)
        return Lanes(
            _stacked([run.algorithm for run in padded]),
            _stacked([run.environment for run in padded]),
            keys,
            (detach(algorithm)[1], detach(environment)[1]),
        )


def _stacked(configs: Sequence[C]) -> C:
    """Configs as one, [lanes]. Most are the same object, and each object is stacked once."""
    different = {id(config): config for config in configs}
    place = {each: row for row, each in enumerate(different)}
    rows = np.asarray([place[id(config)] for config in configs])
    return jax.tree.map(lambda leaf: leaf[rows], stack([detach(each)[0] for each in different.values()]))


@partial(jax.jit, static_argnames="prng")
def keys_of(seeds: Array, prng: str) -> Keys:
    """Each seed's keys: [lanes] each."""
    keys = jax.vmap(random.fold_in, (None, 0))(random.key(0, impl=GENERATORS[prng]), seeds)
    keys = jax.vmap(partial(random.split, num=3))(keys)
    return Keys(keys[:, 0], keys[:, 1], keys[:, 2])
