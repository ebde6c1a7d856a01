"""Craftax (Matthews et al. 2024), such as craftax:Craftax-Classic-Symbolic-v1."""

import functools
from typing import Any, Self

import numpy as np

from envs.adapters.from_gymnax import FromGymnax
from envs.adapters.suite import imported, made
from jaxrl.environment import Box, Discrete, static

NAMES = [f"Craftax-{kind}-v1" for kind in ("Classic-Pixels", "Classic-Symbolic", "Pixels", "Symbolic")]


class FromCraftax(FromGymnax):
    """Craftax's environment `name`, which has gymnax's interface.

    Craftax counts its time limit among the terminations. Here this limit is never reached, and `max_steps`
    replaces it.
    """

    packages = ("craftax",)
    name: str = static("Craftax-Classic-Symbolic-v1")

    @classmethod
    def from_name(cls, name: str) -> Self:
        """The environment with Craftax's time limit. Raises InputError for a name that Craftax lacks."""
        return cls(name=name, max_steps=_made(name).default_params.max_timesteps)

    @property
    def observation_space(self) -> Box:
        env, params = self._with_limit()
        space = env.observation_space(params)
        return Box(space.low, space.high, space.shape, np.dtype(space.dtype))

    @property
    def action_space(self) -> Discrete:
        return Discrete(_made(self.name).num_actions)

    def _with_limit(self) -> tuple[Any, Any]:
        env = _made(self.name)
        return env, env.default_params.replace(max_timesteps=np.iinfo(np.int32).max)


@functools.cache
def _made(name: str) -> Any:
    """Craftax's environment of this name, which does not reset itself."""
    make = imported("craftax", "craftax.craftax_env").make_craftax_env_from_name
    return made("craftax", name, NAMES, lambda: make(name, auto_reset=False))
