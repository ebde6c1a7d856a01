"""Gymnasium's environments beside themselves seen through our adapter, and ours through Gymnasium's."""

import subprocess
import sys
import threading
import warnings
from importlib.util import find_spec

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import NormalizeObservation, RecordEpisodeStatistics
from jax import lax, random

from envs import CartPole, FrozenLake, Pendulum
from envs.adapters import from_gymnasium, gymnasium_host, gymnasium_processes
from envs.adapters.gymnasium_host import Host, spec_of
from envs.adapters.gymnasium_processes import hosts_of
from envs.adapters.to_gymnasium import ToGymnasium, ToGymnasiumVector
from jaxrl import load, registry, train
from jaxrl.algorithms import PPO, SAC, QLearning
from jaxrl.errors import InputError
from jaxrl.mdp.environment import check_contract
from jaxrl.mdp.episode import Episode
from jaxrl.mdp.spaces import Box, Discrete
from jaxrl.store.policy import Policy
from tests.compiled.test_devices import in_a_process_with_devices
from tests.test_docs import ROOT, blocks

LANES, STEPS = 3, 250

SMALLEST = PPO(num_envs=1, num_steps=4, minibatches=1)


LEVELS = gymnasium.spaces.Box(0, 2, (1,), np.int64)


class Counting(gymnasium.Env):
    """Adds up its actions, in one array that it keeps writing into; ahead and slower in every later episode.

    So does BipedalWalker-v3's physics remember earlier episodes, from its resets on.
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, truncates=False, space=None, actions=None):
        self.observation_space = space or gymnasium.spaces.Box(0, 100, (1,))
        self.action_space = actions or gymnasium.spaces.Discrete(3, start=5)
        self.truncates, self.total = truncates, np.zeros(1, np.float32)
        self.steps = self.worn = self.resets = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.total[:] = self.np_random.integers(10) + self.resets
        self.resets += 1
        self.worn = self.steps
        return self.observed(), {}

    def observed(self):
        if isinstance(self.observation_space, gymnasium.spaces.Discrete):
            return int(self.total[0]) - 3
        return self.total.astype(int) if self.observation_space.dtype == int else self.total

    def step(self, action):
        assert self.action_space.contains(action)
        self.total += action - min(self.worn, 3)
        self.steps += 1
        return self.observed(), 0.1, bool(self.total > 60), self.truncates, {}


@pytest.fixture(autouse=True, scope="module")
def counting():
    variants = {
        "Counting-v0": {},
        "Truncating-v0": {"truncates": True},
        "Offset-v0": {"space": gymnasium.spaces.Discrete(70, start=-3)},
        "Levels-v0": {"space": gymnasium.spaces.Box(0, 80, (1,), np.int64), "actions": LEVELS},
        "Wide-v0": {"space": gymnasium.spaces.Box(0, 1e300, (1,), np.float64)},
        "Pair-v0": {"space": gymnasium.spaces.Tuple([gymnasium.spaces.Discrete(2)])},
    }
    for name, options in variants.items():
        gymnasium.register(name, Counting, kwargs=options)
    gymnasium.register("Ours-v0", ToGymnasium, kwargs={"env": CartPole()})
    yield
    for name in (*variants, "Ours-v0"):
        del gymnasium.registry[name]


def adapted(name):
    """The environment of Gymnasium's `name`, without the warning, its host without what earlier tests left."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        env = registry.environment(f"gymnasium:{name}")
    hosts_of(name).here.running.clear()
    return env


