from collections.abc import Callable
from typing import Any

import jax
from jax import Array, lax, random

from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Episode, Transition


def start_episodes(env: Environment, key: Array, num_envs: int) -> Episode:
    """Fresh episodes: [num_envs]."""
    return jax.vmap(Episode.start, (None, 0))(env, random.split(key, num_envs))


def rollout(
    env: Environment,
    episodes: Episode,
    key: Array,
    num_steps: int,
    act: Callable[..., tuple[Array, Any]],
    *of_steps: Any,
) -> tuple[Episode, Transition, Any]:
    """num_steps steps in each of the episodes [num_envs], by a policy that stays the same.

    `act` maps (obs, key, *of_step) to an action and a pytree of whatever is to be kept beside it, where
    the leaves of `of_steps` are [num_steps, num_envs, ...]. Gives the episodes that go on, the transitions
    and what `act` kept: [num_envs], then [num_steps, num_envs].
    """

    def act_and_step(episode: Episode, key: Array, *of_step: Any) -> tuple[Episode, tuple[Transition, Any]]:
        key_act, key_env = random.split(key)
        action, kept = act(episode.obs, key_act, *of_step)
        episode, transition = episode.step(env, key_env, action)
        return episode, (transition, kept)

    def step_all(episodes: Episode, of_step: Any) -> tuple[Episode, tuple[Transition, Any]]:
        return jax.vmap(act_and_step)(episodes, *of_step)

    keys = random.split(key, (num_steps, *episodes.episode_length.shape))
    episodes, (transitions, kept) = lax.scan(step_all, episodes, (keys, *of_steps))
    return episodes, transitions, kept
