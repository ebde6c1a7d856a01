"""Rollouts: whose steps they are, what the policy remembers in them, and what is kept beside transitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from jaxrl.learning.rollout import rollout, start_episodes
from jaxrl.mdp.environment import Environment

ENVS, STEPS, LIMIT, INITIAL = 3, 7, 4, 100


class Clock(Environment):
    """Its state, which is observed, is a number of each episode plus ten times the steps and the action."""

    def reset(self, key):
        return random.uniform(key)

    def step(self, key, state, action):
        return state + 10 + action, jnp.float32(1), jnp.bool_(False)

    def observe(self, state):
        return state


def remember(memory, obs, key, *extra):
    """Counts the steps of an episode from INITIAL, and keeps all that it was called with."""
    drawn = random.uniform(key)
    return jnp.float32(0), {"steps": memory["steps"] + 1}, (memory["steps"], obs, drawn, *extra)


@pytest.fixture(scope="module")
def two_rollouts():
    """What two successive rollouts gave: (episodes, transitions, kept) each, after the episodes' start."""
    env, memory = Clock(max_steps=LIMIT), {"steps": jnp.int32(INITIAL)}

    @jax.jit
    def run(key):
        key_start, key_first, key_second = random.split(key, 3)
        start = start_episodes(env, key_start, ENVS, memory)
        extra = jnp.arange(STEPS * ENVS).reshape(STEPS, ENVS)
        first = rollout(env, start, key_first, STEPS, remember, extra, memory=memory)
        return start, first, rollout(env, first[0], key_second, STEPS, remember, memory=memory)

    return run(random.key(0))


def test_episodes_start_apart_with_the_initial_memory(two_rollouts):
    start, _, _ = two_rollouts
    assert len(np.unique(start.obs)) == ENVS
    np.testing.assert_array_equal(start.memory["steps"], [INITIAL] * ENVS)


def test_memory_is_carried_within_an_episode_and_across_rollouts(two_rollouts):
    _, (first, earlier, kept), (last, later, kept_later) = two_rollouts
    remembered = np.concatenate([kept[0], kept_later[0]])
    expected = INITIAL + np.arange(2 * STEPS) % LIMIT
    np.testing.assert_array_equal(remembered, np.repeat(expected[:, None], ENVS, axis=1))
    lengths = np.concatenate([earlier.episode_length, later.episode_length])
    np.testing.assert_array_equal(remembered - INITIAL, lengths - 1)
    np.testing.assert_array_equal(first.memory["steps"], [INITIAL + STEPS % LIMIT] * ENVS)
    np.testing.assert_array_equal(last.memory["steps"], [INITIAL + 2 * STEPS % LIMIT] * ENVS)


def test_transitions_are_what_the_policy_saw(two_rollouts):
    _, (episodes, transitions, kept), (_, later, _) = two_rollouts
    np.testing.assert_array_equal(transitions.obs, kept[1])
    assert transitions.obs.shape == (STEPS, ENVS)
    np.testing.assert_array_equal(transitions.next_obs, transitions.obs + 10)
    goes_on = ~np.asarray(transitions.done[:-1])
    np.testing.assert_array_equal(transitions.next_obs[:-1][goes_on], transitions.obs[1:][goes_on])
    np.testing.assert_array_equal(later.obs[0], episodes.obs)


def test_each_step_gets_its_own_part_and_its_own_key(two_rollouts):
    _, (_, _, (_, _, drawn, extra)), (_, _, (_, _, drawn_later)) = two_rollouts
    np.testing.assert_array_equal(extra, np.arange(STEPS * ENVS).reshape(STEPS, ENVS))
    assert len(np.unique(np.concatenate([drawn, drawn_later]))) == 2 * STEPS * ENVS


def test_without_memory_nothing_is_carried():
    env = Clock(max_steps=LIMIT)

    def act(memory, obs, _):
        return 0 * obs, memory, None

    def run(key):
        episodes = start_episodes(env, key, ENVS)
        return episodes, rollout(env, episodes, key, STEPS, act)

    start, (episodes, transitions, kept) = jax.eval_shape(run, random.key(0))
    assert start.memory == episodes.memory == ()
    assert kept is None
    assert transitions.reward.shape == (STEPS, ENVS)
