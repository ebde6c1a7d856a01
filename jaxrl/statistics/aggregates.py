"""Aggregates over several environments, whose scores must be comparable: `normalise` makes them so.

The bootstrap is stratified: it resamples the runs within each environment independently (Agarwal et al.
2021).
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from jaxrl.errors import InputError
from jaxrl.statistics.estimators import iqm, mean, optimality_gap
from jaxrl.statistics.intervals import Interval, bootstrap_counts, bootstrap_samples, percentile_bounds
from jaxrl.statistics.tables import counts, require_scores

Strata = Sequence[np.ndarray]  # the scores in each environment, [..., runs]


def aggregate(
    table: pd.DataFrame, rng: np.random.Generator, target: float = 1.0, confidence: float = 0.95
) -> pd.DataFrame:
    """One row per setting of a score table, with aggregates over all environments.

    With fewer than two finite runs in an environment there are no intervals (NaN). Raises InputError for a
    table that is not a score table, or a setting without a run in one of the environments.

    Columns:
        setting: label, as in the score table
        environments: number of environments
        runs, failed: number of runs in all environments, and of failed ones
        mean, mean_low, mean_high: mean over environments of the mean of the finite runs, with its interval
        median, median_low, median_high: median over environments of the same means
        iqm, iqm_low, iqm_high: interquartile mean of the finite runs of all environments together
        optimality_gap, optimality_gap_low, optimality_gap_high: mean over environments of the mean shortfall
            of the finite runs from `target`
    """
    aggregates: dict[str, Callable[[Strata], np.ndarray]] = {
        "mean": lambda strata: _over_environments(mean, strata).mean(axis=0),
        "median": lambda strata: np.median(_over_environments(mean, strata), axis=0),
        "iqm": lambda strata: iqm(np.concatenate(strata, axis=-1)),
        "optimality_gap": lambda strata: _over_environments(
            lambda scores: optimality_gap(scores, target), strata
        ).mean(axis=0),
    }
    rows = []
    for setting, runs, strata in _by_setting(table):
        finite = [scores[~np.isnan(scores)] for scores in strata]
        enough = min(len(scores) for scores in finite) >= 2
        resampled = [bootstrap_samples(scores, rng) for scores in finite] if enough else None
        row = {"setting": setting, "environments": len(strata), **counts(runs)}
        for name, statistic in aggregates.items():
            low, high = percentile_bounds(statistic(resampled), confidence) if resampled else (np.nan, np.nan)
            row |= Interval(float(statistic(finite)), float(low), float(high)).columns(name)
        rows.append(row)
    return pd.DataFrame(rows)


def performance_profile(
    table: pd.DataFrame, taus: npt.ArrayLike, rng: np.random.Generator, confidence: float = 0.95
) -> pd.DataFrame:
    """The performance profile of each setting of a score table: one row per setting and tau.

    It is the run-score distribution of Agarwal et al. (2021), with the same weight for each environment. Its
    band is a pointwise percentile bootstrap interval. Raises InputError for taus that are not finite numbers,
    [points], and as `aggregate` does.

    Columns:
        setting: label, as in the score table
        tau: threshold of the score
        share, share_low, share_high: share of runs that score above tau, with its band; a failed run does not
    """
    taus = np.asarray(taus, np.float64)
    if taus.ndim != 1 or not np.isfinite(taus).all():
        raise InputError(f"taus must be finite numbers, [points], got {taus!r}")
    parts = []
    for setting, _, strata in _by_setting(table):
        above = [(scores[:, None] > taus).astype(np.float64) for scores in strata]  # [runs, points] each
        resampled = np.mean([bootstrap_counts(len(a), rng) @ a / len(a) for a in above], axis=0)
        low, high = percentile_bounds(resampled, confidence)
        share = np.mean([a.mean(axis=0) for a in above], axis=0)
        columns = {"tau": taus, "share": share, "share_low": low, "share_high": high}
        parts.append(pd.DataFrame({"setting": setting, **columns}))
    return pd.concat(parts, ignore_index=True)


def _by_setting(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame, list[np.ndarray]]]:
    """Each setting with its rows and its scores in each environment, [runs] with NaN for failed runs."""
    require_scores(table)
    environments = table["environment"].unique()
    found = []
    for setting, runs in table.groupby("setting", sort=False):
        by_environment = runs.set_index("environment")["score"]
        strata = [by_environment[by_environment.index == name].to_numpy(np.float64) for name in environments]
        for name, scores in zip(environments, strata, strict=True):
            if len(scores) == 0:
                raise InputError(f"{setting!r} has no run in {name}, but an aggregate needs all environments")
        found.append((str(setting), runs, strata))
    return found


def _over_environments(statistic: Callable[[np.ndarray], np.ndarray], strata: Strata) -> np.ndarray:
    """A statistic of each environment's runs: [environments, ...]."""
    return np.stack([statistic(scores) for scores in strata])
