"""Comparisons of the settings of a score table: all pairs, or each setting with the best or with a baseline.

If a run failed, the comparison of its setting is by ranks, as in `jaxrl.statistics.comparison`.
"""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from jaxrl.errors import InputError, unknown
from jaxrl.statistics.comparison import require_effect, statistics_of, verdict_of
from jaxrl.statistics.permutations import PERMUTATIONS
from jaxrl.statistics.selection import merits
from jaxrl.statistics.significance import holm
from jaxrl.statistics.tables import by_setting, counts, require_scores

LEAST_P = 0.8  # the least corrected p-value of a permutation test, in units of the level
PAIRS_AT_ONCE = 4_096  # so that their bootstrap estimates take less than 100 MB
Pair = tuple[str, str, str]  # labels of an environment and of two settings
SmallestEffect = float | Mapping[str, float | None] | None


def compare_all(
    table: pd.DataFrame,
    rng: np.random.Generator,
    smallest_effect: SmallestEffect,
    confidence: float = 0.95,
    tests: int | None = None,
) -> pd.DataFrame:
    """Compares all pairs of settings within each environment of a score table: one row per pair, a against b.

    smallest_effect: as in `compare`, one for all environments or one for each by its label. The verdict of a
    row uses p_holm instead of p_permutation, and permutation tests draw so often that p_holm can be small.
    tests: the number of pairs that Holm's correction counts, by default those of the table; more if the
    same runs chose these settings among others (`possible_pairs`). Raises InputError for a table that
    is not a score table, for no pair, or for an environment without a smallest effect.

    Columns:
        environment, a, b: labels of the environment and of the two settings
        smallest_effect: the one given for this environment
        runs_a, failed_a, runs_b, failed_b: number of runs, and of failed ones
        tests: number of pairs that Holm's correction counts
        p_holm: p_permutation after Holm's correction
        <field>: each field of `Comparison`, an interval as <field>, <field>_low and <field>_high
    """
    require_scores(table)
    pairs = [
        (str(environment), a, b)
        for environment, runs in table.groupby("environment", sort=False)
        for a, b in itertools.combinations(runs["setting"].unique(), 2)
    ]
    return _compared(table, pairs, tests, rng, smallest_effect, confidence)


def compare_with_baseline(
    table: pd.DataFrame,
    baseline: str,
    rng: np.random.Generator,
    smallest_effect: SmallestEffect,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Compares each setting (a) with a baseline (b), the label of a setting of each environment.

    Holm's correction counts these pairs, which is right if the baseline was chosen without regard to the
    runs. Rows are as in `compare_all`, from the best setting of each environment on. Raises InputError as
    `compare_all`, and for an environment without the baseline.
    """
    require_scores(table)
    for _, runs in table.groupby("environment", sort=False):
        if baseline not in (known := runs["setting"].unique()):
            raise unknown("baseline", baseline, known)
    pairs = [pair for ranked in _ranked(table) for pair in _against(ranked, baseline)]
    return _compared(table, pairs, None, rng, smallest_effect, confidence)


def compare_with_best(
    table: pd.DataFrame,
    rng: np.random.Generator,
    smallest_effect: SmallestEffect,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Compares each setting (a) with the best of its environment (b), that of the highest score in `select`.

    The same runs choose the best and are tested, and any two settings could have become a pair. Holm's
    correction therefore counts all pairs of settings, not only the ones with the best. Rows are as in
    `compare_all`, from the best setting of each environment on. Raises InputError as `compare_all`.
    """
    require_scores(table)
    pairs = [pair for ranked in _ranked(table) for pair in _against(ranked, ranked[0][1])]
    return _compared(table, pairs, possible_pairs(table), rng, smallest_effect, confidence)


def possible_pairs(table: pd.DataFrame) -> int:
    """The number of pairs of settings, with two runs of each, in the environments of a score table."""
    runs = table.groupby(["environment", "setting"]).size()
    settings = (runs >= 2).groupby("environment").sum()
    return sum(math.comb(number, 2) for number in settings)


def _ranked(table: pd.DataFrame) -> list[list[tuple[str, str]]]:
    """The settings of each environment from the best on, as pairs of labels of environment and setting."""
    return [
        [(str(environment), name) for name in merits(runs).sort_values(ascending=False, kind="stable").index]
        for environment, runs in table.groupby("environment", sort=False)
    ]


def _against(ranked: Sequence[tuple[str, str]], reference: str) -> list[Pair]:
    """The pairs of each other setting with the reference."""
    return [(environment, name, reference) for environment, name in ranked if name != reference]


def _compared(
    table: pd.DataFrame,
    pairs: Sequence[Pair],
    tests: int | None,
    rng: np.random.Generator,
    smallest_effect: SmallestEffect,
    confidence: float,
) -> pd.DataFrame:
    """The table of `compare_all` for some pairs."""
    if not pairs:
        raise InputError("a comparison needs at least two settings in one environment")
    effects = {name: _effect_in(name, smallest_effect) for name in table["environment"].unique()}
    numbers, scores = {}, {}
    for environment, setting, rows in by_setting(table):
        numbers[environment, setting] = counts(rows)
        scores[environment, setting] = rows["score"].to_numpy(np.float64)
    found = pd.DataFrame(
        {"environment": environment, "a": a, "b": b, "smallest_effect": effects[environment]}
        | {f"{name}_a": count for name, count in numbers[environment, a].items()}
        | {f"{name}_b": count for name, count in numbers[environment, b].items()}
        for environment, a, b in pairs
    )
    most_tests = len(pairs) if tests is None else tests
    permutations = max(PERMUTATIONS, math.ceil(2 * most_tests / (LEAST_P * (1 - confidence))))
    parts = []
    for _, rows in found.groupby(["runs_a", "runs_b"]):
        for start in range(0, len(rows), PAIRS_AT_ONCE):
            here = rows.iloc[start : start + PAIRS_AT_ONCE]
            a, b = (
                np.stack([scores[key] for key in zip(here["environment"], here[side], strict=True)])
                for side in "ab"
            )
            smallest = here["smallest_effect"].to_numpy(np.float64)
            statistics = statistics_of(a, b, smallest, rng, confidence, permutations)
            parts.append(pd.DataFrame(statistics, index=here.index))
    found = found.join(pd.concat(parts))
    p_values = found["p_permutation"].to_numpy()
    done = np.count_nonzero(~np.isnan(p_values))
    found = found.assign(tests=done if tests is None else tests, p_holm=holm(p_values, tests))
    verdicts = [verdict_of(row, row["p_holm"], confidence) for row in found.to_dict("records")]
    return found.assign(verdict=verdicts)


def _effect_in(environment: str, smallest_effect: SmallestEffect) -> float | None:
    """The smallest effect of an environment. Raises InputError if there is none for it."""
    if isinstance(smallest_effect, Mapping):
        if environment not in smallest_effect:
            raise unknown("environment", environment, smallest_effect)
        smallest_effect = smallest_effect[environment]
    require_effect(smallest_effect)
    return smallest_effect
