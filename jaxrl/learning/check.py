"""The check of an algorithm: whether its methods return what the contract says, found out without computing."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import random
from jax.extend.core import ClosedJaxpr

from jaxrl.errors import InputError
from jaxrl.learning.algorithm import Algorithm, State
from jaxrl.mdp.environment import Environment, described


def check_algorithm(algorithm: Algorithm, env: Environment) -> tuple[State, ClosedJaxpr]:
    """Raises InputError if a method is missing or returns another structure, shape or type than it must.

    `step` must keep the state's structure and give metrics as pairs of [] float32, `act` must return an
    element of the action space and keep the memory's structure. Only traces: that an action's number lies in
    the space is checked by the evaluations of a training. Gives the shapes of the state and the jaxpr of an
    iteration, state -> (state, metrics).
    """
    name = type(algorithm).__name__
    algorithm, env = algorithm.arrays(), env.arrays()
    key, t = random.key(0), jnp.int32(0)
    steps = algorithm.steps_per_iteration
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise InputError(f"{name}.steps_per_iteration must be an integer of at least 1, got {steps!r}")
    state = jax.eval_shape(lambda key: algorithm.init(env, key), key)

    def iteration(state: State) -> tuple[State, Any]:
        outcome = algorithm.step(env, state, key, t, t)
        if not isinstance(outcome, tuple) or len(outcome) != 2:
            raise InputError(f"{name}.step must return (state, metrics), got {_abridged(outcome)}")
        return outcome

    jaxpr, (after, metrics) = jax.make_jaxpr(iteration, return_shape=True)(state)
    _require_same(f"{name}.step must return a state like init's,", after, state)
    _require_metrics(name, metrics)
    _check_act(algorithm, env, state)
    return state, jaxpr


def _check_act(algorithm: Algorithm, env: Environment, state: State) -> None:
    """Raises InputError unless `act` returns an action and a memory like `memory`'s."""
    name, space = type(algorithm).__name__, env.action_space

    def acted(state: State, explore: bool) -> Any:
        key = random.key(0)
        obs, memory = env.observe(env.reset(key)), algorithm.memory(env)
        outcome = algorithm.act(env, state, memory, obs, key, explore)
        if not isinstance(outcome, tuple) or len(outcome) != 2:
            raise InputError(f"{name}.act must return (action, memory), got {_abridged(outcome)}")
        return memory, *outcome

    for explore in (False, True):
        memory, action, after = jax.eval_shape(lambda state, explore=explore: acted(state, explore), state)
        element = jax.ShapeDtypeStruct(space.shape, space.dtype)
        _require_same(f"{name}.act must return an action of {env.title},", action, element)
        _require_same(f"{name}.act must return a memory like memory's,", after, memory)


def _require_metrics(name: str, metrics: Any) -> None:
    """Raises InputError unless metrics map names to pairs of [] float32."""
    expected = f"{name}.step must return metrics as name -> (sum, weight), both float32[]"
    if not isinstance(metrics, dict):
        raise InputError(f"{expected}, got {_abridged(metrics)}")
    for key, value in metrics.items():
        if not isinstance(key, str):
            raise InputError(f"{expected}, got the name {key!r}")
        pair = isinstance(value, tuple) and len(value) == 2
        if not pair or [described(part) for part in value] != ["float32[]"] * 2:
            got = ", ".join(map(described, value)) if pair else described(value)
            raise InputError(f"{expected}, got {key!r} -> {got}")


def _require_same(promise: str, got: Any, expected: Any) -> None:
    if described(got) != described(expected):
        raise InputError(f"{promise} {described(expected)}, got {described(got)}")


def _abridged(value: Any) -> str:
    """A value that may hold tracers, in one line."""
    try:
        return described(value)
    except TypeError:  # a leaf that is no array
        return f"a {type(value).__name__}"
