"""What a network's outputs say about the return of an action, and the loss of that.

A head is a component of DQN. It makes `outputs` numbers of each action: [..., actions, outputs].
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from jaxrl.config import Config, static, traced
from jaxrl.errors import InputError


class ValueHead(Config):
    """What is learned about the return of each action."""

    @property
    def outputs(self) -> int:
        """Numbers for each action."""
        raise InputError(f"{type(self).__name__} must define outputs")

    def mean(self, outputs: Array) -> Array:
        """The expected return: outputs [..., outputs], returns [...]."""
        raise InputError(f"{type(self).__name__} must define mean")

    def loss(
        self, outputs: Array, reward: Array, discount: Array, next_outputs: Array
    ) -> tuple[Array, Array]:
        """The loss of one transition and its priority in replay, [] float32 each.

        `outputs` are those of the action taken and `next_outputs` those of the bootstrapped action, [outputs]
        each. The discount is 0 after a termination. No gradient passes through `next_outputs`.
        """
        raise InputError(f"{type(self).__name__} must define loss")


class ExpectedReturn(ValueHead):
    """The expected return, as in Mnih et al. (2015)."""

    penalty: str = static(
        "squared", "loss of a TD error δ: δ², or Huber's, which is δ²/2 up to 1", choices=("squared", "huber")
    )

    @property
    def outputs(self) -> int:
        return 1

    def mean(self, outputs: Array) -> Array:
        return outputs[..., 0]

    def loss(
        self, outputs: Array, reward: Array, discount: Array, next_outputs: Array
    ) -> tuple[Array, Array]:
        error = reward + discount * lax.stop_gradient(next_outputs[0]) - outputs[0]
        loss = optax.huber_loss(error) if self.penalty == "huber" else jnp.square(error)
        return loss, lax.stop_gradient(jnp.abs(error))


class CategoricalReturn(ValueHead):
    """The distribution of the return over equally spaced atoms (C51, Bellemare et al. 2017).

    The atoms are those of CleanRL's c51.py for CartPole (Huang et al. 2022). The paper's are 51 in [-10, 10].
    """

    atoms: int = static(101, "number of atoms", low=2)
    v_min: float = traced(-100.0, "return of the first atom")
    v_max: float = traced(100.0, "return of the last atom")

    def validate(self) -> None:
        super().validate()
        if not np.float32(self.v_min) < np.float32(self.v_max):
            raise InputError(f"CategoricalReturn.v_min must be below v_max = {self.v_max}, got {self.v_min}")

    @property
    def outputs(self) -> int:
        return self.atoms

    def support(self) -> Array:
        """The returns of the atoms: [atoms]."""
        return self.v_min + (self.v_max - self.v_min) * jnp.arange(self.atoms) / (self.atoms - 1)

    def mean(self, outputs: Array) -> Array:
        return jax.nn.softmax(outputs) @ self.support()

    def loss(
        self, outputs: Array, reward: Array, discount: Array, next_outputs: Array
    ) -> tuple[Array, Array]:
        target = projected(reward + discount * self.support(), jax.nn.softmax(next_outputs), self.support())
        target = lax.stop_gradient(target)
        loss = optax.softmax_cross_entropy(outputs, target)
        # The priority is the Kullback-Leibler divergence, as in Rainbow (Hessel et al. 2018).
        entropy = -jnp.sum(target * jnp.log(jnp.maximum(target, 1e-12)))
        return loss, lax.stop_gradient(jnp.maximum(loss - entropy, 0.0))


class QuantileReturn(ValueHead):
    """Quantiles of the return (QR-DQN, Dabney et al. 2018)."""

    quantiles: int = static(200, "number of quantiles", low=1)
    kappa: float = traced(1.0, "κ, where the Huber loss becomes linear", low=1e-6)

    @property
    def outputs(self) -> int:
        return self.quantiles

    def mean(self, outputs: Array) -> Array:
        return jnp.mean(outputs, axis=-1)

    def loss(
        self, outputs: Array, reward: Array, discount: Array, next_outputs: Array
    ) -> tuple[Array, Array]:
        target = reward + discount * lax.stop_gradient(next_outputs)
        loss = quantile_huber_loss(outputs, target, self.kappa)
        # The paper has no priorities. This is the TD error of the expected return.
        return loss, lax.stop_gradient(jnp.abs(jnp.mean(target) - jnp.mean(outputs)))


def of_action(outputs: Array, action: Array) -> Array:
    """The numbers of one action: outputs [batch, actions, outputs], action [batch]; [batch, outputs]."""
    return jnp.take_along_axis(outputs, action[:, None, None], axis=1)[:, 0]


def projected(returns: Array, probabilities: Array, support: Array) -> Array:
    """A distribution over `returns`, moved onto the atoms of `support` (Bellemare et al. 2017, eq. 7).

    Each probability is shared by the two atoms beside its return, which is first clipped to the support. All
    are [atoms], and the support is equally spaced.
    """
    chex.assert_equal_shape([returns, probabilities, support])
    spacing = support[1] - support[0]
    distance = jnp.abs(jnp.clip(returns, support[0], support[-1])[None] - support[:, None]) / spacing
    return jnp.sum(jnp.clip(1.0 - distance, 0.0, 1.0) * probabilities[None], axis=-1)


def quantile_huber_loss(quantiles: Array, target: Array, kappa: Array | float) -> Array:
    """Sum over quantiles of the mean over targets (Dabney et al. 2018, eq. 9 and 10).

    quantiles [n] at the levels (i + 1/2) / n, target [m]; returns [] float32.
    """
    levels = (jnp.arange(quantiles.size) + 0.5) / quantiles.size
    error = target[None, :] - quantiles[:, None]
    huber = jnp.where(
        jnp.abs(error) <= kappa, 0.5 * jnp.square(error), kappa * (jnp.abs(error) - 0.5 * kappa)
    )
    weight = jnp.abs(levels[:, None] - (error < 0))
    return jnp.sum(jnp.mean(weight * huber, axis=1))


VALUE_HEADS: dict[str, ValueHead] = {
    "categorical": CategoricalReturn(),
    "expected": ExpectedReturn(),
    "quantiles": QuantileReturn(),
}
