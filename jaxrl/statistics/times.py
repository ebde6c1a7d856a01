"""When runs first reach a threshold. A run that has not, when its curve ends, is censored, not left out."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from jaxrl.errors import InputError
from jaxrl.statistics.intervals import Interval, require_share
from jaxrl.statistics.samples import require_columns, require_one_row_a_run, run_index, run_key, settings
from jaxrl.statistics.scores import label_settings, metric_values


def threshold_times(
    runs: pd.DataFrame, curves: pd.DataFrame, threshold: float | None = None, metric: str = "eval_return"
) -> pd.DataFrame:
    """The labelled runs with `step`, of the first value at or above the threshold, and `reached`.

    runs, curves: as for `final_scores`. threshold: of each run its `solved_return` if None. A run that does
    not get there has the last step of its curve and reached = False: it takes longer than that. A failed run,
    or one without values, never gets there, whatever it did before, and has the last step of all. Raises
    InputError for tables that mix things up, or an environment without a threshold.
    """
    table, values = label_settings(runs), metric_values(runs, curves, metric)
    key = run_key(runs)
    goal = table["solved_return"] if threshold is None else pd.Series(threshold, index=table.index)
    if goal.isna().any():
        environment = table.loc[goal.isna(), "environment"].iloc[0]
        raise InputError(f"{environment} has no return that counts as solved: give a threshold")
    values = values.merge(table[key].assign(goal=goal), on=key)
    there = values[values["value"] >= values["goal"]]
    first = there.groupby(key)["step"].first().reindex(run_index(table)).to_numpy(np.float64)
    last = values.groupby(key)["step"].last().reindex(run_index(table)).to_numpy(np.float64)
    failed = (table["status"] == "failed").to_numpy() | np.isnan(last)
    reached = ~np.isnan(first) & ~failed
    censored = np.where(failed, values["step"].max(), last)
    return table.assign(step=np.where(reached, first, censored), reached=reached)


def kaplan_meier(steps: npt.ArrayLike, reached: npt.ArrayLike, confidence: float = 0.95) -> pd.DataFrame:
    """Share of runs that have reached a threshold by each step (Kaplan & Meier 1958): step, share and
    its interval share_low, share_high.

    steps [runs], when a run reached it or was last seen without; reached [runs] bool. The interval is
    Greenwood's on the log-minus-log scale; where all have reached it, that formula gives none, and the
    lower bound stays what it was. Raises InputError for other shapes.
    """
    require_share("confidence", confidence)
    steps, reached = np.asarray(steps, np.float64), np.asarray(reached, bool)
    if steps.ndim != 1 or steps.shape != reached.shape or len(steps) == 0 or np.isnan(steps).any():
        raise InputError("steps and reached must be of one number a run, and of at least one run")
    at = np.unique(steps)
    arrived = ((steps[:, None] == at) & reached[:, None]).sum(axis=0)
    waiting = (steps[:, None] >= at).sum(axis=0)
    rest = np.cumprod(1 - arrived / waiting)  # share that has not reached it
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.cumsum(arrived / (waiting * (waiting - arrived)))
        width = stats.norm.ppf((1 + confidence) / 2) * np.sqrt(variance) / np.abs(np.log(rest))
        high = 1 - rest ** np.exp(width)
        low = 1 - rest ** np.exp(-width)
    none, all_ = rest == 1, rest == 0
    low, high = np.where(none, 0.0, low), np.where(none, 0.0, np.where(all_, 1.0, high))
    low = np.where(all_, np.max(low, initial=0.0, where=~all_), low)
    return pd.DataFrame({"step": at, "share": 1 - rest, "share_low": low, "share_high": high})


class MedianTime(NamedTuple):
    """Steps until half of the runs have reached a threshold; None where they have not."""

    median: float | None
    low: float | None
    high: float | None
    reached: int
    runs: int


def median_time(steps: npt.ArrayLike, reached: npt.ArrayLike, confidence: float = 0.95) -> MedianTime:
    """The median time of `kaplan_meier` with its interval (Brookmeyer & Crowley 1982)."""
    curve = kaplan_meier(steps, reached, confidence)

    def first(share: pd.Series) -> float | None:
        there = curve["step"][share >= 0.5 - 1e-12]  # 1 - products of fractions may miss a half by an ulp
        return None if there.empty else float(there.iloc[0])

    found = first(curve["share"]), first(curve["share_high"]), first(curve["share_low"])
    return MedianTime(*found, reached=int(np.sum(np.asarray(reached))), runs=np.size(steps))


def median_times(times: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """The `median_time` of each setting of a table that `threshold_times` made, one row a setting.

    runs; failed and reached, how many of them did; median, median_low, median_high, NaN where half of the
    runs have not reached it. Raises InputError for a table that is not one row a run.
    """
    require_columns(times, ("run", "environment", "setting", "status", "step", "reached"))
    require_one_row_a_run(times)
    rows = []
    for environment, setting, runs in settings(times):
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
