"""Permutation tests of the difference of means, for many pairs of groups of runs at once."""

import itertools
import math

import numpy as np

PERMUTATIONS = 9_999  # drawn by a test; the test is exact if there are at most as many
SMALL = 0.02  # a p-value below it is refined by further draws
AT_ONCE = 2**21  # numbers in one array of a batch of draws


def permutation_tails(
    a: np.ndarray, b: np.ndarray, rng: np.random.Generator, permutations: int = PERMUTATIONS
) -> tuple[np.ndarray, np.ndarray]:
    """One-sided p-values of each pair, [pairs] each: that the mean of a is less, and that it is greater.

    a, b: finite scores, [pairs, runs of a] and [pairs, runs of b]. permutations: as in
    `jaxrl.statistics.permutation_p`. All pairs share the draws, so that their p-values depend on each other,
    but each is right by itself. NaN if a group has one run.
    """
    size = a.shape[1]
    if min(size, b.shape[1]) < 2:
        return np.full(len(a), np.nan), np.full(len(a), np.nan)
    pooled = np.concatenate([a, b], axis=1)
    if math.comb(pooled.shape[1], size) <= PERMUTATIONS:
        places = np.array([*itertools.combinations(range(pooled.shape[1]), size)])
        every = np.zeros((len(places), pooled.shape[1]))
        np.put_along_axis(every, places, 1.0, axis=1)
        less, greater = _counted(every, pooled, size) / len(every)
        return less, greater
    counts = drawn_counts(pooled, size, PERMUTATIONS, rng)
    draws = np.full(len(a), PERMUTATIONS)
    small = two_sided(*_estimated(counts, draws)) < SMALL
    more = permutations - PERMUTATIONS
    if small.any() and more > 0:
        counts[:, small] += drawn_counts(pooled[small], size, more, rng)
        draws[small] += more
    less, greater = _estimated(counts, draws)
    return less, greater


def two_sided(less: np.ndarray, greater: np.ndarray) -> np.ndarray:
    """Two-sided p-values from one-sided ones."""
    return np.minimum(1.0, 2 * np.minimum(less, greater))


def drawn_counts(pooled: np.ndarray, size: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """How many of some random assignments are at most, and at least, the observed one: [2, pairs].

    pooled: the scores of both groups, [pairs, runs]; the first `size` runs are group a. An assignment is
    measured by the sum of group a. All pairs share the assignments.
    """
    pairs, runs = pooled.shape
    counts = np.zeros((2, pairs), np.int64)
    batch = max(AT_ONCE // max(pairs, runs), 1)
    for start in range(0, draws, batch):
        keys = rng.random((min(batch, draws - start), runs))  # of 53 bits, so that ties do not occur
        chosen = keys <= np.partition(keys, size - 1, axis=1)[:, size - 1 : size]
        counts += _counted(chosen.astype(np.float64), pooled, size)
    return counts


def _counted(chosen: np.ndarray, pooled: np.ndarray, size: int) -> np.ndarray:
    """How many assignments have a sum of at most, and of at least, the observed one: [2, pairs].

    chosen: 1 for the runs of group a and 0 for the others, [assignments, runs]. Sums that differ by rounding
    errors are equal.
    """
    sums = pooled @ chosen.T  # [pairs, assignments]
    observed = pooled[:, :size].sum(axis=1, keepdims=True)
    rounding = 1e-12 * np.abs(pooled).sum(axis=1, keepdims=True)
    at_most = np.count_nonzero(sums <= observed + rounding, axis=1)
    return np.stack([at_most, np.count_nonzero(sums >= observed - rounding, axis=1)])


def _estimated(counts: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """P-values from counts [2, pairs] of draws [pairs].

    The observed assignment counts as one of the draws, so that no p-value is 0 (Phipson & Smyth 2010).
    """
    return (counts + 1) / (draws + 1)