def rollout(env):
    """Seeds and transitions of random play: [LANES, STEPS]."""

    def step(episode, key):
        key_act, key_env = random.split(key)
        following, transition = episode.step(env, key_env, env.action_space.sample(key_act))
        return following, (episode.state.seed, transition)

    def lane(key):
        return lax.scan(step, Episode.start(env, key), random.split(key, STEPS))[1]

    return jax.device_get(jax.jit(jax.vmap(lane))(random.split(random.key(0), LANES)))


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("CartPole-v1", {"terminated"}),
        ("FrozenLake-v1", {"terminated"}),
        ("Pendulum-v1", {"truncated"}),
        ("Counting-v0", {"terminated"}),
    ],
)
def test_steps_like_gymnasium(name, ends):
    """Gymnasium, time limit included, from the same seeds and with the same actions."""
    env = adapted(name)
    check_contract(env)
    seeds, ours = rollout(env)
    seen = set()
    for lane in range(LANES):
        begins = True
        for i in range(STEPS):
            at = jax.tree.map(lambda leaf, at=(lane, i): leaf[at], ours)
            if begins:
                twin = gymnasium.make(name)
                start = getattr(twin.action_space, "start", None)
                obs, _ = twin.reset(seed=int(seeds[lane, i]))
                np.testing.assert_array_equal(at.obs, np.asarray(obs, at.obs.dtype))
            obs, reward, terminated, truncated, _ = twin.step(
                at.action if start is None else int(at.action + start)
            )
            np.testing.assert_array_equal(at.next_obs, np.asarray(obs, at.obs.dtype))
            assert at.reward == np.float32(reward)
            assert (at.terminated, at.truncated) == (terminated, truncated)
            seen |= {end for end in ("terminated", "truncated") if getattr(at, end)}
            begins = terminated or truncated
    assert seen == ends


@pytest.mark.parametrize("name", ["FrozenLake-v1", "CartPole-v1"])
def test_a_state_alone_brings_the_environment_back(name):
    """Bit for bit, whatever instances are still there; FrozenLake draws at every step."""
    env = adapted(name)
    step = jax.jit(jax.vmap(lambda state, action: env.step(random.key(0), state, action)))
    state = jax.vmap(env.reset)(random.split(random.key(1), 4))
    for action in (0, 1, 0, 1, 1):
        before, (state, *outcome) = state, step(state, jnp.full(4, action))
    hosts_of(name).here.running.clear()
    again = step(before, jnp.full(4, action))
    jax.tree.map(np.testing.assert_array_equal, again, (state, *outcome))


def test_lanes_of_one_seed_part_where_their_actions_do():
    """As in a study of two settings: the same seed, at first the same actions."""
    env = adapted("CartPole-v1")
    keys = jnp.stack([random.key(3)] * 3)
    state, twins = jax.vmap(env.reset)(keys), [gymnasium.make("CartPole-v1") for _ in range(3)]
    for twin in twins:
        twin.reset(seed=int(state.seed[0]))
    for actions in [(0, 0, 0), (1, 1, 1), (0, 1, 0), (1, 1, 1), (0, 0, 1), (1, 0, 0)]:
        state, _, _ = jax.jit(jax.vmap(env.step))(keys, state, jnp.asarray(actions))
        theirs = [twin.step(action)[0] for twin, action in zip(twins, actions, strict=True)]
        np.testing.assert_array_equal(state.obs, theirs)


def host_of(name):
    return Host(name, spec_of(name))


def row(seed, count, *actions):
    """The arguments of a step for one episode; the last of the actions is the next one."""
    return np.array([seed], np.uint32), np.array([count], np.uint32), np.array([actions], np.int32)


def test_few_instances_serve_many_episodes():
    """Seven episodes in turn and two instances: each step goes through its episode's whole past."""
    host, twins = host_of("FrozenLake-v1"), [gymnasium.make("FrozenLake-v1") for _ in range(7)]
    rng = np.random.default_rng(0)
    pasts = [[] for _ in twins]
    running = dict.fromkeys(range(7))
    for seed, twin in enumerate(twins):
        assert host.first(*row(seed, 0)[:2])[0] == twin.reset(seed=seed)[0]
    for count in range(20):
        for seed in list(running):
            pasts[seed].append(rng.integers(4))
            obs, reward, terminated = host.step(*row(seed, count, *pasts[seed]), limit=100)
            assert (obs, reward, terminated) == twins[seed].step(pasts[seed][-1])[:3]
            if terminated:
                del running[seed]
        assert len(host.running) <= 2
    assert len(running) < 7


