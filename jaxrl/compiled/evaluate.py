"""Evaluation: whole episodes of a fixed policy, with keys that training never uses."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax, random

from jaxrl.config import attach
from jaxrl.learning.algorithm import Algorithm, State
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Episode

Totals = tuple[Array, Array, Array]  # return (float32), length (int32), whether all actions were valid (bool)


@partial(jax.jit, static_argnames=("episodes", "explore", "limit"))
def evaluate(
    algorithm: Algorithm,
    env: Environment,
    state: State,
    keys: Array,
    shared: tuple[dict[str, Any], dict[str, Any]],
    total: Array | int,
    episodes: int,
    explore: bool = False,
    limit: int | None = None,
) -> Totals:
    """Undiscounted returns and lengths of whole episodes, and whether all actions lay in their space.

    An episode of `limit` steps ends there, with its return so far. The first four arguments are [lanes].
    Returns [lanes, episodes] each. Uses the environment of t = total.
    """

    def one(algorithm: Algorithm, env: Environment, state: State, key: Array) -> Totals:
        algorithm, env = attach(algorithm, shared[0]), attach(env, shared[1])
        last = jnp.int32(total)
        return evaluate_run(algorithm, env.at(last, last), state, key, episodes, explore, limit)

    return jax.vmap(one)(algorithm, env, state, keys)


def evaluate_run(
    algorithm: Algorithm,
    env: Environment,
    state: State,
    key: Array,
    episodes: int,
    explore: bool = False,
    limit: int | None = None,
) -> Totals:
    """`evaluate` for one run: returns [episodes] each."""
    play = partial(episode_totals, algorithm, env, state, explore=explore, limit=limit)
    return jax.vmap(play)(random.split(key, episodes))


def episode_totals(
    algorithm: Algorithm, env: Environment, state: State, key: Array, explore: bool, limit: int | None
) -> Totals:
    """`evaluate` for one episode of one run: returns [] each."""
    initial = algorithm.memory(env)

    def step(carry: tuple[Episode, Array, Totals]) -> tuple[Episode, Array, Totals]:
        episode, _, (_, t, valid) = carry
        key_act, key_env = random.split(random.fold_in(key_steps, t))
        action, memory = algorithm.act(env, state, episode.memory, episode.obs, key_act, explore)
        valid = valid & env.action_space.contains(action)
        episode, transition = episode.step(env, key_env, action, memory, initial)
        length = transition.episode_length
        done = transition.done if limit is None else transition.done | (length >= limit)
        return episode, done, (transition.episode_return, length, valid)

    key_start, key_steps = random.split(key)
    totals = (jnp.float32(0), jnp.int32(0), jnp.bool_(True))
    carry = (Episode.start(env, key_start, initial), jnp.bool_(False), totals)
    _, _, totals = lax.while_loop(lambda carry: ~carry[1], step, carry)
    return totals
