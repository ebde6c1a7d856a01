"""A curriculum: constants that change during the run."""

from typing import Self

import jax.numpy as jnp
from jax import Array

from envs.wrappers.ranges import between, require_ends
from jaxrl.environment import Environment, Wrapper, attach, component, detach, traced


class Scheduled(Wrapper):
    """Every constant moves linearly from its value in `env` to its value in `end`.

    Evaluation uses the end of the schedule.
    """

    end: Environment = component(meaning="the same environment with the final constants")
    fraction: float = traced(1.0, "share of the run until the constants are final", low=1e-6, high=1)

    def validate(self) -> None:
        super().validate()
        require_ends("Scheduled", self.env, self.end)

    def at(self, t: Array, total: Array) -> Self:
        share = jnp.clip(t / jnp.maximum(self.fraction * total, 1.0), 0.0, 1.0)
        now = super().at(t, total)
        (start, arrays), (end, _) = detach(now.env), detach(now.end)
        return now.replace(env=attach(between(start, end, share), arrays))
