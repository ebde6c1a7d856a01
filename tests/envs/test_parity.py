"""The other worlds beside their Gymnasium twins: from the same states, with the same actions."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax, random

from benchmarks.environments import gymnasium_id
from envs import ENVIRONMENTS, Acrobot, CliffWalking, MountainCar, MountainCarContinuous, Pendulum, Taxi
from envs.control.acrobot import sine_and_cosine
from envs.tabular import enumerate_mdp, finite_horizon
from jaxrl.mdp.episode import Episode
from jaxrl.mdp.spaces import Box

TRANSITIONS = 10_000
CLASSIC = {
    "Acrobot-v1": Acrobot(),
    "MountainCar-v0": MountainCar(),
    "MountainCarContinuous-v0": MountainCarContinuous(),
    "Pendulum-v1": Pendulum(),
}


def twin_of(name):
    return gymnasium.make(gymnasium_id(name))


def rollout(env, key):
    """States (leaves [T]), actions and what followed, under random actions and with resets. [T, ...]"""

    def step(episode, key):
        key_act, key_env = random.split(key)
        action = env.action_space.sample(key_act)
        if isinstance(env.action_space, Box):
            action = 1.2 * action  # beyond the bounds too, where the environment clips
        following, transition = episode.step(env, key_env, action)
        return following, (episode.state, transition)

    _, steps = lax.scan(step, Episode.start(env, key), random.split(key, TRANSITIONS))
    return jax.device_get(steps)


@pytest.mark.parametrize("name", CLASSIC)
def test_classic_control_steps_like_gymnasium(name):
    env, twin = CLASSIC[name], twin_of(name).unwrapped
    states, ours = rollout(env.replace(max_steps=150), random.key(0))
    before = np.stack(jax.tree.leaves(states), axis=1).astype(np.float64)
    rewards, terminated, observations = [], [], []
    for state, action in zip(before, ours.action, strict=True):
        twin.state = state.copy()
        obs, reward, end, _, _ = twin.step(action if action.ndim else int(action))
        rewards.append(reward)
        terminated.append(end)
        observations.append(obs)
    np.testing.assert_allclose(ours.next_obs, observations, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours.reward, rewards, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(ours.terminated, terminated)
    assert ours.truncated.any()


@pytest.mark.parametrize("name", ["MountainCar-v0", "MountainCarContinuous-v0"])
def test_cars_near_the_goal_and_the_wall_like_gymnasium(name):
    """Random actions never get there."""
    env, twin = CLASSIC[name], twin_of(name).unwrapped
    rng = np.random.default_rng(0)
    low, high = np.asarray(env.observation_space.low), np.asarray(env.observation_space.high)
    states = rng.uniform(low, high, (2_000, 2)).astype(np.float32)
    actions = rng.integers(3, size=2_000) if name == "MountainCar-v0" else rng.uniform(-1, 1, (2_000, 1))
    actions = actions if actions.ndim == 1 else actions.astype(np.float32)
    state_class = type(env.reset(random.key(0)))

    def step(state, action):
        state, reward, terminated = env.step(random.key(0), state_class(*state), action)
        return env.observe(state), reward, terminated

    next_obs, rewards, terminated = jax.device_get(jax.vmap(step)(states, actions))
    for i, (state, action) in enumerate(zip(states.astype(np.float64), actions, strict=True)):
        twin.state = state
        obs, reward, end, _, _ = twin.step(action)
        np.testing.assert_allclose(next_obs[i], obs, rtol=1e-5, atol=1e-6)
        assert rewards[i] == pytest.approx(reward, abs=1e-5)
        assert terminated[i] == end
    assert 0 < terminated.mean() < 1


@pytest.mark.parametrize("name", ["Acrobot-v1", "Pendulum-v1"])
def test_fast_states_step_like_gymnasium(name):
    """Random actions seldom reach the limits of speed. In float64, since rounding grows fast up there."""
    env, twin = CLASSIC[name], twin_of(name).unwrapped
    state_class = type(env.reset(random.key(0)))
    speeds = [env.max_speed_1, env.max_speed_2] if name == "Acrobot-v1" else [env.max_speed]
    high = np.array([np.pi] * len(speeds) + speeds)
    rng = np.random.default_rng(0)
    states = rng.uniform(-high, high, (2_000, len(high)))
    actions = rng.integers(3, size=2_000) if name == "Acrobot-v1" else rng.uniform(-2, 2, (2_000, 1))

    def step(state, action):
        state, reward, terminated = env.step(random.key(0), state_class(*state), action)
        return env.observe(state), reward, terminated

    with jax.enable_x64(True):
        next_obs, rewards, terminated = jax.device_get(jax.vmap(step)(states, actions))
    for i, (state, action) in enumerate(zip(states, actions, strict=True)):
        twin.state = state
        obs, reward, end, _, _ = twin.step(action)
        np.testing.assert_allclose(next_obs[i], obs, rtol=1e-5, atol=1e-6)
        assert rewards[i] == pytest.approx(reward, rel=1e-5)
        assert terminated[i] == end


def test_acrobots_sines_and_cosines():
    angles = np.concatenate([np.linspace(-40, 40, 1_000_001), np.linspace(-1e4, 1e4, 100_001)])
    angles = angles.astype(np.float32)
    computed = np.asarray(jax.jit(sine_and_cosine)(angles), np.float64)
    exact = [np.sin(angles.astype(np.float64)), np.cos(angles.astype(np.float64))]
    np.testing.assert_allclose(computed, exact, rtol=0, atol=1e-7)


def outcomes_of(env):
    """{(state, action): [(probability, successor, reward, terminated)]}, zero probabilities left out."""
    probabilities = np.asarray(env.outcomes(), np.float64)
    triples = np.indices((env.num_states, env.num_actions, len(probabilities))).reshape(3, -1)
    results = jax.device_get(jax.vmap(env.successor)(*triples))
    table = {}
    for state, action, outcome, *result in zip(*triples, *results, strict=True):
        if probabilities[outcome] > 0:
            entry = (round(probabilities[outcome], 6), *(float(part) for part in result))
            table.setdefault((state, action), []).append(entry)
    return {key: sorted(entries) for key, entries in table.items()}


@pytest.mark.parametrize(
    ("env", "options"),
    [
        (CliffWalking(), {}),
        (CliffWalking(is_slippery=True), {"is_slippery": True}),
        (Taxi(), {}),
    ],
    ids=["cliff", "slippery cliff", "taxi"],
)
def test_tables_equal_gymnasiums(env, options):
    name = "Taxi-v3" if isinstance(env, Taxi) else "CliffWalking-v1"
    twin = twin_of(name).unwrapped if not options else gymnasium.make(name, **options).unwrapped
    ours, reachable = outcomes_of(env), 0
    for state, actions in twin.P.items():
        if env.successor(jnp.int32(state), jnp.int32(0), jnp.int32(0))[2] and is_over(env, state):
            continue  # where an episode has ended nothing is defined
        for action, outcomes in actions.items():
            theirs = sorted((round(p, 6), float(s), float(r), float(t)) for p, s, r, t in outcomes)
            assert ours[state, action] == theirs
            reachable += 1
    assert reachable >= 400 if isinstance(env, Taxi) else reachable >= 180


def is_over(env, state):
    """Whether no action leaves the state."""
    successors, _, ended = zip(
        *(env.successor(jnp.int32(state), jnp.int32(a), jnp.int32(1)) for a in range(4)), strict=True
    )
    return all(int(s) == state and bool(e) for s, e in zip(successors, ended, strict=True))


@pytest.mark.parametrize("name", ["CliffWalking-v1", "Taxi-v3"])
def test_toy_text_walks_beside_gymnasium(name):
    env, twin = ENVIRONMENTS[name], twin_of(name).unwrapped
    states, ours = rollout(env.replace(max_steps=150), random.key(1))
    for i in range(TRANSITIONS):
        twin.s = int(states[i])
        obs, reward, end, _, _ = twin.step(int(ours.action[i]))
        assert (obs, reward, end) == (ours.next_obs[i], ours.reward[i], ours.terminated[i])


@pytest.mark.parametrize("name", ["CliffWalking-v1", "Taxi-v3"])
def test_starts_are_gymnasiums(name):
    twin = twin_of(name).unwrapped
    np.testing.assert_allclose(ENVIRONMENTS[name].initial(), twin.initial_state_distrib, atol=1e-7)


@pytest.mark.parametrize("name", [*CLASSIC, "Taxi-v3"])
def test_limits_thresholds_and_spaces_are_gymnasiums(name):
    env, twin = ENVIRONMENTS[name], twin_of(name)
    assert env.max_steps == twin.spec.max_episode_steps
    assert env.solved_return == twin.spec.reward_threshold
    for ours, theirs in (
        (env.observation_space, twin.observation_space),
        (env.action_space, twin.action_space),
    ):
        assert ours.shape == theirs.shape
        if isinstance(ours, Box):
            np.testing.assert_allclose(np.broadcast_to(ours.low, ours.shape), theirs.low, rtol=1e-6)
            np.testing.assert_allclose(np.broadcast_to(ours.high, ours.shape), theirs.high, rtol=1e-6)
        else:
            assert ours.n == theirs.n


@pytest.mark.parametrize(("name", "optimum"), [("CliffWalking-v1", -13.0), ("Taxi-v3", 7.93)])
def test_optimum_of_toy_text(name, optimum):
    """The shortest path along the cliff; the mean over Taxi's 300 starts."""
    env = ENVIRONMENTS[name]
    mdp = enumerate_mdp(env)
    assert mdp.initial @ finite_horizon(mdp, 100).value == pytest.approx(optimum, abs=0.01)


@pytest.mark.parametrize("name", CLASSIC)
def test_starts_lie_in_gymnasiums_range(name):
    env, twin = CLASSIC[name], twin_of(name)
    ours = np.asarray(jax.vmap(lambda key: env.observe(env.reset(key)))(random.split(random.key(0), 2_000)))
    theirs = np.array([twin.reset(seed=seed)[0] for seed in range(2_000)])
    np.testing.assert_allclose(ours.min(axis=0), theirs.min(axis=0), atol=0.02)
    np.testing.assert_allclose(ours.max(axis=0), theirs.max(axis=0), atol=0.02)
    np.testing.assert_allclose(ours.mean(axis=0), theirs.mean(axis=0), atol=0.06)
