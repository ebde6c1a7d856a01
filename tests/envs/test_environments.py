"""The worlds beside Gymnasium's, or beside plain Python where Gymnasium has no twin; their pictures."""

from collections import Counter

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax, random
from scipy import stats

from envs import ENVIRONMENTS, CartPole, FrozenLake, GridWorld, random_map
from envs.control.cartpole import State
from envs.grids.frozen_lake import MAP_4X4, MAP_8X8
from envs.tabular import enumerate_mdp, finite_horizon
from jaxrl.config import stack
from jaxrl.errors import InputError
from jaxrl.mdp import finite
from jaxrl.mdp.environment import Environment, check_contract
from jaxrl.mdp.episode import Episode

TRANSITIONS = 10_000
LAKES = [MAP_4X4, MAP_8X8, ("SFFHF", "FHFFF", "FFFHG")]
# Our names of CartPole's constants, Gymnasium's, and a value that is not the default.
CONSTANTS = [
    ("gravity", "gravity", 15.0),
    ("cart_mass", "masscart", 2.0),
    ("pole_mass", "masspole", 0.4),
    ("pole_length", "length", 1.1),
    ("force", "force_mag", 4.0),
    ("time_step", "tau", 0.05),
]

lakes = pytest.mark.parametrize("rows", LAKES, ids=["4x4", "8x8", "3x5"])
slipperiness = pytest.mark.parametrize("is_slippery", [True, False], ids=["slippery", "dry"])


@lakes
@slipperiness
def test_frozen_lake_distributions_equal_gymnasiums(rows, is_slippery):
    lake = FrozenLake(rows=rows, is_slippery=is_slippery)
    probabilities = np.asarray(lake.outcomes(), np.float64)
    state, action, outcome = np.indices((lake.num_states, 4, len(probabilities))).reshape(3, -1)
    results = jax.device_get(jax.vmap(lake.successor)(state, action, outcome))
    ours, theirs = Counter(), Counter()
    for probability, *key in zip(probabilities[outcome], state, action, *results, strict=True):
        if probability > 0:
            ours[tuple(float(part) for part in key)] += probability
    for state, actions in frozen_lake_twin(rows, is_slippery).P.items():
        for action, outcomes in actions.items():
            for probability, successor, reward, terminated in outcomes:
                theirs[state, action, successor, reward, terminated] += probability
    assert ours == pytest.approx(theirs, abs=1e-6)


@lakes
@slipperiness
def test_frozen_lake_walks_beside_gymnasium(rows, is_slippery):
    """Both take the same actions and, as both turn the same draw into an outcome, slip alike."""
    lake, twin = FrozenLake(rows=rows, is_slippery=is_slippery), frozen_lake_twin(rows, is_slippery)
    actions = np.random.default_rng(1).integers(4, size=TRANSITIONS)
    draws = np.random.default_rng(2).random(TRANSITIONS)
    twin.np_random = np.random.default_rng(2)
    outcomes = np.searchsorted([1 / 3, 2 / 3], draws, side="right") if is_slippery else 1 + 0 * actions

    def step(state, inputs):
        successor, reward, terminated = lake.successor(state, *inputs)
        return jnp.where(terminated, 0, successor), (successor, reward, terminated)

    _, ours = lax.scan(step, jnp.int32(0), (actions, outcomes))
    theirs, twin.s = [], 0
    for action in actions:
        successor, reward, terminated, _, _ = twin.step(action)
        theirs.append((successor, reward, terminated))
        twin.s = 0 if terminated else successor
    np.testing.assert_array_equal(np.transpose(ours), np.array(theirs, float))


