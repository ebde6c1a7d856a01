"""gymnax's environments beside themselves seen through our adapter, and ours through gymnax's."""

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces
from jax import lax, random

from envs import CartPole, FrozenLake, Pendulum
from envs.adapters import from_gymnax
from envs.adapters.from_gymnax import FromGymnax
from envs.adapters.to_gymnax import ToGymnax
from jaxrl import registry
from jaxrl.errors import InputError
from jaxrl.mdp.environment import check_contract
from jaxrl.mdp.episode import Episode
from jaxrl.mdp.spaces import Box, Discrete

LANES, STEPS = 4, 300
# All of gymnax's, but for one that downloads its images.
NAMES = sorted(set(gymnax.registered_envs) - {"MNISTBandit-bsuite"})
# Of each family one or two, and how episodes of random actions end at a limit of 30 steps; with integer
# rewards, integer and Discrete observations, and one observation that shows the limit.
GAMES = {
    "CartPole-v1": {"terminated", "truncated"},
    "Acrobot-v1": {"truncated"},
    "Pendulum-v1": {"truncated"},
    "Breakout-MinAtar": {"terminated", "truncated"},
    "Catch-bsuite": {"terminated"},
    "UmbrellaChain-bsuite": {"terminated"},
    "DiscountingChain-bsuite": {"truncated"},
    "FourRooms-misc": {"truncated"},
    "FrozenLake-misc": {"terminated", "truncated"},
}


def beside(env, theirs, params):
    """What our Episode and gymnax's own step give, from the same keys: two tuples of [STEPS, LANES] arrays."""

    def step(carry, key):
        episode, state = carry
        key_act, key_env = random.split(key)
        action = env.action_space.sample(key_act)
        episode, ours = episode.step(env, key_env, action)
        obs, state, reward, terminated, truncated, info = theirs.step(key_env, state, action, params)
        mine = ours.next_obs, episode.obs, ours.reward, ours.terminated, ours.truncated
        gymnaxes = info["final_observation"], obs, reward, terminated, truncated & ~terminated
        return (episode, state), (mine, gymnaxes)

    def lane(key):
        start = Episode.start(env, key), theirs.reset(key, params)[1]
        return lax.scan(step, start, random.split(key, STEPS))[1]

    return jax.device_get(jax.jit(jax.vmap(lane))(random.split(random.key(0), LANES)))


def assert_same(ours, theirs):
    """But for the rounding of real numbers, which depends on how XLA fuses either program."""
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_every_environment_keeps_our_contract(name):
    env = FromGymnax.from_name(name)
    env.validate()
    check_contract(env)
    assert env.max_steps == gymnax.make(name)[1].max_steps_in_episode
    assert env.solved_return is None


@pytest.mark.parametrize("name", GAMES)
def test_steps_like_gymnax(name):
    """A time limit is no termination."""
    env = FromGymnax.from_name(name).replace(max_steps=30)
    theirs, params = gymnax.make(name)
    ours, gymnaxes = beside(env, theirs, params.replace(max_steps_in_episode=30))
    assert_same(ours, gymnaxes)
    *_, terminated, truncated = ours
    assert {"terminated": terminated.any(), "truncated": truncated.any()} == {
        end: end in GAMES[name] for end in ("terminated", "truncated")
    }


def test_spaces_are_gymnaxes():
    breakout = FromGymnax.from_name("Breakout-MinAtar")
    assert breakout.observation_space == Box(0, 1, (10, 10, 4), np.dtype("float32"))
    assert breakout.action_space == Discrete(3)
    lake = FromGymnax.from_name("FrozenLake-misc")
    assert lake.observation_space == Discrete(16)
    rooms = FromGymnax.from_name("FourRooms-misc").observation_space
    assert rooms.dtype == np.int32  # though gymnax declares float32
    pole = FromGymnax.from_name("CartPole-v1").observation_space
    np.testing.assert_array_equal(
        pole.high, gymnax.make("CartPole-v1")[0].observation_space(gymnax.make("CartPole-v1")[1]).high
    )


