"""What a study found: reading a results folder back."""

import dataclasses
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array

from jaxrl.errors import InputError, unknown
from jaxrl.learning.algorithm import Algorithm, State
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.spaces import Discrete
from jaxrl.store.folder import Folder
from jaxrl.store.manifest import TABLES, study_of
from jaxrl.store.states import is_key
from jaxrl.study.batch import Batch
from jaxrl.study.plan import make_batches


@dataclasses.dataclass(frozen=True, repr=False)
class Results:
    """What a study found."""

    path: Path
    manifest: dict[str, Any]
    runs: pd.DataFrame  # one row a run, columns as above
    curves: pd.DataFrame  # run, step (environment steps), metric, value

    def __repr__(self) -> str:
        return f"Results({str(self.path)!r}, {len(self.runs)} runs)"

    def metric(self, name: str) -> pd.DataFrame:
        """One metric as a table: index run, columns step. Raises InputError for an unknown name."""
        known = self.curves.metric.unique()
        if name not in known:
            raise unknown("metric", name, known)
        return self.curves[self.curves.metric == name].pivot(index="run", columns="step", values="value")

    def final(self, name: str = "eval_return") -> pd.Series:
        """Each run's last value of a metric, NaN for a failed run: index run.

        Raises InputError for an unknown name.
        """
        last = self.metric(name).ffill(axis=1).iloc[:, -1].reindex(self.runs.run)
        return last.where((self.runs.status != "failed").to_numpy())

    def policy(self, run: int, *, explore: bool = False) -> Callable[[Any, Array], Array]:
        """The final policy of a run as a function (observation, key) -> action.

        Greedy, or as at the end of training if `explore`. Raises InputError for an unknown run; the
        function does for an observation of the wrong shape.
        """
        batch, lane = self.find(run)
        algorithm, env, state = jax.tree.map(lambda leaf: leaf[lane], self.state(batch))
        space = env.observation_space

        def policy(obs: Any, key: Array) -> Array:
            if not is_key(key):
                raise InputError(f"key must be a typed key such as jax.random.key(0), got {key!r}")
            given, obs = obs, np.asarray(obs)
            if not np.can_cast(obs.dtype, space.dtype, "same_kind"):
                raise InputError(f"observation must be made of {np.dtype(space.dtype)}, got {given!r}")
            if obs.shape != space.shape:
                raise InputError(f"observation must have shape {space.shape}, got {obs.shape}")
            if isinstance(space, Discrete) and not 0 <= obs < space.n:
                raise InputError(f"observation must be in [0, {space.n - 1}], got {obs}")
            obs = jnp.asarray(obs, space.dtype)
            return act(algorithm, env, state, obs, key, explore)

        return policy

    def find(self, run: int) -> tuple[Batch, int]:
        """The batch and the lane of a run. Raises InputError for an unknown run."""
        study = study_of(self.manifest)
        for batch in make_batches(study, self.manifest["plan"]["width"]):
            for lane, member in enumerate(batch.runs):
                if member.id == run:
                    return batch, lane
        raise InputError(f"run must be in [0, {len(self.runs) - 1}], got {run!r}")

    def state(self, batch: Batch) -> tuple[Algorithm, Environment, State]:
        """Algorithm, environment and final state of all lanes of a batch."""
        return Folder(self.path).state(batch, self.manifest["study"]["prng"])


@functools.partial(jax.jit, static_argnames="explore")
def act(algorithm: Algorithm, env: Environment, state: State, obs: Array, key: Array, explore: bool) -> Array:
    """The action of one run's policy; runs of one program share the compilation."""
    return algorithm.act(env, state, obs, key, explore)


def load(path: str | os.PathLike[str]) -> Results:
    """Reads a complete results folder. Raises InputError for anything else."""
    folder = Folder(Path(path))
    manifest = folder.manifest()
    if manifest["status"] != "complete":
        raise InputError(
            f"{folder.path} holds an unfinished study; finish it with: jaxrl resume {folder.path}"
        )
    tables = [folder.table(name, manifest["sha256"][name]) for name in TABLES]
    return Results(folder.path, manifest, *tables)
