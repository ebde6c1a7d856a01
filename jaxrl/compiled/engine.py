"""What is compiled: the start, the iterations and the evaluation of lanes, for one device or for several."""

import functools
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax, random
from jax.sharding import Mesh

from jaxrl.compiled.evaluate import evaluate
from jaxrl.compiled.mesh import sharded
from jaxrl.learning.algorithm import Algorithm, State
from jaxrl.learning.metrics import Metrics
from jaxrl.mdp.environment import Environment


class Engine(NamedTuple):
    """The compiled functions of all lanes: those below, and `evaluate` with its `episodes` given."""

    initialise: Callable[..., State]
    advance: Callable[..., tuple[State, Metrics, Array]]
    evaluate: Callable[..., tuple[Array, Array]]
    keys_at: Callable[..., Array]


@functools.cache
def engine_for(mesh: Mesh, episodes: int) -> Engine:
    """The functions for lanes that are sharded over a mesh, each compiled once for all of its devices."""
    play = partial(evaluate, episodes=episodes)
    if mesh.size == 1:  # which keeps the elimination that several give up
        return Engine(initialise, advance, play, keys_at)
    return Engine(
        sharded(initialise, mesh, lanes=3),
        sharded(advance, mesh, lanes=3, replicated=3, donate=(2,)),
        sharded(play, mesh, lanes=4),
        sharded(keys_at, mesh, lanes=1, replicated=1),
    )


@jax.jit
def initialise(algorithm: Algorithm, env: Environment, keys: Array) -> State:
    """The states of all lanes before the first iteration. All arguments [lanes]."""
    return jax.vmap(lambda a, e, key: a.init(e, key))(algorithm, env, keys)


@partial(jax.jit, donate_argnames="state")
def advance(
    algorithm: Algorithm,
    env: Environment,
    state: State,
    start: Array | int,
    stop: Array | int,
    total: Array | int,
) -> tuple[State, Metrics, Array]:
    """Iterations start to stop - 1, of `total` planned ones, in all lanes.

    The bounds are traced, so one compilation serves every chunk and every budget; with start = stop
    it only compiles. Gives the states, the metrics summed over the chunk, and whether each lane's
    state is finite ([lanes] bool).
    """

    def iteration(t: Array, carry: tuple[State, Metrics]) -> tuple[State, Metrics]:
        state, sums = carry
        state, metrics = iterate(algorithm, env, state, t, total)
        return state, jax.tree.map(jnp.add, sums, metrics)

    _, metrics = jax.eval_shape(iterate, algorithm, env, state, start, total)
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), metrics)
    state, metrics = lax.fori_loop(start, stop, iteration, (state, zeros))
    return state, metrics, jax.vmap(all_finite)(state)


@partial(jax.jit, inline=True)  # so that its shapes and the loop need one trace of it, not one each
def iterate(
    algorithm: Algorithm, env: Environment, state: State, t: Array | int, total: Array | int
) -> tuple[State, Metrics]:
    """Iteration t, of `total` planned ones, in all lanes."""
    return jax.vmap(lambda a, e, s: a.step(e, s, t, total))(algorithm, env, state)


def all_finite(state: State) -> Array:
    """Whether every real number of a state is finite: [] bool."""
    leaves = [leaf for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    # By the extremes, which a NaN is too, since isfinite of each entry would be as large as the state.
    extremes = [extreme(leaf) for leaf in leaves for extreme in (jnp.min, jnp.max)]
    return jnp.all(jnp.isfinite(jnp.stack(extremes)))


@jax.jit
def keys_at(keys: Array, t: Array | int) -> Array:
    """Each lane's key for iteration t: [lanes]."""
    return jax.vmap(random.fold_in, (0, None))(keys, t)
