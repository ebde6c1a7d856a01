import numpy as np
import pandas as pd
import pytest
from scipy import stats

from jaxrl.errors import InputError
from jaxrl.statistics import expected_optimism, fresh_scores, select, sensitivity
from tests.scores import score_table

NAN = np.nan


def rng(seed=0):
    return np.random.default_rng(seed)


def test_expected_optimism_as_published():
    assert round(expected_optimism(50, 3), 2) == 1.30
    assert round(expected_optimism(50, 10), 2) == 0.71
    assert expected_optimism(1, 7) == pytest.approx(0, abs=1e-12)
    assert expected_optimism(2, 1) == pytest.approx(1 / np.sqrt(np.pi))
    assert expected_optimism(3, 1) == pytest.approx(1.5 / np.sqrt(np.pi))
    with pytest.raises(InputError, match="at least 1"):
        expected_optimism(0, 3)


def test_expected_optimism_by_simulation():
    best = rng(1).normal(size=(4_000, 20, 5)).mean(axis=2).max(axis=1)
    assert expected_optimism(20, 5) == pytest.approx(best.mean(), abs=4 * best.std() / np.sqrt(4_000))


def test_a_clear_best_is_certain_and_equal_settings_share():
    rows = select(score_table({("A", "x"): [1.0, 2.0, 3.0], ("A", "y"): [11.0, 12.0, 13.0]}), rng())
    assert list(rows.probability_best) == [0, 1]
    assert list(rows.score) == [2, 12]
    ties = select(
        score_table({("A", name): [0.7] * n for name, n in zip("xyz", (3, 4, 10), strict=True)}), rng()
    )
    np.testing.assert_allclose(ties.probability_best, 1 / 3)
    np.testing.assert_allclose(ties.optimism, 0, atol=1e-12)


def test_probability_best_of_many_runs_agrees_with_the_normal_distribution():
    generator = rng(2)
    x, y = generator.normal(size=(2, 400))
    x, y = (x - x.mean()) / x.std(), (y - y.mean()) / y.std() + 0.07
    rows = select(score_table({("A", "x"): x, ("A", "y"): y}), rng())
    expected = stats.norm.cdf(0.07 / np.sqrt(2 / 400))
    assert rows.probability_best[1] == pytest.approx(expected, abs=4 * np.sqrt(0.25 / 2_000))


def test_optimism_of_equal_settings():
    """Optimism is the expected mean of the best of 12 equal settings, whose true mean is 0."""
    generator, inflation, promised = rng(3), [], []
    for _ in range(60):
        table = score_table({("A", f"s{i}"): generator.normal(size=4) for i in range(12)})
        rows = select(table, generator)
        inflation.append(rows.score.max())
        promised.append(rows.optimism[0])
    assert np.mean(promised) == pytest.approx(np.mean(inflation), abs=4 * np.std(inflation) / np.sqrt(60))


def test_a_setting_with_failed_runs_is_not_the_best():
    table = score_table({("A", "x"): [5.0] * 8, ("A", "y"): [6.0] + [NAN] * 7, ("B", "x"): [NAN] * 3})
    rows = select(table, rng())
    assert list(rows.failed) == [0, 7, 3]
    np.testing.assert_array_equal(rows["mean"], [5, 6, NAN])
    assert rows.score[0] > rows.score[1]
    assert rows.probability_best[0] > 0.99


@pytest.mark.parametrize("score", [500.0, -500.0, 0.0])
def test_failed_runs_count_against_a_setting_if_all_scores_are_equal(score):
    table = score_table({("A", "x"): [score] * 18 + [NAN] * 2, ("A", "y"): [score] * 20})
    rows = select(table, rng())
    assert rows.score[1] > 0.5 > rows.score[0]
    assert rows.probability_best[1] > 0.9
    fresh = table.assign(seed=table.seed + 20)
    (best,) = fresh_scores(table, fresh, rng()).itertuples()
    assert (best.setting, best.selected, best.fresh, best.inflation) == ("y", score, score, 0)


def test_a_failed_run_makes_the_ranking_use_ranks():
    table = score_table({("A", "x"): [4.0, 5.0, NAN], ("A", "y"): [0.0, 9.0, 9.0]})
    rows = select(table, rng())
    assert list(rows["mean"]) == [4.5, 6]
    np.testing.assert_allclose(rows.score, np.array([8 / 3, 13 / 3]) / 6 - 0.5 / 6)
    others = score_table({("A", "x"): [4.0, 5.0, 3.0], ("A", "y"): [0.0, 9.0, 9.0]})
    assert list(select(others, rng()).score) == [4, 6]


def test_a_single_run_has_no_probability_best():
    for runs in ([3.0], [NAN]):
        rows = select(score_table({("A", "x"): runs, ("A", "y"): [1.0, 2.0]}), rng())
        assert rows.probability_best.isna().all()
    assert select(score_table({("A", "x"): [3.0]}), rng()).probability_best.isna().all()


def test_ties_are_shared_evenly_for_any_order_of_runs():
    """Sums of the same numbers in another order differ by rounding errors."""
    runs = [0.1, 0.2, -0.3]
    rows = select(
        score_table({("A", name): np.roll(runs, i) for i, name in enumerate("xyz")}), np.random.default_rng(0)
    )
    np.testing.assert_allclose(rows.probability_best, 1 / 3, atol=0.03)
    failed = select(score_table({("A", name): [NAN] * 2 for name in "xy"}), rng())
    assert list(failed.probability_best) == [0.5, 0.5]


