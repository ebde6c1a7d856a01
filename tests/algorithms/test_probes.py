"""Every learner on environments whose answer is known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from jaxrl.algorithms import (
    A2C,
    DQN,
    PPO,
    PQN,
    REINFORCE,
    SAC,
    TD3,
    TRPO,
    CountQ,
    DiscreteSAC,
    DynaQ,
    MonteCarlo,
    QLearning,
    Sarsa,
)
from jaxrl.learning.inputs import features
from jaxrl.learning.networks import MLP
from jaxrl.learning.sampling import Prioritised
from jaxrl.learning.tables import TableLearner
from jaxrl.learning.value_heads import CategoricalReturn, ExpectedReturn, QuantileReturn
from jaxrl.study.batch import Batch
from jaxrl.study.study import Run
from tests.lanes import trained
from tests.probes import PROBES, ContinuousProbe, Probe

DISCOUNT = 0.5
SEEDS = range(4)
VALUES = {
    "one step": [1.0],
    "observation": [-1.0, 1.0],
    "two steps": [DISCOUNT**2, DISCOUNT, 1.0],
    "action": [1.0, 1.0],
    "ends": [1 / (1 - DISCOUNT), 1.0],
}
FAST_Q = QLearning(discount=DISCOUNT, learning_rate_decay=0.1, epsilon_end=1.0)
FAST_PPO = PPO(
    discount=DISCOUNT,
    learning_rate=1e-2,
    entropy_coefficient=0.0,
    num_steps=16,
    network=MLP(hidden=(16,)),
    max_grad_norm=10.0,
)
FAST_A2C = A2C(
    discount=DISCOUNT,
    learning_rate=1e-2,
    anneal_learning_rate=True,
    max_grad_norm=10.0,
    network=MLP(hidden=(16,)),
)
FAST_REINFORCE = REINFORCE(
    discount=DISCOUNT,
    learning_rate=1e-2,
    baseline_learning_rate=1e-2,
    num_steps=16,
    network=MLP(hidden=(16,)),
)
FAST_TRPO = TRPO(discount=DISCOUNT, learning_rate=1e-2, num_steps=32, network=MLP(hidden=(16,)))
FAST_DQN = DQN(
    discount=DISCOUNT,
    learning_rate=3e-3,
    epsilon_end=1.0,
    warmup=100,
    target_period=20,
    batch_size=32,
    capacity=1_000,
    network=MLP(hidden=(16,), activation="relu", initialiser="lecun_normal"),
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
    "network": MLP(hidden=(16,), activation="relu", initialiser="lecun_normal"),
}
FAST_TD3 = {
    name: value for name, value in FAST_SAC.items() if name not in ("temperature", "tune_temperature")
} | {"target_noise": 0.0}
FAST_PQN = PQN(
    discount=DISCOUNT,
    learning_rate=1e-2,
    epsilon_end=1.0,
    num_steps=16,
    network=MLP(hidden=(16,), activation="relu", layer_norm=True),
)
SAC_OPTIONS = {"tune_temperature": True, "num_steps": 2, "updates": 2}
FAST_TABLE = {"discount": DISCOUNT, "epsilon_end": 1.0}
FAST_SARSA = Sarsa(**FAST_TABLE, trace_decay=0.5)
LEARNERS = {
    "sarsa": (FAST_SARSA, 2_000),
    "expected sarsa of accumulating traces": (FAST_SARSA.replace(target="expected", replacing=False), 2_000),
    "q_lambda": (FAST_SARSA.replace(target="greatest"), 2_000),
    "monte_carlo": (MonteCarlo(**FAST_TABLE), 2_000),
    "dyna_q": (DynaQ(**FAST_TABLE), 400),
    "prioritised sweeping": (DynaQ(**FAST_TABLE, prioritised=True), 400),
    "count_q": (CountQ(discount=DISCOUNT), 400),
    "q_learning": (FAST_Q, 2_000),
    "q_learning exponential": (
        FAST_Q.replace(epsilon_schedule="exponential", epsilon_decay=1.0),
        2_000,
    ),
    "double q_learning": (FAST_Q.replace(double=True), 4_000),
    "dqn": (FAST_DQN, 1_000),
    "dqn with every option": (
        FAST_DQN.replace(
            double=True,
            dueling=True,
            head=ExpectedReturn(penalty="huber"),
            sampling=Prioritised(),
            target_rate=0.5,
            num_steps=2,
            updates=2,
        ),
        500,
    ),
    "rainbow": (
        FAST_DQN.replace(
            double=True,
            dueling=True,
            noisy=True,
            epsilon_start=0.0,
            epsilon_end=0.0,
            head=CategoricalReturn(atoms=25, v_min=-3.0, v_max=3.0),
            sampling=Prioritised(alpha=0.5),
        ),
        1_500,
    ),
    "qr_dqn": (FAST_DQN.replace(head=QuantileReturn(quantiles=8)), 1_500),
    "dqn of three steps": (FAST_DQN.replace(n_step=3), 1_000),
    "ppo": (FAST_PPO, 120),
    "ppo without its options": (
        FAST_PPO.replace(clip_value_loss=False, normalise_advantage=False, anneal_learning_rate=False),
        120,
    ),
    "ppo of normalised observations": (FAST_PPO.replace(normalise_observations=True), 120),
    "pqn": (FAST_PQN, 120),
    "continuous ppo": (FAST_PPO, 120),
    "a2c": (FAST_A2C, 400),
    "reinforce": (FAST_REINFORCE, 300),
    "continuous reinforce": (FAST_REINFORCE, 300),
    "trpo": (FAST_TRPO, 120),
    "continuous trpo": (FAST_TRPO, 120),
    "continuous td3": (TD3(**FAST_TD3), 1_500),
    "continuous ddpg": (TD3(**FAST_TD3, twin=False, policy_delay=1), 1_500),
    "continuous sac": (SAC(**FAST_SAC), 1_500),
    "continuous sac with every option": (
        SAC(**FAST_SAC | SAC_OPTIONS, target_entropy=-3.0, warmup_hold=3),
        750,
    ),
    "discrete_sac": (DiscreteSAC(**FAST_SAC), 1_500),
    "discrete_sac with every option": (DiscreteSAC(**FAST_SAC | SAC_OPTIONS, target_entropy=0.1), 750),
}


@functools.cache
def learned(name):
    """A learner's final states in all probes: [probes * seeds], probe by probe."""
    algorithm, iterations = LEARNERS[name]
    kind = ContinuousProbe if name.startswith("continuous") else Probe
    envs = [kind(number=i, max_steps=probe.max_steps) for i, probe in enumerate(PROBES.values())]
    pairs = [(env, seed) for env in envs for seed in SEEDS]
    runs = tuple(Run(i, env, algorithm, seed) for i, (env, seed) in enumerate(pairs))
    state = trained(Batch(0, len(runs), runs), iterations)
    return envs, state, values(algorithm, envs[0], state)


