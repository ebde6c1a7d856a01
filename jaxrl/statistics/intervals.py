"""Estimates with their intervals, of the runs of one setting."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from jaxrl.errors import InputError
from jaxrl.statistics.estimators import mean
from jaxrl.statistics.samples import sample

RESAMPLING_SEED = 0  # of what is reported, so that it can be made again
RESAMPLES = 2_000  # of every bootstrap
Scores = npt.ArrayLike | pd.Series


class Interval(NamedTuple):
    estimate: float
    low: float
    high: float

    def columns(self, name: str) -> dict[str, float]:
        """Its numbers under the names that tables give them: name, name_low, name_high."""
        return {name: self.estimate, f"{name}_low": self.low, f"{name}_high": self.high}


def require_share(name: str, value: float) -> None:
    """Raises InputError unless 0 < value < 1."""
    if not 0 < value < 1:
        raise InputError(f"{name} must be above 0 and below 1, got {value!r}")


def draws(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bootstrap samples of runs, drawn with replacement: [RESAMPLES, runs]."""
    return scores[rng.integers(len(scores), size=(RESAMPLES, len(scores)))]


def draw_counts(runs: int, rng: np.random.Generator) -> np.ndarray:
    """The same as how often each run is drawn: [RESAMPLES, runs]."""
    rows = np.arange(RESAMPLES)[:, None] * runs
    drawn = rng.integers(runs, size=(RESAMPLES, runs)) + rows
    return np.bincount(drawn.ravel(), minlength=RESAMPLES * runs).reshape(RESAMPLES, runs)


def percentile_bounds(estimates: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """The percentile interval (Efron 1979) of resampled estimates [RESAMPLES, ...]: low and high [...].

    A resample without a value (NaN) is left out. The bounds are values that occurred, the outer ones,
    since between two infinite ones there is nothing to interpolate.
    """
    require_share("confidence", confidence)
    tail = (1 - confidence) / 2
    quantile = np.nanquantile if np.isnan(estimates).any() else np.quantile  # the latter is much faster
    low = quantile(estimates, tail, axis=0, method="lower")
    return low, quantile(estimates, 1 - tail, axis=0, method="higher")


def bootstrap_interval(
    scores: Scores,
    statistic: Callable[[np.ndarray], np.ndarray],
    rng: np.random.Generator,
    confidence: float = 0.95,
) -> Interval:
    """An estimate from runs' scores [runs] with its percentile-bootstrap interval.

    statistic: over the last axis, [..., runs] -> [...], such as mean, iqm or median; it decides what a
    NaN counts. There is no interval (NaN) with fewer than two finite runs. Raises InputError for scores
    that are not one number a run.
    """
    scores = sample(scores)
    if np.count_nonzero(~np.isnan(scores)) < 2:  # a single run says nothing of the others
        return Interval(float(statistic(scores)), np.nan, np.nan)
    low, high = percentile_bounds(statistic(draws(scores, rng)), confidence)
    return Interval(float(statistic(scores)), float(low), float(high))


def mean_interval(scores: Scores, rng: np.random.Generator, confidence: float = 0.95) -> Interval:
    """Mean of the finite runs' scores [runs] with its percentile-bootstrap interval.

    Leaving failed runs (NaN) out flatters: show their number beside it. No interval (NaN) for a single
    finite run, NaN throughout for none.
    """
    scores = sample(scores)
    return bootstrap_interval(scores[~np.isnan(scores)], mean, rng, confidence)


def share_interval(successes: int, runs: int, confidence: float = 0.95) -> Interval:
    """Share of runs that succeed with its Wilson interval (Wilson 1927); NaN throughout of no runs."""
    if runs == 0:
        return Interval(np.nan, np.nan, np.nan)
    result = stats.binomtest(successes, runs).proportion_ci(confidence, method="wilson")
    return Interval(successes / runs, float(result.low), float(result.high))


def solve_share(scores: Scores, threshold: float, confidence: float = 0.95) -> Interval:
    """Share of runs whose score reaches the threshold, with its Wilson interval; failed runs do not."""
    scores = sample(scores)
    return share_interval(int((scores >= threshold).sum()), len(scores), confidence)


class Tolerance(NamedTuple):
    low: float
    high: float


def tolerance_interval(scores: Scores, coverage: float = 0.9, confidence: float = 0.95) -> Tolerance | None:
    """Two order statistics that hold `coverage` of all future runs, with `confidence` (Wilks 1941).

    Between the l-th and the u-th of n sorted scores lies at least the share b of the distribution with
    probability P(Binomial(n, b) <= u - l - 1); the narrowest, most central pair is taken. None if even the
    extremes do not suffice: it takes `tolerance_runs(coverage, confidence)` runs. A failed run is the
    lowest, -inf.
    """
    scores = sample(scores)
    places = tolerance_places(len(scores), coverage, confidence)
    if places is None:
        return None
    ordered = np.sort(np.where(np.isnan(scores), -np.inf, scores))
    return Tolerance(*map(float, ordered[[*places]]))


def tolerance_places(runs: int, coverage: float = 0.9, confidence: float = 0.95) -> tuple[int, int] | None:
    """Where the bounds of `tolerance_interval` stand among the sorted scores, from 0; None if it has none."""
    if runs < tolerance_runs(coverage, confidence):
        return None
    apart = int(stats.binom.ppf(confidence, runs, coverage)) + 1  # u - l
    lower = (runs - apart + 1) // 2
    return lower - 1, lower + apart - 1


def tolerance_runs(coverage: float = 0.9, confidence: float = 0.95) -> int:
    """Least number of runs for which `tolerance_interval` exists: 46 for 0.9 with 0.95."""
    require_share("coverage", coverage)
    require_share("confidence", confidence)
    runs = 2
    while stats.binom.cdf(runs - 2, runs, coverage) < confidence:
        runs += 1
    return runs
