"""Soft actor-critic for discrete actions (Christodoulou 2019): expectations over actions are exact sums."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import Array, lax, random

from jaxrl.config import Scalar, component, static, traced
from jaxrl.learning import replay
from jaxrl.learning.algorithm import Collector, num_actions
from jaxrl.learning.distributions import Categorical
from jaxrl.learning.inputs import features
from jaxrl.learning.layers import Linear
from jaxrl.learning.metrics import Metrics, episode_metrics
from jaxrl.learning.networks import MLP, Network, require_network
from jaxrl.learning.returns import td_target
from jaxrl.learning.rollout import rollout, start_episodes
from jaxrl.learning.updates import updates_if
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Episode, Experience, Memory, Transition


class Learned(struct.PyTreeNode):
    actor: Any  # parameters, observation -> policy
    critics: tuple[Any, Any]  # parameters of each, observation -> values of all actions
    log_temperature: Array  # []


class State(struct.PyTreeNode):
    learned: Learned
    targets: tuple[Any, Any]  # averages of the critics' parameters
    optimiser: Any  # optax state over learned
    replay: replay.Replay  # [capacity // num_envs, num_envs, ...]
    episodes: Episode  # [num_envs]


class DiscreteSAC(Collector):
    """An iteration is num_steps steps in each of num_envs environments and `updates` updates from replay."""

    waits = ("warmup",)
    learning_rate: float = traced(1e-3, "Adam's step size, of actor, critics and temperature", low=0)
    discount: float = traced(0.99, "γ, discount of a reward one step later", low=0, high=1)
    target_rate: float = traced(0.005, "step of the targets towards the critics per update", low=0, high=1)
    target_entropy: float = traced(0.5, "target entropy as a share of its maximum, log n", low=0, high=0.99)
    temperature: float = traced(1.0, "weight of the entropy; if it is tuned, at the start", low=1e-8)
    tune_temperature: bool = static(True, "whether the temperature is tuned to the target entropy")
    warmup: int = static(1_000, "environment steps of uniform actions before the first update", low=0)
    updates: int = static(1, "updates per iteration", low=1)
    batch_size: int = static(256, "transitions of an update", low=1)
    capacity: int = static(100_000, "transitions in replay", low=1)
    network: Network = component(
        MLP(hidden=(64, 64), activation="relu", initialiser="lecun_normal"), "torso of actor and critics"
    )

    def validate(self) -> None:
        super().validate()
        least = {"batch_size": self.batch_size, "warmup": self.warmup}
        replay.require_capacity("DiscreteSAC", self.capacity, self.steps_per_iteration, **least)

    def validate_for(self, env: Environment) -> None:
        require_network(self, self.network, env)
        num_actions(self, env)

    def init(self, env: Environment, key: Array) -> State:
        key_actor, key_critics, key_episodes = random.split(key, 3)
        episodes = start_episodes(env, key_episodes, self.num_envs)
        x, network = features(env.observation_space, episodes.obs[0]), self.outputs(env)
        first, second = (network.init(key, x) for key in random.split(key_critics))
        learned = Learned(network.init(key_actor, x), (first, second), jnp.log(jnp.float32(self.temperature)))
        return State(
            learned=learned,
            # A copy, since the engine donates the state's buffers and one buffer cannot be donated twice.
            targets=jax.tree.map(jnp.copy, learned.critics),
            optimiser=optax.adam(self.learning_rate).init(learned),
            replay=replay.create(env, self.capacity // self.num_envs, self.num_envs),
            episodes=episodes,
        )

    def step(
        self, env: Environment, state: State, key: Array, t: Array, total: Array
    ) -> tuple[State, Metrics]:
        key_collect, key_update = random.split(key)
        warming = (t + 1) * self.steps_per_iteration <= self.warmup
        episodes, transitions = self.collect(env, state, key_collect, warming)
        ring = replay.write(state.replay, transitions.experience, t * self.num_steps)
        rows, optimiser = (t + 1) * self.num_steps, optax.adam(self.learning_rate)

        def update(i: Array, carry: Any) -> Any:
            learned, targets, opt_state, sums = carry
            key = random.fold_in(key_update, i)
            places = replay.uniform_segments(ring, key, rows, self.batch_size)
            batch = jax.tree.map(lambda leaf: leaf[:, 0], replay.read(ring, places))
            grads, metrics = jax.grad(self.loss, has_aux=True)(learned, targets, env, batch)
            updates, opt_state = optimiser.update(grads, opt_state)
            learned = optax.apply_updates(learned, updates)
            targets = optax.incremental_update(learned.critics, targets, self.target_rate)
            return learned, targets, opt_state, jax.tree.map(jnp.add, sums, metrics)

        sums = dict.fromkeys(("critic_loss", "entropy", "temperature"), jnp.float32(0))
        carry = (state.learned, state.targets, state.optimiser, sums)
        (learned, targets, opt_state, sums), count = updates_if(~warming, self.updates, update, carry)
        state = state.replace(
            learned=learned, targets=targets, optimiser=opt_state, replay=ring, episodes=episodes
        )
        return state, episode_metrics(transitions) | {name: (total, count) for name, total in sums.items()}

    def act(
        self, env: Environment, state: State, memory: Memory, obs: Array, key: Array, explore: bool
    ) -> tuple[Array, Memory]:
        policy = self.policy(env, state.learned.actor, features(env.observation_space, obs))
        return policy.sample(key) if explore else policy.mode(), memory

    def collect(
        self, env: Environment, state: State, key: Array, warming: Array
    ) -> tuple[Episode, Transition]:
        """The episodes after num_steps steps, and the transitions: [num_steps, num_envs]."""

        def act(memory: Memory, obs: Array, key: Array) -> tuple[Array, Memory, None]:
            x, actor = features(env.observation_space, obs), state.learned.actor
            action = lax.cond(
                warming,
                lambda: env.action_space.sample(key),
                lambda: self.policy(env, actor, x).sample(key),
            )
            return action, memory, None

        return rollout(env, state.episodes, key, self.num_steps, act)[:2]

    def loss(
        self, learned: Learned, targets: Any, env: Environment, batch: Experience
    ) -> tuple[Array, dict[str, Array]]:
        """The sum of three losses. Each has a gradient for its own part of `learned` only.

        Actor: eq. 12 of the paper. Temperature: eq. 11, with log α in place of the factor α. Critics: SAC's
        eq. 5 with the value of eq. 10. The batch's leaves are [batch, ...].
        """
        frozen = lax.stop_gradient(learned)
        temperature = jnp.exp(frozen.log_temperature)
        x, next_x = (features(env.observation_space, obs) for obs in (batch.obs, batch.next_obs))
        next_policy, next_values = self.policy(env, frozen.actor, next_x), self.values(env, targets, next_x)
        next_value = soft_value(next_policy, jnp.min(next_values, axis=0), temperature)
        target = td_target(batch.reward, self.discount, batch.terminated, next_value)
        taken = jnp.take_along_axis(
            self.values(env, learned.critics, x), batch.action[None, :, None], axis=-1
        )
        critic_loss = 0.5 * jnp.mean(jnp.sum(jnp.square(taken[..., 0] - target[None]), axis=0))
        policy, values = self.policy(env, learned.actor, x), self.values(env, frozen.critics, x)
        value, entropy = soft_value(policy, jnp.min(values, axis=0), temperature), policy.entropy()
        wanted = self.target_entropy * math.log(num_actions(self, env))
        excess = lax.stop_gradient(jnp.mean(entropy)) - wanted
        temperature_loss = learned.log_temperature * excess if self.tune_temperature else 0.0
        loss = critic_loss - jnp.mean(value) + temperature_loss
        return loss, {"critic_loss": critic_loss, "entropy": jnp.mean(entropy), "temperature": temperature}

    def values(self, env: Environment, critics: Any, x: Array) -> Array:
        """Both critics' values of all actions for inputs [..., *inputs]: [2, ..., actions]."""
        return jnp.stack([self.outputs(env).apply(each, x) for each in critics])

    def policy(self, env: Environment, actor: Any, x: Array) -> Categorical:
        """The actor's distributions for inputs [..., *inputs]."""
        return Categorical(self.outputs(env).apply(actor, x))

    def outputs(self, env: Environment) -> nn.Module:
        """The network of the actor and of each critic: inputs [..., *inputs] to a number for each action."""
        return Linear(self.network.module(env.observation_space), num_actions(self, env))


def soft_value(policy: Categorical, values: Array, temperature: Scalar) -> Array:
    """π(s)ᵀ (Q(s) - α log π(s)) (Christodoulou 2019, eq. 10): values [..., actions], returns [...]."""
    expected = jnp.sum(jax.nn.softmax(policy.logits) * values, axis=-1)
    return expected + temperature * policy.entropy()
