import itertools

import numpy as np
import pytest
from scipy import stats

from jaxrl.errors import InputError
from jaxrl.statistics import (
    Interval,
    compare,
    compare_all,
    compare_with_baseline,
    compare_with_best,
    difference_interval,
    equivalence_p,
    holm,
    improvement_interval,
    mann_whitney_p,
    permutation_p,
    permutations,
    verdict,
    welch_p,
)
from tests.scores import GOLDEN, score_table, share_of

NAN = np.nan


def rng(seed=0):
    return np.random.default_rng(seed)


def two_groups(seed, sizes=(12, 17), shift=0.5):
    generator = rng(seed)
    return generator.normal(shift, 1, sizes[0]).round(1), generator.normal(0, 2, sizes[1]).round(
        1
    )  # with ties


@pytest.mark.parametrize("seed", range(4))
def test_tests_agree_with_scipy(seed):
    a, b = two_groups(seed)
    assert welch_p(a, b) == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue)
    assert mann_whitney_p(a, b) == pytest.approx(stats.mannwhitneyu(a, b).pvalue)
    by_t = stats.ttest_ind(a, b, method=stats.PermutationMethod(n_resamples=9_999, rng=rng(9)))
    assert permutation_p(a, b, rng()) == pytest.approx(by_t.pvalue, abs=0.03)
    wins = stats.mannwhitneyu(a, b).statistic / (len(a) * len(b))
    assert improvement_interval(a, b, rng()).estimate == pytest.approx(wins)


def test_permutation_test_by_enumeration():
    a, b = np.array([1.0, 4.0, 6.0]), np.array([2.0, 3.0, 3.0, 0.0])
    pooled, observed = np.append(a, b), a.mean() - b.mean()
    dealt = [
        pooled[list(chosen)].mean() - np.delete(pooled, chosen).mean()
        for chosen in itertools.combinations(range(7), 3)
    ]
    greater = np.mean([d >= observed - 1e-9 for d in dealt])
    less = np.mean([d <= observed + 1e-9 for d in dealt])
    assert permutation_p(a, b, rng(), "greater") == pytest.approx(greater)
    assert permutation_p(a, b, rng()) == pytest.approx(min(1, 2 * min(greater, less)))


def test_equivalence_is_two_one_sided_tests():
    a, b = rng(1).normal(size=(2, 40))
    by_t = [
        stats.ttest_ind(a - 0.7, b, alternative="less"),
        stats.ttest_ind(a + 0.7, b, alternative="greater"),
    ]
    assert equivalence_p(a, b, rng(), 0.7) == pytest.approx(max(t.pvalue for t in by_t), abs=0.01)
    assert equivalence_p(a + 2, b, rng(), 0.7) > 0.9
    assert equivalence_p(a - 2, b, rng(), 0.7) > 0.9


def test_improvement_agrees_with_rliable():
    a, b = np.array(GOLDEN["a"]), np.array(GOLDEN["b"])
    ours = [improvement_interval(a[:, i], b[:, i], rng()).estimate for i in range(4)]
    assert ours == pytest.approx(GOLDEN["improvement"])
    _, low, high = improvement_interval(a[:, 0], b[:, 0], rng())
    assert (low, high) == pytest.approx(GOLDEN["improvement_bounds"], abs=0.03)


def test_difference_interval_agrees_with_scipy():
    a, b = two_groups(2, (30, 40))

    def difference(x, y, axis):
        return x.mean(axis=axis) - y.mean(axis=axis)

    oracle = stats.bootstrap((a, b), difference, method="percentile", n_resamples=20_000, rng=rng(1))
    ours = difference_interval(a, b, rng())
    assert ours.estimate == pytest.approx(a.mean() - b.mean())
    assert ours[1:] == pytest.approx(tuple(oracle.confidence_interval), abs=0.08)


def test_holm_agrees_with_statsmodels():
    p_values = np.array(GOLDEN["p_values"])
    np.testing.assert_allclose(holm(p_values), GOLDEN["holm"])
    with_nan = np.insert(p_values, 2, NAN)
    np.testing.assert_allclose(holm(with_nan), np.insert(GOLDEN["holm"], 2, NAN))
    assert holm(np.array([0.9, 0.8])).tolist() == [1, 1]
    assert holm(np.array([])).size == 0


