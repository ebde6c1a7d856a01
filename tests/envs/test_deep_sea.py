"""DeepSea beside bsuite's published rules, and its optimum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import DeepSea
from envs.tabular import enumerate_mdp, finite_horizon
from jaxrl.errors import InputError

SIZE = 4


def by_the_rules(env, actions):
    """An episode in plain Python: (row and column before, reward, whether it ended) of each step."""
    mapping = np.random.RandomState(env.mapping_seed).binomial(1, 0.5, [env.size, env.size])
    column, steps = 0, []
    for row, action in enumerate(actions):
        right = action == mapping[row, column]
        reward = float(column == env.size - 1 and right) - right * env.move_cost / env.size
        steps.append((row * env.size + column, reward, row == env.size - 1))
        column = min(max(column + (1 if right else -1), 0), env.size - 1)
    return steps


@pytest.mark.parametrize("seed", [0, 42])
def test_every_episode_follows_the_rules(seed):
    """All 16 sequences of actions in a grid of 4 x 4."""
    env = DeepSea(size=SIZE, mapping_seed=seed, move_cost=0.1)
    step = jax.jit(env.successor)
    for number in range(2**SIZE):
        actions = [number >> i & 1 for i in range(SIZE)]
        state, seen = jnp.int32(0), []
        for action in actions:
            following, reward, terminated = step(state, action, 0)
            seen.append((int(state), float(reward), bool(terminated)))
            state = following
        np.testing.assert_allclose(seen, by_the_rules(env, actions), atol=1e-7)
        assert state == env.num_states - 1


@pytest.mark.parametrize("size", [2, 10])
def test_the_optimum_is_the_treasure_less_the_cost_of_its_path(size):
    env = DeepSea(size=size)
    mdp = enumerate_mdp(env)
    best = mdp.initial @ finite_horizon(mdp, env.max_steps).value
    assert best == pytest.approx(0.99)
    assert best - 1e-3 < env.solved_return < best


def test_without_random_actions_1_is_right():
    assert DeepSea(random_actions=False).right().all()
    assert 0 < DeepSea().right().mean() < 1
    assert (DeepSea(mapping_seed=1).right() != DeepSea(mapping_seed=2).right()).any()


def test_nothing_follows_the_end():
    env = DeepSea(size=SIZE)
    assert tuple(map(float, env.successor(jnp.int32(16), 1, 0))) == (16, 0, 1)
    assert env.text(np.int32(0)).splitlines()[0] == "[S] F  F  F "
    assert env.render(np.int32(16)).shape == (256, 256, 3)


def test_a_sea_of_one_cell_is_refused_in_one_sentence():
    with pytest.raises(InputError, match=r"^DeepSea\.size must be in \[2, 1000\], got 1$"):
        DeepSea(size=1).validate()
