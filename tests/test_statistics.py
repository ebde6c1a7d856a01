import numpy as np
import pytest
from scipy import stats

from jaxrl.statistics import curve_band, mean_interval, share_interval


def rng(seed=0):
    return np.random.default_rng(seed)


def test_mean_interval_agrees_with_scipy():
    scores = rng(1).exponential(size=40)
    ours = mean_interval(scores, rng())
    oracle = stats.bootstrap((scores,), np.mean, method="percentile", n_resamples=20_000, rng=rng())
    assert ours.estimate == pytest.approx(scores.mean())
    assert ours.low == pytest.approx(oracle.confidence_interval.low, abs=0.03)
    assert ours.high == pytest.approx(oracle.confidence_interval.high, abs=0.03)


def test_confidence_widens_the_interval():
    scores = rng(1).normal(size=30)
    wide, narrow = (mean_interval(scores, rng(), confidence=c) for c in (0.99, 0.8))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_mean_interval_edge_cases():
    single = mean_interval(np.array([3.0]), rng())
    assert single.estimate == 3.0
    assert np.isnan([single.low, single.high]).all()
    assert mean_interval(np.full(9, 2.5), rng()) == (2.5, 2.5, 2.5)
    assert mean_interval(np.array([np.nan, 1.0, 1.0]), rng()) == (1.0, 1.0, 1.0)
    assert np.isnan(mean_interval(np.array([np.nan]), rng())).all()
    assert np.isnan(mean_interval(np.array([]), rng())).all()


def test_coverage_of_the_mean_interval():
    """Of 95 % intervals from 30 normal runs, about 93 % hold the mean (percentile bootstrap, n = 30)."""
    generator, hits = rng(2), 0
    for _ in range(400):
        interval = mean_interval(generator.normal(size=30), generator)
        hits += interval.low <= 0 <= interval.high
    assert 0.90 <= hits / 400 <= 0.97


def test_bands_resample_whole_runs():
    """Runs that keep their distance make a band of constant width; points drawn singly would not."""
    offsets = rng(3).normal(size=(25, 1))
    curves = offsets + np.linspace(0, 5, 40)
    low, high = curve_band(curves, rng())
    np.testing.assert_allclose(high - low, np.full(40, (high - low)[0]), rtol=1e-9)


def test_bands_with_missing_values():
    curves = np.array([[1.0, np.nan, np.nan], [3.0, 5.0, np.nan]])
    low, high = curve_band(curves, rng())
    assert (low[0], high[0]) == (1.0, 3.0)
    assert (low[1], high[1]) == (5.0, 5.0)
    assert np.isnan([low[2], high[2]]).all()


def test_bands_of_nothing():
    low, high = curve_band(np.full((3, 2), np.nan), rng())
    assert np.isnan([low, high]).all()
    assert curve_band(np.empty((3, 0)), rng())[0].size == 0


def test_share_interval_is_wilsons():
    successes, runs, z = 60, 64, stats.norm.ppf(0.975)
    share = successes / runs
    centre = (share + z**2 / (2 * runs)) / (1 + z**2 / runs)
    half = z / (1 + z**2 / runs) * np.sqrt(share * (1 - share) / runs + z**2 / (4 * runs**2))
    assert share_interval(successes, runs) == pytest.approx((share, centre - half, centre + half))
    assert share_interval(0, 10).low == 0
    assert share_interval(10, 10).high == 1
    assert np.isnan(share_interval(0, 0)).all()
