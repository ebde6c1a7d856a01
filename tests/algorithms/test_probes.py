"""Every learner on environments whose answer is known."""

import jax
import numpy as np
import pytest

from jaxrl.algorithms import DQN, PPO, SAC, DiscreteSAC, QLearning
from jaxrl.compiled.evaluate import evaluate
from jaxrl.learning.networks import features
from jaxrl.random.generators import DEFAULT
from tests import probes
from tests.lanes import batch_of, trained

DISCOUNT = 0.5
SEEDS = range(8)
FAST_PPO = PPO(
    discount=DISCOUNT,
    learning_rate=1e-2,
    entropy_coefficient=0.0,
    num_steps=16,
    hidden=(16,),
    max_grad_norm=10.0,
)
FAST_Q = QLearning(discount=DISCOUNT, learning_rate_decay=0.1, epsilon_end=1.0)
FAST_DQN = DQN(
    discount=DISCOUNT,
    learning_rate=3e-3,
    epsilon_end=1.0,
    warmup=100,
    target_period=20,
    batch_size=32,
    capacity=1_000,
    hidden=(16,),
)
FAST_SAC = {
    "discount": DISCOUNT,
    "learning_rate": 3e-3,
    "target_rate": 0.05,
    "temperature": 1e-3,  # a larger one would add its share to the values
    "tune_temperature": False,
    "warmup": 100,
    "num_envs": 4,
    "batch_size": 32,
    "capacity": 1_000,
    "hidden": (16,),
}
LEARNERS = {
    "q_learning": (FAST_Q, 2_000),
    "q_learning exponential": (
        FAST_Q.replace(epsilon_schedule="exponential", epsilon_decay=1.0),
        2_000,
    ),
    "double q_learning": (FAST_Q.replace(double=True), 4_000),
    "dqn": (FAST_DQN, 1_000),
    "dqn with every option": (
        FAST_DQN.replace(double=True, dueling=True, loss="huber", target_rate=0.5, num_steps=2, updates=2),
        500,
    ),
    "dqn of three steps": (FAST_DQN.replace(n_step=3), 1_000),
    "ppo": (FAST_PPO, 60),
    "ppo without clipping of values": (FAST_PPO.replace(clip_value_loss=False), 60),
    "ppo without normalisation": (FAST_PPO.replace(normalise_advantage=False), 60),
    "ppo of normalised observations": (FAST_PPO.replace(normalise_observations=True), 60),
    "continuous ppo": (FAST_PPO, 120),
    "continuous sac": (SAC(**FAST_SAC), 1_500),
    "discrete_sac": (DiscreteSAC(**FAST_SAC), 1_500),
}


PROBES = {
    "one step": (probes.OneStep(), [1.0]),
    "observation": (probes.RewardDependsOnObservation(), [-1.0, 1.0]),
    "two steps": (probes.RewardTwoStepsLater(), [DISCOUNT**2, DISCOUNT, 1.0]),
    "action": (probes.ActionMustMatchObservation(), [1.0, 1.0]),
    "ends": (probes.TruncationBesideTermination(), [1 / (1 - DISCOUNT), 1.0]),
}
# An option is tried where it could go wrong; a plain learner everywhere.
PLAIN = {"q_learning", "dqn", "ppo", "continuous ppo", "continuous sac", "discrete_sac"}
PAIRS = [
    (name, probe) for name in LEARNERS for probe in PROBES if name in PLAIN or probe in ("action", "ends")
]


def train(name, probe):
    """A batch of a learner's runs in a probe, and their final states."""
    algorithm, iterations = LEARNERS[name]
    env = probes.continuous(PROBES[probe][0]) if name.startswith("continuous") else PROBES[probe][0]
    batch = batch_of([algorithm] * len(SEEDS), env, SEEDS)
    return batch, trained(batch, iterations)


def values(algorithm, env, state):
    """The learned value of each observation in each lane: [lanes, observations]."""
    if isinstance(algorithm, QLearning):
        return np.asarray(state.q.mean(axis=1).max(axis=-1))
    x = jax.vmap(features, (None, 0))(env.observation_space, np.arange(env.num_states))
    if isinstance(algorithm, DQN):
        network = algorithm.network(env)
        return np.asarray(jax.vmap(lambda params: network.apply(params, x).max(axis=-1))(state.params))
    if isinstance(algorithm, SAC):
        return np.asarray(jax.vmap(lambda learned: greedy_values(algorithm, env, learned, x))(state.learned))
    return np.asarray(jax.vmap(lambda state: state_values(algorithm, env, state))(state))


def state_values(algorithm, env, state):
    """PPO's critic: [observations]."""
    x = jax.vmap(lambda obs: algorithm.input(env, state.scales, obs))(np.arange(env.num_states))
    return algorithm.critic(env).apply(state.critic, x)[:, 0]


def greedy_values(algorithm, env, learned, x):
    """The mean of SAC's critics at the likeliest action: x [observations, inputs], gives [observations]."""

    def value(x):
        action = algorithm.policy(env, learned.actor, x).mode()
        return algorithm.action_value(env, learned.critics, x, action).mean()

    return jax.vmap(value)(x)


@pytest.mark.parametrize(("name", "probe"), PAIRS)
def test_values_are_learned(name, probe):
    batch, state = train(name, probe)
    learned = values(batch.runs[0].algorithm, batch.runs[0].environment, state)
    np.testing.assert_allclose(learned, np.tile(PROBES[probe][1], (len(SEEDS), 1)), atol=0.1)
    if probe == "action":
        assert_policy_depends_on_the_observation(batch, state)


def assert_policy_depends_on_the_observation(batch, state):
    algorithm, envs, _, keys = batch.lanes(DEFAULT)
    returns, lengths = evaluate(algorithm, envs, state, keys, episodes=32)
    assert returns.shape == lengths.shape == (len(SEEDS), 32)
    np.testing.assert_allclose(returns, 1, atol=0.05)
    assert (lengths == 1).all()
