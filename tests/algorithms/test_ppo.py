"""PPO's equations by hand, and a whole iteration against a second, plain implementation."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import random
from scipy import stats

from envs import CartPole
from jaxrl import InputError
from jaxrl.algorithms import PPO
from jaxrl.algorithms.ppo import clipped_surrogate, clipped_value_loss
from jaxrl.learning.networks import MLP
from jaxrl.learning.normalise import standardised
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.spaces import Box
from jaxrl.random.generators import DEFAULT, GENERATORS
from jaxrl.random.shuffle import permutation

KEY = random.key(3, impl=GENERATORS[DEFAULT])
ENV = CartPole(max_steps=5)  # truncates within a rollout
SMALL = PPO(
    num_envs=2, num_steps=8, epochs=2, minibatches=2, max_grad_norm=0.05, clip=0.01, network=MLP(hidden=(8,))
)


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


def plain_advantages(algorithm, value, next_value, transitions):
    """Advantages of a rollout, in a double loop: [num_steps, num_envs]."""
    advantage = np.zeros_like(value)
    for env in range(algorithm.num_envs):
        following = 0.0
        for t in reversed(range(algorithm.num_steps)):
            ended, cut = transitions.terminated[t, env], transitions.truncated[t, env]
            bootstrap = 0.0 if ended else algorithm.discount * next_value[t, env]
            delta = transitions.reward[t, env] + bootstrap - value[t, env]
            trace = 0.0 if ended or cut else algorithm.discount * algorithm.gae_lambda
            advantage[t, env] = following = delta + trace * following
    return advantage


def plain_loss(params, algorithm, batch):
    obs, action, old_log_prob, old_value, advantage = batch
    networks = algorithm.agent(ENV).networks
    log_probs = jax.nn.log_softmax(networks.actor.apply(params[0], obs))
    ratio = jnp.exp(jnp.take_along_axis(log_probs, action[:, None], 1)[:, 0] - old_log_prob)
    target = old_value + advantage
    if algorithm.normalise_advantage:
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    limited = jnp.clip(ratio, 1 - algorithm.clip, 1 + algorithm.clip)
    policy_loss = jnp.maximum(-advantage * ratio, -advantage * limited).mean()
    value = networks.critic.apply(params[1], obs)[..., 0]
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


@jax.jit
def plain_update(algorithm, params, opt_state, minibatch, rate):
    grads = jax.grad(plain_loss)(params, algorithm, minibatch)
    norm = jnp.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(grads)))
    grads = jax.tree.map(lambda leaf: leaf * jnp.minimum(1, algorithm.max_grad_norm / norm), grads)
    updates, opt_state = optax.adam(rate, eps=1e-5).update(grads, opt_state)
    return optax.apply_updates(params, updates), opt_state, norm


def plain_params(algorithm, params, samples, key):
    """Parameters after the updates of iteration 4 of 10, whose minibatches follow from a key, and gradients' norms."""
    norms = []
    rate = algorithm.learning_rate * ((1 - 4 / 10) if algorithm.anneal_learning_rate else 1)
    opt_state = optax.adam(rate, eps=1e-5).init(params)
    for epoch in random.split(key, algorithm.epochs):
        for indices in np.asarray(permutation(epoch, 16)).reshape(2, 8):
            minibatch = [column[indices] for column in samples]
            params, opt_state, norm = plain_update(algorithm, params, opt_state, minibatch, rate)
            norms.append(norm)
    return params, norms


