"""Wrappers beside the environments that they hold."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from envs import CartPole, FrozenLake, Garnet, GridWorld, Pendulum
from envs.wrappers import WRAPPERS, Masked, Randomised, Scheduled
from envs.wrappers.ranges import between
from jaxrl.environment import Wrapper, attach, check_contract, detach, shared, traced
from jaxrl.errors import InputError
from jaxrl.mdp.episode import Episode

SHORT, LONG = CartPole(pole_length=0.25), CartPole(pole_length=1.0, gravity=20.0)


@pytest.mark.parametrize(
    "env", [*WRAPPERS.values(), Randomised(env=FrozenLake(success_rate=0.2), high=FrozenLake())]
)
def test_every_wrapper_keeps_the_contract(env):
    env.validate()
    check_contract(env)


def test_a_wrapper_that_changes_nothing_is_the_environment():
    plain, wrapped = CartPole(), Wrapper(env=CartPole())
    ours, theirs = (Episode.start(env.arrays(), random.key(3)) for env in (wrapped, plain))
    for t in range(30):
        (ours, one), (theirs, two) = (
            episode.step(env.arrays(), random.key(t), jnp.int32(t % 2))
            for env, episode in ((wrapped, ours), (plain, theirs))
        )
        assert jax.tree.all(jax.tree.map(np.array_equal, one, two))
    assert wrapped.max_steps == plain.max_steps
    assert wrapped.title == "Wrapper(CartPole)"
    assert wrapped.solved_return == 475


def test_randomised_draws_each_constant_from_its_range_at_every_reset():
    env = Randomised(env=SHORT, high=LONG)
    drawn = jax.jit(jax.vmap(env.arrays().reset))(random.split(random.key(0), 4_096)).env
    lengths, gravities = np.asarray(drawn.pole_length), np.asarray(drawn.gravity)
    assert 0.25 <= lengths.min() < 0.26
    assert 0.99 < lengths.max() <= 1.0
    np.testing.assert_allclose(lengths.mean(), 0.625, atol=0.02)
    np.testing.assert_allclose(gravities.mean(), (9.8 + 20) / 2, atol=0.3)
    assert abs(np.corrcoef(lengths, gravities)[0, 1]) < 0.08
    assert (np.asarray(drawn.force) == 10).all()


def test_a_randomised_episode_keeps_the_constants_that_it_drew():
    env = Randomised(env=SHORT, high=LONG).arrays()
    state = env.reset(random.key(1))
    after, reward, _ = env.step(random.key(2), state, jnp.int32(1))
    same, _, _ = state.env.step(random.key(2), state.inner, jnp.int32(1))
    assert jax.tree.all(jax.tree.map(np.array_equal, after.inner, same))
    assert after.env.pole_length == state.env.pole_length
    assert reward == 1


def test_scheduled_moves_constants_linearly_and_then_keeps_them():
    env = Scheduled(env=SHORT, end=LONG, fraction=0.5).arrays()
    lengths = [float(env.at(jnp.int32(t), jnp.int32(100)).env.pole_length) for t in (0, 25, 50, 80, 100)]
    np.testing.assert_allclose(lengths, [0.25, 0.625, 1.0, 1.0, 1.0], rtol=1e-6)


def test_scheduled_integers_and_truth_values_keep_their_types():
    ends = {"env": FrozenLake(max_steps=10, is_slippery=False), "end": FrozenLake(max_steps=21)}
    halfway = Scheduled(**ends).arrays().at(jnp.int32(5), jnp.int32(10)).env
    assert halfway.max_steps == 16  # the middle of 10 to 21
    assert halfway.max_steps.dtype == jnp.int32
    assert halfway.is_slippery.dtype == jnp.bool_
    assert halfway.is_slippery


def test_each_integer_of_a_range_is_drawn_equally_often():
    low, high = (Garnet(seed=seed) for seed in (3, 6))
    shares = jnp.linspace(0.0, 1.0, 400, endpoint=False)
    seeds = jax.vmap(lambda share: between(low.arrays(), high.arrays(), share).seed)(shares)
    np.testing.assert_array_equal(np.bincount(seeds), [0, 0, 0, 100, 100, 100, 100])
    falling = jax.vmap(lambda share: between(high.arrays(), low.arrays(), share).seed)(shares)
    np.testing.assert_array_equal(falling, 9 - np.asarray(seeds))
    logarithmic = jax.vmap(lambda share: between(low.arrays(), high.arrays(), share, log=True).seed)(shares)
    assert {*np.asarray(logarithmic).tolist()} == {3, 4, 5, 6}
    assert np.sum(logarithmic == 3) > np.sum(logarithmic == 6)


def test_a_large_integer_that_is_not_drawn_stays_exact():
    env = Garnet(seed=123_456_789).arrays()
    assert int(between(env, env, jnp.float32(0.3)).seed) == 123_456_789


def test_masked_shows_the_entries_that_are_seen():
    env = Masked(env=CartPole(), seen=(2, 0)).arrays()
    state = env.reset(random.key(0))
    np.testing.assert_array_equal(env.observe(state), [state.theta, state.x])
    assert env.observation_space.shape == (2,)
    np.testing.assert_allclose(env.observation_space.high, [24 * np.pi / 180, 4.8], rtol=1e-6)


class Lookup(GridWorld):
    """A world whose rewards come from a table that all lanes share."""

    bonus: float = traced(0.0)
    table: Any = shared("rewards: [states]")

    def step(self, key, state, action):
        successor, _, terminated = super().step(key, state, action)
        return successor, self.table["reward"][successor] + self.bonus, terminated


TABLE = {"reward": np.arange(16, dtype=np.float32)}
ENDS = Lookup(table=TABLE), Lookup(table=TABLE, bonus=2.0)


@pytest.mark.parametrize("env", [Randomised(env=ENDS[0], high=ENDS[1]), Scheduled(env=ENDS[0], end=ENDS[1])])
def test_shared_arrays_are_neither_drawn_nor_carried(env):
    plain, arrays = detach(env.arrays())

    @jax.jit
    def play(arrays):
        world = attach(plain, arrays).at(jnp.int32(1), jnp.int32(2))
        state = world.reset(random.key(0))
        return state, world.step(random.key(1), state, jnp.int32(1))

    state, (_, reward, _) = play(arrays)
    assert sum(leaf.size for leaf in jax.tree.leaves(state)) < 16
    assert 4 <= float(reward) <= 6
    if isinstance(env, Scheduled):
        assert reward == 5


def test_a_curriculum_inside_of_a_range_moves_both_ends():
    low, high = (
        Scheduled(env=CartPole(pole_length=0.5), end=CartPole(pole_length=end)) for end in (1.0, 2.0)
    )
    last = Randomised(env=low, high=high).arrays().at(jnp.int32(9), jnp.int32(9))
    assert float(last.env.env.pole_length) == 1.0
    assert float(last.high.env.pole_length) == 2.0


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (Randomised(env=LONG, high=SHORT), "the range of gravity is upside down, from 20.0 to 9.8$"),
        (Randomised(env=CartPole(), high=Pendulum()), "needs two environments of one class"),
        (
            Randomised(env=GridWorld(), high=GridWorld(size=5)),
            "of one class, with equal fields that are not traced: GridWorld.size is 4 and 5$",
        ),
        (
            Randomised(env=CartPole(), high=CartPole(max_steps=600)),
            "max_steps must be the same in both, got 500 and 600$",
        ),
        (Scheduled(env=CartPole(), end=Pendulum()), "needs two environments of one class"),
        (Masked(env=GridWorld()), "^Masked needs flat observations; those of GridWorld are Discrete"),
        (
            Masked(env=CartPole(), seen=(4,)),
            r"^Masked.seen must be distinct indices in \[0, 3\], got \(4,\)$",
        ),
        (Masked(env=CartPole(), seen=()), r"got \(\)$"),
        (
            Randomised(env=CartPole(), high=CartPole(pole_length=-1.0)),
            "^CartPole.pole_length must be at least",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(env, message):
    with pytest.raises(InputError, match=message):
        env.validate()