def test_cartpole_steps_like_gymnasium():
    """Every step starts from our state, so that a float32 error cannot grow along the way."""
    env, width = CartPole(), 100
    actions = random.bernoulli(random.key(0), 0.5, (TRANSITIONS // width, width)).astype(int)
    keys = random.split(random.key(1), actions.shape)

    def step(episodes, inputs):
        return jax.vmap(lambda episode, key, action: episode.step(env, key, action))(episodes, *inputs)

    episodes = jax.vmap(lambda key: Episode.start(env, key))(keys[0])
    _, transitions = lax.scan(step, episodes, (keys, actions))
    ours = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), transitions)
    next_obs, reward, terminated = gymnasium_cartpole(ours.obs, ours.action)
    assert terminated.any()
    np.testing.assert_allclose(ours.next_obs, next_obs, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(ours.reward, reward)
    np.testing.assert_array_equal(ours.terminated, terminated)


@pytest.mark.parametrize(("ours", "theirs", "value"), CONSTANTS)
def test_cartpole_constant_acts_as_in_gymnasium(ours, theirs, value):
    obs, action = cartpole_inputs(200)
    next_obs, _ = cartpole_step(CartPole(**{ours: value}), obs, action)
    default, _ = cartpole_step(CartPole(), obs, action)
    expected, *_ = gymnasium_cartpole(obs, action, **{theirs: value})
    assert np.abs(next_obs - default).max() > 1e-2
    np.testing.assert_allclose(next_obs, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("ours", "theirs", "value"),
    [("x_limit", "x_threshold", 1.0), ("theta_limit", "theta_threshold_radians", 0.1)],
)
def test_cartpole_limit_acts_as_in_gymnasium(ours, theirs, value):
    obs, action = cartpole_inputs(200)
    _, terminated = cartpole_step(CartPole(**{ours: value}), obs, action)
    _, default = cartpole_step(CartPole(), obs, action)
    *_, expected = gymnasium_cartpole(obs, action, **{theirs: value})
    assert (terminated != default).any()
    np.testing.assert_array_equal(terminated, expected)


def test_cartpole_lanes_may_have_different_poles():
    envs = [CartPole(pole_length=length) for length in (0.25, 0.5, 1, 2.0)]
    obs, action = cartpole_inputs(20)
    together, _ = jax.vmap(lambda env: cartpole_step(env, obs, action))(stack(envs))
    alone = [cartpole_step(env, obs, action)[0] for env in envs]
    assert len({lane.tobytes() for lane in np.asarray(together)}) == len(envs)
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["CartPole-v1", "FrozenLake-v1", "FrozenLake8x8-v1"])
def test_time_limit_and_solved_return_are_gymnasiums(name):
    env, spec = ENVIRONMENTS[name], gymnasium.spec(name)
    assert env.max_steps == spec.max_episode_steps
    assert env.solved_return == spec.reward_threshold


@pytest.mark.parametrize("name", ["CartPole-v1", "FrozenLake-v1", "FrozenLake8x8-v1"])
def test_spaces_are_gymnasiums(name):
    env, twin = ENVIRONMENTS[name], gymnasium.make(name)
    assert env.action_space.n == twin.action_space.n
    assert env.observation_space.shape == twin.observation_space.shape
    if name == "CartPole-v1":
        np.testing.assert_allclose(env.observation_space.low, twin.observation_space.low)
        np.testing.assert_allclose(env.observation_space.high, twin.observation_space.high)
    else:
        assert env.observation_space.n == twin.observation_space.n


@pytest.mark.parametrize(
    "world",
    [GridWorld(), GridWorld(size=7, goal_reward=3.0, wall_reward=-2.0, step_reward=0.5)],
    ids=["default", "7x7"],
)
def test_grid_world_equals_plain_python(world):
    rng = np.random.default_rng(0)
    # The goal is left out: an episode ends there, so nothing is defined about leaving it.
    states = rng.integers(world.num_states - 1, size=TRANSITIONS)
    actions = rng.integers(4, size=TRANSITIONS)
    key = random.key(0)
    ours = jax.vmap(lambda state, action: world.step(key, state, action))(states, actions)
    expected = [plain_grid_world(world, *pair) for pair in zip(states, actions, strict=True)]
    np.testing.assert_array_equal(np.transpose(ours), np.array(expected, np.float32))


def test_grid_world_starts_at_the_top_left():
    world = GridWorld()
    assert world.observe(world.reset(random.key(0))) == 0


@pytest.mark.parametrize("frozen", [0.6, 1.0])
def test_random_map_can_always_be_solved(frozen):
    for seed in range(20):
        rows = random_map(6, np.random.default_rng(seed), frozen)
        lake = FrozenLake(rows=rows, is_slippery=False)
        lake.validate()
        mdp = enumerate_mdp(lake)
        assert mdp.initial @ finite_horizon(mdp, lake.num_states).value == 1


