"""Playing trained policies: transitions, pictures, and names for environments."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax import Array, random

from jaxrl import registry
from jaxrl.compiled.engine import PRECISIONS, with_precision
from jaxrl.errors import InputError
from jaxrl.learning.algorithm import Algorithm, State
from jaxrl.learning.rollout import rollout, start_episodes
from jaxrl.mdp.environment import Environment, check_contract
from jaxrl.mdp.environment import State as EnvironmentState
from jaxrl.mdp.episode import Experience, Memory
from jaxrl.store.policy import Policy


def named(
    environments: Environment | Mapping[str, Environment] | Sequence[Environment],
) -> dict[str, Environment]:
    """Environments by name. A name that is not given is the environment's `label_of`.

    Raises InputError for no environment, for anything else, or for two of the same name.
    """
    if isinstance(environments, Environment):
        environments = [environments]
    if not isinstance(environments, Mapping | Sequence):
        raise InputError(f"environments must be one, a list or a dict of them, got {environments!r}")
    if not isinstance(environments, Mapping):
        labels = [
            registry.label_of(env) if isinstance(env, Environment) else repr(env) for env in environments
        ]
        for label in labels:
            if labels.count(label) > 1:
                raise InputError(f"the environment {label} was given twice")
        environments = dict(zip(labels, environments, strict=True))
    if not environments:
        raise InputError("name at least one environment")
    for name, env in environments.items():
        if not isinstance(env, Environment):
            raise InputError(f"{name} must be an Environment such as CartPole(), got {env!r}")
        env.validate()
        check_contract(env)
    return dict(environments)


def transitions_of(policy: Policy, steps: int, explore: bool, key: Array) -> dict[str, np.ndarray]:
    """`steps` successive transitions of a policy in its environment, one episode after the other.

    Returns obs, action, reward, next_obs (the true successor's), terminated and truncated: [steps, ...] each.
    A part of a Composite has a name such as obs/row.
    Discrete observations and actions count from 0.
    """
    parts = (policy.algorithm.arrays(), policy.environment.arrays(), policy.state)
    experience = jax.device_get(with_precision(_play, PRECISIONS[0])(*parts, key, steps, explore))
    names = ("obs", "action", "reward", "next_obs", "terminated", "truncated")
    return {
        f"{name}/{jax.tree_util.keystr(path, simple=True, separator='/')}".rstrip("/"): np.asarray(leaf)
        for name in names
        for path, leaf in jax.tree.leaves_with_path(getattr(experience, name))
    }


@functools.partial(jax.jit, static_argnames=("steps", "explore"))
def _play(
    algorithm: Algorithm, env: Environment, state: State, key: Array, steps: int, explore: bool
) -> Experience:
    """`steps` transitions. Runs of one program share the compilation."""

    def act(memory: Memory, obs: Array, key: Array) -> tuple[Array, Memory, None]:
        return (*algorithm.act(env, state, memory, obs, key, explore), None)

    key_start, key_steps = random.split(key)
    memory = algorithm.memory(env)
    episodes = start_episodes(env, key_start, 1, memory)
    _, transitions, _ = rollout(env, episodes, key_steps, steps, act, memory=memory)
    return jax.tree.map(lambda leaf: leaf[:, 0], transitions.experience)


class Moment(NamedTuple):
    """A moment of an episode."""

    state: EnvironmentState
    episode_return: float  # undiscounted so far, mean over agents


def episode(policy: Policy, key: Array) -> Iterator[Moment]:
    """The moments of one greedy episode, from its start to its end or its time limit."""
    env = policy.environment.arrays()
    act, step, observe = jax.jit(policy.act), jax.jit(env.step), jax.jit(env.observe)
    key, key_reset = random.split(key)
    state, memory, total = env.reset(key_reset), policy.memory, 0.0
    yield Moment(jax.device_get(state), total)
    for t in range(int(env.max_steps)):
        key_act, key_env = random.split(random.fold_in(key, t))
        action, memory = act(memory, observe(state), key_act)
        state, reward, terminated = step(key_env, state, action)
        total += float(np.mean(reward))
        yield Moment(jax.device_get(state), total)
        if terminated:
            return


def frames(policy: Policy, key: Array) -> Iterator[np.ndarray]:
    """Pictures ([height, width, 3] uint8) of the states of one greedy episode.

    Raises InputError if the environment has no pictures.
    """
    env = policy.environment.arrays()
    for moment in episode(policy, key):
        yield env.render(moment.state)
