"""Updates: how many there are, which way targets move, and the norm that gradients are clipped to."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import random

from jaxrl.learning.updates import clipped_adam, shuffled_minibatches, tracked, updates_if


def noted(i, carry):
    """Writes i to the place of the next update."""
    order, count = carry
    return order.at[count].set(i), count + 1


@pytest.mark.parametrize(("ready", "order"), [(True, [0, 1, 2, -1]), (False, [-1, -1, -1, -1])])
def test_all_updates_or_none_are_run_in_order(ready, order):
    start = (jnp.full(4, -1), jnp.int32(0))
    (written, count), number = updates_if(jnp.bool_(ready), 3, noted, start)
    np.testing.assert_array_equal(written, order)
    assert count == number == (3 if ready else 0)
    assert number.dtype == jnp.float32


def test_no_update_is_computed_for_lanes_that_are_not_ready():
    """Under vmap, too, one condition for all lanes ends the loop; it is no choice between results."""
    called = []

    def update(i, carry):
        jax.debug.callback(called.append, i)
        return carry + 1

    @jax.jit
    def run(ready, carries):
        return jax.vmap(lambda carry: updates_if(ready, 2, update, carry)[0])(carries)

    for ready, calls in ((False, 0), (True, 2)):
        carries = run(jnp.bool_(ready), jnp.zeros(3))
        jax.effects_barrier()
        assert len(called) == calls
        np.testing.assert_array_equal(carries, 2.0 * ready)


BEFORE = np.array([0, 0, 4, 7, 8, 8, 9, 9])
SEEN = np.array([4, 8, 8, 9, 9, 16, 15, 25])


def test_a_target_is_moved_when_a_period_has_passed():
    """After iterations of any number of steps, also over several multiples at once."""
    moved = jax.vmap(lambda before, seen: tracked(1.0, 3.0, seen, before, 8, 1.0))(BEFORE, SEEN)
    passed = [any(n % 8 == 0 for n in range(a + 1, b + 1)) for a, b in zip(BEFORE, SEEN, strict=True)]
    np.testing.assert_array_equal(moved, np.where(passed, 3.0, 1.0))
    assert 0 < sum(passed) < len(passed)


def test_a_target_is_moved_by_its_rate():
    rates = np.array([0.0, 0.25, 1.0])
    target, params = {"w": jnp.array([1.0, -2.0])}, {"w": jnp.array([3.0, 2.0])}
    moved = jax.vmap(lambda rate: tracked(target, params, 8, 7, 8, rate))(rates)
    np.testing.assert_allclose(moved["w"], [[1.0, -2.0], [1.5, -1.0], [3.0, 2.0]])


def test_gradients_are_clipped_by_their_global_norm():
    """Two gradients of norm 3 and 4 have norm 5; clipped to 1 they keep their ratio."""
    clip = clipped_adam(1e-3, 1.0)
    grads = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}
    # Adam's first moment after one step is a tenth of the clipped gradient.
    updates, state = clip.update(grads, clip.init(grads))
    mu = optax.tree.get(state, "mu")
    np.testing.assert_allclose([mu["a"][0], mu["b"][0]], [0.06, 0.08], rtol=1e-5)
    np.testing.assert_allclose([updates["a"][0], updates["b"][0]], -1e-3, rtol=1e-5)


def test_adams_eps_damps_small_gradients():
    """A gradient as large as eps moves half of the learning rate."""
    adam, grad = clipped_adam(1e-3, 1.0, eps=1e-5), jnp.array([1e-5])
    np.testing.assert_allclose(adam.update(grad, adam.init(grad))[0], -5e-4, rtol=1e-4)


def test_every_epoch_of_minibatches_is_a_permutation():
    minibatches = np.asarray(shuffled_minibatches(random.key(0), 12, epochs=3, minibatches=4))
    assert minibatches.shape == (12, 3)
    for epoch in minibatches.reshape(3, 12):
        assert sorted(epoch) == list(range(12))
    assert len(np.unique(minibatches.reshape(3, 12), axis=0)) == 3
