"""Selection of the best setting of each algorithm and environment, with fresh seeds: `jaxrl select`.

The score by which a setting was selected is inflated by the selection. The setting is therefore trained again
on seeds that had no part in the selection, and its score on these is the result.
"""

import dataclasses
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from jaxrl.analysis.scores import score_table
from jaxrl.errors import InputError
from jaxrl.run.train import resume, train
from jaxrl.statistics import fresh_scores
from jaxrl.statistics import select as rank
from jaxrl.statistics.intervals import RESAMPLING_SEED
from jaxrl.store.files import located, require_no_link, subfolder
from jaxrl.store.folder import Folder
from jaxrl.store.manifest import spec_of
from jaxrl.store.results import Results, load
from jaxrl.store.working_copy import output
from jaxrl.study.seeds import parse_seeds
from jaxrl.study.study import Run, Study
from jaxrl.text import command, file_name


def select(
    folder: str | os.PathLike[str],
    metric: str = "eval_return",
    seeds: int | str | Iterable[int] | None = None,
    out: str | os.PathLike[str] | None = None,
) -> pd.DataFrame:
    """Selects the best setting of each algorithm and environment of a study, and trains it on fresh seeds.

    metric: what a run scores, as in `jaxrl.analysis.scores.score_table`; greater is better. seeds: the fresh
    seeds, as for `train`, where a count starts after the largest seed of the study; by default as many as the
    study has. out: gets a results folder of fresh runs for each environment, by default `selected-<metric>`
    in the study's folder; fresh runs that are complete there are read, not trained. Their width is that of
    the study, or their number if that is smaller.

    Returns one row per setting, by environment and algorithm and from the best setting on. Raises InputError
    if each algorithm has a single setting, for a setting with one run, an unknown metric, a seed of the
    study, code that has changed since, or an `out` that holds another study.

    Columns (and those of `jaxrl.statistics.select`):
        algorithm: name
        fresh, fresh_low, fresh_high: mean of the finite fresh runs with its interval
        fresh_runs, fresh_failed: number of fresh runs, and of failed ones
        fresh_folder: results folder of the fresh runs; all fresh columns are NaN for a setting that is not
            selected
    """
    searched = load(folder)
    study = searched.study
    table = score_table([searched], metric)
    _require_choice(searched, table)
    _require_same_code(searched, study)
    fresh_seeds = _fresh_seeds(searched.runs["seed"], seeds)
    ranking = _rank(table)
    best = ranking.drop_duplicates(["environment", "algorithm"])
    runs = {run.id: run for run in study.runs()}
    first = table.drop_duplicates(["environment", "setting"])[["environment", "setting", "run"]]
    root = located(out) if out else subfolder(output(None, searched.path), f"selected-{file_name(metric)}")
    width = searched.manifest["plan"]["width"]
    fresh = [
        _train_again(
            study,
            [runs[run] for run in chosen["run"]],
            fresh_seeds,
            width,
            require_no_link(root / file_name(str(name))),
        )
        for name, chosen in best.merge(first).groupby("environment", sort=False)
    ]
    joined = score_table([searched, *fresh], metric)
    return ranking.merge(_fresh(joined, joined["study"] != str(searched.path)), how="left")


