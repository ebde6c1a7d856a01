"""TD3 (Fujimoto et al. 2018) and DDPG (Lillicrap et al. 2016): deterministic policy gradients.

TD3's defaults are those of its authors' code, except for these. Networks have 64 units a layer, not 256, and
LeCun's initial weights. The learning rate is the paper's 1e-3, not 3e-4. The warm-up has 1,000 uniform steps,
not 25,000, and replay 100,000 transitions, not a million. The actor learns from the first update on.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import Array, lax, random

from jaxrl.config import component, static, traced
from jaxrl.learning import replay
from jaxrl.learning.algorithm import Collector, require_bounded_actions
from jaxrl.learning.continuous import dimensions, executed, warmed_rollout
from jaxrl.learning.inputs import features
from jaxrl.learning.layers import Linear
from jaxrl.learning.metrics import Metrics, episode_metrics, mean_metrics, metric_if
from jaxrl.learning.networks import MLP, Network, require_network
from jaxrl.learning.returns import td_target
from jaxrl.learning.rollout import start_episodes
from jaxrl.learning.updates import updates_if
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Episode, Experience, Memory


class Learned(struct.PyTreeNode):
    actor: Any  # parameters, observation -> action
    critics: tuple[Any, ...]  # parameters of each, observation and action -> value


class State(struct.PyTreeNode):
    learned: Learned
    targets: Learned  # averages of what is learned
    optimiser: Learned  # optax states
    replay: replay.Replay  # [capacity // num_envs, num_envs, ...], actions in (-1, 1)
    episodes: Episode  # [num_envs]
    held: Array  # [num_envs, d] float32, the actions that the warm-up repeats


class TD3(Collector):
    """An iteration is num_steps steps in each of num_envs environments and `updates` updates from replay."""

    waits = ("warmup",)
    learning_rate: float = traced(1e-3, "Adam's step size, of actor and critics", low=0)
    discount: float = traced(0.99, "γ, discount of a reward one step later", low=0, high=1)
    target_rate: float = traced(0.005, "step of the targets towards the networks", low=0, high=1)
    policy_delay: int = static(2, "updates of the critics for each of the actor and the targets", low=1)
    exploration_noise: float = traced(0.1, "deviation of the noise in actions in (-1, 1)", low=0)
    target_noise: float = traced(0.2, "deviation of the noise in the target's actions", low=0)
    noise_clip: float = traced(0.5, "with target_noise: its largest size", low=0)
    twin: bool = static(True, "whether the smaller of two critics' values is the target")
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
        replay.require_capacity(type(self).__name__, self.capacity, self.steps_per_iteration, **least)

    def validate_for(self, env: Environment) -> None:
        require_network(self, self.network, env)
        require_bounded_actions(self, env, otherwise="dqn")

    def init(self, env: Environment, key: Array) -> State:
        key_actor, key_critics, key_episodes = random.split(key, 3)
        episodes = start_episodes(env, key_episodes, self.num_envs)
        x, action = features(env.observation_space, episodes.obs[0]), jnp.zeros(dimensions(env))
        keys = random.split(key_critics, 2 if self.twin else 1)
        actor = self.head(env, dimensions(env)).init(key_actor, x)
        learned = Learned(actor, tuple(self.head(env, 1).init(key, x, action) for key in keys))
        adam = optax.adam(self.learning_rate)
        return State(
            learned=learned,
            # A copy, since the engine donates the state's buffers and one buffer cannot be donated twice.
            targets=jax.tree.map(jnp.copy, learned),
            optimiser=Learned(adam.init(learned.actor), adam.init(learned.critics)),
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
            return self.explored(self.action(env, state.learned.actor, obs), key)

        steps = t * self.num_steps + jnp.arange(self.num_steps)
        episodes, transitions, experience, held = warmed_rollout(
            env, state, key_collect, steps, warming, self.warmup_hold, explore
        )
        ring, rows = replay.write(state.replay, experience, steps[0]), steps[-1] + 1

        def update(i: Array, carry: Any) -> Any:
            learned, targets, optimiser, sums = carry
            key_batch, key_noise = random.split(random.fold_in(key_update, i))
            places = replay.uniform_segments(ring, key_batch, rows, self.batch_size)
            batch = jax.tree.map(lambda leaf: leaf[:, 0], replay.read(ring, places))
            noise = random.normal(key_noise, (self.batch_size, dimensions(env)))
            (critic_loss, value), grads = jax.value_and_grad(self.critic_loss, has_aux=True)(
                learned.critics, targets, env, batch, noise
            )
            critics, critic_state = self.descend(learned.critics, grads, optimiser.critics)
            carry = learned.replace(critics=critics), targets, optimiser.replace(critics=critic_state)
            # The number of the update is the same in all lanes, so one branch runs.
            delayed = (t * self.updates + i) % self.policy_delay == 0
            carry, loss = lax.cond(
                delayed, self.improved, lambda carry, *_: (carry, jnp.float32(0)), carry, env, batch.obs
            )
            metrics = mean_metrics(critic_loss=critic_loss, value=value, grad_norm=optax.tree.norm(grads))
            return *carry, jax.tree.map(jnp.add, sums, metrics | {"actor_loss": metric_if(delayed, loss)})

        sums = dict.fromkeys(("critic_loss", "value", "grad_norm", "actor_loss"), (jnp.float32(0),) * 2)
        carry = (state.learned, state.targets, state.optimiser, sums)
        (learned, targets, optimiser, sums), _ = updates_if(~warming, self.updates, update, carry)
        state = state.replace(
            learned=learned, targets=targets, optimiser=optimiser, replay=ring, episodes=episodes, held=held
        )
        return state, episode_metrics(transitions) | sums

    def act(
        self, env: Environment, state: State, memory: Memory, obs: Array, key: Array, explore: bool
    ) -> tuple[Array, Memory]:
        action = self.action(env, state.learned.actor, obs)
        return executed(env, self.explored(action, key) if explore else action), memory

    def explored(self, action: Array, key: Array) -> Array:
        """An action with Gaussian noise: [d]."""
        return jnp.clip(action + self.exploration_noise * random.normal(key, action.shape), -1.0, 1.0)

    def descend(self, params: Any, grads: Any, opt_state: Any) -> tuple[Any, Any]:
        updates, opt_state = optax.adam(self.learning_rate).update(grads, opt_state)
        return optax.apply_updates(params, updates), opt_state

    def critic_loss(
        self, critics: Any, targets: Learned, env: Environment, batch: Experience, noise: Array
    ) -> tuple[Array, Array]:
        """The sum of the critics' mean squared errors (algorithm 1 of the paper), and their mean value.

        The batch's leaves are [batch, ...], the noise is standard normal, [batch, d].
        """
        noise = jnp.clip(self.target_noise * noise, -self.noise_clip, self.noise_clip)  # eq. 14 and 15
        action = jnp.clip(self.action(env, targets.actor, batch.next_obs) + noise, -1.0, 1.0)
        next_value = jnp.min(self.values(env, targets.critics, batch.next_obs, action), axis=0)
        target = td_target(batch.reward, self.discount, batch.terminated, next_value)
        values = self.values(env, critics, batch.obs, batch.action.reshape(noise.shape))
        return jnp.sum(jnp.mean(jnp.square(values - target[None]), axis=1)), jnp.mean(values)

    def improved(self, carry: Any, env: Environment, obs: Array) -> tuple[Any, Array]:
        """A step along the deterministic policy gradient (Silver et al. 2014, eq. 9), and the loss."""
        learned, targets, optimiser = carry

        def loss(actor: Any) -> Array:
            return -jnp.mean(self.values(env, learned.critics[:1], obs, self.action(env, actor, obs)))

        actor_loss, grads = jax.value_and_grad(loss)(learned.actor)
        actor, opt_state = self.descend(learned.actor, grads, optimiser.actor)
        learned = learned.replace(actor=actor)
        targets = optax.incremental_update(learned, targets, self.target_rate)
        return (learned, targets, optimiser.replace(actor=opt_state)), actor_loss

    def action(self, env: Environment, actor: Any, obs: Array) -> Array:
        """The actor's actions in (-1, 1) for observations [..., *obs]: [..., d]."""
        return jnp.tanh(self.head(env, dimensions(env)).apply(actor, features(env.observation_space, obs)))

    def values(self, env: Environment, critics: Any, obs: Array, action: Array) -> Array:
        """The critics' values of observations [..., *obs] and actions [..., d]: [critics, ...]."""
        x = features(env.observation_space, obs)
        return jnp.stack([self.head(env, 1).apply(each, x, action)[..., 0] for each in critics])

    def head(self, env: Environment, outputs: int) -> nn.Module:
        """The network of the actor (d outputs) or of a critic (1 output, with the action as input)."""
        return Linear(self.network.module(env.observation_space), outputs)


class DDPG(TD3):
    """TD3 with one critic, no delay and no noise in the targets.

    The paper explores with Ornstein-Uhlenbeck noise. This noise is independent from step to step.
    """

    policy_delay = 1
    target_noise = 0.0
    twin = False
