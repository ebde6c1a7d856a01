import numpy as np
import pytest

from jaxrl.errors import InputError
from jaxrl.statistics import aggregate, performance_profile
from tests.scores import GOLDEN, score_table, share_of

NAN = np.nan
NAMES = ("mean", "median", "iqm", "optimality_gap")


def rng(seed=0):
    return np.random.default_rng(seed)


def table_of(scores, setting="a"):
    """scores [runs, environments]"""
    return score_table({(f"E{i}", setting): column for i, column in enumerate(np.transpose(scores))})


def test_aggregates_agree_with_rliable():
    row = aggregate(table_of(GOLDEN["a"]), rng()).iloc[0]
    for name in NAMES:
        estimate, low, high = GOLDEN["aggregates"][name]
        assert row[name] == pytest.approx(estimate, abs=1e-12)
        assert row[f"{name}_low"] == pytest.approx(low, abs=0.08 * (high - low))
        assert row[f"{name}_high"] == pytest.approx(high, abs=0.08 * (high - low))


def test_the_bootstrap_is_stratified_by_environment():
    """Runs differ between environments but not within one, so every resample is the same."""
    row = aggregate(table_of([[0.0, 1.0, 5.0]] * 4), rng()).iloc[0]
    for name in NAMES:
        assert row[f"{name}_low"] == row[name] == row[f"{name}_high"]


def test_environments_have_the_same_weight_for_any_number_of_runs():
    table = score_table({("A", "x"): [0.0, 0.0], ("B", "x"): [1.0] * 8})
    row = aggregate(table, rng()).iloc[0]
    assert (row["mean"], row["median"], row["optimality_gap"]) == (0.5, 0.5, 0.5)
    shares = performance_profile(table, [0.5], rng()).iloc[0]
    assert shares.share == shares.share_low == shares.share_high == 0.5


def test_failed_runs_are_counted():
    row = aggregate(table_of([[1.0, 2.0], [NAN, 2.0], [3.0, 2.0]]), rng()).iloc[0]
    assert (row.runs, row.failed, row.environments, row["mean"]) == (6, 1, 2, 2.0)
    profile = performance_profile(table_of([[1.0], [NAN], [3.0], [4.0]]), [-1e9, 2.0], rng())
    assert list(profile.share) == [0.75, 0.5]


def test_a_profile_places_failed_runs_below_all_scores():
    scores = [NAN, 1.0, NAN, 2.0, 3.0]
    taus = np.linspace(0, 3, 7)
    worst = np.nan_to_num(scores, nan=-1e9)
    failing, low = (performance_profile(table_of([[x] for x in of]), taus, rng()) for of in (scores, worst))
    np.testing.assert_array_equal(failing.drop(columns="setting"), low.drop(columns="setting"))
    assert failing.share.max() == 0.6
    gone = performance_profile(table_of([[NAN]] * 4), taus, rng())
    assert not gone[["share", "share_low", "share_high"]].to_numpy().any()


def test_a_single_run_has_no_interval():
    row = aggregate(table_of([[1.0, 2.0]]), rng()).iloc[0]
    assert row["mean"] == 1.5
    assert np.isnan(row.mean_low)
    assert np.isnan(aggregate(table_of([[NAN, 1.0]] * 2), rng())["mean"][0])


def test_every_setting_needs_every_environment():
    table = score_table({("A", "x"): [1.0], ("B", "x"): [1.0], ("A", "y"): [1.0]})
    with pytest.raises(InputError, match="'y' has no run in B"):
        aggregate(table, rng())


def test_profiles_agree_with_rliable():
    profile = performance_profile(table_of(GOLDEN["a"]), GOLDEN["taus"], rng())
    np.testing.assert_allclose(profile.share, GOLDEN["profile"])
    np.testing.assert_allclose(profile.share_low, GOLDEN["profile_low"], atol=0.025)
    np.testing.assert_allclose(profile.share_high, GOLDEN["profile_high"], atol=0.025)


def test_a_profile_counts_runs_strictly_above_tau():
    assert list(performance_profile(table_of([[1.0], [2.0]]), [0.9, 1.0, 2.0], rng()).share) == [1, 0.5, 0]
    with pytest.raises(InputError, match="taus must be finite"):
        performance_profile(table_of([[1.0]]), [NAN], rng())


def test_coverage_of_the_mean_over_environments():
    """The environments have means 0, 1 and 2 and different spreads, so the true mean is 1."""
    generator, hits, studies = rng(1), 0, 150
    for _ in range(studies):
        scores = generator.normal([0, 1, 2], [0.1, 1, 3], size=(30, 3))
        row = aggregate(table_of(scores), generator).iloc[0]
        hits += row.mean_low <= 1 <= row.mean_high
    assert share_of(hits, studies, 0.94, sds=3)
