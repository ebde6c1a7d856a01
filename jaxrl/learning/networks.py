"""Networks in flax.linen, their initialiser, and how an observation becomes their input."""

import math
from collections.abc import Sequence
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax, random

from jaxrl.mdp.spaces import Discrete, Space


class MLP(nn.Module):
    """Dense layers with tanh between them, orthogonally initialised (Andrychowicz et al. 2021)."""

    hidden: Sequence[int]  # units of each hidden layer
    outputs: int
    output_scale: float  # of the last layer's initial weights
    image: bool = False  # a convolution comes first

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [..., *features] float32, gives [..., outputs] float32."""
        x = Convolution()(x) if self.image else x
        for units in self.hidden:
            x = nn.tanh(nn.Dense(units, kernel_init=Orthogonal(math.sqrt(2)))(x))
        return nn.Dense(self.outputs, kernel_init=Orthogonal(self.output_scale))(x)


class GaussianMLP(nn.Module):
    """An action's mean as an MLP, and the logarithm of its standard deviation, which no input changes."""

    hidden: Sequence[int]  # units of each hidden layer
    outputs: int
    image: bool = False  # a convolution comes first

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        """x [..., *features] float32, gives mean and log_std, [..., outputs] float32 each."""
        mean = MLP(self.hidden, self.outputs, 0.01, self.image)(x)
        log_std = self.param("log_std", nn.initializers.zeros, (self.outputs,))
        return mean, jnp.broadcast_to(log_std, mean.shape)


class ReluMLP(nn.Module):
    """Dense layers with ReLU between them, as in DQN and SAC; optionally dueling (Wang et al. 2016)."""

    hidden: Sequence[int]  # units of each hidden layer
    outputs: int
    dueling: bool = False  # value plus advantages less their mean (eq. 9), each from the last hidden layer
    image: bool = False  # a convolution comes first

    @nn.compact
    def __call__(self, x: Array, action: Array | None = None) -> Array:
        """x [..., *features] float32, gives [..., outputs] float32. An action [..., n] is a further input."""
        x = Convolution()(x) if self.image else x
        x = x if action is None else jnp.concatenate([x, action], axis=-1)
        for units in self.hidden:
            x = nn.relu(nn.Dense(units)(x))
        outputs = nn.Dense(self.outputs)(x)
        if self.dueling:
            outputs = nn.Dense(1)(x) + outputs - jnp.mean(outputs, axis=-1, keepdims=True)
        return outputs


class Convolution(nn.Module):
    """16 filters of 3 x 3 and ReLU, as for MinAtar (Young & Tian 2019).

    A dense layer over patches: under vmap over lanes, each with its own weights, that is a batched
    matrix product, where a convolution would become a grouped one.
    """

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [..., height, width, channels], gives [..., (height - 2) (width - 2) 16]."""
        height, width = x.shape[-3] - 2, x.shape[-2] - 2
        shifted = [x[..., i : i + height, j : j + width, :] for i in range(3) for j in range(3)]
        x = nn.relu(nn.Dense(16)(jnp.concatenate(shifted, axis=-1)))
        return x.reshape(*x.shape[:-3], -1)


def is_image(space: Space) -> bool:
    """Whether observations are images, [height, width, channels] of at least 3 x 3 pixels."""
    return len(space.shape) == 3 and min(space.shape[:2]) >= 3


def features(space: Space, obs: Array) -> Array:
    """An observation as a network's input, float32: one-hot, an image (bytes as 0 to 1), or else flat."""
    chex.assert_shape(obs, space.shape)
    if isinstance(space, Discrete):
        return jax.nn.one_hot(obs, space.n)
    if not is_image(space):
        return jnp.ravel(obs).astype(jnp.float32)
    return obs.astype(jnp.float32) / (255 if space.dtype == jnp.uint8 else 1)


class Orthogonal:
    """Initialiser of random orthonormal rows or columns, whichever are fewer, times `scale`.

    Gram-Schmidt on a Gaussian matrix, so uniformly (Haar) distributed (Mezzadri 2007). jax's own goes
    through LAPACK's QR, which under vmap can block XLA:CPU's thread pool for ever (jaxlib 0.10.2).
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
    (Giraud, Langou & Rozloznik 2005); a GPU's default precision would spoil that.
    """

    chex.assert_rank(matrix, 2)

    def orthonormalise(k: Array, q: Array) -> Array:
        column, earlier = q[:, k], jnp.arange(q.shape[1]) < k
        for _ in range(2):
            overlap = jnp.where(earlier, jnp.matmul(column, q, precision="highest"), 0.0)
            column = column - jnp.matmul(q, overlap, precision="highest")
        return q.at[:, k].set(column / jnp.linalg.norm(column))

    return lax.fori_loop(0, matrix.shape[1], orthonormalise, matrix)
