"""Exact answers for finite environments: the tensors of the MDP, value iteration, policy evaluation.

The tensors come from enumerating the environment's own `successor`, which is all its `step` calls.
Everything here is numpy in float64.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.environment import Environment, FiniteEnvironment
from jaxrl.errors import InputError


class MDP(NamedTuple):
    initial: np.ndarray  # [S], probability of each state at the start
    transition: np.ndarray  # [S, A, S'], probability of going on in s'; the rest of 1 is termination
    reward: np.ndarray  # [S, A], expected


class Solution(NamedTuple):
    value: np.ndarray  # [S] expected return; finite_horizon: with all steps to go
    action_value: np.ndarray  # [S, A]
    policy: np.ndarray  # [S] greedy action; finite_horizon: [steps, S], the first step first


def enumerate_mdp(env: Environment) -> MDP:
    """The exact MDP of an environment, its time limit left out. Raises InputError if it is not finite."""
    if not isinstance(env, FiniteEnvironment):
        raise InputError(
            f"{type(env).__name__} cannot be enumerated: only a FiniteEnvironment lists its outcomes"
        )
    if type(env).step is not FiniteEnvironment.step:
        raise InputError(f"{type(env).__name__} has a step of its own, so its successor is not all of it")
    probabilities = np.asarray(env.outcomes(), np.float64)
    probabilities /= probabilities.sum()
    num_states, num_actions = env.num_states, env.num_actions
    triples = np.indices((num_states, num_actions, len(probabilities))).reshape(3, -1)
    state, action, outcome = triples
    successor, reward, terminated = jax.device_get(jax.vmap(env.successor)(*jnp.asarray(triples, jnp.int32)))
    weight = probabilities[outcome]
    transition = np.zeros((num_states, num_actions, num_states))
    np.add.at(transition, (state, action, successor), weight * ~terminated)
    expected = np.zeros((num_states, num_actions))
    np.add.at(expected, (state, action), weight * reward.astype(np.float64))
    initial = np.asarray(env.initial(), np.float64)
    return MDP(initial / initial.sum(), transition, expected)


def finite_horizon(mdp: MDP, steps: int) -> Solution:
    """Best undiscounted return within `steps` steps, by backward induction (Puterman 1994, 4.5)."""
    value = np.zeros(len(mdp.initial))
    action_value, policy = mdp.reward, []
    for _ in range(steps):
        action_value = mdp.reward + mdp.transition @ value
        value = action_value.max(axis=1)
        policy.append(action_value.argmax(axis=1))
    return Solution(value, action_value, np.array(policy[::-1]))


def discounted(mdp: MDP, discount: float, tolerance: float = 1e-12) -> Solution:
    """Best discounted return without a limit, by value iteration (Sutton & Barto, 4.4).

    Stops when no value changes by more than `tolerance`; needs a discount below 1 to be sure to.
    """
    if not 0 <= discount < 1:
        raise InputError(f"value iteration needs a discount in [0, 1), got {discount}")
    value = np.zeros(len(mdp.initial))
    while True:
        action_value = mdp.reward + discount * mdp.transition @ value
        new_value = action_value.max(axis=1)
        if np.abs(new_value - value).max() <= tolerance:
            return Solution(new_value, action_value, action_value.argmax(axis=1))
        value = new_value


def expected_return(mdp: MDP, policy: np.ndarray, steps: int) -> float:
    """Expected undiscounted return of a stationary policy within `steps` steps, from the start.

    The policy is [S] actions or [S, A] probabilities.
    """
    if policy.ndim == 1:
        policy = np.eye(mdp.reward.shape[1])[policy]
    reward = np.einsum("sa,sa->s", policy, mdp.reward)
    transition = np.einsum("sa,sat->st", policy, mdp.transition)
    value = np.zeros(len(mdp.initial))
    for _ in range(steps):
        value = reward + transition @ value
    return float(mdp.initial @ value)
