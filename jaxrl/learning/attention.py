"""Causal self-attention over a window of past steps, whose keys and values are a network's memory."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array


class AttentionBlocks(nn.Module):
    """A torso and blocks of attention and of two dense layers, each added to its normalised input.

    The blocks are those of Vaswani et al. (2017, section 3), but normalisation comes before each part and not
    after it, which Parisotto et al. (2020, section 3.1) found to be necessary in reinforcement learning.
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

    Its memory is the keys and values of these steps, youngest first. The key of a step depends on its age by
    a learned vector for each age (Shaw et al. 2018, eq. 4).
    """

    heads: int
    window: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [units] float32, of which `heads` is a divisor; returns [units] float32."""
        units = x.shape[0]
        shape = (self.heads, units // self.heads)
        query, key, value = (nn.Dense(units)(x).reshape(shape) for _ in range(3))
        keys = self.variable("memory", "keys", jnp.zeros, (self.window, *shape))
        values = self.variable("memory", "values", jnp.zeros, (self.window, *shape))
        steps = self.variable("memory", "steps", jnp.zeros, (), jnp.int32)
        keys.value = jnp.concatenate([key[None], keys.value[:-1]])
        values.value = jnp.concatenate([value[None], values.value[:-1]])
        steps.value = jnp.minimum(steps.value + 1, self.window)
        ages = self.param("ages", nn.initializers.normal(0.02), (self.window, *shape))
        attended = attention(query, keys.value + ages, values.value, jnp.arange(self.window) < steps.value)
        return nn.Dense(units)(attended.reshape(-1))


def attention(query: Array, keys: Array, values: Array, seen: Array) -> Array:
    """Scaled dot-product attention of each head (Vaswani et al. 2017, eq. 1) to the steps that are seen.

    query [heads, d], keys and values [window, heads, d], seen [window] bool; returns [heads, d].
    """
    return jax.nn.dot_product_attention(query[None], keys, values, mask=seen[None, None])[0]
