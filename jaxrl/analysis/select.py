"""`jaxrl select`: the best setting of each algorithm and environment, and what it scores on fresh seeds.

A setting is chosen for its score, so that the score flatters it. It is trained again on seeds that had no
part in the choice, and what these say is the result.
"""

import dataclasses
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jaxrl.analysis.scores import score_table
from jaxrl.errors import InputError
from jaxrl.run.train import resume, train
from jaxrl.statistics import fresh_scores
from jaxrl.statistics import select as rank
from jaxrl.statistics.intervals import RESAMPLING_SEED
from jaxrl.store.folder import Folder
from jaxrl.store.manifest import spec_of
from jaxrl.store.results import Results, load
from jaxrl.study.seeds import parse_seeds
from jaxrl.study.study import Run, Study
from jaxrl.text import bounds, file_name, number

SHOWN = 10  # settings of an algorithm that are printed, from the best on


def select(
    folder: str | os.PathLike[str],
    metric: str = "eval_return",
    seeds: int | str | Iterable[int] | None = None,
    out: str | os.PathLike[str] | None = None,
) -> pd.DataFrame:
    """Chooses per algorithm and environment of a results folder the best setting, and trains it afresh.

    metric: what a run scores, as in `jaxrl.scoring.score_table`; greater is better. seeds: as for `train`,
    a count being that many after the folder's largest one; by default as many as the folder has. out: gets
    a results folder for each environment, by default `selected-<metric>` in the folder; what is there
    already is not trained again. The width is the folder's, or that of all fresh runs if they are fewer.

    Gives one row a setting, from the best of each algorithm on: environment, algorithm, setting, runs,
    failed, mean, score, probability_best and optimism of jaxrl.statistics.select, and for the chosen ones
    fresh, fresh_low, fresh_high, fresh_runs, fresh_failed, fresh_folder. Raises InputError if there is
    nothing to choose from, a setting has a single run, for a seed that had its part in the choice, an unknown
    metric, or code that has changed.
    """
    searched = load(folder)
    study = searched.study
    table = score_table([searched], metric)
    if (table.groupby(["environment", "algorithm"])["setting"].nunique() < 2).all():
        raise InputError(f"{searched.path} has nothing to select: each algorithm has a single setting")
    single = table.groupby(["environment", "setting"]).filter(lambda runs: len(runs) < 2)
    if len(single):
        raise InputError(
            f"P(best) needs at least 2 runs of each setting, {single['setting'].iloc[0]!r} has 1; "
            f"train more with: jaxrl resume {searched.path} --extend-seeds N"
        )
    _require_same_code(searched, study)
    fresh_seeds = _fresh_seeds(searched.runs["seed"], seeds)
    ranking = _rank(table)
    best = ranking.drop_duplicates(["environment", "algorithm"])
    runs = {run.id: run for run in study.runs()}
    first = table.drop_duplicates(["environment", "setting"])[["environment", "setting", "run"]]
    root = Path(out or searched.path / f"selected-{metric}")
    fresh = [
        _train_again(
            study,
            [runs[run] for run in chosen["run"]],
            fresh_seeds,
            searched.manifest["plan"]["width"],
            root / file_name(str(name)),
        )
        for name, chosen in best.merge(first).groupby("environment", sort=False)
    ]
    joined = score_table([searched, *fresh], metric)
    return ranking.merge(_fresh(joined, joined["study"] != str(searched.path)), how="left")


def show(ranking: pd.DataFrame) -> None:
    """Prints the settings of each environment and algorithm from the best on, and its fresh score."""
    for (environment, _), settings in ranking.groupby(["environment", "algorithm"], sort=False):
        columns = ("selection score", "P(best)", "optimism up to", "fresh score [95 %]", "fresh runs")
        table = Table(escape(str(environment)), *columns, box=None)
        for row in settings.head(SHOWN).to_dict("records"):
            failed = f", {row['failed']} failed" if row["failed"] else ""
            cells = [f"{number(row['mean'])}{failed}", f"{100 * row['probability_best']:.3g} %"]
            if not np.isnan(row["fresh_runs"]):
                fresh = f"{number(row['fresh'])} {bounds(row['fresh_low'], row['fresh_high'])}"
                failed = f", {row['fresh_failed']:.0f} failed" if row["fresh_failed"] else ""
                cells += [number(row["optimism"]), fresh]
                cells += [f"{row['fresh_runs']:.0f}{failed}"]
            table.add_row(escape(row["setting"]), *map(escape, cells))
        Console(width=200).print(table, "")
        if len(settings) > SHOWN:
            print(f"and {len(settings) - SHOWN} more settings\n")
    if ranking["failed"].any():
        print("a failed run ranks below all others, and beside it settings are chosen by ranks; scores are")
        print("means of the other runs\n")
    print(f"fresh runs: {', '.join(ranking['fresh_folder'].dropna().unique())}")


def _rank(table: pd.DataFrame) -> pd.DataFrame:
    """The settings of each environment and algorithm, from the best on."""
    rng = np.random.default_rng(RESAMPLING_SEED)
    parts = [rank(runs, rng).assign(algorithm=name) for name, runs in table.groupby("algorithm", sort=False)]
    ranking = pd.concat(parts).sort_values("score", ascending=False, kind="stable", na_position="last")
    order = table.drop_duplicates(["environment", "algorithm"])[["environment", "algorithm"]]
    return order.merge(ranking, how="left")


def _train_again(study: Study, runs: Sequence[Run], seeds: tuple[int, ...], width: int, out: Path) -> Results:
    """The settings of some runs in one environment, as they were trained but for the seeds."""
    algorithms = tuple(run.algorithm for run in runs)
    again = dataclasses.replace(
        study, environments=(runs[0].environment,), algorithms=algorithms, seeds=seeds, more_seeds=()
    )
    if not again.more_steps or Folder(out).empty:
        results, done = _begin(again, min(width, len(runs) * len(seeds)), out), 0
    else:  # of an earlier selection, perhaps interrupted between two extensions
        there = Folder(out).study()
        done = len(there.more_steps)
        if there != dataclasses.replace(again, more_steps=again.more_steps[:done]):
            raise InputError(f"{out} holds another study; choose another folder")
        results = resume(out)
    for steps in again.more_steps[done:]:
        results = resume(out, steps=steps)
    return results


def _begin(study: Study, width: int, out: Path) -> Results:
    """Trains a study as it was before its extensions."""
    return train(
        study.algorithms,
        study.environments,
        seeds=study.seeds,
        steps=study.steps,
        out=out,
        evaluate_every=study.evaluate_every,
        evaluation_episodes=study.evaluation_episodes,
        width=width,
        prng=study.prng,
    )


def _fresh(joined: pd.DataFrame, is_fresh: pd.Series) -> pd.DataFrame:
    """The chosen settings with what they score on the fresh runs of a joined table."""
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
    start, count = int(used.max()) + 1, used.nunique()
    fresh = parse_seeds(count if seeds is None else seeds, start)
    both = set(fresh) & set(used)
    if both:
        following = f"{start}:{start + count}"
        raise InputError(f"seed {min(both)} had its part in the selection: take fresh ones, as {following}")
    return fresh


def _require_same_code(searched: Results, study: Study) -> None:
    now, then = json.loads(json.dumps(spec_of(study))), searched.manifest["study"]
    for kind in ("environments", "algorithms"):
        if now[kind] != then[kind]:
            raise InputError(
                f"{searched.path} was trained with other code of its {kind}: fresh runs would not be of the "
                "same settings"
            )
