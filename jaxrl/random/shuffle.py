"""Random permutations without sorting, because XLA sorts slowly on a CPU."""

import jax.numpy as jnp
from jax import Array, lax, random

ROUNDS = 24


def permutation(key: Array, n: int) -> Array:
    """A random permutation of 0 to n - 1, for n >= 1: int32 [n].

    This is the swap-or-not shuffle (Hoang, Morris & Rogaway 2012). Each round pairs x with (pivot - x) mod n,
    and a bit that both compute equally decides whether the two are swapped. Each round is its own inverse, so
    the result is a bijection for any n and for any quality of the bits.
    """

    def swap_or_not(x: Array, round_key: Array) -> tuple[Array, None]:
        pivot, salt = round_key[0] % n, round_key[1]
        partner = jnp.where(x <= pivot, pivot - x, pivot + n - x)
        bit = mix(jnp.maximum(x, partner) ^ salt) >> 31
        return jnp.where(bit == 1, partner, x), None

    rounds = random.bits(key, (ROUNDS, 2), jnp.uint32)
    shuffled, _ = lax.scan(swap_or_not, jnp.arange(n, dtype=jnp.uint32), rounds)
    return shuffled.astype(jnp.int32)


def mix(x: Array) -> Array:
    """The 32-bit finaliser of MurmurHash3, uint32 to uint32: each output bit depends on each input bit."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
