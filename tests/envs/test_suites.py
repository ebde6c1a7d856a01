"""Suites beside themselves seen through our adapters. Only those that are installed are tested."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax, random

from envs.adapters.brax_interface import BraxInterface, Simulator
from envs.adapters.from_brax import FromBrax
from envs.adapters.from_craftax import FromCraftax
from envs.adapters.from_jumanji import FromJumanji
from envs.adapters.from_navix import FromNavix
from envs.adapters.from_playground import FromPlayground
from envs.adapters.from_xminigrid import FromXMiniGrid
from envs.adapters.suite import made, strongly_typed
from jaxrl import registry, train
from jaxrl.algorithms import PPO
from jaxrl.errors import InputError
from jaxrl.mdp.environment import check_contract
from jaxrl.mdp.episode import Episode
from jaxrl.run.reproduce import verify

pytestmark = pytest.mark.filterwarnings("ignore")  # the suites use what their own libraries deprecate
LANES, STEPS = 16, 40


# What the suites' own environments do, as (reset, step): key -> state, and
# key, state, action -> (state, observation, reward, done, terminated). Where a suite does not tell whether an
# end is a termination, that is None.


def brax(name, limit):
    from brax import envs

    return episodes(envs.create(name, episode_length=limit, auto_reset=False))


def playground(name, limit):
    from brax.envs.wrappers.training import EpisodeWrapper
    from mujoco_playground import registry

    return episodes(EpisodeWrapper(registry.load(name, config_overrides={"impl": "jax"}), limit, 1))


def episodes(env):
    """Of an environment in brax's EpisodeWrapper."""

    def step(_, state, action):
        state = env.step(state, action)
        return state, state.obs, state.reward, state.done, state.done * (1 - state.info["truncation"])

    return env.reset, step


def craftax(name, limit):
    from craftax.craftax_env import make_craftax_env_from_name

    env = make_craftax_env_from_name(name, auto_reset=False)
    params = env.default_params.replace(max_timesteps=limit)

    def step(key, state, action):
        obs, state, reward, done, _ = env.step(key, state, action, params)
        return state, obs, reward, done, None

    return lambda key: env.reset(key, params)[1], step


def jumanji(name, limit):
    import jumanji

    env = jumanji.make(name, time_limit=limit)

    def flat(timestep):
        return jnp.concatenate([jnp.ravel(part) for part in jax.tree.leaves(timestep.observation)])

    def step(_, state, action):
        state, timestep = env.step(state, action)
        return state, flat(timestep), timestep.reward, timestep.last(), None

    return lambda key: env.reset(key)[0], step


def xminigrid(name, limit):
    import xminigrid

    env, params = xminigrid.make(name, max_steps=limit)

    def step(_, state, action):
        state = env.step(params, state, action)
        return state, state.observation, state.reward, state.last(), state.discount == 0

    return lambda key: env.reset(params, key), step


def navix(name, limit):
    import navix

    env = navix.make(name, max_steps=limit)

    def step(_, state, action):
        state = env.step(state, action)
        return state, state.observation, state.reward, state.is_done(), state.is_termination()

    return env.reset, step


# An id of each, its limit, a shorter one, and how episodes of random actions end at the shorter one.
IDS = [
    (FromBrax, brax, "inverted_pendulum", 1_000, 8, {"terminated", "truncated"}),
    (FromCraftax, craftax, "Craftax-Classic-Symbolic-v1", 10_000, 30, {"truncated"}),
    (FromJumanji, jumanji, "Snake-v1", 4_000, 30, {"terminated", "truncated"}),
    (FromXMiniGrid, xminigrid, "MiniGrid-EmptyRandom-5x5", 100, 30, {"terminated", "truncated"}),
    (FromPlayground, playground, "CartpoleBalance", 1_000, 30, {"truncated"}),
    (FromNavix, navix, "Navix-Empty-Random-5x5-v0", 100, 30, {"terminated", "truncated"}),
]
MODULES = {
    FromBrax: "brax.envs",
    FromCraftax: "craftax.craftax_env",
    FromJumanji: "jumanji",
    FromNavix: "navix",
    FromPlayground: "mujoco_playground",
    FromXMiniGrid: "xminigrid",
}
every_adapter = pytest.mark.parametrize("adapter", MODULES)
every_id = pytest.mark.parametrize(
    ("adapter", "own", "name", "limit", "short", "ends"), IDS, ids=[each[0].packages[0] for each in IDS]
)


