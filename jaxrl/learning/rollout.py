"""Rollouts: steps of a fixed policy and its memory in several environments."""

from collections.abc import Callable
from typing import Any

import jax
from jax import Array, lax, random

from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Episode, Memory, Transition


def start_episodes(env: Environment, key: Array, num_envs: int, memory: Memory = ()) -> Episode:
    """Fresh episodes with the policy's memory at their start: [num_envs]."""
    return jax.vmap(Episode.start, (None, 0, None))(env, random.split(key, num_envs), memory)


def rollout(
    env: Environment,
    episodes: Episode,
    key: Array,
    num_steps: int,
    act: Callable[..., tuple[Array, Memory, Any]],
    *of_steps: Any,
    memory: Memory = (),
) -> tuple[Episode, Transition, Any]:
    """Takes num_steps steps with a fixed policy in each of the episodes [num_envs].

    Args:
      act: maps (memory, obs, key, *of_step) of one environment to the action, the memory after it and a
        pytree of values to keep with the transition, such as the action's log-probability.
      of_steps: pytrees with leaves [num_steps, num_envs, ...]; each step gets its own part.
      memory: the policy's memory at the start of an episode.

    Returns the episodes after the last step ([num_envs]), the transitions and what `act` kept ([num_steps,
    num_envs] each). The memory at the first step of the sequences is that of the given `episodes`.
    """

    def act_and_step(episode: Episode, key: Array, *of_step: Any) -> tuple[Episode, tuple[Transition, Any]]:
        key_act, key_env = random.split(key)
        action, carried, kept = act(episode.memory, episode.obs, key_act, *of_step)
        episode, transition = episode.step(env, key_env, action, carried, memory)
        return episode, (transition, kept)

    def step_all(episodes: Episode, of_step: Any) -> tuple[Episode, tuple[Transition, Any]]:
        return jax.vmap(act_and_step)(episodes, *of_step)

    keys = random.split(key, (num_steps, *episodes.episode_length.shape))
    episodes, (transitions, kept) = lax.scan(step_all, episodes, (keys, *of_steps))
    return episodes, transitions, kept
