"""Permutations are bijections, and their statistics are those of uniformly random ones."""

import itertools

import jax
import numpy as np
import pytest
from jax import random
from scipy import stats

from jaxrl.random.shuffle import permutation


def permutations(n, count):
    """`count` permutations of n from different keys: [count, n]."""
    keys = random.split(random.key(n), count)
    return np.asarray(jax.jit(jax.vmap(permutation, (0, None)), static_argnums=1)(keys, n))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 128, 512, 1000])
def test_every_index_appears_once(n):
    shuffled = permutations(n, 20)
    assert shuffled.dtype == np.int32
    np.testing.assert_array_equal(np.sort(shuffled), np.tile(np.arange(n), (20, 1)))


def test_every_value_is_equally_frequent_at_every_position():
    """The rows and columns of the counts have fixed sums, so there are (n - 1)² degrees of freedom.

    With the factor (n - 1) / n, the statistic has that expectation.
    """
    n, count = 8, 20_000
    shuffled = permutations(n, count)
    table = np.stack([np.bincount(column, minlength=n) for column in shuffled.T])
    expected = count / n
    statistic = ((table - expected) ** 2 / expected).sum() * (n - 1) / n
    assert stats.chi2((n - 1) ** 2).sf(statistic) > 1e-3


@pytest.mark.parametrize("n", [2, 3, 4])
def test_every_permutation_is_equally_frequent(n):
    found, counts = np.unique(permutations(n, 24_000), axis=0, return_counts=True)
    assert found.tolist() == [list(each) for each in itertools.permutations(range(n))]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_adjacent_values_stay_adjacent_as_often_as_by_chance():
    """Of the n (n - 1) / 2 pairs of values, n - 1 differ by 1."""
    n = 64
    neighbours = (np.abs(np.diff(permutations(n, 20_000))) == 1).sum(axis=1)
    standard_error = neighbours.std() / np.sqrt(len(neighbours))
    assert abs(neighbours.mean() - 2 * (n - 1) / n) < 4 * standard_error


def test_pairs_of_positions_are_independent():
    """The values at the first two of eight positions take all 56 pairs equally often."""
    first, second = permutations(8, 20_000)[:, :2].T
    counts = np.bincount(8 * first + second, minlength=64).reshape(8, 8)
    assert (np.diag(counts) == 0).all()
    assert stats.chisquare(counts[~np.eye(8, dtype=bool)]).pvalue > 1e-3


def test_different_keys_give_different_permutations():
    assert len(np.unique(permutations(128, 1_000), axis=0)) == 1_000


def test_vmap_and_single_calls_give_the_same_permutations():
    keys = random.split(random.key(12), 5)
    together = jax.vmap(permutation, (0, None))(keys, 12)
    np.testing.assert_array_equal(together, [permutation(key, 12) for key in keys])
