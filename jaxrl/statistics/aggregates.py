"""One number over several environments, whose scores must be comparable: see `normalise`.

Bootstraps are stratified: they resample the runs within each environment independently (Agarwal et al. 2021).
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from jaxrl.errors import InputError
from jaxrl.statistics.estimators import iqm, mean, optimality_gap
from jaxrl.statistics.intervals import draw_counts, draws, percentile_bounds
from jaxrl.statistics.samples import counts, require_scores

Strata = Sequence[np.ndarray]  # of each environment, [..., runs]


def aggregate(
    table: pd.DataFrame, rng: np.random.Generator, target: float = 1.0, confidence: float = 0.95
) -> pd.DataFrame:
    """Mean, median, IQM and optimality gap over all environments, each with its interval: a row a setting.

    Mean and optimality gap (shortfall from `target`) give each environment the same weight; the median is
    that of the environments' means; the IQM pools all runs. Failed runs are left out and counted in
    `failed`. No interval (NaN) if an environment has fewer than two finite runs. Raises InputError for a
    table that is not one row a run, or a setting that lacks an environment.
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
        known = [scores[~np.isnan(scores)] for scores in strata]
        enough = min(len(scores) for scores in known) >= 2
        drawn = [draws(scores, rng) for scores in known] if enough else None
        row = {"setting": setting, "environments": len(strata), **counts(runs)}
        for name, statistic in aggregates.items():
            low, high = percentile_bounds(statistic(drawn), confidence) if drawn else (np.nan, np.nan)
            row |= {name: float(statistic(known)), f"{name}_low": float(low), f"{name}_high": float(high)}
        rows.append(row)
    return pd.DataFrame(rows)


def performance_profile(
    table: pd.DataFrame, taus: npt.ArrayLike, rng: np.random.Generator, confidence: float = 0.95
) -> pd.DataFrame:
    """Share of runs that score above each tau: setting, tau, share, and its band share_low, share_high.

    The run-score distribution of Agarwal et al. (2021), every environment with the same weight. A failed
    run is above no tau. The band is pointwise. Raises InputError as `aggregate` does.
    """
    taus = np.asarray(taus, np.float64)
    if taus.ndim != 1 or not np.isfinite(taus).all():
        raise InputError("taus must be finite numbers, [points]")
    parts = []
    for setting, _, strata in _by_setting(table):
        above = [(scores[:, None] > taus).astype(np.float64) for scores in strata]  # [runs, points] each
        drawn = np.mean([draw_counts(len(a), rng) @ a / len(a) for a in above], axis=0)
        low, high = percentile_bounds(drawn, confidence)
        share = np.mean([a.mean(axis=0) for a in above], axis=0)
        columns = {"tau": taus, "share": share, "share_low": low, "share_high": high}
        parts.append(pd.DataFrame({"setting": setting, **columns}))
    return pd.concat(parts, ignore_index=True)


def _by_setting(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame, list[np.ndarray]]]:
    """Each setting, its runs, and its scores in each environment ([runs], NaN for failed ones)."""
    require_scores(table)
    environments = table["environment"].unique()
    found = []
    for setting, runs in table.groupby("setting", sort=False):
        by_environment = runs.set_index("environment")["score"]
        strata = [by_environment[by_environment.index == name].to_numpy(np.float64) for name in environments]
        for name, scores in zip(environments, strata, strict=True):
            if len(scores) == 0:
                raise InputError(f"{setting!r} has no run in {name}: an aggregate needs every environment")
        found.append((str(setting), runs, strata))
    return found


def _over_environments(statistic: Callable[[np.ndarray], np.ndarray], strata: Strata) -> np.ndarray:
    """A statistic of each environment's runs: [environments, ...]."""
    return np.stack([statistic(scores) for scores in strata])
