"""Metrics as sums and weights, by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.learning.metrics import episode_metrics, explained_variance, mean_metrics, metric_if
from jaxrl.mdp.episode import Transition


def transitions(episode_return, episode_length, terminated, truncated):
    zeros, ends = np.zeros(np.shape(terminated)), [np.asarray(each, bool) for each in (terminated, truncated)]
    totals = np.float32(episode_return), np.int32(episode_length)
    return Transition(zeros, zeros, zeros, zeros, *ends, *totals)


def test_returns_and_lengths_are_those_of_the_episodes_that_end():
    """Of two steps in three environments, in which one episode terminates and two are cut."""
    found = episode_metrics(
        transitions(
            [[1, 2, np.nan], [4, 8, 16]],
            [[1, 2, 3], [2, 1, 4]],
            [[0, 1, 0], [0, 0, 0]],
            [[0, 0, 0], [1, 0, 1]],
        )
    )
    assert {name: tuple(map(float, pair)) for name, pair in found.items()} == {
        "return": (2 + 4 + 16, 3),
        "length": (2 + 2 + 4, 3),
    }
    assert {part.dtype for pair in found.values() for part in pair} == {jnp.dtype("float32")}


def test_without_an_end_there_is_no_weight():
    found = episode_metrics(transitions([5], [5], [0], [0]))
    assert {tuple(map(float, pair)) for pair in found.values()} == {(0, 0)}


def test_means_have_the_weight_of_one_iteration():
    (name, (value, weight)), *others = mean_metrics(loss=jnp.array([1.0, 2.0, 6.0])).items()
    assert (name, float(value), float(weight), others) == ("loss", 3, 1, [])
    assert value.shape == weight.shape == ()


def test_explained_variance():
    target = np.float32([1, 2, 3, 4])
    assert explained_variance(target + 5, target) == pytest.approx(1)
    assert explained_variance(np.zeros(4), target) == pytest.approx(0)
    assert explained_variance(-target, target) == pytest.approx(-3)
    assert explained_variance(np.float32([1, 2, 9, 9]), target, where=np.array([1, 1, 0, 0], bool)) == 1
    assert explained_variance(target, np.ones(4)) == 0
    assert explained_variance(target, target, where=np.zeros(4, bool)) == 0


def test_a_metric_counts_where_its_condition_holds():
    assert metric_if(np.bool_(True), jnp.float32(3)) == (3, 1)
    assert metric_if(np.bool_(False), jnp.float32(np.nan)) == (0, 0)
