"""Monte Carlo control beside returns that are computed from whole episodes in plain Python."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax, random

from envs import GridWorld
from jaxrl.algorithms import MonteCarlo
from jaxrl.algorithms.monte_carlo import averaged
from jaxrl.errors import InputError

ENV = GridWorld(size=3, max_steps=9)
ALGORITHM = MonteCarlo(discount=0.9, epsilon_end=1.0)
STEPS = 300


def test_values_are_the_averages_of_all_returns():
    """Of every visit. Where the time limit ends an episode, its returns go on with the mean action value."""

    def iteration(state, t):
        before = state
        state, _ = ALGORITHM.step(ENV, state, random.fold_in(random.key(1), t), t, STEPS)
        # The step again, for its transition.
        key_act, key_env = random.split(random.fold_in(random.key(1), t))
        action, _ = ALGORITHM.act(ENV, before, (), before.episode.obs, key_act, explore=True)
        return state, before.episode.step(ENV, key_env, action)[1]

    state, seen = jax.jit(
        lambda: lax.scan(iteration, ALGORITHM.init(ENV, random.key(0)), jnp.arange(STEPS))
    )()
    seen = jax.tree.map(np.asarray, seen)
    returns, q = {}, np.zeros((9, 4))
    ends = np.flatnonzero(seen.terminated | seen.truncated)
    assert seen.terminated.any()
    assert seen.truncated.any()
    for first, last in zip([0, *ends + 1], ends, strict=False):
        value = q[seen.next_obs[last]].mean() if seen.truncated[last] else 0.0
        for t in range(last, first - 1, -1):
            value = seen.reward[t] + 0.9 * value
            returns.setdefault((seen.obs[t], seen.action[t]), []).append(value)
        for pair, values in returns.items():
            q[pair] = np.mean(values)
    assert max(map(len, returns.values())) > 10
    np.testing.assert_allclose(state.q, q, atol=1e-4)
    assert state.count.sum() == ends[-1] + 1


def test_a_least_weight_lets_averages_forget():
    """After 9 returns of 1, two new ones with the sum 10 weigh 2/11, or at least 2 * 0.25."""
    one, nine, two, ten = (jnp.full((1, 1), value) for value in (1.0, 9.0, 2.0, 10.0))
    np.testing.assert_allclose(averaged(one, nine, two, ten, 0.0), [[(9 + 10) / 11]], rtol=1e-6)
    np.testing.assert_allclose(averaged(one, nine, two, ten, 0.25), [[3.0]])
    np.testing.assert_allclose(averaged(one, nine, two, ten, 0.9), [[5.0]])
    np.testing.assert_array_equal(averaged(one, nine, 0 * two, 0 * ten, 0.9), one)


def test_a_weight_above_1_is_refused_in_one_sentence():
    with pytest.raises(InputError, match=r"^MonteCarlo\.learning_rate must be in \[0, 1\], got 2\.0$"):
        MonteCarlo(learning_rate=2.0).validate()
