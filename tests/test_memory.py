"""The memory of a lane is known before anything is compiled."""

import jax
import jax.numpy as jnp
import pytest
from jax import random

from jaxrl import registry
from jaxrl.evaluate import evaluate
from jaxrl.generators import DEFAULT
from jaxrl.memory import lane_bytes, peak_bytes
from jaxrl.study import Run
from jaxrl.training import advance
from tests.lanes import SMALL, batch_of, start

WIDTH, EPISODES = 8, 10


def test_peak_of_a_hand_computed_program():
    """Two products of [100, 100] float32 live at once, then one; the buffer is written in place."""

    def program(x, buffer):
        a, b = x @ x, x.T @ x
        return jax.lax.dynamic_update_slice(buffer, a + b, (0, 0))

    x, buffer = jnp.zeros((100, 100)), jnp.zeros((5000, 100))
    jaxpr = jax.make_jaxpr(program)(x, buffer).jaxpr
    assert peak_bytes(jaxpr) == pytest.approx(3 * 40_000, rel=0.35)


def test_a_loops_body_counts_once():
    def program(x):
        return jax.lax.fori_loop(0, 1000, lambda _, x: jnp.sin(x @ x), x)

    jaxpr = jax.make_jaxpr(program)(jnp.zeros((100, 100))).jaxpr
    assert 40_000 <= peak_bytes(jaxpr) <= 4 * 40_000


@pytest.mark.parametrize("name", sorted(SMALL))
def test_estimates_are_near_what_the_compiler_takes(name):
    """Each algorithm as it is by default, within a quarter of the compiled program's own account."""
    algorithm = registry.algorithm(name)
    environment = registry.environment(SMALL[name][1])
    batch = batch_of([algorithm] * WIDTH, environment, range(WIDTH))
    algorithms, envs, _, _ = batch.lanes(DEFAULT)
    state = jax.eval_shape(lambda: start(batch)[2])
    programs = (
        advance.lower(algorithms, envs, state, 0, 10, 100),
        evaluate.lower(algorithms, envs, state, random.split(random.key(0), WIDTH), EPISODES),
    )
    measured = 0
    for program in programs:
        account = program.compile().memory_analysis()
        measured = max(measured, account.argument_size_in_bytes + account.temp_size_in_bytes)
    estimate = WIDTH * lane_bytes(Run(0, environment, algorithm, 0), EPISODES).total
    assert estimate == pytest.approx(measured, rel=0.25), (estimate, measured)
