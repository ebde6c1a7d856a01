import numpy as np
import pandas as pd
import pytest
from scipy import stats

from jaxrl.errors import InputError
from jaxrl.statistics import (
    bootstrap_interval,
    describe,
    iqm,
    iqr,
    lower_cvar,
    mean,
    mean_interval,
    median,
    optimality_gap,
    sd,
    share_interval,
    solve_share,
    tolerance_interval,
    tolerance_runs,
)
from tests.scores import GOLDEN, score_table, share_of

NAN = np.nan


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("runs", [1, 2, 3, 4, 5, 7, 8, 40])
def test_estimates_agree_with_numpy_and_scipy(runs):
    scores = rng(runs).exponential(size=runs).round(1)  # rounded: with ties
    assert mean(scores) == pytest.approx(np.mean(scores))
    assert iqm(scores) == pytest.approx(stats.trim_mean(scores, 0.25))
    assert iqr(scores) == pytest.approx(stats.iqr(scores))
    assert median(scores) == np.median(scores)
    assert optimality_gap(scores, 0.8) == pytest.approx(0.8 - np.minimum(scores, 0.8).mean())
    if runs > 1:
        assert sd(scores) == pytest.approx(scores.std(ddof=1))


@pytest.mark.parametrize("estimate", [mean, sd, iqm, iqr, optimality_gap])
def test_averages_and_spreads_are_over_the_finite_runs_of_each_row(estimate):
    scores = rng(3).normal(size=(3, 9))
    scores[0, [1, 5]] = NAN
    scores[2, :7] = NAN
    each = [estimate(row[~np.isnan(row)]) for row in scores]
    np.testing.assert_allclose(estimate(scores), each)
    assert np.isnan(estimate(np.array([NAN, NAN])))
    assert np.isnan(estimate(np.array([])))


def test_failed_runs_sort_below_all_scores():
    scores = np.array([5.0, NAN, 1.0, 3.0, 4.0])
    assert median(scores) == 3
    assert median(np.array([NAN, NAN, 1.0])) == -np.inf
    assert lower_cvar(scores, 0.2) == -np.inf
    assert np.isnan(median(np.array([])))
    assert np.isnan(lower_cvar(np.array([])))


def test_lower_cvar_is_the_mean_of_the_lowest_share():
    scores = rng(1).permutation(np.arange(1.0, 31))
    assert lower_cvar(scores, 0.1) == 2  # of 1, 2, 3
    assert lower_cvar(scores, 0.11) == 2.5
    assert lower_cvar(scores, 0.001) == 1
    assert lower_cvar(np.arange(1.0, 101), 0.07) == 4
    assert lower_cvar(scores, 1) == scores.mean()


def test_mean_interval_agrees_with_scipy():
    scores = rng(1).exponential(size=40)
    ours = mean_interval(scores, rng())
    oracle = stats.bootstrap((scores,), np.mean, method="percentile", n_resamples=20_000, rng=rng())
    assert ours.estimate == pytest.approx(scores.mean())
    assert ours.low == pytest.approx(oracle.confidence_interval.low, abs=0.03)
    assert ours.high == pytest.approx(oracle.confidence_interval.high, abs=0.03)


@pytest.mark.parametrize("statistic", [iqm, median, sd, lower_cvar])
def test_bootstrap_interval_agrees_with_scipy(statistic):
    scores = rng(2).exponential(size=60)
    ours = bootstrap_interval(scores, statistic, rng())

    def axis_last(sample, axis):
        return statistic(np.moveaxis(sample, axis, -1))

    oracle = stats.bootstrap((scores,), axis_last, method="percentile", n_resamples=9_999, rng=rng(1))
    width = np.ptp(oracle.confidence_interval)
    assert ours.estimate == statistic(scores)
    assert ours.low == pytest.approx(oracle.confidence_interval.low, abs=0.08 * width)
    assert ours.high == pytest.approx(oracle.confidence_interval.high, abs=0.08 * width)


