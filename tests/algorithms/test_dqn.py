"""DQN's options against hand-computed numbers, and what happens when."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import random

from envs import CartPole
from jaxrl import InputError
from jaxrl.algorithms import DQN
from jaxrl.learning.networks import ReluMLP
from jaxrl.mdp.episode import Transition
from tests.lanes import batch_of, trained
from tests.probes import RewardDependsOnObservation

ENV = RewardDependsOnObservation()  # two observations, two actions
LINEAR = DQN(hidden=(), discount=0.5)


def linear(values):
    """Parameters of a network without hidden layers whose values are a table: [observations, actions]."""
    return {"params": {"Dense_0": {"kernel": jnp.array(values), "bias": jnp.zeros(2)}}}


ONLINE = linear([[1.0, 2.0], [5.0, 3.0]])
TARGET = linear([[0.0, 0.0], [10.0, 20.0]])


def stretch(terminated=False, truncated=False):
    """A batch of one stretch of one transition: observation 0, action 1, reward 1, then observation 1."""
    values = (0, 1, 1.0, 1, terminated, truncated, 0.0, 0)
    return Transition(*(jnp.asarray(value)[None, None] for value in values))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (1 + 0.5 * 20 - 2) ** 2),  # the target's best value
        ({"double": True}, (1 + 0.5 * 10 - 2) ** 2),  # the target's value of the network's best action
        ({"loss": "huber"}, 9 - 0.5),
        ({"loss": "huber", "double": True}, 4 - 0.5),
    ],
)
def test_losses_by_hand(changes, expected):
    assert LINEAR.replace(**changes).mean_loss(ONLINE, TARGET, ENV, stretch()) == pytest.approx(expected)


def test_termination_cuts_and_truncation_bootstraps():
    loss = [LINEAR.mean_loss(ONLINE, TARGET, ENV, stretch(*ends)) for ends in ((True, False), (False, True))]
    np.testing.assert_allclose(loss, [1.0, 81.0])


def test_no_gradient_through_the_target():
    grads = jax.grad(LINEAR.replace(double=True).mean_loss)(ONLINE, TARGET, ENV, stretch())
    kernel = np.asarray(grads["params"]["Dense_0"]["kernel"])
    np.testing.assert_allclose(kernel, [[0, -2 * 4.0], [0, 0]])


def test_dueling_values_are_centred_advantages_on_a_value():
    network = ReluMLP((), 2, dueling=True)
    params = {"params": {"Dense_0": {"kernel": jnp.array([[1.0, 4.0]]), "bias": jnp.zeros(2)}}}
    params["params"]["Dense_1"] = {"kernel": jnp.array([[10.0]]), "bias": jnp.zeros(1)}
    np.testing.assert_allclose(network.apply(params, jnp.ones(1)), [10 - 1.5, 10 + 1.5])


SMALL = DQN(num_envs=2, warmup=10, batch_size=4, capacity=20, target_period=8, hidden=(4,))


def after(iterations, algorithm=SMALL):
    return trained(batch_of([algorithm], CartPole(), [0]), iterations, total=100)


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True))


def test_nothing_is_learned_while_warming_up():
    start = after(0)
    assert same(after(5).params, start.params)  # 10 steps
    assert not same(after(6).params, start.params)


def test_target_is_copied_every_period():
    assert same(after(7).target, after(0).target)
    assert same(after(8).target, after(8).params)  # 16 steps
    assert same(after(9).target, after(8).params)
    assert not same(after(9).target, after(9).params)


def test_polyak_averaging():
    half = SMALL.replace(target_rate=0.5, target_period=1)
    expected = jax.tree.map(lambda p, t: 0.5 * p + 0.5 * t, after(6, half).params, after(5, half).target)
    for ours, theirs in zip(*map(jax.tree.leaves, (after(6, half).target, expected)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_updates_count():
    for updates in (1, 3):
        state = after(8, SMALL.replace(updates=updates))
        assert optax.tree.get(state.optimiser, "count").item() == 3 * updates


def test_gradients_are_clipped_by_their_global_norm():
    """Two gradients of norm 3 and 4 have norm 5; clipped to 1 they keep their ratio."""
    clip = DQN(max_grad_norm=1.0).optimiser()
    grads = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}
    # Adam's first moment after one step is a tenth of the clipped gradient.
    _, state = clip.update(grads, clip.init(grads))
    mu = optax.tree.get(state, "mu")
    np.testing.assert_allclose([mu["a"][0], mu["b"][0]], [0.06, 0.08], rtol=1e-5)


def test_stretches_longer_than_an_episode():
    algorithm = SMALL.replace(n_step=5)
    state = trained(batch_of([algorithm], CartPole(max_steps=2), [0]), 30, total=100)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))
    assert not same(state.params, after(0).params)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"capacity": 105}, "capacity must be a multiple of num_envs x num_steps = 10, got 105"),
        ({"capacity": 100}, "capacity must be at least warmup = 10000, got 100"),
        ({"capacity": 100, "warmup": 0}, "capacity must be at least batch_size = 128, got 100"),
        ({"n_step": 2_000}, "capacity must be at least n_step x num_envs = 20000, got 10000"),
        ({"loss": "hubert"}, "unknown value of DQN.loss 'hubert': did you mean 'huber'"),
    ],
)
def test_bad_settings(changes, message):
    with pytest.raises(InputError, match=message):
        DQN(**changes).validate()


def test_one_draw_decides_whether_and_how_to_explore():
    state = after(0)
    algorithm, lane = SMALL, jax.tree.map(lambda leaf: leaf[0], state)
    greedy = {int(algorithm.act(CartPole(), lane, jnp.ones(4), random.key(i), False)) for i in range(50)}
    exploring = algorithm.replace(epsilon_end=1.0)
    both = {int(exploring.act(CartPole(), lane, jnp.ones(4), random.key(i), True)) for i in range(50)}
    assert len(greedy) == 1
    assert both == {0, 1}
