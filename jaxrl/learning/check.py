"""The check of an algorithm: whether its methods return what the contract says."""

import operator
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random
from jax.extend.core import ClosedJaxpr

from jaxrl.config import attach, detach
from jaxrl.errors import InputError
from jaxrl.learning.algorithm import Algorithm, State
from jaxrl.learning.branches import OTHER, deciding_inputs
from jaxrl.learning.rollout import rollout, start_episodes
from jaxrl.mdp.environment import Environment, check_contract, described, require_described
from jaxrl.mdp.episode import Memory
from jaxrl.mdp.spaces import zeros
from jaxrl.mdp.tracing import unknown_values_explained

TRIED = 16  # steps of a trial


def check_algorithm(algorithm: Algorithm, env: Environment) -> tuple[State, ClosedJaxpr]:
    """Raises InputError unless an algorithm keeps its contract in an environment, which must keep its own.

    `step` must keep the state's structure and return metrics as pairs of [] float32. `act` must return an
    element of the action space and keep the memory's structure. For this the methods are traced. Then a run
    that has not learned plays a few steps, greedily and exploring, and its actions must lie in their space.
    Warns of a `lax.cond` that a traced field decides: under vmap both of its branches run.

    Returns the shapes of the state and the jaxpr of an iteration.
    """
    for config, kind in ((algorithm, Algorithm), (env, Environment)):
        if not isinstance(config, kind):
            raise InputError(f"check_algorithm needs an instance of {kind.__name__}, got {config!r}")
    env.validate()
    check_contract(env)
    algorithm.validate()
    algorithm.validate_for(env)
    found = trace_algorithm(algorithm, env)
    for explore in (False, True):
        actions, valid = jax.device_get(_played(algorithm.arrays(), env.arrays(), random.key(0), explore))
        if not valid.all():
            first = np.argmin(valid)
            wrong = jax.tree.map(operator.itemgetter(first), actions)
            raise InputError(
                f"{type(algorithm).__name__}.act with explore={explore} gave the action {wrong}, which "
                f"{env.title} does not have"
            )
    return found


@partial(jax.jit, static_argnames="explore")
def _played(algorithm: Algorithm, env: Environment, key: Array, explore: bool) -> tuple[Any, Array]:
    """The actions of TRIED steps ([TRIED, ...]) and whether each lies in its space ([TRIED])."""
    key_init, key_start, key_steps = random.split(key, 3)
    state, memory = algorithm.init(env, key_init), algorithm.memory(env)

    def act(memory: Memory, obs: Array, key: Array) -> tuple[Array, Memory, Any]:
        action, memory = algorithm.act(env, state, memory, obs, key, explore)
        return action, memory, (action, env.action_space.contains(action))

    episodes = start_episodes(env, key_start, 1, memory)
    _, _, kept = rollout(env, episodes, key_steps, TRIED, act, memory=memory)
    return jax.tree.map(lambda leaf: leaf[:, 0], kept)


def trace_algorithm(algorithm: Algorithm, env: Environment) -> tuple[State, ClosedJaxpr]:
    """The part of `check_algorithm` that computes nothing, for an algorithm that fits the environment."""
    name = type(algorithm).__name__
    steps = algorithm.steps_per_iteration
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise InputError(f"{name}.steps_per_iteration must be an integer of at least 1, got {steps!r}")
    attached, shared = without_arrays(algorithm, env)
    configs, key, t = (detach(algorithm.arrays())[0], detach(env.arrays())[0]), random.key(0), jnp.int32(0)

    def iteration(
        configs: Any, state: State, key: Array, shared: Any, t: Array, total: Array
    ) -> tuple[State, Any]:
        algorithm, env = attach(configs[0], shared[0]), attach(configs[1], shared[1])
        outcome = algorithm.step(env, state, key, t, total)
        if not isinstance(outcome, tuple) or len(outcome) != 2:
            raise InputError(f"{name}.step must return (state, metrics), got {_abridged(outcome)}")
        return _arrays(f"{name}.step", outcome)

    def init(shared: Any) -> State:
        algorithm, env = attached(shared)
        return _arrays(f"{name}.init", algorithm.init(env, key))

    with unknown_values_explained(name):
        state = jax.eval_shape(init, shared)
        arguments = (configs, state, key, shared, t, t)
        jaxpr, (after, metrics) = jax.make_jaxpr(iteration, return_shape=True)(*arguments)
        require_described(f"{name}.step must return a state like init's,", after, state)
        _require_metrics(name, metrics)
        _check_act(algorithm, env, state)
    _warn_of_branches(name, jaxpr, arguments)
    return state, jaxpr


