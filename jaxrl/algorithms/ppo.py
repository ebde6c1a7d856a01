"""Proximal policy optimisation (Schulman et al. 2017), for discrete and for continuous actions.

Details and defaults are those of CleanRL's ppo.py (Huang et al. 2022), but the time limit is no termination:
its value is bootstrapped from the true last observation (Pardo et al. 2018).
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import Array, lax, random

from jaxrl.algorithm import static, traced
from jaxrl.config import Scalar
from jaxrl.errors import InputError
from jaxrl.learning.algorithm import Collector
from jaxrl.learning.distributions import Categorical, Gaussian
from jaxrl.learning.metrics import Metrics, episode_metrics, mean_metrics
from jaxrl.learning.networks import MLP, GaussianMLP, features, is_image
from jaxrl.learning.normalise import Scales, standardised
from jaxrl.learning.returns import generalised_advantage, td_error
from jaxrl.learning.rollout import rollout, start_episodes
from jaxrl.learning.schedules import linear
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Episode, Transition
from jaxrl.mdp.spaces import Discrete
from jaxrl.random.shuffle import permutation

Drawn = tuple[Array, Array]  # actions as drawn, before they are clipped to the action space, and their log π


class State(struct.PyTreeNode):
    actor: Any  # parameters, input -> policy
    critic: Any  # parameters, input -> value
    optimiser: Any  # optax state over (actor, critic)
    scales: Scales  # of inputs and rewards; fixed unless they are normalised
    episodes: Episode  # [num_envs]
    key: Array  # [] typed key, never changes


class Sample(struct.PyTreeNode):
    """What the update learns from, one entry per transition."""

    x: Array  # [*inputs] float32, the observation as the networks see it
    action: Array  # [*action], as drawn
    log_prob: Array  # [] float32, of the action when it was drawn
    value: Array  # [] float32, of the observation when it was seen
    advantage: Array  # [] float32


class PPO(Collector):
    """num_steps steps in each of num_envs environments, then epochs x minibatches updates."""

    learning_rate: float = traced(2.5e-4, "Adam's step size", low=0)
    anneal_learning_rate: bool = static(True, "linearly to 0 at the end of the run")
    discount: float = traced(0.99, "γ, of a reward one step later", low=0, high=1)
    gae_lambda: float = traced(0.95, "λ of generalised advantage estimation", low=0, high=1)
    clip: float = traced(0.2, "largest change of a ratio, and of a value, that pays", low=0)
    clip_value_loss: bool = static(True, "clip the change of values too")
    normalise_advantage: bool = static(True, "within each minibatch")
    normalise_observations: bool = static(False, "by the mean and deviation of all seen before")
    normalise_rewards: bool = static(False, "by the deviation of the running returns seen so far")
    value_coefficient: float = traced(0.5, "weight of the value loss", low=0)
    entropy_coefficient: float = traced(0.01, "weight of the entropy bonus", low=0)
    max_grad_norm: float = traced(0.5, "global norm that gradients are clipped to", low=0)
    num_envs: int = static(4, low=1)
    num_steps: int = static(128, low=1)
    epochs: int = static(4, "passes over an iteration's transitions", low=1)
    minibatches: int = static(4, "updates of each pass", low=1)
    hidden: tuple[int, ...] = static((64, 64), "units of each hidden layer", low=1)

    def validate(self) -> None:
        super().validate()
        if self.steps_per_iteration % self.minibatches:
            raise InputError(
                f"PPO.minibatches must divide num_envs x num_steps = {self.steps_per_iteration}, "
                f"got {self.minibatches}"
            )

    def init(self, env: Environment, key: Array) -> State:
        key_actor, key_critic, key_episodes, key_state = random.split(key, 4)
        episodes = start_episodes(env, key_episodes, self.num_envs)
        x = features(env.observation_space, episodes.obs[0])
        actor = self.actor(env).init(key_actor, x)
        critic = self.critic(env).init(key_critic, x)
        optimiser = self.optimiser(self.learning_rate).init((actor, critic))
        return State(actor, critic, optimiser, Scales.create(x.shape, self.num_envs), episodes, key_state)

    def step(self, env: Environment, state: State, t: Array, total: Array) -> tuple[State, Metrics]:
        key_rollout, key_update = random.split(random.fold_in(state.key, t))
        episodes, transitions, drawn = self.rollout(env, state, key_rollout)
        scales, samples = self.samples(env, state, transitions, drawn)
        fraction_left = linear(1.0, 0.0, 1.0, t, total) if self.anneal_learning_rate else 1.0
        optimiser = self.optimiser(self.learning_rate * fraction_left)

        def update(carry: tuple[Any, Any], indices: Array) -> tuple[tuple[Any, Any], dict[str, Array]]:
            params, opt_state = carry
            minibatch = jax.tree.map(lambda x: x[indices], samples)
            grads, metrics = jax.grad(self.loss, has_aux=True)(params, env, minibatch)
            updates, opt_state = optimiser.update(grads, opt_state)
            return (optax.apply_updates(params, updates), opt_state), metrics

        keys, carry = random.split(key_update, self.epochs), ((state.actor, state.critic), state.optimiser)
        shuffled = jax.vmap(permutation, (0, None))(keys, self.steps_per_iteration)
        minibatches = shuffled.reshape(self.epochs * self.minibatches, -1)
        ((actor, critic), opt_state), metrics = lax.scan(update, carry, minibatches)
        state = State(actor, critic, opt_state, scales, episodes, state.key)
        return state, episode_metrics(transitions) | mean_metrics(**metrics)

    def act(self, env: Environment, state: State, obs: Array, key: Array, explore: bool) -> Array:
        policy = self.policy(env, state.actor, self.input(env, state.scales, obs))
        return env.action_space.clip(policy.sample(key) if explore else policy.mode())

    def rollout(self, env: Environment, state: State, key: Array) -> tuple[Episode, Transition, Drawn]:
        """The episodes after num_steps steps, the transitions, and the actions as drawn with their log π."""

        def act(obs: Array, key: Array) -> tuple[Array, tuple[Array, Array]]:
            policy = self.policy(env, state.actor, self.input(env, state.scales, obs))
            action = policy.sample(key)
            return env.action_space.clip(action), (action, policy.log_prob(action))

        return rollout(env, state.episodes, key, self.num_steps, act)

    def samples(
        self, env: Environment, state: State, transitions: Transition, drawn: Drawn
    ) -> tuple[Scales, Sample]:
        """Transitions [num_steps, num_envs] as samples [num_steps * num_envs]; the scales with them added."""
        inputs, scales = jax.vmap(jax.vmap(partial(self.input, env, state.scales))), state.scales
        x, next_x, reward = inputs(transitions.obs), inputs(transitions.next_obs), transitions.reward
        if self.normalise_rewards:
            scales = scales.with_rewards(reward, transitions.done, self.discount)
            reward = scales.returns.scaled(reward)
        if self.normalise_observations:
            to_features = jax.vmap(jax.vmap(partial(features, env.observation_space)))
            scales = scales.with_inputs(to_features(transitions.obs))
        value, next_value = (self.critic(env).apply(state.critic, each)[..., 0] for each in (x, next_x))
        delta = td_error(value, reward, self.discount, transitions.terminated, next_value)
        advantage = generalised_advantage(delta, transitions.done, self.discount, self.gae_lambda)
        sample = Sample(x, *drawn, value, advantage)
        return scales, jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), sample)

    def loss(self, params: Any, env: Environment, samples: Sample) -> tuple[Array, dict[str, Array]]:
        """What the optimiser minimises over a minibatch of samples, and what to watch."""
        policy = self.policy(env, params[0], samples.x)
        value = self.critic(env).apply(params[1], samples.x)[..., 0]
        log_ratio = jax.vmap(lambda one, a: one.log_prob(a))(policy, samples.action) - samples.log_prob
        ratio = jnp.exp(log_ratio)
        advantage = standardised(samples.advantage) if self.normalise_advantage else samples.advantage
        clip_value = self.clip if self.clip_value_loss else jnp.inf
        policy_loss = -jnp.mean(clipped_surrogate(ratio, advantage, self.clip))
        target = samples.value + samples.advantage
        value_loss = jnp.mean(clipped_value_loss(value, samples.value, target, clip_value))
        entropy = jnp.mean(jax.vmap(lambda one: one.entropy())(policy))
        loss = policy_loss + self.value_coefficient * value_loss - self.entropy_coefficient * entropy
        return loss, {
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "entropy": entropy,
            "approx_kl": jnp.mean(ratio - 1 - log_ratio),  # Schulman 2020, http://joschu.net/blog
            "clip_fraction": jnp.mean(jnp.abs(ratio - 1) > self.clip),
        }

    def input(self, env: Environment, scales: Scales, obs: Array) -> Array:
        """An observation as the networks see it: [*inputs] float32."""
        x = features(env.observation_space, obs)
        return scales.inputs.standardised(x) if self.normalise_observations else x

    def policy(self, env: Environment, actor: Any, x: Array) -> Categorical | Gaussian:
        """The actor's distribution over actions for an input, or those for a batch of inputs."""
        outputs = self.actor(env).apply(actor, x)
        if isinstance(env.action_space, Discrete):
            return Categorical(outputs)
        return Gaussian(*(leaf.reshape(*leaf.shape[:-1], *env.action_space.shape) for leaf in outputs))

    def actor(self, env: Environment) -> MLP | GaussianMLP:
        space, image = env.action_space, is_image(env.observation_space)
        if isinstance(space, Discrete):
            return MLP(self.hidden, space.n, output_scale=0.01, image=image)
        return GaussianMLP(self.hidden, math.prod(space.shape), image)

    def critic(self, env: Environment) -> MLP:
        return MLP(self.hidden, 1, output_scale=1.0, image=is_image(env.observation_space))

    def optimiser(self, learning_rate: Scalar) -> optax.GradientTransformation:
        return optax.chain(optax.clip_by_global_norm(self.max_grad_norm), optax.adam(learning_rate, eps=1e-5))


def clipped_surrogate(ratio: Array, advantage: Array, clip: Scalar) -> Array:
    """PPO's objective, to be maximised (Schulman et al. 2017, eq. 7). All [] or equal shapes."""
    return jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - clip, 1 + clip) * advantage)


def clipped_value_loss(value: Array, old_value: Array, target: Array, clip: Scalar) -> Array:
    """Half the squared error, at least that of a value kept within `clip` of the old one. Equal shapes."""
    clipped = old_value + jnp.clip(value - old_value, -clip, clip)
    return 0.5 * jnp.maximum(jnp.square(value - target), jnp.square(clipped - target))
