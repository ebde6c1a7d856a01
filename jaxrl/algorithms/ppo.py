"""Proximal policy optimisation (Schulman et al. 2017), for discrete and for continuous actions.

Details and defaults are those of CleanRL's ppo.py (Huang et al. 2022) with two differences. A time limit is
not a termination: the true last observation's value is bootstrapped (Pardo et al. 2018). The deviation of
advantages divides by n, PyTorch's by n - 1.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import Array, lax, random

from jaxrl.config import Scalar, component, static, traced
from jaxrl.learning.actor_critic import ActorCritic, Pair, actor_critic
from jaxrl.learning.algorithm import Collector
from jaxrl.learning.memory import repeated, sequences
from jaxrl.learning.metrics import Metrics, episode_metrics, mean_metrics
from jaxrl.learning.networks import MLP, Network, features, require_network
from jaxrl.learning.normalise import Scales, standardised
from jaxrl.learning.returns import generalised_advantage, td_target
from jaxrl.learning.rollout import rollout, start_episodes
from jaxrl.learning.schedules import linear
from jaxrl.learning.updates import clipped_adam, require_minibatches
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Episode, Memory, Transition
from jaxrl.random.shuffle import permutation

Drawn = tuple[Array, Array]  # actions as drawn, before they are clipped to the action space, and their log π


class State(struct.PyTreeNode):
    params: Pair
    optimiser: Any  # optax state over params
    scales: Scales  # of inputs and rewards; unused unless they are normalised
    episodes: Episode  # [num_envs], with the actor's memory
    critic_memory: Memory  # [num_envs], before the critic sees the episodes' observations


class Sample(struct.PyTreeNode):
    """What the update learns from: [num_steps * num_envs], with memory [num_envs, num_steps]."""

    x: Array  # [*inputs] float32, the observation as the networks' input
    action: Array  # [] or [d], as drawn
    log_prob: Array  # [] float32, of the action when it was drawn
    value: Array  # [] float32, of the observation when it was seen
    advantage: Array  # [] float32
    done: Array  # [] bool, whether the episode ended


class PPO(Collector):
    """An iteration is num_steps steps in each of num_envs environments and epochs x minibatches updates."""

    learning_rate: float = traced(2.5e-4, "Adam's step size", low=0)
    anneal_learning_rate: bool = static(True, "whether the learning rate falls linearly to 0 over the run")
    discount: float = traced(0.99, "γ, discount of a reward one step later", low=0, high=1)
    gae_lambda: float = traced(0.95, "λ of generalised advantage estimation", low=0, high=1)
    clip: float = traced(0.2, "clip range ε, for the probability ratio and for the change of a value", low=0)
    clip_value_loss: bool = static(True, "whether the change of values is clipped too")
    normalise_advantage: bool = static(True, "whether advantages are normalised within each minibatch")
    normalise_observations: bool = static(False, "whether by running mean and standard deviation")
    normalise_rewards: bool = static(False, "whether by the deviation of running returns")
    value_coefficient: float = traced(0.5, "weight of the value loss", low=0)
    entropy_coefficient: float = traced(0.01, "weight of the entropy bonus", low=0)
    max_grad_norm: float = traced(0.5, "global norm that gradients are clipped to", low=0)
    num_envs: int = static(4)
    num_steps: int = static(128)
    epochs: int = static(4, "passes over an iteration's transitions", low=1)
    minibatches: int = static(4, "updates of each pass", low=1)
    network: Network = component(MLP(hidden=(64, 64)), "torso of the actor and of the critic")

    def validate(self) -> None:
        super().validate()
        number, normalised = self.steps_per_iteration, self.normalise_advantage
        require_minibatches(self, self.minibatches, "num_envs x num_steps", number, normalised)

    def validate_for(self, env: Environment) -> None:
        require_network(self, self.network, env, memory=True)
        if jax.tree.leaves(self.memory(env)):  # a minibatch holds whole sequences, one per environment
            require_minibatches(self, self.minibatches, "num_envs", self.num_envs)

    def init(self, env: Environment, key: Array) -> State:
        key_network, key_episodes = random.split(key)
        networks = self.networks(env)
        actor_memory, critic_memory = networks.memory()
        episodes = start_episodes(env, key_episodes, self.num_envs, actor_memory)
        x = features(env.observation_space, episodes.obs[0])
        params = networks.init(key_network, x)
        optimiser = clipped_adam(self.learning_rate, self.max_grad_norm, eps=1e-5).init(params)
        scales = Scales.create(x.shape, self.num_envs)
        return State(params, optimiser, scales, episodes, repeated(critic_memory, self.num_envs))

    def step(
        self, env: Environment, state: State, key: Array, t: Array, total: Array
    ) -> tuple[State, Metrics]:
        key_rollout, key_update = random.split(key)
        episodes, transitions, drawn = self.collect(env, state, key_rollout)
        scales, critic_memory, samples = self.samples(env, state, transitions, drawn)
        memory = (state.episodes.memory, state.critic_memory)  # at the start of the samples' sequences
        fraction_left = linear(1.0, 0.0, 1.0, t, total) if self.anneal_learning_rate else 1.0
        optimiser = clipped_adam(self.learning_rate * fraction_left, self.max_grad_norm, eps=1e-5)

        def update(carry: tuple[Pair, Any], indices: Array) -> tuple[tuple[Pair, Any], dict[str, Array]]:
            params, opt_state = carry
            start, minibatch = jax.tree.map(lambda leaf: leaf[indices], (memory, samples))
            grads, metrics = jax.grad(self.loss, has_aux=True)(params, env, start, minibatch)
            updates, opt_state = optimiser.update(grads, opt_state)
            return (optax.apply_updates(params, updates), opt_state), metrics

        keys = random.split(key_update, self.epochs)
        shuffled = jax.vmap(permutation, (0, None))(keys, samples.done.shape[0])
        minibatches = shuffled.reshape(self.epochs * self.minibatches, -1)
        (params, opt_state), metrics = lax.scan(update, (state.params, state.optimiser), minibatches)
        state = state.replace(
            params=params, optimiser=opt_state, scales=scales, episodes=episodes, critic_memory=critic_memory
        )
        return state, episode_metrics(transitions) | mean_metrics(**metrics)

    def memory(self, env: Environment) -> Memory:
        return self.networks(env).memory()[0]

    def act(
        self, env: Environment, state: State, memory: Memory, obs: Array, key: Array, explore: bool
    ) -> tuple[Array, Memory]:
        networks = self.networks(env)
        policy, memory = networks.policy(state.params, memory, self.input(env, state.scales, obs))
        return networks.executed(policy.sample(key) if explore else policy.mode()), memory

    def collect(self, env: Environment, state: State, key: Array) -> tuple[Episode, Transition, Drawn]:
        """The episodes after num_steps steps, the transitions, and the drawn actions with their log π."""
        networks = self.networks(env)

        def act(memory: Memory, obs: Array, key: Array) -> tuple[Array, Memory, Drawn]:
            policy, memory = networks.policy(state.params, memory, self.input(env, state.scales, obs))
            action = policy.sample(key)
            return networks.executed(action), memory, (action, policy.log_prob(action))

        return rollout(env, state.episodes, key, self.num_steps, act, memory=self.memory(env))

    def samples(
        self, env: Environment, state: State, transitions: Transition, drawn: Drawn
    ) -> tuple[Scales, Memory, Sample]:
        """The scales with the transitions added, the critic's memory after them, and the samples."""
        scales, reward, done = state.scales, transitions.reward, transitions.done
        x, next_x = (self.input(env, scales, obs) for obs in (transitions.obs, transitions.next_obs))
        if self.normalise_rewards:
            scales = scales.with_rewards(reward, done, self.discount)
            reward = scales.returns.scaled(reward)
        if self.normalise_observations:
            scales = scales.with_inputs(features(env.observation_space, transitions.obs))
        memory, networks = state.critic_memory, self.networks(env)
        value, next_value, memory = networks.values_of_rollout(state.params, memory, done, x, next_x)
        delta = td_target(reward, self.discount, transitions.terminated, next_value) - value
        advantage = generalised_advantage(delta, done, self.discount, self.gae_lambda)
        return scales, memory, sequences(memory, Sample(x, *drawn, value, advantage, done))

    def loss(self, params: Pair, env: Environment, memory: Pair, samples: Sample) -> tuple[Array, Any]:
        """The loss of a minibatch (Schulman et al. 2017, eq. 9), and metrics."""
        policy, value = self.networks(env).unrolled(params, memory, samples.done, samples.x)
        log_ratio = policy.log_prob(samples.action) - samples.log_prob
        ratio = jnp.exp(log_ratio)
        advantage = standardised(samples.advantage) if self.normalise_advantage else samples.advantage
        policy_loss = -jnp.mean(clipped_surrogate(ratio, advantage, self.clip))
        target = samples.value + samples.advantage
        clip_value = self.clip if self.clip_value_loss else jnp.inf
        value_loss = jnp.mean(clipped_value_loss(value, samples.value, target, clip_value))
        entropy = jnp.mean(policy.entropy())
        loss = policy_loss + self.value_coefficient * value_loss - self.entropy_coefficient * entropy
        return loss, {
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "entropy": entropy,
            "approx_kl": jnp.mean(ratio - 1 - log_ratio),  # Schulman 2020, http://joschu.net/blog
            "clip_fraction": jnp.mean(jnp.abs(ratio - 1) > self.clip),
        }

    def input(self, env: Environment, scales: Scales, obs: Array) -> Array:
        """Observations [..., *obs] as the networks' input: [..., *inputs] float32."""
        x = features(env.observation_space, obs)
        return scales.inputs.standardised(x) if self.normalise_observations else x

    def networks(self, env: Environment) -> ActorCritic:
        return actor_critic(self.network, env)


def clipped_surrogate(ratio: Array, advantage: Array, clip: Scalar) -> Array:
    """PPO's objective, to be maximised (Schulman et al. 2017, eq. 7). All [] or equal shapes."""
    return jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - clip, 1 + clip) * advantage)


def clipped_value_loss(value: Array, old_value: Array, target: Array, clip: Scalar) -> Array:
    """The larger of two halved squared errors: of the value, and of the value clipped around the old one.

    All but `clip` have equal shapes. It is not in the paper but in OpenAI Baselines' ppo2 (Engstrom et al.
    2020, section 3).
    """
    clipped = old_value + jnp.clip(value - old_value, -clip, clip)
    return 0.5 * jnp.maximum(jnp.square(value - target), jnp.square(clipped - target))