def test_a_step_that_is_asked_for_again_costs_nothing(monkeypatch):
    """Lanes that wait for their neighbours in an evaluation do that."""
    host, calls = host_of("CartPole-v1"), []
    step_instance = host._step_instance
    monkeypatch.setattr(host, "_step_instance", lambda *args: calls.append(1) or step_instance(*args))
    first, again = (host.step(*row(0, 1, 1, 1), limit=3) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert len(calls) == 2  # the past's one action, and the step


def test_a_first_observation_comes_from_the_instance_that_serves_the_episode(monkeypatch):
    """One is made for each episode, none for a reset that is thrown away."""
    made, make = [], gymnasium_host.made
    host = host_of("Counting-v0")
    monkeypatch.setattr(gymnasium_host, "made", lambda spec: made.append(make(spec)) or made[-1])
    seeds, none = np.arange(3, dtype=np.uint32), np.zeros(3, np.uint32)
    starts = [gymnasium.make("Counting-v0").reset(seed=seed)[0].copy() for seed in range(3)]
    np.testing.assert_array_equal(*host.first(seeds, none), starts)
    np.testing.assert_array_equal(*host.first(seeds, none), starts)
    assert not host.first(seeds, none + 1)[0].any()
    obs, *_ = host.step(seeds, none, np.zeros((3, 9), np.int32), limit=9)
    np.testing.assert_array_equal(obs, np.array(starts) + 5)
    assert len(made) == 3


def test_the_first_observation_is_asked_for_where_a_copy_begins(monkeypatch):
    env, calls = adapted("CartPole-v1"), []
    first = hosts_of("CartPole-v1").first
    monkeypatch.setattr(hosts_of("CartPole-v1"), "first", lambda numbers: calls.append(1) or first(numbers))
    state = jax.vmap(env.reset)(random.split(random.key(0), 6)).replace(obs=jnp.ones((6, 4)))
    observe = jax.jit(lambda state: jax.vmap(jax.vmap(env.observe))(jax.tree.map(pairs, state)))
    assert (observe(state.replace(count=jnp.full(6, 3))) == 1).all()
    assert not calls
    mixed = observe(state.replace(count=jnp.arange(6)))
    assert (mixed == 1).all(axis=2).tolist() == [[False, True], [True, True], [True, True]]
    assert len(calls) == 1


def pairs(leaf):
    return leaf.reshape(3, 2, *leaf.shape[1:])


@pytest.fixture
def shared():
    """Makes the hosts of an environment share every batch with one process."""
    chosen = []

    def share(name):
        chosen.append(hosts_of(name))
        chosen[-1].most, chosen[-1].seconds = 2, [1.0] * gymnasium_processes.TIMED_STEPS

    yield share
    for hosts in chosen:
        hosts.end_processes()
    hosts_of.cache_clear()


def test_a_process_of_its_own_changes_no_bit(shared):
    """It also takes over in the middle of episodes. Its instances are those of the second half of the lanes."""
    env = adapted("CartPole-v1")
    alone = rollout(env)
    shared("CartPole-v1")
    jax.tree.map(np.testing.assert_array_equal, rollout(adapted("CartPole-v1")), alone)
    (process,) = hosts_of("CartPole-v1").processes
    state = jax.vmap(env.reset)(random.split(random.key(1), 2))
    step = jax.jit(jax.vmap(lambda state: env.step(random.key(0), state, 1)))
    hosts_of("CartPole-v1").most = 1
    before, *_ = step(state)
    first = step(before)
    hosts_of("CartPole-v1").most = 2
    jax.tree.map(np.testing.assert_array_equal, step(before), first)
    process.process.kill()
    with pytest.raises(ValueError, match="stepped gymnasium:CartPole-v1 ended with exit code -9"):
        jax.block_until_ready(step(before))
    jax.tree.map(np.testing.assert_array_equal, step(before), first)


def test_what_an_environment_raises_in_another_process_is_the_same_sentence():
    process = gymnasium_processes.HostProcess("Truncating-v0", spec_of("Truncating-v0"), 1)
    process.ask("step", [*row(0, 0, 1)], {"limit": 9})
    with pytest.raises(InputError, match=r"^gymnasium:Truncating-v0 truncates .* its only time limit$"):
        process.answer()
    process.end()


def test_an_environment_that_cannot_travel_stays_in_one_process(shared):
    lock = threading.Lock()
    gymnasium.register("Locked-v0", lambda: lock and Counting())
    env = adapted("Locked-v0")
    shared("Locked-v0")
    with pytest.warns(UserWarning, match="gymnasium:Locked-v0 is stepped in one process: cannot pickle"):
        jax.jit(jax.vmap(env.step))(*random_steps(env))
    assert not hosts_of("Locked-v0").processes
    del gymnasium.registry["Locked-v0"]


def random_steps(env):
    keys = random.split(random.key(0), 2)
    return keys, jax.vmap(env.reset)(keys), jnp.zeros(2, int)


def test_numbers_near_0_stay_what_they_are_in_gymnasium(monkeypatch):
    """Although XLA makes its threads round denormal numbers to 0."""
    tiny = np.float32(1e-40)
    monkeypatch.setattr(Counting, "observed", lambda self: np.full(1, tiny) * np.float32(1 + self.steps))
    env = adapted("Counting-v0")
    state, *_ = jax.jit(env.step)(random.key(0), env.reset(random.key(0)), 0)
    assert np.asarray(state.obs) == tiny * np.float32(2) > 0


def test_large_arguments_on_two_devices():
    """Two batches at once, each of whose callbacks is given the actions so far, 128 KB."""
    code = (
        "from jaxrl import registry, train; from jaxrl.algorithms import QLearning;"
        "env = registry.environment('gymnasium:FrozenLake-v1').replace(max_steps=1_000);"
        "train(QLearning(), env, seeds=64, steps=40, evaluate_every=40, evaluation_episodes=1, width=32)"
    )
    assert "2 batches of width 32, 2 at a time" in in_a_process_with_devices(2, code)


def test_beyond_the_time_limit():
    with pytest.raises(RuntimeError, match="gymnasium:CartPole-v1 was stepped beyond its max_steps, 2"):
        host_of("CartPole-v1").step(*row(0, 2, 0, 0, 1), limit=2)


@pytest.mark.timeout(120)
def test_ppo_trains_in_gymnasium_and_again(tmp_path):
    """The second time from another state of the host; then by name from the manifest."""
    agent = PPO(num_envs=2, num_steps=16).replace(**{"network.hidden": (8, 8)})
    options = {"seeds": 2, "steps": 128, "evaluate_every": 64, "evaluation_episodes": 3}
    results = train(agent, adapted("CartPole-v1"), out=tmp_path / "first", **options)
    second = train(agent, adapted("CartPole-v1"), **options)
    assert results.curves.equals(second.curves)
    assert np.isfinite(results.final()).all()
    assert results.manifest["study"]["environments"][0]["name"] == "gymnasium:CartPole-v1"
    policy = load(tmp_path / "first").policy(run=1)
    assert policy.predict(np.zeros(4, np.float32))[0] in (0, 1)


def test_spaces_and_limit_are_gymnasiums():
    pole = adapted("CartPole-v1")
    assert (pole.max_steps, pole.solved_return) == (500, None)
    assert pole.action_space == Discrete(2)
    np.testing.assert_array_equal(
        pole.observation_space.high, gymnasium.make("CartPole-v1").observation_space.high
    )
    lake = adapted("FrozenLake-v1")
    assert (lake.max_steps, lake.observation_space, lake.action_space) == (100, Discrete(16), Discrete(4))
    wide = adapted("Wide-v0")
    check_contract(wide)
    assert wide.max_steps == 1_000
    assert isinstance(wide.observation_space, Box)
    assert wide.observation_space.dtype == np.float32
    assert wide.observation_space.high == np.inf  # 1e300
    assert wide.observe(wide.reset(random.key(0))).dtype == np.float32


def test_a_policy_speaks_the_environments_own_numbers():
    """In jaxrl they count from 0; Gymnasium's actions are 5, 6 and 7, its observations -3 to 66."""
    env = adapted("Offset-v0")
    assert (env.observation_space, env.action_space) == (Discrete(70, start=-3), Discrete(3, start=5))
    state = jax.eval_shape(QLearning().init, env, random.key(0))
    state = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), state)
    prefers = np.eye(3, dtype=np.float32)[np.arange(70) % 3][None]
    policy = Policy(QLearning(), env, state.replace(q=prefers))
    assert [policy.predict(obs)[0].item() for obs in (-3, -2, -1, 66)] == [5, 6, 7, 5]
    assert policy.predict([-3, 1])[0].tolist() == [5, 6]
    assert policy.predict(-3, deterministic=False)[0].dtype == np.int32
    with pytest.raises(InputError, match=r"^observation must be in \[-3, 66\], got 67$"):
        policy.predict(67)
    action, _ = jax.jit(policy.act)((), jnp.int32(2), random.key(0))
    assert action == 2
    after, *_ = env.step(random.key(0), env.reset(random.key(0)), 2)
    theirs = gymnasium.make("Offset-v0")
    theirs.reset(seed=int(after.seed))
    assert theirs.step(7)[0] == env.observe(after) - 3
    theirs = gymnasium.make("Offset-v0")
    obs, _ = theirs.reset(seed=0)
    for _ in range(5):
        obs, *_ = theirs.step(policy.predict(obs)[0].item())


