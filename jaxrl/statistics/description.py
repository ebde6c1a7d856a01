"""All that is to be said of each setting by itself."""

import numpy as np
import pandas as pd

from jaxrl.statistics.estimators import iqr, lower_cvar, median, sd
from jaxrl.statistics.intervals import Interval, mean_interval, solve_share, tolerance_interval
from jaxrl.statistics.samples import counts, require_scores, settings


def describe(
    table: pd.DataFrame, rng: np.random.Generator, worst_share: float = 0.1, confidence: float = 0.95
) -> pd.DataFrame:
    """One row a setting of each environment of a score table, with its runs and how many of them failed.

    mean, with its interval mean_low, mean_high: of the finite runs. sd, iqr: their spread. median, cvar (mean
    of the worst `worst_share`) and tolerance_low, tolerance_high (90 % of future runs with 95 % confidence,
    NaN with fewer than 46 runs) sort a failed run below all others, -inf. solved, likewise with its interval:
    share that reaches the column `solved_return`, which failed runs do not; NaN where there is none. Raises
    InputError for a table that is not one row a run.
    """
    require_scores(table)
    rows = []
    for environment, setting, runs in settings(table):
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
                **mean_interval(scores, rng, confidence).columns("mean"),
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
