"""Noisy networks: a key decides the noise, and a learner explores by it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from envs import CartPole
from jaxrl.algorithms import PPO
from jaxrl.errors import InputError
from jaxrl.learning.check import check_algorithm
from jaxrl.learning.memory import apply
from jaxrl.study.batch import Batch
from jaxrl.study.study import Run
from tests.lanes import trained
from tests.noisy import Noisy, NoisyQ
from tests.probes import ActionMustMatchObservation


def test_the_key_decides_the_noise_and_a_call_without_has_none():
    algorithm, env = NoisyQ(), ActionMustMatchObservation()
    network, x = algorithm.values(env), jnp.eye(2)
    params = network.init(random.key(0), x[0])

    def values(key):
        return np.asarray(apply(network, params, (), x, noise=key)[0])

    one, again, other = (values(random.key(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0.01
    mean = values(None)
    draws = np.stack([values(random.key(seed)) for seed in range(3)])
    assert (np.abs(draws - mean).max(axis=(1, 2)) > 0.01).all()
    # Both inputs of a call see the same noise, so equal inputs have equal values.
    twice, _ = apply(network, params, (), jnp.stack([x[0], x[0]]), noise=random.key(1))
    np.testing.assert_array_equal(twice[0], twice[1])


def test_a_learner_explores_by_noise_alone_and_then_needs_less_of_it():
    algorithm, env = NoisyQ(), ActionMustMatchObservation()
    check_algorithm(algorithm, env)
    seeds = range(8)
    batch = Batch(0, len(seeds), tuple(Run(i, env, algorithm, seed) for i, seed in enumerate(seeds)))
    state = trained(batch, 600)

    @jax.jit
    @jax.vmap
    def greedy(state):
        return jax.vmap(lambda obs: algorithm.act(env, state, (), obs, random.key(0), False)[0])(
            jnp.arange(2)
        )

    np.testing.assert_array_equal(greedy(state), np.tile([0, 1], (len(seeds), 1)))
    sigma = state.params["params"]["torso"]["NoisyDense_0"]["kernel_sigma"]
    assert np.ptp(sigma) > 1e-3  # it is learned


def test_an_algorithm_that_gives_no_key_refuses_the_network():
    with pytest.raises(InputError, match=r"^PPO cannot use a network that draws noise such as Noisy$"):
        PPO(network=Noisy()).validate_for(CartPole())
