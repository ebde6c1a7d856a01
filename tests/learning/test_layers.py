"""Orthogonal initialisation, which must be exact, uniform and safe under vmap; heads and the convolution."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from scipy import stats

from jaxrl.learning.layers import ActionValues, Convolution, Linear, MeanAndLogStd, Orthogonal, gram_schmidt
from jaxrl.learning.networks import MLP
from jaxrl.mdp.spaces import Box

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


def test_dueling_values_are_centred_advantages_on_a_value():
    network = ActionValues(torso(hidden=()), 2, dueling=True)
    advantage = {"kernel": np.float32([[1, 4]]), "bias": np.zeros(2, np.float32)}
    value = {"kernel": np.float32([[10]]), "bias": np.zeros(1, np.float32)}
    params = {"params": {"Dense_0": advantage, "Dense_1": value}}
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
