"""What SAC and DiscreteSAC share: the warm-up, the targets, the temperature and the entropy that it is tuned to."""

import functools
import math

import jax
import numpy as np
import pytest
from jax import random
from scipy import stats

from envs import CartPole, Pendulum
from jaxrl.algorithms import SAC, DiscreteSAC
from jaxrl.learning.inputs import features
from jaxrl.learning.networks import MLP
from tests.lanes import batch_of, engine, start

WARMUP, TOTAL, SEEDS = 100, 1_600, 16  # iterations, iterations, runs
SETTINGS = {
    "learning_rate": 1e-2,
    "target_rate": 0.25,
    "temperature": 0.5,
    "num_envs": 2,
    "warmup": 2 * WARMUP,
    "batch_size": 64,
    "capacity": 1_024,
    "network": MLP(hidden=(8,), activation="relu", initialiser="lecun_normal"),
}
LEARNERS = {
    "continuous": (SAC(**SETTINGS, target_entropy=-1.0), Pendulum(max_steps=20), -1.0),
    "discrete": (DiscreteSAC(**SETTINGS, target_entropy=0.8), CartPole(), 0.8 * math.log(2)),
}
pytestmark = pytest.mark.parametrize("kind", LEARNERS)


@functools.cache
def states(kind):
    """States of all runs after 0 iterations, around the end of the warm-up, and at the end."""
    algorithm, env, _ = LEARNERS[kind]
    (algorithms, envs, keys, shared), state = start(batch_of([algorithm] * SEEDS, env, range(SEEDS)), TOTAL)
    seen, at = {0: jax.device_get(state)}, 0
    for mark in (WARMUP, WARMUP + 1, WARMUP + 2, TOTAL):
        state, _, _ = engine().advance(algorithms, envs, state, keys.steps, shared, at, mark, TOTAL)
        seen, at = seen | {mark: jax.device_get(state)}, mark
    return seen


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True))


def test_the_warm_up_learns_nothing(kind):
    before, warm, learning = (states(kind)[t] for t in (0, WARMUP, WARMUP + 1))
    assert same(before.learned, warm.learned)
    assert same(before.targets, warm.targets)
    assert not same(warm.learned, learning.learned)


def test_the_warm_up_draws_uniform_actions(kind):
    """Its rows, of all environments and runs, apart from each other."""
    drawn = states(kind)[WARMUP].replay.action[:, :WARMUP].ravel()
    assert drawn.size == SEEDS * 2 * WARMUP
    if kind == "discrete":
        assert stats.chisquare(np.bincount(drawn, minlength=2)).pvalue > 1e-3
    else:
        assert stats.kstest(drawn, stats.uniform(-1, 2).cdf).pvalue > 1e-3
        assert len(np.unique(drawn)) == drawn.size


def test_targets_start_at_the_critics_and_follow_them(kind):
    first, before, now = (states(kind)[t] for t in (0, WARMUP + 1, WARMUP + 2))
    assert same(first.targets, first.learned.critics)
    expected = jax.tree.map(lambda c, t: 0.25 * c + 0.75 * t, now.learned.critics, before.targets)
    for a, b in zip(*map(jax.tree.leaves, (now.targets, expected)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert not same(before.targets, now.targets)


def test_critics_start_apart(kind):
    first, second = states(kind)[0].learned.critics
    assert not np.allclose(*(each["params"]["torso"]["Dense_0"]["kernel"] for each in (first, second)))


def test_temperature_starts_as_it_is_set_and_is_tuned(kind):
    first, last = (np.exp(states(kind)[t].learned.log_temperature) for t in (WARMUP, TOTAL))
    np.testing.assert_allclose(first, 0.5, rtol=1e-6)
    assert not np.isclose(last, 0.5, rtol=1e-3).any()


def test_temperature_has_no_gradient_unless_it_is_tuned(kind):
    """Nothing else moves it: all three losses have one optimiser, which starts at 0."""
    algorithm, env, _ = LEARNERS[kind]
    state = jax.tree.map(lambda leaf: leaf[0], states(kind)[TOTAL])
    batch = jax.tree.map(lambda leaf: leaf[:32, 0], state.replay)

    noise = [] if kind == "discrete" else [np.zeros((2, 32, 1), np.float32)]

    @jax.jit
    def gradients(algorithm):
        return jax.grad(algorithm.loss, has_aux=True)(state.learned, state.targets, env, batch, *noise)[0]

    fixed, tuned = gradients(algorithm.replace(tune_temperature=False)), gradients(algorithm)
    assert fixed.log_temperature == 0
    assert tuned.log_temperature != 0
    assert same(fixed.actor, tuned.actor)
    assert same(fixed.critics, tuned.critics)


def test_entropy_reaches_its_target(kind):
    """The mean entropy of the runs' policies, at states of its whole replay, beside where it starts."""
    algorithm, env, target = LEARNERS[kind]

    @jax.jit
    @jax.vmap
    def entropy(state):
        x = features(env.observation_space, state.replay.obs[::16].reshape(64, -1))
        policy = algorithm.policy(env, state.learned.actor, x)
        if kind == "discrete":
            return policy.entropy().mean()
        return -policy.transformed(random.normal(random.key(1), (64, 1)))[1].mean()

    begin, end = (entropy(states(kind)[t]).mean() for t in (WARMUP, TOTAL))
    assert abs(end - target) < 0.25
    assert abs(end - target) < abs(begin - target) / 2
