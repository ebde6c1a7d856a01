"""Orthogonal initialisation, which must be exact, uniform and safe under vmap; torsos, heads and features."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from scipy import stats

from jaxrl import InputError
from jaxrl.learning.networks import (
    MLP,
    ActionValues,
    Convolution,
    Linear,
    MeanAndLogStd,
    Network,
    Orthogonal,
    features,
    gram_schmidt,
    input_shape,
    is_image,
)
from jaxrl.mdp.spaces import Box, Discrete

SHAPES = [(256, 256), (64, 256), (33, 7), (7, 1), (1, 7), (1, 1), (3, 3, 2, 8)]
SIZE, KEYS = 4, 4_000


def initialised(key, shape, scale=1.0):
    """Orthogonal weights from a key, or from keys [n]."""
    initialise = partial(Orthogonal(scale), shape=shape)
    return np.asarray(jax.jit(jax.vmap(initialise) if key.ndim else initialise)(key))


@pytest.fixture(scope="module")
def matrices():
    """Random orthogonal matrices: [KEYS, SIZE, SIZE]."""
    return initialised(random.split(random.key(0), KEYS), (SIZE, SIZE))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rows_or_columns_are_orthonormal(shape):
    weights = initialised(random.key(0), shape)
    assert weights.shape == shape
    matrix = weights.reshape(-1, shape[-1])
    gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(gram, np.eye(len(gram)), rtol=0, atol=1e-5)


def test_gram_schmidt_of_an_ill_conditioned_matrix():
    """Columns that nearly coincide, which a single projection would leave far from orthogonal."""
    rng = np.random.default_rng(0)
    matrix = (rng.normal(size=(20, 1)) + 1e-3 * rng.normal(size=(20, 10))).astype(np.float32)
    q = np.asarray(gram_schmidt(jnp.asarray(matrix)), np.float64)
    np.testing.assert_allclose(q.T @ q, np.eye(10), rtol=0, atol=1e-5)


def test_gram_schmidt_keeps_the_span_and_the_direction_of_each_column():
    matrix = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    q = np.asarray(gram_schmidt(jnp.asarray(matrix)))
    r = q.T @ matrix
    np.testing.assert_allclose(np.tril(r, -1), 0, atol=1e-5)
    assert np.diag(r).min() > 0
    np.testing.assert_allclose(q @ r, matrix, atol=1e-5)


@pytest.mark.parametrize("scale", [0.01, math.sqrt(2)])
def test_scale_is_the_norm_of_each_column(scale):
    weights = initialised(random.key(0), (32, 8), scale)
    np.testing.assert_allclose(np.linalg.norm(weights, axis=0), scale, rtol=1e-5)


def test_each_entry_is_as_often_positive_as_negative(matrices):
    positive = (matrices > 0).sum(axis=0).ravel()
    for count in positive:
        assert stats.chisquare([count, KEYS - count]).pvalue > 1e-3


def test_both_determinants_are_equally_frequent(matrices):
    determinants = np.linalg.det(matrices)
    np.testing.assert_allclose(np.abs(determinants), 1, atol=1e-4)
    rotations = int((determinants > 0).sum())
    assert stats.chisquare([rotations, KEYS - rotations]).pvalue > 1e-3


def test_entries_have_the_mean_and_the_distribution_of_the_uniform_ones(matrices):
    """A unit vector's coordinate, squared, is Beta(1/2, (n - 1) / 2) if its direction is uniform."""
    standard_error = 1 / math.sqrt(SIZE * KEYS)
    assert np.abs(matrices.mean(axis=0)).max() < 4 * standard_error
    uniform = stats.beta(0.5, (SIZE - 1) / 2)
    for row, column in ((0, 0), (SIZE - 1, 0), (0, SIZE - 1), (SIZE - 1, SIZE - 1)):
        assert stats.kstest(matrices[:, row, column] ** 2, uniform.cdf).pvalue > 1e-3


