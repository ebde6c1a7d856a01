"""The compiled functions: start, iterations and evaluation of all lanes, on one device or several.

They take algorithms and environments without shared arrays, which have no axis [lanes]. Their argument
`shared` holds the arrays of the algorithm and those of the environment, as `detach` returns them.
"""

import functools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax, random
from jax.sharding import Mesh

from jaxrl.compiled.evaluate import evaluate
from jaxrl.compiled.mesh import sharded
from jaxrl.config import attach
from jaxrl.learning.algorithm import Algorithm, State
from jaxrl.learning.metrics import Metrics
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import without_environments
from jaxrl.random.generators import threefry_fixed

Arrays = tuple[dict[str, Any], dict[str, Any]]  # shared arrays of the algorithm and of the environment


# Of a float32 matrix product. On a GPU jax itself would choose tensorfloat32, which keeps 10 of the 23 bits
# of each factor's fraction. A processor always computes in float32.
PRECISIONS = ("float32", "tensorfloat32")


class Engine(NamedTuple):
    """The compiled functions: those below, and `evaluate` with fixed numbers of episodes and steps."""

    initialise: Callable[..., State]
    advance: Callable[..., tuple[State, Metrics, Array]]
    evaluate: Callable[..., tuple[Array, Array, Array]]
    keys_at: Callable[..., Array]


@functools.cache
def engine_for(mesh: Mesh, episodes: int, precision: str = PRECISIONS[0], limit: int | None = None) -> Engine:
    """The functions for lanes sharded over a mesh, each compiled once for all devices of the mesh.

    Their matrix products have this precision. `episodes` and `limit` are those of `evaluate`.
    """
    engine = Engine(
        sharded(initialise, mesh, lanes=3, replicated=2),
        sharded(advance, mesh, lanes=4, replicated=4, donate=(2,)),
        sharded(partial(evaluate, episodes=episodes, limit=limit), mesh, lanes=4, replicated=2),
        sharded(keys_at, mesh, lanes=1, replicated=1),
    )
    return Engine(*(with_precision(function, precision) for function in engine))


def with_precision(function: Callable[..., Any], precision: str) -> Callable[..., Any]:
    """A function, compiled or not, whose float32 matrix products have this precision.

    It draws the random numbers of `threefry_fixed`.
    """

    def call(*arguments: Any) -> Any:
        with jax.default_matmul_precision(precision), threefry_fixed():
            return function(*arguments)

    return call


@jax.jit
def initialise(
    algorithm: Algorithm, env: Environment, keys: Array, shared: Arrays, total: Array | int
) -> State:
    """The states of all lanes before the first of `total` iterations. algorithm, env and keys are [lanes]."""

    def init(algorithm: Algorithm, env: Environment, key: Array) -> State:
        algorithm, env = attach(algorithm, shared[0]), attach(env, shared[1])
        return algorithm.init(env.at(jnp.int32(0), jnp.int32(total)), key)

    return jax.vmap(init)(algorithm, env, keys)


@partial(jax.jit, donate_argnames="state")
def advance(
    algorithm: Algorithm,
    env: Environment,
    state: State,
    keys: Array,
    shared: Arrays,
    start: Array | int,
    stop: Array | int,
    total: Array | int,
) -> tuple[State, Metrics, Array]:
    """Runs iterations start to stop - 1, of `total` planned iterations, in all lanes.

    The first four arguments are [lanes]. The bounds are traced, so one compilation serves every chunk and
    every budget; with start = stop it only compiles. Returns the states, the metrics summed over the chunk,
    and whether each lane's state is finite ([lanes] bool).
    """

    def iteration(t: Array, carry: tuple[State, Metrics]) -> tuple[State, Metrics]:
        state, sums = carry
        state, metrics = iterate(algorithm, env, state, keys, shared, t, total)
        return state, jax.tree.map(jnp.add, sums, metrics)

    _, metrics = jax.eval_shape(iterate, algorithm, env, state, keys, shared, start, total)
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), metrics)
    state, metrics = lax.fori_loop(start, stop, iteration, (state, zeros))
    return state, metrics, jax.vmap(all_finite)(state)


@partial(jax.jit, inline=True)  # so that eval_shape and the loop share one trace
def iterate(
    algorithm: Algorithm,
    env: Environment,
    state: State,
    keys: Array,
    shared: Arrays,
    t: Array | int,
    total: Array | int,
) -> tuple[State, Metrics]:
    """Iteration t, of `total` planned iterations, in all lanes."""

    def step(algorithm: Algorithm, env: Environment, state: State, key: Array) -> tuple[State, Metrics]:
        now, end = jnp.int32(t), jnp.int32(total)
        algorithm, env = attach(algorithm, shared[0]), attach(env, shared[1]).at(now, end)
        return algorithm.step(env, state, random.fold_in(key, now), now, end)

    return jax.vmap(step)(algorithm, env, state, keys)


def all_finite(state: State) -> Array:
    """Whether every real number of a state is finite, apart from what belongs to environments: [] bool."""
    numbers = jax.tree.leaves(without_environments(state))
    leaves = [leaf for leaf in numbers if jnp.issubdtype(leaf.dtype, jnp.floating)]
    if not leaves:
        return jnp.bool_(True)
    # min and max suffice, since both propagate NaN. isfinite would make an array as large as the state.
    extremes = [extreme(leaf) for leaf in leaves for extreme in (jnp.min, jnp.max)]
    return jnp.all(jnp.isfinite(jnp.stack(extremes)))


@jax.jit
def keys_at(keys: Array, t: Array | int) -> Array:
    """Each lane's key for iteration t: [lanes]."""
    return jax.vmap(random.fold_in, (0, None))(keys, t)
