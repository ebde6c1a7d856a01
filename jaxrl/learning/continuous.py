"""Continuous actions of off-policy learners, which lie in (-1, 1) until they are executed."""

import math
from collections.abc import Callable
from typing import Any, cast

from jax import Array, lax, random

from jaxrl.learning.exploration import repeated_uniform
from jaxrl.learning.rollout import rollout
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Episode, Experience, Memory, Transition
from jaxrl.mdp.spaces import Box


def dimensions(env: Environment) -> int:
    """d, the number of dimensions of an action."""
    return math.prod(env.action_space.shape)


def executed(env: Environment, action: Array) -> Array:
    """An action in (-1, 1), [d], scaled to the action space: [*action]."""
    space = cast(Box, env.action_space)
    return space.clip(space.low + (space.high - space.low) * (action.reshape(space.shape) + 1) / 2)


def warmed_rollout(
    env: Environment,
    state: Any,
    key: Array,
    steps: Array,
    warming: Array,
    hold: int,
    policy: Callable[[Array, Array], Array],
) -> tuple[Episode, Transition, Experience, Array]:
    """Steps of a policy, or of uniform actions while `warming`.

    Args:
      state: with `episodes` [num_envs] and `held` [num_envs, d], the uniform actions of the step before.
      steps: the numbers of the steps, [num_steps] int32.
      warming: [] bool, the same for all lanes, so that one of the two is computed.
      hold: steps for which each uniform action is repeated, so that exploration goes further.
      policy: maps an observation and a key to an action in (-1, 1), [d].

    Returns the episodes after the last step; the transitions, [num_steps, num_envs]; their experience with
    actions in (-1, 1); and the uniform actions of the last step.
    """
    key_steps, key_uniform = random.split(key)

    def act(memory: Memory, obs: Array, key: Array, uniform: Array) -> tuple[Array, Memory, Array]:
        action = lax.cond(warming, lambda: uniform, lambda: policy(obs, key))
        return executed(env, action), memory, action

    held, uniform = repeated_uniform(key_uniform, state.held, steps, hold)
    episodes, transitions, action = rollout(env, state.episodes, key_steps, steps.size, act, uniform)
    action = action.reshape(transitions.action.shape)
    return episodes, transitions, transitions.experience.replace(action=action), held
