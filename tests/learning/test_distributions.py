"""Policies as distributions: probabilities beside scipy's, batches of them, and what they draw."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from scipy import integrate, special, stats

from jaxrl.learning.distributions import Categorical, Gaussian, TanhGaussian

LOGITS = [
    [0.0],
    [0.3, -1.2, 2.0, 0.0],
    [5.0, 5.0, 5.0],
    [1e4, -1e4, 0.0],
    [-1e30, 1e30],
    [-1e6, -1e6 - 1],
    [1e-30, 0.0],
]


@pytest.mark.parametrize("logits", LOGITS, ids=str)
def test_log_prob_is_scipys(logits):
    actions = np.arange(len(logits))
    log_prob = Categorical(np.tile(np.float32(logits), (len(logits), 1))).log_prob(actions)
    assert np.isfinite(log_prob).all()
    expected = special.log_softmax(np.array(logits, np.float32).astype(np.float64))
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("logits", LOGITS, ids=str)
def test_entropy_is_scipys(logits):
    entropy = Categorical(jnp.array(logits)).entropy()
    expected = stats.entropy(special.softmax(np.array(logits, np.float32).astype(np.float64)))
    np.testing.assert_allclose(entropy, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("logits", LOGITS, ids=str)
def test_gradients_are_finite(logits):
    def both(logits):
        policy = Categorical(logits)
        return policy.entropy() + policy.log_prob(jnp.int32(0))

    assert np.isfinite(jax.jit(jax.grad(both))(np.float32(logits))).all()


def test_kl_divergence_of_categoricals_is_scipys():
    rng = np.random.default_rng(0)
    logits, others = rng.normal(size=(2, 5, 4)).astype(np.float32)
    kl = Categorical(logits).kl(Categorical(others))
    expected = stats.entropy(special.softmax(logits, axis=1), special.softmax(others, axis=1), axis=1)
    np.testing.assert_allclose(kl, expected, rtol=1e-5)
    assert Categorical(jnp.array([0.0, -jnp.inf])).kl(Categorical(jnp.array([0.0, -jnp.inf]))) == 0


def test_kl_divergence_of_gaussians_is_an_integral():
    mean, log_std, other_mean, other_log_std = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)

    def integrand(x, i):
        ours, theirs = (
            stats.norm(mean[i], np.exp(log_std[i])),
            stats.norm(other_mean[i], np.exp(other_log_std[i])),
        )
        return ours.pdf(x) * (ours.logpdf(x) - theirs.logpdf(x))

    expected = sum(integrate.quad(integrand, -30, 30, i, points=[mean[i]])[0] for i in range(2))
    kl = Gaussian(mean, log_std).kl(Gaussian(other_mean, other_log_std))
    assert kl == pytest.approx(expected, rel=1e-4)
    assert Gaussian(mean, log_std).kl(Gaussian(mean, log_std)) == pytest.approx(0, abs=1e-6)


def entropy(logits):
    return Categorical(logits).entropy()


@pytest.mark.parametrize("logits", [[0.0, -jnp.inf], [3e38, -3e38], [-jnp.inf, 1.0, 1.0]])
def test_entropy_and_its_gradient_with_impossible_actions(logits):
    logits = jnp.array(logits)
    possible = int((logits > -1e38).sum())
    assert entropy(logits) == pytest.approx(np.log(possible), abs=1e-6)
    assert jnp.isfinite(jax.grad(entropy)(logits)).all()


def batches(rng):
    """Distributions [4, 2] of each kind, with actions of them."""
    mean, log_std, action = rng.uniform(-1, [[[[1]]], [[[0]]], [[[1]]]], (3, 4, 2, 3)).astype(np.float32)
    return {
        "categorical": (Categorical(mean), rng.integers(3, size=(4, 2))),
        "gaussian": (Gaussian(mean, log_std), action),
        "tanh gaussian": (TanhGaussian(mean, log_std), action),  # its noise
    }


@pytest.mark.parametrize("kind", ["categorical", "gaussian", "tanh gaussian"])
def test_leading_axes_equal_a_vmap_of_single_ones(kind):
    policies, actions = batches(np.random.default_rng(0))[kind]

    def numbers(policy, action):
        if isinstance(policy, TanhGaussian):
            return policy.mode(), *policy.transformed(action)
        return policy.mode(), policy.log_prob(action), policy.entropy()

    together = jax.jit(numbers)(policies, actions)
    single = jax.jit(jax.vmap(jax.vmap(numbers)))(policies, actions)
    assert {ours.shape[:2] for ours in together} == {(4, 2)}
    for ours, expected in zip(together, single, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["categorical", "gaussian", "tanh gaussian"])
def test_a_batch_draws_for_each_of_its_members(kind):
    """20,000 equal members draw as one distribution does that many times."""
    policy = jax.tree.map(
        lambda leaf: np.tile(leaf[0, 0], (20_000, 1)), batches(np.random.default_rng(0))[kind][0]
    )
    drawn = np.asarray(policy.sample(random.key(0)))
    if isinstance(policy, Categorical):
        expected = 20_000 * special.softmax(policy.logits[0].astype(np.float64))
        assert stats.chisquare(np.bincount(drawn, minlength=3), expected).pvalue > 1e-3
        return
    drawn = np.arctanh(drawn.astype(np.float64)) if isinstance(policy, TanhGaussian) else drawn
    standard = (drawn - policy.mean) / np.exp(policy.log_std)
    assert drawn.shape == (20_000, 3)
    for column in standard.T:
        assert stats.kstest(column, stats.norm.cdf).pvalue > 1e-3
    assert np.abs(np.corrcoef(standard.T) - np.eye(3)).max() < 0.05


@pytest.mark.parametrize(
    ("policy", "action"),
    [
        (Categorical(np.zeros((4, 3))), np.zeros((4, 1), int)),
        (Gaussian(np.zeros((4, 1)), np.zeros((4, 1))), np.zeros(4)),
    ],
    ids=["categorical", "gaussian"],
)
def test_actions_of_another_shape_are_refused(policy, action):
    with pytest.raises(AssertionError, match="shapes"):
        policy.log_prob(action)


MEANS, LOG_STDS = np.float32([0.3, -1.0, 0.0]), np.float32([-0.5, 0.4, -2.0])


def test_gaussian_is_scipys():
    policy, action = Gaussian(MEANS, LOG_STDS), jnp.array([0.1, 0.5, -0.2])
    normal = stats.norm(MEANS, np.exp(LOG_STDS))
    assert policy.log_prob(action) == pytest.approx(normal.logpdf(action).sum(), rel=1e-5)
    assert policy.entropy() == pytest.approx(sum(normal.entropy()), rel=1e-5)
    np.testing.assert_array_equal(policy.mode(), MEANS)


@pytest.mark.parametrize(("mean", "log_std"), [(0.3, -0.5), (-1.0, 0.4), (2.0, -1.0)])
def test_tanh_gaussian_density_by_a_numerical_change_of_variables(mean, log_std):
    """The density is the derivative of the distribution function Φ((artanh a - mean) / std)."""
    policy = TanhGaussian(jnp.array([mean]), jnp.array([log_std]))
    for noise in (-2.0, -0.3, 0.0, 1.0):
        action, log_prob = policy.transformed(jnp.array([noise]))
        a, h = float(action[0]), 1e-6
        below, above = stats.norm(mean, np.exp(log_std)).cdf(np.arctanh([a - h, a + h]))
        assert float(log_prob) == pytest.approx(np.log((above - below) / (2 * h)), abs=2e-3)


def test_tanh_gaussian_density_is_that_of_independent_dimensions():
    noise = jnp.array([0.5, -1.0, 0.2])
    parts = [
        TanhGaussian(MEANS[i : i + 1], LOG_STDS[i : i + 1]).transformed(noise[i : i + 1]) for i in range(3)
    ]
    action, log_prob = TanhGaussian(MEANS, LOG_STDS).transformed(noise)
    np.testing.assert_allclose(action, [part[0][0] for part in parts], rtol=1e-6)
    assert log_prob == pytest.approx(sum(float(part[1]) for part in parts), rel=1e-5)


@pytest.mark.parametrize("mean", [0.0, 10.0, -50.0, 1_000.0])
def test_tanh_gaussian_is_finite_at_the_edges(mean):
    """Where the action rounds to 1, the density is still that of the number before the tanh."""

    def log_prob(parameters):
        return TanhGaussian(parameters[:1], parameters[1:]).transformed(jnp.array([0.5]))[1]

    value, gradient = jax.value_and_grad(log_prob)(jnp.array([mean, 0.0]))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    exact = stats.norm.logpdf(0.5) - 2 * (
        np.log(2) - abs(mean + 0.5) - np.log1p(np.exp(-2 * abs(mean + 0.5)))
    )
    assert value == pytest.approx(exact, rel=1e-5)


def test_mode_of_a_tanh_gaussian_is_that_of_the_number_before_the_tanh():
    np.testing.assert_allclose(TanhGaussian(MEANS, LOG_STDS).mode(), np.tanh(MEANS), rtol=1e-6)
