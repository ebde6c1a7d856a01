"""Torsos beside their formulas, the weights of an MLP, and bad settings."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from jaxrl import InputError
from jaxrl.learning.layers import Linear
from jaxrl.learning.memory import apply, initial_memory, initial_params, repeated, unroll
from jaxrl.learning.networks import GRU, LSTM, MLP, Network
from jaxrl.mdp.spaces import Box

FLAT, IMAGE = Box(0, 1, (3,)), Box(0, 1, (4, 4, 2))


def torso(space=FLAT, **values):
    return MLP(**values).module(space)


def layer(kernel):
    """Parameters of a dense layer without bias."""
    kernel = np.asarray(kernel, np.float32)
    return {"kernel": kernel, "bias": np.zeros(kernel.shape[1], np.float32)}


def test_mlp_shapes_and_initial_weights():
    network, x = Linear(torso(hidden=(16, 8)), 3, scale=0.01), np.arange(5.0)
    params = jax.jit(network.init)(random.key(0), x)["params"]
    layers = [params["torso"]["Dense_0"], params["torso"]["Dense_1"], params["Dense_0"]]
    assert network.apply({"params": params}, x).shape == (3,)
    assert [layer["kernel"].shape for layer in layers] == [(5, 16), (16, 8), (8, 3)]
    assert all((layer["bias"] == 0).all() for layer in layers)
    largest = [np.linalg.norm(layer["kernel"], ord=2) for layer in layers]
    np.testing.assert_allclose(largest, [math.sqrt(2), math.sqrt(2), 0.01], rtol=1e-4)


@pytest.mark.parametrize(("activation", "formula"), [("tanh", np.tanh), ("relu", lambda x: np.maximum(x, 0))])
def test_mlp_equals_the_formula(activation, formula):
    rng, x = np.random.default_rng(0), np.float32([0.5, -1.0, 2.0])
    first, second = rng.normal(size=(3, 4)).astype(np.float32), rng.normal(size=(4, 2)).astype(np.float32)
    params = {"torso": {"Dense_0": layer(first)}, "Dense_0": layer(second)}
    network = Linear(torso(hidden=(4,), activation=activation), 2)
    np.testing.assert_allclose(
        network.apply({"params": params}, x), formula(x @ first) @ second, rtol=1e-5, atol=1e-6
    )


def test_mlp_without_hidden_layers_is_linear():
    network = Linear(torso(hidden=()), 2, scale=0.5)
    params = jax.eval_shape(network.init, random.key(0), jnp.zeros(3))
    assert list(params["params"]) == ["Dense_0"]
    params = {"params": {"Dense_0": layer([[1, -2], [0, 0], [-3, 5]])}}
    np.testing.assert_array_equal(network.apply(params, np.float32([2, 1, -1])), [5, -9])


@pytest.mark.parametrize("initialiser", ["orthogonal", "lecun_normal"])
def test_initial_weights_are_those_that_are_named(initialiser):
    """Orthogonal ones have equal singular values, LeCun's a variance of one over the inputs."""
    initialise = jax.jit(torso(hidden=(64,), initialiser=initialiser).init)
    params = initialise(random.key(0), np.zeros(64, np.float32))["params"]
    singular = np.linalg.svd(params["Dense_0"]["kernel"], compute_uv=False)
    assert np.allclose(singular, math.sqrt(2), rtol=1e-4) == (initialiser == "orthogonal")
    mean_square = np.square(singular).sum() / 64**2
    assert mean_square == pytest.approx({"orthogonal": 2, "lecun_normal": 1}[initialiser] / 64, rel=0.1)


def test_a_critics_action_is_a_further_input_behind_the_convolution():
    """Of an image [4, 4, 2] the convolution leaves [2, 2, 16]."""
    for space, inputs in ((FLAT, 3), (IMAGE, 2 * 2 * 16)):
        network = Linear(torso(space, hidden=(8,)), 1)
        params = jax.eval_shape(network.init, random.key(0), jnp.zeros(space.shape), jnp.zeros(5))
        assert params["params"]["torso"]["Dense_0"]["kernel"].shape == (inputs + 5, 8)
        assert ("Convolution_0" in params["params"]["torso"]) == (space is IMAGE)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_by_hand(params, x):
    """Hidden states of an LSTM (Gers et al. 2000, without peepholes)."""
    cell = hidden = np.zeros(4)
    for step in x:
        before, parts = hidden, {}
        for part, activation in {"i": sigmoid, "f": sigmoid, "g": np.tanh, "o": sigmoid}.items():
            of_x, of_h = params[f"i{part}"]["kernel"], params[f"h{part}"]
            parts[part] = activation(step @ of_x + before @ of_h["kernel"] + of_h["bias"])
        cell = parts["f"] * cell + parts["i"] * parts["g"]
        hidden = parts["o"] * np.tanh(cell)
        yield hidden


def gru_by_hand(params, x):
    """Hidden states of a GRU (Cho et al. 2014), whose reset gate acts on the product with the state."""
    hidden = np.zeros(4)
    for step in x:
        of_x = {part: step @ params[f"i{part}"]["kernel"] + params[f"i{part}"]["bias"] for part in "rzn"}
        of_h = {part: hidden @ params[f"h{part}"]["kernel"] for part in "rzn"}
        reset, update = (sigmoid(of_x[part] + of_h[part]) for part in "rz")
        new = np.tanh(of_x["n"] + reset * (of_h["n"] + params["hn"]["bias"]))
        hidden = (1 - update) * new + update * hidden
        yield hidden


@pytest.mark.parametrize(
    ("network", "cell", "by_hand"),
    [(GRU, "GRUCell_0", gru_by_hand), (LSTM, "OptimizedLSTMCell_0", lstm_by_hand)],
    ids=["gru", "lstm"],
)
def test_recurrent_units_equal_the_formulas(network, cell, by_hand):
    module = network(units=4, torso=MLP(hidden=())).module(FLAT)

    @jax.jit
    def run(key):
        x = random.normal(key, (5, 3))
        params = initial_params(module, key, x[0])
        params = jax.tree.map(lambda leaf: leaf + 0.3 * random.normal(key, leaf.shape), params)
        start, done = repeated(initial_memory(module, (3,)), 1), jnp.zeros((1, 5), bool)
        return params, x, unroll(partial(apply, module, params), start, done, x[None])[0][0]

    params, x, found = jax.device_get(run(random.key(0)))
    np.testing.assert_allclose(found, list(by_hand(params["params"][cell], x)), rtol=1e-4, atol=1e-5)


class Nameless(Network):
    """Defines nothing."""


def test_a_network_without_module_is_named():
    with pytest.raises(InputError, match=r"^Nameless must define module$"):
        Nameless().module(FLAT)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"activation": "tan"}, "unknown value of MLP.activation 'tan': did you mean 'tanh'"),
        (
            {"initialiser": "orthogonl"},
            "unknown value of MLP.initialiser 'orthogonl': did you mean 'orthogonal'",
        ),
        ({"hidden": (16, 0)}, r"each item of MLP.hidden must be at least 1, got 0"),
        ({"hidden": 16}, "MLP.hidden must be a tuple of int, got 16"),
    ],
    ids=str,
)
def test_bad_settings(values, message):
    with pytest.raises(InputError, match=message):
        MLP(**values).validate()