@pytest.fixture(scope="module")
def collected():
    """A state, the key of an iteration, and its rollout: transitions, log π, values and next values."""

    def collect(key):
        key_init, key_step = random.split(key)
        state, agent = SMALL.init(ENV, key_init), SMALL.agent(ENV)
        key_rollout, _ = random.split(key_step)
        _, transitions, (_, log_prob) = agent.collect(state, key_rollout, SMALL.num_steps)
        obs = transitions.obs, transitions.next_obs
        values = [agent.networks.critic.apply(state.params[1], each)[..., 0] for each in obs]
        return state, key_step, transitions, log_prob, *values

    state, key, *rollout = jax.jit(collect)(KEY)
    assert rollout[0].truncated.any()
    return state, key, *jax.device_get(rollout)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"clip_value_loss": False, "anneal_learning_rate": False},
        {
            "normalise_advantage": False,
            "anneal_learning_rate": False,
            "entropy_coefficient": 0.5,
            "value_coefficient": 2.0,
            "gae_lambda": 0.5,
            "max_grad_norm": 1e3,
        },
    ],
    ids=str,
)
def test_an_iteration_equals_a_plain_implementation(changes, collected):
    """Each option is off in some case, and no two are off in the same ones."""
    algorithm = SMALL.replace(learning_rate=1e-2, **changes)
    state, key, transitions, log_prob, value, next_value = collected
    advantage = plain_advantages(algorithm, value, next_value, transitions)
    columns = (transitions.obs, transitions.action, log_prob, value, advantage)
    samples = [column.reshape(16, *column.shape[2:]) for column in columns]
    _, key_update = random.split(key)
    plain, norms = plain_params(algorithm, state.params, samples, key_update)

    after, metrics = jax.jit(algorithm.step)(ENV, state, key, 4, 10)
    assert metrics["grad_norm"][0] == pytest.approx(np.mean(norms), rel=1e-3)
    explained = 1 - np.var(advantage) / np.var(value + advantage)
    assert metrics["explained_variance"][0] == pytest.approx(explained, abs=1e-4)
    for ours, theirs, before in zip(*map(jax.tree.leaves, (after.params, plain, state.params)), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
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
    """The deviation is 1, so that most draws lie beyond the bounds."""
    algorithm, env = SMALL, Recording()

    @jax.jit
    def run(key):
        key_init, key_rollout = random.split(key)
        state = algorithm.init(env, key_init)
        agent = algorithm.agent(env)
        _, transitions, drawn = agent.collect(state, key_rollout, algorithm.num_steps)
        *_, samples = agent.samples(state, transitions, drawn, algorithm.gae_lambda)
        _, metrics = algorithm.loss(state.params, env, ((), ()), samples)
        policy, _ = agent.networks.policy(state.params, (), transitions.obs)
        return transitions, drawn, policy, samples, metrics

    transitions, (drawn, log_prob), policy, samples, metrics = jax.device_get(run(KEY))
    executed = np.clip(drawn, np.float32([-0.5, -0.1]), np.float32(0.5))
    assert (drawn != executed).any(axis=-1).mean() > 0.5
    np.testing.assert_array_equal(transitions.next_obs, executed)
    np.testing.assert_array_equal(transitions.obs[1:], executed[:-1])
    density = stats.norm.logpdf(drawn, policy.mean, np.exp(policy.log_std)).sum(axis=-1)
    np.testing.assert_allclose(log_prob, density, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(samples.action, drawn.reshape(-1, 2))
    assert metrics["approx_kl"] == pytest.approx(0, abs=1e-5)  # the ratios of the policy to itself are 1
    assert metrics["clip_fraction"] == 0


@pytest.mark.parametrize(("explore", "actions"), [(False, 1), (True, 20)])
def test_only_exploring_actions_vary(explore, actions):
    algorithm, env = SMALL, Recording()

    @jax.jit
    def act(key, keys):
        state = algorithm.init(env, key)
        return jax.vmap(lambda key: algorithm.act(env, state, (), jnp.ones(2), key, explore)[0])(keys)

    chosen = np.asarray(act(KEY, random.split(KEY, 20)))
    assert len(np.unique(chosen, axis=0)) >= actions / 2  # clipped ones may be equal
    assert explore or len(np.unique(chosen, axis=0)) == 1
    assert (chosen >= np.float32([-0.5, -0.1])).all()
    assert (chosen <= 0.5).all()


def test_minibatches_must_be_equal():
    with pytest.raises(InputError, match=r"^PPO.minibatches must divide num_envs x num_steps = 16, got 3$"):
        SMALL.replace(minibatches=3).validate()


def test_a_minibatch_of_one_transition_cannot_be_normalised():
    with pytest.raises(InputError, match=r"^PPO.minibatches must be below num_envs x num_steps = 16, since "):
        SMALL.replace(minibatches=16).validate()
    SMALL.replace(minibatches=8).validate()
    SMALL.replace(minibatches=16, normalise_advantage=False).validate()
