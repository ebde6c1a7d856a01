"""Schedules at their start, on their way, at their end and beyond."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.learning.schedules import exponential, linear


@pytest.mark.parametrize(
    ("t", "expected"), [(0, 1.0), (10, 0.84), (25, 0.6), (49, 0.216), (50, 0.2), (51, 0.2), (100, 0.2)]
)
def test_linear_falls_for_a_fraction_of_the_run_and_then_stays(t, expected):
    assert linear(1.0, 0.2, 0.5, t, 100) == pytest.approx(expected, abs=1e-6)


def test_linear_may_rise():
    values = [float(linear(-1.0, 3.0, 1.0, t, 4)) for t in range(5)]
    assert values == pytest.approx([-1, 0, 1, 2, 3])


def test_linear_over_no_time_gives_the_start_at_0_and_the_end_from_then_on():
    values = [float(linear(1.0, 0.2, 0.0, t, 100)) for t in (0, 1, 2, 100)]
    assert values == pytest.approx([1.0, 0.2, 0.2, 0.2])


def test_linear_is_traced_in_all_its_arguments():
    rates = jnp.array([1.0, 2.0])
    run = jax.jit(jax.vmap(linear, (0, None, 0, None, None)))
    values = run(rates, 0.0, jnp.array([1.0, 0.5]), jnp.int32(25), jnp.int32(100))
    np.testing.assert_allclose(values, [0.75, 1.0])


@pytest.mark.parametrize(
    ("count", "expected"), [(0, 1.0), (1, 0.5), (2, 0.25), (3, 0.125), (4, 0.1), (1_000_000, 0.1)]
)
def test_exponential_halves_down_to_its_floor(count, expected):
    value = exponential(jnp.float32(1.0), jnp.float32(0.1), jnp.float32(0.5), jnp.int32(count))
    assert value == pytest.approx(expected)


@pytest.mark.parametrize(("decay", "expected"), [(0.0, [1.0, 0.1, 0.1]), (1.0, [1.0, 1.0, 1.0])])
def test_exponential_at_the_bounds_of_its_decay(decay, expected):
    values = jax.vmap(exponential, (None, None, None, 0))(1.0, 0.1, jnp.float32(decay), jnp.arange(3))
    np.testing.assert_allclose(values, expected)


def test_linear_hits_both_ends_exactly():
    t, total = np.array([0, 50, 100]), 100
    values = np.asarray(linear(np.float32(1.0), np.float32(0.05), 0.5, t, total))
    assert values.tolist() == [1.0, np.float32(0.05), np.float32(0.05)]
