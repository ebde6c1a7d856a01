"""Networks: torsos, which are components that a user can exchange, and the heads that algorithms add."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax, random

from jaxrl.config import Config, component, static
from jaxrl.errors import InputError
from jaxrl.learning.algorithm import Algorithm, require_one_agent
from jaxrl.learning.memory import needs
from jaxrl.mdp.environment import Environment, described
from jaxrl.mdp.spaces import Box, Discrete, Space

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"relu": nn.relu, "tanh": nn.tanh}


class Network(Config):
    """A torso, which maps a network's input to features. An algorithm adds its own heads."""

    def module(self, space: Space) -> nn.Module:
        """A flax module (x, action=None) -> features [..., m] float32, for observations of a space.

        x is [..., *inputs] float32 as `features` makes it. A critic's action is a further input, [..., n].
        A module that remembers, in variables of the collection "memory", gets one step: x [*inputs].
        """
        raise InputError(f"{type(self).__name__} must define module")


class MLP(Network):
    """Dense layers. An image passes through a small convolution first."""

    hidden: tuple[int, ...] = static((64, 64), "units of each hidden layer", low=1)
    activation: str = static("tanh", "activation after each layer", choices=tuple(ACTIVATIONS))
    initialiser: str = static("orthogonal", "initial weights", choices=("orthogonal", "lecun_normal"))
    layer_norm: bool = static(False, "whether each layer is normalised before its activation")

    def module(self, space: Space) -> nn.Module:
        return DenseLayers(self.hidden, self.activation, self.initialiser, is_image(space), self.layer_norm)


class GRU(Network):
    """A gated recurrent unit (Cho et al. 2014) over the features of another network."""

    units: int = static(64, "size of the hidden state", low=1)
    torso: Network = component(MLP(hidden=(64,)), "network before the unit")

    def module(self, space: Space) -> nn.Module:
        return RecurrentLayer(self.torso.module(space), self.units)


class RecurrentLayer(nn.Module):
    """A torso and a gated recurrent unit."""

    torso: nn.Module
    units: int

    @nn.compact
    def __call__(self, x: Array, *action: Array) -> Array:
        """x [*inputs] float32, a critic's action [n]; returns [units] float32."""
        cell = nn.GRUCell(self.units, recurrent_kernel_init=Orthogonal(1.0))
        memory = self.variable("memory", "hidden", jnp.zeros, (self.units,))
        memory.value, features = cell(memory.value, self.torso(x, *action))
        return features


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


def is_image(space: Space) -> bool:
    """Whether observations are images, [height, width, channels] of 3 x 3 pixels or more or channel-first."""
    return len(space.shape) == 3 and (min(space.shape[:2]) >= 3 or is_channel_first(space))


def is_channel_first(space: Space) -> bool:
    """Whether observations are taken as images [channels, height, width]: 1 to 4 channels, more pixels."""
    return len(space.shape) == 3 and space.shape[0] <= 4 < min(space.shape[1:])


def input_shape(space: Space) -> tuple[int, ...]:
    """The shape of `features` of one observation."""
    if isinstance(space, Discrete):
        return (space.n,)
    if is_channel_first(space):
        return (*space.shape[1:], space.shape[0])
    return tuple(space.shape) if is_image(space) else (math.prod(space.shape),)


def features(space: Space, obs: Array) -> Array:
    """Observations [..., *obs] as a network's input, [..., *inputs] float32.

    Discrete observations become one-hot. Images keep their shape, but for channels that come first and are
    moved to the end. All others become flat. Bytes are divided by the largest that the space allows.
    """
    lead = obs.shape[: obs.ndim - len(space.shape)]
    chex.assert_shape(obs, (*lead, *space.shape))
    if isinstance(space, Discrete):
        return jax.nn.one_hot(obs, space.n)
    x = obs.astype(jnp.float32)
    if isinstance(space, Box) and space.dtype == jnp.uint8:
        x = x / jnp.max(jnp.asarray(space.high, jnp.float32), initial=1.0)
    if is_channel_first(space):
        return jnp.moveaxis(x, -3, -1)
    return x if is_image(space) else x.reshape(*lead, -1)


def require_network(
    algorithm: Algorithm, network: Network, env: Environment, memory: bool = False, noise: bool = False
) -> None:
    """Raises InputError unless an algorithm for one agent can use a network in an environment.

    `memory` and `noise` say whether the algorithm carries the network's memory and gives it keys for noise.
    """
    require_one_agent(algorithm, env)
    space, learner, name = env.observation_space, type(algorithm).__name__, type(network).__name__
    module = network.module(space)
    if not isinstance(module, nn.Module):
        raise InputError(f"{name}.module must return a flax module, got {module!r}")
    needed = needs(module, input_shape(space))
    if not re.fullmatch(r"float32\[\d+\]", got := described(needed.outputs)):
        raise InputError(f"{name}.module must map an input to float32[m], got {got}")
    if jax.tree.leaves(needed.memory) and not memory:
        raise InputError(f"{learner} cannot use a network with memory such as {name}; a2c, ppo and pqn can")
    if needed.noise and not noise:
        raise InputError(f"{learner} cannot use a network that draws noise such as {name}")


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


NETWORKS: dict[str, Network] = {"gru": GRU(), "mlp": MLP()}
