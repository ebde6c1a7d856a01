"""Deep Q-networks (Mnih et al. 2015). Double and Dueling networks and n-step returns are options.

The defaults are those of CleanRL's dqn_jax.py (Huang et al. 2022) with two differences. The 10 environment
steps between two updates are one step in each of 10 environments, not 10 steps in one. The global norm of
gradients is clipped.
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
from jaxrl.learning.algorithm import Collector, num_actions
from jaxrl.learning.exploration import epsilon_greedy
from jaxrl.learning.metrics import Metrics, episode_metrics
from jaxrl.learning.networks import MLP, Dueling, Linear, Network, features, require_network
from jaxrl.learning.returns import n_step_return
from jaxrl.learning.rollout import rollout, start_episodes
from jaxrl.learning.schedules import linear
from jaxrl.learning.updates import clipped_adam, tracked, updates_if
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Episode, Experience, Memory, Transition


class State(struct.PyTreeNode):
    params: Any  # observation -> action values
    target: Any  # parameters of the target network
    optimiser: Any  # optax state over params
    replay: replay.Replay  # [capacity // num_envs, num_envs, ...]
    episodes: Episode  # [num_envs]


class DQN(Collector):
    """An iteration is num_steps steps in each of num_envs environments and `updates` updates from replay."""

    waits = ("warmup", "target_period")
    learning_rate: float = traced(2.5e-4, "Adam's step size", low=0)
    discount: float = traced(0.99, "γ, discount of a reward one step later", low=0, high=1)
    epsilon_start: float = traced(1.0, "probability of a uniform action at the start", low=0, high=1)
    epsilon_end: float = traced(0.05, "probability of a uniform action after its schedule", low=0, high=1)
    epsilon_fraction: float = traced(0.5, "share of the run until epsilon_end", low=0, high=1)
    warmup: int = static(10_000, "environment steps before the first update", low=0)
    target_period: int = traced(500, "environment steps between copies to the target network", low=1)
    target_rate: float = traced(1.0, "step towards the network; below 1: Polyak averaging", low=0, high=1)
    max_grad_norm: float = traced(10.0, "global norm that gradients are clipped to", low=0)
    num_envs: int = static(10)
    updates: int = static(1, "updates per iteration", low=1)
    batch_size: int = static(128, "transitions of an update", low=1)
    capacity: int = static(10_000, "transitions in replay", low=1)
    n_step: int = static(1, "rewards before the bootstrapped value", low=1)
    loss: str = static("squared", "loss of a TD error: squared or huber", choices=("squared", "huber"))
    double: bool = static(False, "whether the network selects the next action and the target evaluates it")
    dueling: bool = static(False, "whether action values are a state's value plus advantages")
    network: Network = component(
        MLP(hidden=(120, 84), activation="relu", initialiser="lecun_normal"), "torso of the action values"
    )

    def validate(self) -> None:
        super().validate()
        least = {
            "batch_size": self.batch_size,
            "warmup": self.warmup,
            "n_step x num_envs": self.n_step * self.num_envs,
        }
        replay.require_capacity("DQN", self.capacity, self.steps_per_iteration, **least)

    def validate_for(self, env: Environment) -> None:
        require_network(self, self.network, env)
        num_actions(self, env)

    def init(self, env: Environment, key: Array) -> State:
        key_network, key_episodes = random.split(key)
        episodes = start_episodes(env, key_episodes, self.num_envs)
        params = self.values(env).init(key_network, features(env.observation_space, episodes.obs[0]))
        return State(
            params=params,
            # A copy, since the engine donates the state's buffers and one buffer cannot be donated twice.
            target=jax.tree.map(jnp.copy, params),
            optimiser=clipped_adam(self.learning_rate, self.max_grad_norm).init(params),
            replay=replay.create(env, self.capacity // self.num_envs, self.num_envs),
            episodes=episodes,
        )

    def step(
        self, env: Environment, state: State, key: Array, t: Array, total: Array
    ) -> tuple[State, Metrics]:
        key_collect, key_update = random.split(key)
        epsilon = linear(self.epsilon_start, self.epsilon_end, self.epsilon_fraction, t, total)
        episodes, transitions = self.collect(env, state, key_collect, epsilon)
        ring = replay.write(state.replay, transitions.experience, t * self.num_steps)
        rows, before = (t + 1) * self.num_steps, t * self.steps_per_iteration
        seen = before + self.steps_per_iteration
        optimiser = clipped_adam(self.learning_rate, self.max_grad_norm)

        def update(i: Array, carry: tuple[Any, Any, Array]) -> tuple[Any, Any, Array]:
            params, opt_state, total_loss = carry
            key = random.fold_in(key_update, i)
            places = replay.uniform_segments(ring, key, rows, self.batch_size, self.n_step)
            loss, grads = jax.value_and_grad(self.mean_loss)(
                params, state.target, env, replay.read(ring, places)
            )
            updates, opt_state = optimiser.update(grads, opt_state)
            return optax.apply_updates(params, updates), opt_state, total_loss + loss

        ready = (seen > self.warmup) & (rows >= self.n_step)
        carry = (state.params, state.optimiser, jnp.float32(0))
        (params, opt_state, loss), count = updates_if(ready, self.updates, update, carry)
        target = tracked(state.target, params, seen, before, self.target_period, self.target_rate)
        state = state.replace(
            params=params, target=target, optimiser=opt_state, replay=ring, episodes=episodes
        )
        metrics: Metrics = {"loss": (loss, count), "epsilon": (epsilon, jnp.float32(1))}
        return state, episode_metrics(transitions) | metrics

    def act(
        self, env: Environment, state: State, memory: Memory, obs: Array, key: Array, explore: bool
    ) -> tuple[Array, Memory]:
        values = self.values(env).apply(state.params, features(env.observation_space, obs))
        return epsilon_greedy(key, values, self.epsilon_end if explore else 0.0), memory

    def collect(
        self, env: Environment, state: State, key: Array, epsilon: Array
    ) -> tuple[Episode, Transition]:
        """The episodes after num_steps steps, and the transitions: [num_steps, num_envs]."""

        def act(memory: Memory, obs: Array, key: Array) -> tuple[Array, Memory, None]:
            values = self.values(env).apply(state.params, features(env.observation_space, obs))
            return epsilon_greedy(key, values, epsilon), memory, None

        return rollout(env, state.episodes, key, self.num_steps, act)[:2]

    def mean_loss(self, params: Any, target: Any, env: Environment, segments: Experience) -> Array:
        """The mean loss of a batch of segments of n_step transitions: [batch, n_step, ...]."""
        reward, discount, next_obs = jax.vmap(n_step_return, (0, None))(segments, self.discount)
        next_x = features(env.observation_space, next_obs)
        next_values = self.values(env).apply(target, next_x)
        selector = self.values(env).apply(params, next_x) if self.double else next_values
        first = jax.tree.map(lambda leaf: leaf[:, 0], segments)
        values = self.values(env).apply(params, features(env.observation_space, first.obs))
        error = jax.vmap(q_learning_error)(values, first.action, reward, discount, next_values, selector)
        return jnp.mean(optax.huber_loss(error) if self.loss == "huber" else jnp.square(error))

    def values(self, env: Environment) -> nn.Module:
        """The network: inputs [..., *inputs] to action values [..., actions]."""
        torso, actions = self.network.module(env.observation_space), num_actions(self, env)
        return Dueling(torso, actions) if self.dueling else Linear(torso, actions)


def q_learning_error(
    values: Array, action: Array, reward: Array, discount: Scalar, next_values: Array, selector: Array
) -> Array:
    """r + γ q⁻(s', argmax selector(s')) - q(s, a), without a gradient through the target: [].

    values, next_values and selector are [actions], the others []. The selector is q⁻ in DQN (Mnih et al.
    2015, algorithm 1) and q in Double DQN (van Hasselt et al. 2016, eq. 4).
    """
    return lax.stop_gradient(reward + discount * next_values[jnp.argmax(selector)]) - values[action]
