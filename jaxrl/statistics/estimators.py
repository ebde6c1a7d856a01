"""One number from the scores of runs. Each is over the last axis, [..., runs] -> [...], so it vectorises.

NaN is a failed run. Averages and spreads are over the finite runs, NaN where there is none; the median and
the lower tail sort the runs, and a failed run sorts below all others, as -inf.
"""

import math

import numpy as np


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator, NaN where the denominator is not above 0."""
    return np.divide(numerator, denominator, out=np.full(np.shape(numerator), np.nan), where=denominator > 0)


def mean(scores: np.ndarray) -> np.ndarray:
    """Of the finite runs."""
    known = ~np.isnan(scores)
    return ratio(np.where(known, scores, 0.0).sum(axis=-1), known.sum(axis=-1))


def sd(scores: np.ndarray) -> np.ndarray:
    """Standard deviation of the finite runs, with n - 1 below; NaN for fewer than two."""
    known = ~np.isnan(scores)
    distance = np.where(known, scores - mean(scores)[..., None], 0.0)
    return np.sqrt(ratio((distance**2).sum(axis=-1), known.sum(axis=-1) - 1))


def iqm(scores: np.ndarray) -> np.ndarray:
    """Interquartile mean (Agarwal et al. 2021): of n finite runs, without the floor(n/4) at either end."""
    ordered = np.sort(scores, axis=-1)  # NaN last
    known = (~np.isnan(scores)).sum(axis=-1, keepdims=True)
    position = np.arange(scores.shape[-1])
    kept = (position >= known // 4) & (position < known - known // 4)
    return ratio(np.where(kept, ordered, 0.0).sum(axis=-1), kept.sum(axis=-1))


def optimality_gap(scores: np.ndarray, target: float = 1.0) -> np.ndarray:
    """Mean shortfall from a target, 0 for a run that reaches it (Agarwal et al. 2021)."""
    return mean(np.maximum(target - scores, 0.0))


def iqr(scores: np.ndarray) -> np.ndarray:
    """Interquartile range of the finite runs, with quartiles interpolated as numpy does."""
    ordered = np.sort(scores, axis=-1)  # NaN last
    last = (~np.isnan(scores)).sum(axis=-1, keepdims=True) - 1

    def quantile(q: float) -> np.ndarray:
        place = np.maximum(q * last, 0.0)
        below = np.floor(place).astype(int)
        low = np.take_along_axis(ordered, below, axis=-1)
        high = np.take_along_axis(ordered, np.minimum(below + 1, np.maximum(last, 0)), axis=-1)
        return (low + (place - below) * (high - low))[..., 0]

    return quantile(0.75) - quantile(0.25) if scores.shape[-1] else np.full(scores.shape[:-1], np.nan)


def median(scores: np.ndarray) -> np.ndarray:
    """Of all runs, a failed one below all others: -inf where half of them failed; NaN of none."""
    if scores.shape[-1] == 0:
        return np.full(scores.shape[:-1], np.nan)
    return np.asarray(np.median(np.where(np.isnan(scores), -np.inf, scores), axis=-1))


def lower_cvar(scores: np.ndarray, share: float = 0.1) -> np.ndarray:
    """Mean of the lowest `share` of the runs, in (0, 1] and at least one run; NaN of none.

    The conditional value at risk across runs (Chan et al. 2020). -inf if a run among them failed.
    """
    runs = scores.shape[-1]
    lowest = max(math.ceil(share * runs - 1e-9), 1)  # 0.07 * 100 is above 7 in binary
    ordered = np.sort(np.where(np.isnan(scores), -np.inf, scores), axis=-1)
    return ordered[..., :lowest].mean(axis=-1) if runs else np.full(scores.shape[:-1], np.nan)
