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
from jaxrl.fields import component, static
from jaxrl.mdp.environment import Environment, check_contract
from jaxrl.mdp.finite import FiniteEnvironment
from jaxrl.mdp.spaces import Discrete
from jaxrl.mdp.wrapper import Wrapper

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

    A FiniteEnvironment lists its outcomes. Any other environment needs discrete spaces, a different
    observation for each state, and `reset` and `step` without randomness; a wrapper may hand its key on to a
    FiniteEnvironment. Its MDP has no transitions from states that it cannot reach. Raises InputError for an
    environment that is none of these.
    """
    core = _core(env)
    if isinstance(core, FiniteEnvironment) and type(core).step is not FiniteEnvironment.step:
        raise InputError(f"{core.title} overrides step, so enumerating its successor is not enough")
    if not isinstance(env, FiniteEnvironment):
        return _explored(env, core)
    pairs = np.indices((env.num_states, env.num_actions), np.int32).reshape(2, -1)
    weights_of = jax.jit(jax.vmap(lambda state, action: jnp.asarray(env.outcomes_of(state, action))))
    weight = _probabilities(weights_of(*pairs))
    triples = np.indices((env.num_states, env.num_actions, weight.shape[1])).reshape(3, -1)
    outcomes = jax.device_get(jax.jit(jax.vmap(env.successor))(*triples.astype(np.int32)))
    columns = [triples[0], triples[1], *outcomes]
    return _mdp(_probabilities(env.initial()), env.num_actions, weight.ravel(), columns)


def _probabilities(weights: Any) -> np.ndarray:
    """Float64 probabilities that sum to 1 along the last axis."""
    weights = np.asarray(weights, np.float64)
    return weights / weights.sum(axis=-1, keepdims=True)


def _core(env: Environment) -> Environment:
    """The environment inside of all wrappers."""
    return _core(env.env) if isinstance(env, Wrapper) else env


class _Listed(Wrapper):
    """A FiniteEnvironment whose `reset` takes a state and whose `step` takes an outcome instead of a key.

    While jax traces a step, the probability of the outcome is appended to `weights`.
    """

    env: FiniteEnvironment = component()
    weights: list[Array] = static()

    def reset(self, key: Array) -> Array:
        return key

    def step(self, key: Array, state: Array, action: Array) -> tuple[Array, Array, Array]:
        self.weights.append(jnp.asarray(self.env.outcomes_of(state, action), jnp.float32)[key])
        return self.env.successor(state, action, key)


def _listed(env: Any, weights: list[Array]) -> Environment:
    """An environment whose FiniteEnvironment, inside of all wrappers, is a _Listed."""
    if isinstance(env, Wrapper):
        return env.replace(env=_listed(env.env, weights))
    return _Listed(env=env, weights=weights)


def _explored(env: Environment, core: Environment) -> MDP:
    """The MDP of an environment that draws nothing outside of its core, from all states that it can reach."""
    name, observations, actions = env.title, env.observation_space, env.action_space
    if not (isinstance(observations, Discrete) and isinstance(actions, Discrete)):
        raise InputError(f"{name} cannot be enumerated: its observations or actions are not discrete")
    check_contract(env)
    # What stands for the key: a state or an outcome if the core lists them. No draw takes it for a key.
    starts: list[tuple[Any, float]] = [(None, 1.0)]
    outcomes, count, weights = None, 1, list[Array]()
    if isinstance(core, FiniteEnvironment):
        initial = _probabilities(core.initial())
        starts = [(jnp.int32(state), initial[state]) for state in np.flatnonzero(initial)]
        count = len(core.outcomes_of(jnp.int32(0), jnp.int32(0)))
        outcomes, env = jnp.arange(count, dtype=jnp.int32), _listed(env, weights)

    def step(state: Any, action: Array, outcome: Any) -> tuple[Any, ...]:
        successor, reward, terminated = env.step(outcome, state, action)
        weight, *more = weights or [jnp.float32(1)]
        weights.clear()
        if more:
            raise InputError(f"{name} cannot be enumerated: it steps {core.title} more than once in a step")
        return successor, weight, env.observe(successor), jnp.asarray(reward), jnp.asarray(terminated)

    by_outcome = jax.vmap(step, (None, None, 0), axis_size=count)
    step_all = jax.jit(jax.vmap(by_outcome, (None, 0, None)))
    try:
        first = [(jax.device_get(env.reset(key)), probability) for key, probability in starts]
        jax.eval_shape(step_all, first[0][0], np.arange(actions.n), outcomes)
    except TypeError:
        raise InputError(
            f"{name} cannot be enumerated: it draws in reset or step; a FiniteEnvironment lists its outcomes"
        ) from None

    states: dict[int, Any] = {}
    distribution, rows = np.zeros(observations.n), []
    for state, probability in first:
        distribution[_known(states, name, int(env.observe(state)), state)] += probability
    order = [*states]
    for obs in order:  # the list grows in the loop
        successors, weight, *results = jax.device_get(step_all(states[obs], np.arange(actions.n), outcomes))
        weight = _probabilities(weight)  # [actions, outcomes], as all results
        for place in zip(*np.nonzero(weight), strict=True):
            next_obs, reward, terminated = (result[place] for result in results)
            rows.append((weight[place], obs, place[0], next_obs, reward, terminated))
            if terminated:
                continue
            if int(next_obs) not in states:
                order.append(int(next_obs))
            after = jax.tree.map(lambda leaf, place=place: leaf[place], successors)
            _known(states, name, int(next_obs), after)
    columns = [np.asarray(column) for column in zip(*rows, strict=True)]
    return _mdp(distribution, actions.n, columns[0], columns[1:])


def _known(states: dict[int, Any], name: str, obs: int, state: Any) -> int:
    """Notes the state that an observation shows. Raises InputError if it shows another one already."""
    if not _equal(states.setdefault(obs, state), state):
        raise InputError(f"{name} cannot be enumerated: several of its states look like {obs}")
    return obs


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
