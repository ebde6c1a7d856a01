"""The bonus by hand, and the task that it exists for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from envs import DeepSea
from jaxrl.algorithms import CountQ, QLearning
from jaxrl.algorithms.count_q import count_bonus
from jaxrl.errors import InputError
from tests.lanes import batch_of, trained
from tests.probes import RewardTwoStepsLater

ENV = RewardTwoStepsLater()
ALGORITHM = CountQ(learning_rate=0.5, discount=0.5, bonus=2.0)


def test_both_tables_after_a_step():
    """From the first state to the second, by the action with the greater optimistic value."""
    q, optimistic = np.float32([[1, 0], [4, 2], [0, 0]]), np.float32([[3, 1], [5, 5], [0, 0]])
    tables = {"q": q, "optimistic": optimistic, "count": np.int32([[4, 0], [1, 4], [0, 0]])}
    state = ALGORITHM.init(ENV, random.key(0)).replace(**jax.tree.map(jnp.asarray, tables))
    after, metrics = ALGORITHM.step(ENV, state, random.key(1), jnp.int32(0), jnp.int32(10))
    # In the first state 3 + 2 / 2 is above 1 + 2 / 1; in the second 5 + 2 / 1 is above 5 + 2 / 2.
    np.testing.assert_allclose(after.q, [[1 + 0.5 * (0.5 * 4 - 1), 0], [4, 2], [0, 0]])
    np.testing.assert_allclose(after.optimistic, [[3 + 0.5 * (0.5 * 7 - 3), 1], [5, 5], [0, 0]])
    np.testing.assert_array_equal(after.count, [[5, 0], [1, 4], [0, 0]])
    assert metrics["bonus"][0] == pytest.approx(2 / 5**0.5)
    assert metrics["tried"][0] == pytest.approx(3 / 6)


def test_ties_are_broken_at_random_and_only_ties():
    state = ALGORITHM.init(ENV, random.key(0)).replace(count=np.int32([[4, 4], [4, 1], [0, 0]]))
    explored = {
        obs: {int(ALGORITHM.act(ENV, state, (), obs, random.key(seed), True)[0]) for seed in range(20)}
        for obs in (0, 1)
    }
    assert explored == {0: {0, 1}, 1: {1}}


def test_the_result_is_greedy_without_bonus():
    state = ALGORITHM.init(ENV, random.key(0)).replace(q=jnp.float32([[1, 0], [0, 0], [0, 0]]))
    state = state.replace(count=np.int32([[9, 0], [0, 0], [0, 0]]))
    actions = [int(ALGORITHM.act(ENV, state, (), 0, random.key(0), explore)[0]) for explore in (False, True)]
    assert actions == [0, 1]


def test_bonus():
    np.testing.assert_allclose(count_bonus(jnp.array([0, 1, 4, 100]), 3.0), [3, 3, 1.5, 0.3])


def test_counts_find_the_treasure_and_epsilon_does_not():
    """Random actions find it once in 2^12 episodes; these are 2,000."""
    env = DeepSea(size=12)
    algorithms = [CountQ(), CountQ(bonus=0.0), QLearning()]
    tables = [trained(batch_of([each] * 8, env, range(8)), 24_000).q for each in algorithms]
    solved = [
        [follows_the_only_path(env, q.reshape(env.num_states, 2)) for q in np.asarray(each)]
        for each in tables
    ]
    assert np.all(solved[0])
    assert not np.any(solved[1])
    assert np.mean(solved[2]) <= 0.25


def follows_the_only_path(env, q):
    diagonal = np.arange(env.size) * (env.size + 1)
    return bool((q[diagonal].argmax(axis=1) == env.right()[diagonal]).all())


def test_initial_value():
    state = jax.jit(CountQ(initial_value=1.5).init)(ENV, random.key(0))
    assert (state.q == 1.5).all()
    assert (state.optimistic == 1.5).all()


def test_a_negative_bonus_is_refused_in_one_sentence():
    with pytest.raises(InputError, match=r"^CountQ\.bonus must be at least 0, got -1\.0$"):
        CountQ(bonus=-1.0).validate()
