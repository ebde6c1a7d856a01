"""Targets, losses and advantages against rlax, DeepMind's library of the same equations."""

import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.algorithms import DQN
from jaxrl.algorithms.ppo import clipped_surrogate
from jaxrl.learning.networks import MLP
from jaxrl.learning.returns import generalised_advantage, n_step_return, td_target
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
@pytest.mark.parametrize("loss", ["squared", "huber"])
def test_dqn_loss(double, loss):
    rng = np.random.default_rng(0)
    (online, q), (target, q_target) = table(rng), table(rng)
    steps = experience(rng, (BATCH, 1))
    algorithm = DQN(network=MLP(hidden=()), discount=0.9, double=double, loss=loss)
    ours = jax.jit(algorithm.mean_loss)(online, target, ENV, steps)
    one = jax.tree.map(lambda leaf: leaf[:, 0], steps)
    discount = np.where(one.terminated, np.float32(0), np.float32(0.9))
    common = (q[one.obs], one.action, one.reward, discount, q_target[one.next_obs])
    error, selector = (rlax.double_q_learning, [q[one.next_obs]]) if double else (rlax.q_learning, [])
    penalty = rlax.huber_loss if loss == "huber" else jnp.square
    theirs = jax.jit(lambda *args: jnp.mean(penalty(jax.vmap(error)(*args))))(*common, *selector)
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