def _rank(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `jaxrl.statistics.select` with `algorithm`, best settings of an algorithm first."""
    rng = np.random.default_rng(RESAMPLING_SEED)
    parts = [rank(runs, rng).assign(algorithm=name) for name, runs in table.groupby("algorithm", sort=False)]
    ranking = pd.concat(parts).sort_values("score", ascending=False, kind="stable", na_position="last")
    order = table.drop_duplicates(["environment", "algorithm"])[["environment", "algorithm"]]
    return order.merge(ranking, how="left")


def _train_again(study: Study, runs: Sequence[Run], seeds: tuple[int, ...], width: int, out: Path) -> Results:
    """Trains the settings of some runs, all in one environment, on other seeds.

    All else is as in the study: its budget and extensions, evaluations and generator.
    """
    algorithms = tuple(run.algorithm for run in runs)
    again = dataclasses.replace(
        study, environments=(runs[0].environment,), algorithms=algorithms, seeds=seeds, more_seeds=()
    )
    if not again.more_steps or Folder(out).empty:  # `train` reads or refuses what a folder holds
        results, done = _begin(again, min(width, len(runs) * len(seeds)), out), 0
    else:  # an earlier selection may have been interrupted between two extensions
        existing = Folder(out).study()
        done = len(existing.more_steps)
        if existing != dataclasses.replace(again, more_steps=again.more_steps[:done]):
            raise InputError(f"{out} holds another study; choose another folder")
        results = resume(out)
    for steps in again.more_steps[done:]:
        results = resume(out, steps=steps)
    return results


def _begin(study: Study, width: int, out: Path) -> Results:
    """Trains a study up to its budget before extensions."""
    return train(
        study.algorithms,
        study.environments,
        seeds=study.seeds,
        steps=study.steps,
        out=out,
        evaluate_every=study.evaluate_every,
        evaluation_episodes=study.evaluation_episodes,
        evaluation_steps=study.evaluation_steps,
        evaluate_in=dict(study.evaluate_in),
        width=width,
        prng=study.prng,
        precision=study.precision,
    )


def _fresh(joined: pd.DataFrame, is_fresh: pd.Series) -> pd.DataFrame:
    """One row per selected setting: its labels, `algorithm`, and the columns of `select` about fresh runs.

    joined: the score table of the study and of the fresh runs. is_fresh: which of its rows are fresh runs.
    """
    rng = np.random.default_rng(RESAMPLING_SEED)
    parts = []
    for name, runs in joined.groupby("algorithm", sort=False):
        new = is_fresh[runs.index]
        parts.append(fresh_scores(runs[~new], runs[new], rng).assign(algorithm=name))
    folders = joined[is_fresh].groupby("environment")["study"].first()
    found = pd.concat(parts).rename(columns={"runs": "fresh_runs", "failed": "fresh_failed"})
    return found.drop(columns=["selected", "inflation"]).assign(
        fresh_folder=found["environment"].map(folders)
    )


def _fresh_seeds(used: pd.Series, seeds: int | str | Iterable[int] | None) -> tuple[int, ...]:
    """The fresh seeds of `select`, given the used ones. Raises InputError for a fresh seed that was used."""
    start, count = int(used.max()) + 1, used.nunique()
    fresh = parse_seeds(count if seeds is None else seeds, start)
    both = set(fresh) & set(used)
    if both:
        following = f"{start}:{start + count}"
        raise InputError(f"seed {min(both)} was used in the selection: choose others, such as {following}")
    return fresh


def _require_choice(searched: Results, table: pd.DataFrame) -> None:
    """Raises InputError if each algorithm has a single setting, or a setting has a single run."""
    if (table.groupby(["environment", "algorithm"])["setting"].nunique() < 2).all():
        raise InputError(f"{searched.path} has nothing to select from: each algorithm has a single setting")
    single = table.groupby(["environment", "setting"]).filter(lambda runs: len(runs) < 2)
    if len(single):
        raise InputError(
            f"P(best) needs at least 2 runs of each setting, but {single['setting'].iloc[0]!r} has 1; "
            f"train more with: {command('resume', searched.path, '--extend-seeds', 'N')}"
        )


def _require_same_code(searched: Results, study: Study) -> None:
    """Raises InputError if the code of an environment or algorithm has changed since the study's training."""
    now, then = json.loads(json.dumps(spec_of(study))), searched.manifest["study"]
    for kind in ("environments", "algorithms", "evaluate_in"):
        if now[kind] != then[kind]:
            raise InputError(
                f"{searched.path} was trained with other code of its {kind}: fresh runs would not be of the "
                "same settings"
            )
