"""Evaluation plays whole episodes of a policy, in the environment of the end of training."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from envs import FrozenLake, GridWorld, Pendulum
from jaxrl.algorithms import QLearning
from jaxrl.compiled.evaluate import evaluate
from jaxrl.environment import FiniteEnvironment
from tests.lanes import batch_of, bits, equal, start
from tests.learners import Counting, Idle, Rising

LAKE = FrozenLake(is_slippery=False, max_steps=20)
KEYS = random.split(random.key(0), 2)


def evaluated(lanes, state, keys=KEYS, total=100, episodes=5, explore=False, limit=None):
    """Returns, lengths and whether all actions existed: [lanes, episodes] each."""
    algorithm, env, _, shared = lanes
    return map(np.asarray, evaluate(algorithm, env, state, keys, shared, total, episodes, explore, limit))


def lake_batch():
    """Lanes of a table that leads to the goal and of an empty one, and their state."""
    lanes, state = start(batch_of([QLearning(epsilon_end=0.5)] * 2, LAKE, [0, 1]))
    towards_goal = np.zeros((2, 1, 16, 4), np.float32)
    for cell, action in {0: 1, 4: 1, 8: 2, 9: 1, 13: 2, 14: 2}.items():
        towards_goal[0, 0, cell, action] = 1
    return lanes, state.replace(q=jnp.asarray(towards_goal))


def test_evaluation_reports_whole_episodes():
    returns, lengths, valid = evaluated(*lake_batch())
    assert returns.tolist() == [[1.0] * 5, [0.0] * 5]
    assert lengths.tolist() == [[6] * 5, [20] * 5]
    assert valid.all()


def test_exploring_evaluation_differs_from_greedy_and_leaves_the_state_alone():
    """The episodes of one policy differ, and so do those of another key."""
    lanes, state = lake_batch()
    state = state.replace(q=state.q[jnp.zeros(2, int)])
    before = bits(state)
    _, lengths, _ = evaluated(lanes, state, explore=True)
    assert all(len({*lane}) > 2 for lane in lengths.tolist())
    assert not np.array_equal(*lengths)
    assert equal(before, bits(state))


def test_the_environment_is_that_of_the_last_iteration():
    lanes, state = start(batch_of([Idle()] * 2, Rising(), [0, 1]))
    returns, lengths, _ = evaluated(lanes, state, episodes=1)
    assert returns.tolist() == [[20.0]] * 2
    assert lengths.tolist() == [[2]] * 2


class Whole(FiniteEnvironment):
    """Goes on for ever; the reward is 1 where the action is the number of the step."""

    num_states = 50
    num_actions = 50

    def initial(self):
        return np.eye(50)[0]

    def successor(self, state, action, outcome):
        return (state + 1) % 50, jnp.where(action == state, 1.0, 0.0), jnp.bool_(False)


def test_memory_is_carried_through_an_episode_and_starts_with_it():
    lanes, state = start(batch_of([Counting()] * 2, Whole(max_steps=7), [0, 1]))
    returns, lengths, _ = evaluated(lanes, state)
    assert returns.tolist() == [[7.0] * 5] * 2
    assert lengths.tolist() == [[7] * 5] * 2


def test_an_episode_may_be_cut_and_counts_with_its_return_so_far():
    """Episodes that end before are whole."""
    lanes, state = start(batch_of([Counting()] * 2, Whole(max_steps=2**31 - 1), [0, 1]))
    returns, lengths, _ = evaluated(lanes, state, limit=4)
    assert returns.tolist() == [[4.0] * 5] * 2
    assert lengths.tolist() == [[4] * 5] * 2
    _, lengths, _ = evaluated(*lake_batch(), limit=7)
    assert lengths.tolist() == [[6] * 5, [7] * 5]


@pytest.mark.parametrize(
    ("env", "action", "exists"),
    [
        (GridWorld(max_steps=2), 3, True),
        (GridWorld(max_steps=2), 4, False),
        (GridWorld(max_steps=2), -1, False),
        (Pendulum(max_steps=2), 2.0, True),
        (Pendulum(max_steps=2), 2.01, False),
    ],
)
def test_actions_that_do_not_exist_are_found(env, action, exists):
    lanes, state = start(batch_of([Idle(action=action)] * 2, env, [0, 1]))
    assert {*np.ravel([*evaluated(lanes, state)][2]).tolist()} == {exists}


class LateOutside(Counting):
    """Its third action of an episode does not exist."""

    def act(self, env, state, memory, obs, key, explore):
        steps = memory["steps"]
        return jnp.where(steps == 2, env.num_actions, 0), {"steps": steps + 1}


@pytest.mark.parametrize(("steps", "exists"), [(2, True), (3, False), (5, False)])
def test_one_such_action_in_an_episode_is_enough(steps, exists):
    lanes, state = start(batch_of([LateOutside()] * 2, Whole(max_steps=steps), [0, 1]))
    _, _, valid = evaluated(lanes, state)
    assert {*valid.ravel().tolist()} == {exists}