@pytest.mark.parametrize("shape", [(64, 64), (4, 64), (64, 2)], ids=str)
def test_vmap_gives_each_key_its_own_weights(shape):
    keys = random.split(random.key(0), 64)
    together = initialised(keys, shape)
    gaussian = np.asarray(random.normal(keys[17], (max(shape), min(shape))), np.float64)
    q, r = np.linalg.qr(gaussian)
    expected = q * np.sign(np.diag(r))
    np.testing.assert_allclose(together[17], expected if shape[0] >= shape[1] else expected.T, atol=1e-5)
    assert len({weights.tobytes() for weights in together}) == 64


FLAT, IMAGE = Box(0, 1, (3,)), Box(0, 1, (4, 4, 2))


def torso(space=FLAT, **values):
    return MLP(**values).module(space)


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


def layer(kernel):
    """Parameters of a dense layer without bias."""
    kernel = np.asarray(kernel, np.float32)
    return {"kernel": kernel, "bias": np.zeros(kernel.shape[1], np.float32)}


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


def test_dueling_values_are_centred_advantages_on_a_value():
    network = ActionValues(torso(hidden=()), 2, dueling=True)
    params = {"params": {"Dense_0": layer([[1.0, 4.0]]), "Dense_1": layer([[10.0]])}}
    np.testing.assert_allclose(network.apply(params, jnp.ones(1)), [[10 - 1.5], [10 + 1.5]])


def test_deviation_is_a_parameter_of_its_own():
    network = MeanAndLogStd(torso(hidden=()), 2, scale=0.01)
    params = jax.jit(network.init)(random.key(0), np.zeros((5, 3), np.float32))["params"]
    np.testing.assert_array_equal(params["log_std"], [0, 0])
    params = params | {"log_std": np.float32([0.5, -1.0])}
    mean, log_std = network.apply({"params": params}, np.eye(3, dtype=np.float32))
    np.testing.assert_allclose(mean, params["Dense_0"]["kernel"], rtol=1e-5)
    np.testing.assert_array_equal(log_std, [[0.5, -1.0]] * 3)


HEADS = {
    "linear": partial(Linear, outputs=2),
    "dueling": partial(ActionValues, actions=2, dueling=True),
    "mean and log_std": partial(MeanAndLogStd, outputs=2, scale=1.0),
}


@pytest.mark.parametrize(
    ("head", "space"),
    [*((head, FLAT) for head in HEADS), ("linear", IMAGE)],
    ids=lambda value: str(value)[:7],
)
def test_leading_axes_are_a_batch(head, space):
    network = HEADS[head](torso(space, hidden=(4,), initialiser="lecun_normal"))
    x = np.random.default_rng(0).random((2, 3, *space.shape), np.float32)

    @jax.jit
    def outputs(key, x):
        params = network.init(key, x[0, 0])
        each = jax.vmap(jax.vmap(partial(network.apply, params)))
        return network.apply(params, x), each(x)

    for together, single in zip(*map(jax.tree.leaves, outputs(random.key(0), x)), strict=True):
        assert together.shape[:3] == (2, 3, 2)
        np.testing.assert_allclose(together, single, rtol=1e-5, atol=1e-6)


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


def test_features_of_a_discrete_observation_are_one_hot():
    x = features(Discrete(4), jnp.int32(2))
    assert x.dtype == jnp.float32
    np.testing.assert_array_equal(x, [0, 0, 1, 0])


def test_features_of_a_box_are_flat_floats():
    x = features(Box(0, 10, (2, 3), jnp.int32), jnp.arange(6).reshape(2, 3))
    assert x.dtype == jnp.float32
    np.testing.assert_array_equal(x, [0, 1, 2, 3, 4, 5])


@pytest.mark.parametrize(
    "space",
    [Discrete(4), Box(0, 10, ()), Box(0, 10, (2, 3), jnp.int32), Box(0, 255, (3, 3, 1), jnp.uint8)],
    ids=["number", "scalar", "matrix", "image"],
)
def test_features_take_leading_axes(space):
    high = space.n if isinstance(space, Discrete) else space.high
    obs = np.random.default_rng(0).integers(high, size=(5, 2, *space.shape)).astype(space.dtype)
    together = np.asarray(features(space, obs))
    for index in np.ndindex(5, 2):
        np.testing.assert_array_equal(together[index], features(space, obs[index]))