def beside(env, reset, step):
    """What our Episode and a suite's own step give from the same keys: arrays [LANES, STEPS]."""

    def both(carry, key):
        episode, state = carry
        key_act, key_env = random.split(key)
        action = env.action_space.sample(key_act)
        episode, ours = episode.step(env, key_env, action)
        state, obs, reward, done, terminated = step(random.fold_in(key_env, 0), state, action)
        mine = ours.next_obs, ours.reward, ours.done, ours.terminated
        return (episode, strongly_typed(state)), (mine, (obs, reward, done, terminated))

    def lane(key):
        start = Episode.start(env, key), strongly_typed(reset(key))
        return lax.scan(both, start, random.split(key, STEPS))[1]

    return jax.device_get(jax.jit(jax.vmap(lane))(random.split(random.key(0), LANES)))


@every_id
def test_steps_like_the_suite_until_the_first_end(adapter, own, name, limit, short, ends):
    """The last observation included. A time limit is no termination."""
    pytest.importorskip(MODULES[adapter])
    env = adapter.from_name(name)
    env.validate()
    check_contract(env)
    assert env.max_steps == limit
    ours, theirs = beside(env.replace(max_steps=short), *own(name, short))
    done, terminated = ours[2], ours[3]
    until = np.cumsum(done, axis=1) - done == 0  # up to the first end
    for one, other in zip(ours, theirs, strict=True):
        if other is not None:
            np.testing.assert_allclose(
                one[until].astype(float), np.asarray(other)[until].astype(float), rtol=1e-4, atol=1e-5
            )
    assert {"terminated" if each else "truncated" for each in terminated[until & done]} == ends


@every_adapter
def test_unknown_names(adapter):
    pytest.importorskip(MODULES[adapter])
    name = adapter().name
    with pytest.raises(InputError, match=f"unknown environment of .*did you mean '{name}'"):
        adapter.from_name(f"{name}x")


@every_adapter
def test_a_suite_that_is_not_installed(adapter, monkeypatch):
    suite = adapter.packages[0]
    monkeypatch.setitem(sys.modules, MODULES[adapter], None)
    with pytest.raises(InputError, match=f"{suite}:NAME needs the package {suite}.*{suite}'?\\]'"):
        adapter.from_name("any")


def test_prefixes_are_packages():
    for prefix, adapter in registry.adapters().items():
        assert adapter(name="any").title == f"{prefix}:any"


def test_what_a_suite_cannot_make():
    def offline():
        raise OSError("no network")

    with pytest.raises(InputError, match="jumanji cannot make 'Sokoban-v0': no network"):
        made("jumanji", "Sokoban-v0", ["Sokoban-v0"], offline)


class Robot(BraxInterface):
    """Observed like one of Playground's."""

    packages = ("playground",)
    name = "Robot"

    def simulator(self):
        return Simulator(None, {"state": jnp.zeros(2), "privileged_state": jnp.zeros(3)})


def test_observations_in_parts_are_refused_by_name():
    with pytest.raises(
        InputError, match="observations of playground:Robot are a dict of state, privileged_st"
    ):
        _ = Robot().observation_space


def test_an_action_of_several_numbers_is_one_number():
    pytest.importorskip("jumanji")
    env = FromJumanji.from_name("Minesweeper-v0")
    assert env.action_space.n == 100
    state = env.reset(random.key(0))
    after, *_ = env.step(random.key(0), state, jnp.int32(23))
    assert np.argwhere(after.inner.board != state.inner.board).tolist() == [[2, 3]]


def test_what_jumanji_has_and_we_cannot_take():
    pytest.importorskip("jumanji")
    with pytest.raises(
        InputError, match=r"jumanji:JobShop-v0 are a MultiDiscrete of [\d,]+ combinations, and"
    ):
        _ = FromJumanji.from_name("JobShop-v0").action_space
    with pytest.raises(
        InputError, match=r"LevelBasedForaging-v0.step must return a reward of float32\[\], got"
    ):
        check_contract(FromJumanji.from_name("LevelBasedForaging-v0"))
    with pytest.warns(UserWarning, match="jumanji:MultiCVRP-v0 gives up after twice as many steps"):
        FromJumanji.from_name("MultiCVRP-v0")


def test_death_in_craftax_is_a_termination():
    pytest.importorskip("craftax")
    env = FromCraftax.from_name("Craftax-Classic-Symbolic-v1")

    @jax.jit
    def end(health):
        state = env.reset(random.key(0))
        weak = state.replace(inner=state.inner.replace(player_health=health))
        return env.step(random.key(1), weak, jnp.int32(0))[2]

    assert bool(end(jnp.int32(0)))
    assert not bool(end(jnp.int32(9)))


def test_a_suite_is_trained_and_verified(tmp_path):
    """Its states hold keys, which are saved too."""
    pytest.importorskip("xminigrid")
    env, algorithm = (
        FromXMiniGrid.from_name("MiniGrid-Empty-5x5"),
        PPO(num_envs=2, num_steps=8, minibatches=1),
    )
    results = train(algorithm, env, seeds=2, steps=64, out=tmp_path / "grid")
    *_, again = verify(results, 1)
    assert again.first is None
