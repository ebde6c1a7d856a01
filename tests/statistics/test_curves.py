import numpy as np
import pandas as pd
import pytest
from scipy import stats

from jaxrl.errors import InputError
from jaxrl.statistics import (
    curve_band,
    mean_curves,
    mean_interval,
    simultaneous_band,
    tolerance_band,
    tolerance_interval,
    within_run_iqr,
)
from tests.scores import curve_table, runs_table, share_of

NAN = np.nan
BANDS = pytest.mark.parametrize("band", [curve_band, simultaneous_band])


def rng(seed=0):
    return np.random.default_rng(seed)


@BANDS
def test_bands_resample_whole_runs(band):
    """Parallel curves have a band of constant width. Resampling each point on its own would vary the width."""
    offsets = rng(3).normal(size=(25, 1))
    curves = offsets + np.linspace(0, 5, 40)
    low, high = band(curves, rng())
    np.testing.assert_allclose(high - low, np.full(40, (high - low)[0]), rtol=1e-9)


def test_bands_with_missing_values():
    curves = np.array([[1.0, NAN, NAN], [3.0, 5.0, NAN]])
    low, high = curve_band(curves, rng())
    assert (low[0], high[0]) == (1.0, 3.0)
    assert (low[1], high[1]) == (5.0, 5.0)
    assert np.isnan([low[2], high[2]]).all()
    low, high = simultaneous_band(curves, rng())
    assert low[0] < 2 < high[0]
    assert (low[1], high[1]) == (5.0, 5.0)
    assert np.isnan([low[2], high[2]]).all()


@BANDS
def test_bands_without_values_are_nan(band):
    low, high = band(np.full((3, 2), NAN), rng())
    assert np.isnan([low, high]).all()
    assert band(np.empty((3, 0)), rng())[0].size == 0


@BANDS
def test_bands_of_constant_curves_have_no_width(band):
    low, high = band(np.full((4, 3), 0.5), rng())
    np.testing.assert_allclose([low, high], 0.5)


@BANDS
def test_bands_leave_failed_runs_out(band):
    curves = rng(1).normal(size=(20, 5))
    with_failed = np.vstack([curves, np.full((1, 5), NAN)])
    np.testing.assert_allclose(band(with_failed, rng()), band(curves, rng()), atol=0.15)


def test_the_pointwise_band_is_the_interval_at_each_point():
    curves = rng(2).exponential(size=(40, 3))
    low, high = curve_band(curves, rng())
    for point in range(3):
        interval = mean_interval(curves[:, point], rng(5))
        assert (low[point], high[point]) == pytest.approx(interval[1:], abs=0.05)


def test_simultaneous_band_of_one_point_is_pointwise():
    curves = rng(2).normal(size=(60, 1))
    np.testing.assert_allclose(simultaneous_band(curves, rng()), curve_band(curves, rng()), atol=0.03)


def test_the_simultaneous_band_of_independent_points_agrees_with_sidak():
    curves = rng(4).normal(size=(400, 20))
    low, high = simultaneous_band(curves, rng())
    critical = (high - low) / 2 / (curves.std(axis=0) / 20)
    np.testing.assert_allclose(critical, stats.norm.ppf((1 + 0.95 ** (1 / 20)) / 2), rtol=0.06)


def test_the_simultaneous_band_covers_whole_curves():
    """For 60 random walks, the pointwise band misses at least one point of far more than 5 % of the curves."""
    generator, studies = rng(6), 120
    whole = dict.fromkeys((curve_band, simultaneous_band), 0)
    for _ in range(studies):
        curves = generator.normal(size=(60, 15)).cumsum(axis=1)
        for band in whole:
            low, high = band(curves, generator)
            whole[band] += bool(((low <= 0) & (high >= 0)).all())
    assert share_of(whole[simultaneous_band], studies, 0.94, sds=3)
    assert whole[curve_band] / studies < 0.88


def test_the_tolerance_band_is_the_interval_at_each_point():
    curves = rng(2).normal(size=(60, 5))
    low, high = tolerance_band(curves)
    assert [*zip(low, high, strict=True)] == [tolerance_interval(points) for points in curves.T]
    assert np.isnan(tolerance_band(curves[:45])).all()


def test_a_failed_run_makes_the_tolerance_band_infinite_and_a_missing_value_makes_it_nan():
    curves = rng(2).normal(size=(50, 3))
    curves[7], curves[8, 1] = NAN, NAN
    low, high = tolerance_band(curves)
    assert [*low] == pytest.approx([-np.inf, NAN, -np.inf], nan_ok=True)
    assert [*high] == pytest.approx([np.nanmax(curves[:, 0]), NAN, np.nanmax(curves[:, 2])], nan_ok=True)
    assert tolerance_band(np.full((50, 0), NAN))[0].size == 0


def test_within_run_iqr_ignores_the_trend():
    """It is 0 for a line. For a line with noise it is the spread of the differences of the noise."""
    steps = np.arange(2_000.0)
    noisy = 3 * steps + rng(7).normal(size=2_000)
    line, noise, short, failed = within_run_iqr(
        [3 * steps, noisy, np.where(steps == 5, 1, NAN), np.full(2_000, NAN)]
    )
    assert line == 0
    assert noise == pytest.approx(stats.iqr(np.diff(noisy)))
    assert noise == pytest.approx(np.sqrt(2) * 2 * stats.norm.ppf(0.75), rel=0.1)
    assert np.isnan([short, failed]).all()


def test_mean_curves_of_each_setting():
    values = rng(8).normal(size=(5, 3))
    values[4, 2] = NAN
    runs = runs_table(["complete", "complete", "failed", "complete", "complete"], clip=[1, 1, 1, 2, 2])
    curves = curve_table([dict(zip((0, 10, 20), row, strict=True)) for row in values])
    table = mean_curves(runs, curves, rng(), bands={"mean": simultaneous_band})
    assert list(table.setting) == ["ppo clip=1"] * 3 + ["ppo clip=2"] * 3
    assert list(table.step) == [0, 10, 20] * 2
    assert list(table.runs) == [2, 2, 2, 2, 2, 1]
    assert list(table.failed) == [1, 1, 1, 0, 0, 0]
    np.testing.assert_allclose(table["mean"][:3], values[:2].mean(axis=0))
    np.testing.assert_allclose(table["mean"][3:], np.nanmean(values[3:], axis=0))
    low, high = simultaneous_band(np.vstack([values[:2], np.full(3, NAN)]), rng())
    np.testing.assert_array_equal(table[["mean_low", "mean_high"]][:3], np.transpose([low, high]))


def test_mean_curves_show_a_setting_whose_runs_all_failed():
    table = mean_curves(runs_table(["failed"] * 2), curve_table([{0: 1.0, 5: 2.0}] * 2), rng())
    assert list(table.step) == [0, 5]
    assert list(table.failed) == [2, 2]
    assert list(table.runs) == [0, 0]
    assert table[["mean", "mean_low", "mean_high"]].isna().all(axis=None)


@pytest.mark.parametrize("statistic", [lambda c: curve_band(c, rng()), within_run_iqr])
def test_other_shapes_are_refused(statistic):
    with pytest.raises(InputError, match=r"curves must be \[runs, points\].*\(3,\)"):
        statistic(np.zeros(3))
    with pytest.raises(InputError, match="run 4 has more than one curve"):
        statistic(pd.DataFrame(np.zeros((2, 3)), index=[4, 4]))
