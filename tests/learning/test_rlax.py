"""Targets, losses and advantages against rlax, DeepMind's library of the same equations."""

import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from jaxrl.algorithms import DQN
from jaxrl.algorithms.ppo import clipped_surrogate
from jaxrl.learning.networks import MLP
from jaxrl.learning.returns import generalised_advantage, n_step_return, td_target
from jaxrl.learning.value_heads import CategoricalReturn, ExpectedReturn, QuantileReturn, projected
from jaxrl.mdp.episode import Experience
from tests.probes import RewardTwoStepsLater

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # tensorflow_probability, which it imports, reads deprecated names of jax
    import rlax

ENV = RewardTwoStepsLater()  # three observations, two actions
BATCH = 50


def table(rng):
    """Parameters of DQN without hidden layers whose values are a table, and the table [3, 2]."""
    values = rng.normal(size=(3, 2)).astype(np.float32)
    return {"params": {"Dense_0": {"kernel": values, "bias": np.zeros(2, np.float32)}}}, values


def experience(rng, shape):
    """Unrelated transitions between ENV's observations: [*shape]."""
    ends = rng.random(shape)
    return Experience(
        obs=rng.integers(3, size=shape),
        action=rng.integers(2, size=shape),
        reward=rng.normal(size=shape).astype(np.float32),
        next_obs=rng.integers(3, size=shape),
        terminated=ends < 0.2,
        truncated=ends > 0.8,
    )


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("penalty", ["squared", "huber"])
def test_dqn_loss(double, penalty):
    rng = np.random.default_rng(0)
    (online, q), (target, q_target) = table(rng), table(rng)
    steps = experience(rng, (BATCH, 1))
    algorithm = DQN(network=MLP(hidden=()), discount=0.9, double=double, head=ExpectedReturn(penalty=penalty))
    ours, _ = jax.jit(algorithm.loss)(online, target, ENV, steps, jnp.ones(BATCH), random.key(0))
    one = jax.tree.map(lambda leaf: leaf[:, 0], steps)
    discount = np.where(one.terminated, np.float32(0), np.float32(0.9))
    common = (q[one.obs], one.action, one.reward, discount, q_target[one.next_obs])
    error, selector = (rlax.double_q_learning, [q[one.next_obs]]) if double else (rlax.q_learning, [])
    penalise = rlax.huber_loss if penalty == "huber" else jnp.square
    theirs = jax.jit(lambda *args: jnp.mean(penalise(jax.vmap(error)(*args))))(*common, *selector)
    assert ours == pytest.approx(float(theirs), rel=1e-5)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_n_step_returns(n):
    rng = np.random.default_rng(n)
    steps = experience(rng, (BATCH,)).replace(truncated=np.zeros(BATCH, bool))
    values = rng.normal(size=BATCH).astype(np.float32)  # of the state after each step
    discounts = np.where(steps.terminated, np.float32(0), np.float32(0.9))
    theirs = jax.jit(partial(rlax.n_step_bootstrapped_returns, n=n))(steps.reward, discounts, values)
    starts = np.arange(BATCH - n)
    segments = jax.tree.map(lambda leaf: leaf[starts[:, None] + np.arange(n)], steps)
    reward, discount, _ = jax.jit(jax.vmap(n_step_return, (0, None)))(segments, 0.9)
    ours = reward + discount * values[starts + n - 1]
    np.testing.assert_allclose(ours, theirs[: BATCH - n], atol=1e-5)


def test_generalised_advantage():
    rng = np.random.default_rng(0)
    reward, value = rng.normal(size=BATCH).astype(np.float32), rng.normal(size=BATCH + 1).astype(np.float32)
    terminated = rng.random(BATCH) < 0.1
    delta = td_target(reward, 0.9, terminated, value[1:]) - value[:-1]
    ours = generalised_advantage(delta, terminated, 0.9, 0.8)
    discounts = jnp.where(terminated, 0.0, 0.9)
    theirs = jax.jit(rlax.truncated_generalized_advantage_estimation)(
        jnp.asarray(reward), discounts, 0.8, jnp.asarray(value)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_clipped_surrogate():
    rng = np.random.default_rng(0)
    ratio, advantage = np.exp(rng.normal(size=BATCH)), rng.normal(size=BATCH)
    ours = -clipped_surrogate(ratio, advantage, 0.2).mean()
    theirs = rlax.clipped_surrogate_pg_loss(jnp.asarray(ratio), jnp.asarray(advantage), 0.2)
    assert ours == pytest.approx(float(theirs), rel=1e-5)


def test_projection_onto_atoms():
    rng = np.random.default_rng(0)
    support = np.linspace(-2, 3, 11, dtype=np.float32)
    returns = (rng.normal() + 0.9 * support).astype(np.float32)
    probabilities = rng.dirichlet(np.ones(11)).astype(np.float32)
    ours = jax.jit(projected)(returns, probabilities, support)
    theirs = rlax.categorical_l2_project(
        jnp.asarray(returns), jnp.asarray(probabilities), jnp.asarray(support)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert ours.sum() == pytest.approx(1, rel=1e-5)


@pytest.mark.filterwarnings("ignore:Rlax categorical_cross_entropy")  # rlax's own notice to itself
@pytest.mark.parametrize("ended", [False, True])
def test_categorical_loss(ended):
    rng, head = np.random.default_rng(1), CategoricalReturn(atoms=11, v_min=-2.0, v_max=3.0)
    logits, next_logits = rng.normal(size=(2, 2, 11)).astype(np.float32)
    discount, support = np.float32(0 if ended else 0.9), head.support()
    best = int(np.argmax(head.mean(next_logits)))
    ours, priority = head.loss(logits[1], 0.5, discount, next_logits[best])
    theirs = rlax.categorical_q_learning(
        support, jnp.asarray(logits), 1, 0.5, discount, support, jnp.asarray(next_logits)
    )
    assert ours == pytest.approx(float(theirs), rel=1e-5)
    assert 0 <= priority <= ours  # what the target's own entropy leaves


def test_quantile_loss():
    rng, head = np.random.default_rng(2), QuantileReturn(quantiles=7, kappa=0.5)
    quantiles, next_quantiles = rng.normal(size=(2, 7, 2)).astype(np.float32)
    best = int(np.argmax(next_quantiles.mean(axis=0)))
    ours, _ = head.loss(quantiles[:, 1], 0.5, 0.9, next_quantiles[:, best])
    levels = (jnp.arange(7) + 0.5) / 7
    theirs = rlax.quantile_q_learning(
        *map(jnp.asarray, (quantiles, levels, 1, 0.5, 0.9, next_quantiles, next_quantiles)), huber_param=0.5
    )
    assert ours == pytest.approx(float(theirs), rel=1e-5)
