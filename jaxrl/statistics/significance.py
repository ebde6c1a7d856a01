"""P-values for the scores of two groups of runs, [runs of a] and [runs of b].

If a run failed (NaN), the tests of means test the means of ranks instead, where a failed run ranks below
every finite score, and the test of equivalence is not done. Tests are two-sided unless stated otherwise. The
p-value of a test that cannot be done is NaN.
"""

import itertools
import math
from typing import Literal

import numpy as np
from scipy import stats

from jaxrl.errors import InputError
from jaxrl.statistics.intervals import Scores
from jaxrl.statistics.tables import any_failed, sample, scores_or_ranks

PERMUTATIONS = 9_999  # drawn by a test; the test is exact if there are at most as many
SMALL = 0.02  # a p-value below it is refined by further draws


def two_samples(a: Scores, b: Scores) -> tuple[np.ndarray, np.ndarray]:
    """Both samples as float64, [runs] each. Raises InputError as `sample` does, and for no runs."""
    a, b = sample(a), sample(b)
    if min(len(a), len(b)) == 0:
        raise InputError("a comparison needs at least one run of each setting")
    return a, b


def welch_p(a: Scores, b: Scores) -> float:
    """Welch's t-test of equal means (Welch 1947); NaN if a group has one run or neither group varies."""
    a, b = scores_or_ranks(*two_samples(a, b))
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
    """Permutation test of the difference of means, a - b; NaN if a group has one run.

    The test enumerates all assignments of the runs to the two groups if there are at most PERMUTATIONS.
    Otherwise it draws PERMUTATIONS assignments and, if the p-value is below SMALL, further ones up to
    `permutations` in all. The test keeps any level: it rejects at a level below SMALL only if the p-value of
    all draws allows it, and at another level only if the p-value of the first draws does.

    alternative: "less" if the mean of a is below that of b, "greater" if it is above. The two-sided p-value
    is twice the smaller one-sided one, and at most 1.
    """
    a, b = scores_or_ranks(*two_samples(a, b))
    if min(len(a), len(b)) < 2:
        return np.nan
    pooled, observed = np.append(a, b), float(a.sum())
    rounding = 1e-12 * np.abs(pooled).sum()
    if math.comb(len(pooled), len(a)) <= PERMUTATIONS:
        return _p_value(_all_sums(pooled, len(a)), observed, rounding, alternative)
    # The observed sum counts as one of the draws, so that no p-value is 0 (Phipson & Smyth 2010).
    sums = np.append(_drawn_sums(pooled, len(a), PERMUTATIONS, rng), observed)
    p = _p_value(sums, observed, rounding, alternative)
    if p < SMALL and permutations > PERMUTATIONS:
        sums = np.append(sums, _drawn_sums(pooled, len(a), permutations - PERMUTATIONS, rng))
        p = _p_value(sums, observed, rounding, alternative)
    return p


def _p_value(sums: np.ndarray, observed: float, rounding: float, alternative: str) -> float:
    """The p-value of the observed sum of group a, given its sums over random assignments [assignments].

    rounding: sums that differ by at most so much are equal.
    """
    less = float(np.mean(sums <= observed + rounding))
    greater = float(np.mean(sums >= observed - rounding))
    return {"less": less, "greater": greater, "two-sided": min(1.0, 2 * min(less, greater))}[alternative]


def _all_sums(pooled: np.ndarray, size: int) -> np.ndarray:
    """The sum of each combination of `size` runs: [combinations]."""
    return np.array([*itertools.combinations(pooled, size)]).sum(axis=1)


def _drawn_sums(pooled: np.ndarray, size: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """The sums of `count` random combinations of `size` runs: [count]."""
    sums, batch = [], 1_000
    for start in range(0, count, batch):
        shape = (min(batch, count - start), len(pooled))
        sums.append(rng.permuted(np.broadcast_to(pooled, shape), axis=1)[:, :size].sum(axis=1))
    return np.concatenate(sums)


def equivalence_p(a: Scores, b: Scores, rng: np.random.Generator, smallest_effect: float) -> float:
    """Test that the means differ by less than the smallest effect that matters.

    It is the larger p-value of two one-sided tests (Schuirmann 1987). Both are permutation tests, so even two
    equal constants are equivalent only with enough runs. NaN if a group has one run. NaN if a run failed too,
    because the scores of the other runs are no evidence of equality then.
    """
    a, b = two_samples(a, b)
    if any_failed(a, b):
        return np.nan
    too_high = permutation_p(a - smallest_effect, b, rng, "less")
    too_low = permutation_p(a + smallest_effect, b, rng, "greater")
    return max(too_high, too_low)


def mann_whitney_p(a: Scores, b: Scores) -> float:
    """Mann-Whitney test (1947). Failed runs tie below every finite score. 1 if all runs tie."""
    a, b = (np.where(np.isnan(scores), -np.inf, scores) for scores in two_samples(a, b))
    if np.unique(np.append(a, b)).size == 1:
        return 1.0  # scipy gives 1 or NaN, depending on its version
    return float(stats.mannwhitneyu(a, b).pvalue)


def holm(p_values: np.ndarray) -> np.ndarray:
    """P-values [tests] adjusted for the number of tests (Holm 1979).

    The probability of at least one false rejection is then at most the level. NaN stands for a test that
    could not be done; it stays NaN and is not counted as a test.
    """
    adjusted = np.full(len(p_values), np.nan)
    order = np.argsort(p_values)[: np.count_nonzero(~np.isnan(p_values))]  # NaN sorts last
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1.0)
    return adjusted
