"""Planning by hand in a chain of three states, whose last step gives 1."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from jaxrl.algorithms import DynaQ
from jaxrl.algorithms.dyna_q import Model
from jaxrl.errors import InputError
from tests.probes import RewardTwoStepsLater

ENV = RewardTwoStepsLater()
GREEDY = {"discount": 0.5, "epsilon_start": 0.0, "epsilon_end": 0.0}


@jax.jit
def step(algorithm, state, key, t):
    return algorithm.step(ENV, state, key, t, jnp.int32(100))


def values(algorithm, steps, seed=0):
    """The values of the greedy actions after some steps, the last metrics and the state."""
    state = algorithm.init(ENV, random.key(0))
    for t in range(steps):
        state, metrics = step(algorithm.arrays(), state, random.fold_in(random.key(seed), t), jnp.int32(t))
    return (
        np.asarray(state.q.max(axis=1)),
        {name: float(value) for name, (value, _) in metrics.items()},
        state,
    )


def test_planning_repeats_what_is_known():
    """After the first episode all three pairs are known; a step and two updates touch three of them."""
    found = {
        tuple(values(DynaQ(**GREEDY, learning_rate=1.0, planning_steps=2), 3, seed)[0]) for seed in range(12)
    }
    assert found >= {(0.0, 0.0, 1.0), (0.0, 0.5, 1.0), (0.25, 0.5, 1.0)}
    assert all(third == 1 for _, _, third in found)


def test_without_planning_it_is_q_learning():
    found, metrics, state = values(DynaQ(**GREEDY, learning_rate=0.5, planning_steps=0), 5)
    np.testing.assert_allclose(found, [0.0, 0.5 * 0.25, 0.5])
    assert (metrics["updates"], metrics["known_pairs"]) == (1, 3)
    assert state.priority == ()


def test_sweeping_carries_an_error_to_all_that_leads_to_it():
    swept = DynaQ(**GREEDY, learning_rate=1.0, planning_steps=5, prioritised=True)
    found, metrics, state = values(swept, 3)
    np.testing.assert_allclose(found, [0.25, 0.5, 1.0])
    assert metrics["updates"] == 3
    assert metrics["td_error"] == 1
    assert not state.priority.any()


def test_sweeping_stops_at_the_last_planning_step_and_at_small_errors():
    swept = DynaQ(**GREEDY, learning_rate=1.0, prioritised=True)
    found, _, state = values(swept.replace(planning_steps=1), 3)
    np.testing.assert_allclose(found, [0.0, 0.5, 1.0])
    np.testing.assert_allclose(state.priority, [0.25, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(values(swept.replace(threshold=0.3), 3)[0], [0.0, 0.5, 1.0])


def test_the_learning_rate_falls_linearly():
    algorithm = DynaQ(**GREEDY, learning_rate=0.5, learning_rate_decay=0.0, planning_steps=0)
    assert values(algorithm, 3)[0][2] == pytest.approx(0.5 * 0.98)


def test_only_known_pairs_are_drawn_each_alike():
    model = Model.empty(6).replace(order=jnp.array([4, 1, 5, 0, 0, 0]), size=jnp.int32(3))
    drawn = [int(model.drawn(position)) for position in np.float32([0.0, 0.33, 0.34, 0.66, 0.67, 1.0])]
    assert drawn == [4, 4, 1, 1, 5, 5]


def test_a_negative_number_of_planning_steps_is_refused_in_one_sentence():
    with pytest.raises(InputError, match=r"^DynaQ\.planning_steps must be at least 0, got -1$"):
        DynaQ(planning_steps=-1).validate()
