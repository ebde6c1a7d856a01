"""P-values for the scores of two groups of runs, [runs of a] and [runs of b].

If a run failed (NaN), the tests of means test the means of ranks instead, where a failed run ranks below
every finite score, and the test of equivalence is not done. Tests are two-sided unless stated otherwise. The
p-value of a test that cannot be done is NaN. `jaxrl.statistics.pairs` tests many pairs of groups at once.
"""

from typing import Literal

import numpy as np

from jaxrl.errors import InputError
from jaxrl.statistics import pairs
from jaxrl.statistics.intervals import Scores
from jaxrl.statistics.permutations import PERMUTATIONS, permutation_tails, two_sided
from jaxrl.statistics.tables import any_failed, sample, scores_or_ranks


def two_samples(a: Scores, b: Scores) -> tuple[np.ndarray, np.ndarray]:
    """Both samples as float64, [runs] each. Raises InputError as `sample` does, and for no runs."""
    a, b = sample(a), sample(b)
    if min(len(a), len(b)) == 0:
        raise InputError("a comparison needs at least one run of each setting")
    return a, b


def welch_p(a: Scores, b: Scores) -> float:
    """Welch's t-test of equal means (Welch 1947); NaN if a group has one run or neither group varies."""
    a, b = scores_or_ranks(*two_samples(a, b))
    return float(pairs.welch_p(a[None], b[None])[0])


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
    less, greater = permutation_tails(a[None], b[None], rng, permutations)
    p_values = {"less": less, "greater": greater, "two-sided": two_sided(less, greater)}
    return float(p_values[alternative][0])


def equivalence_p(a: Scores, b: Scores, rng: np.random.Generator, smallest_effect: float) -> float:
    """Test that the means differ by less than the smallest effect that matters.

    It is the larger p-value of two one-sided tests (Schuirmann 1987). Both are permutation tests, so even two
    equal constants are equivalent only with enough runs. NaN if a group has one run. NaN if a run failed too,
    because the scores of the other runs are no evidence of equality then.
    """
    a, b = two_samples(a, b)
    if any_failed(a, b):
        return np.nan
    return float(pairs.equivalence_p(a[None], b[None], np.array([smallest_effect]), rng)[0])


def mann_whitney_p(a: Scores, b: Scores) -> float:
    """Mann-Whitney test (1947). Failed runs tie below every finite score. 1 if all runs tie."""
    a, b = two_samples(a, b)
    return float(pairs.mann_whitney_p(a[None], b[None])[0])


def holm(p_values: np.ndarray, tests: int | None = None) -> np.ndarray:
    """P-values [p-values] adjusted for the number of tests (Holm 1979).

    The probability of at least one false rejection is then at most the level. NaN stands for a test that
    could not be done; it stays NaN and is not counted as a test.

    tests: the number of tests, by default that of the p-values. If it is greater, the p-values of the other
    tests are taken to be 1. The adjusted p-values then hold although these tests were chosen among all by
    the same data, because no p-value is above 1.
    """
    adjusted = np.full(len(p_values), np.nan)
    order = np.argsort(p_values)[: np.count_nonzero(~np.isnan(p_values))]  # NaN sorts last
    factors = (len(order) if tests is None else tests) - np.arange(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1.0)
    return adjusted
