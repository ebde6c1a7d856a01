"""The algorithm contract: a learner as pure functions over one run."""

from typing import Any, ClassVar

from jax import Array

from jaxrl.config import Config, static
from jaxrl.errors import InputError
from jaxrl.learning.metrics import Metrics
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Memory
from jaxrl.mdp.spaces import Box, Discrete, is_simple

State = Any  # a pytree of arrays; each algorithm names its own


class Algorithm(Config):
    """A learner; its fields are its hyper-parameters.

    An algorithm sees one run; `jax.vmap` adds the lanes. Therefore a `lax.cond` on a traced field or on the
    state runs both branches. A `lax.cond` on `t` or `total`, which are the same in all lanes, runs one.
    """

    # Fields in environment steps, such as a warm-up, or in episodes. A run must be longer to get past them.
    waits: ClassVar[tuple[str, ...]] = ()

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps of one run in one `step`."""
        raise self._missing("steps_per_iteration")

    def never_reached(self, steps: int) -> tuple[str, ...]:
        """The fields that a run of `steps` environment steps never gets past. The plan names them."""
        return tuple(name for name in self.waits if self.parameters()[name] >= steps)

    def validate_for(self, env: Environment) -> None:
        """Raises InputError if this algorithm cannot learn in `env`. The values must be concrete."""

    def init(self, env: Environment, key: Array) -> State:
        """The state before the first iteration."""
        raise self._missing("init")

    def step(
        self, env: Environment, state: State, key: Array, t: Array, total: Array
    ) -> tuple[State, Metrics]:
        """Iteration `t` of `total` planned iterations: collect transitions, then update.

        Both numbers are [] int32, traced and the same for all lanes. Schedules are functions of them, so
        another budget needs no compilation. Every iteration gets a key of its own.
        """
        raise self._missing("step")

    def memory(self, env: Environment) -> Memory:
        """The policy's memory at the start of an episode: a pytree of arrays, () without a memory."""
        return ()

    def act(
        self, env: Environment, state: State, memory: Memory, obs: Array, key: Array, explore: bool
    ) -> tuple[Array, Memory]:
        """The policy's action for one observation, and its memory afterwards.

        The action is greedy, or with `explore` (static) as at the end of training.
        """
        raise self._missing("act")

    def _missing(self, what: str) -> InputError:
        return InputError(f"{type(self).__name__} must define {what}")


class Collector(Algorithm):
    """An algorithm that steps `num_envs` environments `num_steps` times in each iteration."""

    num_envs: int = static(1, "environments of each run", low=1)
    num_steps: int = static(1, "steps of each environment per iteration", low=1)

    @property
    def steps_per_iteration(self) -> int:
        return self.num_envs * self.num_steps


def require_one_agent(algorithm: Algorithm, env: Environment) -> None:
    """Raises InputError if an environment has several agents, or spaces that are not single arrays."""
    name = type(algorithm).__name__
    if env.num_agents > 1:
        raise InputError(f"{name} learns for one agent; {env.title} has {env.num_agents}")
    for what, space in (("observations", env.observation_space), ("actions", env.action_space)):
        if not is_simple(space):
            raise InputError(f"{name} needs {what} that are single arrays; those of {env.title} have parts")


def num_actions(algorithm: Algorithm, env: Environment) -> int:
    """The number of discrete actions. Raises InputError if they are continuous."""
    require_one_agent(algorithm, env)
    space = env.action_space
    if isinstance(space, Discrete):
        return space.n
    raise InputError(
        f"{type(algorithm).__name__} needs discrete actions; "
        f"{env.title} has continuous ones of shape {space.shape}"
    )


def require_bounded_actions(algorithm: Algorithm, env: Environment, otherwise: str) -> None:
    """Raises InputError unless actions are real numbers whose range is finite as float32.

    `otherwise` names the algorithm for discrete actions.
    """
    require_one_agent(algorithm, env)
    name, space = type(algorithm).__name__, env.action_space
    if not isinstance(space, Box):
        raise InputError(f"{name} needs continuous actions; {env.title} has discrete ones: use {otherwise}")
    if space.is_integer:
        raise InputError(f"{name} needs actions of real numbers; those of {env.title} are integers: use ppo")
    if not space.is_bounded:
        raise InputError(
            f"{name} needs bounded actions; those of {env.title} are in [{space.low}, {space.high}]"
        )


def num_observations(algorithm: Algorithm, env: Environment) -> int:
    """The number of discrete observations. Raises InputError if they are real numbers."""
    require_one_agent(algorithm, env)
    space = env.observation_space
    if isinstance(space, Discrete):
        return space.n
    raise InputError(
        f"{type(algorithm).__name__} keeps a table and needs discrete observations; "
        f"{env.title} has real ones of shape {space.shape}"
    )
