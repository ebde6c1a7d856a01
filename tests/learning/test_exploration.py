"""Exploration: how often an action is tried, and for how long it is repeated."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from scipy import stats

from jaxrl.learning import exploration
from jaxrl.learning.exploration import epsilon_greedy, repeated_uniform

explored = jax.jit(jax.vmap(epsilon_greedy, (0, None, None)))
VALUES = np.float32([0.1, -0.4, 0.9, 0.2, 0.0])
GREEDY = 2


def actions(epsilon, count=100_000):
    keys = random.split(random.key(0), count)
    return np.asarray(explored(keys, VALUES, epsilon))


def test_epsilon_0_is_always_greedy():
    assert (actions(0.0) == GREEDY).all()


def test_epsilon_1_is_uniform():
    counts = np.bincount(actions(1.0), minlength=len(VALUES))
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("epsilon", [0.05, 0.3])
def test_exploration_is_as_frequent_as_epsilon_and_uniform(epsilon):
    counts = np.bincount(actions(epsilon), minlength=len(VALUES))
    probabilities = np.full(len(VALUES), epsilon / len(VALUES))
    probabilities[GREEDY] += 1 - epsilon
    assert stats.chisquare(counts, counts.sum() * probabilities).pvalue > 1e-3


@pytest.mark.parametrize("epsilon", [1e-6, 0.001, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("n", [1, 3, 5, 7])
def test_draws_below_epsilon_span_the_actions(monkeypatch, epsilon, n):
    """From the least draw to the largest, where rounding up would give the action n."""
    values = jnp.zeros(n)
    for draw, expected in ((0.0, 0), (np.nextafter(np.float32(epsilon), np.float32(0)), n - 1)):
        monkeypatch.setattr(exploration.random, "uniform", lambda _, draw=draw: jnp.float32(draw))
        assert epsilon_greedy(random.key(0), values, jnp.float32(epsilon)) == expected


def test_least_draw_explores_only_if_epsilon_is_positive(monkeypatch):
    monkeypatch.setattr(exploration.random, "uniform", lambda _: jnp.float32(0))
    chosen = [epsilon_greedy(random.key(0), VALUES, epsilon) for epsilon in (0.0, 1e-6)]
    assert chosen == [GREEDY, 0]


@pytest.mark.parametrize("epsilon", [0.0, 1e-3, 0.3, 1.0])
def test_action_always_exists(epsilon):
    chosen = actions(epsilon)
    assert chosen.dtype == np.int32
    assert chosen.min() >= 0
    assert chosen.max() < len(VALUES)


ENVS, STEPS = 3, 60


@jax.jit
def repeated(key, sizes, period):
    """Actions of rollouts of some sizes, one after the other, each of which goes on with the last one's."""
    held, parts, at = jnp.full((ENVS, 2), jnp.nan), [], 0
    for i, size in enumerate(sizes):
        steps = at + jnp.arange(size.size)
        held, actions = repeated_uniform(random.fold_in(key, i), held, steps, period)
        parts, at = [*parts, actions], at + size.size
    return held, jnp.concatenate(parts)


@pytest.mark.parametrize("period", [1, 4, 5, 60])
def test_actions_are_repeated_for_exactly_their_period(period):
    """Whether or not it divides the rollouts, here of 7, 25, 1 and 27 steps."""
    sizes = [np.zeros(n) for n in (7, 25, 1, 27)]
    held, actions = map(np.asarray, repeated(random.key(0), sizes, period))
    assert actions.shape == (STEPS, ENVS, 2)
    blocks = actions.reshape(STEPS // period, period, ENVS, 2)
    assert (blocks == blocks[:, :1]).all()
    assert (
        len(np.unique(blocks[:, 0])) == STEPS // period * ENVS * 2
    )  # the next ones differ, and the neighbours'
    np.testing.assert_array_equal(held, actions[-1])
    assert stats.kstest(blocks[:, 0].ravel(), stats.uniform(-1, 2).cdf).pvalue > 1e-3
