"""SAC's losses against plain formulas, its actions, and the ones that its warm-up holds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax, random

from envs import CartPole, Pendulum
from jaxrl import InputError
from jaxrl.algorithms import SAC
from jaxrl.learning import replay
from jaxrl.learning.continuous import executed, warmed_rollout
from jaxrl.learning.distributions import TanhGaussian
from jaxrl.learning.inputs import features
from jaxrl.learning.networks import MLP
from jaxrl.mdp.episode import Experience
from jaxrl.mdp.spaces import Box
from jaxrl.random.generators import DEFAULT, GENERATORS

ENV, KEY, BATCH = Pendulum(), random.key(0, impl=GENERATORS[DEFAULT]), 6
SMALL = SAC(
    discount=0.9,
    target_entropy=0.3,
    warmup=10,
    batch_size=8,
    capacity=50,
    network=MLP(hidden=(8,), activation="relu", initialiser="lecun_normal"),
)


@pytest.fixture(scope="module")
def state():
    return jax.jit(SMALL.init)(ENV, KEY)


@pytest.fixture(scope="module")
def learned(state):
    return state.learned.replace(log_temperature=jnp.log(0.7))


def some_batch():
    """Made-up experience, one of it terminated, one truncated, and noise for it."""
    rng = np.random.default_rng(0)
    obs, next_obs = rng.normal(size=(2, BATCH, 3)).astype(np.float32)
    action = rng.uniform(-1, 1, (BATCH, 1)).astype(np.float32)
    terminated, truncated = np.zeros((2, BATCH), bool)
    terminated[0] = truncated[1] = True
    reward, noise = rng.normal(size=BATCH).astype(np.float32), rng.normal(size=(2, BATCH, 1))
    return Experience(obs, action, reward, next_obs, terminated, truncated), noise.astype(np.float32)


def plain_soft_value(actor, critics, temperature, obs, noise):
    """Soft values and entropies of a batch: [BATCH] each. The density is scipy's, of a change of variables."""
    outputs = SMALL.head(ENV, 2).apply(actor, obs)
    mean, std = outputs[:, :1], jnp.exp(jnp.clip(outputs[:, 1:], -20, 2))
    before = mean + std * noise
    density = jax.scipy.stats.norm.logpdf(before, mean, std) - jnp.log(1 - jnp.tanh(before) ** 2)
    q = jnp.minimum(*(plain_value(critic, obs, jnp.tanh(before)) for critic in critics))
    return q - temperature * density[:, 0], -density[:, 0]


def plain_value(critic, obs, action):
    return SMALL.head(ENV, 1).apply(critic, obs, action)[:, 0]


@jax.jit
def plain_gradients(learned, targets, batch, noise):
    """Of actor and critics; the critics' loss, the entropy, the critics' target."""
    following, _ = plain_soft_value(learned.actor, targets, 0.7, batch.next_obs, noise[0])
    target = batch.reward + 0.9 * following * ~batch.terminated

    def critic_loss(critics):
        errors = [plain_value(critic, batch.obs, batch.action) - target for critic in critics]
        return sum(0.5 * (error**2).mean() for error in errors)

    def actor_loss(actor):
        values, entropies = plain_soft_value(actor, learned.critics, 0.7, batch.obs, noise[1])
        return -values.mean(), entropies.mean()

    (_, entropy), actor = jax.value_and_grad(actor_loss, has_aux=True)(learned.actor)
    loss, critics = jax.value_and_grad(critic_loss)(learned.critics)
    return actor, critics, loss, entropy, target


