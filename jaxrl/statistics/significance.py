"""P-values for the scores of two groups of runs, [runs of a] and [runs of b].

Where a run failed (NaN), those of means test the runs' ranks instead, in which it is below every finite
score, and there is no test of equivalence. Each test is two-sided and NaN where it cannot be done.
"""

import itertools
import math
from typing import Literal

import numpy as np
from scipy import stats

from jaxrl.errors import InputError
from jaxrl.statistics.intervals import Scores
from jaxrl.statistics.samples import any_failed, comparable, sample

PERMUTATIONS = 9_999  # at least; where there are no more ways to deal the runs out, all of them
SMALL = 0.02  # a p-value, below which it pays to draw more


def two_samples(a: Scores, b: Scores) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays. Raises InputError unless each has at least one run."""
    a, b = sample(a), sample(b)
    if min(len(a), len(b)) == 0:
        raise InputError("a comparison needs at least one run of each setting")
    return a, b


def welch_p(a: Scores, b: Scores) -> float:
    """Welch's t-test of equal means; NaN for a single run or where neither group varies."""
    a, b = comparable(*two_samples(a, b))
    if min(len(a), len(b)) < 2 or np.ptp(a) == np.ptp(b) == 0:
        return np.nan
    moments = (a.mean(), a.std(ddof=1), len(a), b.mean(), b.std(ddof=1), len(b))
    return float(stats.ttest_ind_from_stats(*moments, equal_var=False).pvalue)


def permutation_p(
    a: Scores,
    b: Scores,
    rng: np.random.Generator,
    alternative: Literal["two-sided", "less", "greater"] = "two-sided",
    permutations: int = PERMUTATIONS,
) -> float:
    """Permutation test of the difference of means, a - b; NaN for a single run.

    Exact if there are at most PERMUTATIONS ways to deal the runs out to the groups. Else by as many draws, or
    by `permutations` of them where the first leave a p-value below SMALL: whatever the level, one of the two
    numbers of draws decides, so that the test keeps it.
    """
    a, b = comparable(*two_samples(a, b))
    if min(len(a), len(b)) < 2:
        return np.nan
    pooled, observed = np.append(a, b), float(a.sum())
    rounding = 1e-12 * np.abs(pooled).sum()
    if math.comb(len(pooled), len(a)) <= PERMUTATIONS:
        return _share(_all_sums(pooled, len(a)), observed, rounding, alternative)
    # Among the draws is what was observed, so that no p-value is 0 (Phipson & Smyth 2010).
    sums = np.append(_drawn_sums(pooled, len(a), PERMUTATIONS, rng), observed)
    p = _share(sums, observed, rounding, alternative)
    if p < SMALL and permutations > PERMUTATIONS:
        sums = np.append(sums, _drawn_sums(pooled, len(a), permutations - PERMUTATIONS, rng))
        p = _share(sums, observed, rounding, alternative)
    return p


def _share(sums: np.ndarray, observed: float, rounding: float, alternative: str) -> float:
    """The p-value of an observed sum of a group among those of groups dealt out by chance."""
    less = float(np.mean(sums <= observed + rounding))
    greater = float(np.mean(sums >= observed - rounding))
    return {"less": less, "greater": greater, "two-sided": min(1.0, 2 * min(less, greater))}[alternative]


def _all_sums(pooled: np.ndarray, size: int) -> np.ndarray:
    """Of every group of `size` runs."""
    return np.array([*itertools.combinations(pooled, size)]).sum(axis=1)


def _drawn_sums(pooled: np.ndarray, size: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Of `count` groups of `size` runs, drawn without replacement."""
    sums, batch = [], 1_000
    for start in range(0, count, batch):
        shape = (min(batch, count - start), len(pooled))
        sums.append(rng.permuted(np.broadcast_to(pooled, shape), axis=1)[:, :size].sum(axis=1))
    return np.concatenate(sums)


def equivalence_p(a: Scores, b: Scores, rng: np.random.Generator, smallest_effect: float) -> float:
    """Test that the means are nearer to each other than the smallest effect that matters.

    NaN for a single run, or where a run failed: then the scores of the others are no evidence of equality.

    The larger of two one-sided p-values (Schuirmann 1987), each of a permutation test, so that even equal
    constants need enough runs.
    """
    a, b = two_samples(a, b)
    if any_failed(a, b):
        return np.nan
    too_high = permutation_p(a - smallest_effect, b, rng, "less")
    too_low = permutation_p(a + smallest_effect, b, rng, "greater")
    return max(too_high, too_low)


def mann_whitney_p(a: Scores, b: Scores) -> float:
    """Mann-Whitney test; failed runs tie below every finite one. 1 where all runs tie."""
    a, b = (np.where(np.isnan(scores), -np.inf, scores) for scores in two_samples(a, b))
    if np.unique(np.append(a, b)).size == 1:
        return 1.0  # scipy's releases differ here: 1 or NaN
    return float(stats.mannwhitneyu(a, b).pvalue)


def holm(p_values: np.ndarray) -> np.ndarray:
    """P-values [tests] adjusted so that any false finding is as rare as the level (Holm 1979).

    A NaN, of a test that could not be done, stays and counts as no test.
    """
    adjusted = np.full(len(p_values), np.nan)
    order = np.argsort(p_values)[: np.count_nonzero(~np.isnan(p_values))]  # NaN sorts last
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1.0)
    return adjusted
