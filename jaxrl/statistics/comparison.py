"""Two settings compared, and all pairs of them. Greater scores are better.

Where a run failed (NaN), no number is made up for it: the difference of means is that of the finite runs, and
the verdict is by ranks, in which a failed run is below every finite score.
"""

import itertools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from jaxrl.errors import InputError, unknown
from jaxrl.statistics.estimators import mean
from jaxrl.statistics.intervals import Interval, Scores, draw_counts, draws, percentile_bounds
from jaxrl.statistics.power import runs_needed
from jaxrl.statistics.samples import any_failed, counts, require_scores
from jaxrl.statistics.significance import (
    PERMUTATIONS,
    equivalence_p,
    holm,
    mann_whitney_p,
    permutation_p,
    two_samples,
    welch_p,
)

# The least p-value of n draws is 2 / (n + 1), which Holm multiplies by the number of pairs: this leaves 0.01.
PERMUTATIONS_PER_PAIR = 200


class Comparison(NamedTuple):
    """Of a against b; its p-values are those of jaxrl.statistics.significance."""

    difference: Interval  # of the means of the finite runs, a - b
    improvement: Interval  # probability that a run of a beats one of b
    p_welch: float
    p_permutation: float
    p_mann_whitney: float
    p_equivalence: float
    by_ranks: bool  # a run failed, so the verdict is by ranks
    verdict: str
    runs_needed: float  # per group, for 80 % power to find the smallest effect; NaN if by_ranks or constant

    @property
    def advantage(self) -> Interval:
        """What the verdict is about: the difference or, by ranks, the improvement less a half."""
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
    """Compares the scores of two settings' runs, [runs of a] and [runs of b].

    smallest_effect: the least difference of means that matters, above 0; if None, nothing is equivalent, and
    p_equivalence and runs_needed are NaN. permutations: as in permutation_p. Raises InputError for no runs,
    or for scores that are not one number a run.
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
    """Every pair of settings within each environment of a score table: one row a pair, a against b.

    smallest_effect: one for all, or one of each environment, whose returns differ in scale; or None. p_holm
    is p_permutation, of so many draws that it can be small enough, after Holm's correction over all rows, and
    the verdict takes it instead. Raises InputError for a table that is not one row a run or has no pair, or
    for an environment that smallest_effect lacks.
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
        raise InputError("a comparison needs two settings in one environment")
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
    """Of a against b: "equivalent", "better", "worse" or "undecided".

    advantage: the difference of means or, where a run failed, the probability of improvement less a half.
    Each verdict but the last needs both the interval and a test at the level 1 - confidence, since a
    bootstrap of few runs is too sure: equivalent if the whole interval is nearer to 0 than the smallest
    effect that matters (never if that is None), else better or worse if it lies on one side of 0.
    """
    level = 1 - confidence + 1e-12  # 1 - 0.9 is below 0.1 in binary
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
    """Difference of the finite runs' means, a - b, with its percentile-bootstrap interval.

    NaN where one has no finite run; no interval (NaN) where one has a single one.
    """
    finite_a, finite_b = (scores[~np.isnan(scores)] for scores in two_samples(a, b))
    estimate = float(mean(finite_a) - mean(finite_b))
    if min(len(finite_a), len(finite_b)) < 2:
        return Interval(estimate, np.nan, np.nan)
    differences = draws(finite_a, rng).mean(axis=1) - draws(finite_b, rng).mean(axis=1)
    low, high = percentile_bounds(differences, confidence)
    return Interval(estimate, float(low), float(high))


def improvement_interval(
    a: Scores, b: Scores, rng: np.random.Generator, confidence: float = 0.95
) -> Interval:
    """Probability that a run of a scores above one of b, ties half, with its bootstrap interval.

    Mann and Whitney's U / (nm) (Agarwal et al. 2021). Failed runs tie. No interval for a single run.
    """
    a, b = (np.where(np.isnan(scores), -np.inf, scores) for scores in two_samples(a, b))
    wins = np.where(a[:, None] == b, 0.5, a[:, None] > b)  # [runs of a, runs of b]
    if min(wins.shape) < 2:
        return Interval(float(wins.mean()), np.nan, np.nan)
    drawn_a, drawn_b = draw_counts(len(a), rng), draw_counts(len(b), rng)
    shares = ((drawn_a @ wins) * drawn_b).sum(axis=1) / wins.size
    low, high = percentile_bounds(shares, confidence)
    return Interval(float(wins.mean()), float(low), float(high))


def _effect_in(environment: str, smallest_effect: float | Mapping[str, float | None] | None) -> float | None:
    if not isinstance(smallest_effect, Mapping):
        return smallest_effect
    if environment not in smallest_effect:
        raise unknown("environment", environment, smallest_effect)
    return smallest_effect[environment]


def _decided(result: Comparison, p: float, smallest_effect: float | None, confidence: float) -> Comparison:
    """A comparison with its verdict, by the p-value p of a difference."""
    found = verdict(result.advantage, p, result.p_equivalence, smallest_effect, confidence)
    return result._replace(verdict=found)


def _row(
    result: Comparison, p_holm: float, smallest_effect: float | None, confidence: float
) -> dict[str, Any]:
    """A comparison as columns, with the verdict after Holm's correction."""
    result = _decided(result, p_holm, smallest_effect, confidence)
    values = result._asdict() | {"p_holm": p_holm}
    return (
        result.difference.columns("difference")
        | result.improvement.columns("improvement")
        | {name: value for name, value in values.items() if not isinstance(value, Interval)}
    )


def _runs_needed(a: np.ndarray, b: np.ndarray, smallest_effect: float) -> float:
    """By the t-test's formula with the groups' spread; NaN where there is none, or where a run failed."""
    if min(len(a), len(b)) < 2 or any_failed(a, b) or not np.ptp(a) + np.ptp(b) > 0:
        return np.nan
    return float(runs_needed(smallest_effect / np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)))
