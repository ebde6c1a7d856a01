"""The statistics of many pairs of groups of runs at once: [pairs, runs of a] and [pairs, runs of b].

All groups a have the same number of runs, and all groups b. NaN is a failed run unless stated otherwise.
Results are [pairs]. The definitions are those of the functions for one pair in `jaxrl.statistics`.
"""

import numpy as np
from scipy import stats

from jaxrl.statistics.intervals import bootstrap_counts, percentile_bounds
from jaxrl.statistics.permutations import permutation_tails
from jaxrl.statistics.power import needed_runs

Bounds = tuple[np.ndarray, np.ndarray, np.ndarray]  # estimates, lower and upper bounds, [pairs] each


def failed_pairs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The pairs in which a run failed."""
    return np.isnan(a).any(axis=1) | np.isnan(b).any(axis=1)


def scores_or_ranks(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`jaxrl.statistics.tables.scores_or_ranks` of each pair by itself."""
    pooled, by_ranks = np.concatenate([a, b], axis=1), failed_pairs(a, b)
    if by_ranks.any():
        ordered = np.where(np.isnan(pooled[by_ranks]), -np.inf, pooled[by_ranks])
        pooled[by_ranks] = (stats.rankdata(ordered, axis=1) - 0.5) / pooled.shape[1]
    return pooled[:, : a.shape[1]], pooled[:, a.shape[1] :]


def welch_p(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Welch's t-test of finite scores or ranks."""
    p_values = np.full(len(a), np.nan)
    if min(a.shape[1], b.shape[1]) < 2:
        return p_values
    varied = (np.ptp(a, axis=1) > 0) | (np.ptp(b, axis=1) > 0)
    moments = [moment for group in (a[varied], b[varied]) for moment in _moments(group)]
    p_values[varied] = stats.ttest_ind_from_stats(*moments, equal_var=False).pvalue
    return p_values


def equivalence_p(
    a: np.ndarray, b: np.ndarray, smallest_effects: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The test of equivalence; NaN where a run failed or where the smallest effect is NaN."""
    p_values = np.full(len(a), np.nan)
    done = ~(failed_pairs(a, b) | np.isnan(smallest_effects))
    if done.any():
        a, b, effects = a[done], b[done], smallest_effects[done, None]
        less, _ = permutation_tails(a - effects, b, rng)
        _, greater = permutation_tails(a + effects, b, rng)
        p_values[done] = np.maximum(less, greater)
    return p_values


def mann_whitney_p(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The Mann-Whitney test."""
    a, b = (np.where(np.isnan(scores), -np.inf, scores) for scores in (a, b))
    ordered = np.sort(np.concatenate([a, b], axis=1), axis=1)
    tied = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
    constant = ordered[:, 0] == ordered[:, -1]
    p_values = np.ones(len(a))  # where all runs tie; scipy gives 1 or NaN there, depending on its version
    for rows in (tied & ~constant, ~tied):  # apart, since scipy's choice of a method depends on ties
        if rows.any():
            p_values[rows] = stats.mannwhitneyu(a[rows], b[rows], axis=1).pvalue
    return p_values


def differences(a: np.ndarray, b: np.ndarray, rng: np.random.Generator, confidence: float) -> Bounds:
    """Differences of means of finite scores, a - b, with percentile bootstrap intervals.

    All pairs share the resamples, so that their intervals depend on each other, but each is right by itself.
    The intervals are NaN if a group has one run.
    """
    estimates = a.mean(axis=1) - b.mean(axis=1)
    if min(a.shape[1], b.shape[1]) < 2:
        return estimates, np.full(len(a), np.nan), np.full(len(a), np.nan)
    means_a, means_b = (
        bootstrap_counts(group.shape[1], rng) @ group.T / group.shape[1] for group in (a, b)
    )  # [RESAMPLES, pairs]
    return estimates, *percentile_bounds(means_a - means_b, confidence)


def improvements(a: np.ndarray, b: np.ndarray, rng: np.random.Generator, confidence: float) -> Bounds:
    """Probabilities of improvement with percentile bootstrap intervals. All pairs share the resamples."""
    a, b = (np.where(np.isnan(scores), -np.inf, scores) for scores in (a, b))
    runs_a, runs_b = a.shape[1], b.shape[1]
    counts_a, counts_b = (bootstrap_counts(runs, rng).astype(np.float32) for runs in (runs_a, runs_b))
    estimates, low, high = np.full((3, len(a)), np.nan)
    for pair, (first, second) in enumerate(zip(a, b, strict=True)):
        wins = np.where(first[:, None] == second, 0.5, first[:, None] > second)  # [runs of a, runs of b]
        estimates[pair] = wins.mean()
        if min(runs_a, runs_b) >= 2:
            # Whole and half numbers up to the number of runs are exact in float32.
            shares = np.einsum("rb,rb->r", counts_a @ wins.astype(np.float32), counts_b, dtype=np.float64)
            low[pair], high[pair] = percentile_bounds(shares / wins.size, confidence)
    return estimates, low, high


def runs_needed(a: np.ndarray, b: np.ndarray, smallest_effects: np.ndarray) -> np.ndarray:
    """`jaxrl.statistics.runs_needed` for the effect in units of the pooled standard deviation of a and b.

    NaN if a or b has one run, if neither varies, if a run failed, or if there is no smallest effect.
    """
    needed = np.full(len(a), np.nan)
    if min(a.shape[1], b.shape[1]) < 2:
        return needed
    known = ~np.isnan(smallest_effects) & (np.ptp(a, axis=1) + np.ptp(b, axis=1) > 0)  # no NaN is above 0
    pooled = np.sqrt((a[known].var(axis=1, ddof=1) + b[known].var(axis=1, ddof=1)) / 2)
    needed[known] = needed_runs(smallest_effects[known] / pooled, power=0.8, level=0.05)
    return needed


def _moments(group: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    return group.mean(axis=1), group.std(axis=1, ddof=1), group.shape[1]
