"""Times at which runs first reach a threshold. A run that does not reach it is censored, not left out."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from jaxrl.errors import InputError
from jaxrl.statistics.intervals import Interval, require_share
from jaxrl.statistics.scores import label_settings, metric_values
from jaxrl.statistics.tables import by_setting, require_columns, require_one_row_per_run, run_index, run_key


def threshold_times(
    runs: pd.DataFrame, curves: pd.DataFrame, threshold: float | None = None, metric: str = "eval_return"
) -> pd.DataFrame:
    """The labelled runs with the time at which each first reached a threshold: one row per run.

    runs, curves: the tables of a study, as for `final_scores`. threshold: a value of the metric, by default
    each run's `solved_return`. A run that failed, or has no value, counts as one that never reaches it.
    Raises InputError as `final_scores` does, and for an environment without a threshold.

    Columns (and those of `label_settings`):
        step: environment steps at the first value that is at least the threshold. For a run without one it is
            the last step of its curve; for a run that failed or has no value, the last step of all curves.
        reached: whether the run reached the threshold; if not, it is censored at `step`
    """
    table, values = label_settings(runs), metric_values(runs, curves, metric)
    key = run_key(runs)
    goal = table["solved_return"] if threshold is None else pd.Series(threshold, index=table.index)
    if goal.isna().any():
        environment = table.loc[goal.isna(), "environment"].iloc[0]
        raise InputError(f"{environment} has no return that counts as solved: pass a threshold")
    values = values.merge(table[key].assign(goal=goal), on=key)
    at_goal = values[values["value"] >= values["goal"]]
    first = at_goal.groupby(key)["step"].first().reindex(run_index(table)).to_numpy(np.float64)
    last = values.groupby(key)["step"].last().reindex(run_index(table)).to_numpy(np.float64)
    failed = (table["status"] == "failed").to_numpy() | np.isnan(last)
    reached = ~np.isnan(first) & ~failed
    censored = np.where(failed, values["step"].max(), last)
    return table.assign(step=np.where(reached, first, censored), reached=reached)


def kaplan_meier(steps: npt.ArrayLike, reached: npt.ArrayLike, confidence: float = 0.95) -> pd.DataFrame:
    """Share of runs that have reached a threshold by each step (Kaplan & Meier 1958): one row per step.

    steps: [runs], where each run reached the threshold or was censored. reached: bool [runs], False if
    censored. The interval is Greenwood's on the log-minus-log scale. Once all runs have reached the threshold
    that formula gives no interval: the upper bound is then 1, and the lower bound stays what it was before.
    Raises InputError for other shapes, no runs, a step that is NaN, and unless 0 < confidence < 1.

    Columns:
        step: environment steps
        share, share_low, share_high: share of runs that have reached the threshold by then, with its interval
    """
    require_share("confidence", confidence)
    steps, reached = np.asarray(steps, np.float64), np.asarray(reached, bool)
    if steps.ndim != 1 or steps.shape != reached.shape or len(steps) == 0 or np.isnan(steps).any():
        raise InputError(
            "steps and reached must hold one number per run, for at least one run, "
            f"got the shapes {steps.shape} and {reached.shape}"
        )
    at = np.unique(steps)
    events = ((steps[:, None] == at) & reached[:, None]).sum(axis=0)
    at_risk = (steps[:, None] >= at).sum(axis=0)
    survival = np.cumprod(1 - events / at_risk)  # share that has not reached it
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.cumsum(events / (at_risk * (at_risk - events)))
        width = stats.norm.ppf((1 + confidence) / 2) * np.sqrt(variance) / np.abs(np.log(survival))
        high = 1 - survival ** np.exp(width)
        low = 1 - survival ** np.exp(-width)
    none, all_ = survival == 1, survival == 0
    low, high = np.where(none, 0.0, low), np.where(none, 0.0, np.where(all_, 1.0, high))
    low = np.where(all_, np.max(low, initial=0.0, where=~all_), low)
    return pd.DataFrame({"step": at, "share": 1 - survival, "share_low": low, "share_high": high})


class MedianTime(NamedTuple):
    """Environment steps until half of the runs have reached a threshold, with an interval."""

    median: float | None  # None if too few runs have reached it, like the bounds
    low: float | None
    high: float | None
    reached: int  # number of runs that have reached it
    runs: int


def median_time(steps: npt.ArrayLike, reached: npt.ArrayLike, confidence: float = 0.95) -> MedianTime:
    """The median time of `kaplan_meier` with its interval (Brookmeyer & Crowley 1982).

    The median is None if the share stays below 1/2, `low` if its upper bound does, and `high` if its lower
    bound does. Raises InputError as `kaplan_meier` does.
    """
    curve = kaplan_meier(steps, reached, confidence)

    def first(share: pd.Series) -> float | None:
        steps = curve["step"][share >= 0.5 - 1e-12]  # a product of fractions may miss 1/2 by an ulp
        return None if steps.empty else float(steps.iloc[0])

    found = first(curve["share"]), first(curve["share_high"]), first(curve["share_low"])
    return MedianTime(*found, reached=int(np.sum(np.asarray(reached))), runs=np.size(steps))


def median_times(times: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """The `median_time` of each setting: one row per setting and environment.

    times: a table of `threshold_times`. Raises InputError for a missing column or a run with two rows.

    Columns:
        environment, setting: labels, as in `times`
        runs, failed, reached: number of runs, of failed ones, and of those that reached the threshold
        median, median_low, median_high: `median_time` with its interval, NaN in the place of None
    """
    require_columns(times, ("run", "environment", "setting", "status", "step", "reached"))
    require_one_row_per_run(times)
    rows = []
    for environment, setting, runs in by_setting(times):
        found = median_time(runs["step"].to_numpy(), runs["reached"].to_numpy(), confidence)
        bounds = (np.nan if step is None else step for step in (found.median, found.low, found.high))
        rows.append(
            {
                "environment": environment,
                "setting": setting,
                "runs": found.runs,
                "failed": int((runs["status"] == "failed").sum()),
                "reached": found.reached,
                **Interval(*bounds).columns("median"),
            }
        )
    return pd.DataFrame(rows)
