"""Every algorithm in every environment: either it can be traced there, or it says why it cannot learn."""

import jax
import jax.numpy as jnp
import pytest
from jax import random

from envs import Pendulum
from jaxrl import registry
from jaxrl.algorithms import QLearning
from jaxrl.errors import InputError
from jaxrl.mdp.spaces import Box
from jaxrl.study.study import make_study

GAME = "gymnax:Breakout-MinAtar"  # observed as images


class SeenPendulum(Pendulum):
    """Observed as an image of bytes."""

    @property
    def observation_space(self):
        return Box(0, 255, (5, 4, 3), jnp.uint8)

    def observe(self, state):
        return jnp.full((5, 4, 3), 255 * jnp.abs(jnp.cos(state.theta))).astype(jnp.uint8)


CONTINUOUS = {"MountainCarContinuous-v0", "Pendulum-v1", "SeenPendulum"}
TABULAR = {"CliffWalking-v1", "FrozenLake-v1", "FrozenLake8x8-v1", "GridWorld-v0", "Taxi-v3"}
DISCRETE = TABULAR | {"Acrobot-v1", "CartPole-v1", "MountainCar-v0", GAME}
ACCEPTED = {
    "discrete_sac": DISCRETE,
    "dqn": DISCRETE,
    "ppo": DISCRETE | CONTINUOUS,
    "q_learning": TABULAR,
    "sac": CONTINUOUS,
}


def environment(name):
    return SeenPendulum() if name == "SeenPendulum" else registry.environment(name)


def test_the_tables_hold_all_there_is():
    assert set(registry.environments()) == (DISCRETE | CONTINUOUS) - {GAME, "SeenPendulum"}
    assert set(registry.algorithms()) == set(ACCEPTED)


@pytest.mark.parametrize("name", sorted(DISCRETE | CONTINUOUS))
@pytest.mark.parametrize("learner", sorted(ACCEPTED))
def test_every_pair_is_traced_or_refused(learner, name):
    """Without a compilation: shapes and types alone."""
    algorithm, env = registry.algorithm(learner), environment(name)
    if name not in ACCEPTED[learner]:
        with pytest.raises(InputError, match=rf"needs \w+ (actions|observations); {env.title} has [^\n]*$"):
            algorithm.validate_for(env)
        return
    algorithm.validate_for(env)

    def iteration(algorithm, env, key):
        state = algorithm.init(env, key)
        after, metrics = algorithm.step(env, state, jnp.int32(0), jnp.int32(10))
        obs = env.observe(env.reset(key))
        return (
            state,
            after,
            metrics,
            [algorithm.act(env, after, obs, key, explore) for explore in (False, True)],
        )

    key = random.key(0)
    state, after, metrics, actions = jax.eval_shape(iteration, algorithm.arrays(), env.arrays(), key)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert [*map(kind, jax.tree.leaves(after))] == [*map(kind, jax.tree.leaves(state))]
    assert {kind(leaf) for leaf in jax.tree.leaves(metrics)} == {((), jnp.dtype("float32"))}
    assert [*map(kind, actions)] == [(env.action_space.shape, jnp.dtype(env.action_space.dtype))] * 2


def kind(leaf):
    return leaf.shape, leaf.dtype


def test_a_table_of_images_is_refused_before_anything_is_trained():
    sentence = (
        "^QLearning keeps a table and needs discrete observations; "
        r"gymnax:Breakout-MinAtar has real ones of shape \(10, 10, 4\)$"
    )
    with pytest.raises(InputError, match=sentence):
        make_study(QLearning(), registry.environment(GAME), seeds=1, steps=1)
