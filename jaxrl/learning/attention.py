"""Causal self-attention over a window of past steps, whose keys and values are a network's memory."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from jaxrl.learning.memory import Window


class AttentionBlocks(nn.Module):
    """A torso and blocks of attention and of two dense layers, each added to its normalised input.

    It takes one step, or a sequence of steps, [length, ...], if the memory holds where its episodes end.

    The blocks are those of Vaswani et al. (2017), but normalisation comes before each part and not after it,
    which makes reinforcement learning more stable (Parisotto et al. 2020).
    """

    torso: nn.Module
    units: int
    heads: int
    window: int
    layers: int

    @nn.compact
    def __call__(self, x: Array, *action: Array) -> Array:
        """x [*inputs] float32, a critic's action [n]; returns [units] float32."""
        x = nn.Dense(self.units)(self.torso(x, *action))
        for _ in range(self.layers):
            x = x + WindowAttention(self.heads, self.window)(nn.LayerNorm()(x))
            hidden = nn.relu(nn.Dense(4 * self.units)(nn.LayerNorm()(x)))
            x = x + nn.Dense(self.units)(hidden)
        return nn.LayerNorm()(x)


class WindowAttention(nn.Module):
    """A step attends to itself and to the steps of its episode before it, `window` in all.

    Its memory is the keys and values of these steps. A learned vector for each age is added to the keys
    (Shaw et al. 2018).
    """

    heads: int
    window: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [units] float32, a multiple of `heads`, or a sequence [length, units]; returns as much."""
        units, sequence = x.shape[-1], x.reshape(-1, x.shape[-1])
        shape = (self.heads, units // self.heads)
        query, key, value = (nn.Dense(units)(sequence).reshape(-1, *shape) for _ in range(3))
        ages = self.param("ages", nn.initializers.normal(1.0), (self.window, *shape))
        memory = self.variable("memory", "window", empty_window, self.window, shape)
        attended, memory.value = attention(query, key, value, ages, memory.value)
        return nn.Dense(units)(attended.reshape(x.shape))


def empty_window(size: int, shape: tuple[int, int]) -> Window:
    """The memory at the start of an episode, for keys and values [heads, d] of a step."""
    return Window(jnp.zeros((size, *shape)), jnp.zeros((size, *shape)), jnp.int32(0))


def attention(query: Array, key: Array, value: Array, ages: Array, window: Window) -> tuple[Array, Window]:
    """Scaled dot-product attention (Vaswani et al. 2017, eq. 1) of each step to the last ones of its episode.

    query, key and value are those of a sequence, [length, heads, d]. ages [window, heads, d] is added to the
    keys of steps that lie 0, 1, ... steps back. Returns [length, heads, d] and the window afterwards.
    """
    (length, _, d), size = query.shape, len(window.keys)
    done = jnp.zeros(length, bool) if window.done is None else window.done
    keys, values = jnp.concatenate([window.keys, key]), jnp.concatenate([window.values, value])
    ended = jnp.cumsum(done)
    past = jnp.where(jnp.arange(size) < size - window.steps, -1, 0)
    episode = jnp.concatenate([past, ended - done])  # of each key; -1 where there is none
    age = size + jnp.arange(length)[:, None] - jnp.arange(size + length)[None]
    seen = (age >= 0) & (age < size) & (episode[None] == episode[size:, None])
    of_ages = jnp.einsum("thd,whd->htw", query, ages) / jnp.sqrt(d)
    index = jnp.broadcast_to(jnp.clip(age, 0, size - 1), (query.shape[1], *age.shape))
    bias = jnp.take_along_axis(of_ages, index, axis=-1)
    attended = jax.nn.dot_product_attention(query, keys, values, bias=bias, mask=seen[None])
    steps = jnp.sum(episode[length:] == ended[-1])
    return attended, Window(keys[length:], values[length:], steps)
