"""Evaluation: whole episodes of a fixed policy, on a key stream that training never touches."""

from functools import partial

import jax
from jax import Array, lax, random

from jaxrl.algorithm import Algorithm, State
from jaxrl.environment import Environment, Episode, Transition


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
    play = partial(final_transition, algorithm, env, state, explore=explore)
    last = jax.vmap(play)(random.split(key, episodes))
    return last.episode_return, last.episode_length


def final_transition(
    algorithm: Algorithm, env: Environment, state: State, key: Array, explore: bool
) -> Transition:
    """The last transition of one episode from the initial state distribution."""

    def act_and_step(t: Array | int, episode: Episode) -> tuple[Episode, Transition]:
        key_act, key_env = random.split(random.fold_in(key_steps, t))
        action = algorithm.act(env, state, episode.obs, key_act, explore)
        return episode.step(env, key_env, action)

    def body(carry: tuple[Episode, Transition]) -> tuple[Episode, Transition]:
        return act_and_step(carry[1].episode_length, carry[0])

    key_start, key_steps = random.split(key)
    first = act_and_step(0, Episode.start(env, key_start))
    _, last = lax.while_loop(lambda carry: ~carry[1].done, body, first)
    return last
