from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jaxrl.errors import InputError
from jaxrl.statistics import (
    aggregate,
    area_scores,
    compare_all,
    describe,
    final_scores,
    label_settings,
    mean_interval,
    normalise,
    performance_profile,
    select,
    sensitivity,
    training_scores,
    varied_parameters,
)
from jaxrl.store.results import Results
from tests.scores import curve_table, runs_table, score_table

NAN = np.nan
CURVES = [
    {0: 0.0, 100: 10.0, 400: 40.0},  # unequal steps
    {0: 5.0, 100: 5.0},  # a shorter curve
    {0: 1.0, 100: NAN, 400: 3.0},
    {0: 1.0, 100: 2.0, 400: 9.0},  # the run that failed
    {400: 7.0},  # a single value
    {0: NAN},  # no value
]
RUNS = runs_table(["complete"] * 3 + ["failed"] + ["complete"] * 2)


def test_final_scores_are_last_values():
    table = final_scores(RUNS, curve_table(CURVES))
    np.testing.assert_equal(table.score.to_numpy(), [40, 5, 3, NAN, 7, NAN])
    assert list(table.run) == list(RUNS.run)
    assert list(table.setting.unique()) == ["ppo"]


def test_final_scores_agree_with_results():
    curves = curve_table(CURVES)
    final = Results(Path("unused"), {}, RUNS, curves.sort_values(["run", "step"])).final()
    np.testing.assert_array_equal(final_scores(RUNS, curves).set_index("run").score, final)


def test_area_scores_weigh_values_by_steps():
    table = area_scores(RUNS, curve_table(CURVES))
    by_hand = (100 * 5 + 300 * 25) / 400
    np.testing.assert_allclose(table.score.to_numpy(), [by_hand, 5, 2, NAN, 7, NAN])
    steps, values = [0, 100, 400], [0, 10, 40]
    assert table.score[0] == pytest.approx(np.trapezoid(values, steps) / 400)


def test_training_scores_weigh_a_value_by_the_steps_since_the_one_before():
    curves = [
        {100: 2.0, 200: 4.0, 400: 10.0},
        {100: NAN, 200: 4.0, 400: 10.0},
        {100: 1.0, 200: 3.0, 400: NAN},
    ]
    table = training_scores(runs_table(["complete"] * 3), curve_table(curves, "return"))
    np.testing.assert_allclose(table.score, [(2 + 4 + 2 * 10) / 4, (2 * 4 + 2 * 10) / 4, 2.0])


def test_the_order_of_rows_does_not_matter():
    curves = curve_table(CURVES)
    shuffled = area_scores(RUNS.iloc[::-1], curves.iloc[::-1]).sort_values("run")
    np.testing.assert_array_equal(shuffled.score, area_scores(RUNS, curves).score)


def test_labels_name_the_fields_that_vary():
    runs = runs_table(
        ["complete"] * 4,
        learning_rate=[1e-3, 1e-4, 1e-3, NAN],
        clip=[0.2, 0.2, 0.2, NAN],
        epsilon=[NAN, NAN, NAN, 0.1],
        norm=[0.5, NAN, 0.5, NAN],
        **{"env.pole_length": [0.5, 0.5, 1.0, 0.5], "env.gravity": 9.8},
    )
    runs.loc[3, "algorithm"] = "dqn"
    table = label_settings(runs)
    fast, slow = "ppo learning_rate=0.001 norm=0.5", "ppo learning_rate=0.0001"
    assert list(table.setting) == [fast, slow, fast, "dqn"]
    assert list(table.environment) == [f"CartPole-v1 pole_length={x}" for x in (0.5, 0.5, 1, 0.5)]


def test_labels_have_no_digits_that_rounding_left():
    runs = runs_table(["complete", "complete"], clip=[0.1 + 0.2, 1 / 3])
    assert list(label_settings(runs).setting) == ["ppo clip=0.3", f"ppo clip={1 / 3}"]


