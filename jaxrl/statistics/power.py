"""The power of a comparison and the runs it needs, by the t-test's formula or by resampling a pilot."""

import math

import numpy as np
from scipy import stats

from jaxrl.errors import InputError
from jaxrl.statistics.intervals import Scores, require_share
from jaxrl.statistics.tables import sample, scores_or_ranks

STUDIES = 2_000  # simulated for one power


def t_test_power(effect: float, runs: int, level: float = 0.05) -> float:
    """Power of a two-sided t-test of two groups of `runs` >= 2 each, by the noncentral t distribution.

    effect: Cohen's d, the difference of means in standard deviations.
    """
    return float(_t_test_powers(np.array([effect]), np.array([runs]), level)[0])


def runs_needed(effect: float, power: float = 0.8, level: float = 0.05) -> int:
    """The least number of runs per group with which `t_test_power` reaches `power`.

    By default it is 64, 17, 9 and 6 for effects of 0.5, 1, 1.5 and 2. effect: Cohen's d, finite and not 0.
    Raises InputError for another effect, and unless power and level are in (0, 1).
    """
    if not 0 < abs(effect) < np.inf:
        raise InputError(f"effect must be finite and not 0, got {effect!r}")
    require_share("power", power)
    require_share("level", level)
    return int(needed_runs(np.array([effect]), power, level)[0])


def needed_runs(effects: np.ndarray, power: float, level: float) -> np.ndarray:
    """`runs_needed` for each of many effects, by bisection: [effects] -> [effects]."""
    enough = np.full(len(effects), 2, dtype=object)  # integers of Python, which may exceed 64 bits
    while (short := _t_test_powers(effects, enough, level) < power).any():
        enough[short] *= 2
    too_few = np.maximum(enough // 2, 1)
    while (apart := (enough - too_few > 1).astype(bool)).any():
        middle = (too_few + enough) // 2
        short = apart & (_t_test_powers(effects, middle, level) < power)
        too_few[short] = middle[short]
        enough[apart & ~short] = middle[apart & ~short]
    return enough


def _t_test_powers(effects: np.ndarray, runs: np.ndarray, level: float) -> np.ndarray:
    """`t_test_power` for many effects and numbers of runs: [effects] and [effects] -> [effects]."""
    runs = runs.astype(np.float64)
    freedom, noncentrality = 2 * runs - 2, np.abs(effects) * np.sqrt(runs / 2)
    critical = stats.t.ppf(1 - level / 2, freedom)
    other_tail = np.nan_to_num(stats.nct.cdf(-critical, freedom, noncentrality))  # scipy's NaN is about 0
    return np.asarray(stats.nct.sf(critical, freedom, noncentrality) + other_tail)


def pilot_power(a: Scores, b: Scores, runs: int, rng: np.random.Generator, level: float = 0.05) -> float:
    """Share of simulated studies of `runs` >= 2 per group in which Welch's test finds a difference.

    A simulated study resamples the scores a and b of the pilot with replacement, so it takes their
    distributions and their difference as the true ones. To assume another difference, pass a pilot and the
    same pilot shifted by it. If a run failed, the ranks of the runs are resampled instead of their scores.
    Where neither group of a simulated study varies, Welch's test cannot be done, and a permutation test
    decides. Raises InputError for fewer than two runs in a, in b, or per group.
    """
    a, b = scores_or_ranks(sample(a), sample(b))
    if min(len(a), len(b), runs) < 2:
        raise InputError("a pilot and the study it plans need at least two runs of each setting")
    drawn_a, drawn_b = (scores[rng.integers(len(scores), size=(STUDIES, runs))] for scores in (a, b))
    varied = (np.ptp(drawn_a, axis=1) > 0) | (np.ptp(drawn_b, axis=1) > 0)
    different = drawn_a[~varied, 0] != drawn_b[~varied, 0]
    least_p = 2 / math.comb(2 * runs, runs)  # the permutation test's for two different constants
    found = np.count_nonzero(different) if least_p <= level else 0
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
    """The runs per group with which `pilot_power` reaches `power`, by bisection.

    None if `most` runs, rounded down to a power of two, do not suffice. The result varies by a few percent
    with `rng`, because powers are simulated. Raises InputError unless 0 < power < 1, and for fewer than two
    runs in a or b.
    """
    require_share("power", power)
    too_few, enough = 1, 2
    while pilot_power(a, b, enough, rng, level) < power:
        too_few, enough = enough, enough * 2
        if enough > most:
            return None
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if pilot_power(a, b, middle, rng, level) < power:
            too_few = middle
        else:
            enough = middle
    return enough


def _mean(drawn: np.ndarray) -> np.ndarray:
    return drawn.mean(axis=1)


def _sd(drawn: np.ndarray) -> np.ndarray:
    return drawn.std(axis=1, ddof=1)
