"""A network's inputs: one-hot, flat and images."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from jaxrl.learning.inputs import features, input_shape, is_image
from jaxrl.learning.networks import MLP
from jaxrl.mdp.spaces import Box, Discrete


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
        features(Box(0, 1, (3,)), jnp.zeros((5, 4)))


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
