"""The arms' distributions, their drift, and what is seen of a pull."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from envs import BernoulliBandit, GaussianBandit
from jaxrl.mdp.bandit import Arms

N = 4_000
KEYS = random.split(random.key(0), N)


def pulled(env, means, action):
    """N pulls of an arm: states after them [N] and rewards [N]."""
    state = Arms(jnp.float32(means), jnp.zeros(env.num_arms + 1))
    after, reward, terminated = jax.jit(jax.vmap(lambda key: env.step(key, state, action)))(KEYS)
    assert not terminated.any()
    return after, np.asarray(reward)


def test_gaussian_arms():
    env = GaussianBandit(num_arms=5, mean=4.0, spread=2.0, noise=0.5)
    means = np.asarray(jax.jit(jax.vmap(env.reset))(KEYS).means)
    assert means.shape == (N, 5)
    assert means.mean() == pytest.approx(4.0, abs=0.1)
    assert means.std() == pytest.approx(2.0, rel=0.05)
    after, reward = pulled(env, [1, 2, 3, 4, 5], 2)
    assert reward.mean() == pytest.approx(3.0, abs=0.04)
    assert reward.std() == pytest.approx(0.5, rel=0.05)
    assert (after.means == jnp.arange(1, 6)).all()


def test_bernoulli_arms():
    env = BernoulliBandit(num_arms=3)
    means = np.asarray(jax.jit(jax.vmap(env.reset))(KEYS).means)
    assert 0 <= means.min() < 0.01
    assert 0.99 < means.max() <= 1
    _, reward = pulled(env, [0.2, 0.7, 1.0], 1)
    assert set(reward) == {0, 1}
    assert reward.mean() == pytest.approx(0.7, abs=0.03)
    assert (pulled(env, [0.2, 0.7, 1.0], 2)[1] == 1).all()
    assert env.is_binary
    assert not GaussianBandit().is_binary


def test_means_drift():
    after, _ = pulled(GaussianBandit(num_arms=2, drift=0.1), [1, 2], 0)
    assert np.std(after.means, axis=0) == pytest.approx([0.1, 0.1], rel=0.05)
    assert np.mean(after.means, axis=0) == pytest.approx([1, 2], abs=0.01)
    assert np.corrcoef(np.asarray(after.means).T)[0, 1] == pytest.approx(0, abs=0.06)


def test_probabilities_are_reflected_at_their_bounds():
    drifted = BernoulliBandit(num_arms=4).drifted(
        jnp.float32([0.9, 0.1, 0.5, 0.5]), jnp.float32([0.3, -0.3, 0.2, -1.7])
    )
    np.testing.assert_allclose(drifted, [0.8, 0.2, 0.7, 0.8], rtol=1e-6)


def test_an_observation_is_the_last_pull():
    env = GaussianBandit(num_arms=3)
    state = env.reset(random.key(0))
    np.testing.assert_array_equal(env.observe(state), np.zeros(4))
    after, reward, _ = env.step(random.key(1), state, jnp.int32(1))
    np.testing.assert_allclose(env.observe(after), [0, 1, 0, reward])
    assert env.observation_space.contains(env.observe(after))
