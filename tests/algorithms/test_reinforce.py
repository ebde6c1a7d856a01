"""REINFORCE against whole episodes, whose returns and gradients are summed step by step in Python."""

import jax
import numpy as np
import optax
import pytest
from jax import random

from envs import CartPole, Pendulum
from jaxrl.algorithms import REINFORCE
from jaxrl.algorithms.reinforce import of_last_episode, trace_weights
from jaxrl.learning.networks import MLP
from jaxrl.random.generators import DEFAULT, GENERATORS

KEY = random.key(2, impl=GENERATORS[DEFAULT])
ITERATIONS = 7
SMALL = REINFORCE(
    learning_rate=1e-2,
    baseline_learning_rate=3e-2,
    discount=0.9,
    episodes=3,
    num_envs=2,
    num_steps=7,
    network=MLP(hidden=(4,)),
)


def recorded(algorithm, env):
    """The states of some iterations, [ITERATIONS + 1], and their transitions with the actions as drawn."""

    @jax.jit
    def iterate(state, t):
        key = random.fold_in(KEY, t)
        _, transitions, (action, _) = algorithm.agent(env).collect(state, key, algorithm.num_steps)
        after, metrics = algorithm.step(env, state, key, t, ITERATIONS)
        return after, transitions, action, metrics

    states, steps = [jax.jit(algorithm.init)(env, KEY)], []
    for t in range(ITERATIONS):
        after, *of_iteration = iterate(states[-1], t)
        states.append(after)
        steps.append(jax.device_get(of_iteration))
    return states, steps


def scores_of(algorithm, env):
    """The value of an observation, and the gradients of log π, of the value and of the entropy there."""
    networks = algorithm.agent(env).networks

    def value(params, obs):
        return networks.value(params, (), obs)[0] if algorithm.baseline else 0.0

    def policy(params, obs):
        return networks.policy(params, (), obs)[0]

    @jax.jit
    def scores(params, obs, action):
        of_policy = jax.grad(lambda params: policy(params, obs).log_prob(action))(params)
        of_entropy = jax.grad(lambda params: policy(params, obs).entropy())(params)
        return value(params, obs), of_policy, jax.grad(value)(params, obs), of_entropy

    return scores, jax.jit(value)


def plain_gradient(algorithm, episode, following):
    """Σ_t (G_t - v_t) ∇(log π_t, v_t) + β ∇H_t of the steps (reward, value, gradients) of one episode."""
    total, future = None, following
    for reward, value, of_policy, of_value, of_entropy in reversed(episode):
        future = reward + algorithm.discount * future
        of_step = jax.tree.map(
            lambda p, v, h, weight=future - value: weight * (p + v) + algorithm.entropy_coefficient * h,
            of_policy,
            of_value,
            of_entropy,
        )
        total = of_step if total is None else jax.tree.map(np.add, total, of_step)
    return total


def plain_states(algorithm, env, states, steps):
    """The parameters after each iteration, from whole episodes and an Adam of their own."""
    scores, value_of = scores_of(algorithm, env)
    params, opt_state = states[0].params, optax.adam(1.0).init(states[0].params)
    rates = (algorithm.learning_rate, algorithm.baseline_learning_rate)
    open_episodes, finished, found = [[] for _ in range(algorithm.num_envs)], [], []
    for transitions, action, _ in steps:
        for place in np.ndindex(transitions.done.shape):
            at = jax.tree.map(lambda leaf, place=place: leaf[place], transitions)
            value, *gradients = jax.device_get(scores(params, at.obs, action[place]))
            open_episodes[place[1]].append((at.reward, value, *gradients))
            if at.done:
                following = float(value_of(params, at.next_obs)) if at.truncated else 0.0
                finished.append(plain_gradient(algorithm, open_episodes[place[1]], following))
                open_episodes[place[1]] = []
        if len(finished) >= algorithm.episodes:
            mean = jax.tree.map(lambda *leaves: -sum(leaves) / len(leaves), *finished)
            updates, opt_state = optax.adam(1.0).update(mean, opt_state)
            params = tuple(
                jax.tree.map(lambda p, u, rate=rate: p + rate * u, part, change)
                for part, change, rate in zip(params, updates, rates, strict=True)
            )
            finished = []
        found.append((params, len(finished)))
    return found


@pytest.mark.parametrize(
    ("changes", "env"),
    [
        ({}, CartPole(max_steps=12)),
        ({"baseline": False, "entropy_coefficient": 0.3, "discount": 1.0}, CartPole(max_steps=12)),
        ({"entropy_coefficient": 0.3}, Pendulum(max_steps=9)),
    ],
    ids=["discrete", "without baseline", "Gaussian"],
)
def test_updates_are_those_of_whole_episodes(changes, env):
    """Episodes are longer than an iteration, end within it, by a termination or by the time limit."""
    algorithm = SMALL.replace(**changes)
    states, steps = recorded(algorithm, env)
    done = np.concatenate([transitions.done for transitions, *_ in steps])
    assert 0 < done.sum() < len(done)
    assert any(transitions.truncated.any() for transitions, *_ in steps)
    expected = plain_states(algorithm, env, states, steps)
    updates = 0
    for before, after, (params, count), (transitions, _, metrics) in zip(
        states[:-1], states[1:], expected, steps, strict=True
    ):
        for ours, theirs in zip(*map(jax.tree.leaves, (after.params, params)), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=2e-5)
        assert after.count == count
        ended = transitions.done.sum()
        updated = before.count + ended >= algorithm.episodes
        updates += updated
        assert metrics["grad_norm"][1] == updated
        assert not updated or count == 0
        if algorithm.baseline:
            assert metrics["explained_variance"][1] == (ended > 0)
    assert 2 <= updates < ITERATIONS


def test_weights_of_a_trace():
    done = np.array([False, True, False, False, False])
    np.testing.assert_array_equal(of_last_episode(done), [False, False, True, True, True])
    np.testing.assert_allclose(trace_weights(of_last_episode(done), 0.5), [0, 0, 0.25, 0.5, 1])
    np.testing.assert_allclose(trace_weights(of_last_episode(done), 1.0), [0, 0, 1, 1, 1])
    assert not of_last_episode(np.array([False, True])).any()
