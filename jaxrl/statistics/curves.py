"""Learning curves of many runs: bands of their mean, and the dispersion of a single run over time.

Curves are [runs, points], such as `results.metric(name)`, with NaN where a run has no value. The bootstrap
resamples whole curves, so it keeps the correlation of their points.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pandas as pd

from jaxrl.errors import InputError
from jaxrl.statistics.estimators import iqr, mean, ratio
from jaxrl.statistics.intervals import bootstrap_counts, percentile_bounds, require_share, tolerance_positions
from jaxrl.statistics.scores import label_settings, metric_values
from jaxrl.statistics.tables import by_setting, run_index, run_key

Curves = npt.ArrayLike | pd.DataFrame
Band = Callable[[Curves, np.random.Generator, float], tuple[np.ndarray, np.ndarray]]


def curve_band(
    curves: Curves, rng: np.random.Generator, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Pointwise percentile bootstrap interval of the mean curve: low and high, [points] each.

    At each single point it covers the true mean with `confidence`; it covers the whole mean curve less often.
    The mean at a point is over the runs that have a value there, and NaN if none has. Raises InputError for
    another shape, no runs, or a run with two curves.
    """
    curves = curve_array(curves)
    low, high = np.full((2, curves.shape[1]), np.nan)
    known = (~np.isnan(curves)).any(axis=0)
    if known.any():
        low[known], high[known] = percentile_bounds(_resampled_means(curves[:, known], rng), confidence)
    return low, high


def simultaneous_band(
    curves: Curves, rng: np.random.Generator, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Simultaneous band, which covers the whole mean curve with `confidence`: low and high, [points] each.

    The sup-t band (Montiel Olea & Plagborg-Møller 2019) is the mean plus and minus c standard errors. c is
    the `confidence` quantile, over bootstrap samples, of the largest deviation of a resampled mean at any
    point, in standard errors. Where all runs agree the band has no width. Missing values and errors as in
    `curve_band`.
    """
    require_share("confidence", confidence)
    curves = curve_array(curves)
    low, high = np.full((2, curves.shape[1]), np.nan)
    known = (~np.isnan(curves)).any(axis=0)
    if not known.any():
        return low, high
    centre = mean(curves[:, known].T)
    means = _resampled_means(curves[:, known], rng)
    error = np.nanstd(means, axis=0)
    deviation = np.nan_to_num(ratio(np.abs(means - centre), np.broadcast_to(error, means.shape)))
    critical = np.quantile(deviation.max(axis=1), confidence)
    low[known], high[known] = centre - critical * error, centre + critical * error
    return low, high


def tolerance_band(
    curves: Curves, coverage: float = 0.9, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """The `tolerance_interval` of the runs at each point: low and high, [points] each.

    A run without any value counts as failed, -inf at each point. The band is NaN at a point where another run
    has no value, and at all points with fewer than `tolerance_runs` runs. Raises InputError as `curve_band`.
    """
    curves = curve_array(curves)
    positions = tolerance_positions(len(curves), coverage, confidence)
    if positions is None:
        low, high = np.full((2, curves.shape[1]), np.nan)
        return low, high
    failed = np.isnan(curves).all(axis=1, keepdims=True)
    ordered = np.sort(np.where(failed, -np.inf, curves), axis=0)  # NaN last
    low, high = np.where(np.isnan(ordered[-1]), np.nan, ordered[[*positions]])
    return low, high


def mean_curves(
    runs: pd.DataFrame,
    curves: pd.DataFrame,
    rng: np.random.Generator,
    metric: str = "eval_return",
    bands: Mapping[str, Band] = MappingProxyType({"mean": curve_band}),
    confidence: float = 0.95,
) -> pd.DataFrame:
    """The mean curve of each setting with its bands.

    There is one row per setting and step, for the steps at which at least one run of the setting has a value.
    runs, curves: the tables of a study, as for `final_scores`. bands: functions such as `curve_band` and
    `simultaneous_band`, by name. Raises InputError as `final_scores` does.

    Columns:
        environment, setting: labels, as in a score table
        step: environment steps
        runs: number of runs that did not fail and have a value at this step
        failed: number of failed runs of the setting
        mean: mean of these `runs`
        <band>_low, <band>_high: for each of `bands`, by its name
    """
    values, key = metric_values(runs, curves, metric), run_key(runs)
    wide = values.pivot(index=key, columns="step", values="value")
    parts: list[pd.DataFrame] = []
    for environment, setting, members in by_setting(label_settings(runs)):
        failed = (members["status"] == "failed").to_numpy()
        table = wide.reindex(run_index(members)).dropna(axis="columns", how="all")
        if parts and table.columns.empty:
            continue  # it has no row; the first setting is kept for the columns
        finite = np.where(failed[:, None], np.nan, table.to_numpy(np.float64))  # [runs, points]
        part = pd.DataFrame({"environment": environment, "setting": setting, "step": table.columns})
        part = part.assign(runs=(~np.isnan(finite)).sum(axis=0), failed=failed.sum(), mean=mean(finite.T))
        for name, band in bands.items():
            part[f"{name}_low"], part[f"{name}_high"] = band(finite, rng, confidence)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def within_run_iqr(curves: Curves) -> np.ndarray:
    """Dispersion of each run across time: [runs], NaN for a run without two successive values.

    It is the interquartile range of the differences between successive values, because differencing removes
    the trend (Chan et al. 2020, here with the whole curve as the only window). Raises InputError as
    `curve_band` does.
    """
    return iqr(np.diff(curve_array(curves), axis=1))


def curve_array(curves: Curves) -> np.ndarray:
    """The curves as float64 [runs, points]. Raises InputError for another shape, no runs, or a run twice."""
    if isinstance(curves, pd.DataFrame) and not curves.index.is_unique:
        run = curves.index[curves.index.duplicated()][0]
        raise InputError(f"run {run} has more than one curve: curves have one row per run")
    values = np.asarray(curves, np.float64)
    if values.ndim != 2 or len(values) == 0:
        raise InputError(f"curves must be [runs, points] with at least one run, got the shape {values.shape}")
    return values


def _resampled_means(curves: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mean curves of bootstrap samples: [RESAMPLES, points], NaN where no run of the sample has a value."""
    known = ~np.isnan(curves)
    drawn = bootstrap_counts(len(curves), rng).astype(np.float64)  # matrix products of integers are slow
    return ratio(drawn @ np.where(known, curves, 0.0), drawn @ known.astype(np.float64))
