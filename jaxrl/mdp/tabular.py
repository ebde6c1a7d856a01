"""Exact solutions of finite environments: the tensors of the MDP, value and policy iteration.

The tensors come from enumerating the environment's own `step`, or `successor` if the environment is a
FiniteEnvironment. All numbers are numpy's float64.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxrl.errors import InputError
from jaxrl.mdp.environment import Environment, check_contract
from jaxrl.mdp.finite import FiniteEnvironment
from jaxrl.mdp.spaces import Discrete

TOLERANCE = 1e-12  # of value and policy iteration


class MDP(NamedTuple):
    initial: np.ndarray  # [S], probability of each state at the start
    transition: np.ndarray  # [S, A, S'], probability of continuing in s'; the rest to 1 is termination
    reward: np.ndarray  # [S, A], expected


class Solution(NamedTuple):
    value: np.ndarray  # [S] expected return; finite_horizon: with all steps to go
    action_value: np.ndarray  # [S, A]
    policy: np.ndarray  # [S] greedy action; finite_horizon: [steps, S] for each step of the episode


def enumerate_mdp(env: Environment) -> MDP:
    """The exact MDP over an environment's observations, without its time limit.

    A FiniteEnvironment lists its outcomes. Any other environment needs discrete spaces, `reset` and `step`
    without randomness, and a different observation for each state. Its MDP has no transitions from states
    that it cannot reach. Raises InputError if the environment is neither.
    """
    if not isinstance(env, FiniteEnvironment):
        return _explored(env)
    if type(env).step is not FiniteEnvironment.step:
        raise InputError(f"{env.title} overrides step, so enumerating its successor is not enough")
    probabilities = np.asarray(env.outcomes(), np.float64)
    probabilities /= probabilities.sum()
    triples = np.indices((env.num_states, env.num_actions, len(probabilities))).reshape(3, -1)
    state, action, outcome = triples
    outcomes = jax.device_get(jax.vmap(env.successor)(*jnp.asarray(triples, jnp.int32)))
    initial = np.asarray(env.initial(), np.float64)
    columns = [state, action, *outcomes]
    return _mdp(initial / initial.sum(), env.num_actions, probabilities[outcome], columns)


def _explored(env: Environment) -> MDP:
    """The MDP of an environment without randomness. Explores all states that its start state can reach."""
    name, observations, actions = env.title, env.observation_space, env.action_space
    if not (isinstance(observations, Discrete) and isinstance(actions, Discrete)):
        raise InputError(f"{name} cannot be enumerated: its observations or actions are not discrete")
    check_contract(env)
    choices = np.arange(actions.n)

    def step(state: Any, action: Array) -> tuple[Any, ...]:
        successor, reward, terminated = env.step(None, state, action)  # type: ignore[arg-type]
        return successor, env.observe(successor), jnp.asarray(reward), jnp.asarray(terminated)

    step_all = jax.jit(jax.vmap(step, (None, 0)))
    try:  # every draw fails without a key
        start = jax.device_get(env.reset(None))  # type: ignore[arg-type]
        jax.eval_shape(step_all, start, choices)
    except TypeError:
        raise InputError(
            f"{name} cannot be enumerated: it draws in reset or step; a FiniteEnvironment lists its outcomes"
        ) from None

    first = int(env.observe(start))
    states, order, rows = {first: start}, [first], []
    for obs in order:  # the list grows in the loop
        successors, *outcomes = jax.device_get(step_all(states[obs], choices))
        for action, (next_obs, reward, terminated) in enumerate(zip(*outcomes, strict=True)):
            rows.append((obs, action, next_obs, reward, terminated))
            if terminated:
                continue
            if next_obs not in states:
                order.append(int(next_obs))
            after = jax.tree.map(lambda leaf, action=action: leaf[action], successors)
            if not _equal(states.setdefault(int(next_obs), after), after):
                raise InputError(f"{name} cannot be enumerated: several of its states look like {next_obs}")
    columns = [np.asarray(column) for column in zip(*rows, strict=True)]
    return _mdp(np.eye(observations.n)[first], actions.n, np.ones(len(rows)), columns)


def _equal(a: Any, b: Any) -> bool:
    return all(map(np.array_equal, jax.tree.leaves(a), jax.tree.leaves(b)))


def _mdp(initial: np.ndarray, num_actions: int, weight: np.ndarray, columns: Sequence[np.ndarray]) -> MDP:
    """The tensors of weighted transitions; the columns are state, action, successor, reward, terminated."""
    state, action, successor, reward, terminated = columns
    num_states = len(initial)
    transition = np.zeros((num_states, num_actions, num_states))
    np.add.at(transition, (state, action, successor), weight * ~terminated)
    expected = np.zeros((num_states, num_actions))
    np.add.at(expected, (state, action), weight * reward.astype(np.float64))
    return MDP(initial, transition, expected)


def finite_horizon(mdp: MDP, steps: int) -> Solution:
    """The best undiscounted return within `steps` steps, by backward induction (Puterman 1994, 4.5)."""
    value = np.zeros(len(mdp.initial))
    action_value, policy = mdp.reward, []
    for _ in range(steps):
        action_value = mdp.reward + mdp.transition @ value
        value = action_value.max(axis=1)
        policy.append(action_value.argmax(axis=1))
    return Solution(value, action_value, np.array(policy[::-1]))


def discounted(mdp: MDP, discount: float) -> Solution:
    """The best discounted return without a time limit, by value iteration (Sutton & Barto, 4.4).

    Stops when no value changes by more than TOLERANCE. Raises InputError for a discount outside [0, 1).
    """
    _require_discount("value", discount)
    value = np.zeros(len(mdp.initial))
    while True:
        action_value = mdp.reward + discount * mdp.transition @ value
        new_value = action_value.max(axis=1)
        if np.abs(new_value - value).max() <= TOLERANCE:
            return Solution(new_value, action_value, action_value.argmax(axis=1))
        value = new_value


def policy_iteration(mdp: MDP, discount: float) -> Solution:
    """The best discounted return without a time limit, by policy iteration (Sutton & Barto, 4.3).

    Each policy is evaluated by solving its linear equations. Stops when no action is better than the policy's
    by more than TOLERANCE. Raises InputError for a discount outside [0, 1).
    """
    _require_discount("policy", discount)
    states = np.arange(len(mdp.initial))
    policy = mdp.reward.argmax(axis=1)
    while True:
        equations = np.eye(len(states)) - discount * mdp.transition[states, policy]
        value = np.linalg.solve(equations, mdp.reward[states, policy])
        action_value = mdp.reward + discount * mdp.transition @ value
        scale = max(1.0, float(np.abs(value).max()))  # of the rounding
        better = action_value.max(axis=1) > action_value[states, policy] + TOLERANCE * scale
        if not better.any():
            return Solution(value, action_value, policy)
        policy = np.where(better, action_value.argmax(axis=1), policy)


def _require_discount(method: str, discount: float) -> None:
    if not 0 <= discount < 1:
        raise InputError(f"{method} iteration needs a discount in [0, 1), got {discount}")


def reachable(mdp: MDP) -> np.ndarray:
    """Whether some policy can come to a state in which an action is taken: [S] bool."""
    leads = mdp.transition.max(axis=1) > 0
    reached = mdp.initial > 0
    while True:
        further = reached | (leads & reached[:, None]).any(axis=0)
        if (further == reached).all():
            return reached
        reached = further


def expected_return(mdp: MDP, policy: np.ndarray, steps: int) -> float:
    """The expected undiscounted return of a stationary policy within `steps` steps from the start.

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