def test_whole_numbers_of_a_box_are_drawn_up_to_the_last():
    """By the space itself and by PPO, whose normal draws are rounded; a policy gives whole numbers."""
    env = adapted("Levels-v0")
    assert env.action_space.dtype == np.int32
    drawn = jax.vmap(env.action_space.sample)(random.split(random.key(0), 200))
    assert {*np.unique(drawn).tolist()} == {0, 1, 2}
    agent = PPO(num_envs=2, num_steps=16, minibatches=1).replace(**{"network.hidden": (8,)})
    results = train(agent, env, seeds=1, steps=32, evaluate_every=32, evaluation_episodes=1)
    policy = results.policy(0)
    actions = policy.predict(np.zeros((100, 1), int), deterministic=False)[0]
    assert actions.dtype == np.int32
    assert {*np.unique(actions).tolist()} == {0, 1, 2}
    with pytest.raises(InputError, match="SAC needs actions of real numbers"):
        SAC().validate_for(env)


def test_an_environment_that_truncates_by_itself():
    env = adapted("Truncating-v0")
    state = env.reset(random.key(0))
    with pytest.raises(
        jax.errors.JaxRuntimeError, match="gymnasium:Truncating-v0 truncates episodes by itself"
    ):
        jax.block_until_ready(jax.jit(env.step)(random.key(0), state, 0))
    with pytest.raises(InputError, match=r"^gymnasium:Truncating-v0 truncates .* its only time limit$"):
        train(SMALLEST, env, seeds=1, steps=4, evaluation_episodes=1)