@pytest.mark.parametrize(
    ("low", "high", "p", "p_equivalence", "expected"),
    [
        (0.1, 2.0, 0.01, 0.5, "better"),
        (-2.0, -0.1, 0.01, 0.5, "worse"),
        (0.1, 2.0, 0.06, 0.5, "undecided"),
        (-0.1, 2.0, 0.01, 0.5, "undecided"),
        (-0.4, 0.4, 0.5, 0.01, "equivalent"),
        (0.1, 0.4, 0.01, 0.01, "equivalent"),
        (-0.4, 0.4, 0.5, 0.06, "undecided"),
        (-0.4, 0.6, 0.5, 0.01, "undecided"),
        (-0.6, 0.4, 0.5, 0.01, "undecided"),
        (0.1, 0.4, 0.05, 0.06, "better"),
        (NAN, NAN, NAN, NAN, "undecided"),
    ],
)
def test_verdicts(low, high, p, p_equivalence, expected):
    assert verdict(Interval(0.0, low, high), p, p_equivalence, smallest_effect=0.5) == expected


def test_a_p_value_equal_to_the_level_is_enough():
    assert verdict(Interval(1.0, 0.5, 2.0), 0.1, 1, smallest_effect=0.1, confidence=0.9) == "better"


def test_each_verdict_is_reached():
    a, b = rng(3).normal(size=(2, 40))
    assert compare(a + 3, b, rng(), smallest_effect=0.5).verdict == "better"
    assert compare(a - 3, b, rng(), smallest_effect=0.5).verdict == "worse"
    assert compare(a, b, rng(), smallest_effect=3).verdict == "equivalent"
    few = compare(a[:4], b[:4], rng(), smallest_effect=1)
    assert few.verdict == "undecided"
    spread = np.sqrt((a[:4].var(ddof=1) + b[:4].var(ddof=1)) / 2)
    assert few.runs_needed == pytest.approx(2 * 7.85 * spread**2 + 1, rel=0.1)  # 2 (z.975 + z.80)² sd² / 1²


def test_constant_scores_are_compared_with_enough_runs():
    assert compare([9.5] * 20, [9.0] * 20, rng(), 0.1).verdict == "better"
    assert compare([9.5] * 20, [9.5] * 20, rng(), 0.1).verdict == "equivalent"
    assert compare([9.5] * 2, [9.5] * 2, rng(), 0.1).verdict == "undecided"
    assert compare([9.5] * 2, [9.0] * 2, rng(), 0.1).verdict == "undecided"
    result = compare([0.7] * 3, [0.7] * 3, rng(), 0.1)
    assert np.isnan([result.p_welch, result.runs_needed]).all()
    assert (result.p_permutation, result.p_mann_whitney, result.improvement.estimate) == (1, 1, 0.5)


def test_a_single_run_decides_nothing():
    result = compare([3.0], [1.0, 1.5], rng(), 0.1)
    assert result.difference.estimate == 1.75
    assert np.isnan(
        [result.difference.low, result.improvement.low, result.p_welch, result.p_permutation]
    ).all()
    assert (result.verdict, result.improvement.estimate) == ("undecided", 1)


def test_a_failed_run_ranks_below_all_scores():
    fine, failing = np.full(20, 5.0), np.array([6.0] * 10 + [NAN] * 10)
    assert difference_interval(fine, failing, rng()).estimate == -1  # of the finite runs
    assert improvement_interval(fine, failing, rng()).estimate == 0.5
    assert improvement_interval([1.0], [NAN], rng()).estimate == 1
    assert improvement_interval([NAN], [NAN], rng()).estimate == 0.5
    a, b = np.array([1.0, 2.0, NAN, 4.0]), np.array([3.0, 5.0, NAN, NAN, 6.0])
    ranks_a, ranks_b = np.array([4.0, 5.0, 2.0, 7.0]), np.array([6.0, 8.0, 2.0, 2.0, 9.0])
    assert mann_whitney_p(a, b) == mann_whitney_p(ranks_a, ranks_b)
    assert welch_p(a, b) == pytest.approx(welch_p(ranks_a, ranks_b))
    assert permutation_p(a, b, rng()) == permutation_p(ranks_a, ranks_b, rng())
    assert np.isnan(equivalence_p(a, b, rng(), 99.0))


@pytest.mark.parametrize("score", [500.0, -500.0, 0.0])
def test_failed_runs_count_against_a_setting_if_all_scores_are_equal(score):
    fine = np.full(20, score)
    few, many = (np.append(fine[failed:], [NAN] * failed) for failed in (2, 10))
    for a, b in ((few, fine), (fine, few), (few, few)):
        assert compare(a, b, rng(), 10.0).verdict == "undecided"
    assert compare(few, fine, rng(), 10.0).improvement.estimate == 0.45
    assert compare(many, fine, rng(), 10.0).verdict == "worse"
    assert compare(fine, many, rng(), 10.0).verdict == "better"
    assert compare(fine, [NAN] * 20, rng(), 10.0).verdict == "better"
    assert compare([NAN] * 3, [score] * 3, rng(), 10.0).verdict == "undecided"


