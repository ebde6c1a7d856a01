"""What tests need to train a few lanes without a results folder."""

import itertools

import jax
import numpy as np
from jax import random

from jaxrl import registry
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
    Rainbow,
    Sarsa,
)
from jaxrl.compiled.engine import engine_for
from jaxrl.compiled.lane_memory import inner_jaxprs
from jaxrl.compiled.mesh import lane_mesh
from jaxrl.learning.bonuses import RND
from jaxrl.learning.networks import MLP
from jaxrl.study.batch import Batch
from jaxrl.study.study import Run

# An environment each registered algorithm can act in, and settings small enough for a test.
# Within ITERATIONS their rings wrap around and most iterations update.
OFF_POLICY = {
    "num_envs": 8,
    "warmup": 16,
    "batch_size": 16,
    "capacity": 64,
    "network": MLP(hidden=(16,), activation="relu", initialiser="lecun_normal"),
}
ON_POLICY = {"num_steps": 16, "network": MLP(hidden=(16, 16))}
SMALL = {
    "discrete_sac": (DiscreteSAC(**OFF_POLICY), "CartPole-v1"),
    "dqn": (DQN(**OFF_POLICY), "CartPole-v1"),
    "ppo": (PPO(**ON_POLICY), "CartPole-v1"),
    "q_learning": (QLearning(), "GridWorld-v0"),
    "sac": (SAC(**OFF_POLICY), "Pendulum-v1"),
}
# Algorithms whose tests share few compilations: tests/compiled/test_more_algorithms.py.
MORE = {
    "a2c": (A2C(**ON_POLICY), "CartPole-v1"),
    "count_q": (CountQ(), "GridWorld-v0"),
    "dyna_q": (DynaQ(planning_steps=2), "GridWorld-v0"),
    "epsilon_greedy": (registry.algorithm("epsilon_greedy"), "GaussianBandit-v0"),
    "gradient_bandit": (registry.algorithm("gradient_bandit"), "GaussianBandit-v0"),
    "monte_carlo": (MonteCarlo(), "GridWorld-v0"),
    "pqn": (PQN(num_steps=16, network=MLP(hidden=(16,), layer_norm=True)), "CartPole-v1"),
    "rainbow": (Rainbow(**OFF_POLICY, bonus=RND(network=MLP(hidden=(16,)), outputs=8)), "CartPole-v1"),
    "reinforce": (REINFORCE(**ON_POLICY, episodes=4), "CartPole-v1"),
    "sarsa": (Sarsa(trace_decay=0.5), "GridWorld-v0"),
    "td3": (TD3(**OFF_POLICY), "Pendulum-v1"),
    "thompson": (registry.algorithm("thompson"), "GaussianBandit-v0"),
    "trpo": (TRPO(**ON_POLICY), "CartPole-v1"),
    "ucb1": (registry.algorithm("ucb1"), "GaussianBandit-v0"),
}
ITERATIONS = 12


def batch_of(algorithms, env, seeds):
    """A batch of one run per algorithm and seed, pair by pair."""
    runs = [
        Run(i, env, algorithm, seed)
        for i, (algorithm, seed) in enumerate(zip(algorithms, seeds, strict=True))
    ]
    return Batch(0, len(runs), tuple(runs))


def engine():
    """The functions of `jaxrl.train` on the first device, so that a test of both compiles them once."""
    return engine_for(lane_mesh(jax.devices()[:1]), 2)


def start(batch, total=ITERATIONS):
    """The lanes of a batch, and their states before the first of `total` iterations."""
    lanes = jax.device_put(batch.lanes(), jax.devices()[0])
    algorithm, env, keys, shared = lanes
    return lanes, engine().initialise(algorithm, env, keys.init, shared, total)


def trained(batch, iterations, total=None, marks=()):
    """Final states after `iterations`, visiting the host at `marks`."""
    total = total or iterations
    (algorithm, env, keys, shared), state = start(batch, total)
    bounds = [0, *marks, iterations]
    for begin, end in itertools.pairwise(bounds):
        state, _, _ = engine().advance(algorithm, env, state, keys.steps, shared, begin, end, total)
    return state


def bits(state, lane=slice(None)):
    """A state's leaves as numpy arrays, keys as their data."""
    leaves = jax.tree.leaves(state)
    plain = [random.key_data(x) if jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key) else x for x in leaves]
    return [np.asarray(leaf)[lane] for leaf in plain]


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def small(name):
    """(algorithm, environment) for a registered algorithm's name."""
    algorithm, environment = (SMALL | MORE)[name]
    return algorithm, registry.environment(environment)


def equations(jaxpr):
    """The equations of a jaxpr and of all within it."""
    for eqn in jaxpr.eqns:
        yield eqn
        for inner in inner_jaxprs(eqn):
            yield from equations(inner)
