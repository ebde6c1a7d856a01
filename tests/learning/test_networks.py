"""Orthogonal initialisation, which must be exact, uniform and safe under vmap; the network's shapes."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from scipy import stats

from jaxrl.learning.networks import MLP, Convolution, Orthogonal, features, gram_schmidt, is_image
from jaxrl.mdp.spaces import Box, Discrete

SHAPES = [(256, 256), (256, 64), (64, 256), (33, 7), (3, 3), (7, 1), (1, 7), (1, 1), (3, 3, 2, 8)]
SIZE, KEYS = 4, 4_000


@pytest.fixture(scope="module")
def matrices():
    """Random orthogonal matrices: [KEYS, SIZE, SIZE]."""
    keys = random.split(random.key(0), KEYS)
    return np.asarray(jax.vmap(lambda key: Orthogonal(1.0)(key, (SIZE, SIZE)))(keys))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rows_or_columns_are_orthonormal(shape):
    weights = np.asarray(Orthogonal(1.0)(random.key(0), shape))
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
    weights = Orthogonal(scale)(random.key(0), (32, 8))
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
    initialise, keys = Orthogonal(1.0), random.split(random.key(0), 64)
    together = np.asarray(jax.jit(jax.vmap(lambda key: initialise(key, shape)))(keys))
    for index in (0, 17, 63):
        np.testing.assert_allclose(together[index], initialise(keys[index], shape), atol=1e-5)
    assert len({weights.tobytes() for weights in together}) == 64


def test_mlp_shapes_and_initial_weights():
    network, x = MLP((16, 8), 3, output_scale=0.01), jnp.arange(5.0)
    params = network.init(random.key(0), x)
    layers = [params["params"][f"Dense_{i}"] for i in range(3)]
    assert network.apply(params, x).shape == (3,)
    assert [layer["kernel"].shape for layer in layers] == [(5, 16), (16, 8), (8, 3)]
    assert all((layer["bias"] == 0).all() for layer in layers)
    largest = [np.linalg.norm(layer["kernel"], ord=2) for layer in layers]
    np.testing.assert_allclose(largest, [math.sqrt(2), math.sqrt(2), 0.01], rtol=1e-4)


def test_mlp_equals_the_formula():
    network, x = MLP((4,), 2, output_scale=1.0), jnp.array([0.5, -1.0, 2.0])
    params = network.init(random.key(0), x)
    first, second = (np.asarray(params["params"][f"Dense_{i}"]["kernel"]) for i in range(2))
    np.testing.assert_allclose(network.apply(params, x), np.tanh(x @ first) @ second, rtol=1e-5)


def test_mlp_without_hidden_layers_is_linear():
    network = MLP((), 2, output_scale=0.5)
    params = network.init(random.key(0), jnp.zeros(3))
    assert list(params["params"]) == ["Dense_0"]
    np.testing.assert_array_equal(network.apply(params, jnp.zeros(3)), [0, 0])


def test_features_of_a_discrete_observation_are_one_hot():
    x = features(Discrete(4), jnp.int32(2))
    assert x.dtype == jnp.float32
    np.testing.assert_array_equal(x, [0, 0, 1, 0])


def test_features_of_a_box_are_flat_floats():
    x = features(Box(0, 10, (2, 3), jnp.int32), jnp.arange(6).reshape(2, 3))
    assert x.dtype == jnp.float32
    np.testing.assert_array_equal(x, [0, 1, 2, 3, 4, 5])


def test_convolution_equals_a_loop_over_positions():
    rng = np.random.default_rng(0)
    images, bias = rng.normal(size=(2, 6, 5, 3)).astype(np.float32), rng.normal(size=16).astype(np.float32)
    filters = rng.normal(size=(3, 3, 3, 16)).astype(np.float32)  # of rows, columns and channels
    expected = np.zeros((2, 4, 3, 16))
    for image, row, column, unit in np.ndindex(expected.shape):
        patch = images[image, row : row + 3, column : column + 3]
        expected[image, row, column, unit] = max(0, (patch * filters[..., unit]).sum() + bias[unit])
    params = {"params": {"Dense_0": {"kernel": filters.reshape(27, 16), "bias": bias}}}
    outputs = Convolution().apply(params, images)
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
    np.testing.assert_array_equal(features(Box(0, 255, (9,), jnp.uint8), pixels), pixels)  # no image