def test_a_setting_is_not_better_because_its_bad_runs_failed():
    failing, fine = [6.0] * 10 + [NAN] * 10, [5.0] * 20
    assert difference_interval(failing, fine, rng()).low > 0
    assert compare(failing, fine, rng(), 0.1).verdict == "undecided"


def test_a_verdict_by_ranks_does_not_depend_on_how_low_a_score_is():
    a, b = rng(4).normal(size=(2, 15))
    a[3], b[7] = NAN, b.min() - 1
    far = np.where(b == b.min(), -1e9, b)
    near, apart = compare(a + 1, b, rng(), 0.1), compare(a + 1, far, rng(), 0.1)
    assert near.by_ranks
    assert near.p_permutation == apart.p_permutation
    assert near.improvement == apart.improvement


def test_a_single_run_against_failed_runs():
    for a, b in (([1.0], [NAN, NAN]), ([NAN], [1.0, 1.0]), ([NAN], [NAN])):
        result = compare(a, b, rng(), 0.1)
        assert result.verdict == "undecided"
        assert np.isnan([*result.difference, result.p_permutation]).all()


def test_runs_that_all_failed_are_undecided():
    result = compare([NAN] * 3, [NAN] * 3, rng(), 1)
    assert (result.verdict, result.p_mann_whitney, result.p_permutation) == ("undecided", 1, 1)
    assert np.isnan([*result.difference, result.p_welch, result.p_equivalence, result.runs_needed]).all()
    table = score_table({("A", "x"): [NAN] * 3, ("A", "y"): [NAN] * 3})
    assert compare_all(table, rng(), 1).verdict[0] == "undecided"


def test_all_pairs_of_each_environment():
    generator = rng(5)
    table = score_table(
        {("A", name): generator.normal(mean, 1, 30) for name, mean in zip("xyz", (0, 0, 5), strict=True)}
        | {("B", name): generator.normal(mean, 1, 30) for name, mean in zip("xy", (9, 0), strict=True)}
    )
    table.loc[0, "score"] = NAN
    pairs = compare_all(table, rng(), smallest_effect=1.5)
    assert ["".join(row) for row in pairs[["environment", "a", "b"]].to_numpy()] == [
        "Axy",
        "Axz",
        "Ayz",
        "Bxy",
    ]
    assert list(pairs.verdict) == ["undecided", "worse", "worse", "better"]
    assert list(pairs.by_ranks) == [True, True, False, False]
    assert list(pairs.failed_a) == [1, 1, 0, 0]
    assert list(pairs.runs_b) == [30] * 4
    np.testing.assert_array_equal(pairs.p_holm, holm(pairs.p_permutation.to_numpy()))
    alone = compare(table.score[60:90], table.score[30:60], rng(), 1.5)
    assert pairs.difference[2] == pytest.approx(-alone.difference.estimate)
    assert pairs.improvement[2] == pytest.approx(1 - alone.improvement.estimate)


def test_without_a_smallest_effect_nothing_is_equivalent():
    a, b = rng(3).normal(size=(2, 40))
    assert compare(a + 3, b, rng(), smallest_effect=None).verdict == "better"
    same = compare(a, a, rng(), smallest_effect=None)
    assert same.verdict == "undecided"
    assert np.isnan([same.p_equivalence, same.runs_needed]).all()
    (pair,) = compare_all(
        score_table({("E", "x"): a, ("E", "y"): a}), rng(), smallest_effect=None
    ).itertuples()
    assert pair.verdict == "undecided"
    assert pair.smallest_effect is None


def test_each_environment_may_have_its_own_smallest_effect():
    x, y = rng(6).normal(size=(2, 30))
    table = score_table({("A", "x"): x, ("A", "y"): y, ("B", "x"): 100 * x, ("B", "y"): 100 * y})
    pairs = compare_all(table, rng(), {"A": 1, "B": 100})
    assert list(pairs.verdict) == ["equivalent"] * 2
    assert list(compare_all(table, rng(), 1).verdict) == ["equivalent", "undecided"]
    with pytest.raises(InputError, match="unknown environment 'B'"):
        compare_all(table, rng(), {"A": 1})


