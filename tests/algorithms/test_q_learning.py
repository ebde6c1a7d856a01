"""One update of the table, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax, random

from jaxrl.algorithms import QLearning
from tests.probes import RewardTwoStepsLater

ENV = RewardTwoStepsLater()
GREEDY = QLearning(learning_rate=0.5, discount=0.5, epsilon_start=0.0, epsilon_end=0.0)


@jax.jit
def step(algorithm, q, completed, key, t):
    """The state and the metrics after iteration t of 10 from the first state, whose successor is the second."""
    state = algorithm.init(ENV, random.key(0)).replace(q=q, completed=completed)
    return algorithm.step(ENV, state, key, t, jnp.int32(10))


def updated(algorithm, q, t=0, seed=0):
    """The tables after one step, which earns nothing."""
    state, _ = step(algorithm.arrays(), np.float32(q), np.int32(0), random.key(seed), np.int32(t))
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
    seen = [updated(GREEDY.replace(double=True), tables, seed=seed) for seed in range(20)]
    matches = [[np.allclose(after, expected) for expected in by_hand] for after in seen]
    assert all(sum(row) == 1 for row in matches)
    assert 0 < sum(row[0] for row in matches) < 20  # both tables have their turn


@pytest.mark.parametrize(("t", "rate"), [(0, 0.5), (5, 0.5 * 0.6), (10, 0.5 * 0.2)])
def test_learning_rate_decays_linearly(t, rate):
    after = updated(GREEDY.replace(learning_rate_decay=0.2), [[[1, 3], [4, 2], [0, 0]]], t)
    assert after[0, 0, 1] == pytest.approx(3 + rate * (0.5 * 4 - 3))


def test_tables_begin_with_the_initial_value():
    state = QLearning(initial_value=2.5, double=True).init(ENV, random.key(0))
    np.testing.assert_array_equal(state.q, np.full((2, 3, 2), 2.5))


@pytest.mark.parametrize(
    ("schedule", "expected"), [("linear", [1.0, 0.64, 0.1]), ("exponential", [1.0, 0.25, 0.1])]
)
def test_epsilon_follows_steps_or_completed_episodes(schedule, expected):
    """After 0, 2 and 7 of the 5 steps of the schedule, and as many episodes."""
    algorithm = QLearning(epsilon_schedule=schedule, epsilon_decay=0.5, epsilon_end=0.1).arrays()
    tables = np.zeros((1, 3, 2), np.float32)
    found = [
        step(algorithm, tables, np.int32(n), random.key(0), np.int32(n))[1]["epsilon"] for n in (0, 2, 7)
    ]
    np.testing.assert_allclose([value for value, _ in found], expected, rtol=1e-6)


def test_episodes_are_counted_where_they_end():
    """The chain ends with its third step."""

    def iteration(state, t):
        state, _ = GREEDY.step(ENV, state, random.fold_in(random.key(1), t), t, 12)
        return state, state.completed

    _, completed = lax.scan(iteration, GREEDY.init(ENV, random.key(0)), jnp.arange(12))
    np.testing.assert_array_equal(completed, (1 + np.arange(12)) // 3)
