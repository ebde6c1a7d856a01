"""Deep Q-networks (Mnih et al. 2015), with Double, Dueling and n-step returns as options.

Defaults are those of CleanRL's dqn_jax.py (Huang et al. 2022); the time limit is no termination.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import Array, lax, random

from jaxrl.algorithm import static, traced
from jaxrl.learning import replay
from jaxrl.learning.algorithm import Collector, num_actions
from jaxrl.learning.exploration import epsilon_greedy
from jaxrl.learning.metrics import Metrics, episode_metrics
from jaxrl.learning.networks import ReluMLP, features, is_image
from jaxrl.learning.rollout import rollout, start_episodes
from jaxrl.learning.schedules import linear
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Episode, Experience, Transition


class State(struct.PyTreeNode):
    params: Any  # observation -> action values
    target: Any  # parameters of the target network
    optimiser: Any  # optax state over params
    replay: replay.Replay  # Experience, [capacity // num_envs, num_envs, ...]
    episodes: Episode  # [num_envs]
    key: Array  # [] typed key, never changes


class DQN(Collector):
    """num_steps steps in each of num_envs environments, then `updates` updates from replay."""

    learning_rate: float = traced(2.5e-4, "Adam's step size", low=0)
    discount: float = traced(0.99, "γ, of a reward one step later", low=0, high=1)
    epsilon_start: float = traced(1.0, "probability of a uniform action at the start", low=0, high=1)
    epsilon_end: float = traced(0.05, "the same once the schedule has ended", low=0, high=1)
    epsilon_fraction: float = traced(0.5, "of the run, until epsilon_end", low=0, high=1)
    warmup: int = static(10_000, "environment steps before the first update", low=0)
    target_period: int = traced(500, "environment steps between copies to the target network", low=1)
    target_rate: float = traced(1.0, "of each copy: below 1, Polyak averaging", low=0, high=1)
    max_grad_norm: float = traced(10.0, "global norm that gradients are clipped to", low=0)
    num_envs: int = static(10, low=1)
    updates: int = static(1, "per iteration", low=1)
    batch_size: int = static(128, "transitions of an update", low=1)
    capacity: int = static(10_000, "transitions in replay", low=1)
    n_step: int = static(1, "rewards before the bootstrapped value", low=1)
    loss: str = static("squared", "of a TD error: squared or huber", choices=("squared", "huber"))
    double: bool = static(False, "the network selects the next action, the target evaluates it")
    dueling: bool = static(False, "action values as a state's value plus advantages")
    hidden: tuple[int, ...] = static((120, 84), "units of each hidden layer", low=1)

    def validate(self) -> None:
        super().validate()
        stretch = self.n_step * self.num_envs
        least = {"batch_size": self.batch_size, "warmup": self.warmup, "n_step x num_envs": stretch}
        replay.require_capacity("DQN", self.capacity, self.steps_per_iteration, **least)

    def validate_for(self, env: Environment) -> None:
        num_actions(self, env)

    def init(self, env: Environment, key: Array) -> State:
        key_network, key_episodes, key_state = random.split(key, 3)
        episodes = start_episodes(env, key_episodes, self.num_envs)
        params = self.network(env).init(key_network, features(env.observation_space, episodes.obs[0]))
        _, transitions = jax.eval_shape(self.collect, env, params, episodes, key_state, jnp.float32(0))
        ring = replay.create(transitions.experience, self.capacity // self.num_envs)
        # The copy keeps the two apart: the engine hands the state's memory to the next one.
        target = jax.tree.map(jnp.copy, params)
        return State(params, target, self.optimiser().init(params), ring, episodes, key_state)

    def step(self, env: Environment, state: State, t: Array, total: Array) -> tuple[State, Metrics]:
        key_collect, key_update = random.split(random.fold_in(state.key, t))
        epsilon = linear(self.epsilon_start, self.epsilon_end, self.epsilon_fraction, t, total)
        episodes, transitions = self.collect(env, state.params, state.episodes, key_collect, epsilon)
        ring = replay.write(state.replay, transitions.experience, t * self.num_steps)

        def update(i: Array, carry: tuple[Any, Any, Array]) -> tuple[Any, Any, Array]:
            params, opt_state, total_loss = carry
            rows = (t + 1) * self.num_steps
            key = random.fold_in(key_update, i)
            stretches = replay.sample(ring, key, rows, self.batch_size, self.n_step)
            loss, grads = jax.value_and_grad(self.mean_loss)(params, state.target, env, stretches)
            updates, opt_state = self.optimiser().update(grads, opt_state)
            return optax.apply_updates(params, updates), opt_state, total_loss + loss

        # A count of 0, not a branch, while warming up: t is the same in all lanes, so none runs in vain.
        seen = (t + 1) * self.steps_per_iteration
        ready = (seen > self.warmup) & ((t + 1) * self.num_steps >= self.n_step)
        count = jnp.where(ready, self.updates, 0)
        carry = (state.params, state.optimiser, jnp.float32(0))
        params, opt_state, loss = lax.fori_loop(0, count, update, carry)

        copies = seen // self.target_period > (seen - self.steps_per_iteration) // self.target_period
        rate = jnp.where(copies, self.target_rate, 0.0)
        target = optax.incremental_update(params, state.target, rate)
        metrics = episode_metrics(transitions) | {
            "loss": (loss, count.astype(jnp.float32)),
            "epsilon": (epsilon, jnp.float32(1)),
        }
        return State(params, target, opt_state, ring, episodes, state.key), metrics

    def act(self, env: Environment, state: State, obs: Array, key: Array, explore: bool) -> Array:
        values = self.network(env).apply(state.params, features(env.observation_space, obs))
        return epsilon_greedy(key, values, self.epsilon_end if explore else 0.0)

    def collect(
        self, env: Environment, params: Any, episodes: Episode, key: Array, epsilon: Array
    ) -> tuple[Episode, Transition]:
        """The episodes after num_steps steps, and the transitions: [num_steps, num_envs]."""

        def act(obs: Array, key: Array) -> tuple[Array, None]:
            values = self.network(env).apply(params, features(env.observation_space, obs))
            return epsilon_greedy(key, values, epsilon), None

        return rollout(env, episodes, key, self.num_steps, act)[:2]

    def mean_loss(self, params: Any, target: Any, env: Environment, stretches: Experience) -> Array:
        """The mean loss of a batch of stretches of n_step transitions: [batch, n_step, ...]."""

        def values(params: Any, obs: Array) -> Array:
            x = jax.vmap(features, (None, 0))(env.observation_space, obs)
            return self.network(env).apply(params, x)

        reward, discount, next_obs = jax.vmap(replay.n_step, (0, None))(stretches, self.discount)
        next_values = values(target, next_obs)
        selector = values(params, next_obs) if self.double else next_values
        first = jax.tree.map(lambda leaf: leaf[:, 0], stretches)
        value = jax.vmap(lambda q, action: q[action])(values(params, first.obs), first.action)
        next_value = jax.vmap(lambda q, chosen: q[jnp.argmax(chosen)])(next_values, selector)
        error = lax.stop_gradient(reward + discount * next_value) - value
        return jnp.mean(optax.huber_loss(error) if self.loss == "huber" else jnp.square(error))

    def network(self, env: Environment) -> ReluMLP:
        image = is_image(env.observation_space)
        return ReluMLP(self.hidden, num_actions(self, env), self.dueling, image)

    def optimiser(self) -> optax.GradientTransformation:
        clip = optax.clip_by_global_norm(self.max_grad_norm)
        return optax.chain(clip, optax.adam(self.learning_rate))
