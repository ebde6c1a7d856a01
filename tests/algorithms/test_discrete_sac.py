"""DiscreteSAC's losses against plain sums over actions, and that it is a learner of its own."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from envs import CartPole, MountainCarContinuous
from jaxrl import InputError
from jaxrl.algorithms import SAC, DiscreteSAC
from jaxrl.algorithms.discrete_sac import soft_value
from jaxrl.learning.algorithm import Algorithm, Collector
from jaxrl.learning.distributions import Categorical
from jaxrl.learning.networks import MLP
from jaxrl.mdp.episode import Experience
from jaxrl.random.generators import DEFAULT, GENERATORS

ENV, KEY, BATCH = CartPole(), random.key(0, impl=GENERATORS[DEFAULT]), 6
SMALL = DiscreteSAC(
    discount=0.9,
    target_entropy=0.3,
    warmup=10,
    batch_size=8,
    capacity=50,
    network=MLP(hidden=(8,), activation="relu", initialiser="lecun_normal"),
)


@pytest.fixture(scope="module")
def state():
    return jax.jit(SMALL.init)(ENV, KEY)


def some_batch():
    """Made-up experience, one of it terminated, one truncated."""
    rng = np.random.default_rng(0)
    obs, next_obs = rng.normal(size=(2, BATCH, 4)).astype(np.float32)
    terminated, truncated = np.zeros((2, BATCH), bool)
    terminated[0] = truncated[1] = True
    reward = rng.normal(size=BATCH).astype(np.float32)
    return Experience(obs, rng.integers(2, size=BATCH), reward, next_obs, terminated, truncated)


def plain_soft_value(actor, critics, temperature, obs):
    """Soft values and entropies of a batch, summed over both actions: [BATCH] each."""
    network = SMALL.outputs(ENV)
    logits = network.apply(actor, obs)
    p = jnp.exp(logits) / jnp.exp(logits).sum(axis=1, keepdims=True)
    q = jnp.minimum(*(network.apply(critic, obs) for critic in critics))
    value = sum(p[:, a] * (q[:, a] - temperature * jnp.log(p[:, a])) for a in range(2))
    return value, -sum(p[:, a] * jnp.log(p[:, a]) for a in range(2))


@jax.jit
def plain_gradients(learned, targets, batch):
    """Of actor and critics; the critics' loss, the entropy, the critics' target."""
    following, _ = plain_soft_value(learned.actor, targets, 0.7, batch.next_obs)
    target = batch.reward + 0.9 * following * ~batch.terminated

    def critic_loss(critics):
        values = [SMALL.outputs(ENV).apply(critic, batch.obs) for critic in critics]
        taken = [jnp.where(batch.action == 1, value[:, 1], value[:, 0]) for value in values]
        return sum(0.5 * ((value - target) ** 2).mean() for value in taken)

    def actor_loss(actor):
        values, entropies = plain_soft_value(actor, learned.critics, 0.7, batch.obs)
        return -values.mean(), entropies.mean()

    (_, entropy), actor = jax.value_and_grad(actor_loss, has_aux=True)(learned.actor)
    loss, critics = jax.value_and_grad(critic_loss)(learned.critics)
    return actor, critics, loss, entropy, target


def test_each_loss_and_its_gradient_equal_plain_formulas(state):
    learned = state.learned.replace(log_temperature=jnp.log(0.7))
    targets, batch = jax.tree.map(lambda leaf: leaf * 1.1, state.targets), some_batch()
    grads, metrics = jax.jit(jax.grad(SMALL.loss, has_aux=True))(learned, targets, ENV, batch)
    actor, critics, critic_loss, entropy, target = plain_gradients(learned, targets, batch)
    assert target[0] == batch.reward[0]
    assert target[1] != batch.reward[1]
    expected = actor, critics, entropy - 0.3 * math.log(2)
    ours = grads.actor, grads.critics, grads.log_temperature
    for a, b in zip(*map(jax.tree.leaves, (ours, expected)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-4)
    assert metrics["critic_loss"] == pytest.approx(float(critic_loss), rel=1e-4)
    assert metrics["entropy"] == pytest.approx(float(entropy), rel=1e-4)
    assert metrics["temperature"] == pytest.approx(0.7)


def test_soft_value_by_hand():
    """Two actions of equal probability are worth the mean of their values and α log 2."""
    policy = Categorical(jnp.zeros((3, 2)))
    values = soft_value(policy, jnp.array([[1.0, 3.0]] * 3), 0.5)
    np.testing.assert_allclose(values, [2 + 0.5 * math.log(2)] * 3, rtol=1e-6)


def test_it_derives_nothing_from_sac():
    assert DiscreteSAC.__mro__[1:3] == (Collector, Algorithm)
    assert not issubclass(DiscreteSAC, SAC)


@pytest.mark.parametrize(("explore", "actions"), [(False, 1), (True, 2)])
def test_only_exploring_actions_vary(explore, actions, state):
    act = jax.jit(jax.vmap(lambda key: SMALL.act(ENV, state, (), jnp.ones(4), key, explore)[0]))
    assert len(np.unique(act(random.split(KEY, 50)))) == actions


def test_continuous_actions_are_refused():
    message = "DiscreteSAC needs discrete actions; MountainCarContinuous has continuous ones of shape"
    with pytest.raises(InputError, match=message):
        DiscreteSAC().validate_for(MountainCarContinuous())


def test_bad_settings_name_the_learner():
    message = r"^DiscreteSAC.capacity must be at least warmup = 1000, got 500$"
    with pytest.raises(InputError, match=message):
        DiscreteSAC(capacity=500).validate()


def test_the_entropy_of_the_uniform_policy_is_no_target():
    """It is reached at an infinite temperature only."""
    with pytest.raises(InputError, match=r"DiscreteSAC.target_entropy must be in \[0, 0.99\], got 1.0"):
        DiscreteSAC(target_entropy=1.0).validate()