def test_random_map_depends_on_the_generator_alone():
    maps = [random_map(8, np.random.default_rng(seed)) for seed in (0, 0, 1, 2)]
    assert maps[0] == maps[1]
    assert len(set(maps)) == 3


def test_random_map_has_about_as_many_holes_as_asked_for():
    rng = np.random.default_rng(0)
    cells = "".join("".join(random_map(20, rng, 0.9)) for _ in range(20))
    assert cells.count("H") / len(cells) == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize(
    ("size", "frozen", "reason"),
    [
        (1, 0.8, "at least 2"),
        (0, 0.8, "at least 2"),
        (4, 0.0, "in (0, 1]"),
        (4, 1.1, "in (0, 1]"),
        (4, -0.5, "in (0, 1]"),
        (4, float("nan"), "in (0, 1]"),
    ],
)
def test_random_map_refuses_bad_arguments(size, frozen, reason):
    with pytest.raises(InputError) as error:
        random_map(size, np.random.default_rng(0), frozen)
    assert reason in str(error.value)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (("FFF", "FFG"), "start"),
        (("SFF", "FFF"), "goal"),
        (("SFF", "FG"), "all of equal length"),
        (("SFX", "FFG"), "made of S, F, H and G"),
        ((), "all of equal length"),
        (("", ""), "all of equal length"),
    ],
    ids=["no start", "no goal", "ragged", "unknown letter", "no rows", "empty rows"],
)
def test_frozen_lake_refuses_bad_maps(rows, reason):
    with pytest.raises(InputError) as error:
        FrozenLake(rows=rows).validate()
    assert reason in str(error.value)


def test_frozen_lake_starts_equally_often_at_each_start():
    lake = FrozenLake(rows=("SFH", "FSF", "HFG"))
    states = jax.vmap(lake.reset)(random.split(random.key(0), 2_000))
    visited, counts = np.unique(states, return_counts=True)
    assert visited.tolist() == [0, 4]
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("success_rate", [1 / 3, 0.7])
def test_frozen_lake_slips_as_often_as_it_should(success_rate):
    lake = FrozenLake(rows=("SFF", "FFF", "FFG"), success_rate=success_rate)
    keys, centre, right = random.split(random.key(0), 30_000), 4, 2
    states, *_ = jax.vmap(lambda key: lake.step(key, jnp.int32(centre), right))(keys)
    counts = np.bincount(states, minlength=lake.num_states)
    below, ahead, above = 7, 5, 1
    slip = (1 - success_rate) / 2
    expected = len(keys) * np.array([slip, success_rate, slip])
    assert stats.chisquare(counts[[below, ahead, above]], expected).pvalue > 1e-3


@pytest.mark.parametrize("reset_range", [0.05, 0.2])
def test_cartpole_starts_uniformly_within_its_range(reset_range):
    env = CartPole(reset_range=reset_range)
    starts = np.asarray(jax.vmap(lambda key: env.observe(env.reset(key)))(keys_of(4_000)))
    assert np.abs(starts).max() <= reset_range
    for variable in starts.T:
        uniform = stats.uniform(-reset_range, 2 * reset_range)
        assert stats.kstest(variable, uniform.cdf).pvalue > 1e-3
    assert np.abs(np.corrcoef(starts.T) - np.eye(4)).max() < 0.1


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_picture_shows_the_state(name):
    env = ENVIRONMENTS[name]
    states = [env.reset(random.key(0))]
    for key in random.split(random.key(1), 20):
        key_act, key_env = random.split(key)
        state, *_ = env.step(key_env, states[-1], env.action_space.sample(key_act))
        states.append(state)
    pictures = [env.render(state) for state in states]
    for picture in pictures:
        assert picture.dtype == np.uint8
        assert picture.ndim == 3
        assert picture.shape[2] == 3
        assert picture.shape == pictures[0].shape
    assert any((picture != pictures[0]).any() for picture in pictures)


@pytest.mark.parametrize("world", [FrozenLake(rows=LAKES[2]), GridWorld()])
def test_every_cell_has_its_own_picture(world):
    pictures = {world.render(jnp.int32(state)).tobytes() for state in range(world.num_states)}
    assert len(pictures) == world.num_states


