"""Environments of MuJoCo Playground, such as playground:CartpoleBalance."""

import functools
from typing import Self

from envs.adapters.brax_interface import BraxInterface, Simulator, simulator_of
from envs.adapters.suite import imported, made
from jaxrl.environment import static


class FromPlayground(BraxInterface):
    """Playground's environment `name`, simulated by MJX's implementation in jax.

    Every `done` of the environment itself is a termination. The time limit stands in Playground's
    configuration as `episode_length`, for a wrapper that is not used here; `max_steps` replaces it. That
    wrapper would also repeat actions, as the configuration of two tasks demands.
    """

    packages = ("playground", "mujoco", "mujoco-mjx")
    name: str = static("CartpoleBalance")

    @classmethod
    def from_name(cls, name: str) -> Self:
        """The environment with Playground's time limit. Raises InputError if Playground cannot make it."""
        return cls(name=name, max_steps=int(_simulator(name).env._config.episode_length))

    def simulator(self) -> Simulator:
        return _simulator(self.name)


@functools.cache
def _simulator(name: str) -> Simulator:
    registry = imported("playground", "mujoco_playground").registry
    # Playground's own default is Warp's, which is no computation of jax.
    changes = {"impl": "jax"}
    return made(
        "playground",
        name,
        registry.ALL_ENVS,
        lambda: simulator_of(registry.load(name, config_overrides=changes)),
    )
