"""Each bonus beside its equations by hand, and what it is for: less for what was seen often."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax, random

from envs import DeepSea, Pendulum
from jaxrl import InputError
from jaxrl.algorithms import DQN, PPO
from jaxrl.learning.bonuses import ICM, RND, Bonus, Counts, Models, Visits, simhash
from jaxrl.learning.networks import MLP
from jaxrl.learning.normalise import Moments, Scales
from jaxrl.mdp.episode import Experience
from tests.lanes import batch_of, engine, start
from tests.probes import RewardTwoStepsLater

ENV = DeepSea(size=3)  # ten states, two actions
LINEAR = MLP(hidden=())
DISCOUNT = 0.5


def rollout(obs, action, next_obs, done=False, reward=0.0):
    """Experience [num_steps, num_envs] from lists of that shape."""
    next_obs = np.asarray(next_obs)
    flat = (np.full(next_obs.shape[:2], value) for value in (reward, done, False))
    reward, terminated, truncated = flat
    return Experience(
        np.asarray(obs), np.asarray(action), reward.astype(np.float32), next_obs, terminated, truncated
    )


def test_no_bonus_changes_nothing():
    steps = rollout([[0]], [[1]], [[1]])
    assert Bonus().create(ENV, random.key(0), 1) == ()
    assert Bonus().observe((), ENV, steps, DISCOUNT) == ((), steps, {})
    assert Bonus().rewarded((), ENV, steps) is steps


def test_simhash():
    projection = np.float32([[1, -1, 2], [1, 1, -3]])
    x = np.float32([[1, 0], [0, 1], [-1, 0], [2, 3]])  # projected: 1 -1 2; 1 1 -3; -1 1 -2; 5 1 -5
    np.testing.assert_array_equal(simhash(x, projection), [1 + 4, 1 + 2, 2, 1 + 2])


def test_counts_by_hand():
    """The hash of state s has the bits of s, so the counts are those of the states."""
    signs = [[1.0 if state >> bit & 1 else -1.0 for bit in range(4)] for state in range(ENV.num_states)]
    kept = Visits(np.float32(signs), jnp.arange(16, dtype=jnp.int32))
    counts = Counts(scale=6.0, bits=4)
    kept, seen, metrics = jax.jit(counts.observe)(
        kept, ENV, rollout([[0, 0]], [[0, 1]], [[3, 3]], reward=1.0), DISCOUNT
    )
    assert kept.count.tolist() == [0, 1, 2, 5, *range(4, 16)]
    np.testing.assert_allclose(seen.reward, 1 + 6 / np.sqrt([[5, 5]]))
    assert metrics["bonus"][0] == pytest.approx(6 / 5**0.5)
    later = jax.jit(counts.rewarded)(kept, ENV, rollout([[0], [0]], [[0], [0]], [[4], [0]]))
    np.testing.assert_allclose(later.reward, [[3], [6]])  # one that was never seen counts as seen once


def scales(mean, variance, returns):
    """Statistics of so many observations and returns that a few more change nothing."""
    many = jnp.float32(1e12)
    inputs = Moments(np.float32(mean), np.float32(variance), many)
    return Scales(inputs, Moments(jnp.float32(0), jnp.float32(returns), many), jnp.zeros(1))


def dense(kernel, bias=None):
    kernel = np.float32(kernel)
    return {
        "kernel": kernel,
        "bias": np.zeros(kernel.shape[1], np.float32) if bias is None else np.float32(bias),
    }


PENDULUM = Pendulum()
SCALES = scales([1, 0, 0], [4, 1, 1], 9)
STEP = rollout([[[3, 1, 2]]], [[[0.5]]], [[[5, 0, -20]]])  # normalised: [1, 1, 2] and [2, 0, -5]


def test_rnd_by_hand():
    predictor = {"params": {"Dense_0": dense([[1, 0], [0, 1], [0, 0]])}}
    target = {"params": {"Dense_0": dense([[0, 0], [0, 0], [1, 1]])}}
    rnd = RND(scale=3.0, learning_rate=0.0, outputs=2, network=LINEAR)
    kept = Models(predictor, target, optax.adam(0.0).init(predictor), SCALES)
    error = (7**2 + 5**2) / 2  # of [2, 0] for [-5, -5]
    _, seen, metrics = jax.jit(rnd.observe)(kept, PENDULUM, STEP, DISCOUNT)
    assert seen.reward[0, 0] == pytest.approx(3 * 10)  # error / 3, clipped to 10
    assert metrics["bonus_loss"][0] == pytest.approx(error, rel=1e-5)
    seen = rnd.replace(scale=1.0).rewarded(
        kept.replace(scales=scales([1, 0, 0], [4, 1, 1], 100)), PENDULUM, STEP
    )
    assert seen.reward[0, 0] == pytest.approx(error / 10, rel=1e-5)


def test_the_bonus_is_divided_by_the_deviation_of_its_discounted_returns():
    steps = rollout(np.zeros((6, 2), int), np.zeros((6, 2), int), random.randint(random.key(0), (6, 2), 0, 9))
    steps = steps.replace(terminated=np.arange(12).reshape(6, 2) % 5 == 4)
    rnd = RND(scale=2.0, network=LINEAR)

    @jax.jit
    def observe(key):
        kept = rnd.create(ENV, key, 2)
        after, seen, _ = rnd.observe(kept, ENV, steps, DISCOUNT)
        return after, seen, rnd.errors(kept.replace(scales=after.scales), ENV, steps)[0]

    after, seen, error = observe(random.key(0))
    returns, running = [], np.zeros(2)
    for of_step, done in zip(np.asarray(error), steps.done, strict=True):
        running = DISCOUNT * running + of_step
        returns.append(running)
        running = np.where(done, 0, running)
    expected = 2 * np.asarray(error) / np.std(returns)
    np.testing.assert_allclose(seen.reward, np.clip(expected, None, 20), rtol=1e-3)
    np.testing.assert_allclose(after.scales.running_return, running, rtol=1e-5)


def test_icm_by_hand():
    """A linear torso: the features are the normalised observations."""
    icm = ICM(scale=3.0, forward_weight=0.25, network=LINEAR)
    units, told, predicted = np.eye(6, 3), np.eye(4, 3), np.eye(3)
    params = {
        "Dense_0": dense(units),
        "Dense_1": dense(told),
        "Dense_2": dense([[1], [1], [1]]),
        "Dense_3": dense(predicted),
    }
    kept = Models({"params": params}, (), (), SCALES)
    error, loss = jax.jit(icm.errors)(kept, PENDULUM, STEP)
    forward = (1**2 + 1**2 + 7**2) / 2  # of [1, 1, 2] for [2, 0, -5]
    inverse = (4 - 0.5) ** 2 / 2  # the sum of [1, 1, 2] for the action 0.5
    assert error[0, 0] == pytest.approx(forward, rel=1e-5)
    assert loss[0, 0] == pytest.approx(0.75 * inverse + 0.25 * forward, rel=1e-5)
    seen = jax.jit(icm.rewarded)(kept, PENDULUM, STEP)
    assert seen.reward[0, 0] == pytest.approx(3 * min(forward / 3, 10), rel=1e-5)


@functools.cache
def learned(bonus, times):
    """What a bonus keeps after it has seen where states 1 and 4 lead to, so many times."""
    return learner(bonus)(random.key(0), times)


@functools.cache
def learner(bonus):
    steps = world((1, 4))

    @jax.jit
    def learn(key, times):
        kept = bonus.create(ENV, key, 1)
        return lax.fori_loop(0, times, lambda _, kept: bonus.observe(kept, ENV, steps, DISCOUNT)[0], kept)

    return learn


def world(states):
    """A step from each of these states by each of the two actions: [2 * states, 1]."""
    state, action = (each.ravel() for each in np.meshgrid(states, [0, 1]))
    row, column = state // ENV.size, state % ENV.size
    right = np.where(action == ENV.right()[state], 1, -1)
    following = (row + 1) * ENV.size + np.clip(column + right, 0, ENV.size - 1)
    return rollout(state[:, None], action[:, None], following[:, None])


SMALL = {"scale": 1.0, "learning_rate": 1e-2, "network": MLP(hidden=(16,), initialiser="lecun_normal")}


@pytest.mark.parametrize(
    "bonus", [RND(**SMALL), ICM(**SMALL), Counts(scale=1.0)], ids=["rnd", "icm", "counts"]
)
def test_the_bonus_falls_where_it_was_seen_and_not_elsewhere(bonus):
    seen, unseen = world((1, 4)), world((0, 3))
    rewarded = jax.jit(bonus.rewarded)

    def reward(times, steps):
        return np.mean(rewarded(learned(bonus, times), ENV, steps).reward)

    assert reward(100, seen) < 0.2 * reward(1, seen)
    assert reward(100, unseen) > 5 * reward(100, seen)


def test_icm_learns_a_deterministic_world():
    """The action is known from where it leads, and so is where it leads."""
    icm, steps = ICM(**SMALL), world((1, 4))
    errors = jax.jit(icm.errors)
    before, after = (errors(learned(icm, times), ENV, steps) for times in (1, 100))
    assert np.mean(after[0]) < 0.05 * np.mean(before[0])
    assert np.mean(after[1]) < 0.1 * np.mean(before[1])


def trained(algorithms, env, iterations, total):
    """The states of a seed of each algorithm after some iterations, and their metrics: [lanes]."""
    (algorithm, envs, keys, shared), state = start(batch_of(algorithms, env, range(len(algorithms))), total)
    state, sums, _ = engine().advance(algorithm, envs, state, keys.steps, shared, 0, iterations, total)
    return state, {name: np.asarray(value / weight) for name, (value, weight) in sums.items()}


def test_counts_find_a_treasure_that_ppo_alone_does_not():
    """Random actions find it once in 1,024 episodes; these are 600. Of the lanes, the last has no bonus."""
    algorithm = PPO(
        num_envs=16,
        num_steps=20,
        learning_rate=1e-3,
        entropy_coefficient=0.0,
        bonus=Counts(),
        network=MLP(hidden=(32,), initialiser="lecun_normal"),
    )
    algorithms = [algorithm.replace(**{"bonus.scale": scale}) for scale in (1.0, 1.0, 1.0, 0.0)]
    env = DeepSea(size=10)
    state, metrics = trained(algorithms, env, 30, 80)
    path = jnp.arange(env.size) * (env.size + 1)

    @jax.jit
    @jax.vmap
    def actions(state):
        agent = algorithm.agent(env)
        return agent.networks.policy(state.params, (), agent.input(state.scales, path))[0].mode()

    solved = (np.asarray(actions(state)) == env.right()[np.asarray(path)]).all(axis=1)
    assert solved.tolist() == [True, True, True, False]
    assert (metrics["return"] < 1).all()  # without the bonus, which is about 0.1 a step
    assert (metrics["bonus"] > 0.02).tolist() == [True, True, True, False]


def test_dqn_learns_the_bonus_and_reports_returns_without_it():
    """Where nothing else gives a reward, the values are those of the bonus."""
    learner = DQN(
        num_envs=2,
        num_steps=8,
        warmup=0,
        batch_size=16,
        capacity=64,
        updates=8,
        learning_rate=1e-2,
        target_period=16,
        discount=0.0,
        bonus=Counts(bits=4),
        network=LINEAR,
    )
    algorithms = [learner.replace(**{"bonus.scale": scale}) for scale in (100.0, 0.0)]
    _, metrics = trained(algorithms, RewardTwoStepsLater(max_steps=2), 40, 40)
    np.testing.assert_array_equal(metrics["return"], 0)  # the reward comes with the third step
    assert metrics["bonus"][1] == 0
    assert abs(metrics["value"][1]) < 1
    assert metrics["value"][0] > 3


@pytest.mark.parametrize(
    ("bonus", "message"),
    [
        (Counts(scale=-1.0), r"^Counts.scale must be at least 0, got -1.0$"),
        (Counts(bits=0), r"^Counts.bits must be in \[1, 24\], got 0$"),
        (ICM(forward_weight=2.0), r"^ICM.forward_weight must be in \[0, 1\], got 2.0$"),
        (RND(outputs=0), r"^RND.outputs must be at least 1, got 0$"),
        (MLP(), r"^PPO.bonus must be an instance of Bonus, got MLP"),
    ],
)
def test_bad_settings(bonus, message):
    with pytest.raises(InputError, match=message):
        PPO(bonus=bonus).validate()
