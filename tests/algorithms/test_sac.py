"""SAC's losses against plain formulas, its temperature, its targets and its warm-up."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from scipy import stats

from envs import CartPole, MountainCarContinuous, Pendulum
from jaxrl import InputError
from jaxrl.algorithms import SAC, DiscreteSAC
from jaxrl.learning.distributions import TanhGaussian
from jaxrl.mdp.episode import Experience
from jaxrl.mdp.spaces import Box
from tests.lanes import batch_of, trained

SETTINGS = {"warmup": 10, "batch_size": 8, "capacity": 50, "hidden": (8,)}
PAIRS = [(SAC(**SETTINGS), Pendulum()), (DiscreteSAC(**SETTINGS), CartPole())]
IDS = ["continuous", "discrete"]
BATCH = 6


def after(iterations, algorithm, env):
    return jax.tree.map(lambda x: x[0], trained(batch_of([algorithm], env, [0]), iterations, total=100))


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True))


def some_batch(env, seed=0):
    """Made-up experience, one of it terminated, one truncated, and noise for it."""
    rng = np.random.default_rng(seed)
    size = env.observation_space.shape
    discrete = isinstance(env, CartPole)
    action = rng.integers(2, size=BATCH) if discrete else rng.uniform(-1, 1, (BATCH, 1)).astype(np.float32)
    obs, next_obs = (rng.normal(size=(BATCH, *size)).astype(np.float32) for _ in range(2))
    ends = np.zeros((2, BATCH), bool)
    ends[0, 0] = ends[1, 1] = True
    reward = rng.normal(size=BATCH).astype(np.float32)
    noise = jnp.asarray(rng.normal(size=(2, BATCH, *env.action_space.shape)), jnp.float32)
    return jax.tree.map(jnp.asarray, Experience(obs, action, reward, next_obs, *ends)), noise


def plain_soft_value(algorithm, env, actor, critics, temperature, obs, noise):
    """Soft values and entropies of a batch, transition by transition."""
    values, entropies = [], []
    for x, z in zip(obs, noise, strict=True):
        out = algorithm.actor(env).apply(actor, x)
        if isinstance(algorithm, DiscreteSAC):
            probabilities = jax.nn.softmax(out)
            q = jnp.minimum(*(algorithm.critic(env).apply(critic, x) for critic in critics))
            log_probabilities = jax.nn.log_softmax(out)
            values.append((probabilities * (q - temperature * log_probabilities)).sum())
            entropies.append(-(probabilities * log_probabilities).sum())
        else:
            mean, log_std = out[:1], jnp.clip(out[1:], -20, 2)
            before = mean + jnp.exp(log_std) * z
            density = jax.scipy.stats.norm.logpdf(before, mean, jnp.exp(log_std))
            log_prob = (density - jnp.log(1 - jnp.tanh(before) ** 2)).sum()
            q = jnp.minimum(
                *(algorithm.critic(env).apply(critic, x, jnp.tanh(before))[0] for critic in critics)
            )
            values.append(q - temperature * log_prob)
            entropies.append(-log_prob)
    return jnp.stack(values), jnp.stack(entropies)


@pytest.mark.parametrize(("algorithm", "env"), PAIRS, ids=IDS)
def test_each_loss_and_its_gradient_equal_plain_formulas(algorithm, env):
    algorithm = algorithm.replace(discount=0.9, target_entropy=0.3)
    state = after(0, algorithm, env)
    targets = jax.tree.map(lambda leaf: leaf * 1.1, state.targets)
    learned = state.learned.replace(log_temperature=jnp.log(0.7))
    batch, noise = some_batch(env)
    grads, metrics = jax.grad(algorithm.loss, has_aux=True)(learned, targets, env, batch, noise)

    following, _ = plain_soft_value(algorithm, env, learned.actor, targets, 0.7, batch.next_obs, noise[0])
    target = np.asarray(batch.reward + 0.9 * following * ~batch.terminated)
    assert target[0] == batch.reward[0]
    assert target[1] != batch.reward[1]

    def critic_loss(critics):
        total = 0.0
        for critic in critics:
            for obs, action, aim in zip(batch.obs, batch.action, target, strict=True):
                if isinstance(algorithm, DiscreteSAC):
                    q = algorithm.critic(env).apply(critic, obs)[action]
                else:
                    q = algorithm.critic(env).apply(critic, obs, action)[0]
                total += 0.5 * (q - aim) ** 2 / BATCH
        return total

    def actor_loss(actor):
        values, entropies = plain_soft_value(algorithm, env, actor, learned.critics, 0.7, batch.obs, noise[1])
        return -values.mean(), entropies.mean()

    (_, entropy), actor_grads = jax.value_and_grad(actor_loss, has_aux=True)(learned.actor)
    aim = 0.3 * (math.log(2) if isinstance(algorithm, DiscreteSAC) else 1)
    expected = (actor_grads, jax.grad(critic_loss)(learned.critics), entropy - aim)
    ours = (grads.actor, grads.critics, grads.log_temperature)
    for a, b in zip(*map(jax.tree.leaves, (ours, expected)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-4)
    assert metrics["critic_loss"] == pytest.approx(float(critic_loss(learned.critics)), rel=1e-4)
    assert metrics["entropy"] == pytest.approx(float(entropy), rel=1e-4)


@pytest.mark.parametrize(("algorithm", "env"), PAIRS, ids=IDS)
def test_temperature_is_constant_unless_it_is_tuned(algorithm, env):
    fixed = after(20, algorithm.replace(tune_temperature=False, temperature=0.25), env)
    tuned = after(20, algorithm.replace(temperature=0.25), env)
    assert jnp.exp(fixed.learned.log_temperature) == pytest.approx(0.25)
    assert jnp.exp(tuned.learned.log_temperature) != pytest.approx(0.25, rel=1e-4)


@pytest.mark.parametrize(
    ("algorithm", "env", "aim"),
    [
        (SAC(**SETTINGS, learning_rate=1e-2, target_entropy=-1.0), Pendulum(max_steps=20), -1.0),
        (DiscreteSAC(**SETTINGS, learning_rate=1e-2, target_entropy=0.8), CartPole(), 0.8 * math.log(2)),
    ],
    ids=IDS,
)
def test_entropy_reaches_its_target(algorithm, env, aim):
    """The mean entropy of 16 seeds' policies, over states of their own, beside where it starts."""
    algorithm = algorithm.replace(batch_size=64, capacity=1_000)

    def entropy(state):
        rows = state.replay.obs.reshape(-1, *env.observation_space.shape)[:64]
        noise = random.normal(random.key(1), (64, *env.action_space.shape))
        soft_value = jax.vmap(algorithm.soft_value, (None, None, None, None, 0, 0))
        learned = state.learned
        return soft_value(env, learned.actor, learned.critics, jnp.float32(1), rows, noise)[1].mean()

    runs = batch_of([algorithm] * 16, env, range(16))
    start, end = (jax.vmap(entropy)(trained(runs, n, total=100)).mean() for n in (10, 1_500))
    assert abs(end - aim) < 0.25
    assert abs(end - aim) < abs(start - aim) / 2


