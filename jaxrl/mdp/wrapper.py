"""Wrapper: an environment around another one, which it changes in part."""

from typing import Any, Self

import numpy as np
from jax import Array

from jaxrl.config import names_of
from jaxrl.fields import component
from jaxrl.mdp.environment import Environment, State, described
from jaxrl.mdp.spaces import Space, zeros


class Wrapper(Environment):
    """An environment that behaves like the environment it holds. A subclass overrides what it changes.

    The constants of the inner environment keep their kinds and bounds, under dotted names such as
    `env.pole_length`. A subclass that needs a state of its own puts the inner state into it, and overrides
    `reset`, `step` and `inner`.
    """

    env: Environment = component(meaning="the environment that is wrapped")

    @property  # type: ignore[misc]
    def max_steps(self) -> Any:
        return self.env.max_steps

    @property
    def title(self) -> str:
        return f"{type(self).__name__}({self.env.title})"

    def at(self, t: Array, total: Array) -> Self:
        held = {name: getattr(self, name) for name in names_of(type(self), "component")}
        return self.replace(
            **{name: env.at(t, total) for name, env in held.items() if isinstance(env, Environment)}
        )

    @property
    def num_agents(self) -> int:
        return self.env.num_agents

    @property
    def observation_space(self) -> Space:
        return self.env.observation_space

    @property
    def action_space(self) -> Space:
        return self.env.action_space

    @property
    def solved_return(self) -> float | None:
        return self.env.solved_return

    def reset(self, key: Array) -> State:
        return self.env.reset(key)

    def step(self, key: Array, state: State, action: Array) -> tuple[State, Array, Array]:
        return self.env.step(key, state, action)

    def inner(self, state: State) -> State:
        """The state of the inner environment within a state of this one."""
        return state

    def observe(self, state: State) -> Array:
        return self.env.observe(self.inner(state))

    def potential(self, state: State) -> Array:
        return self.env.potential(self.inner(state))

    def heuristic(self, obs: Array) -> Array | None:
        """The inner environment's; None if observations or actions have another shape or type.

        A wrapper that changes what the numbers of an observation or an action mean must override it.
        """
        ours, theirs = (
            [described(zeros(space)) for space in (each.observation_space, each.action_space)]
            for each in (self, self.env)
        )
        return self.env.heuristic(obs) if ours == theirs else None

    def render(self, state: State) -> np.ndarray:
        return self.env.render(self.inner(state))

    def text(self, state: State) -> str:
        return self.env.text(self.inner(state))
