"""Running moments beside numpy's over all data at once, and PPO's use of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from envs import CartPole, Pendulum
from jaxrl.algorithms import PPO
from jaxrl.learning.normalise import Moments, Scales, running_returns
from tests.lanes import batch_of, trained

SMALL = PPO(num_envs=2, num_steps=16, minibatches=2, hidden=(8,))


def test_moments_of_batches_equal_those_of_all_data():
    rng = np.random.default_rng(0)
    batches = [rng.normal(1_000, [1, 100, 0.01], size=(n, 3)).astype(np.float32) for n in (5, 1, 40, 200)]
    moments = Moments.create((3,))
    for batch in batches:
        moments = moments.updated(jnp.asarray(batch))
    everything = np.concatenate(batches).astype(np.float64)
    np.testing.assert_allclose(moments.mean, everything.mean(axis=0), rtol=1e-3)
    # The variance 1 it starts from has the weight of 1e-4 arrays, at a distance of 1,000 from the data.
    expected = everything.var(axis=0) + 1e-4 / len(everything) * 1_000**2
    np.testing.assert_allclose(moments.variance, expected, rtol=0.02)
    assert moments.count == pytest.approx(len(everything), rel=1e-5)


def test_what_is_normalised_is_standard_and_limited():
    x = jnp.asarray(np.random.default_rng(0).normal(3, 5, size=(1_000, 2)), jnp.float32)
    moments = Moments.create((2,)).updated(x)
    standard = np.asarray(moments.standardised(x))
    np.testing.assert_allclose(standard.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(standard.std(axis=0), 1, rtol=1e-4)
    np.testing.assert_array_equal(moments.standardised(jnp.full(2, 1e6)), [10, 10])
    np.testing.assert_allclose(moments.scaled(x), x / x.std(axis=0), rtol=1e-3)
    assert moments.scaled(jnp.full(2, -1e6)).min() == -10


def test_running_returns_by_hand():
    reward, done = jnp.array([1.0, 2.0, 4.0, 8.0]), jnp.array([False, True, False, False])
    after, sums = running_returns(jnp.float32(10), reward, done, 0.5)
    np.testing.assert_allclose(sums, [6, 5, 4, 10])
    assert after == 10


def scales_after(algorithm):
    """What a few iterations in a Pendulum leave."""
    return trained(batch_of([algorithm], Pendulum(), [0]), 3).scales


def test_options_move_only_their_own_scales():
    start = Scales.create((3,), 2)
    for changes in ({}, {"normalise_observations": True}, {"normalise_rewards": True}):
        scales = scales_after(SMALL.replace(**changes))
        moved = {
            "normalise_observations": not np.allclose(scales.inputs.mean[0], start.inputs.mean),
            "normalise_rewards": not np.allclose(scales.returns.variance, 1),
        }
        assert moved == {name: name in changes for name in moved}


def test_observations_are_standardised_by_what_was_seen():
    algorithm = SMALL.replace(normalise_observations=True)
    state = jax.tree.map(lambda x: x[0], trained(batch_of([algorithm], Pendulum(), [0]), 3))
    assert state.scales.inputs.count == pytest.approx(3 * 32, rel=1e-4)
    obs = jnp.array([0.5, -0.5, 4.0])
    np.testing.assert_array_equal(
        algorithm.input(Pendulum(), state.scales, obs), state.scales.inputs.standardised(obs)
    )
    plain = state.scales.replace(inputs=Moments.create((3,)))
    acts = [
        algorithm.act(Pendulum(), state.replace(scales=s), obs, random.key(0), False)
        for s in (state.scales, plain)
    ]
    assert acts[0] != acts[1]


def test_a_reward_scale_changes_nothing_once_rewards_are_normalised():
    normalising = SMALL.replace(normalise_rewards=True)
    state = jax.tree.map(lambda x: x[0], trained(batch_of([normalising], CartPole(), [0]), 2))
    state = state.replace(scales=Scales.create((4,), 2))
    _, transitions, drawn = normalising.rollout(CartPole(), state, random.key(1))

    def advantages(algorithm, factor):
        scaled = transitions.replace(reward=factor * transitions.reward)
        return algorithm.samples(CartPole(), state, scaled, drawn)[1].advantage

    np.testing.assert_allclose(advantages(normalising, 1e3), advantages(normalising, 10.0), rtol=1e-2)
    assert not np.allclose(advantages(SMALL, 1e3), advantages(SMALL, 10.0), rtol=0.5)