@pytest.mark.parametrize(("algorithm", "env"), PAIRS, ids=IDS)
def test_warm_up_draws_uniform_actions_and_learns_nothing(algorithm, env):
    algorithm = algorithm.replace(warmup=1_000, capacity=1_000, num_envs=2)
    before, warm = after(0, algorithm, env), after(500, algorithm, env)
    assert same(before.learned, warm.learned)
    assert same(before.targets, warm.targets)
    assert not same(warm.learned, after(501, algorithm, env).learned)
    drawn = np.asarray(warm.replay.action).ravel()
    if isinstance(algorithm, DiscreteSAC):
        assert stats.chisquare(np.bincount(drawn, minlength=2)).pvalue > 1e-3
    else:
        assert stats.kstest(drawn, stats.uniform(-1, 2).cdf).pvalue > 1e-3


@pytest.mark.parametrize(("algorithm", "env"), PAIRS, ids=IDS)
def test_targets_follow_the_critics(algorithm, env):
    algorithm = algorithm.replace(target_rate=0.25)
    before, now = after(10, algorithm, env), after(11, algorithm, env)
    expected = jax.tree.map(lambda c, t: 0.25 * c + 0.75 * t, now.learned.critics, before.targets)
    for a, b in zip(*map(jax.tree.leaves, (now.targets, expected)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert not same(before.targets, now.targets)


def test_critics_start_apart():
    first, second = after(0, *PAIRS[0]).learned.critics
    assert not same(first["params"]["Dense_0"], second["params"]["Dense_0"])


def test_actions_are_stretched_to_the_space_and_kept_in_units_of_it():
    algorithm, env = PAIRS[0]
    for unit, torque in ((-1.0, -2.0), (0.0, 0.0), (0.5, 1.0), (1.0, 2.0)):
        assert algorithm.executed(env, jnp.array([unit])) == pytest.approx(torque)
    state = after(200, algorithm.replace(warmup=50, capacity=200), env)
    assert np.abs(state.replay.action).max() <= 1


class Lopsided(Pendulum):
    """Two torques with bounds of their own, of which the first alone acts."""

    @property
    def action_space(self):
        return Box(jnp.array([0.0, -3.0]), 1.0, (2,))


def test_actions_of_several_dimensions():
    algorithm, env = SAC(**SETTINGS, target_entropy=-0.5), Lopsided()
    algorithm.validate_for(env)
    np.testing.assert_allclose(algorithm.executed(env, jnp.array([-1.0, 0.0])), [0.0, -1.0])
    np.testing.assert_allclose(algorithm.executed(env, jnp.array([1.0, 0.5])), [1.0, 0.0])
    assert algorithm.aim(env) == -1.0
    state = after(12, algorithm, env)
    outputs = algorithm.actor(env).apply(state.learned.actor, jnp.ones(3))
    policy = algorithm.policy(env, state.learned.actor, jnp.ones(3))
    np.testing.assert_array_equal(policy.mean, outputs[:2])
    np.testing.assert_array_equal(policy.log_std, outputs[2:])
    assert state.replay.action.shape == (50, 1, 2)


def test_greedy_and_exploring_actions():
    algorithm, env = PAIRS[0]
    state = after(0, algorithm, env)
    greedy = {float(algorithm.act(env, state, jnp.ones(3), random.key(i), False)[0]) for i in range(10)}
    exploring = {float(algorithm.act(env, state, jnp.ones(3), random.key(i), True)[0]) for i in range(10)}
    assert len(greedy) == 1
    assert len(exploring) == 10
    assert max(map(abs, exploring)) <= 2


class Unbounded(Pendulum):
    @property
    def action_space(self):
        return Box(-jnp.inf, 2.0, (1,))


@pytest.mark.parametrize(
    ("algorithm", "env", "message"),
    [
        (SAC(), CartPole(), "SAC needs continuous actions; CartPole has discrete ones: use discrete_sac"),
        (SAC(), Unbounded(), "SAC needs bounded actions; those of Unbounded are in"),
        (DiscreteSAC(), MountainCarContinuous(), "DiscreteSAC needs discrete actions; MountainCarContinuous"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_actions_it_cannot_choose(algorithm, env, message):
    with pytest.raises(InputError, match=message):
        algorithm.validate_for(env)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"capacity": 100, "warmup": 0}, "SAC.capacity must be at least batch_size = 256, got 100"),
        ({"capacity": 500}, "SAC.capacity must be at least warmup = 1000, got 500"),
        ({"num_envs": 3}, "SAC.capacity must be a multiple of num_envs x num_steps = 3, got 100000"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(InputError, match=message):
        SAC(**settings).validate()


def test_policy_is_that_of_its_outputs():
    algorithm, env = PAIRS[0]
    policy = algorithm.policy(env, after(0, algorithm, env).learned.actor, jnp.ones(3))
    assert isinstance(policy, TanhGaussian)
    assert policy.mean.shape == policy.log_std.shape == (1,)


@pytest.mark.parametrize(("num_steps", "hold"), [(1, 5), (2, 5), (4, 1)])
def test_actions_of_the_warm_up_are_held(num_steps, hold):
    """For warmup_hold steps, of however many iterations, each environment repeats its own as states move on."""
    algorithm, env = PAIRS[0]
    settings = {"warmup": 40, "capacity": 40, "num_envs": 2, "num_steps": num_steps, "warmup_hold": hold}
    replay = after(20 // num_steps, algorithm.replace(**settings), env).replay
    actions, obs = np.asarray(replay.action)[..., 0], np.asarray(replay.obs)
    blocks = actions.reshape(20 // hold, hold, 2)
    assert (blocks == blocks[:, :1]).all()
    assert len(np.unique(blocks[:, 0])) == 20 // hold * 2
    assert len(np.unique(obs[..., 0])) == 40
