"""Noisy networks, and a learner that explores by their noise alone."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import Array, random

from jaxrl.algorithm import (
    Collector,
    Episode,
    episode_metrics,
    mean_metrics,
    rollout,
    start_episodes,
    static,
    traced,
)
from jaxrl.config import component
from jaxrl.learning.inputs import features
from jaxrl.learning.layers import Linear, NoisyDense
from jaxrl.learning.memory import apply
from jaxrl.learning.networks import Network, require_network
from jaxrl.learning.returns import td_target


class Noisy(Network):
    """One hidden noisy layer."""

    units: int = static(16, low=1)

    def module(self, space):
        return NoisyLayer(self.units)


class NoisyLayer(nn.Module):
    units: int

    @nn.compact
    def __call__(self, x, action=None):
        return nn.relu(NoisyDense(self.units)(x))


class State(struct.PyTreeNode):
    params: Any
    optimiser: Any
    episodes: Episode  # [num_envs]


class NoisyQ(Collector):
    """Q-learning from the last rollout; exploration is the network's noise alone, one draw an environment."""

    learning_rate: float = traced(3e-3, "Adam's step size", low=0)
    discount: float = traced(0.9, "γ", low=0, high=1)
    num_envs: int = static(16)
    num_steps: int = static(4)
    network: Network = component(Noisy())

    def validate_for(self, env):
        require_network(self, self.network, env, noise=True)

    def init(self, env, key):
        key_params, key_episodes = random.split(key)
        episodes = start_episodes(env, key_episodes, self.num_envs)
        params = self.values(env).init(key_params, features(env.observation_space, episodes.obs[0]))
        return State(params, optax.adam(self.learning_rate).init(params), episodes)

    def step(self, env, state, key, t, total):
        key_rollout, key_loss = random.split(key)

        def act(memory, obs, key):
            return *self.act(env, state, memory, obs, key, explore=True), None

        episodes, transitions, _ = rollout(env, state.episodes, key_rollout, self.num_steps, act)
        loss, grads = jax.value_and_grad(self.loss)(state.params, env, transitions, key_loss)
        updates, opt_state = optax.adam(self.learning_rate).update(grads, state.optimiser)
        params = optax.apply_updates(state.params, updates)
        state = state.replace(params=params, optimiser=opt_state, episodes=episodes)
        return state, episode_metrics(transitions) | mean_metrics(loss=loss)

    def loss(self, params: Any, env: Any, transitions: Any, key: Array) -> Array:
        """The noise of the values and of the targets is drawn apart (Fortunato et al. 2018, section 3.1)."""
        key_value, key_target = random.split(key)
        x, next_x = (features(env.observation_space, obs) for obs in (transitions.obs, transitions.next_obs))
        values, _ = apply(self.values(env), params, (), x, noise=key_value)
        next_values, _ = apply(self.values(env), jax.lax.stop_gradient(params), (), next_x, noise=key_target)
        target = td_target(
            transitions.reward, self.discount, transitions.terminated, next_values.max(axis=-1)
        )
        taken = jnp.take_along_axis(values, transitions.action[..., None], axis=-1)[..., 0]
        return jnp.mean(jnp.square(taken - target))

    def act(self, env, state, memory, obs, key, explore):
        x = features(env.observation_space, obs)
        values, _ = apply(self.values(env), state.params, (), x, noise=key if explore else None)
        return jnp.argmax(values), memory

    def values(self, env):
        return Linear(self.network.module(env.observation_space), env.action_space.n)
