"""Scores of runs, from the tables of a results folder: one number a run, labelled.

Each function takes `runs` (one row a run: run, environment, algorithm, seed, status, ...) and `curves` (run,
step, metric, value) and gives a score table: the rows of `runs` with the columns

    setting       the algorithm with what distinguishes it, such as "ppo learning_rate=0.001"
    environment   likewise, such as "CartPole-v1 pole_length=0.5"
    score         NaN for a run that failed or has no value

To join several studies, give both tables a column `study`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from jaxrl.errors import InputError, unknown
from jaxrl.statistics.samples import (
    require_columns,
    require_one_row_a_run,
    require_scores,
    run_index,
    run_key,
)

NOT_PARAMETERS = (
    *("study", "run", "environment", "algorithm", "seed", "status", "steps", "solved_return"),
    *("failed_iteration", "failed_metric"),  # of a failed run: when, and in what it was first not finite
)


def final_scores(runs: pd.DataFrame, curves: pd.DataFrame, metric: str = "eval_return") -> pd.DataFrame:
    """Score: the last value of a metric. Raises InputError for an unknown metric or a broken table."""
    return _score_table(runs, metric_values(runs, curves, metric).groupby(run_key(runs)).value.last())


def area_scores(runs: pd.DataFrame, curves: pd.DataFrame, metric: str = "eval_return") -> pd.DataFrame:
    """Score: the area under a metric's curve divided by its steps, by the trapezoidal rule.

    So each value weighs as the steps around it, however they are spaced. A curve of one point has its
    value. Raises InputError for an unknown metric or a broken table.
    """
    rows, key = metric_values(runs, curves, metric), run_key(runs)
    by_run = rows.groupby(key)
    rows["steps"] = by_run.step.diff()
    rows["area"] = (rows.value + by_run.value.shift()) / 2 * rows.steps
    totals = rows.groupby(key)[["area", "steps"]].sum()
    mean = totals.area / totals.steps.where(totals.steps > 0)
    return _score_table(runs, mean.fillna(by_run.value.last()))


def training_scores(runs: pd.DataFrame, curves: pd.DataFrame, metric: str = "return") -> pd.DataFrame:
    """Score: the mean of a training metric, where each value is one over the steps since the last one.

    A stretch in which no episode ended has no value (NaN); its steps count with the next value, whose
    episodes they are. Raises InputError for an unknown metric or a broken table.
    """
    rows, key = metric_values(runs, curves, metric), run_key(runs)
    rows["steps"] = rows.groupby(key).step.diff().fillna(rows.step)
    rows["total"] = rows.value * rows.steps
    totals = rows.groupby(key)[["total", "steps"]].sum()
    return _score_table(runs, totals.total / totals.steps)


def normalise(table: pd.DataFrame, low: Mapping[str, float], high: Mapping[str, float]) -> pd.DataFrame:
    """The score table with scores that make environments comparable: 0 at `low`, 1 at `high`.

    low, high: reference scores of each environment, such as a random policy's and the optimum. Raises
    InputError for an environment without one, or with high not above low.
    """
    require_scores(table)
    for environment in table["environment"].unique():
        for references in (low, high):
            if environment not in references:
                raise unknown("environment", environment, references)
        if not low[environment] < high[environment]:
            raise InputError(
                f"high must be above low, got {high[environment]} and {low[environment]} for {environment}"
            )
    bottom, top = table["environment"].map(low), table["environment"].map(high)
    return table.assign(score=(table["score"] - bottom) / (top - bottom))


def label_settings(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with the columns `environment` and `setting` as above.

    They name the fields that vary among the runs of one environment ("env." fields) or algorithm. Raises
    InputError for a table that is not one row a run.
    """
    require_columns(runs, ("run", "environment", "algorithm", "status"))
    require_one_row_a_run(runs)
    fields = [name for name in runs.columns if name not in NOT_PARAMETERS]
    of_env = [name for name in fields if name.startswith("env.")]
    of_algorithm = [name for name in fields if name not in of_env]
    return runs.assign(
        environment=_labels(runs, "environment", of_env), setting=_labels(runs, "algorithm", of_algorithm)
    )


def varied_parameters(runs: pd.DataFrame) -> list[str]:
    """The hyper-parameters that differ among the runs of one algorithm, in the table's order."""
    fields = [name for name in runs.columns if name not in (*NOT_PARAMETERS, "setting", "score")]
    numbers = runs.groupby("algorithm")[fields].nunique(dropna=False).max()
    return [name for name in fields if not name.startswith("env.") and numbers[name] > 1]


def metric_values(runs: pd.DataFrame, curves: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The rows of one metric that have a value, each run's in order of step.

    Raises InputError for an unknown metric, or a run with two values at one step.
    """
    key = run_key(runs)
    require_columns(curves, (*key, "step", "metric", "value"))
    known = curves["metric"].unique()
    if metric not in known:
        raise unknown("metric", metric, known)
    rows = curves[curves["metric"] == metric]
    twice = rows.duplicated([*key, "step"])
    if twice.any():
        run, step = rows.loc[twice, ["run", "step"]].iloc[0]
        raise InputError(f"run {run} has more than one {metric} at step {step}: average its episodes first")
    return rows.dropna(subset="value").sort_values([*key, "step"])


def _labels(runs: pd.DataFrame, kind: str, fields: list[str]) -> pd.Series:
    """Each run's name of a kind, with its values of the fields that vary among the runs of that name."""
    labels = runs[kind].astype(str)
    for field in fields:
        varies = runs.groupby(kind)[field].transform("nunique", dropna=False) > 1
        shown = runs[field].map(_short).radd(f" {field.removeprefix('env.')}=")
        labels = labels + shown.where(varies & runs[field].notna(), "")
    return labels


def _score_table(runs: pd.DataFrame, scores: pd.Series) -> pd.DataFrame:
    """The runs with labels and scores, NaN for failed ones. scores: index the run's key."""
    found = scores.reindex(run_index(runs)).to_numpy(np.float64)
    return label_settings(runs).assign(score=np.where(runs["status"] == "failed", np.nan, found))


def _short(value: Any) -> str:
    """A value in six digits, or in all where six would be another value."""
    if not isinstance(value, float):
        return str(value)
    short = f"{value:g}"
    return short if np.isnan(value) or float(short) == value else repr(float(value))