def test_a_resampled_failed_run_makes_the_lower_bound_infinite():
    scores = np.array([NAN] * 4 + [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    interval = bootstrap_interval(scores, median, rng())
    assert interval.estimate == 1.5
    assert interval.low == -np.inf
    assert 2 <= interval.high <= 6


def test_confidence_widens_the_interval():
    scores = rng(1).normal(size=30)
    wide, narrow = (mean_interval(scores, rng(), confidence=c) for c in (0.99, 0.8))
    assert wide.low < narrow.low < narrow.high < wide.high
    with pytest.raises(InputError, match="confidence must be above 0 and below 1, got 95"):
        mean_interval(scores, rng(), confidence=95)


def test_mean_interval_of_few_constant_or_failed_runs():
    single = mean_interval(np.array([3.0]), rng())
    assert single.estimate == 3.0
    assert np.isnan([single.low, single.high]).all()
    assert np.isnan(mean_interval([3.0, NAN, NAN], rng()).low)  # one finite run
    assert mean_interval(np.full(9, 2.5), rng()) == (2.5, 2.5, 2.5)
    assert mean_interval(np.array([NAN, 1.0, 1.0]), rng()) == (1.0, 1.0, 1.0)
    assert np.isnan(mean_interval(np.array([NAN]), rng())).all()
    assert np.isnan(mean_interval(np.array([]), rng())).all()


def test_a_series_indexed_by_run_is_a_sample():
    scores = pd.Series([1.0, 2.0, 4.0], index=[5, 6, 7])
    assert mean_interval(scores, rng()) == mean_interval([1, 2, 4], rng())


def test_coverage_of_the_mean_interval():
    """The 95 % percentile bootstrap interval of 30 normal runs covers the mean in about 93 % of cases."""
    generator, hits = rng(2), 0
    for _ in range(400):
        interval = mean_interval(generator.normal(size=30), generator)
        hits += interval.low <= 0 <= interval.high
    assert 0.90 <= hits / 400 <= 0.97


def test_share_interval_agrees_with_wilson():
    assert share_interval(60, 64) == pytest.approx((60 / 64, *GOLDEN["wilson_60_of_64"]))
    assert share_interval(0, 10).low == 0
    assert share_interval(10, 10).high == 1
    assert np.isnan(share_interval(0, 0)).all()


def test_a_failed_run_is_not_solved():
    assert solve_share([475.0, 474.9, NAN, 500.0], 475) == share_interval(2, 4)


def test_tolerance_interval_needs_46_runs():
    scores = rng(4).normal(size=46)
    assert tolerance_runs() == 46
    assert tolerance_interval(scores) == (scores.min(), scores.max())
    assert tolerance_interval(scores[:45]) is None
    assert tolerance_interval([]) is None


@pytest.mark.parametrize(
    ("runs", "coverage", "confidence"), [(46, 0.9, 0.95), (100, 0.9, 0.95), (200, 0.8, 0.99)]
)
def test_tolerance_interval_is_the_narrowest_pair_of_order_statistics(runs, coverage, confidence):
    low, high = tolerance_interval(np.arange(1.0, runs + 1), coverage, confidence)
    assert stats.binom.cdf(high - low - 1, runs, coverage) >= confidence
    assert stats.binom.cdf(high - low - 2, runs, coverage) < confidence
    assert abs((low - 1) - (runs - high)) <= 1  # as many runs below as above


def test_tolerance_intervals_have_their_confidence():
    """The share of intervals that contain 90 % of the distribution agrees with the exact binomial probability."""
    samples = np.sort(rng(5).uniform(size=(1_000, 80)), axis=1)
    enough = 0
    for scores in samples:
        low, high = tolerance_interval(scores)
        enough += high - low >= 0.9  # the share of a uniform distribution in an interval is its length
    low, high = tolerance_interval(np.arange(1.0, 81))
    exact = stats.binom.cdf(high - low - 1, 80, 0.9)
    assert exact >= 0.95
    assert share_of(enough, 1_000, exact)


def test_a_failed_run_makes_the_tolerance_interval_infinite():
    scores = np.append(np.arange(59.0), NAN)
    assert tolerance_interval(scores).low == -np.inf


def test_a_description_does_not_depend_on_the_other_settings():
    drawn = np.random.default_rng(0).normal(size=(3, 20))  # so many that resamples differ in their bounds
    samples = dict(zip([("A", "x"), ("A", "y"), ("A", "z")], drawn.tolist(), strict=True))
    rows = describe(score_table(samples), rng())
    alone = describe(score_table({("A", "y"): samples["A", "y"]}), rng())
    pd.testing.assert_frame_equal(rows[rows.setting == "y"].reset_index(drop=True), alone)


def test_describe():
    table = score_table({("A", "x"): np.arange(50.0), ("A", "y"): [3.0, NAN], ("B", "x"): [7.0]})
    table["solved_return"] = np.where(table.environment == "A", 25.0, NAN)
    rows = describe(table, rng())
    assert list(zip(rows.environment, rows.setting, strict=True)) == [("A", "x"), ("A", "y"), ("B", "x")]
    assert list(rows.runs) == [50, 2, 1]
    assert list(rows.failed) == [0, 1, 0]
    assert list(rows["mean"]) == [24.5, 3, 7]
    assert rows.mean_low[0] < 24.5 < rows.mean_high[0]
    np.testing.assert_array_equal(rows["median"], [24.5, -np.inf, 7])
    np.testing.assert_array_equal(rows.cvar, [2, -np.inf, 7])
    np.testing.assert_array_equal(rows.solved, [0.5, 0, NAN])
    assert rows.solved_low[0] == share_interval(25, 50).low
    assert (rows.tolerance_low[0], rows.tolerance_high[0]) == tolerance_interval(np.arange(50.0))
    assert np.isnan(rows.tolerance_low[1])
