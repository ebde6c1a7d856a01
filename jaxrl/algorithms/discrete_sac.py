"""Soft actor-critic for discrete actions (Christodoulou 2019): expectations over actions are exact sums."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxrl.algorithm import traced
from jaxrl.algorithms.sac import SAC
from jaxrl.config import Scalar
from jaxrl.learning.algorithm import num_actions
from jaxrl.learning.distributions import Categorical
from jaxrl.learning.networks import ReluMLP, is_image
from jaxrl.mdp.environment import Environment


class DiscreteSAC(SAC):
    """SAC whose actor gives a probability, and whose critics give a value, to each action."""

    target_entropy: float = traced(0.5, "as a share of the largest, log n", low=0, high=1)

    def validate_for(self, env: Environment) -> None:
        num_actions(self, env)

    def soft_value(
        self, env: Environment, actor: Any, critics: Any, temperature: Array, x: Array, noise: Array
    ) -> tuple[Array, Array]:
        """π(s)ᵀ (min Q(s) - α log π(s)) and the entropy of π(s), both [] (eq. 10). Needs no noise."""
        policy = self.policy(env, actor, x)
        value, entropy = jnp.min(self.values(env, critics, x), axis=0), policy.entropy()
        return jnp.sum(jax.nn.softmax(policy.logits) * value) + temperature * entropy, entropy

    def action_value(self, env: Environment, critics: Any, x: Array, action: Array) -> Array:
        return self.values(env, critics, x)[:, action]

    def values(self, env: Environment, critics: Any, x: Array) -> Array:
        """Both critics' values of all actions: [2, actions]."""
        return jnp.stack([self.critic(env).apply(each, x) for each in critics])

    def policy(self, env: Environment, actor: Any, x: Array) -> Categorical:  # type: ignore[override]
        return Categorical(self.actor(env).apply(actor, x))

    def uniform(self, env: Environment, key: Array) -> Array:
        return env.action_space.sample(key)

    def executed(self, env: Environment, action: Array) -> Array:
        return action

    def aim(self, env: Environment) -> Scalar:
        return self.target_entropy * math.log(num_actions(self, env))

    def actor(self, env: Environment) -> ReluMLP:
        return ReluMLP(self.hidden, num_actions(self, env), image=is_image(env.observation_space))

    def critic(self, env: Environment) -> ReluMLP:
        return self.actor(env)

    def init_critic(self, env: Environment, key: Array, x: Array) -> Any:
        return self.critic(env).init(key, x)
