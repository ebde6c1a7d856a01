"""Proximal policy optimisation (Schulman et al. 2017), for discrete and for continuous actions.

Details and defaults are those of CleanRL's ppo.py (Huang et al. 2022) with two differences. A time limit is
not a termination: the true last observation's value is bootstrapped (Pardo et al. 2018). The deviation of
advantages divides by n, PyTorch's by n - 1.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax, random

from jaxrl.config import Scalar, component, static, traced
from jaxrl.learning import on_policy
from jaxrl.learning.actor_critic import Pair, actor_critic
from jaxrl.learning.algorithm import Collector
from jaxrl.learning.bonuses import Bonus
from jaxrl.learning.metrics import Metrics, episode_metrics, explained_variance, mean_metrics
from jaxrl.learning.networks import MLP, Network, require_network
from jaxrl.learning.normalise import standardised
from jaxrl.learning.on_policy import Agent, Sample
from jaxrl.learning.schedules import linear
from jaxrl.learning.updates import clipped_adam, require_minibatches, shuffled_minibatches
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Memory


class State(on_policy.State):
    bonus: Any  # what the bonus keeps, () if there is none


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
    shared_torso: bool = static(False, "whether actor and critic share one torso")
    bonus: Bonus = component(Bonus(), "what is added to rewards for the sake of exploration")
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
        params, scales, episodes, critic_memory = self.agent(env).start(key, self.num_envs)
        optimiser = clipped_adam(self.learning_rate, self.max_grad_norm, eps=1e-5)
        # `start` uses the first two parts of the key.
        kept = self.bonus.create(env, random.split(key, 3)[2], self.num_envs)
        return State(params, optimiser.init(params), scales, episodes, critic_memory, kept)

    def step(
        self, env: Environment, state: State, key: Array, t: Array, total: Array
    ) -> tuple[State, Metrics]:
        key_rollout, key_update = random.split(key)
        agent = self.agent(env)
        episodes, transitions, drawn = agent.collect(state, key_rollout, self.num_steps)
        kept, rewarded, of_bonus = self.bonus.observe(state.bonus, env, transitions, self.discount)
        scales, critic_memory, samples = agent.samples(state, rewarded, drawn, self.gae_lambda)
        memory = (state.episodes.memory, state.critic_memory)  # at the start of the samples' sequences
        fraction_left = linear(1.0, 0.0, 1.0, t, total) if self.anneal_learning_rate else 1.0
        optimiser = clipped_adam(self.learning_rate * fraction_left, self.max_grad_norm, eps=1e-5)

        def update(carry: tuple[Pair, Any], indices: Array) -> tuple[tuple[Pair, Any], dict[str, Array]]:
            params, opt_state = carry
            start, minibatch = jax.tree.map(lambda leaf: leaf[indices], (memory, samples))
            grads, metrics = jax.grad(self.loss, has_aux=True)(params, env, start, minibatch)
            metrics["grad_norm"] = optax.tree.norm(grads)
            updates, opt_state = optimiser.update(grads, opt_state)
            return (optax.apply_updates(params, updates), opt_state), metrics

        minibatches = shuffled_minibatches(key_update, samples.done.shape[0], self.epochs, self.minibatches)
        (params, opt_state), metrics = lax.scan(update, (state.params, state.optimiser), minibatches)
        metrics["explained_variance"] = explained_variance(samples.value, samples.target)
        state = state.replace(params=params, optimiser=opt_state, scales=scales, bonus=kept)
        state = state.replace(episodes=episodes, critic_memory=critic_memory)
        return state, episode_metrics(transitions) | mean_metrics(**metrics) | of_bonus

    def memory(self, env: Environment) -> Memory:
        return self.agent(env).networks.memory()[0]

    def act(
        self, env: Environment, state: State, memory: Memory, obs: Array, key: Array, explore: bool
    ) -> tuple[Array, Memory]:
        return self.agent(env).act(state, memory, obs, key, explore)

    def loss(self, params: Pair, env: Environment, memory: Pair, samples: Sample) -> tuple[Array, Any]:
        """The loss of a minibatch (Schulman et al. 2017, eq. 9), and metrics."""
        policy, value = self.agent(env).networks.unrolled(params, memory, samples.done, samples.x)
        log_ratio = policy.log_prob(samples.action) - samples.log_prob
        ratio = jnp.exp(log_ratio)
        advantage = standardised(samples.advantage) if self.normalise_advantage else samples.advantage
        policy_loss = -jnp.mean(clipped_surrogate(ratio, advantage, self.clip))
        clip_value = self.clip if self.clip_value_loss else jnp.inf
        value_loss = jnp.mean(clipped_value_loss(value, samples.value, samples.target, clip_value))
        entropy = jnp.mean(policy.entropy())
        loss = policy_loss + self.value_coefficient * value_loss - self.entropy_coefficient * entropy
        return loss, {
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "entropy": entropy,
            "approx_kl": jnp.mean(ratio - 1 - log_ratio),  # Schulman 2020, http://joschu.net/blog
            "clip_fraction": jnp.mean(jnp.abs(ratio - 1) > self.clip),
        }

    def agent(self, env: Environment) -> Agent:
        networks = actor_critic(self.network, env, self.shared_torso)
        return Agent(env, networks, self.discount, self.normalise_observations, self.normalise_rewards)


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
