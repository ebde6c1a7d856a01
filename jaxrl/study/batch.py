import dataclasses
from functools import partial

import jax
import numpy as np
from jax import Array, random

from jaxrl.config import stack
from jaxrl.learning.algorithm import Algorithm
from jaxrl.mdp.environment import Environment
from jaxrl.random.generators import GENERATORS
from jaxrl.study.study import Run


@dataclasses.dataclass(frozen=True)
class Batch:
    """Runs of one program, at most one a lane; the last one fills the lanes that are left."""

    index: int
    width: int
    runs: tuple[Run, ...]

    def lanes(self, prng: str) -> tuple[Algorithm, Environment, Array, Array]:
        """Of all lanes, stacked: algorithms, environments, keys of training, keys of evaluation. [lanes]"""
        padded = [*self.runs, *[self.runs[-1]] * (self.width - len(self.runs))]
        seeds = np.asarray([run.seed for run in padded], np.uint32)
        algorithm = stack([run.algorithm for run in padded])
        return algorithm, stack([run.environment for run in padded]), *keys_of(seeds, prng)


@partial(jax.jit, static_argnames="prng")
def keys_of(seeds: Array, prng: str) -> tuple[Array, Array]:
    """Each seed's keys of training and of evaluation: [lanes] each. They depend on nothing else."""
    keys = jax.vmap(random.fold_in, (None, 0))(random.key(0, impl=GENERATORS[prng]), seeds)
    keys = jax.vmap(random.split)(keys)
    return keys[:, 0], keys[:, 1]
