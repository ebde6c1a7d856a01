"""Networks that remember or draw noise: how they are applied, and unrolled along sequences.

A flax module keeps its memory in variables of the collection "memory", which are zero at the start of an
episode. It draws noise with keys from `make_rng("noise")`. The modules around it need not know of either.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax, random

from jaxrl.mdp.episode import Memory, select


def initial_params(module: nn.Module, key: Array, *inputs: Array) -> Any:
    """A module's parameters for inputs of one step. Its memory is no parameter."""
    return {name: value for name, value in module.init(key, *inputs).items() if name != "memory"}


def initial_memory(module: nn.Module, shape: tuple[int, ...]) -> Memory:
    """A module's memory at the start of an episode: zeros, () for a module without memory.

    `shape` is that of the input of one step.
    """
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), needs(module, shape).memory)


def repeated(memory: Memory, number: int) -> Memory:
    """A memory for each of several environments: [number, ...]."""
    return jax.tree.map(lambda leaf: jnp.repeat(leaf[None], number, axis=0), memory)


def apply(
    module: nn.Module, params: Any, memory: Memory, *inputs: Array, noise: Array | None = None
) -> tuple[Any, Memory]:
    """A module's outputs for the inputs of one step, and its memory afterwards.

    Without a memory the inputs may have leading axes. `noise` is the key for a module that draws noise; all
    inputs of one call share the noise, and the same key gives the same noise.
    """
    rngs = None if noise is None else {"noise": noise}
    if not jax.tree.leaves(memory):
        return module.apply(params, *inputs, rngs=rngs), memory
    outputs, changed = module.apply({**params, "memory": memory}, *inputs, rngs=rngs, mutable="memory")
    return outputs, changed["memory"]


def sequences(memory: Memory, steps: Any) -> Any:
    """The steps of a rollout, [num_steps, num_envs, ...], as the sequences that an update may shuffle.

    With a memory, a sequence holds all steps of an environment: [num_envs, num_steps, ...]. Without, each
    step is a sequence of its own and the axis of its length is left out: [num_steps * num_envs, ...].
    """
    if jax.tree.leaves(memory):
        return jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), steps)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), steps)


def unroll(
    step: Callable[..., tuple[Any, Memory]], memory: Memory, done: Array, *inputs: Any, axis: int = 1
) -> tuple[Any, Memory]:
    """Steps a network along n sequences and resets its memory to zero after each step that is `done`.

    Args:
      step: maps (memory, *inputs) of one step to the outputs and the memory afterwards.
      memory: [n, ...], with which the sequences begin.
      done: [n, length] bool, whether the episode ended with a step.
      inputs: pytrees of arrays [n, length, ...].
      axis: of the steps in `done`, inputs and outputs: 1, or 0 for [length, n, ...].

    Returns the outputs, [n, length, ...], and the memory with which the next sequences begin, [n, ...].
    Without a memory, `step` is called once with all the inputs, whatever their axes are.
    """
    if not jax.tree.leaves(memory):
        return step(memory, *inputs)

    def one(memory: Memory, of_step: tuple[Array, Any]) -> tuple[Memory, Any]:
        done, inputs = of_step
        outputs, memory = step(memory, *inputs)
        return select(done, jax.tree.map(jnp.zeros_like, memory), memory), outputs

    # Of the first two axes, `axis` is time and 1 - axis the sequence.
    along = jax.vmap(lambda *args: lax.scan(one, *args), in_axes=(0, 1 - axis), out_axes=(0, 1 - axis))
    memory, outputs = along(memory, (done, inputs))
    return outputs, memory


class Window(NamedTuple):
    """A memory of past steps, whose module takes one step, or all steps of a sequence at once."""

    keys: Array  # [window, heads, d], of the last steps, oldest first
    values: Array  # [window, heads, d]
    steps: Array  # [] int32, how many of them, counted from the last, belong to the episode
    done: Array | None = None  # [length] bool, whether the episode ended with a step; None for one step


def outputs_along(step: Callable[..., tuple[Any, Memory]], memory: Memory, done: Array, x: Array) -> Any:
    """The outputs of a network along sequences, as `unroll` gives them, but without a loop over windows."""

    def is_window(part: Any) -> bool:
        return isinstance(part, Window)

    windows = jax.tree.leaves(memory, is_leaf=is_window)
    if not windows or not all(map(is_window, windows)):
        return unroll(step, memory, done, x)[0]
    memory = jax.tree.map(lambda window: window._replace(done=done), memory, is_leaf=is_window)
    return jax.vmap(step)(memory, x)[0]


class Needs(NamedTuple):
    """What a module returns, and what it needs beside its parameters and inputs."""

    outputs: Any  # shapes and types of what it returns
    memory: Any  # of its memory
    noise: bool  # whether it draws noise


def needs(module: nn.Module, shape: tuple[int, ...]) -> Needs:
    """What a module needs for an input of this shape."""
    try:
        return _cached_needs(module, shape)
    except TypeError:  # a field of the module is traced, so it cannot be hashed
        return _needs(module, shape)


def _needs(module: nn.Module, shape: tuple[int, ...]) -> Needs:
    def outputs(x: Array, noise: Array) -> tuple[Any, Any]:
        return module.init_with_output({"params": random.key(0), "noise": noise}, x)

    x, key = jax.ShapeDtypeStruct(shape, jnp.float32), random.key(0)
    jaxpr, (outputs_shape, variables) = jax.make_jaxpr(outputs, return_shape=True)(x, key)
    used = {id(var) for eqn in jaxpr.jaxpr.eqns for var in eqn.invars}
    return Needs(outputs_shape, variables.get("memory", ()), id(jaxpr.jaxpr.invars[1]) in used)


_cached_needs = functools.lru_cache(maxsize=1_000)(_needs)  # since tracing takes milliseconds
