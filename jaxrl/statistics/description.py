"""Each setting described by itself."""

import numpy as np
import pandas as pd

from jaxrl.statistics.estimators import iqr, lower_cvar, median, sd
from jaxrl.statistics.intervals import Interval, mean_interval, solve_share, tolerance_interval
from jaxrl.statistics.tables import by_setting, counts, require_scores


def describe(
    table: pd.DataFrame, rng: np.random.Generator, worst_share: float = 0.1, confidence: float = 0.95
) -> pd.DataFrame:
    """One row per setting of each environment of a score table.

    A row depends only on the setting's runs and the generator's state, not on the other settings. Raises
    InputError for a table that is not a score table.

    Columns:
        environment, setting: labels, as in the score table
        runs, failed: number of runs, and of failed ones
        mean, mean_low, mean_high: mean of the finite runs with its interval
        sd, iqr: standard deviation and interquartile range of the finite runs
        median: of all runs, failed ones as -inf
        cvar: mean of the worst `worst_share` of all runs, failed ones as -inf
        tolerance_low, tolerance_high: interval of 90 % of future runs with 95 % confidence, failed ones as
            -inf; NaN with fewer than 46 runs
        solved, solved_low, solved_high: share of runs that score at least `solved_return`, with its interval;
            NaN if the table has no such column or value
    """
    require_scores(table)
    rows, seed = [], rng.integers(2**63)
    for environment, setting, runs in by_setting(table):
        scores = runs["score"].to_numpy(np.float64)
        threshold = runs["solved_return"].iloc[0] if "solved_return" in runs.columns else np.nan
        none = Interval(np.nan, np.nan, np.nan)
        solved = none if pd.isna(threshold) else solve_share(scores, threshold, confidence)
        tolerance = tolerance_interval(scores) or (np.nan, np.nan)
        rows.append(
            {
                "environment": environment,
                "setting": setting,
                **counts(runs),
                **mean_interval(scores, np.random.default_rng(seed), confidence).columns("mean"),
                "sd": float(sd(scores)),
                "iqr": float(iqr(scores)),
                "median": float(median(scores)),
                "cvar": float(lower_cvar(scores, worst_share)),
                "tolerance_low": tolerance[0],
                "tolerance_high": tolerance[1],
                **solved.columns("solved"),
            }
        )
    return pd.DataFrame(rows)
