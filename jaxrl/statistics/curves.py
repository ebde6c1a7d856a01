"""Learning curves of many runs: bands of their mean, and how much a single run wavers.

A curve table is [runs, points], as `results.metric(name)`, with NaN where a run has no value. A resample
draws whole trajectories, never points one by one, so the points of a band belong together.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pandas as pd

from jaxrl.errors import InputError
from jaxrl.statistics.estimators import iqr, mean, ratio
from jaxrl.statistics.intervals import draw_counts, percentile_bounds, require_share, tolerance_places
from jaxrl.statistics.samples import run_index, run_key, settings
from jaxrl.statistics.scores import label_settings, metric_values

Curves = npt.ArrayLike | pd.DataFrame
Band = Callable[[Curves, np.random.Generator, float], tuple[np.ndarray, np.ndarray]]


def curve_band(
    curves: Curves, rng: np.random.Generator, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Pointwise percentile-bootstrap interval of the mean curve: low and high, [points] each.

    It holds the true mean at each single point with `confidence`, not the whole curve. Where a run has no
    value the mean is over the runs that have one; NaN where none has. Raises InputError for another shape.
    """
    curves = trajectories(curves)
    low, high = np.full((2, curves.shape[1]), np.nan)
    some = (~np.isnan(curves)).any(axis=0)
    if some.any():
        low[some], high[some] = percentile_bounds(_resampled_means(curves[:, some], rng), confidence)
    return low, high


def simultaneous_band(
    curves: Curves, rng: np.random.Generator, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Band that holds the whole mean curve at once with `confidence`: low and high, [points] each.

    The sup-t band (Montiel Olea & Plagborg-Møller 2019): the mean plus and minus c standard errors, with c
    the quantile of the largest of the resampled means' deviations over all points. Missing values as in
    `curve_band`; of zero width where all runs agree.
    """
    require_share("confidence", confidence)
    curves = trajectories(curves)
    low, high = np.full((2, curves.shape[1]), np.nan)
    some = (~np.isnan(curves)).any(axis=0)
    if not some.any():
        return low, high
    centre = mean(curves[:, some].T)
    means = _resampled_means(curves[:, some], rng)
    error = np.nanstd(means, axis=0)
    deviation = np.nan_to_num(ratio(np.abs(means - centre), np.broadcast_to(error, means.shape)))
    critical = np.quantile(deviation.max(axis=1), confidence)
    low[some], high[some] = centre - critical * error, centre + critical * error
    return low, high


def tolerance_band(
    curves: Curves, coverage: float = 0.9, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """The `tolerance_interval` of the runs at each point: low and high, [points] each.

    A run without any value failed and is the lowest, -inf. NaN where another run has no value, and
    throughout with too few runs. Raises InputError for another shape.
    """
    curves = trajectories(curves)
    places = tolerance_places(len(curves), coverage, confidence)
    if places is None:
        low, high = np.full((2, curves.shape[1]), np.nan)
        return low, high
    failed = np.isnan(curves).all(axis=1, keepdims=True)
    ordered = np.sort(np.where(failed, -np.inf, curves), axis=0)  # NaN last
    low, high = np.where(np.isnan(ordered[-1]), np.nan, ordered[[*places]])
    return low, high


def mean_curves(
    runs: pd.DataFrame,
    curves: pd.DataFrame,
    rng: np.random.Generator,
    metric: str = "eval_return",
    bands: Mapping[str, Band] = MappingProxyType({"mean": curve_band}),
    confidence: float = 0.95,
) -> pd.DataFrame:
    """The mean curve of each setting of a study with its bands, one row a setting and step.

    runs, curves: as for `final_scores`. bands: by name, such as `curve_band` and `simultaneous_band`. Columns
    environment, setting, step, runs (finite ones with a value there), failed (of the setting), mean, and
    <name>_low, <name>_high of each band. Raises InputError for tables that mix things up.
    """
    values, key = metric_values(runs, curves, metric), run_key(runs)
    wide = values.pivot(index=key, columns="step", values="value")
    parts = []
    for environment, setting, members in settings(label_settings(runs)):
        failed = (members["status"] == "failed").to_numpy()
        table = wide.reindex(run_index(members)).dropna(axis="columns", how="all")
        finite = np.where(failed[:, None], np.nan, table.to_numpy(np.float64))  # [runs, points]
        part = pd.DataFrame({"environment": environment, "setting": setting, "step": table.columns})
        part = part.assign(runs=(~np.isnan(finite)).sum(axis=0), failed=failed.sum(), mean=mean(finite.T))
        for name, band in bands.items():
            part[f"{name}_low"], part[f"{name}_high"] = band(finite, rng, confidence)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def within_run_iqr(curves: Curves) -> np.ndarray:
    """How much each run wavers over its curve: [runs], NaN for one with fewer than two values in a row.

    The interquartile range of the differences between successive values, which differencing has freed of
    the trend (dispersion across time of Chan et al. 2020, with the whole curve as its one window).
    """
    return iqr(np.diff(trajectories(curves), axis=1))


def trajectories(curves: Curves) -> np.ndarray:
    """The curves as an array [runs, points]. Raises InputError for another shape or a run twice."""
    if isinstance(curves, pd.DataFrame) and not curves.index.is_unique:
        run = curves.index[curves.index.duplicated()][0]
        raise InputError(f"run {run} has more than one curve: a curve table has one row a run")
    values = np.asarray(curves, np.float64)
    if values.ndim != 2 or len(values) == 0:
        raise InputError(f"curves must be [runs, points] of at least one run, got the shape {values.shape}")
    return values


def _resampled_means(curves: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mean curves of bootstrap samples of runs: [RESAMPLES, points], NaN where none drawn has a value."""
    known = ~np.isnan(curves)
    drawn = draw_counts(len(curves), rng).astype(np.float64)  # float: matrix products of integers are slow
    return ratio(drawn @ np.where(known, curves, 0.0), drawn @ known.astype(np.float64))