def test_a_setting_without_a_finite_run_does_not_change_the_optimism():
    table = score_table({("A", "x"): [1.0, 2.0, 3.0], ("A", "y"): [2.0, 3.0, 4.0], ("A", "z"): [NAN] * 9})
    without = table[table.setting != "z"]
    assert select(table, rng()).optimism[0] == select(without, rng()).optimism[0] > 0


def test_fresh_seeds_measure_the_inflation():
    generator = rng(4)
    searched = score_table({("A", f"s{i}"): generator.normal(size=3) for i in range(30)})
    means = searched.groupby("setting").score.mean()
    best = means.idxmax()
    fresh = score_table({("A", best): generator.normal(size=200), ("A", "other"): [99.0]})
    fresh["seed"] += 3
    row = fresh_scores(searched, fresh, rng()).iloc[0]
    scores = fresh.score[fresh.setting == best]
    assert row.setting == best
    assert row.selected == pytest.approx(means.max())
    assert row.fresh == pytest.approx(scores.mean())
    assert row.fresh_low < scores.mean() < row.fresh_high
    assert row.inflation == pytest.approx(means.max() - scores.mean())
    assert (row.runs, row.failed) == (200, 0)


def test_seeds_of_the_search_are_refused():
    searched = score_table({("A", "x"): [1.0, 2.0], ("A", "y"): [3.0, 4.0]})
    fresh = score_table({("A", "y"): [3.0, 4.0]})
    with pytest.raises(InputError, match="seed 0 of A was used by the search too"):
        fresh_scores(searched, fresh, rng())
    with pytest.raises(InputError, match="'y', the best in A, has no fresh run"):
        fresh_scores(searched, fresh.assign(setting="x", seed=fresh.seed + 2), rng())
    with pytest.raises(InputError, match="lacks seed"):
        fresh_scores(searched.drop(columns="seed"), fresh, rng())


def grid_table(score, seeds=3):
    """Settings on a grid of learning_rate and clip whose runs score score(learning_rate, clip)."""
    rows = [
        {
            "environment": "A",
            "setting": f"{lr} {clip}",
            "learning_rate": lr,
            "clip": clip,
            "score": score(lr, clip),
        }
        for lr in (1, 2, 4)
        for clip in (10, 20)
        for _ in range(seeds)
    ]
    return pd.DataFrame(rows).rename_axis("run").reset_index()


def test_sensitivity_of_a_sum():
    rows = sensitivity(grid_table(lambda lr, clip: lr + clip), ["learning_rate", "clip"])
    assert list(zip(rows.parameter, rows.value, strict=True)) == [
        ("learning_rate", 1),
        ("learning_rate", 2),
        ("learning_rate", 4),
        ("clip", 10),
        ("clip", 20),
    ]
    assert list(rows.settings) == [2, 2, 2, 3, 3]
    np.testing.assert_allclose(rows["mean"], [16, 17, 19, 10 + 7 / 3, 20 + 7 / 3])
    np.testing.assert_allclose(rows.best, [21, 22, 24, 14, 24])
    by_rate, by_clip = np.var([1, 2, 4]), np.var([10, 20])
    np.testing.assert_allclose(rows.share[[0, 3]], np.array([by_rate, by_clip]) / (by_rate + by_clip))


def test_sensitivity_of_a_pure_interaction_and_of_a_constant():
    crossed = sensitivity(grid_table(lambda lr, clip: (lr - 7 / 3) * (clip - 15)), ["learning_rate", "clip"])
    np.testing.assert_allclose(crossed.share, 0, atol=1e-12)
    assert sensitivity(grid_table(lambda *_: 1.0), ["clip"]).share.isna().all()


def test_sensitivity_counts_failed_runs_and_leaves_them_out_of_the_mean():
    table = grid_table(lambda lr, _: float(lr))
    table.loc[table["clip"] == 20, "score"] = NAN
    rows = sensitivity(table, ["clip"])
    np.testing.assert_allclose(rows["mean"], [7 / 3, NAN])
    assert list(rows.runs) == [9, 9]
    assert list(rows.failed) == [0, 9]


def test_a_setting_with_failed_runs_is_not_the_best_of_a_value():
    table = grid_table(lambda lr, clip: float(lr + clip))
    table.loc[(table["clip"] == 20) & (table.learning_rate == 4) & (table.run % 3 > 0), "score"] = NAN
    rows = sensitivity(table, ["clip"])
    assert list(rows.best) == [14, 22]  # not the 24 of the only run of three that did not fail
    constant = grid_table(lambda *_: 1.0)
    constant.loc[constant["clip"] == 20, "score"] = NAN
    assert (sensitivity(constant, ["clip"]).share == 1).all()


def test_a_setting_has_one_value_of_each_parameter():
    table = grid_table(lambda *_: 1.0).assign(setting="ppo")
    with pytest.raises(InputError, match="a setting of A has more than one value of 'clip'"):
        sensitivity(table, ["clip"])
    with pytest.raises(InputError, match="lacks entropy"):
        sensitivity(table, ["entropy"])
