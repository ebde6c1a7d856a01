"""Proximal policy optimisation for discrete actions (Schulman et al. 2017).

Details and defaults are those of CleanRL's ppo.py (Huang et al. 2022), except that the time limit is
no termination: its value is bootstrapped from the true last observation (Pardo et al. 2018).
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import Array, lax, random

from jaxrl.algorithm import (
    Algorithm,
    Metrics,
    episode_metrics,
    mean_metrics,
    num_actions,
    static,
    traced,
)
from jaxrl.config import Scalar
from jaxrl.distributions import categorical_entropy, categorical_log_prob
from jaxrl.environment import Environment, Episode, Transition
from jaxrl.errors import InputError
from jaxrl.networks import MLP, features
from jaxrl.returns import generalised_advantage, td_error
from jaxrl.schedules import linear
from jaxrl.shuffle import permutation


class State(struct.PyTreeNode):
    actor: Any  # parameters, observation -> logits
    critic: Any  # parameters, observation -> value
    optimiser: Any  # optax state over (actor, critic)
    episodes: Episode  # [num_envs]
    key: Array  # [] typed key, never changes


class Sample(struct.PyTreeNode):
    """What the update learns from, one entry per transition."""

    x: Array  # [inputs] float32, the observation as the networks see it
    action: Array  # [] int32
    log_prob: Array  # [] float32, of the action when it was taken
    value: Array  # [] float32, of the observation when it was seen
    advantage: Array  # [] float32


class PPO(Algorithm):
    """num_steps steps in each of num_envs environments, then epochs x minibatches updates."""

    learning_rate: float = traced(2.5e-4, "Adam's step size", low=0)
    anneal_learning_rate: bool = static(True, "linearly to 0 at the end of the run")
    discount: float = traced(0.99, "γ, of a reward one step later", low=0, high=1)
    gae_lambda: float = traced(0.95, "λ of generalised advantage estimation", low=0, high=1)
    clip: float = traced(0.2, "largest change of a ratio, and of a value, that pays", low=0)
    clip_value_loss: bool = static(True, "clip the change of values too")
    normalise_advantage: bool = static(True, "within each minibatch")
    value_coefficient: float = traced(0.5, "weight of the value loss", low=0)
    entropy_coefficient: float = traced(0.01, "weight of the entropy bonus", low=0)
    max_grad_norm: float = traced(0.5, "global norm that gradients are clipped to", low=0)
    num_envs: int = static(4, "environments of each run", low=1)
    num_steps: int = static(128, "steps in each of them per iteration", low=1)
    epochs: int = static(4, "passes over an iteration's transitions", low=1)
    minibatches: int = static(4, "updates of each pass", low=1)
    hidden: tuple[int, ...] = static((64, 64), "units of each hidden layer", low=1)

    @property
    def steps_per_iteration(self) -> int:
        return self.num_envs * self.num_steps

    def validate(self) -> None:
        super().validate()
        if self.steps_per_iteration % self.minibatches:
            raise InputError(
                f"PPO.minibatches must divide num_envs x num_steps = {self.steps_per_iteration}, "
                f"got {self.minibatches}"
            )

    def validate_for(self, env: Environment) -> None:
        num_actions(self, env)

    def init(self, env: Environment, key: Array) -> State:
        key_actor, key_critic, key_episodes, key_state = random.split(key, 4)
        episodes = jax.vmap(Episode.start, (None, 0))(env, random.split(key_episodes, self.num_envs))
        x = features(env.observation_space, episodes.obs[0])
        actor = self.actor(env).init(key_actor, x)
        critic = self.critic().init(key_critic, x)
        optimiser = self.optimiser(self.learning_rate).init((actor, critic))
        return State(actor, critic, optimiser, episodes, key_state)

    def step(self, env: Environment, state: State, t: Array, total: Array) -> tuple[State, Metrics]:
        key_rollout, key_update = random.split(random.fold_in(state.key, t))
        episodes, transitions, log_prob = self.rollout(env, state, key_rollout)
        samples = self.samples(env, state.critic, transitions, log_prob)
        fraction_left = linear(1.0, 0.0, 1.0, t, total) if self.anneal_learning_rate else 1.0
        optimiser = self.optimiser(self.learning_rate * fraction_left)

        def update(carry: tuple[Any, Any], indices: Array) -> tuple[tuple[Any, Any], dict[str, Array]]:
            params, opt_state = carry
            minibatch = jax.tree.map(lambda x: x[indices], samples)
            grads, metrics = jax.grad(self.loss, has_aux=True)(params, env, minibatch)
            updates, opt_state = optimiser.update(grads, opt_state)
            return (optax.apply_updates(params, updates), opt_state), metrics

        keys = random.split(key_update, self.epochs)
        shuffled = jax.vmap(permutation, (0, None))(keys, self.steps_per_iteration)
        minibatches = shuffled.reshape(self.epochs * self.minibatches, -1)
        carry = ((state.actor, state.critic), state.optimiser)
        ((actor, critic), opt_state), metrics = lax.scan(update, carry, minibatches)
        state = State(actor, critic, opt_state, episodes, state.key)
        return state, episode_metrics(transitions) | mean_metrics(**metrics)

    def act(self, env: Environment, state: State, obs: Array, key: Array, explore: bool) -> Array:
        logits = self.actor(env).apply(state.actor, features(env.observation_space, obs))
        return random.categorical(key, logits) if explore else jnp.argmax(logits)

    def rollout(self, env: Environment, state: State, key: Array) -> tuple[Episode, Transition, Array]:
        """The episodes after num_steps steps, the transitions and their log π: [num_steps, num_envs]."""

        def act_and_step(episode: Episode, key: Array) -> tuple[Episode, tuple[Transition, Array]]:
            key_act, key_env = random.split(key)
            logits = self.actor(env).apply(state.actor, features(env.observation_space, episode.obs))
            action = random.categorical(key_act, logits)
            episode, transition = episode.step(env, key_env, action)
            return episode, (transition, categorical_log_prob(logits, action))

        keys = random.split(key, (self.num_steps, self.num_envs))
        episodes, (transitions, log_prob) = lax.scan(jax.vmap(act_and_step), state.episodes, keys)
        return episodes, transitions, log_prob

    def samples(self, env: Environment, critic: Any, transitions: Transition, log_prob: Array) -> Sample:
        """Transitions [num_steps, num_envs] as samples [num_steps * num_envs]."""

        def to_features(obs: Array) -> Array:
            return jax.vmap(jax.vmap(features, (None, 0)), (None, 0))(env.observation_space, obs)

        x = to_features(transitions.obs)
        value = self.critic().apply(critic, x)[..., 0]
        next_value = self.critic().apply(critic, to_features(transitions.next_obs))[..., 0]
        delta = td_error(value, transitions.reward, self.discount, transitions.terminated, next_value)
        advantage = generalised_advantage(delta, transitions.done, self.discount, self.gae_lambda)
        sample = Sample(x, transitions.action, log_prob, value, advantage)
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), sample)

    def loss(
        self, params: tuple[Any, Any], env: Environment, samples: Sample
    ) -> tuple[Array, dict[str, Array]]:
        """What the optimiser minimises over a minibatch of samples, and what to watch."""
        logits = self.actor(env).apply(params[0], samples.x)
        value = self.critic().apply(params[1], samples.x)[..., 0]
        log_ratio = jax.vmap(categorical_log_prob)(logits, samples.action) - samples.log_prob
        ratio = jnp.exp(log_ratio)
        advantage = normalised(samples.advantage) if self.normalise_advantage else samples.advantage
        clip_value = self.clip if self.clip_value_loss else jnp.inf

        policy_loss = -jnp.mean(clipped_surrogate(ratio, advantage, self.clip))
        target = samples.value + samples.advantage
        value_loss = jnp.mean(clipped_value_loss(value, samples.value, target, clip_value))
        entropy = jnp.mean(jax.vmap(categorical_entropy)(logits))
        loss = policy_loss + self.value_coefficient * value_loss - self.entropy_coefficient * entropy
        return loss, {
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "entropy": entropy,
            "approx_kl": jnp.mean(ratio - 1 - log_ratio),  # Schulman 2020, http://joschu.net/blog
            "clip_fraction": jnp.mean(jnp.abs(ratio - 1) > self.clip),
        }

    def actor(self, env: Environment) -> MLP:
        return MLP(self.hidden, num_actions(self, env), output_scale=0.01)

    def critic(self) -> MLP:
        return MLP(self.hidden, 1, output_scale=1.0)

    def optimiser(self, learning_rate: Scalar) -> optax.GradientTransformation:
        clip = optax.clip_by_global_norm(self.max_grad_norm)
        return optax.chain(clip, optax.adam(learning_rate, eps=1e-5))


def clipped_surrogate(ratio: Array, advantage: Array, clip: Scalar) -> Array:
    """PPO's objective, to be maximised (Schulman et al. 2017, eq. 7). All [] or equal shapes."""
    return jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - clip, 1 + clip) * advantage)


def clipped_value_loss(value: Array, old_value: Array, target: Array, clip: Scalar) -> Array:
    """Half the squared error, at least that of a value kept within `clip` of the old one. Equal shapes."""
    clipped = old_value + jnp.clip(value - old_value, -clip, clip)
    return 0.5 * jnp.maximum(jnp.square(value - target), jnp.square(clipped - target))


def normalised(x: Array) -> Array:
    """Zero mean, unit standard deviation over all entries."""
    return (x - jnp.mean(x)) / (jnp.std(x) + 1e-8)
