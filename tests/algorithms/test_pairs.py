"""Every algorithm in every kind of environment: it can be traced there, or it says why it cannot learn."""

import jax
import jax.numpy as jnp
import pytest

from envs import Pendulum
from jaxrl import registry
from jaxrl.algorithms import A2C, DQN, PPO, PQN, REINFORCE, SAC, TRPO, DynaQ, QLearning, Sarsa, Thompson
from jaxrl.errors import InputError
from jaxrl.learning.bonuses import ICM, RND, Counts
from jaxrl.learning.check import trace_algorithm
from jaxrl.learning.networks import GRU, LSTM, Attention
from jaxrl.learning.value_heads import ExpectedReturn
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

    def heuristic(self, obs):
        return None


class ManyTorques(Pendulum):
    """Its action is a matrix, of which the first number acts."""

    @property
    def action_space(self):
        return Box(-2.0, 2.0, (3, 2))

    def step(self, key, state, action):
        return super().step(key, state, action[0, :1])

    def heuristic(self, obs):
        return None


OWN = {"SeenPendulum": SeenPendulum(), "ManyTorques": ManyTorques()}
CONTINUOUS = {"MountainCarContinuous-v0", "Pendulum-v1", *OWN}
BANDITS = {"BernoulliBandit-v0", "GaussianBandit-v0"}
GRIDS = {
    "CliffWalking-v1",
    "FrozenLake-v1",
    "FrozenLake8x8-v1",
    "GridWorld-v0",
    "KeyDoor-v0",
    "NoisyTV-v0",
    "Taxi-v3",
}
TABULAR = GRIDS | {"Blackjack-v1", "DeepSea-v0", "Garnet-v0", "TMaze-v0", "Vacuum-v0"}
CONTROL = {"Acrobot-v1", "CartPole-v1", "MountainCar-v0"}
DISCRETE = TABULAR | BANDITS | CONTROL | {"Catch-v0", "MemoryChain-v0", GAME}
# One of each kind of observation and action: the others differ from them in sizes alone.
KINDS = {"FrozenLake-v1", "GaussianBandit-v0", "CartPole-v1", GAME, "Pendulum-v1", *OWN}
HEURISTIC = {"Acrobot-v1", "CartPole-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1"}
ACCEPTED = {
    "a2c": DISCRETE | CONTINUOUS,
    "count_q": TABULAR,
    "c51": DISCRETE,
    "ddpg": CONTINUOUS,
    "discrete_sac": DISCRETE,
    "dqn": DISCRETE,
    "dyna_q": TABULAR,
    "epsilon_greedy": BANDITS,
    "gradient_bandit": BANDITS,
    "heuristic": HEURISTIC,
    "monte_carlo": TABULAR,
    "ppo": DISCRETE | CONTINUOUS,
    "pqn": DISCRETE,
    "q_learning": TABULAR,
    "random": DISCRETE | CONTINUOUS,
    "reinforce": DISCRETE | CONTINUOUS,
    "trpo": DISCRETE | CONTINUOUS,
    "qr_dqn": DISCRETE,
    "rainbow": DISCRETE,
    "sac": CONTINUOUS,
    "sarsa": TABULAR,
    "thompson": BANDITS,
    "ucb1": BANDITS,
    "td3": CONTINUOUS,
}


def environment(name):
    return OWN.get(name) or registry.environment(name)


def test_the_tables_hold_all_there_is():
    assert set(registry.environments()) == (DISCRETE | CONTINUOUS) - {GAME, *OWN}
    assert set(registry.algorithms()) == set(ACCEPTED)


@pytest.mark.parametrize("name", sorted(DISCRETE | CONTINUOUS))
@pytest.mark.parametrize("learner", sorted(ACCEPTED))
def test_every_pair_is_accepted_or_refused(learner, name):
    algorithm, env = registry.algorithm(learner), environment(name)
    if name in ACCEPTED[learner]:
        algorithm.validate_for(env)
        return
    with pytest.raises(InputError, match=rf"needs .+; {env.title} has [^\n]*$"):
        algorithm.validate_for(env)


PAIRS = [(learner, name) for learner in sorted(ACCEPTED) for name in sorted(ACCEPTED[learner] & KINDS)]


@pytest.mark.parametrize(("learner", "name"), PAIRS)
def test_every_accepted_pair_is_traced(learner, name):
    """Only shapes and types are computed. No state holds a key: the engine gives each iteration its own.

    Arrays of different ranks are joined nowhere, so jax_numpy_rank_promotion may be "raise".
    """
    algorithm, env = registry.algorithm(learner), environment(name)
    with jax.numpy_rank_promotion("raise"):
        state, _ = trace_algorithm(algorithm, env)
    assert not any(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in jax.tree.leaves(state))


@pytest.mark.parametrize(
    ("algorithm", "env"),
    [
        (DQN(double=True, n_step=3, head=ExpectedReturn(penalty="huber")), "CartPole-v1"),
        (DQN(bonus=RND(), n_step=3), GAME),
        (PPO(bonus=Counts()), GAME),
        (PPO(bonus=ICM()), "Pendulum-v1"),
        (PQN(network=Attention(), minibatches=1), "CartPole-v1"),
        (PPO(normalise_observations=True, normalise_rewards=True), "Pendulum-v1"),
        (PPO(network=GRU(), minibatches=1), "Pendulum-v1"),
        (A2C(network=LSTM(), normalise_advantage=True), "Pendulum-v1"),
        (TRPO(normalise_observations=True, normalise_rewards=True), "Pendulum-v1"),
        (REINFORCE(baseline=False, normalise_observations=True, normalise_rewards=True), "Pendulum-v1"),
        (SAC(num_steps=2, warmup_hold=3), "Pendulum-v1"),
        (QLearning(double=True, epsilon_schedule="exponential"), "FrozenLake-v1"),
        (Sarsa(target="greatest", replacing=False), "FrozenLake-v1"),
        (DynaQ(prioritised=True), "FrozenLake-v1"),
        (Thompson(posterior="beta"), "BernoulliBandit-v0"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_no_option_joins_arrays_of_different_ranks(algorithm, env):
    with jax.numpy_rank_promotion("raise"):
        trace_algorithm(algorithm, environment(env))


def test_a_table_of_images_is_refused_before_anything_is_trained():
    sentence = (
        "^QLearning keeps a table and needs discrete observations; "
        r"gymnax:Breakout-MinAtar has real ones of shape \(10, 10, 4\)$"
    )
    with pytest.raises(InputError, match=sentence):
        make_study(QLearning(), registry.environment(GAME), seeds=1, steps=1)
