"""The T-maze beside its rules in plain Python, and what a policy without memory can reach in it."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax, random

from envs import TMaze
from envs.chains.t_maze import Maze
from jaxrl.environment import check_contract
from jaxrl.errors import InputError

STEPS = 400
LENGTH = 3


def walked(env, cue, actions):
    """What is seen before each step [n], its reward [n] and whether it ended [n]; a new episode has the cue."""
    start = Maze(jnp.int32(0), cue)

    def step(state, action):
        following, reward, done = env.step(random.key(0), state, action)
        following = jax.tree.map(lambda new, old: jnp.where(done, new, old), start, following)
        return following, (env.observe(state), reward, done)

    return lax.scan(step, start, actions)[1]


def by_the_rules(cue, actions):
    cell, steps = 0, []
    for action in actions:
        seen = cue if cell == 0 else 3 if cell == LENGTH else 2
        reward, done = 0.0, False
        if cell == LENGTH and action in (0, 1):
            reward, done = (4.0 if action == cue else -0.1), True
        elif action == 2 and cell > 0:
            cell -= 1
        elif action == 3 and cell < LENGTH:
            cell += 1
        else:
            reward = -0.1
        steps.append((seen, reward, done))
        cell = 0 if done else cell
    return map(np.array, zip(*steps, strict=True))


def test_every_step_follows_the_rules():
    actions = random.choice(random.key(0), 4, (STEPS,), p=jnp.array([0.15, 0.15, 0.2, 0.5]))
    both = jax.jit(jax.vmap(partial(walked, TMaze(length=LENGTH)), (0, None)))(jnp.arange(2), actions)
    for cue in (0, 1):
        found = [np.asarray(each)[cue] for each in both]
        for ours, rules in zip(found, by_the_rules(cue, actions.tolist()), strict=True):
            np.testing.assert_allclose(ours, rules, atol=1e-6)
        _, reward, done = found
        assert {round(float(each), 1) for each in reward[done]} == {4.0, -0.1}
        assert reward[~done].min() < 0


def test_both_cues_are_equally_frequent():
    cues = np.asarray(jax.jit(jax.vmap(TMaze().reset))(random.split(random.key(0), 4_000)).cue)
    assert set(cues) == {0, 1}
    assert cues.mean() == pytest.approx(0.5, abs=0.03)


def test_a_policy_without_memory_is_right_in_half_of_the_episodes():
    """All 256 maps from what is seen to an action, with both cues."""
    env = TMaze(length=LENGTH)
    policies = jnp.array(list(itertools.product(range(4), repeat=4)))

    def episode(policy, cue):
        def step(carry, _):
            state, over = carry
            following, reward, done = env.step(random.key(0), state, policy[env.observe(state)])
            return (following, over | done), jnp.where(over, 0.0, reward)

        _, reward = lax.scan(step, (Maze(jnp.int32(0), cue), False), length=10)
        return reward.sum(), (reward > 3).any()

    returns, right = jax.jit(jax.vmap(jax.vmap(episode, (None, 0)), (0, None)))(policies, jnp.arange(2))
    assert returns.mean(axis=1).max() == pytest.approx(1.95)
    assert right.sum(axis=1).max() == 1
    walks = (policies[:, :3] == 3).all(axis=1) & (policies[:, 3] <= 1)
    np.testing.assert_array_equal(right[walks].sum(axis=1), [1, 1])


def test_text_marks_the_agents_cell_and_the_right_way():
    assert TMaze(length=2).text(Maze(jnp.int32(1), jnp.int32(1))) == " W  W  H \n S [F] F \n W  W  G "


def test_the_contract_and_bad_values():
    check_contract(TMaze())
    with pytest.raises(InputError, match=r"^TMaze\.length must be at least 1, got 0$"):
        TMaze(length=0).validate()
    with pytest.raises(InputError, match=r"^TMaze\.length must be below max_steps = 500, got 500$"):
        TMaze(length=500).validate()