def test_the_verdict_is_corrected_for_many_pairs():
    """Of 190 tests of equal settings some find a difference without the correction, and none with it."""
    generator = rng(1)
    table = score_table({("A", f"s{i:02}"): generator.normal(size=4) for i in range(20)})
    pairs = compare_all(table, generator, smallest_effect=0.1)
    assert (pairs.p_permutation < 0.05).any()
    assert set(pairs.verdict) == {"undecided"}


def test_false_verdicts_are_rare():
    """At most 5 % of comparisons of equal groups find a difference.

    At most 5 % of comparisons of groups that differ by the smallest effect find equivalence. The bootstrap
    interval alone, of 5 runs, is wrong more often.
    """
    generator, studies = rng(7), 300
    different, equivalent, outside = np.zeros((3, studies), bool)
    for study in range(studies):
        a, b = generator.normal(size=(2, 5))
        interval = difference_interval(a, b, generator)
        different[study] = verdict(interval, permutation_p(a, b, generator), 1, 1e-9) != "undecided"
        outside[study] = not interval.low <= 0 <= interval.high
        apart = Interval(*(np.array(interval) + 4))
        equivalent[study] = verdict(apart, 1, equivalence_p(a + 4, b, generator, 4), 4) == "equivalent"
    limit = 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)
    assert max(different.mean(), equivalent.mean()) <= limit < outside.mean()


def test_coverage_of_the_probability_of_improvement():
    generator, studies, hits = rng(8), 200, 0
    truth = stats.norm.cdf(1 / np.sqrt(2))
    for _ in range(studies):
        a, b = generator.normal(size=(2, 30))
        _, low, high = improvement_interval(a + 1, b, generator)
        hits += low <= truth <= high
    assert share_of(hits, studies, 0.94, sds=3)


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="at least one run of each"):
        compare([], [1.0], rng(), 1)
    with pytest.raises(InputError, match="smallest_effect must be above 0 and finite, got 0"):
        compare([1.0], [1.0], rng(), 0)
    with pytest.raises(InputError, match="two settings in one environment"):
        compare_all(score_table({("A", "x"): [1.0], ("B", "y"): [1.0]}), rng(), 1)


def test_a_clear_difference_is_found_among_many_pairs():
    """Holm's correction multiplies the smallest p-value by the number of pairs, 253."""
    scores = {("A", f"s{i:02}"): rng(i).normal(size=12) for i in range(23)}
    scores["A", "s07"] += 20
    pairs = compare_all(score_table(scores), rng(), smallest_effect=None)
    apart = (pairs.a == "s07") | (pairs.b == "s07")
    assert list(pairs.verdict[apart]) == ["worse"] * 7 + ["better"] * 15
    assert set(pairs.verdict[~apart]) == {"undecided"}


@pytest.mark.parametrize("sizes", [(4, 4, 4), (4, 6, 3), (2, 5, 1)])
def test_many_pairs_at_once_agree_with_each_pair_by_itself(sizes):
    """Of so few runs all tests are exact. One setting has a failed run, and one has ties with another."""
    generator = rng(9)
    scores = {("A", name): generator.normal(size=n) for name, n in zip("wxy", sizes, strict=True)}
    scores["A", "z"] = np.append(scores["A", "w"], NAN)
    scores["B", "w"], scores["B", "x"] = scores["A", "w"], scores["A", "x"] + 1
    pairs = compare_all(score_table(scores), rng(), {"A": 1.0, "B": 2.0})
    assert len(pairs) == 6 + 1
    tests = ["p_welch", "p_permutation", "p_mann_whitney", "p_equivalence", "by_ranks", "runs_needed"]
    for row in pairs.to_dict("records"):
        a, b = scores[row["environment"], row["a"]], scores[row["environment"], row["b"]]
        alone = compare(a, b, rng(), row["smallest_effect"])
        assert [row[name] for name in tests] == pytest.approx([getattr(alone, x) for x in tests], nan_ok=True)
        for name in ("difference", "improvement"):
            assert row[name] == pytest.approx(getattr(alone, name).estimate, nan_ok=True)
            spread = (np.nanmax(np.append(a, b)) - np.nanmin(np.append(a, b))) if name == "difference" else 1
            ends = [row[f"{name}_low"], row[f"{name}_high"]]
            assert ends == pytest.approx(getattr(alone, name)[1:], abs=0.15 * spread, nan_ok=True)


