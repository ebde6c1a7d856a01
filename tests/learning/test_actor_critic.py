"""Actor and critic: which distribution an action space gets, how both networks begin, what is executed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from jaxrl.learning.actor_critic import actor_critic
from jaxrl.learning.distributions import Categorical, Gaussian
from jaxrl.learning.networks import GRU, MLP
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.spaces import Box, Discrete

MATRIX = Box(np.float32([[-1], [0], [1]]), 2.0, (3, 2))


class Spaces(Environment):
    """Only its spaces matter."""

    @property
    def observation_space(self):
        return Box(-1, 1, (5,))


class Numbered(Spaces):
    @property
    def action_space(self):
        return Discrete(4)


class Shaped(Spaces):
    @property
    def action_space(self):
        return MATRIX


@pytest.fixture(scope="module", params=[Numbered(), Shaped()], ids=["discrete", "continuous"])
def begun(request):
    """Networks of an environment, their first parameters, inputs [7, 2, 5], policies and values of them."""
    networks = actor_critic(MLP(hidden=(8,)), request.param)
    x = np.random.default_rng(0).normal(size=(7, 2, 5)).astype(np.float32)

    @jax.jit
    def begin(key):
        params = networks.init(key, x[0, 0])
        return params, networks.policy(params, (), x)[0], networks.value(params, (), x)[0]

    return networks, *begin(random.key(0))


def test_distributions_fit_the_space_and_take_leading_axes(begun):
    networks, _, policy, value = begun
    if isinstance(networks.action_space, Discrete):
        assert isinstance(policy, Categorical)
        assert policy.logits.shape == (7, 2, 4)
    else:  # flat, although an action is a matrix
        assert isinstance(policy, Gaussian)
        assert policy.mean.shape == policy.log_std.shape == (7, 2, 6)
    assert value.shape == (7, 2)


def test_networks_begin_apart_and_small(begun):
    """The actor's last layer has 0.01 times, the critic's once orthonormal weights."""
    _, params, policy, value = begun
    actor, critic = (each["params"] for each in params)
    assert not np.allclose(actor["torso"]["Dense_0"]["kernel"], critic["torso"]["Dense_0"]["kernel"])
    for layer, scale in ((actor, 0.01), (critic, 1.0)):
        assert np.linalg.norm(layer["Dense_0"]["kernel"], ord=2) == pytest.approx(scale, rel=1e-4)
    assert np.abs(jax.tree.leaves(policy)[0]).max() < 0.05
    assert np.ptp(value) > 0.1


def test_actions_are_executed_in_the_shape_and_bounds_of_their_space(begun):
    networks, *_ = begun
    if isinstance(networks.action_space, Discrete):
        assert networks.executed(jnp.int32(3)) == 3
        return
    drawn = np.float32([-5, 5, -5, 0.5, -5, 1.5])
    np.testing.assert_array_equal(networks.executed(drawn), [[-1, 2], [0, 0.5], [1, 1.5]])


@pytest.mark.parametrize(
    "network", [MLP(hidden=(8,)), MLP(hidden=()), GRU(units=8)], ids=["mlp", "none", "gru"]
)
def test_a_shared_torso_is_the_actors_and_learns_from_the_value(network):
    networks, x = actor_critic(network, Numbered(), shared_torso=True), jnp.ones(5)
    memory = networks.memory()[1]

    @jax.jit
    def begin(key):
        params = networks.init(key, x)
        return params, jax.grad(lambda params: networks.value(params, memory, x)[0])(params)

    (_, critic), (of_actor, of_critic) = begin(random.key(0))
    assert set(critic["params"]) == {"Dense_0"}
    assert all(np.any(leaf) for leaf in jax.tree.leaves(of_critic))
    of_torso = jax.tree.leaves(of_actor["params"].pop("torso", {}))
    assert any(np.any(leaf) for leaf in of_torso) == (network != MLP(hidden=()))
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(of_actor))
    assert jax.tree.structure(networks.memory()[0]) == jax.tree.structure(memory)
