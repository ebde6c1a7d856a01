"""Targets, losses and advantages against rlax, DeepMind's library of the same equations."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.algorithms import DQN
from jaxrl.algorithms.ppo import clipped_surrogate
from jaxrl.learning import replay
from jaxrl.learning.returns import generalised_advantage, td_error
from jaxrl.mdp.episode import Experience
from tests.probes import RewardTwoStepsLater

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # tensorflow_probability, which it imports, reads deprecated names of jax
    import rlax

ENV = RewardTwoStepsLater()  # three observations, two actions
BATCH = 50


def table(rng):
    """Parameters of a network without hidden layers whose values are a table, and the table [3, 2]."""
    values = rng.normal(size=(3, 2)).astype(np.float32)
    return {"params": {"Dense_0": {"kernel": jnp.array(values), "bias": jnp.zeros(2)}}}, values


def experience(rng, shape):
    """Unrelated transitions between ENV's observations: [*shape]."""
    ends = rng.random(shape)
    return Experience(
        obs=jnp.asarray(rng.integers(3, size=shape)),
        action=jnp.asarray(rng.integers(2, size=shape)),
        reward=jnp.asarray(rng.normal(size=shape), jnp.float32),
        next_obs=jnp.asarray(rng.integers(3, size=shape)),
        terminated=jnp.asarray(ends < 0.2),
        truncated=jnp.asarray(ends > 0.8),
    )


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("loss", ["squared", "huber"])
def test_dqn_loss(double, loss):
    rng = np.random.default_rng(0)
    (online, q), (target, q_target) = table(rng), table(rng)
    steps = experience(rng, (BATCH, 1))
    ours = DQN(hidden=(), discount=0.9, double=double, loss=loss).mean_loss(online, target, ENV, steps)
    one = jax.tree.map(lambda leaf: leaf[:, 0], steps)
    discount = jnp.where(one.terminated, 0.0, 0.9)
    common = (q[one.obs], one.action, one.reward, discount, q_target[one.next_obs])
    if double:
        errors = jax.vmap(rlax.double_q_learning)(*common, q[one.next_obs])
    else:
        errors = jax.vmap(rlax.q_learning)(*common)
    theirs = jnp.mean(rlax.huber_loss(errors) if loss == "huber" else jnp.square(errors))
    assert ours == pytest.approx(float(theirs), rel=1e-5)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_n_step_returns(n):
    rng = np.random.default_rng(n)
    steps = experience(rng, (BATCH,)).replace(truncated=jnp.zeros(BATCH, bool))
    values = rng.normal(size=BATCH).astype(np.float32)  # of the state after each step
    discounts = jnp.where(steps.terminated, 0.0, 0.9)
    theirs = rlax.n_step_bootstrapped_returns(steps.reward, discounts, values, n)
    for start in range(BATCH - n):
        stretch = jax.tree.map(lambda leaf, start=start: leaf[start : start + n], steps)
        reward, discount, _ = replay.n_step(stretch, 0.9)
        assert reward + discount * values[start + n - 1] == pytest.approx(float(theirs[start]), abs=1e-5)


def test_generalised_advantage():
    rng = np.random.default_rng(0)
    reward, value = rng.normal(size=BATCH).astype(np.float32), rng.normal(size=BATCH + 1).astype(np.float32)
    terminated = rng.random(BATCH) < 0.1
    delta = td_error(value[:-1], reward, 0.9, jnp.asarray(terminated), value[1:])
    ours = generalised_advantage(delta, jnp.asarray(terminated), 0.9, 0.8)
    discounts = jnp.where(terminated, 0.0, 0.9)
    theirs = rlax.truncated_generalized_advantage_estimation(
        jnp.asarray(reward), discounts, 0.8, jnp.asarray(value)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_clipped_surrogate():
    rng = np.random.default_rng(0)
    ratio, advantage = np.exp(rng.normal(size=BATCH)), rng.normal(size=BATCH)
    ours = -clipped_surrogate(jnp.asarray(ratio), jnp.asarray(advantage), 0.2).mean()
    theirs = rlax.clipped_surrogate_pg_loss(jnp.asarray(ratio), jnp.asarray(advantage), 0.2)
    assert ours == pytest.approx(float(theirs), rel=1e-5)
