"""Comparison of two settings, and what it shares with that of many pairs. Greater scores are better.

If a run failed (NaN), the difference of means is still that of the finite runs, but the verdict is by ranks,
where a failed run ranks below every finite score.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from jaxrl.errors import InputError
from jaxrl.statistics import pairs as of_pairs
from jaxrl.statistics.estimators import mean
from jaxrl.statistics.intervals import Interval, Scores, bootstrap_samples, percentile_bounds
from jaxrl.statistics.permutations import PERMUTATIONS, permutation_tails, two_sided
from jaxrl.statistics.significance import two_samples


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
    require_effect(smallest_effect)
    a, b = two_samples(a, b)
    effects = np.array([np.nan if smallest_effect is None else smallest_effect])
    table = pd.DataFrame(statistics_of(a[None], b[None], effects, rng, confidence, permutations))
    (row,) = table.assign(smallest_effect=smallest_effect).to_dict("records")
    values = row | {name: Interval.of(row, name) for name in ("difference", "improvement")}
    values["verdict"] = verdict_of(row, row["p_permutation"], confidence)
    return Comparison(**{name: values[name] for name in Comparison._fields})


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
    a, b = two_samples(a, b)
    estimate, low, high = of_pairs.improvements(a[None], b[None], rng, confidence)
    return Interval(float(estimate[0]), float(low[0]), float(high[0]))


def statistics_of(
    a: np.ndarray,
    b: np.ndarray,
    smallest_effects: np.ndarray,
    rng: np.random.Generator,
    confidence: float,
    permutations: int,
) -> dict[str, np.ndarray]:
    """The fields of `Comparison`, but for the verdict, as columns: [pairs] each.

    a, b: scores, [pairs, runs of a] and [pairs, runs of b]. smallest_effects: [pairs], NaN for none.
    """
    failed = of_pairs.failed_pairs(a, b)
    difference = np.full((3, len(a)), np.nan)
    if not failed.all():
        difference[:, ~failed] = of_pairs.differences(a[~failed], b[~failed], rng, confidence)
    for pair in np.flatnonzero(failed):
        difference[:, pair] = difference_interval(a[pair], b[pair], rng, confidence)
    ranked_a, ranked_b = of_pairs.scores_or_ranks(a, b)
    improvement = of_pairs.improvements(a, b, rng, confidence)
    return {
        **dict(zip(("difference", "difference_low", "difference_high"), difference, strict=True)),
        **dict(zip(("improvement", "improvement_low", "improvement_high"), improvement, strict=True)),
        "p_welch": of_pairs.welch_p(ranked_a, ranked_b),
        "p_permutation": two_sided(*permutation_tails(ranked_a, ranked_b, rng, permutations)),
        "p_mann_whitney": of_pairs.mann_whitney_p(a, b),
        "p_equivalence": of_pairs.equivalence_p(a, b, smallest_effects, rng),
        "by_ranks": failed,
        "runs_needed": of_pairs.runs_needed(a, b, smallest_effects),
    }


def require_effect(smallest_effect: float | None) -> None:
    """Raises InputError for a smallest effect that is not above 0 and finite."""
    if smallest_effect is not None and not 0 < smallest_effect < np.inf:
        raise InputError(f"smallest_effect must be above 0 and finite, got {smallest_effect!r}")


def verdict_of(row: Mapping[Any, Any], p: float, confidence: float) -> str:
    """The verdict of a row with the columns of a comparison. p: the p-value of the difference."""
    advantage = Interval.of(row, "difference")
    if row["by_ranks"]:
        advantage = Interval(*(bound - 0.5 for bound in Interval.of(row, "improvement")))
    return verdict(advantage, p, row["p_equivalence"], row["smallest_effect"], confidence)
