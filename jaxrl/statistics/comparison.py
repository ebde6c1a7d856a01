"""Comparisons of two settings, and of all pairs of settings. Greater scores are better.

If a run failed (NaN), the difference of means is still that of the finite runs, but the verdict is by ranks,
where a failed run ranks below every finite score.
"""

import itertools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from jaxrl.errors import InputError, unknown
from jaxrl.statistics.estimators import mean
from jaxrl.statistics.intervals import (
    Interval,
    Scores,
    bootstrap_counts,
    bootstrap_samples,
    percentile_bounds,
)
from jaxrl.statistics.power import runs_needed
from jaxrl.statistics.significance import (
    PERMUTATIONS,
    equivalence_p,
    holm,
    mann_whitney_p,
    permutation_p,
    two_samples,
    welch_p,
)
from jaxrl.statistics.tables import any_failed, counts, require_scores

# The least p-value of n draws is 2 / (n + 1), and Holm's correction multiplies it by up to the number of
# pairs. With 200 draws per pair, the least corrected p-value is about 0.01.
PERMUTATIONS_PER_PAIR = 200


class Comparison(NamedTuple):
    """The comparison of a setting a with a setting b."""

    difference: Interval  # of the means of the finite runs, a - b
    improvement: Interval  # probability that a run of a scores above a run of b, a tie counts one half
    p_welch: float  # p-values of the tests in jaxrl.statistics.significance
    p_permutation: float
    p_mann_whitney: float
    p_equivalence: float
    by_ranks: bool  # whether a run failed, so that the verdict is by ranks
    verdict: str  # of a: "better", "worse", "equivalent" or "undecided"
    runs_needed: float  # per setting, to find the smallest effect with 80 % power; NaN if it is unknown

    @property
    def advantage(self) -> Interval:
        """The interval that the verdict needs: the difference or, by ranks, the improvement minus 1/2."""
        if not self.by_ranks:
            return self.difference
        return Interval(*(bound - 0.5 for bound in self.improvement))


def compare(
    a: Scores,
    b: Scores,
    rng: np.random.Generator,
    smallest_effect: float | None,
    confidence: float = 0.95,
    permutations: int = PERMUTATIONS,
) -> Comparison:
    """Compares the scores of the runs of two settings, [runs of a] and [runs of b].

    smallest_effect: the smallest difference of means that matters, above 0 and finite. If it is None,
    p_equivalence and runs_needed are NaN, and the verdict is never "equivalent". permutations: as in
    `permutation_p`. Raises InputError for another smallest_effect, for no runs, or for scores that are not
    one number per run.
    """
    if smallest_effect is not None and not 0 < smallest_effect < np.inf:
        raise InputError(f"smallest_effect must be above 0 and finite, got {smallest_effect!r}")
    a, b = two_samples(a, b)
    result = Comparison(
        difference=difference_interval(a, b, rng, confidence),
        p_permutation=permutation_p(a, b, rng, permutations=permutations),
        p_equivalence=np.nan if smallest_effect is None else equivalence_p(a, b, rng, smallest_effect),
        improvement=improvement_interval(a, b, rng, confidence),
        p_welch=welch_p(a, b),
        p_mann_whitney=mann_whitney_p(a, b),
        by_ranks=any_failed(a, b),
        verdict="undecided",
        runs_needed=np.nan if smallest_effect is None else _runs_needed(a, b, smallest_effect),
    )
    return _decided(result, result.p_permutation, smallest_effect, confidence)


