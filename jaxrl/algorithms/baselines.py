"""Baselines, which learn nothing: uniform actions, and the policy that an environment brings with it."""

from typing import cast

import jax
from flax import struct
from jax import Array

from jaxrl.errors import InputError
from jaxrl.learning.algorithm import Collector
from jaxrl.learning.metrics import Metrics, episode_metrics
from jaxrl.learning.rollout import rollout, start_episodes
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Episode, Memory
from jaxrl.mdp.spaces import Box, Composite, is_simple, zeros


class State(struct.PyTreeNode):
    episodes: Episode  # [num_envs]


class Baseline(Collector):
    """An iteration is num_steps steps in each of num_envs environments, and no update."""

    def init(self, env: Environment, key: Array) -> State:
        return State(start_episodes(env, key, self.num_envs))

    def step(
        self, env: Environment, state: State, key: Array, t: Array, total: Array
    ) -> tuple[State, Metrics]:
        def act(memory: Memory, obs: Array, key: Array) -> tuple[Array, Memory, None]:
            return *self.act(env, state, memory, obs, key, explore=True), None

        episodes, transitions, _ = rollout(env, state.episodes, key, self.num_steps, act)
        return state.replace(episodes=episodes), episode_metrics(transitions)


class Random(Baseline):
    """Every action is uniform, also in an evaluation."""

    def validate_for(self, env: Environment) -> None:
        space = env.action_space
        parts = space.parts if isinstance(space, Composite) else space
        for part in jax.tree.leaves(parts, is_leaf=is_simple):
            if isinstance(part, Box) and not part.is_bounded:
                raise InputError(
                    f"Random needs bounded actions; {env.title} has some in [{part.low}, {part.high}]"
                )

    def act(
        self, env: Environment, state: State, memory: Memory, obs: Array, key: Array, explore: bool
    ) -> tuple[Array, Memory]:
        return env.action_space.sample(key), memory


class Heuristic(Baseline):
    """The environment's `heuristic`, a policy by what is known of the world."""

    def validate_for(self, env: Environment) -> None:
        if jax.eval_shape(env.heuristic, zeros(env.observation_space)) is None:
            raise InputError(
                f"Heuristic needs an environment that has a heuristic; {env.title} has none: choose another "
                "baseline, or define its method heuristic(obs)"
            )

    def act(
        self, env: Environment, state: State, memory: Memory, obs: Array, key: Array, explore: bool
    ) -> tuple[Array, Memory]:
        return cast(Array, env.heuristic(obs)), memory
