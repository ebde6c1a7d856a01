"""Bins for tables: continuous observations and actions become numbers of cells."""

import math
from typing import Any, cast

import jax.numpy as jnp
import numpy as np
from jax import Array

from envs.wrappers.boxes import bounds_of, require_box, require_real
from jaxrl.environment import Box, Discrete, State, Wrapper, static
from jaxrl.errors import InputError


class Discretised(Wrapper):
    """The observation is the number of a cell in a grid over flat observations.

    Each entry's range is cut into bins of equal width. What lies outside belongs to the outermost bin.
    """

    bins: tuple[int, ...] = static((8,), "bins of each entry, or one number for all", low=1)
    low: tuple[float, ...] = static((), "lower end of each entry's range; if empty, the space's")
    high: tuple[float, ...] = static((), "upper end of each entry's range; if empty, the space's")

    def validate(self) -> None:
        super().validate()
        space = require_box("Discretised", "observations", self.env.title, self.env.observation_space, axes=1)
        (size,) = space.shape
        for name, counts in (("bins", (1, size)), ("low", (0, size)), ("high", (0, size))):
            if len(given := getattr(self, name)) not in counts:
                expected = " or ".join(map(str, counts))
                raise InputError(f"Discretised.{name} must have {expected} numbers, got {given}")
        if math.prod(self.counts()) > 2**31 - 1:
            raise InputError(f"Discretised can have at most 2^31 - 1 cells, got bins={self.bins}")
        low, high = self.ends()
        for entry in range(size):
            if not -np.inf < low[entry] < high[entry] < np.inf:
                raise InputError(
                    f"Discretised needs a finite range of each entry, got {low[entry]:g} to "
                    f"{high[entry]:g} for entry {entry} of {self.env.title}'s; give low and high"
                )

    def counts(self) -> tuple[int, ...]:
        """The bins of each entry."""
        (size,) = self.env.observation_space.shape
        return self.bins * size if len(self.bins) == 1 else self.bins

    def ends(self) -> tuple[Any, Any]:
        """The range of each entry: [n] each."""
        library, low, high = bounds_of(cast(Box, self.env.observation_space))
        return library.asarray(self.low or low), library.asarray(self.high or high)

    @property
    def observation_space(self) -> Discrete:
        return Discrete(math.prod(self.counts()))

    def observe(self, state: State) -> Array:
        (low, high), counts = self.ends(), np.asarray(self.counts())
        share = (self.env.observe(state) - low) / (high - low)
        index = jnp.clip(jnp.floor(share * counts), 0, counts - 1).astype(jnp.int32)
        return jnp.ravel_multi_index(tuple(index), self.counts(), mode="clip").astype(jnp.int32)


class DiscretisedActions(Wrapper):
    """Each number of an action takes one of a few evenly spaced values, the ends of its range included."""

    levels: int = static(3, "values of each number", low=2)

    def validate(self) -> None:
        super().validate()
        space = require_box("DiscretisedActions", "actions", self.env.title, self.env.action_space)
        require_real("DiscretisedActions", "actions", self.env.title, space)
        if not space.is_bounded:
            raise InputError(
                f"DiscretisedActions needs actions with finite bounds; those of {self.env.title} are {space}"
            )
        if (number := self.levels ** math.prod(space.shape)) > 2**31 - 1:
            raise InputError(
                f"DiscretisedActions can have at most 2^31 - 1 actions, got {self.levels} levels of "
                f"{math.prod(space.shape)} numbers, which are {number:,}"
            )

    @property
    def action_space(self) -> Discrete:
        return Discrete(self.levels ** math.prod(self.env.action_space.shape))

    def step(self, key: Array, state: State, action: Array) -> tuple[State, Array, Array]:
        space = cast(Box, self.env.action_space)
        _, low, high = bounds_of(space)
        level = jnp.stack(jnp.unravel_index(action, (self.levels,) * math.prod(space.shape)))
        share = level.reshape(space.shape) / (self.levels - 1)
        return self.env.step(key, state, (low + share * (high - low)).astype(space.dtype))
