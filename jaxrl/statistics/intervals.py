"""Estimates with their confidence intervals."""

from typing import NamedTuple

import numpy as np
from scipy import stats

RESAMPLES = 2_000


class Interval(NamedTuple):
    estimate: float
    low: float
    high: float


def mean_interval(scores: np.ndarray, rng: np.random.Generator, confidence: float = 0.95) -> Interval:
    """Mean of the runs' scores [runs] with its percentile-bootstrap interval (Efron 1979).

    NaN scores, of failed runs, are left out, which flatters: show their number beside it. No
    interval (NaN) for a single one, NaN throughout for none.
    """
    scores = scores[~np.isnan(scores)]
    if scores.size == 0:
        return Interval(np.nan, np.nan, np.nan)
    if scores.size == 1:  # a single run says nothing of the others
        return Interval(float(scores[0]), np.nan, np.nan)
    low, high = curve_band(scores[:, None], rng, confidence)
    return Interval(float(scores.mean()), float(low[0]), float(high[0]))


def curve_band(
    curves: np.ndarray, rng: np.random.Generator, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Pointwise percentile-bootstrap interval of the mean curve: low and high, [points] each.

    curves [runs, points]. A resample draws whole trajectories, never points one by one. Where a run
    has no value (NaN) the mean is over the runs that have one; NaN where none has.
    """
    runs = len(curves)
    known = ~np.isnan(curves)
    counts = rng.multinomial(runs, np.full(runs, 1 / runs), size=RESAMPLES)  # [RESAMPLES, runs]
    weight = counts @ known
    total = counts @ np.where(known, curves, 0.0)
    means = np.divide(total, weight, out=np.full(total.shape, np.nan), where=weight > 0)
    tail = (1 - confidence) / 2
    low, high = np.full((2, curves.shape[1]), np.nan)
    some = known.any(axis=0)
    if not some.any():
        return low, high
    low[some], high[some] = np.nanquantile(means[:, some], [tail, 1 - tail], axis=0)
    return low, high


def share_interval(successes: int, runs: int, confidence: float = 0.95) -> Interval:
    """Share of runs that succeed with its Wilson interval (Wilson 1927)."""
    if runs == 0:
        return Interval(np.nan, np.nan, np.nan)
    result = stats.binomtest(successes, runs).proportion_ci(confidence, method="wilson")
    return Interval(successes / runs, float(result.low), float(result.high))
