"""Soft actor-critic for continuous actions (Haarnoja et al. 2018, "Algorithms and Applications").

It has twin critics, averages of the critics as targets, and a temperature that is tuned to a target entropy.
Actions lie in (-1, 1) and are scaled to the action space, so entropies do not depend on its units.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import Array, lax, random

from jaxrl.config import Scalar, component, static, traced
from jaxrl.learning import replay
from jaxrl.learning.algorithm import Collector, require_bounded_actions
from jaxrl.learning.continuous import dimensions, executed, warmed_rollout
from jaxrl.learning.distributions import MAX_ENTROPY, TanhGaussian
from jaxrl.learning.inputs import features
from jaxrl.learning.layers import Linear
from jaxrl.learning.metrics import Metrics, episode_metrics
from jaxrl.learning.networks import MLP, Network, require_network
from jaxrl.learning.returns import td_target
from jaxrl.learning.rollout import start_episodes
from jaxrl.learning.updates import updates_if
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Episode, Experience, Memory


class Learned(struct.PyTreeNode):
    actor: Any  # parameters, observation -> policy
    critics: tuple[Any, Any]  # parameters of each, observation and action -> value
    log_temperature: Array  # []


class State(struct.PyTreeNode):
    learned: Learned
    targets: tuple[Any, Any]  # averages of the critics' parameters
    optimiser: Any  # optax state over learned
    replay: replay.Replay  # [capacity // num_envs, num_envs, ...], actions in (-1, 1)
    episodes: Episode  # [num_envs]
    held: Array  # [num_envs, d] float32, the actions that the warm-up repeats


class SAC(Collector):
    """An iteration is num_steps steps in each of num_envs environments and `updates` updates from replay."""

    waits = ("warmup",)
    learning_rate: float = traced(1e-3, "Adam's step size, of actor, critics and temperature", low=0)
    discount: float = traced(0.99, "γ, discount of a reward one step later", low=0, high=1)
    target_rate: float = traced(0.005, "step of the targets towards the critics per update", low=0, high=1)
    target_entropy: float = traced(
        -1.0, "target entropy per dimension of an action in (-1, 1), nats", high=MAX_ENTROPY
    )
    temperature: float = traced(1.0, "weight of the entropy; if it is tuned, at the start", low=1e-8)
    tune_temperature: bool = static(True, "whether the temperature is tuned to the target entropy")
    warmup: int = static(1_000, "environment steps of uniform actions before the first update", low=0)
    warmup_hold: int = static(1, "steps for which each action of the warm-up is repeated", low=1)
    updates: int = static(1, "updates per iteration", low=1)
    batch_size: int = static(256, "transitions of an update", low=1)
    capacity: int = static(100_000, "transitions in replay", low=1)
    network: Network = component(
        MLP(hidden=(64, 64), activation="relu", initialiser="lecun_normal"), "torso of actor and critics"
    )

    def validate(self) -> None:
        super().validate()
        least = {"batch_size": self.batch_size, "warmup": self.warmup}
        replay.require_capacity("SAC", self.capacity, self.steps_per_iteration, **least)

    def validate_for(self, env: Environment) -> None:
        require_network(self, self.network, env)
        require_bounded_actions(self, env, otherwise="discrete_sac")

    def init(self, env: Environment, key: Array) -> State:
        key_actor, key_critics, key_episodes = random.split(key, 3)
        episodes = start_episodes(env, key_episodes, self.num_envs)
        x, action = features(env.observation_space, episodes.obs[0]), jnp.zeros(dimensions(env))
        first, second = (self.head(env, 1).init(key, x, action) for key in random.split(key_critics))
        actor = self.head(env, 2 * dimensions(env)).init(key_actor, x)
        learned = Learned(actor, (first, second), jnp.log(jnp.float32(self.temperature)))
        return State(
            learned=learned,
            # A copy, since the engine donates the state's buffers and one buffer cannot be donated twice.
            targets=jax.tree.map(jnp.copy, learned.critics),
            optimiser=optax.adam(self.learning_rate).init(learned),
            replay=replay.create(env, self.capacity // self.num_envs, self.num_envs),
            episodes=episodes,
            held=jnp.zeros((self.num_envs, dimensions(env))),
        )

    def step(
        self, env: Environment, state: State, key: Array, t: Array, total: Array
    ) -> tuple[State, Metrics]:
        key_collect, key_update = random.split(key)
        warming = (t + 1) * self.steps_per_iteration <= self.warmup

        def explore(obs: Array, key: Array) -> Array:
            return self.policy(env, state.learned.actor, features(env.observation_space, obs)).sample(key)

        steps = t * self.num_steps + jnp.arange(self.num_steps)
        episodes, transitions, experience, held = warmed_rollout(
            env, state, key_collect, steps, warming, self.warmup_hold, explore
        )
        ring = replay.write(state.replay, experience, t * self.num_steps)
        rows, optimiser = (t + 1) * self.num_steps, optax.adam(self.learning_rate)

        def update(i: Array, carry: Any) -> Any:
            learned, targets, opt_state, sums = carry
            key_batch, key_noise = random.split(random.fold_in(key_update, i))
            places = replay.uniform_segments(ring, key_batch, rows, self.batch_size)
            batch = jax.tree.map(lambda leaf: leaf[:, 0], replay.read(ring, places))
            noise = random.normal(key_noise, (2, self.batch_size, dimensions(env)))
            grads, metrics = jax.grad(self.loss, has_aux=True)(learned, targets, env, batch, noise)
            updates, opt_state = optimiser.update(grads, opt_state)
            learned = optax.apply_updates(learned, updates)
            targets = optax.incremental_update(learned.critics, targets, self.target_rate)
            return learned, targets, opt_state, jax.tree.map(jnp.add, sums, metrics)

        sums = dict.fromkeys(("critic_loss", "entropy", "temperature"), jnp.float32(0))
        carry = (state.learned, state.targets, state.optimiser, sums)
        (learned, targets, opt_state, sums), count = updates_if(~warming, self.updates, update, carry)
        state = state.replace(
            learned=learned, targets=targets, optimiser=opt_state, replay=ring, episodes=episodes, held=held
        )
        return state, episode_metrics(transitions) | {name: (total, count) for name, total in sums.items()}

    def act(
        self, env: Environment, state: State, memory: Memory, obs: Array, key: Array, explore: bool
    ) -> tuple[Array, Memory]:
        policy = self.policy(env, state.learned.actor, features(env.observation_space, obs))
        return executed(env, policy.sample(key) if explore else policy.mode()), memory

    def loss(
        self, learned: Learned, targets: Any, env: Environment, batch: Experience, noise: Array
    ) -> tuple[Array, dict[str, Array]]:
        """The sum of three losses. Each has a gradient for its own part of `learned` only.

        Critics: eq. 5 and 6 of the paper. Actor: eq. 9. Temperature: eq. 18, with log α in place of the
        factor α. The batch's leaves are [batch, ...], the noise is [2, batch, d].
        """
        frozen = lax.stop_gradient(learned)
        temperature = jnp.exp(frozen.log_temperature)
        x, next_x = (features(env.observation_space, obs) for obs in (batch.obs, batch.next_obs))
        next_value, _ = self.soft_value(env, frozen.actor, targets, temperature, next_x, noise[0])
        target = td_target(batch.reward, self.discount, batch.terminated, next_value)
        value = self.action_values(env, learned.critics, x, batch.action.reshape(noise.shape[1:]))
        critic_loss = 0.5 * jnp.mean(jnp.sum(jnp.square(value - target[None]), axis=0))
        value, entropy = self.soft_value(env, learned.actor, frozen.critics, temperature, x, noise[1])
        excess = lax.stop_gradient(jnp.mean(entropy)) - self.target_entropy * dimensions(env)
        temperature_loss = learned.log_temperature * excess if self.tune_temperature else 0.0
        loss = critic_loss - jnp.mean(value) + temperature_loss
        return loss, {"critic_loss": critic_loss, "entropy": jnp.mean(entropy), "temperature": temperature}

    def soft_value(
        self, env: Environment, actor: Any, critics: Any, temperature: Scalar, x: Array, noise: Array
    ) -> tuple[Array, Array]:
        """min Q(s, a) - α log π(a | s) (eq. 3) and -log π(a | s), [...] each, for noise [..., d]."""
        action, log_prob = self.policy(env, actor, x).transformed(noise)
        value = jnp.min(self.action_values(env, critics, x, action), axis=0)
        return value - temperature * log_prob, -log_prob

    def action_values(self, env: Environment, critics: Any, x: Array, action: Array) -> Array:
        """Both critics' values of actions [..., d]: [2, ...]."""
        return jnp.stack([self.head(env, 1).apply(each, x, action)[..., 0] for each in critics])

    def policy(self, env: Environment, actor: Any, x: Array) -> TanhGaussian:
        """The actor's distributions over actions in (-1, 1) for inputs [..., *inputs]."""
        mean, log_std = jnp.split(self.head(env, 2 * dimensions(env)).apply(actor, x), 2, axis=-1)
        return TanhGaussian(mean, jnp.clip(log_std, -20.0, 2.0))  # the bounds of the authors' code

    def head(self, env: Environment, outputs: int) -> nn.Module:
        """The network of the actor (2 d outputs) or of a critic (1 output, with the action as input)."""
        return Linear(self.network.module(env.observation_space), outputs)
