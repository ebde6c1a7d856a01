"""How many runs a comparison needs: by the t-test's formula, and by resampling a pilot."""

import math

import numpy as np
from scipy import stats

from jaxrl.errors import InputError
from jaxrl.statistics.intervals import Scores, require_share
from jaxrl.statistics.samples import comparable, sample

STUDIES = 2_000  # simulated ones


def t_test_power(effect: float, runs: int, level: float = 0.05) -> float:
    """Chance that a two-sided t-test of two groups of `runs` >= 2 each finds an effect (noncentral t).

    effect: Cohen's d, the difference of means in standard deviations.
    """
    freedom, shift = 2.0 * runs - 2, abs(effect) * np.sqrt(runs / 2)
    critical = stats.t.ppf(1 - level / 2, freedom)
    other_tail = np.nan_to_num(stats.nct.cdf(-critical, freedom, shift))  # NaN once it is vanishing
    return float(stats.nct.sf(critical, freedom, shift) + other_tail)


def runs_needed(effect: float, power: float = 0.8, level: float = 0.05) -> int:
    """Least runs per group with which a two-sided t-test finds an effect: 64, 17, 9, 6 for 0.5, 1, 1.5, 2.

    effect: Cohen's d, not 0. Raises InputError for values out of range.
    """
    if not 0 < abs(effect) < np.inf:
        raise InputError(f"effect must be finite and not 0, got {effect!r}")
    require_share("power", power)
    require_share("level", level)
    enough = 2
    while t_test_power(effect, enough, level) < power:
        enough *= 2
    few = max(enough // 2, 1)
    while enough - few > 1:
        middle = (few + enough) // 2
        if t_test_power(effect, middle, level) < power:
            few = middle
        else:
            enough = middle
    return enough


def pilot_power(a: Scores, b: Scores, runs: int, rng: np.random.Generator, level: float = 0.05) -> float:
    """Share of simulated studies, of `runs` >= 2 per group, in which Welch's test finds a difference.

    a, b: the pilot's scores, resampled with replacement, so their shape and their difference are taken as
    true; for a difference of one's own, pass `pilot` and `pilot + difference`. Where a run failed, it is the
    pilot's ranks that are resampled. A simulated study in which neither group varies finds a difference if a
    permutation test would. Raises InputError for fewer than two runs.
    """
    a, b = comparable(sample(a), sample(b))
    if min(len(a), len(b), runs) < 2:
        raise InputError("a pilot and the study it plans need at least two runs of each setting")
    drawn_a, drawn_b = (scores[rng.integers(len(scores), size=(STUDIES, runs))] for scores in (a, b))
    varied = (np.ptp(drawn_a, axis=1) > 0) | (np.ptp(drawn_b, axis=1) > 0)
    apart = drawn_a[~varied, 0] != drawn_b[~varied, 0]
    found = np.count_nonzero(apart) if 2 / math.comb(2 * runs, runs) <= level else 0
    drawn_a, drawn_b = drawn_a[varied], drawn_b[varied]
    moments = [f(drawn) for drawn in (drawn_a, drawn_b) for f in (_mean, _sd)]
    tests = stats.ttest_ind_from_stats(*moments[:2], runs, *moments[2:], runs, equal_var=False)
    return float((found + np.count_nonzero(tests.pvalue <= level)) / STUDIES)


def pilot_runs_needed(
    a: Scores,
    b: Scores,
    rng: np.random.Generator,
    power: float = 0.8,
    level: float = 0.05,
    most: int = 1_024,
) -> int | None:
    """Runs per group at which `pilot_power` reaches `power`; None if `most` do not suffice.

    Found by bisection of simulated powers, so it may be off by a few percent.
    """
    require_share("power", power)
    few, enough = 1, 2
    while pilot_power(a, b, enough, rng, level) < power:
        few, enough = enough, enough * 2
        if enough > most:
            return None
    while enough - few > 1:
        middle = (few + enough) // 2
        if pilot_power(a, b, middle, rng, level) < power:
            few = middle
        else:
            enough = middle
    return enough


def _mean(drawn: np.ndarray) -> np.ndarray:
    return drawn.mean(axis=1)


def _sd(drawn: np.ndarray) -> np.ndarray:
    return drawn.std(axis=1, ddof=1)
