"""Scores of runs from the tables of a study: one number per run, with labels.

`runs` and `curves` are the tables of a study, with RUN_COLUMNS and CURVE_COLUMNS of jaxrl.columns.
A score table is `runs` with SCORE_COLUMNS.
"""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from jaxrl.columns import CURVE_COLUMNS, RUN_COLUMNS
from jaxrl.errors import InputError, unknown
from jaxrl.statistics.tables import (
    SCORE_COLUMNS,
    require_columns,
    require_one_row_per_run,
    require_scores,
    run_index,
    run_key,
)


def final_scores(runs: pd.DataFrame, curves: pd.DataFrame, metric: str = "eval_return") -> pd.DataFrame:
    """Scores each run by the last value of a metric.

    Raises InputError for an unknown metric, a missing column, a run with two rows, or a run with two values
    at one step.
    """
    return _score_table(runs, metric_values(runs, curves, metric).groupby(run_key(runs)).value.last())


def area_scores(runs: pd.DataFrame, curves: pd.DataFrame, metric: str = "eval_return") -> pd.DataFrame:
    """Scores each run by the area under a metric's curve (trapezoidal rule), divided by the curve's steps.

    Values are weighted by the steps around them, so they may be spaced unevenly. The score has the unit of
    the metric. A curve of one value has that value as its score. Raises InputError as `final_scores` does.
    """
    rows, key = metric_values(runs, curves, metric), run_key(runs)
    by_run = rows.groupby(key)
    rows["steps"] = by_run.step.diff()
    rows["area"] = (rows.value + by_run.value.shift()) / 2 * rows.steps
    totals = rows.groupby(key)[["area", "steps"]].sum()
    mean = totals.area / totals.steps.where(totals.steps > 0)
    return _score_table(runs, mean.fillna(by_run.value.last()))


def training_scores(runs: pd.DataFrame, curves: pd.DataFrame, metric: str = "return") -> pd.DataFrame:
    """Scores each run by the mean of a training metric, weighted by environment steps.

    A value of a training metric is the mean over the steps since the one before it, so these steps are its
    weight. Where no episode ended there is no value (NaN), and the steps count with the next value. Raises
    InputError as `final_scores` does.
    """
    rows, key = metric_values(runs, curves, metric), run_key(runs)
    rows["steps"] = rows.groupby(key).step.diff().fillna(rows.step)
    rows["total"] = rows.value * rows.steps
    totals = rows.groupby(key)[["total", "steps"]].sum()
    return _score_table(runs, totals.total / totals.steps)


def normalise(table: pd.DataFrame, low: Mapping[str, float], high: Mapping[str, float]) -> pd.DataFrame:
    """The score table with scores rescaled in each environment: `low` becomes 0 and `high` becomes 1.

    low, high: reference scores by environment, such as those of a random and of an optimal policy. Raises
    InputError for an environment without a reference, or whose `high` is not above its `low`.
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
    """The runs with the columns `environment` and `setting` of a score table.

    A label is the name of an environment or algorithm, followed by the fields that vary among the runs of
    that name. Raises InputError for a missing column or a run with two rows.
    """
    require_columns(runs, ("run", "environment", "algorithm", "status"))
    require_one_row_per_run(runs)
    fields = _fields(runs)
    of_env = [name for name in fields if name.startswith("env.")]
    of_algorithm = [name for name in fields if name not in of_env]
    return runs.assign(
        environment=_labels(runs, "environment", of_env), setting=_labels(runs, "algorithm", of_algorithm)
    )


def varied_parameters(runs: pd.DataFrame) -> list[str]:
    """The hyper-parameters that vary among the runs of one algorithm, in the order of the columns."""
    fields = [name for name in _fields(runs) if name not in SCORE_COLUMNS]
    numbers = runs.groupby("algorithm")[fields].nunique(dropna=False).max()
    return [name for name in fields if not name.startswith("env.") and numbers[name] > 1]


def _fields(runs: pd.DataFrame) -> list[str]:
    """The columns that are fields of a config. Joined tables also have `study`, the folder."""
    return [name for name in runs.columns if name != "study" and name not in RUN_COLUMNS]


def metric_values(runs: pd.DataFrame, curves: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The rows of `curves` that hold a value of the metric, in order of run and step.

    Raises InputError for an unknown metric, a missing column, or a run with two values at one step.
    """
    key = run_key(runs)
    require_columns(curves, [*dict.fromkeys((*key, *CURVE_COLUMNS))])
    known = curves["metric"].unique()
    if metric not in known:
        raise unknown("metric", metric, known)
    rows = curves[curves["metric"] == metric]
    repeated = rows.duplicated([*key, "step"])
    if repeated.any():
        run, step = rows.loc[repeated, ["run", "step"]].iloc[0]
        raise InputError(f"run {run} has more than one {metric} at step {step}: average its episodes first")
    return rows.dropna(subset="value").sort_values([*key, "step"])


def _labels(runs: pd.DataFrame, kind: str, fields: list[str]) -> pd.Series:
    """The label of each run: the name in column `kind`, with the fields that vary among runs of that name."""
    labels = runs[kind].astype(str)
    for field in fields:
        varies = runs.groupby(kind)[field].transform("nunique", dropna=False) > 1
        if not varies.any():
            continue
        shown = runs[field].map(_short).radd(f" {field.removeprefix('env.')}=")
        labels = labels + shown.where(varies & runs[field].notna(), "")
    return labels


def _score_table(runs: pd.DataFrame, scores: pd.Series) -> pd.DataFrame:
    """The score table of some runs. scores: indexed as `run_index`; a failed run gets NaN in its place."""
    found = scores.reindex(run_index(runs)).to_numpy(np.float64)
    return label_settings(runs).assign(score=np.where(runs["status"] == "failed", np.nan, found))


@functools.lru_cache(maxsize=None, typed=True)  # there are few values in many runs
def _short(value: Any) -> str:
    """A value as text: a float in six significant digits if they are exact, otherwise in all that matter."""
    if not isinstance(value, float):
        return str(value)
    short, almost = f"{value:g}", float(f"{value:.12g}")
    exact = (
        almost if np.isclose(almost, value, rtol=1e-15, atol=0) else float(value)
    )  # not 0.1 + 0.2's rounding
    return short if np.isnan(value) or float(short) == exact else repr(exact)
