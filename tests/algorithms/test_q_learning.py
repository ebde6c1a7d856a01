"""One update of the table, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from jaxrl.algorithms import QLearning
from tests.probes import RewardTwoStepsLater

ENV = RewardTwoStepsLater()
GREEDY = QLearning(learning_rate=0.5, discount=0.5, epsilon_start=0.0, epsilon_end=0.0)


def updated(algorithm, q, t=0, total=10):
    """The tables after one step from the first state, whose successor is the second; reward 0."""
    state = algorithm.init(ENV, random.key(0)).replace(q=jnp.asarray(q, jnp.float32))
    state, _ = algorithm.step(ENV, state, jnp.int32(t), jnp.int32(total))
    return np.asarray(state.q)


def test_q_learning():
    after = updated(GREEDY, [[[1, 3], [4, 2], [0, 0]]])
    np.testing.assert_allclose(after, [[[1, 3 + 0.5 * (0.5 * 4 - 3)], [4, 2], [0, 0]]])


def test_double_q_learning_evaluates_with_the_other_table():
    """The first table's best next action is 0, the second's 1; each is valued by the other table."""
    tables = np.array([[[1.0, 9.0], [4.0, 2.0], [0, 0]], [[1.0, 9.0], [5.0, 7.0], [0, 0]]])
    by_hand = []
    for selector, value in ((0, 5.0), (1, 2.0)):
        expected = tables.copy()
        expected[selector, 0, 1] += 0.5 * (0.5 * value - 9.0)
        by_hand.append(expected)
    seen = [updated(GREEDY.replace(double=True), tables, t) for t in range(20)]
    matches = [[np.allclose(after, expected) for expected in by_hand] for after in seen]
    assert all(sum(row) == 1 for row in matches)
    assert 0 < sum(row[0] for row in matches) < 20  # both tables have their turn


@pytest.mark.parametrize(("t", "rate"), [(0, 0.5), (5, 0.5 * 0.6), (10, 0.5 * 0.2)])
def test_learning_rate_decays_linearly(t, rate):
    after = updated(GREEDY.replace(learning_rate_decay=0.2), [[[1, 3], [4, 2], [0, 0]]], t)
    assert after[0, 0, 1] == pytest.approx(3 + rate * (0.5 * 4 - 3))


def test_exponential_epsilon_counts_episodes():
    algorithm = QLearning(epsilon_schedule="exponential", epsilon_decay=0.5, epsilon_end=0.1)
    state, epsilons = algorithm.init(ENV, random.key(0)), []
    step = jax.jit(algorithm.step)
    for t in range(12):  # episodes of three steps
        state, metrics = step(ENV, state, t, 100)
        epsilons.append(float(metrics["epsilon"][0]))
    np.testing.assert_allclose(epsilons, np.repeat([1.0, 0.5, 0.25, 0.125], 3))
