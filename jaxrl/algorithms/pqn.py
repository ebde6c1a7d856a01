"""PQN: Q(λ)-learning from parallel environments, without replay and without a target network.

Gallici et al. (2024), "Simplifying deep temporal difference learning": layer normalisation keeps it stable.
Details and defaults are those of CleanRL's pqn.py (Huang et al. 2022) with three differences. A time limit is
not a termination: the true last observation's value is bootstrapped. The λ-return ends with its episode. ε
changes from iteration to iteration, not from step to step.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import Array, lax, random

from jaxrl.config import component, static, traced
from jaxrl.learning.algorithm import Collector, num_actions
from jaxrl.learning.exploration import epsilon_greedy
from jaxrl.learning.inputs import features, input_shape
from jaxrl.learning.layers import Linear
from jaxrl.learning.memory import apply, initial_memory, initial_params, outputs_along, sequences, unroll
from jaxrl.learning.metrics import Metrics, episode_metrics, mean_metrics
from jaxrl.learning.networks import MLP, Network, require_network
from jaxrl.learning.returns import generalised_advantage, td_target
from jaxrl.learning.rollout import rollout, start_episodes
from jaxrl.learning.schedules import linear
from jaxrl.learning.updates import require_minibatches, shuffled_minibatches
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Episode, Memory, Transition


class State(struct.PyTreeNode):
    params: Any  # observation -> action values
    optimiser: Any  # optax state over params
    episodes: Episode  # [num_envs], with the network's memory


class Sample(struct.PyTreeNode):
    """What the update learns from: [num_steps * num_envs], with memory [num_envs, num_steps]."""

    x: Array  # [*inputs] float32
    action: Array  # [] int32
    target: Array  # [] float32, the λ-return
    done: Array  # [] bool, whether the episode ended


class PQN(Collector):
    """An iteration is num_steps steps in each of num_envs environments and epochs x minibatches updates."""

    learning_rate: float = traced(2.5e-4, "step size of RAdam", low=0)
    anneal_learning_rate: bool = static(True, "whether the learning rate falls linearly to 0 over the run")
    discount: float = traced(0.99, "γ, discount of a reward one step later", low=0, high=1)
    trace_decay: float = traced(0.65, "λ of the returns", low=0, high=1)
    epsilon_start: float = traced(1.0, "probability of a uniform action at the start", low=0, high=1)
    epsilon_end: float = traced(0.05, "probability of a uniform action after its schedule", low=0, high=1)
    epsilon_fraction: float = traced(0.5, "share of the run until epsilon_end", low=0, high=1)
    max_grad_norm: float = traced(10.0, "global norm that gradients are clipped to", low=0)
    num_envs: int = static(4)
    num_steps: int = static(128)
    epochs: int = static(4, "passes over an iteration's transitions", low=1)
    minibatches: int = static(4, "updates of each pass", low=1)
    network: Network = component(
        MLP(hidden=(120, 84), activation="relu", layer_norm=True), "torso of the action values"
    )

    def validate(self) -> None:
        super().validate()
        require_minibatches(self, self.minibatches, "num_envs x num_steps", self.steps_per_iteration)

    def validate_for(self, env: Environment) -> None:
        require_network(self, self.network, env, memory=True)
        num_actions(self, env)
        if jax.tree.leaves(self.memory(env)):  # a minibatch holds whole sequences, one per environment
            require_minibatches(self, self.minibatches, "num_envs", self.num_envs)

    def init(self, env: Environment, key: Array) -> State:
        key_network, key_episodes = random.split(key)
        episodes = start_episodes(env, key_episodes, self.num_envs, self.memory(env))
        x = features(env.observation_space, episodes.obs[0])
        params = initial_params(self.network_of(env), key_network, x)
        return State(params, self.optimiser(self.learning_rate).init(params), episodes)

    def step(
        self, env: Environment, state: State, key: Array, t: Array, total: Array
    ) -> tuple[State, Metrics]:
        key_rollout, key_update = random.split(key)
        epsilon = linear(self.epsilon_start, self.epsilon_end, self.epsilon_fraction, t, total)
        episodes, transitions = self.collect(env, state, key_rollout, epsilon)
        memory, samples = self.samples(env, state, transitions)
        fraction_left = linear(1.0, 0.0, 1.0, t, total) if self.anneal_learning_rate else 1.0
        optimiser = self.optimiser(self.learning_rate * fraction_left)

        def update(carry: tuple[Any, Any], indices: Array) -> tuple[tuple[Any, Any], dict[str, Array]]:
            params, opt_state = carry
            start, minibatch = jax.tree.map(lambda leaf: leaf[indices], (memory, samples))
            grads, metrics = jax.grad(self.loss, has_aux=True)(params, env, start, minibatch)
            metrics |= {"grad_norm": optax.tree.norm(grads)}
            updates, opt_state = optimiser.update(grads, opt_state)
            return (optax.apply_updates(params, updates), opt_state), metrics

        minibatches = shuffled_minibatches(key_update, samples.done.shape[0], self.epochs, self.minibatches)
        (params, opt_state), metrics = lax.scan(update, (state.params, state.optimiser), minibatches)
        state = state.replace(params=params, optimiser=opt_state, episodes=episodes)
        return state, episode_metrics(transitions) | mean_metrics(epsilon=epsilon, **metrics)

    def memory(self, env: Environment) -> Memory:
        return initial_memory(self.network_of(env), input_shape(env.observation_space))

    def act(
        self, env: Environment, state: State, memory: Memory, obs: Array, key: Array, explore: bool
    ) -> tuple[Array, Memory]:
        values, memory = self.values(env, state.params, memory, features(env.observation_space, obs))
        return epsilon_greedy(key, values, self.epsilon_end if explore else 0.0), memory

    def collect(
        self, env: Environment, state: State, key: Array, epsilon: Array
    ) -> tuple[Episode, Transition]:
        """The episodes after num_steps steps, and the transitions: [num_steps, num_envs]."""

        def act(memory: Memory, obs: Array, key: Array) -> tuple[Array, Memory, None]:
            x = features(env.observation_space, obs)
            values, memory = self.values(env, state.params, memory, x)
            return epsilon_greedy(key, values, epsilon), memory, None

        return rollout(env, state.episodes, key, self.num_steps, act, memory=self.memory(env))[:2]

    def samples(self, env: Environment, state: State, transitions: Transition) -> tuple[Memory, Sample]:
        """The network's memory at the start of the samples' sequences, and the samples.

        Targets are the λ-returns of Peng's Q(λ) (Peng & Williams 1996): every step bootstraps from the
        best action's value, also after an action that was not the best.
        """
        x, next_x = (features(env.observation_space, obs) for obs in (transitions.obs, transitions.next_obs))
        done, memory = transitions.done, state.episodes.memory

        def best(memory: Memory, x: Array, next_x: Array) -> tuple[tuple[Array, Array], Memory]:
            values, memory = self.values(env, state.params, memory, x)
            next_values, _ = self.values(env, state.params, memory, next_x)
            return (jnp.max(values, axis=-1), jnp.max(next_values, axis=-1)), memory

        (value, next_value), _ = unroll(best, memory, done, x, next_x, axis=0)
        delta = td_target(transitions.reward, self.discount, transitions.terminated, next_value) - value
        target = value + generalised_advantage(delta, done, self.discount, self.trace_decay)
        return memory, sequences(memory, Sample(x, transitions.action, target, done))

    def loss(self, params: Any, env: Environment, memory: Memory, samples: Sample) -> tuple[Array, Any]:
        """The mean squared error of a minibatch, and metrics."""

        def step(memory: Memory, x: Array) -> tuple[Array, Memory]:
            return self.values(env, params, memory, x)

        values = outputs_along(step, memory, samples.done, samples.x)
        value = jnp.take_along_axis(values, samples.action[..., None], axis=-1)[..., 0]
        loss = jnp.mean(jnp.square(samples.target - value))
        return loss, {"loss": loss, "value": jnp.mean(value)}

    def values(self, env: Environment, params: Any, memory: Memory, x: Array) -> tuple[Array, Memory]:
        """The values of all actions, [..., actions], and the memory afterwards."""
        return apply(self.network_of(env), params, memory, x)

    def network_of(self, env: Environment) -> nn.Module:
        torso = self.network.module(env.observation_space)
        return Linear(torso, num_actions(self, env), scale=math.sqrt(2))

    def optimiser(self, learning_rate: Any) -> optax.GradientTransformation:
        """RAdam (Liu et al. 2020) on gradients whose global norm is clipped."""
        return optax.chain(optax.clip_by_global_norm(self.max_grad_norm), optax.radam(learning_rate))
