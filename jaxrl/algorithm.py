"""The algorithm contract: a learner as pure functions over one run."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax, random

from jaxrl.config import Config, static, traced
from jaxrl.environment import Discrete, Environment, Episode, Transition
from jaxrl.errors import InputError

__all__ = [
    "Algorithm",
    "Collector",
    "Metrics",
    "episode_metrics",
    "mean_metrics",
    "num_actions",
    "num_observations",
    "rollout",
    "start_episodes",
    "static",
    "traced",
]

State = Any  # a pytree of arrays with a field `key`; each algorithm names its own
Metrics = dict[str, tuple[Array, Array]]  # name -> ([] sum, [] weight); a chunk reports sum / weight


class Algorithm(Config):
    """A learner; its fields are its hyper-parameters.

    An algorithm sees one run and no batch: lanes are added by `jax.vmap`. All randomness of iteration
    `t` comes from `fold_in(state.key, t)`.
    """

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps that one `step` consumes."""
        raise NotImplementedError

    def validate_for(self, env: Environment) -> None:
        """Raises InputError if this algorithm cannot learn in `env`. For concrete values, on the host."""

    def init(self, env: Environment, key: Array) -> State:
        """The state before the first iteration."""
        raise NotImplementedError

    def step(self, env: Environment, state: State, t: Array, total: Array) -> tuple[State, Metrics]:
        """Iteration `t` of a run planned for `total` of them: collect transitions, then update.

        Both are [] int32, traced and the same for all lanes, so that a `lax.cond` on them stays a
        branch under vmap and another budget compiles nothing. Schedules are functions of the two.
        """
        raise NotImplementedError

    def act(self, env: Environment, state: State, obs: Array, key: Array, explore: bool) -> Array:
        """The policy: greedy, or as in training at its end if `explore` (static)."""
        raise NotImplementedError


class Collector(Algorithm):
    """An algorithm whose iteration begins with the same number of steps in each of its environments."""

    num_envs: int = static(1, "environments of each run", low=1)
    num_steps: int = static(1, "steps in each of them per iteration", low=1)

    @property
    def steps_per_iteration(self) -> int:
        return self.num_envs * self.num_steps


def num_actions(algorithm: Algorithm, env: Environment) -> int:
    """How many discrete actions there are. Raises InputError if they are continuous."""
    space = env.action_space
    if isinstance(space, Discrete):
        return space.n
    raise InputError(
        f"{type(algorithm).__name__} needs discrete actions; "
        f"{env.title} has continuous ones of shape {space.shape}"
    )


def num_observations(algorithm: Algorithm, env: Environment) -> int:
    """How many discrete observations there are. Raises InputError if they are real numbers."""
    space = env.observation_space
    if isinstance(space, Discrete):
        return space.n
    raise InputError(
        f"{type(algorithm).__name__} keeps a table and needs discrete observations; "
        f"{env.title} has real ones of shape {space.shape}"
    )


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


def episode_metrics(transition: Transition) -> Metrics:
    """Return and length of the episodes that end in a batch of transitions, any leading axes."""
    done = transition.done
    count = jnp.sum(done, dtype=jnp.float32)
    return {
        "return": (jnp.sum(jnp.where(done, transition.episode_return, 0.0)), count),
        "length": (
            jnp.sum(jnp.where(done, transition.episode_length, 0), dtype=jnp.float32),
            count,
        ),
    }


def mean_metrics(**values: Array) -> Metrics:
    """Metrics of weight 1 from values that are averaged over their axes."""
    return {name: (jnp.mean(value), jnp.float32(1)) for name, value in values.items()}
