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
from jaxrl.learning.networks import MLP
from jaxrl.learning.sampling import Prioritised
from jaxrl.learning.value_heads import CategoricalReturn, ExpectedReturn
from jaxrl.mdp.episode import Experience
from tests.lanes import batch_of, trained
from tests.probes import RewardDependsOnObservation

ENV = RewardDependsOnObservation()  # two observations, two actions
HUBER = ExpectedReturn(penalty="huber")
LINEAR = DQN(network=MLP(hidden=()), discount=0.5)


def linear(values):
    """Parameters of a network without hidden layers whose values are a table: [observations, actions]."""
    return {"params": {"Dense_0": {"kernel": np.float32(values), "bias": np.zeros(2, np.float32)}}}


ONLINE = linear([[1.0, 2.0], [5.0, 3.0]])
TARGET = linear([[0.0, 0.0], [10.0, 20.0]])


def segments(terminated=False, truncated=False):
    """A batch of one segment of one transition: observation 0, action 1, reward 1, then observation 1."""
    values = (0, 1, np.float32(1), 1, terminated, truncated)
    return Experience(*(np.asarray(value)[None, None] for value in values))


@jax.jit
def loss_and_gradient(algorithm, segments):
    arguments = (ONLINE, TARGET, ENV, segments, jnp.ones(1), random.key(0))
    (loss, _), grads = jax.value_and_grad(algorithm.loss, has_aux=True)(*arguments)
    return loss, grads["params"]["Dense_0"]["kernel"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (1 + 0.5 * 20 - 2) ** 2),  # the target's best value
        ({"double": True}, (1 + 0.5 * 10 - 2) ** 2),  # the target's value of the network's best action
        ({"head": HUBER}, 9 - 0.5),
        ({"head": HUBER, "double": True}, 4 - 0.5),
    ],
)
def test_losses_by_hand(changes, expected):
    loss, _ = loss_and_gradient(LINEAR.replace(**changes), segments())
    assert loss == pytest.approx(expected)


def test_termination_cuts_and_truncation_bootstraps():
    cut, bootstrapped = (
        loss_and_gradient(LINEAR, segments(*ends))[0] for ends in ((True, False), (False, True))
    )
    assert cut == pytest.approx(1.0)
    assert bootstrapped == pytest.approx(81.0)


def test_no_gradient_through_the_target():
    _, gradient = loss_and_gradient(LINEAR.replace(double=True), segments())
    np.testing.assert_allclose(gradient, [[0, -2 * 4.0], [0, 0]])


@pytest.mark.parametrize("dueling", [False, True])
def test_dueling_is_a_head_of_the_network(dueling):
    params = jax.eval_shape(DQN(dueling=dueling).init, ENV, random.key(0)).params["params"]
    outputs = [layer["bias"].shape[0] for name, layer in params.items() if name.startswith("Dense")]
    assert sorted(outputs) == ([1, 2] if dueling else [2])


SMALL = DQN(
    num_envs=2,
    warmup=10,
    batch_size=4,
    capacity=20,
    target_period=8,
    updates=2,
    network=MLP(hidden=(4,), activation="relu", initialiser="lecun_normal"),
)
LONG_SEGMENTS = SMALL.replace(warmup=0, n_step=5)


def after(iterations, algorithm=SMALL, env=None):
    """A run after some of 100 iterations."""
    state = trained(batch_of([algorithm], env or CartPole(), [0]), iterations, total=100)
    return jax.tree.map(lambda leaf: np.asarray(leaf[0]), state)


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


def test_each_iteration_has_its_number_of_updates():
    assert optax.tree.get(after(8).optimiser, "count") == 2 * 3


def test_no_update_before_a_whole_segment_was_written():
    env = CartPole(max_steps=2)
    assert optax.tree.get(after(4, LONG_SEGMENTS, env).optimiser, "count") == 0
    assert optax.tree.get(after(5, LONG_SEGMENTS, env).optimiser, "count") == 2


def test_segments_longer_than_an_episode():
    env = CartPole(max_steps=2)
    begin, end = (after(n, LONG_SEGMENTS, env).params for n in (0, 30))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(end))
    assert not same(begin, end)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"capacity": 105}, "capacity must be a multiple of num_envs x num_steps = 10, got 105"),
        ({"capacity": 100}, "capacity must be at least warmup = 10000, got 100"),
        ({"capacity": 100, "warmup": 0}, "capacity must be at least batch_size = 128, got 100"),
        ({"n_step": 2_000}, "capacity must be at least n_step x num_envs = 20000, got 10000"),
        ({"head": ExpectedReturn(penalty="hubert")}, "ExpectedReturn.penalty 'hubert': did you mean 'huber'"),
        (
            {"noisy": True},
            "DQN.noisy needs 0 as epsilon_start and as epsilon_end, got 1",
        ),
        ({"head": CategoricalReturn(atoms=1)}, "CategoricalReturn.atoms must be at least 2, got 1"),
        ({"head": CategoricalReturn(v_min=2.0, v_max=1.0)}, "v_min must be below v_max = 1.0, got 2.0"),
        ({"sampling": Prioritised(alpha=1.5)}, r"Prioritised.alpha must be in \[0, 1\], got 1.5"),
        ({"epsilon_schedule": "cosine"}, "unknown value of DQN.epsilon_schedule 'cosine'"),
    ],
)
def test_bad_settings(changes, message):
    with pytest.raises(InputError, match=message):
        DQN(**changes).validate()


@pytest.mark.parametrize(("explore", "actions"), [(False, 1), (True, 2)])
def test_only_exploring_actions_vary(explore, actions):
    algorithm, state = SMALL.replace(epsilon_end=1.0), after(0)

    def act(key):
        return algorithm.act(CartPole(), state, (), jnp.ones(4), key, explore)[0]

    assert len(np.unique(jax.jit(jax.vmap(act))(random.split(random.key(0), 50)))) == actions
