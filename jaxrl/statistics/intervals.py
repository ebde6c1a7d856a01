"""Estimates with their intervals, from the scores of the runs of one setting."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from jaxrl.errors import InputError
from jaxrl.statistics.estimators import mean
from jaxrl.statistics.tables import sample

RESAMPLING_SEED = 0  # of the generator behind all printed and written numbers, so that they can be reproduced
RESAMPLES = 2_000  # of every bootstrap
Scores = npt.ArrayLike | pd.Series


class Interval(NamedTuple):
    estimate: float
    low: float  # NaN if there is no interval
    high: float

    def columns(self, name: str) -> dict[str, float]:
        """The three columns of an interval in a table: <name>, <name>_low and <name>_high."""
        return {name: self.estimate, f"{name}_low": self.low, f"{name}_high": self.high}

    @classmethod
    def of(cls, row: Mapping[Any, Any], name: str) -> Self:
        """The interval that the three columns of a row hold."""
        return cls(row[name], row[f"{name}_low"], row[f"{name}_high"])


def require_share(name: str, value: float) -> None:
    """Raises InputError unless 0 < value < 1."""
    if not 0 < value < 1:
        raise InputError(f"{name} must be above 0 and below 1, got {value!r}")


def bootstrap_samples(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scores [runs] resampled with replacement: [RESAMPLES, runs]."""
    return scores[rng.integers(len(scores), size=(RESAMPLES, len(scores)))]


def bootstrap_counts(runs: int, rng: np.random.Generator) -> np.ndarray:
    """How often each run is in each bootstrap sample: integers [RESAMPLES, runs]."""
    offsets = np.arange(RESAMPLES)[:, None] * runs
    drawn = rng.integers(runs, size=(RESAMPLES, runs)) + offsets
    return np.bincount(drawn.ravel(), minlength=RESAMPLES * runs).reshape(RESAMPLES, runs)


def percentile_bounds(estimates: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """The percentile interval (Efron 1979) of bootstrap estimates [RESAMPLES, ...]: low and high, [...] each.

    Estimates that are NaN are left out. Each bound is one of the estimates, rounded outwards instead of
    interpolated, because two infinite estimates cannot be interpolated.
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
    """An estimate from the scores [runs] with its percentile bootstrap interval.

    statistic: over the last axis, [..., runs] -> [...], such as `mean`, `iqm` or `median`. It receives failed
    runs as NaN. With fewer than two finite runs there is no interval (NaN). Raises InputError for scores that
    are not one number per run, and unless 0 < confidence < 1.
    """
    scores = sample(scores)
    if np.count_nonzero(~np.isnan(scores)) < 2:  # one run shows no spread
        return Interval(float(statistic(scores)), np.nan, np.nan)
    low, high = percentile_bounds(statistic(bootstrap_samples(scores, rng)), confidence)
    return Interval(float(statistic(scores)), float(low), float(high))


def mean_interval(scores: Scores, rng: np.random.Generator, confidence: float = 0.95) -> Interval:
    """Mean of the finite runs of `scores` [runs] with its percentile bootstrap interval.

    Leaving failed runs out flatters the setting, so show their number beside the mean. With one finite run
    there is no interval (NaN); with none, all three numbers are NaN. Raises InputError as
    `bootstrap_interval`.
    """
    scores = sample(scores)
    return bootstrap_interval(scores[~np.isnan(scores)], mean, rng, confidence)


def share_interval(successes: int, runs: int, confidence: float = 0.95) -> Interval:
    """Share of successes with its score interval (Wilson 1927); all three numbers are NaN for no runs."""
    if runs == 0:
        return Interval(np.nan, np.nan, np.nan)
    result = stats.binomtest(successes, runs).proportion_ci(confidence, method="wilson")
    return Interval(successes / runs, float(result.low), float(result.high))


def solve_share(scores: Scores, threshold: float, confidence: float = 0.95) -> Interval:
    """Share of runs that score at least the threshold, with its Wilson interval. A failed run does not."""
    scores = sample(scores)
    return share_interval(int((scores >= threshold).sum()), len(scores), confidence)


class Tolerance(NamedTuple):
    low: float
    high: float


def tolerance_interval(scores: Scores, coverage: float = 0.9, confidence: float = 0.95) -> Tolerance | None:
    """Two order statistics that enclose a share `coverage` of future runs with `confidence` (Wilks 1941).

    Between the l-th and the u-th of n sorted scores lies at least a share b of the distribution with
    probability P(Binomial(n, b) <= u - l - 1). The pair is the closest one that suffices, as central as
    possible. A failed run counts as -inf. None with fewer than `tolerance_runs(coverage, confidence)` runs,
    because then even the extremes do not suffice. Raises InputError for scores that are not one number per
    run, and unless coverage and confidence are in (0, 1).
    """
    scores = sample(scores)
    positions = tolerance_positions(len(scores), coverage, confidence)
    if positions is None:
        return None
    ordered = np.sort(np.where(np.isnan(scores), -np.inf, scores))
    return Tolerance(*map(float, ordered[[*positions]]))


def tolerance_positions(runs: int, coverage: float = 0.9, confidence: float = 0.95) -> tuple[int, int] | None:
    """Positions, from 0, of the bounds of `tolerance_interval` in the sorted scores; None if it has none."""
    if runs < tolerance_runs(coverage, confidence):
        return None
    distance = int(stats.binom.ppf(confidence, runs, coverage)) + 1  # u - l
    lower = (runs - distance + 1) // 2
    return lower - 1, lower + distance - 1


@functools.cache
def tolerance_runs(coverage: float = 0.9, confidence: float = 0.95) -> int:
    """The least number of runs that has a `tolerance_interval`: 46 for 0.9 and 0.95."""
    require_share("coverage", coverage)
    require_share("confidence", confidence)
    runs = 2
    while stats.binom.cdf(runs - 2, runs, coverage) < confidence:
        runs += 1
    return runs
