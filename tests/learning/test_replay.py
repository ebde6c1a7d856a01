"""Replay: a ring of rows beside a plain one, the segments that are drawn, and what the compiler makes of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from scipy import stats

from jaxrl import InputError
from jaxrl.compiled.engine import advance, initialise, iterate
from jaxrl.learning import replay
from jaxrl.learning.returns import n_step_return
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Experience
from jaxrl.mdp.spaces import Box, Discrete
from tests.lanes import batch_of, equations, small

ROWS, ENVS, TOGETHER, LENGTH = 12, 3, 2, 3
DISCOUNT = 0.9


class Numbers(Environment):
    """Only its spaces matter."""

    @property
    def observation_space(self):
        return Box(0, 10**6, (), jnp.int32)

    @property
    def action_space(self):
        return Discrete(4)


class Pixels(Numbers):
    @property
    def observation_space(self):
        return Box(0, 255, (5, 4, 3), jnp.uint8)

    @property
    def action_space(self):
        return Box(-1.0, 1.0, (2,))


@pytest.mark.parametrize(
    ("env", "observed", "acted"),
    [
        (Numbers(), ((ROWS, ENVS), "int32"), ((ROWS, ENVS), "int32")),
        (Pixels(), ((ROWS, ENVS, 5, 4, 3), "uint8"), ((ROWS, ENVS, 2), "float32")),
    ],
    ids=["numbers", "pixels"],
)
def test_a_ring_has_the_shapes_and_types_of_the_spaces(env, observed, acted):
    ring = jax.eval_shape(lambda: replay.create(env, ROWS, ENVS))
    flags = ((ROWS, ENVS), "bool")
    expected = Experience(observed, acted, ((ROWS, ENVS), "float32"), observed, flags, flags)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype.name), ring) == expected


def random_rows(rng, first, count):
    """Made-up experience [count, ENVS], whose observations are numbers of their own from `first` rows on."""
    shape = count, ENVS
    ends = rng.random(shape) < 0.2
    cuts = (rng.random(shape) < 0.2) & ~ends
    obs = np.arange(first * ENVS, (first + count) * ENVS, dtype=np.int32).reshape(shape)
    action, reward = rng.integers(4, size=shape, dtype=np.int32), rng.normal(size=shape).astype(np.float32)
    return Experience(obs, action, reward, rng.integers(10**6, size=shape, dtype=np.int32), ends, cuts)


@pytest.fixture(scope="module")
def write():
    return jax.jit(replay.write)


@pytest.fixture(scope="module")
def drawn():
    """20,000 segments from a ring after some steps, by their length."""

    def draw(length):
        def segments(ring, key, steps):
            places = replay.uniform_segments(ring, key, steps, 20_000, length)
            return places, replay.read(ring, places)

        return jax.jit(segments)

    return {length: draw(length) for length in (1, LENGTH)}


def filled(write, steps):
    """A ring after `steps` rows, with what is in it: step numbers of its rows."""
    rng, ring = np.random.default_rng(0), replay.create(Numbers(), ROWS, ENVS)
    for step in range(0, steps, TOGETHER):
        ring = write(ring, random_rows(rng, step, TOGETHER), step)
    return ring, range(max(0, steps - ROWS), steps)


@pytest.mark.parametrize("steps", [4, 12, 14, 50])
@pytest.mark.parametrize("length", [1, LENGTH])
def test_samples_are_whole_uniform_segments_of_what_was_written(steps, length, write, drawn):
    ring, written = filled(write, steps)
    places, segments = drawn[length](ring, random.key(0), steps)
    assert places.row.shape == (20_000, length)
    assert places.env.shape == (20_000, 1)
    step, env = np.divmod(segments.obs, ENVS)
    np.testing.assert_array_equal(env, np.tile(places.env, length))
    np.testing.assert_array_equal(step % ROWS, places.row)
    np.testing.assert_array_equal(step, step[:, :1] + np.arange(length))
    counts = np.zeros((ENVS, len(written) - length + 1))
    np.add.at(counts, (env[:, 0], step[:, 0] - written.start), 1)
    assert stats.chisquare(counts.ravel()).pvalue > 1e-3


def test_segments_never_cross_the_write_position():
    """Whatever number of rows was written, the last transition of a segment is not older than its first."""
    steps = np.arange(LENGTH, 4 * ROWS)
    ring = replay.create(Numbers(), ROWS, ENVS)
    keys = random.split(random.key(0), len(steps))
    draw = jax.vmap(lambda key, steps: replay.uniform_segments(ring, key, steps, 500, LENGTH).row)
    rows = np.asarray(jax.jit(draw)(keys, steps))  # [steps, 500, LENGTH]
    oldest = np.where(steps < ROWS, 0, steps % ROWS)[:, None, None]  # the row that is written next, once full
    age = (rows - oldest) % ROWS
    np.testing.assert_array_equal(np.diff(age, axis=-1), 1)
    assert (age.max(axis=(1, 2)) == np.minimum(steps, ROWS) - 1).all()
    assert (age.min(axis=(1, 2)) == 0).all()


def plain_n_step(segment):
    """The discounted reward, the discount of what follows, and the observation of its value."""
    total, weight, i = 0.0, 1.0, 0
    for i, reward in enumerate(segment.reward):
        total += weight * reward
        weight *= DISCOUNT
        if segment.terminated[i] or segment.truncated[i]:
            break
    return total, 0.0 if segment.terminated[i] else weight, segment.next_obs[i]


def test_random_writes_and_samples_equal_a_plain_ring(write):
    """Writes of every size that may begin where the last one ended; segments as DQN draws and values them."""

    @jax.jit
    def drawn(ring, key, steps):
        segments = replay.read(ring, replay.uniform_segments(ring, key, steps, 16, LENGTH))
        return segments.obs, jax.vmap(n_step_return, (0, None))(segments, DISCOUNT)

    rng, plain, steps = np.random.default_rng(0), [], 0
    ring = replay.create(Numbers(), ROWS, ENVS)
    for i in range(3_000):
        count = rng.choice([n for n in range(1, ROWS + 1) if ROWS % n == steps % n == 0])
        rows = random_rows(rng, steps, count)
        ring, steps = write(ring, rows, steps), steps + count
        plain += [jax.tree.map(lambda leaf, at=at: leaf[at], rows) for at in range(count)]
        if i % 10 or steps < LENGTH:
            continue
        kept = jax.device_get(ring)
        for step in range(max(0, steps - ROWS), steps):
            row = jax.tree.map(lambda leaf, at=step % ROWS: leaf[at], kept)
            jax.tree.map(np.testing.assert_array_equal, row, plain[step])
        obs, values = jax.device_get(drawn(ring, random.key(i), steps))
        for drawn_obs, *value in zip(obs, *values, strict=True):
            step, env = divmod(int(drawn_obs[0]), ENVS)
            assert max(0, steps - ROWS) <= step <= steps - LENGTH
            successive = plain[step : step + LENGTH]
            segment = jax.tree.map(lambda *leaves, env=env: np.array(leaves)[:, env], *successive)
            np.testing.assert_array_equal(drawn_obs, segment.obs)
            np.testing.assert_allclose(value, plain_n_step(segment), atol=1e-5)
    assert steps > 100 * ROWS


@pytest.mark.parametrize(
    ("capacity", "message"),
    [
        (105, "^Learner.capacity must be a multiple of num_envs x num_steps = 10, got 105$"),
        (30, "^Learner.capacity must be at least warmup = 50, got 30$"),
    ],
)
def test_a_capacity_that_does_not_fit_is_refused(capacity, message):
    replay.require_capacity("Learner", 50, 10, batch_size=40, warmup=50)
    with pytest.raises(InputError, match=message):
        replay.require_capacity("Learner", capacity, 10, batch_size=40, warmup=50)


LANES, CAPACITY = 4, 1_000_000


def shapes(name):
    """Lanes of an algorithm with a large ring, and the shapes of their states."""
    algorithm, env = small(name)
    lanes = batch_of([algorithm.replace(capacity=CAPACITY)] * LANES, env, range(LANES)).lanes()
    algorithm, env, keys, shared = lanes
    return lanes, jax.eval_shape(initialise, algorithm, env, keys.init, shared, 100)


@pytest.mark.parametrize("name", ["dqn", "sac", "discrete_sac"])
def test_no_copy_of_the_buffer_in_the_loop(name):
    """The compiled chunk has less temporary memory than the smallest of a ring's arrays, a byte an entry."""
    (algorithm, env, keys, shared), state = shapes(name)
    lowered = advance.lower(algorithm, env, state, keys.steps, shared, 0, 10, 100)
    assert lowered.compile().memory_analysis().temp_size_in_bytes < LANES * CAPACITY


@pytest.mark.parametrize("name", ["dqn", "sac", "discrete_sac"])
def test_no_branch_copies_the_buffer(name):
    """A `cond` copies what it takes and gives; under vmap one on a lane's value becomes a `select_n`."""
    (algorithm, env, keys, shared), state = shapes(name)
    program = jax.make_jaxpr(iterate)(algorithm, env, state, keys.steps, shared, 0, 100)
    found = [*equations(program.jaxpr)]
    branches = [eqn for eqn in found if eqn.primitive.name in ("cond", "select_n")]
    values = [var.aval.size for eqn in branches for var in (*eqn.invars, *eqn.outvars)]
    assert max(values) < min(leaf.size for leaf in jax.tree.leaves(state.replay))

    # t is the same in all lanes, so that the branch of the warm-up remains one, and the updates' count a number.
    conds = sum(eqn.primitive.name == "cond" for eqn in found)
    assert conds == (0 if name == "dqn" else 1)
    loops = [eqn for eqn in found if eqn.primitive.name == "while"]
    assert loops
    for loop in loops:
        assert all(var.aval.shape == () for eqn in loop.params["cond_jaxpr"].eqns for var in eqn.outvars)