def test_made_first_inside_a_trace():
    """What gymnax computes when it makes an environment must not belong to that trace."""
    from_gymnax._made.cache_clear()
    env = FromGymnax(name="Breakout-MinAtar")
    first = jax.jit(lambda key: env.observe(env.reset(key)))(random.key(0))
    second = jax.jit(lambda key: env.observe(env.step(key, env.reset(key), 1)[0]))(random.key(0))
    assert first.shape == second.shape == (10, 10, 4)


def test_unknown_names():
    with pytest.raises(
        InputError, match="unknown environment of gymnax 'Brekout-MinAtar': did you mean 'Breakout-MinAtar'"
    ):
        registry.environment("gymnax:Brekout-MinAtar")


def test_what_gymnax_cannot_download(monkeypatch):
    def offline(*_):
        raise OSError("no network")

    monkeypatch.setattr(gymnax, "make", offline)
    with pytest.raises(InputError, match="gymnax cannot make 'MNISTBandit-bsuite': no network"):
        registry.environment("gymnax:MNISTBandit-bsuite")


def test_spaces_we_do_not_have():
    with pytest.raises(InputError, match="observations of gymnax:X are a Dict, which is neither"):
        from_gymnax._translated("observations of gymnax:X", spaces.Dict({}), None)


# Ours through gymnax's adapter.


@pytest.mark.parametrize("env", [CartPole(max_steps=20), FrozenLake(max_steps=8), Pendulum(max_steps=20)])
def test_ours_steps_in_gymnax_as_in_an_episode(env):
    view = ToGymnax(env)
    ours, gymnaxes = beside(env.arrays(), view, view.default_params)
    assert_same(ours, gymnaxes)
    *_, terminated, truncated = ours
    assert truncated.any()
    assert terminated.any() or isinstance(env, Pendulum)


def test_terminated_wins_in_gymnax_too():
    """At a limit of one step, from a lake's start with holes all around."""
    view = ToGymnax(FrozenLake(rows=("SH", "HG"), is_slippery=False, max_steps=1))
    _, state = view.reset(random.key(0), view.default_params)
    _, after, _, terminated, truncated, info = view.step(random.key(1), state, 2, view.default_params)
    assert (bool(terminated), bool(truncated)) == (True, False)
    assert info["final_observation"] == 1
    assert info["discount"] == 0
    assert after.time == 0
    *_, terminated, truncated, info = view.step(random.key(1), state, 0, view.default_params)
    assert (bool(terminated), bool(truncated)) == (False, True)
    assert info["discount"] == 1


def test_our_constants_are_gymnaxes_parameters():
    """A batch of environments with other constants, of the start and of the step, in one compiled call."""

    def of(length):
        return CartPole(pole_length=length, reset_range=length / 10)

    def in_gymnax(key, params):
        obs, state = view.reset(key, params)
        return jnp.stack([obs, view.step(key, state, 1, params)[0]])

    def alone(env, key):
        start = Episode.start(env, key)
        return jnp.stack([start.obs, start.step(env, key, 1)[1].next_obs])

    key, view, lengths = random.key(0), ToGymnax(CartPole()), [0.25, 0.5, 1.0]
    params = jax.vmap(lambda length: view.default_params.replace(env=of(length)))(jnp.asarray(lengths))
    together = jax.vmap(in_gymnax, (None, 0))(key, params)
    np.testing.assert_allclose(together, [alone(of(length), key) for length in lengths], rtol=1e-5)


def test_spaces_in_gymnax():
    pole, lake, pendulum = ToGymnax(CartPole()), ToGymnax(FrozenLake()), ToGymnax(Pendulum())
    assert (pole.name, pole.num_actions, pendulum.num_actions) == ("CartPole", 2, 1)
    assert pole.default_params.max_steps_in_episode == 500
    assert lake.observation_space(lake.default_params).n == 16
    box = pole.observation_space(pole.default_params)
    np.testing.assert_allclose(box.high, CartPole().observation_space.high)
    assert pendulum.action_space().contains(pendulum.action_space().sample(random.key(0)))
