"""Random number generators that a study chooses by name. Their keys are jax's typed keys.

The generators are counter-based: their bits are a fixed function of a key and a counter (Salmon et al. 2011).
The bits of a lane's key therefore do not depend on the other lanes.

threefry2x32  jax's default: the block cipher Threefish, reduced to 20 rounds
pcg4x32       pcg4d (Jarzynski & Olano 2020) with a finaliser: about 50 integer operations for four words
"""

import math
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.extend.random import define_prng_impl

Words = tuple[Array, Array, Array, Array]  # uint32, equal shapes

BITS, SPLIT, FOLD = range(3)  # purposes of a block, so that different uses of a key get different blocks
MAX_BLOCKS = 2**32 - 1  # per key, since the counter is one word
# A split into at most so many keys computes each key on its own. XLA then removes the keys that are not used
# and, under vmap, loops over lanes only, which is several times as fast as a loop over lanes and keys.
FEW = 4


def threefry_fixed() -> AbstractContextManager[object]:
    """A context in which threefry2x32 draws as is jax's default, whatever jax_threefry_partitionable says."""
    return jax.threefry_partitionable(True)


def pcg4d(x: Array, y: Array, z: Array, w: Array) -> Words:
    """pcg4d, a bijection of four uint32 words (Jarzynski & Olano 2020, section 4). The shapes broadcast."""
    x, y, z, w = (each * jnp.uint32(1664525) + jnp.uint32(1013904223) for each in (x, y, z, w))
    x, y, z, w = _multiplied(x, y, z, w)
    x, y, z, w = (each ^ (each >> 16) for each in (x, y, z, w))
    return _multiplied(x, y, z, w)


@partial(jax.jit, inline=True)  # traced once instead of at every use
def block(key: Array, counter: Array, purpose: int) -> Words:
    """Four random words for a key [2] and each counter: uint32 with the shape of `counter`.

    In pcg4d alone, the low bits of the words do not depend on the high bits of the input. The finaliser adds
    a multiply-add to the first word, which pcg4d mixes least, and a xorshift-multiply to each word (half of
    Wellons' lowbias32). With it, each bit of the block changes with probability 1/2 if any bit of the input
    does. About one key in 2^51 is weak: after the linear congruential step of pcg4d, most low bits of both of
    its words are zero.
    """
    x, y, z, w = pcg4d(key[0], key[1], counter, jnp.uint32(purpose))
    return _final(w), _final(z), _final(y), _final(x + y * w)


def words(key: Array, count: int) -> Array:
    """Random words of a key [2]: uint32 [count]. Raises ValueError for more than 4 * MAX_BLOCKS."""
    blocks = -(-count // 4)
    if blocks > MAX_BLOCKS:
        raise ValueError(f"one key gives at most {4 * MAX_BLOCKS} words, not {count}")
    if blocks == 1:  # each word on its own, for the reason given at FEW
        return jnp.stack(block(key, jnp.uint32(0), BITS)[:count])
    return jnp.concatenate(block(key, lax.iota(jnp.uint32, blocks), BITS))[:count]


def random_bits(key: Array, width: int, shape: tuple[int, ...]) -> Array:
    """Random unsigned integers of `width` 8, 16, 32 or 64 bits, from a key [2]: [*shape]."""
    size = math.prod(shape)
    if width == 64:
        high, low = words(key, 2 * size).reshape(2, *shape).astype(jnp.uint64)
        return (high << 32) | low
    return words(key, size).reshape(shape).astype(jnp.dtype(f"uint{width}"))


def split(key: Array, shape: tuple[int, ...]) -> Array:
    """New keys from a key [2]: uint32 [*shape, 2]. At most 2^32 of them are different."""
    count = math.prod(shape)
    if 0 < count <= FEW:
        pairs = [block(key, jnp.uint32(i), SPLIT)[:2] for i in range(count)]
        return jnp.stack([word for pair in pairs for word in pair]).reshape(*shape, 2)
    counter = lax.iota(jnp.uint32, count).reshape(shape)
    return jnp.stack(block(key, counter, SPLIT)[:2], axis=-1)


def fold_in(key: Array, data: Any) -> Array:
    """A new key from a key [2] and an integer []: uint32 [2]."""
    return jnp.stack(block(key, jnp.asarray(data, jnp.uint32), FOLD)[:2])


def seeded(seed: Array) -> Array:
    """The key of an integer seed [] of 32 or 64 bits: uint32 [2]."""
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
# The argument `impl` of jax.random.key, by the name that a study stores.
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
