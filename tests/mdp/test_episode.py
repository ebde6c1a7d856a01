"""Episode: what it reports at the end of an episode, what it goes on with, and where it can run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from jax import Array, lax, random

from jaxrl.config import stack
from jaxrl.environment import traced
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Episode, Experience, without_environments


class Counting(Environment):
    """Counts its steps, which is also the reward, and terminates at `goal`. Observed as tens."""

    goal: int = traced(1_000, low=1)

    def reset(self, key):
        return jnp.int32(0)

    def step(self, key, state, action):
        return state + 1, (state + 1).astype(jnp.float32), state + 1 >= self.goal

    def observe(self, state):
        return 10 * state


class KeyedState(struct.PyTreeNode):
    key: Array
    noise: Array


class Keyed(Environment):
    """Carries its own typed key as part of the state."""

    def reset(self, key):
        return KeyedState(key, jnp.zeros(2))

    def step(self, key, state, action):
        carried, used = random.split(state.key)
        return KeyedState(carried, random.normal(used, (2,))), jnp.float32(0), jnp.bool_(False)

    def observe(self, state):
        return state.noise


class Noise(Environment):
    """Each state is a fresh draw, at the reset too."""

    def reset(self, key):
        return random.uniform(key)

    def step(self, key, state, action):
        return random.uniform(key), jnp.float32(0), jnp.bool_(False)

    def observe(self, state):
        return state


def test_next_obs_is_the_true_successor_and_the_episode_goes_on_from_the_reset():
    episodes, transitions = rollout(Counting(goal=3), 5)
    np.testing.assert_array_equal(transitions.obs, [0, 10, 20, 0, 10])
    np.testing.assert_array_equal(transitions.next_obs, [10, 20, 30, 10, 20])
    np.testing.assert_array_equal(episodes.obs, [10, 20, 0, 10, 20])
    np.testing.assert_array_equal(episodes.state, [1, 2, 0, 1, 2])


def test_return_and_length_run_and_start_anew():
    episodes, transitions = rollout(Counting(goal=3), 5)
    np.testing.assert_array_equal(transitions.reward, [1, 2, 3, 1, 2])
    np.testing.assert_array_equal(transitions.episode_return, [1, 3, 6, 1, 3])
    np.testing.assert_array_equal(transitions.episode_length, [1, 2, 3, 1, 2])
    np.testing.assert_array_equal(episodes.episode_return, [1, 3, 0, 1, 3])
    np.testing.assert_array_equal(episodes.episode_length, [1, 2, 0, 1, 2])


class Cents(Environment):
    """Every step pays a constant that is no binary fraction, or a large one after which cents get lost."""

    reward: float = traced(0.01)

    def reset(self, key):
        return jnp.int32(0)

    def step(self, key, state, action):
        return state, jnp.float32(self.reward), jnp.bool_(False)

    def observe(self, state):
        return state


@pytest.mark.parametrize(("reward", "steps"), [(0.01, 1_000_000), (1.0, 20_000_000), (-0.3, 3_000_000)])
def test_the_return_of_a_long_episode_is_right(reward, steps):
    """A plain float32 sum of a million cents is 1.4 % less, one of twenty million ones 16 %."""
    env = Cents(reward=reward, max_steps=2**31 - 1).arrays()

    @jax.jit
    def play(episode, key):
        return lax.fori_loop(0, steps, lambda _, each: each.step(env, key, jnp.int32(0))[0], episode)

    episode = play(Episode.start(env, random.key(0)), random.key(1))
    assert episode.episode_length == steps
    np.testing.assert_allclose(float(episode.episode_return), steps * float(np.float32(reward)), rtol=1e-6)


def test_fresh_episode_has_no_return_and_no_length():
    episode = Episode.start(Counting(), random.key(0))
    assert (episode.obs, episode.episode_return, episode.episode_length) == (0, 0, 0)


@pytest.mark.parametrize(
    ("goal", "max_steps", "terminated", "truncated"),
    [
        (2, 100, [False, True, False, True], [False] * 4),
        (100, 2, [False] * 4, [False, True, False, True]),
        (2, 2, [False, True, False, True], [False] * 4),
        (100, 1, [False] * 4, [True] * 4),
    ],
    ids=["terminates", "truncates", "both, so terminates", "one-step limit"],
)
def test_how_an_episode_ends(goal, max_steps, terminated, truncated):
    _, transitions = rollout(Counting(goal=goal, max_steps=max_steps), 4)
    np.testing.assert_array_equal(transitions.terminated, terminated)
    np.testing.assert_array_equal(transitions.truncated, truncated)
    np.testing.assert_array_equal(transitions.done, np.logical_or(terminated, truncated))
    assert transitions.truncated.dtype == transitions.done.dtype == bool


def test_time_limit_is_traced_and_may_differ_between_lanes():
    limits = (1, 2, 3, 5)
    envs = stack([Counting(max_steps=limit) for limit in limits])
    _, transitions = jax.jit(jax.vmap(lambda env: rollout(env, 6)))(envs)
    expected = [[step % limit == 0 for step in range(1, 7)] for limit in limits]
    np.testing.assert_array_equal(transitions.truncated, expected)


def test_another_time_limit_compiles_nothing():
    traces = []

    @jax.jit
    def run(env):
        traces.append(env)
        return rollout(env, 4)[1].truncated

    assert run(Counting(max_steps=2).arrays()).sum() == 2
    assert run(Counting(max_steps=4).arrays()).sum() == 1
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("goal", "max_steps"), [(3, 100), (100, 3)], ids=["by termination", "by the time limit"]
)
def test_memory_is_reset_where_an_episode_ends_and_carried_otherwise(goal, max_steps):
    """The policy notes each reward; a fresh episode starts with the initial memory, not with the first one."""
    env, initial = (
        Counting(goal=goal, max_steps=max_steps),
        {"rewards": jnp.full(2, 100.0), "last": jnp.int32(-1)},
    )

    def step(episode, key):
        carried = {"rewards": episode.memory["rewards"] + episode.obs, "last": episode.obs}
        episode, transition = episode.step(env, key, jnp.int32(0), carried, initial)
        return episode, (episode.memory, transition.done)

    start = Episode.start(env, random.key(0), {"rewards": jnp.zeros(2), "last": jnp.int32(7)})
    assert start.memory["last"] == 7
    memory, done = lax.scan(step, start, random.split(random.key(0), 5))[1]
    np.testing.assert_array_equal(done, [False, False, True, False, False])
    # Observed are 0, 10 and 20, then 0 and 10.
    np.testing.assert_array_equal(memory["rewards"], [[0, 0], [10, 10], [100, 100], [100, 100], [110, 110]])
    np.testing.assert_array_equal(memory["last"], [0, 10, -1, 0, 10])


def test_an_episode_without_memory_carries_nothing():
    episode = Episode.start(Counting(), random.key(0))
    following, _ = episode.step(Counting(), random.key(1), 0)
    assert episode.memory == following.memory == ()


def test_same_transitions_in_every_mode():
    env, keys = Counting(goal=3), random.split(random.key(0), 4)
    _, scanned = rollout(env, 4)
    jitted = jax.jit(lambda episode, key, action: episode.step(env, key, action))
    episode, stepped = Episode.start(env, keys[0]), []
    for key in keys:
        episode, transition = jitted(episode, key, jnp.int32(0))
        stepped.append(transition)
    _, vmapped = jax.vmap(lambda _: rollout(env, 4))(jnp.arange(2))
    jax.tree.map(np.testing.assert_array_equal, scanned, stack_trees(stepped))
    jax.tree.map(np.testing.assert_array_equal, stack_trees([scanned, scanned]), vmapped)


def test_state_may_hold_a_typed_key():
    env, lanes = Keyed(max_steps=3), random.split(random.key(0), 2)
    run = jax.jit(jax.vmap(lambda key: rollout(env, 9, key)))
    episodes, transitions = run(lanes)
    assert jnp.issubdtype(episodes.state.key.dtype, jax.dtypes.prng_key)
    assert transitions.truncated.sum() == 6
    # A key used twice, by a reset or by a neighbour, would repeat a draw.
    assert len(np.unique(transitions.next_obs)) == transitions.next_obs.size


def test_step_and_reset_draw_from_different_keys():
    episodes, transitions = rollout(Noise(max_steps=1), 5)
    draws = np.concatenate([episodes.obs, transitions.next_obs])
    assert len(np.unique(draws)) == 10


def test_what_belongs_to_an_environment_is_left_out_of_a_learners_state():
    """Its state and what it shows; a memory of the policy, a reward and parameters are the learner's."""
    env, nan = Counting(), jnp.float32(jnp.nan)
    episode = Episode.start(env, random.key(0), {"hidden": jnp.ones(2)}).replace(state=nan, obs=nan)
    seen = Experience(nan, jnp.int32(0), jnp.float32(5), nan, jnp.bool_(False), jnp.bool_(True))
    left = jax.tree.leaves(
        without_environments({"episodes": episode, "replay": (seen,), "w": jnp.float32(7)})
    )
    assert not any(jnp.isnan(leaf).any() for leaf in left)
    assert {5.0, 7.0} <= {float(leaf) for leaf in left if leaf.ndim == 0}
    assert any(leaf.shape == (2,) for leaf in left)


def rollout(env, steps, key=None):
    """The episode after each step, and the transitions: [steps]."""
    key_start, key_steps = random.split(random.key(0) if key is None else key)

    def step(episode, key):
        episode, transition = episode.step(env, key, jnp.int32(0))
        return episode, (episode, transition)

    return lax.scan(step, Episode.start(env, key_start), random.split(key_steps, steps))[1]


def stack_trees(trees):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


class Endless(Counting):
    """Returns Python numbers, as an environment without an end may."""

    def step(self, key, state, action):
        return state + 1, 1.0, False


def test_python_numbers_from_step_are_arrays_in_the_transition():
    env = Endless(max_steps=1)
    _, transition = Episode.start(env, random.key(0)).step(env, random.key(1), 0)
    assert transition.truncated.dtype == transition.done.dtype == bool
    assert bool(transition.truncated)
    assert not bool(transition.terminated)
    assert transition.reward.dtype == jnp.float32
