"""Running moments beside numpy's over all data at once, and PPO's use of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import Pendulum
from jaxrl.algorithms import PPO
from jaxrl.learning.networks import MLP
from jaxrl.learning.normalise import Moments, Scales, running_returns
from jaxrl.mdp.episode import Transition
from tests.lanes import batch_of, trained

SMALL = PPO(num_envs=2, num_steps=16, epochs=1, minibatches=2, network=MLP(hidden=(8,)))
BOTH = SMALL.replace(normalise_observations=True, normalise_rewards=True)
OBS = np.float32([0.5, -0.5, 4.0])


def test_moments_of_batches_equal_those_of_all_data():
    rng = np.random.default_rng(0)
    batches = [rng.normal(1_000, [1, 100, 0.01], size=(n, 3)).astype(np.float32) for n in (5, 1, 40, 200)]
    moments = Moments.create((3,))
    for batch in batches:
        moments = moments.updated(batch)
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


@pytest.fixture(scope="module")
def learned():
    """What three iterations in a Pendulum leave in one run: [32] transitions each, both options on."""
    return jax.tree.map(lambda leaf: leaf[0], trained(batch_of([BOTH], Pendulum(), [0]), 3))


def test_both_scales_are_learned_from_every_transition(learned):
    scales = learned.scales
    assert scales.inputs.count == scales.returns.count == pytest.approx(3 * 32, rel=1e-4)
    assert not np.allclose(scales.inputs.mean, 0)
    assert scales.returns.variance > 2


@pytest.mark.parametrize(
    "changes", [{}, {"normalise_observations": True}, {"normalise_rewards": True}], ids=str
)
def test_options_move_only_their_own_scales(changes, learned):
    """Made-up transitions, valued by networks that do not matter."""
    algorithm, env = SMALL.replace(**changes), Pendulum()
    transitions, drawn = rewarded(1.0)
    state = learned.replace(scales=Scales.create((3,), 2))
    scales, *_ = jax.jit(algorithm.agent(env).samples)(state, transitions, drawn, algorithm.gae_lambda)
    assert {
        "normalise_observations": not np.allclose(scales.inputs.mean, 0),
        "normalise_rewards": not np.allclose(scales.returns.variance, 1),
    } == {name: name in changes for name in ("normalise_observations", "normalise_rewards")}


def test_observations_are_standardised_by_what_was_seen(learned):
    np.testing.assert_array_equal(
        BOTH.agent(Pendulum()).input(learned.scales, OBS), learned.scales.inputs.standardised(OBS)
    )
    np.testing.assert_array_equal(SMALL.agent(Pendulum()).input(learned.scales, OBS), OBS)
    act = jax.jit(
        lambda scales: BOTH.act(Pendulum(), learned.replace(scales=scales), (), OBS, None, False)[0]
    )
    assert act(learned.scales) != act(learned.scales.replace(inputs=Moments.create((3,))))


def rewarded(factor):
    """A rollout of made-up transitions [16, 2] whose rewards have a deviation of about `factor`, and actions."""
    rng = np.random.default_rng(0)
    obs, next_obs = rng.normal(1, 2, size=(2, 16, 2, 3)).astype(np.float32)
    reward, action = rng.normal(size=(2, 16, 2)).astype(np.float32)
    done = rng.random((16, 2)) < 0.1
    totals = (np.zeros((16, 2)), np.zeros((16, 2), int))
    action = action[..., None]
    made = Transition(obs, action, factor * reward, next_obs, done, np.zeros_like(done), *totals)
    return made, (action, np.zeros((16, 2), np.float32))


def test_a_reward_scale_changes_nothing_once_rewards_are_normalised(learned):
    state = learned.replace(scales=Scales.create((3,), 2))

    def advantages(algorithm):
        samples = jax.jit(algorithm.agent(Pendulum()).samples)
        return [samples(state, *rewarded(factor), 0.95)[-1].advantage for factor in (1e3, 10.0)]

    np.testing.assert_allclose(*advantages(BOTH), rtol=1e-2, atol=1e-2)
    assert not np.allclose(*advantages(SMALL), rtol=0.5)
