"""Any environment of brax, such as brax:inverted_pendulum."""

import functools
from typing import Self

from envs.adapters.brax_interface import BraxInterface, Simulator, simulator_of
from envs.adapters.suite import imported, made
from jaxrl.environment import static


class FromBrax(BraxInterface):
    """brax's environment `name`.

    Every `done` of the environment itself is a termination. brax's time limit is that of a wrapper, which is
    not used here. `max_steps` replaces it, and has the same default for every environment.
    """

    packages = ("brax", "mujoco", "mujoco-mjx")
    name: str = static("inverted_pendulum")
    backend: str = static(
        "generalized", "brax's engine of physics", choices=("generalized", "spring", "positional", "mjx")
    )

    @classmethod
    def from_name(cls, name: str) -> Self:
        """The environment with brax's usual engine. Raises InputError for a name that brax cannot make."""
        env = cls(name=name)
        env.simulator()
        return env

    def simulator(self) -> Simulator:
        return _simulator(self.name, self.backend)


@functools.cache
def _simulator(name: str, backend: str) -> Simulator:
    envs = imported("brax", "brax.envs")
    return made("brax", name, envs._envs, lambda: simulator_of(envs.get_environment(name, backend=backend)))
