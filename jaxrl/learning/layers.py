"""Layers: those that torsos are made of, the heads that algorithms add, and initial weights."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import chex
import flax.linen as nn
import jax.numpy as jnp
from jax import Array, lax, random

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"relu": nn.relu, "tanh": nn.tanh}


class DenseLayers(nn.Module):
    """Dense layers with an activation after each."""

    hidden: Sequence[int]  # units of each
    activation: str
    initialiser: str
    image: bool  # a convolution comes first
    layer_norm: bool = False

    @nn.compact
    def __call__(self, x: Array, action: Array | None = None) -> Array:
        """x [..., *inputs] float32, action [..., n] float32; returns [..., hidden[-1]] float32."""
        x = Convolution(self.layer_norm)(x) if self.image else x
        x = x if action is None else jnp.concatenate([x, action], axis=-1)
        scale = math.sqrt(2) if self.initialiser == "orthogonal" else None
        for units in self.hidden:
            x = dense(units, scale)(x)
            x = ACTIVATIONS[self.activation](nn.LayerNorm()(x) if self.layer_norm else x)
        return x


class Convolution(nn.Module):
    """16 filters of 3 x 3 and ReLU, as for MinAtar (Young & Tian 2019).

    It is computed as a dense layer over patches. Under vmap over lanes, each with its own weights, that is a
    batched matrix product; a convolution would become a grouped convolution.
    """

    layer_norm: bool = False  # over the filters

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [..., height, width, channels]; returns [..., (height - 2) (width - 2) 16]."""
        height, width = x.shape[-3] - 2, x.shape[-2] - 2
        shifted = [x[..., i : i + height, j : j + width, :] for i in range(3) for j in range(3)]
        x = nn.Dense(16)(jnp.concatenate(shifted, axis=-1))
        x = nn.relu(nn.LayerNorm()(x) if self.layer_norm else x)
        return x.reshape(*x.shape[:-3], -1)


class NoisyDense(nn.Module):
    """A dense layer with factorised Gaussian noise in its weights (Fortunato et al. 2018, eq. 9 to 11).

    A call without a key for "noise" has none. σ begins at `sigma` / sqrt(inputs), as in the paper.
    """

    units: int
    sigma: float = 0.5

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [..., n] float32; returns [..., units] float32."""
        shape = (x.shape[-1], self.units)
        bound = shape[0] ** -0.5
        uniform = nn.initializers.uniform(2 * bound)
        kernel = self.param("kernel", lambda *args: uniform(*args) - bound, shape)
        bias = self.param("bias", lambda *args: uniform(*args) - bound, shape[1:])
        constant = nn.initializers.constant(self.sigma * bound)
        kernel_sigma = self.param("kernel_sigma", constant, shape)
        bias_sigma = self.param("bias_sigma", constant, shape[1:])
        if self.has_rng("noise"):
            normal = random.normal(self.make_rng("noise"), (sum(shape),))
            row, column = jnp.split(jnp.sign(normal) * jnp.sqrt(jnp.abs(normal)), [shape[0]])
            kernel, bias = kernel + kernel_sigma * jnp.outer(row, column), bias + bias_sigma * column
        return x @ kernel + bias.reshape((1,) * (x.ndim - 1) + (-1,))


class Linear(nn.Module):
    """A torso and a dense layer without activation."""

    torso: nn.Module
    outputs: int
    scale: float | None = None  # of orthogonal weights; None for LeCun's normal weights

    @nn.compact
    def __call__(self, x: Array, *action: Array) -> Array:
        """x [..., *inputs] float32, a critic's action [..., n]; returns [..., outputs] float32."""
        return dense(self.outputs, self.scale)(self.torso(x, *action))


class ActionValues(nn.Module):
    """A torso and some numbers for each action.

    Dueling numbers are those of the state plus advantages minus their mean (Wang et al. 2016, eq. 9).
    """

    torso: nn.Module
    actions: int
    outputs: int = 1  # numbers for each action
    dueling: bool = False
    noisy: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [..., *inputs] float32; returns [..., actions, outputs] float32."""
        layer = NoisyDense if self.noisy else nn.Dense
        x = self.torso(x)
        advantage = layer(self.actions * self.outputs)(x)
        advantage = advantage.reshape(*x.shape[:-1], self.actions, self.outputs)
        if not self.dueling:
            return advantage
        value = layer(self.outputs)(x)[..., None, :]
        return value + advantage - jnp.mean(advantage, axis=-2, keepdims=True)


class MeanAndLogStd(nn.Module):
    """A torso and the mean of an action. Its log standard deviation is a parameter, equal for all inputs."""

    torso: nn.Module
    outputs: int
    scale: float  # of the mean's orthogonal weights

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        """x [..., *inputs] float32; returns mean and log_std, [..., outputs] float32 each."""
        mean = dense(self.outputs, self.scale)(self.torso(x))
        log_std = self.param("log_std", nn.initializers.zeros, (self.outputs,))
        return mean, jnp.broadcast_to(log_std, mean.shape)


def dense(units: int, scale: float | None) -> nn.Dense:
    """A dense layer with orthogonal weights of this scale, or with LeCun's normal weights for None."""
    return nn.Dense(units) if scale is None else nn.Dense(units, kernel_init=Orthogonal(scale))


class Orthogonal:
    """Initialiser of random orthonormal rows or columns, whichever are fewer, times `scale`.

    Gram-Schmidt on a Gaussian matrix gives the uniform (Haar) distribution (Mezzadri 2007). jax's initialiser
    uses LAPACK's QR, which under vmap can block XLA:CPU's thread pool for ever (jaxlib 0.10.2).
    """

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, key: Array, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
        rows, columns = math.prod(shape[:-1]), shape[-1]
        gaussian = random.normal(key, (max(rows, columns), min(rows, columns)))
        matrix = gram_schmidt(gaussian)
        matrix = matrix if rows >= columns else matrix.T
        return (self.scale * matrix.reshape(shape)).astype(dtype)


def gram_schmidt(matrix: Array) -> Array:
    """The columns of an [m, n] matrix, m >= n, made orthonormal from left to right: [m, n].

    Each column is projected twice, which leaves it orthogonal to working precision
    (Giraud, Langou & Rozloznik 2005). A GPU's default precision would not be enough for that.
    """
    chex.assert_rank(matrix, 2)

    def orthonormalise(k: Array, q: Array) -> Array:
        column, earlier = q[:, k], jnp.arange(q.shape[1]) < k
        for _ in range(2):
            overlap = jnp.where(earlier, jnp.matmul(column, q, precision="highest"), 0.0)
            column = column - jnp.matmul(q, overlap, precision="highest")
        return q.at[:, k].set(column / jnp.linalg.norm(column))

    return lax.fori_loop(0, matrix.shape[1], orthonormalise, matrix)
