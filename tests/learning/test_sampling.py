"""Prioritised replay beside a plain computation of its equations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from scipy import stats

from jaxrl.learning.replay import Segments
from jaxrl.learning.sampling import Prioritised, places_at

ROWS, ENVS, BATCH = 8, 2, 4_000


@jax.jit
def drawn(sampling, kept, key, steps, progress):
    return sampling.draw(kept, None, key, steps, BATCH, 1, progress)


@pytest.fixture(scope="module")
def kept():
    """After ten rows the first two are written over; priorities are known."""
    sampling = Prioritised()
    kept = sampling.create(ROWS, ENVS)
    for step in range(0, 10, 2):
        kept = sampling.write(kept, 2, step)
    row, env = np.divmod(np.arange(ROWS * ENVS), ENVS)
    priority = np.random.default_rng(0).uniform(0.1, 3.0, ROWS * ENVS).astype(np.float32)
    return sampling.update(kept, Segments(row[:, None], env[:, None]), priority)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_places_are_drawn_in_proportion_to_their_priorities(kept, alpha):
    places, _ = drawn(Prioritised(alpha=alpha), kept, random.key(0), 10, 0.0)
    counts = np.zeros((ROWS, ENVS))
    np.add.at(counts, (places.row[:, 0], places.env[:, 0]), 1)
    expected = np.asarray(kept.priority, np.float64) ** alpha
    assert stats.chisquare(counts.ravel(), expected.ravel() / expected.sum() * BATCH).pvalue > 1e-3


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_weights_correct_the_bias_as_far_as_beta_says(kept, progress):
    sampling = Prioritised(beta_start=0.4, beta_end=1.0)
    places, weights = drawn(sampling, kept, random.key(0), 10, progress)
    mass = np.asarray(kept.priority, np.float64) ** sampling.alpha
    probability = (mass / mass.sum())[places.row[:, 0], places.env[:, 0]]
    expected = (ROWS * ENVS * probability) ** -(0.4 + 0.6 * progress)
    np.testing.assert_allclose(weights, expected / expected.max(), rtol=1e-4)


@pytest.mark.parametrize(("steps", "length"), [(3, 1), (3, 2), (8, 3), (13, 3)])
def test_only_whole_segments_of_what_was_written_are_drawn(steps, length):
    sampling = Prioritised()
    kept = sampling.create(ROWS, ENVS)
    for step in range(steps):
        kept = sampling.write(kept, 1, step)
    draw = jax.jit(lambda key: sampling.draw(kept, None, key, jnp.int32(steps), 500, length, 0.0)[0].row)
    rows = np.asarray(draw(random.key(0)))
    written = range(max(0, steps - ROWS), steps)
    possible = {
        tuple((first + np.arange(length)) % ROWS) for first in written if first + length - 1 in written
    }
    assert {tuple(row) for row in rows} == possible


def test_a_new_transition_gets_the_largest_priority():
    sampling = Prioritised(smallest=1e-6)
    kept = sampling.write(sampling.create(ROWS, ENVS), 1, 0)
    np.testing.assert_array_equal(kept.priority[0], 1.0)
    one = Segments(np.array([[0]]), np.array([[1]]))
    kept = sampling.update(kept, one, np.float32([7.0]))
    kept = sampling.update(kept, one, np.float32([2.0]))
    kept = sampling.write(kept, 1, 1)
    np.testing.assert_allclose(kept.priority[:3], [[1.0, 2.0], [7.0, 7.0], [0.0, 0.0]], rtol=1e-5)


def test_rounding_errors_of_the_sum_lead_to_no_place_of_mass_0():
    """Positions just beside every step of a sum that goes on over many places without mass."""
    mass = np.random.default_rng(0).uniform(0.1, 3.0, 8_000).astype(np.float32)
    mass[4_000:] = 0
    mass[100:200] = 0
    cumulative = jnp.cumsum(jnp.asarray(mass))
    edges = np.concatenate([cumulative, *(np.nextafter(cumulative, np.float32(end)) for end in (0, np.inf))])
    places = np.asarray(jax.jit(places_at)(edges, cumulative, mass))
    assert (mass[places] > 0).all()
    inside = np.float32(0.5) * (np.asarray(cumulative)[:99] + np.asarray(cumulative)[1:100])
    np.testing.assert_array_equal(places_at(inside, cumulative, mass), np.arange(1, 100))
