"""Partial observability: some numbers of the observation are hidden."""

from typing import cast

import numpy as np
from jax import Array

from jaxrl.environment import Box, State, Wrapper, bounds, static
from jaxrl.errors import InputError


class Masked(Wrapper):
    """Only some entries of a flat observation are seen, by default the two positions of CartPole."""

    seen: tuple[int, ...] = static((0, 2), "indices of the visible entries", low=0)

    def validate(self) -> None:
        super().validate()
        space = self.env.observation_space
        if not isinstance(space, Box) or len(space.shape) != 1:
            raise InputError(f"Masked needs flat observations; those of {self.env.title} are {space}")
        if not self.seen or len({*self.seen}) != len(self.seen) or max(self.seen) >= space.shape[0]:
            raise InputError(
                f"Masked.seen must be distinct indices in [0, {space.shape[0] - 1}], got {self.seen}"
            )

    @property
    def observation_space(self) -> Box:
        space = cast(Box, self.env.observation_space)
        low, high = (
            [bound[i if len(bound) > 1 else 0] if np.ndim(bound) else bound for i in self.seen]
            for bound in (space.low, space.high)
        )
        return Box(bounds(*low), bounds(*high), (len(self.seen),), space.dtype)

    def heuristic(self, obs: Array) -> Array | None:
        """The inner environment's if all entries are seen in their order."""
        size = cast(Box, self.env.observation_space).shape[0]
        return self.env.heuristic(obs) if self.seen == tuple(range(size)) else None

    def observe(self, state: State) -> Array:
        return self.env.observe(state)[np.asarray(self.seen)]
