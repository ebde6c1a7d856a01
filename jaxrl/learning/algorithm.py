from typing import Any

from jax import Array

from jaxrl.config import Config, static
from jaxrl.errors import InputError
from jaxrl.learning.metrics import Metrics
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.spaces import Discrete

State = Any  # a pytree of arrays with a field `key`; each algorithm names its own


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
