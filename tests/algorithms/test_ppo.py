"""PPO's equations by hand, and a whole iteration against a second, plain implementation."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import random
from scipy import stats

from envs import CartPole
from jaxrl.algorithms import PPO
from jaxrl.algorithms.ppo import clipped_surrogate, clipped_value_loss
from jaxrl.learning.normalise import standardised
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.spaces import Box
from jaxrl.random.shuffle import permutation

ENV = CartPole(max_steps=5)  # truncates within a rollout
SMALL = PPO(num_envs=2, num_steps=8, epochs=2, minibatches=2, max_grad_norm=0.05, clip=0.01)


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected"),
    [(1.1, 2.0, 2.2), (1.5, 2.0, 2.4), (0.5, 2.0, 1.0), (1.5, -2.0, -3.0), (0.5, -2.0, -1.6)],
)
def test_clipped_surrogate(ratio, advantage, expected):
    assert clipped_surrogate(jnp.float32(ratio), advantage, 0.2) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "target", "clip", "expected"),
    [
        (1.5, 2.0, 0.2, 0.5 * 0.8**2),
        (1.1, 2.0, 0.2, 0.5 * 0.9**2),
        (1.5, 0.0, 0.2, 0.5 * 1.5**2),
        (1.5, 2.0, np.inf, 0.125),
    ],
)
def test_clipped_value_loss(value, target, clip, expected):
    """The old value is 1."""
    assert clipped_value_loss(jnp.float32(value), 1.0, target, clip) == pytest.approx(expected)


def test_standardised():
    np.testing.assert_allclose(
        standardised(jnp.array([1.0, 2.0, 3.0])), [-(1.5**0.5), 0, 1.5**0.5], rtol=1e-6
    )


def plain_advantages(algorithm, state, transitions):
    """Values and advantages of a rollout, in a double loop: [num_steps, num_envs] each."""
    value, next_value = (
        np.asarray(algorithm.critic(ENV).apply(state.critic, obs)[..., 0])
        for obs in (transitions.obs, transitions.next_obs)
    )
    advantage = np.zeros_like(value)
    for env in range(algorithm.num_envs):
        following = 0.0
        for t in reversed(range(algorithm.num_steps)):
            ended, cut = transitions.terminated[t, env], transitions.truncated[t, env]
            bootstrap = 0.0 if ended else algorithm.discount * next_value[t, env]
            delta = transitions.reward[t, env] + bootstrap - value[t, env]
            trace = 0.0 if ended or cut else algorithm.discount * algorithm.gae_lambda
            advantage[t, env] = following = delta + trace * following
    return value, advantage


def plain_loss(params, algorithm, batch):
    obs, action, old_log_prob, old_value, advantage = batch
    log_probs = jax.nn.log_softmax(algorithm.actor(ENV).apply(params[0], obs))
    ratio = jnp.exp(jnp.take_along_axis(log_probs, action[:, None], 1)[:, 0] - old_log_prob)
    target = old_value + advantage
    if algorithm.normalise_advantage:
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    limited = jnp.clip(ratio, 1 - algorithm.clip, 1 + algorithm.clip)
    policy_loss = jnp.maximum(-advantage * ratio, -advantage * limited).mean()
    value = algorithm.critic(ENV).apply(params[1], obs)[..., 0]
    error = (value - target) ** 2
    if algorithm.clip_value_loss:
        limited = old_value + jnp.clip(value - old_value, -algorithm.clip, algorithm.clip)
        error = jnp.maximum(error, (limited - target) ** 2)
    entropy = -(jnp.exp(log_probs) * log_probs).sum(axis=1).mean()
    return (
        policy_loss
        + algorithm.value_coefficient * 0.5 * error.mean()
        - algorithm.entropy_coefficient * entropy
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"clip_value_loss": False},
        {"normalise_advantage": False},
        {"anneal_learning_rate": False},
        {"entropy_coefficient": 0.5, "value_coefficient": 2.0, "gae_lambda": 0.5, "max_grad_norm": 1e3},
    ],
    ids=str,
)
def test_an_iteration_equals_a_plain_implementation(changes):
    algorithm = SMALL.replace(learning_rate=1e-2, **changes)
    state = algorithm.init(ENV, random.key(3))
    key_rollout, key_update = random.split(random.fold_in(state.key, 4))
    _, transitions, (_, log_prob) = algorithm.rollout(ENV, state, key_rollout)
    assert transitions.truncated.any()
    value, advantage = plain_advantages(algorithm, state, transitions)
    columns = (transitions.obs, transitions.action, log_prob, value, advantage)
    samples = [np.asarray(column).reshape(16, *column.shape[2:]) for column in columns]

    rate = algorithm.learning_rate * ((1 - 4 / 10) if algorithm.anneal_learning_rate else 1)
    adam, params = optax.adam(rate, eps=1e-5), (state.actor, state.critic)
    opt_state = adam.init(params)
    for key in random.split(key_update, algorithm.epochs):
        for indices in np.asarray(permutation(key, 16)).reshape(2, 8):
            grads = jax.grad(plain_loss)(params, algorithm, [column[indices] for column in samples])
            norm = np.sqrt(sum((np.asarray(leaf) ** 2).sum() for leaf in jax.tree.leaves(grads)))
            grads = jax.tree.map(lambda leaf, norm=norm: leaf * min(1, algorithm.max_grad_norm / norm), grads)
            updates, opt_state = adam.update(grads, opt_state)
            params = optax.apply_updates(params, updates)

    after, _ = jax.jit(algorithm.step)(ENV, state, 4, 10)
    for ours, plain, before in zip(
        *map(jax.tree.leaves, ((after.actor, after.critic), params, (state.actor, state.critic))), strict=True
    ):
        np.testing.assert_allclose(ours, plain, atol=2e-5)
        assert np.abs(ours - before).max() > 1e-3


class Recording(Environment):
    """Its state, which is observed, is the last action that it was given."""

    @property
    def observation_space(self):
        return Box(-jnp.inf, jnp.inf, (2,))

    @property
    def action_space(self):
        return Box(jnp.array([-0.5, -0.1]), 0.5, (2,))

    def reset(self, key):
        return jnp.zeros(2)

    def step(self, key, state, action):
        return action, 0.0, False

    def observe(self, state):
        return state


def test_actions_are_learned_from_as_drawn_and_executed_within_bounds():
    """Of a deviation of 1, so that most draws lie beyond the bounds."""
    algorithm, env = SMALL, Recording()
    state = algorithm.init(env, random.key(0))
    _, transitions, (drawn, log_prob) = algorithm.rollout(env, state, random.key(1))
    drawn = np.asarray(drawn)
    executed = np.clip(drawn, np.float32([-0.5, -0.1]), np.float32(0.5))
    assert (drawn != executed).any(axis=-1).mean() > 0.5
    np.testing.assert_array_equal(transitions.next_obs, executed)
    np.testing.assert_array_equal(transitions.obs[1:], executed[:-1])

    mean, log_std = algorithm.actor(env).apply(state.actor, transitions.obs)
    density = stats.norm.logpdf(drawn, mean, np.exp(log_std)).sum(axis=-1)
    np.testing.assert_allclose(log_prob, density, rtol=1e-5, atol=1e-5)
    _, samples = algorithm.samples(env, state, transitions, (jnp.asarray(drawn), log_prob))
    np.testing.assert_array_equal(samples.action, drawn.reshape(-1, 2))
    _, metrics = algorithm.loss((state.actor, state.critic), env, samples)
    assert metrics["approx_kl"] == pytest.approx(0, abs=1e-5)  # the ratios of the policy to itself are 1
    assert metrics["clip_fraction"] == 0
