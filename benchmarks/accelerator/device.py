"""The machine, and the two ceilings of its device: matrix products and copies."""

import subprocess
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from benchmarks.timing import time_calls
from jaxrl.store.provenance import machine

PRECISIONS = {"float32": "highest", "TF32": "tensorfloat32"}


def measure(smoke: bool) -> Iterator[dict[str, Any]]:
    """A row for the machine, one for copies, one for products in each precision."""
    yield {"machine": machine(), "driver": driver(), "memory": jax.local_devices()[0].memory_stats()}
    size, side = (2**20, 256) if smoke else (2**28, 8_192)
    calls = 1 if smoke else 3
    timing = time_calls(partial(copies, jnp.ones(size, jnp.float32)), calls)
    yield {"copy_bytes_per_second": 8 * size * timing.iterations_per_second}
    key = jax.random.key(0)
    for name, precision in PRECISIONS.items():
        matrix = jax.random.normal(key, (side, side)) / side**0.5
        timing = time_calls(partial(products, matrix, precision), calls)
        yield {"precision": name, "product_flops_per_second": 2 * side**3 * timing.iterations_per_second}
    # The shape of a layer of 64 units on a minibatch of 128, in 8,192 lanes.
    lanes = 8 if smoke else 8_192
    x, weights = jax.random.normal(key, (lanes, 128, 64)), jax.random.normal(key, (lanes, 64, 64)) / 8
    for name, precision in PRECISIONS.items():
        timing = time_calls(partial(layers, x, weights, precision), calls)
        flops = 2 * lanes * 128 * 64 * 64
        yield {"precision": name, "layer_flops_per_second": flops * timing.iterations_per_second}


def copies(array: Array, times: int) -> None:
    jax.block_until_ready(_copies(array, times))


@jax.jit
def _copies(array: Array, times: int) -> Array:
    return lax.fori_loop(0, times, lambda _, x: -x, array)


def products(matrix: Array, precision: str, times: int) -> None:
    jax.block_until_ready(_products(matrix, precision, times))


@partial(jax.jit, static_argnums=1)
def _products(matrix: Array, precision: str, times: int) -> Array:
    return lax.fori_loop(0, times, lambda _, x: jnp.matmul(x, matrix, precision=precision), matrix)


def layers(x: Array, weights: Array, precision: str, times: int) -> None:
    jax.block_until_ready(_layers(x, weights, precision, times))


@partial(jax.jit, static_argnums=2)
def _layers(x: Array, weights: Array, precision: str, times: int) -> Array:
    return lax.fori_loop(0, times, lambda _, x: jnp.matmul(x, weights, precision=precision), x)


def driver() -> str:
    """What nvidia-smi says of the devices; empty where there is none."""
    query = [
        "nvidia-smi",
        "--query-gpu=name,driver_version,memory.total,clocks.sm,clocks.mem",
        "--format=csv",
    ]
    try:
        return subprocess.run(query, capture_output=True, text=True, timeout=20).stdout.strip()
    except FileNotFoundError:
        return ""
