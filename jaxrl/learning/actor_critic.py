"""Actor and critic for an environment: two networks, the policy's distribution and its actions."""

import math
from typing import Any, NamedTuple

import flax.linen as nn
from jax import Array, random

from jaxrl.learning.distributions import Categorical, Gaussian
from jaxrl.learning.networks import Linear, MeanAndLogStd, Network
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.spaces import Discrete, Space


class ActorCritic(NamedTuple):
    """An actor and a critic that share no layers. Their parameters are the pair (actor's, critic's)."""

    actor: nn.Module  # x -> logits, or mean and log_std
    critic: nn.Module  # x -> value, [..., 1]
    action_space: Space

    def init(self, key: Array, x: Array) -> tuple[Any, Any]:
        """Parameters for inputs such as x: [*inputs]."""
        key_actor, key_critic = random.split(key)
        return self.actor.init(key_actor, x), self.critic.init(key_critic, x)

    def policy(self, params: tuple[Any, Any], x: Array) -> Categorical | Gaussian:
        """The policy's distributions for inputs [..., *inputs]. Continuous actions are flat: [..., d]."""
        outputs = self.actor.apply(params[0], x)
        return Categorical(outputs) if isinstance(self.action_space, Discrete) else Gaussian(*outputs)

    def value(self, params: tuple[Any, Any], x: Array) -> Array:
        """Values of inputs [..., *inputs]: [...]."""
        return self.critic.apply(params[1], x)[..., 0]

    def executed(self, action: Array) -> Array:
        """One drawn action, reshaped and clipped to the action space."""
        return self.action_space.clip(action.reshape(self.action_space.shape))


def actor_critic(network: Network, env: Environment) -> ActorCritic:
    """Actor and critic with orthogonal last layers.

    The actor's scale is 0.01 (Andrychowicz et al. 2021 recommend a small one), the critic's is 1.
    """
    torso, space = network.module(env.observation_space), env.action_space
    critic = Linear(torso, 1, scale=1.0)
    if isinstance(space, Discrete):
        return ActorCritic(Linear(torso, space.n, scale=0.01), critic, space)
    return ActorCritic(MeanAndLogStd(torso, math.prod(space.shape), scale=0.01), critic, space)
