"""Soft actor-critic for continuous actions (Haarnoja et al. 2018, "Algorithms and Applications").

Twin critics, their averages as targets, and a temperature tuned to a target entropy. Actions live in (-1, 1)
and are stretched to the action space where they meet it, so that entropies do not depend on its units.
"""

import math
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax import Array, lax, random

from jaxrl.algorithm import static, traced
from jaxrl.config import Scalar
from jaxrl.errors import InputError
from jaxrl.learning import replay
from jaxrl.learning.algorithm import Collector
from jaxrl.learning.distributions import TanhGaussian
from jaxrl.learning.metrics import Metrics, episode_metrics
from jaxrl.learning.networks import ReluMLP, features, is_image
from jaxrl.learning.rollout import rollout, start_episodes
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Episode, Experience, Transition
from jaxrl.mdp.spaces import Box, Discrete


class Learned(struct.PyTreeNode):
    actor: Any  # parameters, observation -> policy
    critics: tuple[Any, Any]  # parameters of both, observation and action -> value
    log_temperature: Array  # []


class State(struct.PyTreeNode):
    learned: Learned
    targets: tuple[Any, Any]  # averages of the critics' parameters
    optimiser: Any  # optax state over learned
    replay: replay.Replay  # Experience, [capacity // num_envs, num_envs, ...]
    episodes: Episode  # [num_envs]
    key: Array  # [] typed key, never changes


