"""Networks in flax.linen, their initialiser, and how an observation becomes their input."""

import math
from collections.abc import Sequence
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax, random

from jaxrl.environment import Discrete, Space


class MLP(nn.Module):
    """Dense layers with tanh between them, orthogonally initialised (Andrychowicz et al. 2021)."""

    hidden: Sequence[int]  # units of each hidden layer
    outputs: int
    output_scale: float  # of the last layer's initial weights

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [inputs] float32, gives [outputs] float32."""
        for units in self.hidden:
            x = nn.tanh(nn.Dense(units, kernel_init=Orthogonal(math.sqrt(2)))(x))
        return nn.Dense(self.outputs, kernel_init=Orthogonal(self.output_scale))(x)


class QNetwork(nn.Module):
    """Action values: dense layers with ReLU between them, optionally dueling (Wang et al. 2016)."""

    hidden: Sequence[int]  # units of each hidden layer
    actions: int
    dueling: bool  # value plus advantages less their mean (eq. 9), each from the last hidden layer

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [inputs] float32, gives [actions] float32."""
        for units in self.hidden:
            x = nn.relu(nn.Dense(units)(x))
        values = nn.Dense(self.actions)(x)
        if self.dueling:
            values = nn.Dense(1)(x) + values - jnp.mean(values, axis=-1, keepdims=True)
        return values


def features(space: Space, obs: Array) -> Array:
    """An observation as a network's input: one-hot where it is discrete, else flat. [inputs] float32."""
    chex.assert_shape(obs, space.shape)
    if isinstance(space, Discrete):
        return jax.nn.one_hot(obs, space.n)
    return jnp.ravel(obs).astype(jnp.float32)


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
