"""Each docstring with a list of columns lists exactly the columns of the table that the function returns."""

import re

import numpy as np
import pytest

from jaxrl.statistics import (
    Comparison,
    Interval,
    aggregate,
    compare_all,
    describe,
    final_scores,
    fresh_scores,
    kaplan_meier,
    mean_curves,
    median_times,
    performance_profile,
    select,
    sensitivity,
    threshold_times,
)
from jaxrl.statistics.tables import SCORE_COLUMNS
from tests.columns import listed_columns
from tests.scores import curve_table, runs_table

RUNS = runs_table(["complete"] * 4 + ["failed"], learning_rate=[0.1, 0.1, 0.2, 0.2, 0.2], solved_return=1.0)
CURVES = curve_table([{0: 0.0, 10: float(run)} for run in range(5)])
SCORES = final_scores(RUNS, CURVES)
TIMES = threshold_times(RUNS, CURVES)


def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("function", "table"),
    [
        (describe, describe(SCORES, rng())),
        (aggregate, aggregate(SCORES, rng())),
        (performance_profile, performance_profile(SCORES, [0.5], rng())),
        (select, select(SCORES, rng())),
        (fresh_scores, fresh_scores(SCORES, SCORES.assign(seed=SCORES.seed + 9), rng())),
        (sensitivity, sensitivity(SCORES, ["learning_rate"])),
        (kaplan_meier, kaplan_meier([1, 2], [True, False])),
        (median_times, median_times(TIMES)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_docstring_lists_the_columns(function, table):
    assert listed_columns(function) == set(table.columns)


def test_mean_curves_have_two_columns_for_each_band():
    table = mean_curves(RUNS, CURVES, rng())
    assert {name.replace("<band>", "mean") for name in listed_columns(mean_curves)} == set(table.columns)


def test_comparisons_have_the_fields_of_a_comparison():
    table = compare_all(SCORES, rng(), smallest_effect=1)
    intervals = [name for name, kind in Comparison.__annotations__.items() if kind is Interval]
    bounds = {f"{name}_{bound}" for name in intervals for bound in ("low", "high")}
    own = {name for name in listed_columns(compare_all) if not re.match("<field>", name)}
    assert own | {*Comparison._fields} | bounds == set(table.columns)


def test_times_are_columns_of_the_labelled_runs():
    assert listed_columns(threshold_times) | {*RUNS.columns, "setting"} == set(TIMES.columns)


def test_scores_are_columns_of_the_runs():
    assert {*SCORES.columns} == {*RUNS.columns, *SCORE_COLUMNS}
