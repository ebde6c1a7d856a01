"""Proximal policy optimisation (Schulman et al. 2017), for discrete and for continuous actions.

Details and defaults are those of CleanRL's ppo.py (Huang et al. 2022) with two differences. A time limit is
not a termination: the value of the true last observation is bootstrapped (Pardo et al. 2018). The standard
deviation of advantages divides by n, PyTorch's by n - 1.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import Array, lax, random

from jaxrl.config import Scalar, component, static, traced
from jaxrl.errors import InputError
from jaxrl.learning.actor_critic import ActorCritic, actor_critic
from jaxrl.learning.algorithm import Collector
from jaxrl.learning.metrics import Metrics, episode_metrics, mean_metrics
from jaxrl.learning.networks import MLP, Network, features
from jaxrl.learning.normalise import Scales, standardised
from jaxrl.learning.returns import generalised_advantage, td_target
from jaxrl.learning.rollout import rollout, start_episodes
from jaxrl.learning.schedules import linear
from jaxrl.learning.updates import clipped_adam
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Episode, Memory, Transition
from jaxrl.random.shuffle import permutation

Params = tuple[Any, Any]  # of the actor and of the critic
Drawn = tuple[Array, Array]  # actions as drawn, before they are clipped to the action space, and their log π


class State(struct.PyTreeNode):
    params: Params
    optimiser: Any  # optax state over params
    scales: Scales  # of inputs and rewards; unused unless they are normalised
    episodes: Episode  # [num_envs]


class Sample(struct.PyTreeNode):
    """What the update learns from. Each transition has one entry."""

    x: Array  # [*inputs] float32, the observation as the networks' input
    action: Array  # [] or [d], as drawn
    log_prob: Array  # [] float32, of the action when it was drawn
    value: Array  # [] float32, of the observation when it was seen
    advantage: Array  # [] float32


class PPO(Collector):
    """An iteration is num_steps steps in each of num_envs environments and epochs x minibatches updates."""

    learning_rate: float = traced(2.5e-4, "Adam's step size", low=0)
    anneal_learning_rate: bool = static(True, "whether the learning rate falls linearly to 0 over the run")
    discount: float = traced(0.99, "γ, discount of a reward one step later", low=0, high=1)
    gae_lambda: float = traced(0.95, "λ of generalised advantage estimation", low=0, high=1)
    clip: float = traced(0.2, "clip range ε of the probability ratio, and of values", low=0)
    clip_value_loss: bool = static(True, "whether the change of values is clipped too")
    normalise_advantage: bool = static(True, "whether advantages are normalised within each minibatch")
    normalise_observations: bool = static(False, "whether by their running mean and deviation")
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
        if self.steps_per_iteration % self.minibatches:
            raise InputError(
                f"PPO.minibatches must divide num_envs x num_steps = {self.steps_per_iteration}, "
                f"got {self.minibatches}"
            )

    def init(self, env: Environment, key: Array) -> State:
        key_network, key_episodes = random.split(key)
        episodes = start_episodes(env, key_episodes, self.num_envs)
        x = features(env.observation_space, episodes.obs[0])
        params = self.networks(env).init(key_network, x)
        optimiser = clipped_adam(self.learning_rate, self.max_grad_norm, eps=1e-5).init(params)
        return State(params, optimiser, Scales.create(x.shape, self.num_envs), episodes)

    def step(
        self, env: Environment, state: State, key: Array, t: Array, total: Array
    ) -> tuple[State, Metrics]:
        key_rollout, key_update = random.split(key)
        episodes, transitions, drawn = self.collect(env, state, key_rollout)
        scales, samples = self.samples(env, state, transitions, drawn)
        fraction_left = linear(1.0, 0.0, 1.0, t, total) if self.anneal_learning_rate else 1.0
        optimiser = clipped_adam(self.learning_rate * fraction_left, self.max_grad_norm, eps=1e-5)

        def update(carry: tuple[Params, Any], indices: Array) -> tuple[tuple[Params, Any], dict[str, Array]]:
            params, opt_state = carry
            minibatch = jax.tree.map(lambda x: x[indices], samples)
            grads, metrics = jax.grad(self.loss, has_aux=True)(params, env, minibatch)
            updates, opt_state = optimiser.update(grads, opt_state)
            return (optax.apply_updates(params, updates), opt_state), metrics

        keys = random.split(key_update, self.epochs)
        shuffled = jax.vmap(permutation, (0, None))(keys, self.steps_per_iteration)
        minibatches = shuffled.reshape(self.epochs * self.minibatches, -1)
        (params, opt_state), metrics = lax.scan(update, (state.params, state.optimiser), minibatches)
        state = state.replace(params=params, optimiser=opt_state, scales=scales, episodes=episodes)
        return state, episode_metrics(transitions) | mean_metrics(**metrics)

    def act(
        self, env: Environment, state: State, memory: Memory, obs: Array, key: Array, explore: bool
    ) -> tuple[Array, Memory]:
        networks = self.networks(env)
        policy = networks.policy(state.params, self.input(env, state.scales, obs))
        return networks.executed(policy.sample(key) if explore else policy.mode()), memory

    def collect(self, env: Environment, state: State, key: Array) -> tuple[Episode, Transition, Drawn]:
        """The episodes after num_steps steps, the transitions, and the drawn actions with their log π."""
        networks = self.networks(env)

        def act(memory: Memory, obs: Array, key: Array) -> tuple[Array, Memory, Drawn]:
            policy = networks.policy(state.params, self.input(env, state.scales, obs))
            action = policy.sample(key)
            return networks.executed(action), memory, (action, policy.log_prob(action))

        return rollout(env, state.episodes, key, self.num_steps, act)

    def samples(
        self, env: Environment, state: State, transitions: Transition, drawn: Drawn
    ) -> tuple[Scales, Sample]:
        """The scales with the transitions added, and the transitions as samples [num_steps * num_envs]."""
        scales, reward = state.scales, transitions.reward
        x, next_x = (self.input(env, scales, obs) for obs in (transitions.obs, transitions.next_obs))
        if self.normalise_rewards:
            scales = scales.with_rewards(reward, transitions.done, self.discount)
            reward = scales.returns.scaled(reward)
        if self.normalise_observations:
            scales = scales.with_inputs(features(env.observation_space, transitions.obs))
        value, next_value = (self.networks(env).value(state.params, each) for each in (x, next_x))
        delta = td_target(reward, self.discount, transitions.terminated, next_value) - value
        advantage = generalised_advantage(delta, transitions.done, self.discount, self.gae_lambda)
        sample = Sample(x, *drawn, value, advantage)
        return scales, jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), sample)

    def loss(self, params: Params, env: Environment, samples: Sample) -> tuple[Array, dict[str, Array]]:
        """The loss of a minibatch of samples (Schulman et al. 2017, eq. 9), and metrics."""
        networks = self.networks(env)
        policy, value = networks.policy(params, samples.x), networks.value(params, samples.x)
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