def test_picture_of_a_grid_is_as_wide_as_its_map():
    height, width, _ = FrozenLake(rows=LAKES[2]).render(jnp.int32(0)).shape
    assert height * 5 == width * 3


def test_picture_of_cartpole_shows_position_and_angle():
    env, zero = CartPole(), jnp.float32(0)
    states = [State(zero + x, zero, zero + theta, zero) for x in (0, 1) for theta in (-0.1, 0, 0.1)]
    assert len({env.render(state).tobytes() for state in states}) == len(states)


def test_text_marks_the_agents_cell():
    assert FrozenLake().text(jnp.int32(5)) == " S  F  F  F \n F [H] F  H \n F  F  F  H \n H  F  F  G "
    assert GridWorld(size=2).text(jnp.int32(0)) == "[S] F \n F  G "


def test_environment_without_text_or_picture_says_so():
    class Formless(Environment):
        pass

    state = CartPole().reset(random.key(0))
    with pytest.raises(InputError, match="CartPole"):
        CartPole().text(state)
    with pytest.raises(InputError, match="Formless"):
        Formless().render(state)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_environment_keeps_the_contract(name):
    check_contract(ENVIRONMENTS[name])


def frozen_lake_twin(rows, is_slippery):
    return gymnasium.make("FrozenLake-v1", desc=list(rows), is_slippery=is_slippery).unwrapped


def gymnasium_cartpole(obs, action, **constants):
    """What Gymnasium makes of each state and action: next states, rewards, terminated."""
    twin = gymnasium.make("CartPole-v1").unwrapped
    for name, value in constants.items():
        assert hasattr(twin, name)
        setattr(twin, name, value)
    twin.total_mass = twin.masscart + twin.masspole
    twin.polemass_length = twin.masspole * twin.length
    results = []
    for state, push in zip(np.asarray(obs, np.float64), np.asarray(action), strict=True):
        twin.state, twin.steps_beyond_terminated = state, None
        results.append(twin.step(push)[:3])
    next_obs, reward, terminated = zip(*results, strict=True)
    return np.array(next_obs), np.array(reward), np.array(terminated)


def cartpole_inputs(count):
    """Random states, some of them near the limits or beyond, and actions."""
    rng = np.random.default_rng(0)
    obs = rng.uniform(-1, 1, (count, 4)) * [3.0, 2.0, 0.3, 2.0]
    return obs.astype(np.float32), rng.integers(2, size=count)


def cartpole_step(env, obs, action):
    """Next observations and terminated, of each state and action."""

    def step(obs, action):
        state, _, terminated = env.step(random.key(0), State(*obs), action)
        return env.observe(state), terminated

    return jax.vmap(step)(obs, action)


def plain_grid_world(world, state, action):
    row, column = divmod(int(state), world.size)
    row += (-1, 1, 0, 0)[action]
    column += (0, 0, -1, 1)[action]
    if not (0 <= row < world.size and 0 <= column < world.size):
        return state, world.wall_reward, False
    if row == column == world.size - 1:
        return world.num_states - 1, world.goal_reward, True
    return row * world.size + column, world.step_reward, False


def keys_of(count):
    return random.split(random.key(0), count)


def test_no_draw_starts_where_no_episode_starts(monkeypatch):
    """Twelve equal float32 probabilities sum to less than 1: the largest draw lies above the sum."""
    lake = FrozenLake(rows=("S" * 12 + "FFFG",))
    monkeypatch.setattr(finite.random, "uniform", lambda _key: jnp.float32(1 - 2**-23))
    assert lake.reset(random.key(0)) == 11


def test_the_goal_of_grid_world_is_absorbing():
    world = GridWorld()
    for action in range(4):
        state, reward, terminated = world.successor(jnp.int32(15), jnp.int32(action), jnp.int32(0))
        assert (int(state), float(reward), bool(terminated)) == (15, 0.0, True)


def test_hopeless_random_maps_are_given_up():
    with pytest.raises(InputError, match="none of 1,000 random maps of size 20 could be crossed"):
        random_map(20, np.random.default_rng(0), frozen=0.01)
