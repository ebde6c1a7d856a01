"""Spaces: what lies in them, the nearest element, and how elements are drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from scipy import stats

from jaxrl.mdp import spaces
from jaxrl.mdp.spaces import Box, Discrete, draw_below

WHOLE = Box(-2, 3, (2,), jnp.int32)
CORNER = Box(np.float32([-1, 0]), 2.0, (2,))


@pytest.mark.parametrize(
    ("space", "element", "inside"),
    [
        (Discrete(3), 0, True),
        (Discrete(3), 2, True),
        (Discrete(3), 3, False),
        (Discrete(3), -1, False),
        (CORNER, [-1, 0], True),
        (CORNER, [2, 2], True),
        (CORNER, [-1, -0.1], False),
        (CORNER, [2.1, 0], False),
        (CORNER, [np.nan, 0], True),  # found by the check for finite states
        (Box(-np.inf, np.inf, (2,)), [1e30, -1e30], True),
        (WHOLE, [3, -2], True),
        (WHOLE, [4, 0], False),
    ],
    ids=str,
)
def test_what_lies_in_a_space(space, element, inside):
    assert space.contains(np.asarray(element, space.dtype)) == inside


def test_the_nearest_element():
    np.testing.assert_array_equal(Discrete(3).clip(np.array([-5, 1, 7])), [0, 1, 2])
    np.testing.assert_array_equal(CORNER.clip(np.float32([[-5, -5], [1, 5]])), [[-1, 0], [1, 2]])


def test_the_nearest_whole_numbers():
    nearest = WHOLE.clip(np.float32([[-9, 2.6], [0.4, 1e20]]))
    assert nearest.dtype == jnp.int32
    np.testing.assert_array_equal(nearest, [[-2, 3], [0, 3]])
    np.testing.assert_array_equal(WHOLE.clip(np.int32([-3, 1])), [-2, 1])
    pixels = Box(0, 255, (2,), jnp.uint8).clip(np.float32([-1, 254.7]))
    assert pixels.dtype == jnp.uint8
    np.testing.assert_array_equal(pixels, [0, 255])


def test_draws_of_whole_numbers_are_uniform_and_reach_both_ends():
    keys = random.split(random.key(1), 5_000)
    points = np.asarray(jax.jit(jax.vmap(WHOLE.sample))(keys))
    assert points.dtype == np.int32
    for column in points.T:
        assert stats.chisquare(np.bincount(column + 2, minlength=6)).pvalue > 1e-3
    bytes_ = np.asarray(jax.vmap(Box(254, 255, (), jnp.uint8).sample)(keys[:50]))
    assert {*bytes_.tolist()} == {254, 255}


@pytest.mark.parametrize(
    ("low", "high", "bounded"),
    [
        (-1, 1, True),
        (np.float32([0, -np.inf]), 1, False),
        (-3e38, 3e38, False),
        (0, 3e38, True),
        (-1e30, 1e30, True),
    ],
    ids=str,
)
def test_bounded_boxes_have_a_finite_range(low, high, bounded):
    assert Box(low, high, (2,)).is_bounded is bounded


def test_draws_are_uniform_elements():
    keys = random.split(random.key(0), 5_000)
    numbers = np.asarray(jax.jit(jax.vmap(Discrete(5).sample))(keys))
    assert numbers.dtype == np.int32
    assert stats.chisquare(np.bincount(numbers, minlength=5)).pvalue > 1e-3
    points = np.asarray(jax.jit(jax.vmap(CORNER.sample))(keys))
    assert points.dtype == np.float32
    assert stats.kstest(points[:, 0], stats.uniform(-1, 3).cdf).pvalue > 1e-3
    assert stats.kstest(points[:, 1], stats.uniform(0, 2).cdf).pvalue > 1e-3


@pytest.mark.parametrize("n", [1, 2, 3, 5, 7, 1_000])
def test_no_draw_lies_beyond_the_last_number(monkeypatch, n):
    """The largest float below 1, times n, may round to n."""
    for draw, expected in ((0.0, 0), (np.nextafter(np.float32(1), np.float32(0)), n - 1)):
        monkeypatch.setattr(spaces.random, "uniform", lambda _, draw=draw: jnp.float32(draw))
        assert draw_below(random.key(0), n) == expected
