"""Evaluation: whole episodes of a fixed policy, on a key stream that training never touches."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax, random

from jaxrl.learning.algorithm import Algorithm, State
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Episode


@partial(jax.jit, static_argnames=("episodes", "explore"))
def evaluate(
    algorithm: Algorithm,
    env: Environment,
    state: State,
    key: Array,
    episodes: int,
    explore: bool = False,
) -> tuple[Array, Array]:
    """Undiscounted returns (float32) and lengths (int32) of complete episodes: [lanes, episodes] each.

    All arguments but the last two have a leading axis [lanes].
    """
    return jax.vmap(partial(evaluate_run, episodes=episodes, explore=explore))(algorithm, env, state, key)


def evaluate_run(
    algorithm: Algorithm,
    env: Environment,
    state: State,
    key: Array,
    episodes: int,
    explore: bool = False,
) -> tuple[Array, Array]:
    """`evaluate` of one run: [episodes] each."""
    play = partial(episode_totals, algorithm, env, state, explore=explore)
    return jax.vmap(play)(random.split(key, episodes))


def episode_totals(
    algorithm: Algorithm, env: Environment, state: State, key: Array, explore: bool
) -> tuple[Array, Array]:
    """Return and length of one episode from the initial state distribution: [] each."""

    def step(carry: tuple[Episode, Array, tuple[Array, Array]]) -> tuple[Episode, Array, tuple[Array, Array]]:
        episode, _, (_, t) = carry
        key_act, key_env = random.split(random.fold_in(key_steps, t))
        action = algorithm.act(env, state, episode.obs, key_act, explore)
        episode, transition = episode.step(env, key_env, action)
        return episode, transition.done, (transition.episode_return, transition.episode_length)

    key_start, key_steps = random.split(key)
    carry = (Episode.start(env, key_start), jnp.bool_(False), (jnp.float32(0), jnp.int32(0)))
    _, _, totals = lax.while_loop(lambda carry: ~carry[1], step, carry)
    return totals
