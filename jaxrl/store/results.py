"""The results of a study, read from its folder."""

import dataclasses
import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import random

from jaxrl.compiled.engine import keys_at, with_precision
from jaxrl.compiled.evaluate import evaluate
from jaxrl.config import detach, stack
from jaxrl.errors import InputError, unknown, with_urls
from jaxrl.learning.algorithm import State
from jaxrl.mdp.environment import Environment
from jaxrl.store.manifest import TABLES
from jaxrl.store.playing import named, transitions_of
from jaxrl.store.policy import Policy
from jaxrl.store.tables import joined_curves, runs_table
from jaxrl.store.working_copy import opened
from jaxrl.study.batch import Batch
from jaxrl.study.plan import make_batches, never_reached
from jaxrl.study.seeds import require_count
from jaxrl.study.study import Study, require_same_spaces
from jaxrl.text import command, counted


@dataclasses.dataclass(frozen=True, repr=False)
class Results:
    """The results of a complete study."""

    path: Path
    manifest: dict[str, Any]
    runs: pd.DataFrame  # one row per run; jaxrl.store.tables.runs_table makes its columns
    curves: pd.DataFrame  # run, step (environment steps), metric, value

    def __repr__(self) -> str:
        return f"Results({with_urls(self.path)!r}, {len(self.runs)} runs)"

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

    @functools.cached_property
    def study(self) -> Study:
        """The study that was trained. Raises InputError if its environments or algorithms are unknown."""
        return opened(self.path).study()

    @property
    def unreached(self) -> tuple[str, ...]:
        """Sentences on what the budget never reached, such as the end of a warm-up or a first update."""
        try:
            planned = never_reached(self.study)
        except InputError:  # an algorithm that is unknown here
            planned = ()
        return planned + never_updated(self.runs, self.curves)

    @functools.cached_property
    def batches(self) -> tuple[Batch, ...]:
        """The batches in which the runs were trained."""
        return make_batches(self.study, self.manifest["plan"]["width"])

    def policy(self, run: int, *, seed: int = 0) -> Policy:
        """The final policy of a run. `seed` is for the draws of its `predict`.

        Raises InputError for an unknown run.
        """
        batch, lane = self.find(run)
        state = jax.tree.map(lambda leaf: leaf[lane], self.state(batch))
        member, last = batch.runs[lane], jnp.int32(batch.iterations)
        return Policy(member.algorithm, member.environment.at(last, last), state, seed)

    def evaluate(
        self,
        environments: Environment | Mapping[str, Environment] | Sequence[Environment],
        *,
        episodes: int = 100,
        runs: Iterable[int] | None = None,
        explore: bool = False,
    ) -> pd.DataFrame:
        """Evaluates final policies in any environments whose observations and actions fit.

        Args:
          environments: one, several, or several by name.
          episodes: episodes of each run in each environment. All environments use the same keys. The study's
            `evaluation_steps` cut them too.
          runs: numbers of runs; all runs if None.
          explore: whether policies act as at the end of training instead of greedily.

        Returns one row for each run and environment: run, setting, seed, environment (its name), episodes,
        return and length (means over the episodes). Raises InputError for an unknown run or an environment
        that does not fit.
        """
        by_name, count = named(environments), require_count("episodes", episodes)
        wanted = None if runs is None else {int(run) for run in runs}
        if wanted is not None and not wanted:
            raise InputError("name at least one run")
        for run in sorted((wanted or set()) - {*self.runs["run"]}):
            self.find(run)
        rows: list[dict[str, Any]] = []
        for batch in self.batches:
            lanes = [lane for lane, run in enumerate(batch.runs) if wanted is None or run.id in wanted]
            for name, environment in by_name.items() if lanes else ():
                require_same_spaces(name, environment, batch.runs[0].environment)
                returns, lengths = self._evaluated(batch, environment, count, explore)
                for lane in lanes:
                    member = batch.runs[lane]
                    row = {
                        "run": member.id,
                        "setting": member.setting,
                        "seed": member.seed,
                        "environment": name,
                    }
                    means = {"return": returns[lane].mean(dtype=float), "length": lengths[lane].mean()}
                    rows.append(row | {"episodes": count} | means)
        return pd.DataFrame(rows).sort_values(["environment", "run"], ignore_index=True, kind="stable")

    def _evaluated(
        self, batch: Batch, environment: Environment, episodes: int, explore: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns and lengths of a batch's final policies in an environment: [lanes, episodes] each."""
        lanes, (env, arrays) = batch.lanes(), detach(environment)
        keys = keys_at(lanes.keys.evaluation, batch.iterations)
        environments, shared = stack([env] * batch.width), (lanes.shared[0], arrays)
        policies = (lanes.algorithm, environments, self.state(batch))
        play = with_precision(evaluate, self.study.precision)
        totals = play(
            *policies, keys, shared, batch.iterations, episodes, explore, self.study.evaluation_steps
        )
        returns, lengths, valid = jax.device_get(totals)
        if not valid.all():
            name = type(lanes.algorithm).__name__
            raise InputError(f"{name}.act gave an action that {environment.title} does not have")
        return returns, lengths

    def transitions(
        self, run: int, steps: int, *, explore: bool = False, seed: int = 0
    ) -> dict[str, np.ndarray]:
        """A data set: successive transitions of a run's final policy in its environment.

        With `explore` the policy acts as at the end of training instead of greedily. Returns obs, action,
        reward, next_obs (the true successor's, also at the end of an episode), terminated and truncated,
        [steps, ...] each. Raises InputError for an unknown run or fewer than one step.
        """
        count = require_count("steps", steps)
        return transitions_of(self.policy(run), count, explore, random.key(seed))

    def find(self, run: int) -> tuple[Batch, int]:
        """The batch and the lane of a run. Raises InputError for an unknown run."""
        for batch in self.batches:
            for lane, member in enumerate(batch.runs):
                if member.id == run:
                    return batch, lane
        raise InputError(f"run must be in [0, {len(self.runs) - 1}], got {run!r}")

    def state(self, batch: Batch) -> State:
        """The final state of all lanes of a batch."""
        return opened(self.path).state(batch)

    def sessions(self, batch: Batch) -> Sequence[Mapping[str, Any]]:
        """Who trained a batch: entries of `jaxrl.store.checkpoints.Progress.sessions`."""
        progress = opened(self.path).progress(batch)
        return progress.sessions if progress else ()


def never_updated(runs: pd.DataFrame, curves: pd.DataFrame) -> tuple[str, ...]:
    """A sentence for each algorithm that measures the norm of its gradients, and in some runs never did."""
    norms = curves.loc[curves.metric == "grad_norm", ["run", "value"]]
    whole = runs[runs.run.isin(norms.run) & (runs.status == "complete")]
    updated = whole.run.isin(norms.run[norms.value.notna()])
    return tuple(
        f"{(~each).sum():,} of {counted(len(each), 'run')} of {algorithm} made no update: give more steps"
        for algorithm, each in updated.groupby(whole.algorithm, sort=False)
        if not each.all()
    )


def load(path: str | os.PathLike[str]) -> Results:
    """Reads a complete results folder. Raises InputError for anything else."""
    folder = opened(path)
    manifest = folder.manifest()
    if manifest["status"] != "complete":
        raise InputError(
            f"{folder.path} holds an unfinished study; finish it with: "
            f"{command(folder.continued_by, folder.path)}, "
            f"or see it so far with: {command('report', folder.path, '--watch')}"
        )
    tables = [folder.table(name, manifest) for name in TABLES]
    return Results(folder.path, manifest, *tables)


def load_so_far(path: str | os.PathLike[str]) -> Results:
    """As `load`, but of an unfinished study the runs and the curves that were saved so far.

    The status of a run that has not failed is "running". Raises InputError if nothing was saved.
    """
    folder = opened(path)
    manifest = folder.manifest()
    if manifest["status"] == "complete":
        return load(folder.path)
    study = folder.study()
    batches = make_batches(study, manifest["plan"]["width"])
    parts = folder.curves(manifest, batches)
    if not parts:
        raise InputError(f"nothing of the study in {folder.path} was saved so far")
    saved = [progress for batch in batches if (progress := folder.progress(batch))]
    runs = runs_table(study, {int(run): where for each in saved for run, where in each.failed.items()})
    runs["status"] = runs["status"].replace("complete", "running")
    curves = joined_curves(parts).to_pandas().astype({"metric": str})
    return Results(folder.path, manifest, runs[runs["run"].isin(curves["run"])], curves)