def of_probe(probe, tree):
    """The part of one probe: [seeds]."""
    first = len(SEEDS) * list(PROBES).index(probe)
    return jax.tree.map(lambda leaf: leaf[first : first + len(SEEDS)], tree)


def values(algorithm, env, state):
    """The learned value of each observation's greedy action in each lane: [lanes, observations]."""
    if isinstance(algorithm, QLearning):
        return np.asarray(state.q.mean(axis=1).max(axis=-1))
    if isinstance(algorithm, TableLearner | CountQ):
        return np.asarray(state.q.max(axis=-1))
    x = features(env.observation_space, np.arange(env.num_states))

    def one(state):
        if isinstance(algorithm, DQN):
            return algorithm.head.mean(algorithm.values(env).apply(state.params, x)).max(axis=-1)
        if isinstance(algorithm, PQN):
            return algorithm.values(env, state.params, (), x)[0].max(axis=-1)
        if isinstance(algorithm, TD3):
            obs = np.arange(env.num_states)
            action = algorithm.action(env, state.learned.actor, obs)
            return algorithm.values(env, state.learned.critics, obs, action).mean(axis=0)
        if isinstance(algorithm, A2C | PPO | REINFORCE | TRPO):
            agent = algorithm.agent(env)
            seen = agent.input(state.scales, np.arange(env.num_states))
            return agent.networks.value(state.params, (), seen)[0]
        critics, action = state.learned.critics, algorithm.policy(env, state.learned.actor, x).mode()
        if isinstance(algorithm, DiscreteSAC):
            of_all = algorithm.values(env, critics, x).mean(axis=0)
            return jnp.take_along_axis(of_all, action[:, None], axis=-1)[:, 0]
        return algorithm.action_values(env, critics, x, action).mean(axis=0)

    return np.asarray(jax.jit(jax.vmap(one))(state))


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("name", LEARNERS)
def test_values_are_learned(name, probe):
    _, _, found = learned(name)
    expected = VALUES[probe]
    np.testing.assert_allclose(
        of_probe(probe, found)[:, : len(expected)], np.tile(expected, (len(SEEDS), 1)), atol=0.1
    )


@pytest.mark.parametrize("name", LEARNERS)
def test_the_policy_depends_on_the_observation(name):
    """Its greedy action earns 1 in either state."""
    envs, state, _ = learned(name)
    algorithm, env = LEARNERS[name][0], envs[list(PROBES).index("action")]

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(0, None))
    @functools.partial(jax.vmap, in_axes=(None, 0))
    def reward(state, obs):
        action, _ = algorithm.act(env, state, (), obs, random.key(0), False)
        return env.step(random.key(0), obs, action)[1]

    np.testing.assert_allclose(reward(of_probe("action", state), np.arange(2)), 1, atol=0.05)
