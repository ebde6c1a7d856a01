"""Estimates from the scores of runs, [..., runs] -> [...], for many samples of runs at once.

NaN is a failed run. Means and spreads are over the finite runs, and NaN if there are none. The median and the
lower CVaR sort the runs, with a failed run as -inf.
"""

import math

import numpy as np


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator, of equal shapes; NaN where the denominator is not above 0."""
    return np.divide(numerator, denominator, out=np.full(np.shape(numerator), np.nan), where=denominator > 0)


def mean(scores: np.ndarray) -> np.ndarray:
    """Mean of the finite runs."""
    finite = ~np.isnan(scores)
    return ratio(np.where(finite, scores, 0.0).sum(axis=-1), finite.sum(axis=-1))


def sd(scores: np.ndarray) -> np.ndarray:
    """Standard deviation of the n finite runs, with the denominator n - 1; NaN for fewer than two."""
    finite = ~np.isnan(scores)
    deviation = np.where(finite, scores - mean(scores)[..., None], 0.0)
    return np.sqrt(ratio((deviation**2).sum(axis=-1), finite.sum(axis=-1) - 1))


def iqm(scores: np.ndarray) -> np.ndarray:
    """Interquartile mean (Agarwal et al. 2021): mean of n finite runs without floor(n/4) at either end."""
    ordered = np.sort(scores, axis=-1)  # NaN last
    finite = (~np.isnan(scores)).sum(axis=-1, keepdims=True)
    position = np.arange(scores.shape[-1])
    kept = (position >= finite // 4) & (position < finite - finite // 4)
    return ratio(np.where(kept, ordered, 0.0).sum(axis=-1), kept.sum(axis=-1))


def optimality_gap(scores: np.ndarray, target: float = 1.0) -> np.ndarray:
    """Mean shortfall of the finite runs from a target, 0 for a run that reaches it (Agarwal et al. 2021)."""
    return mean(np.maximum(target - scores, 0.0))


def iqr(scores: np.ndarray) -> np.ndarray:
    """Interquartile range of the finite runs. Quartiles are interpolated linearly, numpy's default."""
    ordered = np.sort(scores, axis=-1)  # NaN last
    last = (~np.isnan(scores)).sum(axis=-1, keepdims=True) - 1

    def quantile(q: float) -> np.ndarray:
        position = np.maximum(q * last, 0.0)
        below = np.floor(position).astype(int)
        low = np.take_along_axis(ordered, below, axis=-1)
        high = np.take_along_axis(ordered, np.minimum(below + 1, np.maximum(last, 0)), axis=-1)
        return (low + (position - below) * (high - low))[..., 0]

    return quantile(0.75) - quantile(0.25) if scores.shape[-1] else np.full(scores.shape[:-1], np.nan)


def median(scores: np.ndarray) -> np.ndarray:
    """Median of all runs, failed ones as -inf; -inf if at least half of the runs failed, NaN for no runs."""
    if scores.shape[-1] == 0:
        return np.full(scores.shape[:-1], np.nan)
    return np.asarray(np.median(np.where(np.isnan(scores), -np.inf, scores), axis=-1))


def lower_cvar(scores: np.ndarray, share: float = 0.1) -> np.ndarray:
    """Mean of the lowest `share` of all runs: the conditional value at risk across runs (Chan et al. 2020).

    share: in (0, 1], rounded up to whole runs. -inf if one of these runs failed, NaN for no runs.
    """
    runs = scores.shape[-1]
    lowest = max(math.ceil(share * runs - 1e-9), 1)  # in binary, 0.07 * 100 is above 7
    ordered = np.sort(np.where(np.isnan(scores), -np.inf, scores), axis=-1)
    return ordered[..., :lowest].mean(axis=-1) if runs else np.full(scores.shape[:-1], np.nan)
