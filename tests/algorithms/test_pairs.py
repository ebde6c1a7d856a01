"""Every algorithm in every environment: either it can be traced there, or it says why it cannot learn."""

import jax
import jax.numpy as jnp
import pytest

from envs import Pendulum
from jaxrl import registry
from jaxrl.algorithms import QLearning
from jaxrl.errors import InputError
from jaxrl.learning.check import trace_algorithm
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


class ManyTorques(Pendulum):
    """Its action is a matrix, of which the first number acts."""

    @property
    def action_space(self):
        return Box(-2.0, 2.0, (3, 2))

    def step(self, key, state, action):
        return super().step(key, state, action[0, :1])


OWN = {"SeenPendulum": SeenPendulum(), "ManyTorques": ManyTorques()}
CONTINUOUS = {"MountainCarContinuous-v0", "Pendulum-v1", *OWN}
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
    return OWN.get(name) or registry.environment(name)


def test_the_tables_hold_all_there_is():
    assert set(registry.environments()) == (DISCRETE | CONTINUOUS) - {GAME, *OWN}
    assert set(registry.algorithms()) == set(ACCEPTED)


@pytest.mark.parametrize("name", sorted(DISCRETE | CONTINUOUS))
@pytest.mark.parametrize("learner", sorted(ACCEPTED))
def test_every_pair_is_traced_or_refused(learner, name):
    """Only shapes and types are computed. No state holds a key: the engine gives each iteration its own."""
    algorithm, env = registry.algorithm(learner), environment(name)
    if name not in ACCEPTED[learner]:
        with pytest.raises(InputError, match=rf"needs \w+ (actions|observations); {env.title} has [^\n]*$"):
            algorithm.validate_for(env)
        return
    algorithm.validate_for(env)
    state, _ = trace_algorithm(algorithm, env)
    assert not any(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in jax.tree.leaves(state))


def test_a_table_of_images_is_refused_before_anything_is_trained():
    sentence = (
        "^QLearning keeps a table and needs discrete observations; "
        r"gymnax:Breakout-MinAtar has real ones of shape \(10, 10, 4\)$"
    )
    with pytest.raises(InputError, match=sentence):
        make_study(QLearning(), registry.environment(GAME), seeds=1, steps=1)
