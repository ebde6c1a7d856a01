import numpy as np
import pytest
from scipy import stats

from jaxrl.errors import InputError
from jaxrl.statistics import pilot_power, pilot_runs_needed, runs_needed, t_test_power
from tests.scores import GOLDEN, share_of


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("effect", "runs", "power"), GOLDEN["power"])
def test_power_agrees_with_statsmodels(effect, runs, power):
    assert t_test_power(effect, runs) == pytest.approx(power, abs=1e-9)
    assert t_test_power(-effect, runs) == pytest.approx(power, abs=1e-9)


@pytest.mark.parametrize(("effect", "runs"), GOLDEN["runs"])
def test_runs_needed_agree_with_statsmodels_rounded_up(effect, runs):
    assert runs_needed(effect) == int(np.ceil(runs))


def test_runs_needed_as_published():
    assert [runs_needed(d) for d in (0.5, 1, 1.5, 2)] == [64, 17, 9, 6]


@pytest.mark.parametrize("effect", [1e-12, *np.geomspace(0.003, 1_000, 23)])
def test_runs_needed_are_the_least(effect):
    runs = runs_needed(effect)
    assert t_test_power(effect, runs) >= 0.8
    assert runs == 2 or t_test_power(effect, runs - 1) < 0.8


def test_power_without_an_effect_is_the_level():
    assert t_test_power(0, 12, level=0.01) == pytest.approx(0.01)
    assert 0.999 < t_test_power(3, 100) <= 1  # scipy gives NaN for the other tail


def test_power_by_simulation():
    a, b = rng(1).normal(size=(2, 4_000, 17))
    found = np.count_nonzero(stats.ttest_ind(a + 1, b, axis=1).pvalue <= 0.05)
    assert share_of(found, 4_000, t_test_power(1, 17))


def test_a_normal_pilot_agrees_with_the_formula():
    pilot = stats.norm.ppf((np.arange(200) + 0.5) / 200)  # quantiles of the normal distribution
    assert pilot_power(pilot + 1, pilot, 17, rng()) == pytest.approx(t_test_power(1, 17), abs=0.03)
    assert pilot_power(pilot, pilot, 17, rng()) == pytest.approx(0.05, abs=0.02)
    assert pilot_runs_needed(pilot + 1, pilot, rng()) == pytest.approx(17, abs=2)
    assert pilot_runs_needed(pilot + 1, pilot, rng(), power=0.95) == pytest.approx(
        runs_needed(1, 0.95), abs=3
    )


def test_equal_pilots_never_suffice():
    pilot = rng(2).normal(size=10)
    assert pilot_runs_needed(pilot, pilot, rng(), most=64) is None


def test_different_constants_are_found_with_enough_runs():
    constants = [1.0, 1.0], [2.0, 2.0]
    assert [pilot_power(*constants, runs, rng()) for runs in (3, 4)] == [0, 1]
    assert pilot_runs_needed(*constants, rng()) == 4
    assert pilot_power([1.0, 1.0], [1.0, 1.0], 5, rng()) == 0
    assert 0.3 < pilot_power([0, 0, 0, 1], [1, 1, 1, 0], 12, rng()) < 0.99


def test_failed_runs_of_a_pilot_rank_below_all_scores():
    failing, fine = [5.0, 5.5, np.nan, np.nan, np.nan], [5.0, 5.5, 6.0, 6.5, 7.0]
    ranks = [4.5, 6.5, 2.0, 2.0, 2.0], [4.5, 6.5, 8.0, 9.0, 10.0]
    assert pilot_power(fine, failing, 20, rng()) == pilot_power(*ranks[::-1], 20, rng())
    assert pilot_runs_needed([500.0] * 18 + [np.nan] * 2, [500.0] * 20, rng()) > 50
    assert pilot_power([np.nan] * 3, [500.0] * 3, 4, rng()) == 1
    assert pilot_power([np.nan] * 3, [np.nan] * 3, 4, rng()) == 0


def test_bad_input_is_refused():
    for effect in (0, np.nan, np.inf):
        with pytest.raises(InputError, match="effect must be finite and not 0"):
            runs_needed(effect)
    with pytest.raises(InputError, match="power must be above 0 and below 1, got 80"):
        runs_needed(1, power=80)
    with pytest.raises(InputError, match="level must be"):
        runs_needed(1, level=0)
    for a, runs in (([1.0], 5), ([1.0, 2.0], 1)):
        with pytest.raises(InputError, match="at least two runs"):
            pilot_power(a, a, runs, rng())
