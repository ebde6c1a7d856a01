"""Actor and critic for an environment: two networks, the policy's distribution and its actions."""

import math
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
from jax import Array, random

from jaxrl.learning.distributions import Categorical, Gaussian
from jaxrl.learning.inputs import input_shape
from jaxrl.learning.layers import Linear, MeanAndLogStd
from jaxrl.learning.memory import apply, initial_memory, initial_params, outputs_along, unroll
from jaxrl.learning.networks import Network
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Memory
from jaxrl.mdp.spaces import Discrete, Space

Pair = tuple[Any, Any]  # what belongs to the actor and to the critic: parameters, or memories
TORSO = "torso"  # flax's name of the torso's parameters within those of a head


class ActorCritic(NamedTuple):
    """An actor and a critic, each with a torso and a memory of its own unless they share a torso.

    The parameters of a shared torso are among the actor's. Each then still has its own memory, of equal
    values, so acting needs the actor alone. Inputs x are those of one step, [*inputs]. Without a memory they
    may have leading axes, [..., *inputs].
    """

    actor: nn.Module  # x -> logits, or mean and log_std
    critic: nn.Module  # x -> value, [..., 1]
    observation_space: Space
    action_space: Space
    shared_torso: bool = False

    def init(self, key: Array, x: Array) -> Pair:
        """Parameters for inputs such as x: [*inputs]."""
        key_actor, key_critic = random.split(key)
        actor, critic = initial_params(self.actor, key_actor, x), initial_params(self.critic, key_critic, x)
        if self.shared_torso:
            critic["params"].pop(TORSO, None)
        return actor, critic

    def memory(self) -> Pair:
        """The memories at the start of an episode."""
        shape = input_shape(self.observation_space)
        return initial_memory(self.actor, shape), initial_memory(self.critic, shape)

    def policy(self, params: Pair, memory: Memory, x: Array) -> tuple[Categorical | Gaussian, Memory]:
        """The policy's distribution for inputs x, and the actor's memory afterwards.

        Continuous actions are flat: [..., d].
        """
        outputs, memory = apply(self.actor, params[0], memory, x)
        if isinstance(self.action_space, Discrete):
            return Categorical(outputs), memory
        return Gaussian(*outputs), memory

    def value(self, params: Pair, memory: Memory, x: Array) -> tuple[Array, Memory]:
        """The value of inputs x, [...], and the critic's memory afterwards."""
        actor, critic = params
        if self.shared_torso:
            critic = {"params": {**critic["params"], TORSO: actor["params"].get(TORSO, {})}}
        outputs, memory = apply(self.critic, critic, memory, x)
        return outputs[..., 0], memory

    def values_of_rollout(
        self, params: Pair, memory: Memory, done: Array, x: Array, next_x: Array
    ) -> tuple[Array, Array, Memory]:
        """The values of a rollout's inputs and of their true successors, and the critic's memory after it.

        memory is the critic's before the rollout, [num_envs, ...]; the others are [num_steps, num_envs, ...].
        """

        def step(memory: Memory, x: Array, next_x: Array) -> tuple[tuple[Array, Array], Memory]:
            value, memory = self.value(params, memory, x)
            return (value, self.value(params, memory, next_x)[0]), memory

        (value, next_value), memory = unroll(step, memory, done, x, next_x, axis=0)
        return value, next_value, memory

    def unrolled(
        self, params: Pair, memory: Pair, done: Array, x: Array
    ) -> tuple[Categorical | Gaussian, Array]:
        """The policies and values of sequences.

        memory is that of both networks at the start of the sequences, [n, ...]; the others are [n, length,
        ...]. Without a memory their leading axes may be any.
        """
        policy = outputs_along(partial(self.policy, params), memory[0], done, x)
        return policy, outputs_along(partial(self.value, params), memory[1], done, x)

    def executed(self, action: Array) -> Array:
        """One drawn action, reshaped and clipped to the action space."""
        return self.action_space.clip(action.reshape(self.action_space.shape))


def actor_critic(network: Network, env: Environment, shared_torso: bool = False) -> ActorCritic:
    """Actor and critic with orthogonal last layers.

    The actor's scale is 0.01 (Andrychowicz et al. 2021 recommend a small one), the critic's is 1.
    """
    observations, actions = env.observation_space, env.action_space
    torso = network.module(observations)
    critic = Linear(torso, 1, scale=1.0)
    if isinstance(actions, Discrete):
        actor: nn.Module = Linear(torso, actions.n, scale=0.01)
    else:
        actor = MeanAndLogStd(torso, math.prod(actions.shape), scale=0.01)
    return ActorCritic(actor, critic, observations, actions, shared_torso)