def _warn_of_branches(name: str, jaxpr: ClosedJaxpr, arguments: tuple[Any, ...]) -> None:
    """Warns of a `lax.cond` that a traced field decides."""
    configs, state, key, shared, *times = arguments
    fields = [
        frozenset([jax.tree_util.keystr(path[1:]).lstrip(".")])
        for path, _ in jax.tree.leaves_with_path(configs)
    ]
    others = [frozenset([OTHER])] * len(jax.tree.leaves((state, key, shared)))
    if found := deciding_inputs(jaxpr.jaxpr, [*fields, *others, *[frozenset[str]()] * len(times)]):
        warnings.warn(
            f"{name}.step or its environment has a lax.cond on the traced field "
            f"{', '.join(sorted(found))}: in a batch both branches run; make the field static, or let the "
            "condition depend on t alone",
            stacklevel=2,
        )


def without_arrays(
    algorithm: Algorithm, env: Environment
) -> tuple[Callable[[Any], tuple[Algorithm, Environment]], Any]:
    """A function from shared arrays to the algorithm and environment with them, and the arrays' shapes.

    Tracing that function neither copies a data set nor makes it a constant of the program.
    """
    algorithm, ours = detach(algorithm.arrays())
    env, theirs = detach(env.arrays())
    shapes = jax.tree.map(
        lambda array: jax.ShapeDtypeStruct(array.shape, jax.dtypes.canonicalize_dtype(array.dtype)),
        (ours, theirs),
    )
    return lambda shared: (attach(algorithm, shared[0]), attach(env, shared[1])), shapes


def _check_act(algorithm: Algorithm, env: Environment, state: State) -> None:
    """Raises InputError unless `act` returns an action and a memory of the same structure as `memory`'s."""
    name = type(algorithm).__name__
    attached, shared = without_arrays(algorithm, env)

    def acted(state: State, shared: Any, explore: bool) -> Any:
        algorithm, env = attached(shared)
        key = random.key(0)
        obs, memory = env.observe(env.reset(key)), _arrays(f"{name}.memory", algorithm.memory(env))
        outcome = algorithm.act(env, state, memory, obs, key, explore)
        if not isinstance(outcome, tuple) or len(outcome) != 2:
            raise InputError(f"{name}.act must return (action, memory), got {_abridged(outcome)}")
        return memory, *_arrays(f"{name}.act", outcome)

    for explore in (False, True):
        memory, action, after = jax.eval_shape(partial(acted, explore=explore), state, shared)
        require_described(
            f"{name}.act must return an action of {env.title},", action, zeros(env.action_space)
        )
        require_described(f"{name}.act must return a memory like memory's,", after, memory)


def _arrays(method: str, tree: Any) -> Any:
    """What a method returned. Raises InputError for a leaf that is neither an array nor a number."""
    for path, leaf in jax.tree.leaves_with_path(tree):
        if not isinstance(leaf, Array | np.ndarray | np.generic | float | int):
            place = f" at {jax.tree_util.keystr(path)}" if path else ""
            raise InputError(f"{method} must return only arrays and numbers, got {leaf!r}{place}")
    return tree


def _require_metrics(name: str, metrics: Any) -> None:
    """Raises InputError unless metrics map names to pairs of [] float32."""
    expected = f"{name}.step must return metrics as name -> (sum, weight), both float32[]"
    if not isinstance(metrics, dict):
        raise InputError(f"{expected}, got {_abridged(metrics)}")
    for key, value in metrics.items():
        if not isinstance(key, str):
            raise InputError(f"{expected}, got the name {key!r}")
        if key.startswith("eval_"):
            raise InputError(f"{name}.step must not name a metric {key!r}: eval_ is for evaluations")
        pair = isinstance(value, tuple) and len(value) == 2
        if not pair or [described(part) for part in value] != ["float32[]"] * 2:
            got = ", ".join(map(described, value)) if pair else described(value)
            raise InputError(f"{expected}, got {key!r} -> {got}")


def _abridged(value: Any) -> str:
    """A value that may hold tracers, described in one line."""
    try:
        return described(value)
    except TypeError:  # a leaf that is no array
        return f"a {type(value).__name__}"