class SAC(Collector):
    """num_steps steps in each of num_envs environments, then `updates` updates from replay."""

    learning_rate: float = traced(1e-3, "Adam's step size, of actor, critics and temperature", low=0)
    discount: float = traced(0.99, "γ, of a reward one step later", low=0, high=1)
    target_rate: float = traced(0.005, "of the targets' step towards the critics, each update", low=0, high=1)
    target_entropy: float = traced(-1.0, "nats per dimension of an action in (-1, 1)")
    temperature: float = traced(1.0, "weight of the entropy, at the start if it is tuned", low=1e-8)
    tune_temperature: bool = static(True, "towards the target entropy")
    warmup: int = static(1_000, "environment steps of uniform actions before the first update", low=0)
    warmup_hold: int = static(1, "steps of an environment for which a warm-up's action is held", low=1)
    updates: int = static(1, "per iteration", low=1)
    batch_size: int = static(256, "transitions of an update", low=1)
    capacity: int = static(100_000, "transitions in replay", low=1)
    hidden: tuple[int, ...] = static((64, 64), "units of each hidden layer", low=1)

    def validate(self) -> None:
        super().validate()
        least = {"batch_size": self.batch_size, "warmup": self.warmup}
        replay.require_capacity(type(self).__name__, self.capacity, self.steps_per_iteration, **least)

    def validate_for(self, env: Environment) -> None:
        space, name = env.action_space, env.title
        if isinstance(space, Discrete):
            raise InputError(f"SAC needs continuous actions; {name} has discrete ones: use discrete_sac")
        if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
            raise InputError(f"SAC needs bounded actions; those of {name} are in [{space.low}, {space.high}]")

    def init(self, env: Environment, key: Array) -> State:
        key_actor, key_critics, key_episodes, key_state = random.split(key, 4)
        episodes = start_episodes(env, key_episodes, self.num_envs)
        x = features(env.observation_space, episodes.obs[0])
        actor = self.actor(env).init(key_actor, x)
        first, second = (self.init_critic(env, key, x) for key in random.split(key_critics))
        learned = Learned(actor, (first, second), jnp.log(jnp.float32(self.temperature)))
        opt_state = optax.adam(self.learning_rate).init(learned)
        # The copy keeps the two apart: the engine hands the state's memory to the next one.
        targets = jax.tree.map(jnp.copy, learned.critics)
        state = State(learned, targets, opt_state, None, episodes, key_state)
        *_, experience = jax.eval_shape(self.collect, env, state, jnp.int32(0))
        return state.replace(replay=replay.create(experience, self.capacity // self.num_envs))

    def step(self, env: Environment, state: State, t: Array, total: Array) -> tuple[State, Metrics]:
        episodes, transitions, experience = self.collect(env, state, t)
        _, key_update = random.split(random.fold_in(state.key, t))
        rows = (t + 1) * self.num_steps
        ring = replay.write(state.replay, experience, t * self.num_steps)

        def update(i: Array, carry: Any) -> Any:
            learned, targets, opt_state, sums = carry
            key_batch, key_noise = random.split(random.fold_in(key_update, i))
            batch = jax.tree.map(lambda x: x[:, 0], replay.sample(ring, key_batch, rows, self.batch_size))
            noise = random.normal(key_noise, (2, self.batch_size, *env.action_space.shape))
            grads, metrics = jax.grad(self.loss, has_aux=True)(learned, targets, env, batch, noise)
            updates, opt_state = optax.adam(self.learning_rate).update(grads, opt_state)
            learned = optax.apply_updates(learned, updates)
            targets = optax.incremental_update(learned.critics, targets, self.target_rate)
            return learned, targets, opt_state, jax.tree.map(jnp.add, sums, metrics)

        # A count of 0, not a branch, while warming up: t is the same in all lanes, so none runs in vain.
        count = jnp.where(self.warming(t), 0, self.updates)
        sums = dict.fromkeys(("critic_loss", "entropy", "temperature"), jnp.float32(0))
        carry = (state.learned, state.targets, state.optimiser, sums)
        learned, targets, opt_state, sums = lax.fori_loop(0, count, update, carry)
        metrics = {name: (value, count.astype(jnp.float32)) for name, value in sums.items()}
        state = State(learned, targets, opt_state, ring, episodes, state.key)
        return state, episode_metrics(transitions) | metrics

    def act(self, env: Environment, state: State, obs: Array, key: Array, explore: bool) -> Array:
        policy = self.policy(env, state.learned.actor, features(env.observation_space, obs))
        return self.executed(env, policy.sample(key) if explore else policy.mode())

    def sample(self, env: Environment, state: State, obs: Array, key: Array) -> Array:
        """An action of the policy, in (-1, 1): [*action]."""
        return self.policy(env, state.learned.actor, features(env.observation_space, obs)).sample(key)

    def collect(self, env: Environment, state: State, t: Array) -> tuple[Episode, Transition, Experience]:
        """Episodes, transitions and experience, whose actions are in (-1, 1), of [num_steps, num_envs]."""
        key_rollout, _ = random.split(random.fold_in(state.key, t))

        def act(obs: Array, key: Array, key_uniform: Array) -> tuple[Array, Array]:
            uniform = partial(self.uniform, env, key_uniform)
            sample = partial(self.sample, env, state, obs, key)
            action = lax.cond(self.warming(t), uniform, sample)
            return self.executed(env, action), action

        steps = t * self.num_steps + jnp.arange(self.num_steps)
        # Of an action that is held, the same; the complement is no iteration, whose keys must be others.
        held = jax.vmap(random.fold_in, (None, 0))(state.key, ~(steps // self.warmup_hold))
        keys = jax.vmap(partial(random.split, num=self.num_envs))(held)
        episodes, transitions, action = rollout(env, state.episodes, key_rollout, self.num_steps, act, keys)
        return episodes, transitions, transitions.experience.replace(action=action)

    def warming(self, t: Array) -> Array:
        """Whether iteration t belongs to the warm-up: [] bool."""
        return (t + 1) * self.steps_per_iteration <= self.warmup

    def loss(
        self, learned: Learned, targets: Any, env: Environment, batch: Experience, noise: Array
    ) -> tuple[Array, dict[str, Array]]:
        """The sum of three losses, each of which has a gradient for its own part of `learned` alone.

        The batch's leaves are [batch, ...], the noise is [2, batch, *action].
        """
        frozen = lax.stop_gradient(learned)
        temperature = jnp.exp(frozen.log_temperature)
        to_features = jax.vmap(features, (None, 0))
        x, next_x = (to_features(env.observation_space, obs) for obs in (batch.obs, batch.next_obs))
        soft_value = jax.vmap(self.soft_value, (None, None, None, None, 0, 0))
        next_value, _ = soft_value(env, frozen.actor, targets, temperature, next_x, noise[0])
        target = batch.reward + self.discount * jnp.where(batch.terminated, 0.0, next_value)
        value = jax.vmap(self.action_value, (None, None, 0, 0))(env, learned.critics, x, batch.action)
        critic_loss = 0.5 * jnp.mean(jnp.sum(jnp.square(value - target[:, None]), axis=1))
        value, entropy = soft_value(env, learned.actor, frozen.critics, temperature, x, noise[1])
        excess = lax.stop_gradient(jnp.mean(entropy)) - self.aim(env)
        temperature_loss = learned.log_temperature * excess if self.tune_temperature else 0.0
        loss = critic_loss - jnp.mean(value) + temperature_loss
        return loss, {"critic_loss": critic_loss, "entropy": jnp.mean(entropy), "temperature": temperature}

    def soft_value(
        self, env: Environment, actor: Any, critics: Any, temperature: Array, x: Array, noise: Array
    ) -> tuple[Array, Array]:
        """min Q(s, a) - α log π(a | s) for noise [*action], and -log π, both [] (eq. 3)."""
        action, log_prob = self.policy(env, actor, x).transformed(noise)
        value = jnp.min(self.action_value(env, critics, x, action))
        return value - temperature * log_prob, -log_prob

    def action_value(self, env: Environment, critics: Any, x: Array, action: Array) -> Array:
        """Both critics' values of an action: [2]."""
        return jnp.stack([self.critic(env).apply(each, x, jnp.ravel(action))[0] for each in critics])

    def policy(self, env: Environment, actor: Any, x: Array) -> TanhGaussian:
        """The actor's distribution over actions in (-1, 1) for an input."""
        mean, log_std = self.actor(env).apply(actor, x).reshape(2, *env.action_space.shape)
        return TanhGaussian(mean, jnp.clip(log_std, -20.0, 2.0))  # as the authors' code does

    def uniform(self, env: Environment, key: Array) -> Array:
        """An action of the warm-up: [*action]."""
        return random.uniform(key, env.action_space.shape, minval=-1.0, maxval=1.0)

    def executed(self, env: Environment, action: Array) -> Array:
        """An action in (-1, 1) as the environment takes it: [*action]."""
        space = cast(Box, env.action_space)
        return space.clip(space.low + (space.high - space.low) * (action + 1) / 2)

    def aim(self, env: Environment) -> Scalar:
        """The entropy, in nats, that the temperature is tuned to: []."""
        return self.target_entropy * math.prod(env.action_space.shape)

    def actor(self, env: Environment) -> ReluMLP:
        outputs = 2 * math.prod(env.action_space.shape)
        return ReluMLP(self.hidden, outputs, image=is_image(env.observation_space))

    def critic(self, env: Environment) -> ReluMLP:
        return ReluMLP(self.hidden, 1, image=is_image(env.observation_space))

    def init_critic(self, env: Environment, key: Array, x: Array) -> Any:
        return self.critic(env).init(key, x, jnp.zeros(math.prod(env.action_space.shape)))
