"""A2C's loss beside rlax's, and an iteration against a plain implementation."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from envs import CartPole
from jaxrl import InputError
from jaxrl.algorithms import A2C
from jaxrl.algorithms.a2c import policy_gradient_loss
from jaxrl.learning.check import trace_algorithm
from jaxrl.learning.distributions import Categorical
from jaxrl.learning.networks import GRU, MLP
from jaxrl.random.generators import DEFAULT, GENERATORS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # tensorflow_probability, which it imports, reads deprecated names of jax
    import rlax

KEY = random.key(3, impl=GENERATORS[DEFAULT])
ENV = CartPole(max_steps=4)  # truncates within a rollout
SMALL = A2C(num_envs=2, learning_rate=1e-2, network=MLP(hidden=(8,)))


@pytest.mark.filterwarnings("ignore:Rlax softmax")
def test_policy_gradient_loss_is_rlaxs():
    rng = np.random.default_rng(0)
    logits, action = rng.normal(size=(50, 3)).astype(np.float32), rng.integers(3, size=50)
    advantage = rng.normal(size=50).astype(np.float32)

    def ours(logits):
        return policy_gradient_loss(Categorical(logits).log_prob(action), advantage)

    def theirs(logits):
        return rlax.policy_gradient_loss(logits, jnp.asarray(action), jnp.asarray(advantage), jnp.ones(50))

    found, expected = jax.jit(jax.value_and_grad(ours))(logits), jax.value_and_grad(theirs)(logits)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-7)


def plain_loss(params, algorithm, transitions, value, next_value):
    """Returns of up to num_steps rewards for λ = 1, in a double loop, and the three parts of the loss."""
    advantage = np.zeros_like(value)
    for env in range(algorithm.num_envs):
        following = 0.0
        for t in reversed(range(algorithm.num_steps)):
            bootstrap = 0.0 if transitions.terminated[t, env] else next_value[t, env]
            delta = transitions.reward[t, env] + algorithm.discount * bootstrap - value[t, env]
            trace = 0.0 if transitions.done[t, env] else algorithm.discount * algorithm.gae_lambda
            advantage[t, env] = following = delta + trace * following
    target = value + advantage
    if algorithm.normalise_advantage:
        advantage = (advantage - advantage.mean()) / advantage.std()
    networks = algorithm.agent(ENV).networks
    log_probs = jax.nn.log_softmax(networks.actor.apply(params[0], transitions.obs))
    log_prob = jnp.take_along_axis(log_probs, transitions.action[..., None], -1)[..., 0]
    entropy = -(jnp.exp(log_probs) * log_probs).sum(-1).mean()
    error = ((networks.critic.apply(params[1], transitions.obs)[..., 0] - target) ** 2).mean()
    policy_loss = -(log_prob * advantage).mean()
    return (
        policy_loss + algorithm.value_coefficient * error - algorithm.entropy_coefficient * entropy
    ), target


@pytest.mark.parametrize(
    "changes",
    [
        {"anneal_learning_rate": True},
        {
            "normalise_advantage": True,
            "gae_lambda": 0.5,
            "entropy_coefficient": 0.1,
            "value_coefficient": 2.0,
            "max_grad_norm": 1e3,
        },
    ],
    ids=["defaults", "options"],
)
def test_an_iteration_equals_a_plain_implementation(changes):
    """Its RMSProp is PyTorch's: ν = 0.01 g² at first, then a step of -lr g / (√ν + ε)."""
    algorithm = SMALL.replace(**changes)

    @jax.jit
    def run(key):
        state, agent = algorithm.init(ENV, key), algorithm.agent(ENV)
        _, transitions, _ = agent.collect(state, key, algorithm.num_steps)
        seen = transitions.obs, transitions.next_obs
        values = [agent.networks.critic.apply(state.params[1], each)[..., 0] for each in seen]
        return state.params, transitions, *values, *algorithm.step(ENV, state, key, 3, 4)

    params, transitions, value, next_value, after, metrics = jax.device_get(run(KEY))
    assert transitions.truncated.any()
    grads, target = jax.grad(plain_loss, has_aux=True)(params, algorithm, transitions, value, next_value)
    norm = np.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(grads)))
    assert metrics["grad_norm"][0] == pytest.approx(norm, rel=1e-4)
    explained = 1 - np.var(target - value) / np.var(target)
    assert metrics["explained_variance"][0] == pytest.approx(explained, abs=1e-4)
    rate = 1e-2 * (1 / 4 if algorithm.anneal_learning_rate else 1)
    for new, old, grad in zip(*map(jax.tree.leaves, (after.params, params, grads)), strict=True):
        grad = grad * min(1, algorithm.max_grad_norm / norm)
        step = -rate * grad / (np.sqrt(0.01 * grad**2) + 1e-5)
        np.testing.assert_allclose(new - old, step, atol=0.02 * np.abs(step).max())


def test_it_takes_networks_with_memory():
    learner = A2C(network=GRU(units=8))
    learner.validate_for(ENV)
    state, _ = trace_algorithm(learner, ENV)
    assert [leaf.shape for leaf in jax.tree.leaves(state.episodes.memory)] == [(8, 8)]


def test_a_single_transition_cannot_be_normalised():
    single = SMALL.replace(num_envs=1, num_steps=1)
    single.validate()
    with pytest.raises(InputError, match=r"^A2C\.num_envs x num_steps must be above 1, since .* got 1: take"):
        single.replace(normalise_advantage=True).validate()