def test_the_best_and_a_baseline_are_compared_with_each_other_setting():
    generator = rng(5)
    table = score_table(
        {
            (environment, name): generator.normal(mean, 1, 12)
            for environment, means in (("A", (0, 9, 3, 6)), ("B", (9, 0, 3, 6)))
            for name, mean in zip("wxyz", means, strict=True)
        }
    )
    best = compare_with_best(table, rng(), 1.0)
    rows = ["".join(row) for row in best[["environment", "a", "b"]].to_numpy()]
    assert rows == ["Azx", "Ayx", "Awx", "Bzw", "Byw", "Bxw"]
    assert set(best.tests) == {2 * 6}
    assert set(best.verdict) == {"worse"}
    based = compare_with_baseline(table, "y", rng(), 1.0)
    rows = ["".join(row) for row in based[["environment", "a", "b"]].to_numpy()]
    assert rows == ["Axy", "Azy", "Awy", "Bwy", "Bzy", "Bxy"]
    assert set(based.tests) == {2 * 3}
    assert list(based.verdict) == ["better", "better", "worse"] * 2
    np.testing.assert_array_equal(based.p_holm, holm(based.p_permutation.to_numpy()))
    np.testing.assert_array_equal(best.p_holm, holm(best.p_permutation.to_numpy(), 12))
    with pytest.raises(InputError, match="unknown baseline 'v'"):
        compare_with_baseline(table, "v", rng(), 1.0)
    with pytest.raises(InputError, match="two settings in one environment"):
        compare_with_best(score_table({("A", "x"): [1.0, 2.0]}), rng(), 1.0)


def test_a_setting_with_a_failed_run_can_be_the_best():
    table = score_table({("A", "x"): [1.0] * 8, ("A", "y"): [5.0] * 7 + [NAN], ("A", "z"): [2.0] * 8})
    best = compare_with_best(table, rng(), 1.0)
    assert set(best.b) == {"y"}
    assert list(best.a) == ["z", "x"]
    assert list(best.by_ranks) == [True, True]


def test_holm_counts_tests_that_were_not_done_as_ones():
    p_values = np.array([0.01, 0.04, 0.001])
    np.testing.assert_allclose(holm(p_values, 7), holm(np.append(p_values, [1.0] * 4))[:3])
    assert holm(p_values, 7).tolist() == pytest.approx([0.06, 0.2, 0.007])


def test_the_best_of_equal_settings_is_seldom_called_better():
    """Holm's correction for the pairs with the best alone is wrong more often, since the runs chose it."""
    generator, studies = rng(10), 60
    found, uncorrected = np.zeros((2, studies), bool)
    for study in range(studies):
        table = score_table({("A", f"s{i}"): generator.normal(size=7) for i in range(20)})
        pairs = compare_with_best(table, generator, None)
        assert set(pairs.tests) == {190}
        found[study] = (pairs.verdict != "undecided").any()
        uncorrected[study] = (holm(pairs.p_permutation.to_numpy()) <= 0.05).any()
    limit = 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)
    assert found.mean() <= limit < uncorrected.mean()


def test_all_pairs_share_their_draws(monkeypatch):
    """Draws are counted, not timed: 9,999, and for small p-values enough for a corrected p-value of 0.04."""
    drawn, counted = [], permutations.drawn_counts

    def counting(pooled, size, draws, generator):
        drawn.append((len(pooled), draws))
        return counted(pooled, size, draws, generator)

    monkeypatch.setattr(permutations, "drawn_counts", counting)
    scores = {("A", f"s{i:02}"): rng(i).normal(40 * (i > 2), size=15) for i in range(30)}
    best = compare_with_best(score_table(scores), rng(), 1.0)
    assert len(best) == 29
    small = int((best.p_permutation < 0.02).sum())
    assert small >= 3
    assert drawn == [(29, 9_999), (small, 21_750 - 9_999), (29, 9_999), (29, 9_999)]
    assert best.p_holm.min() == pytest.approx(0.04, rel=0.001)
    drawn.clear()
    assert len(compare_all(score_table(scores), rng(), None)) == 435
    assert [draws for _, draws in drawn] == [9_999, 21_750 - 9_999]


def test_more_permutations_are_drawn_only_for_small_p_values():
    a, b = rng(1).normal(size=(2, 12))
    assert permutation_p(a, b, rng(), permutations=50_000) == permutation_p(a, b, rng()) > 0.02
    assert permutation_p(a + 20, b, rng()) == 2 / 10_000
    assert permutation_p(a + 20, b, rng(), permutations=50_000) == 2 / 50_001