def raising(method):
    raise FileNotFoundError(f"of {method}\nand more")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"step": lambda *_: raising("step")},
            r"\.step raised FileNotFoundError: of step \(.*test_gymna.*, line \d+\)",
        ),
        (
            {"reset": lambda *_, **__: raising("reset")},
            r"\.reset raised FileNotFoundError: of reset \(.*, line \d+\)",
        ),
        (
            {"step": lambda *_: (np.zeros(1), 1.0, False, {})},
            r"\.step must return \(observation, reward, .*, got \(arr",
        ),
        (
            {"reset": lambda *_, **__: np.zeros(1)},
            r"\.reset must return \(observation, info\), got array\(\[0",
        ),
        (
            {"step": lambda *_: (np.zeros(1), None, False, False, {})},
            r"\.step must return one number as reward, got No",
        ),
        (
            {"step": lambda *_: (np.zeros(2), 1.0, False, False, {})},
            r" must return observations of shape \(1,\), got \(2",
        ),
        (
            {"reset": lambda *_, **__: (np.zeros((1, 1)), {})},
            r" must return observations of shape \(1,\), got \(1, 1",
        ),
    ],
)
def test_an_environment_that_breaks_gymnasiums_contract_is_one_sentence(
    changes, sentence, monkeypatch, capsys
):
    for name, method in changes.items():
        monkeypatch.setattr(Counting, name, method)
    hosts_of.cache_clear()
    with pytest.raises(InputError, match=f"^gymnasium:Counting-v0{sentence}"):
        train(SMALLEST, adapted("Counting-v0"), seeds=1, steps=4, evaluation_episodes=1)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("reward", [1, True, np.float64(1), np.ones(1), np.int8(1)])
