"""TD targets, advantages and n-step returns beside plain loops, and what termination and truncation cut."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.learning.returns import generalised_advantage, n_step_return, td_target
from jaxrl.mdp.episode import Experience

STEPS, LANES = 40, 3


def td_error(value, *args):
    return td_target(*args) - value


def test_three_steps_by_hand():
    """δ = (1 + 4/2 - 2, 0 + 0/2 - 4, 3 - 6) = (1, -4, -3), and a discount times λ of 1/4."""
    value, next_value = jnp.array([2.0, 4.0, 6.0]), jnp.array([4.0, 0.0, 9.0])
    terminated = jnp.array([False, False, True])
    delta = td_error(value, jnp.array([1.0, 0.0, 3.0]), 0.5, terminated, next_value)
    np.testing.assert_allclose(delta, [1, -4, -3])
    advantage = generalised_advantage(delta, terminated, 0.5, 0.5)
    np.testing.assert_allclose(advantage, [1 - 4.75 / 4, -4 - 3 / 4, -3])


def test_td_target_equals_a_loop():
    _, next_value, reward, terminated, _ = trajectories()
    expected = np.empty((STEPS, LANES))
    for index in np.ndindex(STEPS, LANES):
        bootstrap = 0.0 if terminated[index] else 0.9 * next_value[index]
        expected[index] = reward[index] + bootstrap
    target = td_target(reward, 0.9, terminated, next_value)
    np.testing.assert_allclose(target, expected, rtol=1e-5, atol=1e-6)


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
    target = td_target(jnp.ones(2), 0.5, terminated, jnp.array([8.0, jnp.nan]))
    np.testing.assert_array_equal(target, [5, 1])


@pytest.mark.parametrize("ending", ["terminated", "truncated"])
def test_either_ending_cuts_the_trace_but_only_termination_the_bootstrap(ending):
    terminated = np.array([ending == "terminated", False])
    done = np.array([True, False])
    value, reward, next_value = np.zeros(2), np.zeros(2), np.array([10.0, 20.0])
    delta = td_error(value, reward, 0.5, terminated, next_value)
    advantage = generalised_advantage(delta, done, 0.5, 1.0)
    np.testing.assert_array_equal(advantage, [0 if ending == "terminated" else 5, 10])


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(AssertionError, match="shapes"):
        td_target(jnp.ones((2, 1)), 0.9, jnp.zeros(2, bool), jnp.ones(2))
    with pytest.raises(AssertionError, match="shapes"):
        generalised_advantage(jnp.ones((2, 1)), jnp.zeros(2, bool), 0.9, 0.9)


def trajectories():
    """Values, next values, rewards, terminated and truncated, never both: [STEPS, LANES] each."""
    rng = np.random.default_rng(0)
    value, next_value, reward = rng.normal(size=(3, STEPS, LANES)).astype(np.float32)
    ending = rng.integers(6, size=(STEPS, LANES))
    return value, next_value, reward, ending == 0, ending == 1


def segment(rewards, terminated, truncated):
    """Successive transitions of one environment, observed as 0, 1, 2 and so on."""
    obs = np.arange(len(rewards))
    ends, cuts = np.asarray(terminated, bool), np.asarray(truncated, bool)
    return Experience(obs, obs, np.asarray(rewards, np.float32), obs + 1, ends, cuts)


BY_HAND = {  # terminated, truncated, expected
    "goes on": ([0, 0, 0], [0, 0, 0], (1 + 0.5 * 2 + 0.25 * 4, 0.125, 3)),
    "terminates second": ([0, 1, 0], [0, 0, 0], (1 + 0.5 * 2, 0.0, 2)),
    "is cut second": ([0, 0, 0], [0, 1, 0], (1 + 0.5 * 2, 0.25, 2)),
    "terminates first": ([1, 0, 0], [0, 0, 1], (1, 0.0, 1)),
    "terminates last": ([0, 0, 1], [0, 0, 0], (1 + 0.5 * 2 + 0.25 * 4, 0.0, 3)),
    "is cut first": ([0, 0, 1], [1, 0, 0], (1, 0.5, 1)),
}


def test_n_step_returns_by_hand():
    found = n_step_returns([segment([1, 2, 4], *ends) for *ends, _ in BY_HAND.values()], 0.5)
    assert dict(zip(BY_HAND, found, strict=True)) == {name: case[-1] for name, case in BY_HAND.items()}


def n_step_returns(segments, discount):
    """The three parts of each segment's n-step return."""
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *segments)
    parts = jax.jit(jax.vmap(n_step_return, (0, None)))(stacked, discount)
    return list(zip(*(part.tolist() for part in parts), strict=True))


def plain_n_step(rewards, ends, cuts, discount):
    """The discounted reward, the discount of what follows, and the place of the last transition that counts."""
    total, weight, i = 0.0, 1.0, 0
    for i, reward in enumerate(rewards):
        total += weight * reward
        weight *= discount
        if ends[i] or cuts[i]:
            break
    return total, 0.0 if ends[i] else weight, i


@pytest.mark.parametrize("n", [1, 2, 5])
def test_n_step_returns_against_a_plain_loop(n):
    rng, count = np.random.default_rng(n), 100
    rewards, ends, cuts = rng.normal(size=(count, n)), *(rng.random((2, count, n)) < 0.2)
    cuts &= ~ends
    segments = [segment(*each) for each in zip(rewards, ends, cuts, strict=True)]
    found = n_step_returns(segments, 0.9)
    for *each, (reward, bootstrap, next_obs) in zip(rewards, ends, cuts, found, strict=True):
        total, weight, last = plain_n_step(*each, 0.9)
        assert reward == pytest.approx(total, abs=1e-5)
        assert bootstrap == pytest.approx(weight, abs=1e-6)
        assert next_obs == last + 1
