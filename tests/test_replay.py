import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from scipy import stats

from jaxrl import replay
from jaxrl.environment import Transition
from tests.lanes import batch_of, small, start

ROWS, ENVS, TOGETHER = 12, 3, 2


def rows_of(first, count):
    """Rows that hold their own step number and environment."""
    step = np.repeat(np.arange(first, first + count)[:, None], ENVS, axis=1)
    return {"step": jnp.asarray(step), "env": jnp.tile(jnp.arange(ENVS), (count, 1)), "even": step % 2 == 0}


def filled(steps):
    """A ring after `steps` rows, and the same in plain Python."""
    ring = replay.create(rows_of(0, 1), ROWS)
    plain = {}
    for step in range(0, steps, TOGETHER):
        ring = replay.write(ring, rows_of(step, TOGETHER), jnp.int32(step))
        plain |= {i % ROWS: i for i in range(step, step + TOGETHER)}
    return ring, plain


def test_types_are_kept():
    ring, _ = filled(4)
    assert ring["step"].dtype == jnp.int32
    assert ring["even"].dtype == jnp.bool_


def test_writes_equal_a_plain_ring_over_many_wraps():
    write = jax.jit(replay.write)
    ring = replay.create(rows_of(0, 1), ROWS)
    plain = np.zeros((ROWS, ENVS), int)
    for step in range(0, 2_000, TOGETHER):
        ring = write(ring, rows_of(step, TOGETHER), step)
        for i in range(step, step + TOGETHER):
            plain[i % ROWS] = i
        np.testing.assert_array_equal(ring["step"], plain)
    np.testing.assert_array_equal(ring["env"], np.tile(np.arange(ENVS), (ROWS, 1)))


@pytest.mark.parametrize("steps", [4, 12, 14, 50])
@pytest.mark.parametrize("length", [1, 3])
def test_samples_are_whole_uniform_stretches_of_what_was_written(steps, length):
    ring, plain = filled(steps)
    drawn = replay.sample(ring, random.key(0), jnp.int32(steps), batch=20_000, length=length)
    step = np.asarray(drawn["step"])
    assert step.shape == (20_000, length)
    np.testing.assert_array_equal(step, step[:, :1] + np.arange(length))
    assert (drawn["env"] == drawn["env"][:, :1]).all()
    starts = sorted(plain.values())[: len(plain) - length + 1]
    counts = np.array(
        [[(step[:, 0][drawn["env"][:, 0] == env] == s).sum() for s in starts] for env in range(ENVS)]
    )
    assert counts.sum() == 20_000
    assert stats.chisquare(counts.ravel()).pvalue > 1e-3


def transitions(rewards, terminated, truncated):
    n = len(rewards)
    zeros = jnp.zeros(n)
    return Transition(
        obs=jnp.arange(n),
        action=zeros,
        reward=jnp.array(rewards, jnp.float32),
        next_obs=jnp.arange(1, n + 1),
        terminated=jnp.array(terminated, bool),
        truncated=jnp.array(truncated, bool),
        episode_return=zeros,
        episode_length=zeros,
    )


@pytest.mark.parametrize(
    ("terminated", "truncated", "expected"),
    [
        ([0, 0, 0], [0, 0, 0], (1 + 0.5 * 2 + 0.25 * 4, 0.125, 3)),
        ([0, 1, 0], [0, 0, 0], (1 + 0.5 * 2, 0.0, 2)),
        ([0, 0, 0], [0, 1, 0], (1 + 0.5 * 2, 0.25, 2)),
        ([1, 0, 0], [0, 0, 1], (1, 0.0, 1)),
        ([0, 0, 1], [0, 0, 0], (1 + 0.5 * 2 + 0.25 * 4, 0.0, 3)),
        ([0, 0, 1], [1, 0, 0], (1, 0.5, 1)),
    ],
)
def test_n_step_returns_by_hand(terminated, truncated, expected):
    reward, bootstrap, next_obs = replay.n_step(transitions([1, 2, 4], terminated, truncated), 0.5)
    assert (float(reward), float(bootstrap), int(next_obs)) == expected


def test_n_step_returns_against_a_plain_loop():
    rng = np.random.default_rng(0)
    for _ in range(200):
        n = int(rng.integers(1, 7))
        rewards, ends, cuts = rng.normal(size=n), rng.random(n) < 0.2, rng.random(n) < 0.2
        stretch = transitions(rewards, ends, cuts & ~ends)
        total, weight, i = 0.0, 1.0, 0
        for i in range(n):
            total += weight * rewards[i]
            weight *= 0.9
            if ends[i] or cuts[i]:
                break
        reward, bootstrap, next_obs = replay.n_step(stretch, 0.9)
        assert float(reward) == pytest.approx(total, abs=1e-5)
        assert float(bootstrap) == pytest.approx(0.0 if ends[i] else weight, abs=1e-6)
        assert int(next_obs) == i + 1


@pytest.mark.parametrize("name", ["dqn", "sac", "discrete_sac"])
def test_no_copy_of_the_buffer_in_the_loop(name):
    """Temporary memory of the compiled chunk does not grow with the capacity."""
    from jaxrl.training import advance

    algorithm, env = small(name)

    def temporary(capacity):
        batch = batch_of([algorithm.replace(capacity=capacity)] * 4, env, range(4))
        algorithms, envs, state = start(batch)
        memory = advance.lower(algorithms, envs, state, 0, 10, 100).compile().memory_analysis()
        return memory.temp_size_in_bytes

    little, much = temporary(1_000), temporary(50_000)
    row = 4 * (2 * 4 * 4 + 4 * 4 + 2)  # bytes of a transition in four lanes, about
    assert much - little < 0.01 * row * 49_000
