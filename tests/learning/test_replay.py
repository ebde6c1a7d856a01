import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from scipy import stats

from jaxrl.compiled.engine import advance, initialise
from jaxrl.compiled.lane_memory import inner_jaxprs
from jaxrl.learning import replay
from jaxrl.mdp.episode import Experience, Transition
from jaxrl.random.generators import DEFAULT
from tests.lanes import batch_of, small, start

ROWS, ENVS, TOGETHER, LENGTH = 12, 3, 2, 3


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


def plain_n_step(rewards, ends, cuts, discount):
    """The discounted reward, the discount of what follows, and the place of the last transition that counts."""
    total, weight, i = 0.0, 1.0, 0
    for i, reward in enumerate(rewards):
        total += weight * reward
        weight *= discount
        if ends[i] or cuts[i]:
            break
    return total, 0.0 if ends[i] else weight, i


def test_n_step_returns_against_a_plain_loop():
    rng = np.random.default_rng(0)
    for _ in range(200):
        n = int(rng.integers(1, 7))
        rewards, ends, cuts = rng.normal(size=n), rng.random(n) < 0.2, rng.random(n) < 0.2
        stretch = transitions(rewards, ends, cuts & ~ends)
        total, weight, last = plain_n_step(rewards, ends, cuts, 0.9)
        reward, bootstrap, next_obs = replay.n_step(stretch, 0.9)
        assert float(reward) == pytest.approx(total, abs=1e-5)
        assert float(bootstrap) == pytest.approx(weight, abs=1e-6)
        assert int(next_obs) == last + 1


def random_rows(rng, first, count):
    """Made-up experience [count, ENVS], whose observations are numbers of their own from `first` rows on."""
    shape = count, ENVS
    ends = rng.random(shape) < 0.2
    cuts = (rng.random(shape) < 0.2) & ~ends
    obs = np.arange(first * ENVS, (first + count) * ENVS, dtype=np.int32).reshape(shape)
    action, reward = rng.integers(4, size=shape, dtype=np.int32), rng.normal(size=shape).astype(np.float32)
    return Experience(obs, action, reward, rng.integers(10**6, size=shape, dtype=np.int32), ends, cuts)


def test_random_writes_and_samples_equal_a_plain_ring():
    """Writes of every size that may begin where the last one ended; stretches as DQN draws and values them."""

    @jax.jit
    def drawn(ring, key, steps):
        stretches = replay.sample(ring, key, steps, batch=16, length=LENGTH)
        return stretches.obs, jax.vmap(replay.n_step, (0, None))(stretches, 0.9)

    rng, write, plain, steps = np.random.default_rng(0), jax.jit(replay.write), [], 0
    ring = replay.create(random_rows(rng, 0, 1), ROWS)
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
            stretch = jax.tree.map(
                lambda *leaves, env=env: np.array(leaves)[:, env], *plain[step : step + LENGTH]
            )
            np.testing.assert_array_equal(drawn_obs, stretch.obs)
            *worth, last = plain_n_step(stretch.reward, stretch.terminated, stretch.truncated, 0.9)
            np.testing.assert_allclose(value, [*worth, stretch.next_obs[last]], atol=1e-5)
    assert steps > 100 * ROWS


@pytest.mark.parametrize("name", ["dqn", "sac", "discrete_sac"])
def test_no_copy_of_the_buffer_in_the_loop(name):
    """Temporary memory of the compiled chunk does not grow with the capacity."""
    algorithm, env = small(name)

    def temporary(capacity):
        batch = batch_of([algorithm.replace(capacity=capacity)] * 4, env, range(4))
        algorithms, envs, state = start(batch)
        memory = advance.lower(algorithms, envs, state, 0, 10, 100).compile().memory_analysis()
        return memory.temp_size_in_bytes

    little, much = temporary(1_000), temporary(50_000)
    row = 4 * (2 * 4 * 4 + 4 * 4 + 2)  # bytes of a transition in four lanes, about
    assert much - little < 0.01 * row * 49_000


def equations(jaxpr):
    """Of a jaxpr and of all within it."""
    for eqn in jaxpr.eqns:
        yield eqn
        for inner in inner_jaxprs(eqn):
            yield from equations(inner)


@pytest.mark.parametrize("name", ["dqn", "sac", "discrete_sac"])
def test_no_branch_copies_the_buffer(name):
    """A `cond` would, of what it is given and gives; under vmap one on a lane's value becomes a `select_n`."""
    algorithm, env = small(name)
    algorithms, envs, keys, _ = batch_of([algorithm.replace(capacity=8_000)] * 2, env, range(2)).lanes(
        DEFAULT
    )
    state = jax.eval_shape(initialise, algorithms, envs, keys)

    def step(t, state):
        return jax.vmap(lambda a, e, s: a.step(e, s, t, 100))(algorithms, envs, state)

    found = [*equations(jax.make_jaxpr(step)(0, state).jaxpr)]
    branches = [eqn for eqn in found if eqn.primitive.name in ("cond", "select_n")]
    values = [var.aval.size for eqn in branches for var in (*eqn.invars, *eqn.outvars)]
    assert max(values) < min(leaf.size for leaf in jax.tree.leaves(state.replay))

    # Of the warm-up: t is the same in all lanes, so that a branch remains one and a count a number.
    conds = sum(eqn.primitive.name == "cond" for eqn in found)
    assert conds == (0 if name == "dqn" else 1)
    loops = [eqn for eqn in found if eqn.primitive.name == "while"]
    assert loops
    for loop in loops:
        assert all(var.aval.shape == () for eqn in loop.params["cond_jaxpr"].eqns for var in eqn.outvars)
