"""The rules of the learners of bandits by hand, and their regret."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from scipy import stats

from envs import BernoulliBandit, CartPole, GaussianBandit
from jaxrl.algorithms import UCB1, EpsilonGreedy, GradientBandit, Thompson
from jaxrl.algorithms.bandits import (
    Estimates,
    Preferences,
    normal_posterior,
    preference_change,
    sample_average,
    upper_confidence_bound,
)
from jaxrl.errors import InputError
from jaxrl.study.study import make_study
from tests.lanes import batch_of, engine, start

ENV = GaussianBandit(num_arms=3)
KNOWN = Estimates(jnp.float32([2, 1, 0]), jnp.float32([0.5, 2.0, 0.0]))
FIRST = jnp.float32([1, 0, 0])
KEYS = random.split(random.key(0), 2_000)


def chosen(algorithm, memory):
    """How often each arm is chosen."""
    return np.bincount(jax.jit(jax.vmap(lambda key: algorithm.choose(memory, key)))(KEYS), minlength=3) / len(
        KEYS
    )


def test_sample_averages():
    after = sample_average(KNOWN, FIRST, jnp.float32(2.0))
    np.testing.assert_allclose(after.count, [3, 1, 0])
    np.testing.assert_allclose(after.value, [1.0, 2.0, 0.0])
    after = sample_average(KNOWN, FIRST, jnp.float32(2.0), step_size=0.1)
    np.testing.assert_allclose(after.value, [0.5 + 0.1 * 1.5, 2.0, 0.0])
    before = sample_average(KNOWN, 0 * FIRST, jnp.float32(0.0))
    np.testing.assert_array_equal(before.value, KNOWN.value)


def test_epsilon_greedy():
    np.testing.assert_allclose(chosen(EpsilonGreedy(epsilon=0.3), KNOWN), [0.1, 0.8, 0.1], atol=0.03)
    optimistic = EpsilonGreedy(initial_value=5.0)
    np.testing.assert_array_equal(optimistic.memory(ENV).value, [5, 5, 5])
    moving = EpsilonGreedy(step_size=0.1).learn(KNOWN, FIRST, jnp.float32(2.0))
    np.testing.assert_allclose(moving.value, [0.65, 2.0, 0.0])


def test_ucb1():
    """ln 3 / 2 and ln 3 / 1 are the squares of the widths; an arm that was never pulled comes first."""
    bound = upper_confidence_bound(KNOWN, 2.0)
    np.testing.assert_allclose(
        bound[:2], [0.5 + 2 * np.sqrt(np.log(3) / 2), 2 + 2 * np.sqrt(np.log(3))], rtol=1e-6
    )
    assert chosen(UCB1(), KNOWN).tolist() == [0, 0, 1]
    pulled = Estimates(jnp.float32([90, 9, 1]), jnp.float32([0.5, 0.4, 0.0]))
    assert chosen(UCB1(confidence=0.0), pulled).tolist() == [1, 0, 0]
    assert chosen(UCB1(confidence=0.5), pulled).tolist() == [0, 0, 1]


def test_the_gradient_bandit():
    preference = jnp.log(jnp.float32([2, 1, 1]))
    np.testing.assert_allclose(
        preference_change(preference, FIRST, jnp.float32(3.0)), [1.5, -0.75, -0.75], rtol=1e-6
    )
    np.testing.assert_allclose(
        chosen(GradientBandit(), Preferences(1.0, 1.0, preference)), [0.5, 0.25, 0.25], atol=0.03
    )
    memory = Preferences(jnp.float32(1), jnp.float32(1), preference)
    after = GradientBandit(step_size=0.5).learn(memory, FIRST, jnp.float32(3.0))
    assert (after.count, after.mean) == (2, 2)  # the average reward includes the new one
    np.testing.assert_allclose(after.preference - preference, [0.25, -0.125, -0.125], rtol=1e-5)
    after = GradientBandit(step_size=0.5, baseline=False).learn(memory, FIRST, jnp.float32(3.0))
    np.testing.assert_allclose(after.preference - preference, [0.75, -0.375, -0.375], rtol=1e-5)
    still = GradientBandit().learn(GradientBandit().memory(ENV), 0 * FIRST, jnp.float32(0))
    assert not any(leaf.any() for leaf in jax.tree.leaves(still))


def test_a_normal_posterior():
    """Precisions add up: 1/4 of the prior and 2/9 of two rewards of mean 1/2."""
    mean, scale = map(np.asarray, normal_posterior(KNOWN, 1.0, 2.0, 3.0))
    np.testing.assert_allclose(mean[[0, 2]], [(1 / 4 + 1 / 9) / (1 / 4 + 2 / 9), 1.0], rtol=1e-6)
    np.testing.assert_allclose(scale[[0, 2]], [(1 / 4 + 2 / 9) ** -0.5, 2.0], rtol=1e-6)


def test_thompson_chooses_an_arm_as_often_as_it_is_best_in_the_posterior():
    """Of two arms: the difference of normal means, and of beta variables by quadrature."""
    two = Estimates(jnp.float32([4, 9]), jnp.float32([0.5, 0.25]))
    mean, scale = (np.asarray(part) for part in normal_posterior(two, 0.0, 1.0, 1.0))
    normal = stats.norm.cdf((mean[0] - mean[1]) / np.hypot(*scale))
    assert chosen(Thompson(), two)[0] == pytest.approx(normal, abs=0.04)
    two = Estimates(jnp.float32([4, 8]), jnp.float32([0.5, 0.25]))
    x = (np.arange(2_000) + 0.5) / 2_000
    beta = np.mean(stats.beta(3, 3).pdf(x) * stats.beta(3, 7).cdf(x))
    assert chosen(Thompson(posterior="beta"), two)[0] == pytest.approx(beta, abs=0.04)


def test_the_normal_posteriors_numbers_count():
    changes = ({"prior_mean": 3.0}, {"prior_scale": 9.0}, {"noise": 0.1})
    usual = chosen(Thompson(), KNOWN)
    assert all(np.abs(chosen(Thompson(**change), KNOWN) - usual).max() > 0.05 for change in changes)


@pytest.fixture(scope="module")
def regrets():
    """Regret of 500 pulls of 64 problems by learner, and the state after them."""
    found = {}
    for each in (EpsilonGreedy(epsilon=1.0), UCB1(confidence=1.0), Thompson()):
        lanes, state = start(batch_of([each] * 64, GaussianBandit(), range(64)))
        state, metrics, _ = engine().advance(
            lanes.algorithm, lanes.environment, state, lanes.keys.steps, lanes.shared, 0, 500, 500
        )
        found[type(each)] = {name: np.asarray(total) for name, (total, _) in metrics.items()}, state
    return found


def test_regret_falls_with_knowledge(regrets):
    uniform, ucb1, thompson = (metrics["regret"].mean() for metrics, _ in regrets.values())
    assert uniform == pytest.approx(500 * 1.54, rel=0.15)  # the mean of the best of 10 standard normals
    assert ucb1 < 0.25 * uniform
    assert thompson < 0.25 * uniform
    best = [metrics["best_arm"].mean() / 500 for metrics, _ in regrets.values()]
    assert best[0] == pytest.approx(0.1, abs=0.01)
    assert min(best[1:]) > 0.5


def test_the_memory_counts_the_pulls_of_the_episode(regrets):
    """The last pull is still to be seen."""
    _, state = regrets[UCB1]
    np.testing.assert_array_equal(state.episode.memory.count.sum(axis=1), np.full(64, 499))
    assert (state.episode.episode_length == 500).all()


@pytest.mark.parametrize(
    ("algorithm", "env", "said"),
    [
        (UCB1(), CartPole(), r"^UCB1 needs a bandit, such as GaussianBandit-v0; CartPole has states: use "),
        (
            Thompson(posterior="beta"),
            GaussianBandit(),
            "^Thompson's beta posterior needs rewards of 0 and 1; ",
        ),
        (
            EpsilonGreedy(epsilon=2.0),
            BernoulliBandit(),
            r"^EpsilonGreedy\.epsilon must be in \[0, 1\], got 2\.0$",
        ),
        (UCB1(), BernoulliBandit(num_arms=1), r"^BernoulliBandit\.num_arms must be at least 2, got 1$"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(algorithm, env, said):
    with pytest.raises(InputError, match=said):
        make_study(algorithm, env, seeds=1, steps=10)
