"""Attention beside its equations in numpy: whole episodes at once, without a memory."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from jaxrl import InputError
from jaxrl.learning.memory import (
    Window,
    apply,
    initial_memory,
    initial_params,
    outputs_along,
    repeated,
    unroll,
)
from jaxrl.learning.networks import GRU, MLP, Attention
from jaxrl.mdp.spaces import Box
from tests.lanes import equations

SPACE = Box(-1.0, 1.0, (3,))
NETWORK = Attention(units=6, heads=2, window=3, layers=2, torso=MLP(hidden=()))
LENGTH = 11
ENDS = [(4, 5), (8,)]  # the last steps of episodes in each of two sequences


def normalised(x, params):
    deviation = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-6)
    return (x - x.mean(axis=-1, keepdims=True)) / deviation * params["scale"] + params["bias"]


def linear(x, params):
    return x @ params["kernel"] + params["bias"]


def attended(x, params):
    """x [steps, units]: each step attends to the last steps of the episode, `window` with itself."""
    heads = np.split(np.arange(NETWORK.units), NETWORK.heads)
    query, key, value = (linear(x, params[f"Dense_{i}"]) for i in range(3))
    mixed = np.zeros_like(x)
    for t in range(len(x)):
        window = range(max(0, t - NETWORK.window + 1), t + 1)
        for head, units in enumerate(heads):
            scores = np.array(
                [query[t, units] @ (key[s, units] + params["ages"][t - s, head]) for s in window]
            )
            weights = np.exp(scores / np.sqrt(len(units)))
            mixed[t, units] = weights / weights.sum() @ value[window][:, units]
    return linear(mixed, params["Dense_3"])


def by_the_equations(x, params):
    """Features [steps, units] of an episode's inputs, in float64."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params["params"])
    norms, layers = iter(range(5)), iter(range(1, 5))
    x = linear(np.asarray(x, np.float64), params["Dense_0"])
    for block in range(NETWORK.layers):
        x = x + attended(
            normalised(x, params[f"LayerNorm_{next(norms)}"]), params[f"WindowAttention_{block}"]
        )
        hidden = linear(normalised(x, params[f"LayerNorm_{next(norms)}"]), params[f"Dense_{next(layers)}"])
        x = x + linear(np.maximum(hidden, 0), params[f"Dense_{next(layers)}"])
    return normalised(x, params[f"LayerNorm_{next(norms)}"])


@pytest.fixture(scope="module")
def unrolled():
    """Parameters, inputs, the features of two rollouts in a row, and the memory: step by step and at once."""
    module, done = NETWORK.module(SPACE), np.zeros((2, LENGTH), bool)
    for sequence, ends in enumerate(ENDS):
        done[sequence, list(ends)] = True

    @jax.jit
    def run(key):
        x = random.normal(random.fold_in(key, 0), (2, LENGTH, 3))
        params = initial_params(module, random.fold_in(key, 1), x[0, 0])
        params = jax.tree.map(lambda leaf: leaf + 0.3 * random.normal(key, leaf.shape), params)
        step, memory = partial(apply, module, params), repeated(initial_memory(module, (3,)), 2)
        at_once, features = memory, [[], []]
        for part in (slice(0, 7), slice(7, LENGTH)):
            ends = jnp.asarray(done)[:, part]
            outputs, memory = unroll(step, memory, ends, x[:, part])
            features[0].append(outputs)
            outputs, at_once = jax.vmap(step)(with_ends(at_once, ends), x[:, part])
            features[1].append(outputs)
        return params, x, [jnp.concatenate(each, axis=1) for each in features], (memory, at_once)

    return jax.device_get(run(random.key(0)))


def with_ends(memory, done):
    return jax.tree.map(
        lambda window: window._replace(done=done), memory, is_leaf=lambda x: isinstance(x, Window)
    )


@pytest.mark.parametrize("way", [0, 1], ids=["step by step", "at once"])
def test_every_episode_of_a_rollout_equals_the_equations(unrolled, way):
    """Also an episode of one step, those longer than the window, and one that goes on from rollout to rollout."""
    params, x, features, _ = unrolled
    for sequence, ends in enumerate(ENDS):
        starts = [0, *(end + 1 for end in ends)]
        for start, stop in zip(starts, [*starts[1:], LENGTH], strict=True):
            expected = by_the_equations(x[sequence, start:stop], params)
            np.testing.assert_allclose(features[way][sequence, start:stop], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("way", [0, 1], ids=["step by step", "at once"])
def test_the_memory_counts_the_steps_of_the_episode(unrolled, way):
    windows = jax.tree.leaves(unrolled[-1][way], is_leaf=lambda part: isinstance(part, Window))
    assert len(windows) == NETWORK.layers
    for window in windows:
        np.testing.assert_array_equal(window.steps, [3, 2])
        assert window.keys.shape == window.values.shape == (2, 3, 2, 3)
        assert (window.keys != 0).any(axis=(2, 3)).sum() >= 5


@pytest.mark.parametrize(
    ("network", "loops"),
    [(NETWORK, False), (GRU(units=6, torso=NETWORK), True), (NETWORK.replace(torso=GRU()), True)],
    ids=["attention", "attention below", "attention above"],
)
def test_an_update_loops_over_steps_only_where_it_must(network, loops):
    module, x = network.module(SPACE), jnp.zeros((2, LENGTH, 3))

    def outputs(key):
        params = initial_params(module, key, x[0, 0])
        memory = repeated(initial_memory(module, (3,)), 2)
        return outputs_along(partial(apply, module, params), memory, jnp.zeros((2, LENGTH), bool), x)

    traced = jax.make_jaxpr(outputs)(random.key(0))
    assert [each.shape for each in traced.out_avals] == [(2, LENGTH, 6)]
    primitives = {str(equation.primitive) for equation in equations(traced.jaxpr)}
    assert ("scan" in primitives) == loops


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"window": 0}, r"^Attention\.window must be at least 1, got 0$"),
        ({"layers": 0}, r"^Attention\.layers must be at least 1, got 0$"),
        ({"heads": 3}, r"^Attention\.heads must divide units = 64, got 3$"),
        ({"heads": 128}, r"^Attention\.heads must divide units = 64, got 128$"),
    ],
    ids=str,
)
def test_bad_settings(values, message):
    with pytest.raises(InputError, match=message):
        Attention(**values).validate()
