import numpy as np
import pandas as pd
import pytest
from scipy import stats

from jaxrl.errors import InputError
from jaxrl.statistics import kaplan_meier, median_time, median_times, threshold_times
from tests.scores import GOLDEN, curve_table, runs_table, share_of

NAN = np.nan


def rng(seed=0):
    return np.random.default_rng(seed)


CURVES = [
    {0: 0.0, 10: 5.0, 20: 4.0, 30: 6.0},  # first reaches 5 at step 10
    {0: 0.0, 10: NAN, 20: 4.9, 30: 5.0},
    {0: 0.0, 10: 1.0},  # ends early
    {0: 9.0, 10: 9.0},  # the run that failed
    {0: NAN},  # without values
]


def test_times_are_the_first_steps_at_the_threshold_or_censored():
    runs = runs_table(["complete"] * 3 + ["failed"] + ["complete"], solved_return=5.0)
    times = threshold_times(runs, curve_table(CURVES))
    assert list(times.step) == [10, 30, 10, 30, 30]
    assert list(times.reached) == [True, True, False, False, False]
    assert list(threshold_times(runs, curve_table(CURVES), threshold=6).reached) == [True] + [False] * 4
    row = median_times(times).iloc[0]
    assert (row.environment, row.setting, row.runs, row.reached) == ("CartPole-v1", "ppo", 5, 2)
    assert row.failed == 1
    assert row[["median", "median_high"]].isna().all()
    # Of these three runs one reaches the threshold at step 10, and the only one left at step 30.
    row = median_times(times[times.run < 3]).iloc[0]
    assert (row["median"], row.runs, row.reached) == (30, 3, 2)


def test_the_column_study_tells_times_of_joined_studies_apart():
    runs, curves = runs_table(["complete"]), curve_table([{0: 0.0, 10: 5.0}])
    times = threshold_times(
        pd.concat([runs.assign(study="a"), runs.assign(study="b")], ignore_index=True),
        pd.concat([curves.assign(study="a"), curves.assign(study="b", value=0.0)]),
        threshold=5,
    )
    assert list(times.reached) == [True, False]


def test_an_environment_without_a_threshold_is_refused():
    runs = runs_table(["complete"] * 5, solved_return=NAN)
    with pytest.raises(InputError, match="CartPole-v1 has no return that counts as solved"):
        threshold_times(runs, curve_table(CURVES))


@pytest.mark.parametrize("seed", range(5))
def test_kaplan_meier_agrees_with_scipy(seed):
    generator = rng(seed)
    steps, reached = generator.integers(1, 15, size=30) * 10.0, generator.random(30) < 0.6
    steps[-1], reached[-1] = 200.0, False  # scipy warns if all have reached it
    steps[0], reached[0] = 10.0, True
    curve = kaplan_meier(steps, reached)
    oracle = stats.ecdf(stats.CensoredData.right_censored(steps, ~reached))
    np.testing.assert_array_equal(curve.step, oracle.cdf.quantiles)
    np.testing.assert_allclose(curve.share, oracle.cdf.probabilities)
    bounds = oracle.sf.confidence_interval(method="log-log")
    np.testing.assert_allclose(curve.share_low, 1 - bounds.high.probabilities)
    np.testing.assert_allclose(curve.share_high, 1 - bounds.low.probabilities)


def test_kaplan_meier_agrees_with_statsmodels():
    curve = kaplan_meier(GOLDEN["times"], GOLDEN["reached"]).set_index("step")
    np.testing.assert_allclose(1 - curve.share[GOLDEN["survival_steps"]], GOLDEN["survival"])
    assert median_time(GOLDEN["times"], GOLDEN["reached"])[:3] == tuple(GOLDEN["median_time"])


def test_the_share_without_censoring_is_the_fraction_of_runs():
    curve = kaplan_meier([10, 10, 20, 40], [True, True, True, False])
    np.testing.assert_allclose(curve.share, [0.5, 0.75, 0.75])
    assert ((curve.share_low < curve.share) & (curve.share < curve.share_high)).all()


def test_bounds_before_the_first_and_after_the_last_arrival():
    curve = kaplan_meier([5, 10, 20, 20], [False, True, True, True])
    assert list(curve.iloc[0]) == [5, 0, 0, 0]
    assert curve.share.iloc[-1] == curve.share_high.iloc[-1] == 1
    assert curve.share_low.iloc[-1] == curve.share_low.iloc[1]
    assert list(kaplan_meier([3], [True]).iloc[0]) == [3, 1, 0, 1]


def test_median_time_is_none_until_half_have_reached():
    assert median_time([10, 20, 30, 30, 30], [True, True, False, False, False])[:1] == (None,)
    assert median_time([10, 20, 30, 30], [True, True, False, False]).median == 20
    none = median_time([30, 30], [False, False])
    assert none == (None, None, None, 0, 2)
    half = median_time(np.arange(24), np.ones(24, bool))  # 1 - 23/24 · 22/23 · ... is not exactly 1/2
    assert half.median == 11


def test_coverage_of_the_median_time():
    """Times of 40 runs are exponential with median ln 2 and censored at 1.2; intervals have 95 % confidence."""
    generator, studies, hits = rng(3), 400, 0
    for _ in range(studies):
        times = generator.exponential(size=40)
        found = median_time(np.minimum(times, 1.2), times <= 1.2)
        hits += found.low <= np.log(2) <= (np.inf if found.high is None else found.high)
    assert share_of(hits, studies, 0.95)


def test_bad_input_is_refused():
    for steps, reached in (([], []), ([1, 2], [True]), ([[1]], [[True]]), ([NAN], [True])):
        with pytest.raises(InputError, match="one number per run"):
            kaplan_meier(steps, reached)