def test_rewards_of_any_kind_of_number_are_taken(reward, monkeypatch):
    monkeypatch.setattr(Counting, "step", lambda *_: (np.zeros(1), reward, False, False, {}))
    env = adapted("Counting-v0")
    assert env.step(random.key(0), env.reset(random.key(0)), 0)[1] == 1


def test_it_says_once_that_it_is_slow():
    from_gymnasium._say_slow.cache_clear()
    with pytest.warns(UserWarning, match="gymnasium:FrozenLake-v1 is stepped in Python"):
        registry.environment("gymnasium:FrozenLake-v1")
    registry.environment("gymnasium:FrozenLake-v1")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("CartPle-v1", "unknown environment of Gymnasium 'CartPle-v1': did you mean 'CartPole-v1'?"),
        ("CartPole-v7", "unknown environment of Gymnasium 'CartPole-v7': did you mean 'CartPole-v1'?"),
        ("a b", "Gymnasium cannot make 'a b': Malformed environment ID"),
        ("nowhere:A-v0", "Gymnasium cannot make 'nowhere:A-v0': No module named 'nowhere'"),
        ("phys2d/CartPole-v1", "gymnasium:phys2d/CartPole-v1 calls jax"),
        ("Ours-v0", "gymnasium:Ours-v0 calls jax, which inside a callback of jax can block for ever"),
        pytest.param(
            "ALE/Pong-v5",
            "'ALE/Pong-v5': Namespace ALE not found. Have you installed the proper package for ALE?",
            marks=pytest.mark.skipif(find_spec("ale_py") is not None, reason="Atari is installed"),
        ),
        pytest.param(
            "LunarLander-v3",
            'pip install "gymnasium[box2d]"',
            marks=pytest.mark.skipif(find_spec("Box2D") is not None, reason="Box2D is installed"),
        ),
    ],
)
def test_what_gymnasium_cannot_make(name, sentence):
    with pytest.raises(InputError) as error:
        registry.environment(f"gymnasium:{name}")
    assert sentence in str(error.value)


