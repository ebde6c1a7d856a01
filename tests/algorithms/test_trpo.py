"""TRPO: the linear system beside numpy's solution, the line search by hand, and the bound of every step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from envs import CartPole, Pendulum
from jaxrl import InputError
from jaxrl.algorithms import TRPO
from jaxrl.algorithms.trpo import conjugate_gradient, fisher_product, largest_step, line_search
from jaxrl.learning.distributions import Categorical
from jaxrl.learning.networks import MLP
from jaxrl.random.generators import DEFAULT, GENERATORS

KEY = random.key(3, impl=GENERATORS[DEFAULT])
SMALL = TRPO(num_steps=32, epochs=2, minibatches=4, network=MLP(hidden=(8,)))
DAMPING = 0.1


def test_conjugate_gradient_solves_what_numpy_solves():
    """The Fisher matrix of a softmax policy is the mean of Jᵀ (diag(π) - π πᵀ) J, for logits W x and J of them."""
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(20, 3)), rng.normal(size=(2, 3)).astype(np.float32)
    gradient = rng.normal(size=(2, 3)).astype(np.float32)

    @jax.jit
    def solved(weights, gradient, max_kl):
        def divergence(w):
            return jnp.mean(Categorical(x @ weights.T).kl(Categorical(x @ w.T)))

        product = fisher_product(divergence, weights, DAMPING)
        direction = conjugate_gradient(product, gradient, 15)
        return direction, largest_step(direction, product(direction), max_kl)

    direction, step = solved(weights, gradient, 0.02)
    logits = x @ weights.T
    pi = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    covariance = np.einsum("na,ab->nab", pi, np.eye(2)) - pi[:, :, None] * pi[:, None, :]
    fisher = np.einsum("nab,ni,nj->aibj", covariance, x, x).reshape(6, 6) / len(x)
    damped = fisher + DAMPING * np.eye(6)
    expected = np.linalg.solve(damped, gradient.ravel())
    np.testing.assert_allclose(direction.ravel(), expected, rtol=1e-3, atol=1e-3)
    assert 0.5 * step.ravel() @ damped @ step.ravel() == pytest.approx(0.02, rel=1e-3)
    assert step.ravel()[0] * expected[1] - step.ravel()[1] * expected[0] == pytest.approx(0, abs=1e-3)


def test_a_gradient_of_zero_is_a_step_of_zero():
    direction = conjugate_gradient(lambda v: v, jnp.zeros(3), 5)
    assert largest_step(direction, direction, 0.01).tolist() == [0, 0, 0]


@pytest.mark.parametrize(("limit", "attempts", "expected"), [(9, 5, 9), (3, 5, 3), (3, 2, 1), (0.5, 5, 1)])
def test_the_line_search_takes_the_first_accepted_step(limit, attempts, expected):
    """From 1 the candidates are 9, 5, 3, 2, 1.5."""
    found, accepted = line_search(
        lambda params: params <= limit, jnp.float32(1), jnp.float32(8), 0.5, attempts
    )
    assert found == expected
    assert accepted == (expected > 1)


@pytest.mark.parametrize("env", [CartPole(), Pendulum(max_steps=20)], ids=["discrete", "Gaussian"])
def test_every_step_respects_the_bound(env):
    """The divergences of 6 iterations with bounds from 0.001 to 0.3 are measured apart from the algorithm's own."""
    bounds = jnp.float32([1e-3, 1e-2, 0.3])

    @jax.jit
    @jax.vmap
    def run(max_kl):
        algorithm = SMALL.replace(max_kl=max_kl)
        networks = algorithm.agent(env).networks

        def iterate(state, t):
            key = random.fold_in(KEY, t)
            _, transitions, _ = algorithm.agent(env).collect(state, random.split(key)[0], algorithm.num_steps)
            after, metrics = algorithm.step(env, state, key, t, 6)
            old, new = (networks.policy(each.params, (), transitions.obs)[0] for each in (state, after))
            return after, (jax.tree.map(jnp.mean, (old, new)), jnp.mean(old.kl(new)), metrics)

        _, (_, kl, metrics) = jax.lax.scan(iterate, algorithm.init(env, KEY), jnp.arange(6))
        return kl, metrics

    kl, metrics = jax.device_get(run(bounds))
    assert (kl <= bounds[:, None] * (1 + 1e-4)).all()
    np.testing.assert_allclose(metrics["kl"][0], kl, rtol=1e-3, atol=1e-6)
    accepted = metrics["accepted"][0] == 1
    assert accepted.mean() > 0.8
    assert (kl[accepted] > 0.2 * np.broadcast_to(bounds[:, None], kl.shape)[accepted]).all()
    assert (metrics["improvement"][0][accepted] > 0).all()
    assert (kl[~accepted] == 0).all()


def test_the_critic_comes_nearer_to_its_targets():
    algorithm, env = SMALL.replace(epochs=20, learning_rate=1e-2), CartPole()

    @jax.jit
    def run(key):
        state, agent = algorithm.init(env, key), algorithm.agent(env)
        _, transitions, drawn = agent.collect(state, key, algorithm.num_steps)
        *_, samples = agent.samples(state, transitions, drawn, algorithm.gae_lambda)
        critic, *_ = algorithm.fitted(env, state, samples, key)
        value, _ = agent.networks.value(((), critic), (), samples.x)
        return samples, value

    samples, value = run(KEY)
    assert np.mean((value - samples.target) ** 2) < 0.5 * np.mean((samples.value - samples.target) ** 2)


def test_minibatches_must_be_equal():
    with pytest.raises(InputError, match=r"^TRPO.minibatches must divide num_envs x num_steps = 64, got 3$"):
        SMALL.replace(minibatches=3).validate()
    single = SMALL.replace(num_envs=1, num_steps=1, minibatches=1)
    with pytest.raises(
        InputError, match=r"^TRPO\.num_envs x num_steps must be above 1, since .* got 1: take"
    ):
        single.validate()
    single.replace(normalise_advantage=False).validate()
