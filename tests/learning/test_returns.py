"""TD errors and advantages beside plain loops, and what termination and truncation cut."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.learning.returns import generalised_advantage, td_error

STEPS, LANES = 40, 3


def test_three_steps_by_hand():
    """δ = (1 + 4/2 - 2, 0 + 0/2 - 4, 3 - 6) = (1, -4, -3), and a discount times λ of 1/4."""
    value, next_value = jnp.array([2.0, 4.0, 6.0]), jnp.array([4.0, 0.0, 9.0])
    terminated = jnp.array([False, False, True])
    delta = td_error(value, jnp.array([1.0, 0.0, 3.0]), 0.5, terminated, next_value)
    np.testing.assert_allclose(delta, [1, -4, -3])
    advantage = generalised_advantage(delta, terminated, 0.5, 0.5)
    np.testing.assert_allclose(advantage, [1 - 4.75 / 4, -4 - 3 / 4, -3])


def test_td_error_equals_a_loop():
    value, next_value, reward, terminated, _ = trajectories()
    expected = np.empty((STEPS, LANES))
    for index in np.ndindex(STEPS, LANES):
        bootstrap = 0.0 if terminated[index] else 0.9 * next_value[index]
        expected[index] = reward[index] + bootstrap - value[index]
    delta = td_error(value, reward, 0.9, terminated, next_value)
    np.testing.assert_allclose(delta, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("gae_lambda", [0.0, 0.7, 1.0])
def test_advantage_equals_a_loop(gae_lambda):
    value, next_value, reward, terminated, truncated = trajectories()
    discount = 0.9
    expected = np.zeros((STEPS, LANES))
    for lane in range(LANES):
        advantage = 0.0
        for t in reversed(range(STEPS)):
            follows = 0.0 if terminated[t, lane] else 1.0
            continues = 0.0 if terminated[t, lane] or truncated[t, lane] else 1.0
            delta = reward[t, lane] + discount * follows * next_value[t, lane] - value[t, lane]
            advantage = delta + discount * gae_lambda * continues * advantage
            expected[t, lane] = advantage
    delta = td_error(value, reward, discount, terminated, next_value)
    actual = generalised_advantage(delta, terminated | truncated, discount, gae_lambda)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_lambda_0_gives_the_td_error():
    delta = np.random.default_rng(0).normal(size=STEPS).astype(np.float32)
    never = np.zeros(STEPS, bool)
    np.testing.assert_array_equal(generalised_advantage(delta, never, 0.9, 0.0), delta)


def test_lambda_1_gives_the_discounted_return_minus_the_value():
    rng, discount = np.random.default_rng(0), 0.9
    value, reward = rng.normal(size=(2, STEPS)).astype(np.float32)
    terminated = np.arange(STEPS) == STEPS - 1
    delta = td_error(value, reward, discount, terminated, np.append(value[1:], 100.0))
    advantage = generalised_advantage(delta, terminated, discount, 1.0)
    returns = [sum(discount**i * later for i, later in enumerate(reward[t:])) for t in range(STEPS)]
    np.testing.assert_allclose(advantage, returns - value, rtol=1e-4, atol=1e-5)


def test_termination_cuts_the_bootstrap_whatever_the_value_behind_it():
    terminated = jnp.array([False, True])
    delta = td_error(jnp.ones(2), jnp.ones(2), 0.5, terminated, jnp.array([8.0, jnp.nan]))
    np.testing.assert_array_equal(delta, [4, 0])


@pytest.mark.parametrize("ending", ["terminated", "truncated"])
def test_either_ending_cuts_the_trace_but_only_termination_the_bootstrap(ending):
    terminated = np.array([ending == "terminated", False])
    done = np.array([True, False])
    value, reward, next_value = np.zeros(2), np.zeros(2), np.array([10.0, 20.0])
    delta = td_error(value, reward, 0.5, terminated, next_value)
    advantage = generalised_advantage(delta, done, 0.5, 1.0)
    np.testing.assert_array_equal(advantage, [0 if ending == "terminated" else 5, 10])


def trajectories():
    """Values, next values, rewards, terminated and truncated, never both: [STEPS, LANES] each."""
    rng = np.random.default_rng(0)
    value, next_value, reward = rng.normal(size=(3, STEPS, LANES)).astype(np.float32)
    ending = rng.integers(6, size=(STEPS, LANES))
    return value, next_value, reward, ending == 0, ending == 1