def compare_all(
    table: pd.DataFrame,
    rng: np.random.Generator,
    smallest_effect: float | Mapping[str, float | None] | None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Compares all pairs of settings within each environment of a score table: one row per pair, a against b.

    smallest_effect: as in `compare`, one for all environments or one for each by its label. The verdict of a
    row uses p_holm instead of p_permutation, and permutation tests draw so often that p_holm can be small.
    Raises InputError for a table that is not a score table, for no pair, or for an environment without a
    smallest effect.

    Columns:
        environment, a, b: labels of the environment and of the two settings
        smallest_effect: the one given for this environment
        runs_a, failed_a, runs_b, failed_b: number of runs, and of failed ones
        p_holm: p_permutation after Holm's correction over all rows
        <field>: each field of `Comparison`, an interval as <field>, <field>_low and <field>_high
    """
    require_scores(table)
    pairs: list[dict[str, Any]] = []
    results = []
    settings = table.groupby("environment")["setting"].nunique()
    tests = sum(math.comb(number, 2) for number in settings)
    permutations = max(PERMUTATIONS, PERMUTATIONS_PER_PAIR * tests)
    for environment, runs in table.groupby("environment", sort=False):
        effect = _effect_in(str(environment), smallest_effect)
        groups = runs.groupby("setting", sort=False)
        for (name_a, a), (name_b, b) in itertools.combinations(groups, 2):
            pairs.append(
                {"environment": environment, "a": name_a, "b": name_b, "smallest_effect": effect}
                | {f"{name}_a": count for name, count in counts(a).items()}
                | {f"{name}_b": count for name, count in counts(b).items()}
            )
            results.append(compare(a["score"], b["score"], rng, effect, confidence, permutations))
    if not pairs:
        raise InputError("a comparison needs at least two settings in one environment")
    p_holm = holm(np.array([result.p_permutation for result in results]))
    return pd.DataFrame(
        pair | _row(result, p, pair["smallest_effect"], confidence)
        for pair, result, p in zip(pairs, results, p_holm, strict=True)
    )


def verdict(
    advantage: Interval,
    p_difference: float,
    p_equivalence: float,
    smallest_effect: float | None,
    confidence: float = 0.95,
) -> str:
    """The verdict of a against b: "better", "worse", "equivalent" or "undecided".

    advantage: the interval of the difference of means or, if a run failed, of the probability of improvement
    minus 1/2. The first three verdicts need both this interval and a test at the level 1 - confidence,
    because a bootstrap interval of few runs is too narrow. a and b are equivalent if the interval lies
    between -smallest_effect and smallest_effect and p_equivalence is at most the level; never if
    smallest_effect is None. Otherwise a is better or worse if the interval lies on one side of 0 and
    p_difference is at most the level.
    """
    level = 1 - confidence + 1e-12  # in binary, 1 - 0.9 is below 0.1
    _, low, high = advantage
    within = smallest_effect is not None and -smallest_effect < low and high < smallest_effect
    if within and p_equivalence <= level:
        return "equivalent"
    if p_difference <= level and low > 0:
        return "better"
    if p_difference <= level and high < 0:
        return "worse"
    return "undecided"


def difference_interval(a: Scores, b: Scores, rng: np.random.Generator, confidence: float = 0.95) -> Interval:
    """Difference of the means of the finite runs, a - b, with its percentile bootstrap interval.

    The difference is NaN if a or b has no finite run, and the interval is NaN if a or b has only one.
    """
    finite_a, finite_b = (scores[~np.isnan(scores)] for scores in two_samples(a, b))
    estimate = float(mean(finite_a) - mean(finite_b))
    if min(len(finite_a), len(finite_b)) < 2:
        return Interval(estimate, np.nan, np.nan)
    differences = bootstrap_samples(finite_a, rng).mean(axis=1) - bootstrap_samples(finite_b, rng).mean(
        axis=1
    )
    low, high = percentile_bounds(differences, confidence)
    return Interval(estimate, float(low), float(high))


def improvement_interval(
    a: Scores, b: Scores, rng: np.random.Generator, confidence: float = 0.95
) -> Interval:
    """Probability of improvement with its percentile bootstrap interval (Agarwal et al. 2021).

    It is the probability that a run of a scores above a run of b, where a tie counts one half. The estimate
    is the Mann-Whitney statistic U / (nm). Failed runs tie below every finite score. The interval is NaN if a
    or b has one run.
    """
    a, b = (np.where(np.isnan(scores), -np.inf, scores) for scores in two_samples(a, b))
    wins = np.where(a[:, None] == b, 0.5, a[:, None] > b)  # [runs of a, runs of b]
    if min(wins.shape) < 2:
        return Interval(float(wins.mean()), np.nan, np.nan)
    counts_a, counts_b = bootstrap_counts(len(a), rng), bootstrap_counts(len(b), rng)
    shares = ((counts_a @ wins) * counts_b).sum(axis=1) / wins.size
    low, high = percentile_bounds(shares, confidence)
    return Interval(float(wins.mean()), float(low), float(high))


def _effect_in(environment: str, smallest_effect: float | Mapping[str, float | None] | None) -> float | None:
    """The smallest effect of an environment. Raises InputError if there is none for it."""
    if not isinstance(smallest_effect, Mapping):
        return smallest_effect
    if environment not in smallest_effect:
        raise unknown("environment", environment, smallest_effect)
    return smallest_effect[environment]


def _decided(result: Comparison, p: float, smallest_effect: float | None, confidence: float) -> Comparison:
    """The comparison with its verdict. p: the p-value of the difference that the verdict uses."""
    found = verdict(result.advantage, p, result.p_equivalence, smallest_effect, confidence)
    return result._replace(verdict=found)


def _row(
    result: Comparison, p_holm: float, smallest_effect: float | None, confidence: float
) -> dict[str, Any]:
    """The columns of a comparison, with the verdict after Holm's correction."""
    result = _decided(result, p_holm, smallest_effect, confidence)
    values = result._asdict() | {"p_holm": p_holm}
    return (
        result.difference.columns("difference")
        | result.improvement.columns("improvement")
        | {name: value for name, value in values.items() if not isinstance(value, Interval)}
    )


def _runs_needed(a: np.ndarray, b: np.ndarray, smallest_effect: float) -> float:
    """`runs_needed` for the effect in units of the pooled standard deviation of a and b.

    NaN if a or b has one run, if neither varies, or if a run failed.
    """
    if min(len(a), len(b)) < 2 or any_failed(a, b) or not np.ptp(a) + np.ptp(b) > 0:
        return np.nan
    pooled = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
    return float(runs_needed(smallest_effect / pooled))