def test_without_gymnasium(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(InputError, match=r"gymnasium:Any-v0 needs Gymnasium: pip install gymnasium"):
        registry.environment("gymnasium:Any-v0")


def test_spaces_we_do_not_have():
    with pytest.raises(InputError, match="observations of gymnasium:Pair-v0 are a Tuple, which is neither"):
        check_contract(adapted("Pair-v0"))


# Ours through Gymnasium's adapter.


@pytest.mark.parametrize("name", sorted(registry.environments()))
@pytest.mark.filterwarnings(
    "ignore:.*A Box .* space:UserWarning", "ignore:.*For Box action spaces:UserWarning"
)
def test_gymnasium_finds_nothing_to_complain_of(name):
    """Registered, since it checks less of an environment that is not."""
    env = registry.environment(name)
    check_env(gymnasium.make("Ours-v0", env=env, render_mode="rgb_array").unwrapped)


def test_our_steps_in_gymnasium():
    """A deterministic walk to the goal, one that the limit cuts, and one where both come at once."""
    lake = FrozenLake(rows=("SFF", "HHG"), is_slippery=False, max_steps=3)
    for actions, ends in [((2, 2, 1), (True, False)), ((0, 0, 0), (False, True)), ((2, 1), (True, False))]:
        env = ToGymnasium(lake)
        assert env.reset(seed=0) == (0, {})
        *path, last = [env.step(action) for action in actions]
        assert all(not (terminated or truncated) for _, _, terminated, truncated, _ in path)
        obs, reward, *ended, info = last
        assert (tuple(ended), info) == (ends, {})
        assert reward == (1.0 if actions == (2, 2, 1) else 0.0)
        assert isinstance(obs, np.int64)
        assert type(reward) is float
        assert {type(end) for end in ended} == {bool}


def played(env, seed, resets=3):
    """The observations of some episodes of ten steps, only the first of them seeded."""
    observations = []
    for i in range(resets):
        observations.append(env.reset(seed=seed if i == 0 else None)[0])
        observations += [env.step(1)[0] for _ in range(10)]
    return np.array(observations)


def test_seeds_in_gymnasium():
    env = ToGymnasium(CartPole())
    first, again, other = played(env, 1), played(env, 1), played(env, 2)
    np.testing.assert_array_equal(first, again)
    assert not np.any(first[0] == other[0])
    assert not np.any(first[0] == first[11])  # the second episode starts elsewhere
    unseeded = [ToGymnasium(CartPole()).reset()[0] for _ in range(2)]
    assert not np.any(unseeded[0] == unseeded[1])


@pytest.mark.parametrize(
    "mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP], ids=lambda mode: mode.name
)
@pytest.mark.parametrize("env", [CartPole(max_steps=15), FrozenLake(max_steps=7), Pendulum(max_steps=20)])
def test_a_vector_does_what_its_copies_would_do(env, mode):
    """Gymnasium's own vector of our single environments, step by step, and again without and with other seeds."""
    copies = 5
    ours = ToGymnasiumVector(env, copies, autoreset_mode=mode)
    theirs = SyncVectorEnv([lambda: ToGymnasium(env)] * copies, autoreset_mode=mode)
    assert ours.metadata["autoreset_mode"] == theirs.metadata["autoreset_mode"]
    for space in ("observation_space", "action_space", "single_observation_space", "single_action_space"):
        assert getattr(ours, space) == getattr(theirs, space)
    ours.action_space.seed(0)
    seen = set()
    for seed in (7, None, [3, 4, None, 4, 9]):
        same(ours.reset(seed=seed), theirs.reset(seed=seed))
        for _ in range(60):
            actions = ours.action_space.sample()
            mine = ours.step(actions)
            same(mine, theirs.step(actions))
            assert mine[0] in ours.observation_space
            seen |= {
                name
                for name, ended in zip(("terminated", "truncated"), mine[2:4], strict=True)
                if ended.any()
            }
    assert "truncated" in seen
    assert "terminated" in seen or isinstance(env, Pendulum)


def same(ours, theirs):
    """Equal in structure, types and numbers, but for the rounding of another program."""
    if isinstance(theirs, np.ndarray) and theirs.dtype != object:
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    elif isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        same(tuple(ours.values()), tuple(theirs.values()))
    elif isinstance(theirs, tuple | np.ndarray):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            same(one, other)
    else:
        assert type(ours) is type(theirs)
        assert ours is theirs or ours == theirs


def test_wrappers_of_gymnasium_normalise_our_vector():
    """They need a reset in the next step."""
    env = ToGymnasiumVector(CartPole(max_steps=5), 4, autoreset_mode=AutoresetMode.NEXT_STEP)
    env = NormalizeObservation(RecordEpisodeStatistics(env))
    obs, _ = env.reset(seed=0)
    lengths = []
    for _ in range(40):
        obs, *_, infos = env.step(np.zeros(4, int))
        lengths += infos["episode"]["l"][infos["_episode"]].tolist() if "episode" in infos else []
    assert np.abs(obs).max() < 10
    assert {*lengths} == {5}


def in_a_fresh_process(code):
    """What it prints."""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_spaces_do_not_start_jax():
    """Or a process that is forked afterwards would hang."""
    code = """
from jax._src.xla_bridge import backends_are_initialized as started
import envs
from envs.adapters.to_gymnasium import ToGymnasium, ToGymnasiumVector
from envs.adapters.from_gymnasium import FromGymnasium
from envs.wrappers import WRAPPERS
assert not started(), "import"
for name, env in (envs.ENVIRONMENTS | WRAPPERS | {"gymnasium": FromGymnasium()}).items():
    env.validate()
    env.observation_space, env.action_space, env.solved_return, env.max_steps
    assert not started(), name
    if name != "gymnasium":
        ToGymnasium(env), ToGymnasiumVector(env, 2)
    assert not started(), name
"""
    in_a_fresh_process(code)


def test_copies_in_forked_processes():
    code = """
import numpy as np
from gymnasium.vector import AsyncVectorEnv
from envs import CartPole
from envs.adapters.to_gymnasium import ToGymnasium
env = AsyncVectorEnv([lambda: ToGymnasium(CartPole())] * 2, context="fork")
env.reset(seed=0)
print(env.step(np.array([0, 1]))[1].tolist())
env.close()
"""
    assert in_a_fresh_process(code) == "[1.0, 1.0]\n"


def test_pictures_in_gymnasium():
    env = ToGymnasium(CartPole(), render_mode="rgb_array")
    env.reset(seed=0)
    before = env.render()
    for _ in range(5):
        env.step(1)
    assert before.shape == (400, 600, 3)
    assert (env.render() != before).any()
    vector = ToGymnasiumVector(FrozenLake(), 2, render_mode="rgb_array")
    vector.reset(seed=0)
    frames = vector.render()
    assert len(frames) == 2
    np.testing.assert_array_equal(frames[0], FrozenLake().render(0))
    silent = ToGymnasium(CartPole())
    silent.reset()
    assert silent.render() is None


@pytest.mark.parametrize(
    ("misuse", "sentence"),
    [
        (lambda: ToGymnasium(CartPole(), render_mode="human"), "unknown render mode 'human'"),
        (lambda: ToGymnasium(CartPole(pole_length=-1.0)), "CartPole.pole_length must be at least"),
        (lambda: ToGymnasiumVector(CartPole(), 0), "num_envs must be at least 1, got 0"),
        (
            lambda: ToGymnasiumVector(CartPole(), 2, autoreset_mode=AutoresetMode.DISABLED),
            "autoreset_mode must be AutoresetMode.SAME_STEP or NEXT_STEP, got AutoresetMode.DISABLED",
        ),
        (
            lambda: ToGymnasiumVector(CartPole(), 2).reset(seed=[1, 2, 3]),
            "seed must be one number or one for each of 2 copies, got",
        ),
        (lambda: ToGymnasium(CartPole()).step(0), "CartPole must be reset before its first step"),
        (
            lambda: ToGymnasiumVector(CartPole(), 2).step([0, 0]),
            "CartPole must be reset before its first step",
        ),
    ],
)
def test_misuse_in_gymnasium(misuse, sentence):
    with pytest.raises(InputError, match=sentence):
        misuse()


def test_actions_that_do_not_exist():
    env, vector = ToGymnasium(CartPole()), ToGymnasiumVector(CartPole(), 2)
    env.reset()
    vector.reset()
    with pytest.raises(InputError, match=r"action must be in Discrete\(2\), got 2"):
        env.step(2)
    with pytest.raises(InputError, match=r"action must be in MultiDiscrete\(\[2 2\]\), got \[0 2\]"):
        vector.step(np.array([0, 2]))


@pytest.mark.parametrize("torque", [0.5, [[0.5]], [0.5, 0.5], ["left"], [None], [1j], [np.nan]], ids=str)
def test_actions_that_are_no_array_of_the_space(torque):
    env, vector = ToGymnasium(Pendulum()), ToGymnasiumVector(Pendulum(), 2)
    env.reset()
    vector.reset()
    with pytest.raises(InputError) as error:
        env.step(torque)
    assert str(error.value) == f"action must be numbers of shape (1,), got {torque!r}"
    with pytest.raises(InputError, match=r"^action must be numbers of shape \(2, 1\), got "):
        vector.step([torque, [0.5]])


class Steps(Pendulum):
    """Its action is a whole number."""

    @property
    def action_space(self):
        return Box(-2, 2, (1,), jnp.int32)


def test_a_real_number_is_no_whole_action():
    env = ToGymnasium(Steps())
    env.reset(seed=0)
    env.step([1])
    with pytest.raises(InputError, match=r"^action must be integers of shape \(1,\), got \[0.7\]$"):
        env.step([0.7])


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.filterwarnings("default")  # whatever Stable-Baselines3 and PyTorch say
def test_stable_baselines_learns_to_balance_our_pole():
    """As the README's own lines make it."""
    pytest.importorskip("stable_baselines3")
    from stable_baselines3.common.evaluation import evaluate_policy

    (block,) = [
        block for block in blocks(ROOT / "docs" / "environments.md", "py") if "stable_baselines3" in block
    ]
    namespace = {}
    exec(block, namespace)
    agent = namespace["agent"]
    mean, _ = evaluate_policy(agent, agent.get_env(), n_eval_episodes=20)
    assert mean >= CartPole().solved_return
