"""Floating-point operations of an iteration, and a machine's rate of them in a large matrix product."""

import math
import time
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, JaxprEqn

from jaxrl.compiled.lane_memory import inner_jaxprs
from jaxrl.learning.algorithm import Algorithm
from jaxrl.learning.check import trace_algorithm
from jaxrl.mdp.environment import Environment

ROUNDS = 15  # enough to meet a moment without other load


def iteration_flops(algorithm: Algorithm, env: Environment) -> int:
    """Floating-point operations of one iteration of one run, after its warm-up.

    Only matrix products and convolutions count, with two operations for each multiplication.
    """
    _, iteration = trace_algorithm(algorithm, env)
    return flops(iteration.jaxpr, trips=getattr(algorithm, "updates", 1))


def flops(jaxpr: Jaxpr, trips: int = 1) -> int:
    """Operations of a jaxpr. A branch counts as its longest side.

    The body of a loop whose length is not static counts `trips` times.
    """
    return sum(_of_equation(eqn, trips) for eqn in jaxpr.eqns)


def _of_equation(eqn: JaxprEqn, trips: int) -> int:
    name, params = eqn.primitive.name, eqn.params
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        terms = math.prod(_shape(eqn.invars[0])[i] for i in contracted)
        return 2 * terms * math.prod(_shape(eqn.outvars[0]))
    if name == "conv_general_dilated":
        kernel = _shape(eqn.invars[1])
        terms = math.prod(kernel) // kernel[params["dimension_numbers"].rhs_spec[0]]
        return 2 * terms * math.prod(_shape(eqn.outvars[0]))
    within = [flops(inner, trips) for inner in inner_jaxprs(eqn)]
    if name == "cond":
        return max(within)
    return sum(within) * {"scan": params.get("length", 1), "while": trips}.get(name, 1)


def _shape(var: Any) -> tuple[int, ...]:
    return var.aval.shape


def product_rate(size: int | None = None) -> float:
    """Operations per second of all devices in the fastest of several float32 products of square matrices.

    It tries one product at a time, which a processor divides among its cores, and one on each device at once.
    """
    size = size or (2_048 if jax.default_backend() == "cpu" else 8_192)
    matrices = [jax.device_put(jnp.ones((size, size)), device) for device in jax.local_devices()]
    jax.block_until_ready([_square(matrix) for matrix in matrices])
    return max(_rate(used) for used in (matrices[:1], matrices) for _ in range(ROUNDS))


@jax.jit
def _square(matrix: Any) -> Any:
    return matrix @ matrix


def _rate(matrices: list[Any]) -> float:
    start = time.perf_counter()
    jax.block_until_ready([_square(matrix) for matrix in matrices])
    return sum(2 * matrix.shape[0] ** 3 for matrix in matrices) / (time.perf_counter() - start)