def test_the_columns_of_failures_are_not_hyper_parameters():
    runs = runs_table(
        ["complete", "failed"],
        learning_rate=[1e-3, 1e-4],
        failed_iteration=pd.array([None, 7], "Int64"),
        failed_metric=[None, "state"],
        **{"env.gravity": [9.8, 1.6]},
    )
    assert list(label_settings(runs).setting) == ["ppo learning_rate=0.001", "ppo learning_rate=0.0001"]
    assert varied_parameters(label_settings(runs)) == ["learning_rate"]
    assert varied_parameters(runs.head(1)) == []


def test_the_column_study_tells_runs_of_joined_studies_apart():
    runs, curves = runs_table(["complete"] * 2), curve_table([{0: 1.0}, {0: 2.0}])
    more = curves.assign(value=curves.value + 10)
    both = final_scores(
        pd.concat([runs.assign(study="a"), runs.assign(study="b")], ignore_index=True),
        pd.concat([curves.assign(study="a"), more.assign(study="b")]),
    )
    assert list(both.score) == [1, 2, 11, 12]
    with pytest.raises(InputError, match="run' holds 0 more than once"):
        final_scores(pd.concat([runs, runs]), curves)


def test_normalise():
    table = score_table({("A", "x"): [0.0, 5.0], ("B", "x"): [-100.0, NAN]})
    scores = normalise(table, {"A": 0, "B": -200}, {"A": 10, "B": 0}).score
    np.testing.assert_array_equal(scores, [0, 0.5, 0.5, NAN])
    with pytest.raises(InputError, match="unknown environment 'B'"):
        normalise(table, {"A": 0}, {"A": 10})
    with pytest.raises(InputError, match="high must be above low"):
        normalise(table, {"A": 0, "B": 0}, {"A": 10, "B": 0})


@pytest.mark.parametrize(
    "analyse",
    [
        lambda table: describe(table, np.random.default_rng(0)),
        lambda table: aggregate(table, np.random.default_rng(0)),
        lambda table: performance_profile(table, [0.0], np.random.default_rng(0)),
        lambda table: compare_all(table, np.random.default_rng(0), smallest_effect=1),
        lambda table: select(table, np.random.default_rng(0)),
        lambda table: sensitivity(table, ["seed"]),
    ],
)
def test_tables_that_are_not_score_tables_are_refused(analyse):
    table = score_table({("A", "x"): [1.0, 2.0], ("A", "y"): [1.0, 3.0]})
    with pytest.raises(InputError, match=r"'run' holds 1 more than once.*average a run's episodes first"):
        analyse(pd.concat([table, table[table.run == 1]]))
    with pytest.raises(InputError, match="lacks setting"):
        analyse(table.drop(columns="setting"))
    with pytest.raises(InputError, match="empty"):
        analyse(table.iloc[:0])
    with pytest.raises(InputError, match="'setting' has no value"):
        analyse(table.assign(setting=["x", "x", "y", None]))
    with pytest.raises(InputError, match="infinite"):
        analyse(table.assign(score=[1.0, 2.0, np.inf, 3.0]))


def test_episodes_are_not_runs():
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match=r"one number per run, \[runs\], got the shape \(64, 10\)"):
        mean_interval(np.zeros((64, 10)), rng)
    with pytest.raises(InputError, match="run 7 has more than one score"):
        mean_interval(pd.Series([1.0, 2.0, 3.0], index=[7, 7, 8]), rng)
    with pytest.raises(InputError, match="must be numbers"):
        mean_interval(["high", "low"], rng)
    with pytest.raises(InputError, match="run 1 has more than one eval_return at step 0"):
        final_scores(RUNS, pd.concat([curve_table([{0: 1.0}, {0: 2.0}]), curve_table([{}, {0: 3.0}])]))


def test_study_tables_that_lack_something_are_refused():
    with pytest.raises(InputError, match="unknown metric 'eval_retur': did you mean 'eval_return'"):
        final_scores(RUNS, curve_table(CURVES), "eval_retur")
    with pytest.raises(InputError, match="lacks status"):
        final_scores(RUNS.drop(columns="status"), curve_table(CURVES))
    with pytest.raises(InputError, match="lacks value"):
        final_scores(RUNS, curve_table(CURVES).drop(columns="value"))
