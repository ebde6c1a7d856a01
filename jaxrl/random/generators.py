"""Random number generators that a study can choose by name; every one makes jax's typed keys.

All are counter-based: bits are a fixed function of a key and a counter (Salmon et al. 2011), so that a key
in one lane knows nothing of its neighbours.

threefry2x32  jax's own: a reduced cipher, 20 rounds
pcg4x32       pcg4d (Jarzynski & Olano 2020) with a finaliser: about 50 integer operations for four words
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.extend.random import define_prng_impl

Words = tuple[Array, Array, Array, Array]  # uint32, equal shapes

BITS, SPLIT, FOLD = range(3)  # what a block is for, so that no two uses of a key share one
MAX_BLOCKS = 2**32 - 1  # that a counter of one word tells apart
# Keys of a split up to which each is computed apart: then XLA leaves out those that nobody uses, and under
# vmap loops over the lanes alone, which is several times as fast as over lanes and keys.
FEW = 4


def pcg4d(x: Array, y: Array, z: Array, w: Array) -> Words:
    """A bijection of four words (Jarzynski & Olano 2020, section 4): uint32, of shapes that broadcast."""
    x, y, z, w = (each * jnp.uint32(1664525) + jnp.uint32(1013904223) for each in (x, y, z, w))
    x, y, z, w = _multiplied(x, y, z, w)
    x, y, z, w = (each ^ (each >> 16) for each in (x, y, z, w))
    return _multiplied(x, y, z, w)


@partial(jax.jit, inline=True)  # so that it is traced once, not at every use
def block(key: Array, counter: Array, purpose: int) -> Words:
    """Four words of a key [2], for each counter: uint32, of the counter's shape.

    pcg4d alone leaves the low bits of its words blind to the upper half of what goes in. One more
    multiply-add for the first word, which its rounds mix least, and a xorshift-multiply for each (half of
    Wellons' lowbias32) make every bit of a block change with probability 1/2 when any bit of its input does.
    One key in about 2^51 is weak: both its words, multiplied, have most of their low bits zero.
    """
    x, y, z, w = pcg4d(key[0], key[1], counter, jnp.uint32(purpose))
    return _final(w), _final(z), _final(y), _final(x + y * w)


def words(key: Array, count: int) -> Array:
    """Random words: [count] uint32. Raises ValueError for more than a key has."""
    blocks = -(-count // 4)
    if blocks > MAX_BLOCKS:
        raise ValueError(f"one key gives at most {4 * MAX_BLOCKS} words, not {count}")
    if blocks == 1:  # apart, for the same reason
        return jnp.stack(block(key, jnp.uint32(0), BITS)[:count])
    return jnp.concatenate(block(key, lax.iota(jnp.uint32, blocks), BITS))[:count]


def random_bits(key: Array, width: int, shape: tuple[int, ...]) -> Array:
    """Unsigned integers of 8, 16, 32 or 64 bits: [*shape]."""
    size = math.prod(shape)
    if width == 64:
        high, low = words(key, 2 * size).reshape(2, *shape).astype(jnp.uint64)
        return (high << 32) | low
    return words(key, size).reshape(shape).astype(jnp.dtype(f"uint{width}"))


def split(key: Array, shape: tuple[int, ...]) -> Array:
    """New keys, at most 2^32 of them different: [*shape, 2] uint32."""
    count = math.prod(shape)
    if 0 < count <= FEW:
        pairs = [block(key, jnp.uint32(i), SPLIT)[:2] for i in range(count)]
        return jnp.stack([word for pair in pairs for word in pair]).reshape(*shape, 2)
    counter = lax.iota(jnp.uint32, count).reshape(shape)
    return jnp.stack(block(key, counter, SPLIT)[:2], axis=-1)


def fold_in(key: Array, data: Any) -> Array:
    """The key [2] that a key and a number ([] uint32) give."""
    return jnp.stack(block(key, jnp.asarray(data, jnp.uint32), FOLD)[:2])


def seeded(seed: Array) -> Array:
    """The key [2] of an integer seed of 32 or 64 bits ([])."""
    high = lax.shift_right_logical(seed, jnp.full_like(seed, 32)) if seed.dtype.itemsize == 8 else 0
    return jnp.stack([jnp.asarray(high).astype(jnp.uint32), seed.astype(jnp.uint32)])


def _multiplied(x: Array, y: Array, z: Array, w: Array) -> Words:
    x += y * w
    y += z * x
    z += x * y
    w += y * z
    return x, y, z, w


def _final(word: Array) -> Array:
    word = (word ^ (word >> 15)) * jnp.uint32(0x846CA68B)
    return word ^ (word >> 16)


DEFAULT = "pcg4x32"
# What jax.random.key takes as `impl`, by the name that a study keeps.
GENERATORS: dict[str, Any] = {
    "threefry2x32": "threefry2x32",
    "pcg4x32": define_prng_impl(
        key_shape=(2,),
        seed=seeded,
        split=split,
        random_bits=random_bits,
        fold_in=fold_in,
        name="pcg4x32",
        tag="pcg",
    ),
}
