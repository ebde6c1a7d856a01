"""A task that needs memory, and the shortest learner that has one."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import Array, lax, random

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
from jaxrl.environment import Discrete, Environment
from jaxrl.learning.distributions import Categorical
from jaxrl.mdp.episode import select


class Recall(Environment):
    """The first observation is a cue, 1 or 2, all later ones are 0; the last action must repeat the cue."""

    delay: int = static(2, "steps between cue and answer", low=1)
    max_steps: int = traced(100)

    @property
    def observation_space(self):
        return Discrete(3)

    @property
    def action_space(self):
        return Discrete(2)

    def reset(self, key):
        return {"cue": random.randint(key, (), 0, 2), "t": jnp.int32(0)}

    def step(self, key, state, action):
        last = state["t"] == self.delay
        reward = jnp.where(last & (action == state["cue"]), 1.0, 0.0)
        return state | {"t": state["t"] + 1}, reward, last

    def observe(self, state):
        return jnp.where(state["t"] == 0, state["cue"] + 1, 0)


class State(struct.PyTreeNode):
    params: Any
    optimiser: Any
    episodes: Episode  # [num_envs], with the GRU's memory


class RecurrentReinforce(Collector):
    """REINFORCE (Williams 1992) with a GRU; the reward of an episode's last step is its return."""

    learning_rate: float = traced(1e-2, "Adam's step size", low=0)
    units: int = static(8, "of the GRU; 0 for a policy without memory", low=0)
    num_envs: int = static(16)
    num_steps: int = static(12)

    def init(self, env, key):
        key_params, key_episodes = random.split(key)
        episodes = start_episodes(env, key_episodes, self.num_envs, self.memory(env))
        params = self.network(env).init(key_params, self.memory(env), jax.nn.one_hot(episodes.obs[0], 3))
        return State(params, optax.adam(self.learning_rate).init(params), episodes)

    def step(self, env, state, key, t, total):
        start = state.episodes.memory

        def act(memory, obs, key):
            memory, policy = self.policy(env, state.params, memory, obs)
            return policy.sample(key), memory, None

        episodes, transitions, _ = rollout(
            env, state.episodes, key, self.num_steps, act, memory=self.memory(env)
        )

        def loss(params):
            def unroll(memory: Any, step: Any) -> tuple[Any, Array]:
                memory, policy = self.policy(env, params, memory, step.obs)
                log_prob = policy.log_prob(step.action)
                fresh = jax.tree.map(
                    lambda new, old: jnp.broadcast_to(new, old.shape), self.memory(env), memory
                )
                return jax.vmap(select)(step.done, fresh, memory), log_prob

            _, log_prob = lax.scan(unroll, start, transitions)
            answered = transitions.done
            advantage = jnp.where(answered, transitions.reward - 0.5, 0.0)
            return -jnp.sum(log_prob * advantage) / jnp.maximum(jnp.sum(answered), 1)

        value, grads = jax.value_and_grad(loss)(state.params)
        updates, opt_state = optax.adam(self.learning_rate).update(grads, state.optimiser)
        params = optax.apply_updates(state.params, updates)
        state = state.replace(params=params, optimiser=opt_state, episodes=episodes)
        return state, episode_metrics(transitions) | mean_metrics(loss=value)

    def memory(self, env):
        return jnp.zeros(self.units) if self.units else ()

    def act(self, env, state, memory, obs, key, explore):
        memory, policy = self.policy(env, state.params, memory, obs)
        return policy.sample(key) if explore else policy.mode(), memory

    def policy(self, env, params, memory, obs):
        """Memory after observations [...], and the policy there."""
        memory, logits = self.network(env).apply(params, memory, jax.nn.one_hot(obs, env.observation_space.n))
        return memory, Categorical(logits)

    def network(self, env):
        return GRUPolicy(self.units, env.action_space.n)


class GRUPolicy(nn.Module):
    units: int
    actions: int

    @nn.compact
    def __call__(self, memory, x):
        if self.units:
            memory, x = nn.GRUCell(self.units, recurrent_kernel_init=nn.initializers.lecun_normal())(
                memory, x
            )
        return memory, nn.Dense(self.actions)(x)
