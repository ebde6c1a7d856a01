"""Networks with memory and with noise: a step, a sequence of steps, its resets and its gradient."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from envs import CartPole
from jaxrl import InputError
from jaxrl.config import static, traced
from jaxrl.learning.algorithm import Algorithm
from jaxrl.learning.layers import Linear
from jaxrl.learning.memory import apply, initial_memory, initial_params, needs, repeated, sequences, unroll
from jaxrl.learning.networks import GRU, MLP, Network, require_network
from jaxrl.mdp.spaces import Box
from tests.noisy import Noisy

SPACE = Box(-1.0, 1.0, (3,))
LENGTH, NUMBER = 4, 3
DONE = np.zeros((NUMBER, LENGTH), bool)
DONE[0, 2] = DONE[1, 0] = DONE[1, 3] = True  # also at both ends of a sequence


@pytest.fixture(scope="module")
def recurrent():
    """A GRU below a head, its parameters, sequences of inputs and the memories that they begin with."""
    module = Linear(GRU(units=5, torso=MLP(hidden=(7,))).module(SPACE), 2)
    x = random.normal(random.key(1), (NUMBER, LENGTH, 3))
    params = jax.jit(lambda key: initial_params(module, key, x[0, 0]))(random.key(0))
    start = jax.tree.map(
        lambda leaf: random.normal(random.key(2), leaf.shape), repeated(initial_memory(module, (3,)), NUMBER)
    )
    return module, params, start, x


def by_hand(module, params, start, x):
    """Outputs [n, length, 2] and last memories, in a double loop that resets where DONE."""
    zero, outputs, last = initial_memory(module, (3,)), [], []
    for i in range(NUMBER):
        memory, row = jax.tree.map(lambda leaf, i=i: leaf[i], start), []
        for t in range(LENGTH):
            output, memory = apply(module, params, memory, x[i, t])
            memory = zero if DONE[i, t] else memory
            row.append(output)
        outputs.append(jnp.stack(row))
        last.append(memory)
    return jnp.stack(outputs), jax.tree.map(lambda *leaves: jnp.stack(leaves), *last)


def unrolled(module, params, start, x):
    return unroll(lambda memory, x: apply(module, params, memory, x), start, jnp.asarray(DONE), x)


def computed(function, module, params, start, x):
    """Outputs, last memories, and the gradient of a loss for the parameters and the first memories."""

    def loss(params, start):
        outputs, last = function(module, params, start, x)
        return jnp.sum(jnp.square(outputs)), (outputs, last)

    slope, found = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(params, start)
    return jax.device_get((*found, *slope))


@pytest.fixture(scope="module")
def both(recurrent):
    """By `unroll` and by hand."""
    return computed(unrolled, *recurrent), computed(by_hand, *recurrent)


def test_a_sequence_equals_its_steps_and_is_reset_where_an_episode_ended(both):
    (outputs, last, *_), (expected, expected_last, *_) = both
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)
    (memory,), (by_hand,) = map(jax.tree.leaves, (last, expected_last))
    np.testing.assert_allclose(memory, by_hand, rtol=1e-5, atol=1e-6)
    assert (memory[1] == 0).all()  # its last step ended an episode
    assert (np.abs(memory[[0, 2]]).max(axis=-1) > 1e-3).all()


def test_the_gradient_of_a_sequence_is_that_of_its_steps(both):
    (*_, slope, of_start), (*_, expected, expected_start) = both
    for ours, theirs in zip(*map(jax.tree.leaves, (slope, expected)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
        assert np.abs(ours).max() > 1e-3
    (ours,), (theirs,) = map(jax.tree.leaves, (of_start, expected_start))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_steps_may_lie_on_the_first_axis(recurrent, both):
    module, params, start, x = recurrent

    @jax.jit
    def swapped(params, start, x):
        def step(memory, x):
            return apply(module, params, memory, x)

        return unroll(step, start, DONE.T, x.swapaxes(0, 1), axis=0)

    outputs, memory = swapped(params, start, x)
    expected, last, *_ = both[0]
    np.testing.assert_allclose(outputs, expected.swapaxes(0, 1), rtol=1e-5)
    np.testing.assert_allclose(*map(np.concatenate, map(jax.tree.leaves, (memory, last))), rtol=1e-5)


def test_without_a_memory_all_steps_are_one_call():
    calls = []

    def step(memory, x):
        calls.append(x.shape)
        return 2 * x, memory

    outputs, memory = unroll(step, (), DONE, jnp.ones((NUMBER, LENGTH, 3)))
    assert calls == [(NUMBER, LENGTH, 3)]
    assert outputs.shape == (NUMBER, LENGTH, 3)
    assert memory == ()


def test_a_rollout_becomes_sequences():
    steps = {"a": np.arange(12).reshape(4, 3), "b": np.arange(24).reshape(4, 3, 2)}  # [num_steps, num_envs]
    alone, whole = sequences((), steps), sequences(jnp.zeros(3), steps)
    np.testing.assert_array_equal(alone["a"], np.arange(12))
    assert alone["b"].shape == (12, 2)
    np.testing.assert_array_equal(whole["a"], steps["a"].T)
    assert whole["b"].shape == (3, 4, 2)


def test_memories_of_networks_around_networks_lie_side_by_side():
    module = GRU(units=5, torso=GRU(units=4, torso=MLP(hidden=(7,)))).module(SPACE)
    shapes = sorted(leaf.shape for leaf in jax.tree.leaves(initial_memory(module, (3,))))
    assert shapes == [(4,), (5,)]
    params = jax.eval_shape(lambda key: initial_params(module, key, jnp.zeros(3)), random.key(0))
    assert set(params) == {"params"}
    assert initial_memory(MLP().module(SPACE), (3,)) == ()


class Scaled(Network):
    """A memory behind a traced number."""

    factor: float = traced(1.0)
    units: int = static(2, low=1)

    def module(self, space):
        return ScaledMemory(self.factor, self.units)


class ScaledMemory(nn.Module):
    factor: Any
    units: int

    @nn.compact
    def __call__(self, x):
        count = self.variable("memory", "count", jnp.zeros, (self.units,), jnp.int32)
        count.value = count.value + 1
        return self.factor * count.value


def test_a_memory_may_be_of_integers_and_its_module_may_hold_a_traced_number():
    def last(factor):
        module = Scaled(factor=factor).module(SPACE)
        memory = repeated(initial_memory(module, (3,)), NUMBER)
        return unroll(
            lambda memory, x: apply(module, {}, memory, x), memory, DONE, jnp.zeros((*DONE.shape, 3))
        )

    outputs, memory = jax.jit(jax.vmap(last))(jnp.array([1.0, 3.0]))
    np.testing.assert_array_equal(outputs[0, :, :, 0], [[1, 2, 3, 1], [1, 1, 2, 3], [1, 2, 3, 4]])
    np.testing.assert_array_equal(outputs[1], 3 * outputs[0])
    np.testing.assert_array_equal(memory["count"][0, :, 0], [1, 0, 4])
    assert memory["count"].dtype == jnp.int32


@pytest.mark.parametrize(
    ("network", "memory", "noise"),
    [(MLP(), False, False), (GRU(), True, False), (Noisy(), False, True), (GRU(torso=Noisy()), True, True)],
    ids=["mlp", "gru", "noisy", "noisy gru"],
)
def test_what_a_network_needs_is_known_and_must_be_provided(network, memory, noise):
    found = needs(network.module(CartPole().observation_space), (4,))
    assert (bool(jax.tree.leaves(found.memory)), found.noise) == (memory, noise)
    require_network(Algorithm(), network, CartPole(), memory=memory, noise=noise)
    name = type(network).__name__
    if memory:
        with pytest.raises(
            InputError,
            match=f"^Algorithm cannot use a network with memory such as {name}; a2c, ppo and pqn can$",
        ):
            require_network(Algorithm(), network, CartPole(), noise=True)
    if noise:
        with pytest.raises(
            InputError, match=f"^Algorithm cannot use a network that draws noise such as {name}$"
        ):
            require_network(Algorithm(), network, CartPole(), memory=True)
