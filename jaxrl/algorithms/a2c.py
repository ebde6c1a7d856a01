"""Advantage actor-critic (Mnih et al. 2016, without the asynchrony), for discrete and for continuous actions.

The defaults are those of Stable-Baselines3's A2C with the 8 environments of rl-zoo3's CartPole (Raffin et al.
2021), with one difference. The deviation of normalised advantages divides by n, PyTorch's by n - 1.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxrl.config import Scalar, component, static, traced
from jaxrl.learning.actor_critic import Pair, actor_critic
from jaxrl.learning.algorithm import Collector
from jaxrl.learning.metrics import Metrics, episode_metrics, explained_variance, mean_metrics
from jaxrl.learning.networks import MLP, Network, require_network
from jaxrl.learning.normalise import standardised
from jaxrl.learning.on_policy import Agent, Sample, State
from jaxrl.learning.schedules import linear
from jaxrl.learning.updates import require_several
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Memory


class A2C(Collector):
    """An iteration is num_steps steps in each of num_envs environments and one update from all of them."""

    learning_rate: float = traced(7e-4, "RMSProp's step size", low=0)
    anneal_learning_rate: bool = static(False, "whether the learning rate falls linearly to 0 over the run")
    discount: float = traced(0.99, "γ, discount of a reward one step later", low=0, high=1)
    gae_lambda: float = traced(
        1.0, "λ of generalised advantage estimation; 1: returns of up to num_steps rewards", low=0, high=1
    )
    normalise_advantage: bool = static(False, "whether advantages are normalised within each update")
    normalise_observations: bool = static(False, "whether by running mean and standard deviation")
    normalise_rewards: bool = static(False, "whether by the deviation of running returns")
    value_coefficient: float = traced(0.5, "weight of the value loss", low=0)
    entropy_coefficient: float = traced(0.0, "weight of the entropy bonus", low=0)
    max_grad_norm: float = traced(0.5, "global norm that gradients are clipped to", low=0)
    num_envs: int = static(8)
    num_steps: int = static(5)
    shared_torso: bool = static(False, "whether actor and critic share one torso")
    network: Network = component(MLP(hidden=(64, 64)), "torso of the actor and of the critic")

    def validate(self) -> None:
        super().validate()
        if self.normalise_advantage:
            require_several(self, self.steps_per_iteration)

    def validate_for(self, env: Environment) -> None:
        require_network(self, self.network, env, memory=True)

    def init(self, env: Environment, key: Array) -> State:
        params, *started = self.agent(env).start(key, self.num_envs)
        return State(params, self.optimiser(1.0).init(params), *started)

    def step(
        self, env: Environment, state: State, key: Array, t: Array, total: Array
    ) -> tuple[State, Metrics]:
        agent = self.agent(env)
        episodes, transitions, drawn = agent.collect(state, key, self.num_steps)
        scales, critic_memory, samples = agent.samples(state, transitions, drawn, self.gae_lambda)
        memory = (state.episodes.memory, state.critic_memory)  # at the start of the samples' sequences
        grads, metrics = jax.grad(self.loss, has_aux=True)(state.params, env, memory, samples)
        fraction_left = linear(1.0, 0.0, 1.0, t, total) if self.anneal_learning_rate else 1.0
        updates, opt_state = self.optimiser(fraction_left).update(grads, state.optimiser)
        params = optax.apply_updates(state.params, updates)
        state = state.replace(
            params=params, optimiser=opt_state, scales=scales, episodes=episodes, critic_memory=critic_memory
        )
        metrics["grad_norm"] = optax.tree.norm(grads)
        metrics["explained_variance"] = explained_variance(samples.value, samples.target)
        return state, episode_metrics(transitions) | mean_metrics(**metrics)

    def memory(self, env: Environment) -> Memory:
        return self.agent(env).networks.memory()[0]

    def act(
        self, env: Environment, state: State, memory: Memory, obs: Array, key: Array, explore: bool
    ) -> tuple[Array, Memory]:
        return self.agent(env).act(state, memory, obs, key, explore)

    def loss(self, params: Pair, env: Environment, memory: Pair, samples: Sample) -> tuple[Array, Any]:
        """The loss of an iteration's samples, and metrics."""
        policy, value = self.agent(env).networks.unrolled(params, memory, samples.done, samples.x)
        advantage = standardised(samples.advantage) if self.normalise_advantage else samples.advantage
        policy_loss = policy_gradient_loss(policy.log_prob(samples.action), advantage)
        value_loss = jnp.mean(jnp.square(value - samples.target))
        entropy = jnp.mean(policy.entropy())
        loss = policy_loss + self.value_coefficient * value_loss - self.entropy_coefficient * entropy
        return loss, {"policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy}

    def optimiser(self, fraction_left: Scalar) -> optax.GradientTransformation:
        """RMSProp as in PyTorch, whose ε stands outside the square root."""
        rate = self.learning_rate * fraction_left
        rmsprop = optax.rmsprop(rate, decay=0.99, eps=1e-5, eps_in_sqrt=False)
        return optax.chain(optax.clip_by_global_norm(self.max_grad_norm), rmsprop)

    def agent(self, env: Environment) -> Agent:
        networks = actor_critic(self.network, env, self.shared_torso)
        return Agent(env, networks, self.discount, self.normalise_observations, self.normalise_rewards)


def policy_gradient_loss(log_prob: Array, advantage: Array) -> Array:
    """-mean(A log π), whose gradient is that of Mnih et al. 2016, algorithm S3, with its sign: [].

    log_prob and advantage have equal shapes; the advantage is a constant.
    """
    return -jnp.mean(advantage * log_prob)