def test_observations_of_another_shape_are_refused():
    with pytest.raises(AssertionError, match="shape"):
        features(FLAT, jnp.zeros((5, 4)))


def test_convolution_equals_a_loop_over_positions():
    rng = np.random.default_rng(0)
    images, bias = rng.normal(size=(2, 6, 5, 3)).astype(np.float32), rng.normal(size=16).astype(np.float32)
    filters = rng.normal(size=(3, 3, 3, 16)).astype(np.float32)  # of rows, columns and channels
    expected = np.zeros((2, 4, 3, 16))
    for image, row, column, unit in np.ndindex(expected.shape):
        patch = images[image, row : row + 3, column : column + 3]
        expected[image, row, column, unit] = max(0, (patch * filters[..., unit]).sum() + bias[unit])
    params = {"params": {"Dense_0": {"kernel": filters.reshape(27, 16), "bias": bias}}}
    outputs = jax.jit(Convolution().apply)(params, images)
    np.testing.assert_allclose(outputs, expected.reshape(2, -1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (Box(0, 1, (10, 10, 4)), True),
        (Box(0, 255, (3, 3, 1), jnp.uint8), True),
        (Box(0, 1, (2, 10, 4)), False),
        (Box(0, 1, (10, 2, 4)), False),
        (Box(0, 1, (10, 10)), False),
        (Box(0, 1, (1, 10, 10, 4)), False),
        (Discrete(4), False),
    ],
    ids=str,
)
def test_images_are_at_least_as_large_as_a_filter(space, expected):
    assert is_image(space) is expected


def test_bytes_of_an_image_become_numbers_up_to_1():
    pixels = jnp.array([0, 51, 255] * 3, jnp.uint8)
    image = features(Box(0, 255, (3, 3, 1), jnp.uint8), pixels.reshape(3, 3, 1))
    assert image.dtype == jnp.float32
    np.testing.assert_allclose(image[..., 0], [[0.0, 0.2, 1.0]] * 3, rtol=1e-6)
    real = jnp.full((3, 3, 1), 255.0)
    np.testing.assert_array_equal(features(Box(0.0, 255.0, (3, 3, 1)), real), real)


def test_bytes_that_are_no_image_are_scaled_too():
    """By the largest byte that the space allows."""
    pixels = jnp.array([[0, 51], [102, 255]], jnp.uint8)
    for high in (255, np.full((2, 2), 255, np.uint8)):
        flat = features(Box(0, high, (2, 2), jnp.uint8), pixels)
        np.testing.assert_allclose(flat, [0.0, 0.2, 0.4, 1.0], rtol=1e-6)
    np.testing.assert_array_equal(features(Box(0, 1, (2,), jnp.uint8), jnp.uint8([0, 1])), [0, 1])
    np.testing.assert_array_equal(features(Box(0, 255, (2,), jnp.int32), jnp.int32([0, 255])), [0, 255])


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 84, 84), (4, 5, 6)], ids=str)
def test_channels_that_come_first_are_moved_to_the_end(shape):
    first = np.random.default_rng(0).integers(0, 256, (7, *shape), np.uint8)
    last = np.moveaxis(first, 1, -1)
    ours, theirs = (Box(0, 255, each.shape[1:], jnp.uint8) for each in (first, last))
    assert is_image(ours)
    assert input_shape(ours) == input_shape(theirs) == last.shape[1:]
    np.testing.assert_array_equal(features(ours, jnp.asarray(first)), features(theirs, jnp.asarray(last)))
    outputs = MLP(hidden=(4,)).module(ours).init_with_output(random.key(0), features(ours, first[0]))[0]
    assert outputs.shape == (4,)


@pytest.mark.parametrize("shape", [(5, 32, 32), (3, 32, 3), (4, 4, 10), (10, 10, 4)], ids=str)
def test_other_images_keep_their_axes(shape):
    assert input_shape(Box(0, 1, shape)) == shape