def test_each_loss_and_its_gradient_equal_plain_formulas(state, learned):
    targets = jax.tree.map(lambda leaf: leaf * 1.1, state.targets)
    batch, noise = some_batch()
    gradients = jax.jit(jax.grad(SMALL.loss, has_aux=True))
    grads, metrics = gradients(learned, targets, ENV, batch, noise)
    actor, critics, critic_loss, entropy, target = plain_gradients(learned, targets, batch, noise)
    assert target[0] == batch.reward[0]
    assert target[1] != batch.reward[1]
    expected = actor, critics, entropy - 0.3
    ours = grads.actor, grads.critics, grads.log_temperature
    for a, b in zip(*map(jax.tree.leaves, (ours, expected)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-4)
    assert metrics["critic_loss"] == pytest.approx(float(critic_loss), rel=1e-4)
    assert metrics["entropy"] == pytest.approx(float(entropy), rel=1e-4)
    assert metrics["temperature"] == pytest.approx(0.7)


def test_deviations_are_bounded_as_in_the_authors_code():
    actor = {"params": {"Dense_0": {"kernel": np.zeros((3, 2), np.float32), "bias": np.float32([0.5, 9.0])}}}
    linear = SMALL.replace(network=MLP(hidden=()))
    policies = [linear.policy(ENV, actor, jnp.ones((4, 3)))]
    actor["params"]["Dense_0"]["bias"] = np.float32([0.5, -99.0])
    policies += [linear.policy(ENV, actor, jnp.ones((4, 3)))]
    assert all(isinstance(policy, TanhGaussian) for policy in policies)
    assert [policy.mean.tolist() for policy in policies] == [[[0.5]] * 4] * 2
    assert [policy.log_std.tolist() for policy in policies] == [[[2.0]] * 4, [[-20.0]] * 4]


class Lopsided(Pendulum):
    """Two torques with bounds of their own, of which the first alone acts."""

    @property
    def action_space(self):
        return Box(jnp.array([0.0, -3.0]), 1.0, (2,))


@pytest.mark.parametrize(
    ("env", "unit", "action"),
    [
        (ENV, [-1.0], [-2.0]),
        (ENV, [0.5], [1.0]),
        (ENV, [1.0], [2.0]),
        (Lopsided(), [-1.0, 0.0], [0.0, -1.0]),
        (Lopsided(), [1.0, 0.5], [1.0, 0.0]),
    ],
)
def test_actions_are_scaled_to_the_space(env, unit, action):
    np.testing.assert_allclose(executed(env, jnp.array(unit)), action)


def collect(algorithm, env, state, key, t, warming):
    """As SAC collects in iteration t."""

    def explore(obs, key):
        x = features(env.observation_space, obs)
        return algorithm.policy(env, state.learned.actor, x).sample(key)

    steps = t * algorithm.num_steps + jnp.arange(algorithm.num_steps)
    return warmed_rollout(env, state, key, steps, jnp.bool_(warming), algorithm.warmup_hold, explore)


@pytest.mark.parametrize("env", [ENV, Lopsided()], ids=["one number", "two numbers"])
def test_replay_keeps_actions_between_minus_1_and_1(env):
    """While the policy acts, not the warm-up; the transitions hold what the environment took."""
    algorithm = SMALL.replace(num_steps=5)

    @jax.jit
    def collected(key):
        state = algorithm.init(env, key)
        return collect(algorithm, env, state, key, t=100, warming=False)

    _, transitions, experience, _ = collected(KEY)
    d = env.action_space.shape[0]
    assert experience.action.shape == transitions.action.shape == (5, 1, d)
    assert np.abs(experience.action).max() <= 1
    assert len(np.unique(experience.action)) == 5 * d
    for unit, action in zip(experience.action[:, 0], transitions.action[:, 0], strict=True):
        np.testing.assert_allclose(executed(env, unit), action, rtol=1e-6)
    ring = jax.eval_shape(lambda: replay.create(env, 50, 1))
    assert jax.tree.structure(ring) == jax.tree.structure(experience)


@pytest.mark.parametrize(("explore", "actions"), [(False, 1), (True, 10)])
def test_only_exploring_actions_vary(explore, actions, state):
    act = jax.jit(jax.vmap(lambda key: SMALL.act(ENV, state, (), jnp.ones(3), key, explore)[0]))
    chosen = np.asarray(act(random.split(KEY, 10)))
    assert len(np.unique(chosen)) == actions
    assert np.abs(chosen).max() <= 2


@pytest.mark.parametrize(("num_steps", "hold"), [(2, 5), (6, 4)])
def test_actions_of_the_warm_up_are_held(num_steps, hold):
    """Each environment repeats its own for exactly warmup_hold steps, also from one iteration to the next."""
    algorithm = SMALL.replace(num_envs=2, num_steps=num_steps, warmup_hold=hold)
    iterations = 60 // num_steps

    @jax.jit
    def actions(key):
        def iteration(state, t):
            key_t = random.fold_in(key, t)
            episodes, transitions, experience, held = collect(algorithm, ENV, state, key_t, t, warming=True)
            return state.replace(episodes=episodes, held=held), (experience.action, transitions.obs)

        return lax.scan(iteration, algorithm.init(ENV, key), jnp.arange(iterations))[1]

    drawn, obs = actions(KEY)
    blocks = np.asarray(drawn).reshape(60 // hold, hold, 2)
    assert (blocks == blocks[:, :1]).all()
    assert len(np.unique(blocks[:, 0])) == 60 // hold * 2  # the next action differs, as does the neighbour's
    assert len(np.unique(np.asarray(obs)[..., 0])) == 2 * 60  # states move on


class Unbounded(Pendulum):
    @property
    def action_space(self):
        return Box(-jnp.inf, 2.0, (1,))


class Enormous(Pendulum):
    """Each bound is finite, the distance between them is not."""

    @property
    def action_space(self):
        largest = np.finfo(np.float32).max
        return Box(-largest, largest, (1,))


class Whole(Pendulum):
    @property
    def action_space(self):
        return Box(-2, 2, (1,), jnp.int32)


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (CartPole(), "SAC needs continuous actions; CartPole has discrete ones: use discrete_sac"),
        (Unbounded(), "SAC needs bounded actions; those of Unbounded are in"),
        (Enormous(), "SAC needs bounded actions; those of Enormous are in"),
        (Whole(), "SAC needs actions of real numbers; those of Whole are integers: use ppo"),
    ],
    ids=["discrete", "unbounded", "a range that overflows", "integers"],
)
def test_actions_it_cannot_choose(env, message):
    with pytest.raises(InputError, match=message):
        SAC().validate_for(env)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"capacity": 100, "warmup": 0}, "SAC.capacity must be at least batch_size = 256, got 100"),
        ({"capacity": 500}, "SAC.capacity must be at least warmup = 1000, got 500"),
        ({"target_entropy": 0.69}, r"SAC.target_entropy must be .*0\.68.*, got 0.69"),
        ({"num_envs": 3}, "SAC.capacity must be a multiple of num_envs x num_steps = 3, got 100000"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(InputError, match=message):
        SAC(**settings).validate()
