"""REINFORCE (Williams 1992), for discrete and for continuous actions, with or without a learned baseline.

An update is the mean gradient of whole episodes (Sutton & Barto, sections 13.3 and 13.4, without the factor
γ^t). No episode is cut or dropped, though an iteration has a fixed number of steps: an episode in progress
keeps two sums of gradients, its eligibility trace and what its rewards have earned so far. An episode goes on
when the parameters change. The gradient of a step's log π is that of the policy which chose the action.

A time limit ends an episode. With a baseline, the value of the true last observation stands for the rewards
that would have followed. Without one, the return is that of the rewards up to the limit.
"""

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from jaxrl.config import Scalar, component, static, traced
from jaxrl.learning import on_policy
from jaxrl.learning.actor_critic import Pair, actor_critic
from jaxrl.learning.algorithm import Collector
from jaxrl.learning.memory import repeated
from jaxrl.learning.metrics import Metrics, episode_metrics, explained_variance, mean_metrics, metric_if
from jaxrl.learning.networks import MLP, Network, require_network
from jaxrl.learning.on_policy import Agent
from jaxrl.learning.returns import generalised_advantage
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Memory

Steps = tuple[Array, Array, Array, Array]  # [num_steps, ...]: inputs, actions as drawn, rewards, done


class State(on_policy.State):
    trace: Pair  # [num_envs, *params], Σ γ^age ∇(log π, v) over the steps of the episode in progress
    earned: Pair  # [num_envs, *params], the gradient of the episode in progress
    finished: Pair  # [*params], the sum of the gradients of the episodes that ended since the last update
    count: Array  # [] int32, those episodes


class REINFORCE(Collector):
    """An iteration is num_steps steps in each of num_envs environments.

    An update follows once enough episodes have ended.
    """

    waits = ("episodes",)
    learning_rate: float = traced(1e-3, "Adam's step size for the policy", low=0)
    baseline: bool = static(True, "whether the value of an observation is learned and subtracted")
    baseline_learning_rate: float = traced(1e-3, "with baseline: its Adam's step size", low=0)
    discount: float = traced(0.99, "γ, discount of a reward one step later", low=0, high=1)
    entropy_coefficient: float = traced(0.0, "weight of the entropy bonus", low=0)
    episodes: int = traced(8, "episodes that must have ended before an update", low=1)
    normalise_observations: bool = static(False, "whether by running mean and standard deviation")
    normalise_rewards: bool = static(False, "whether by the deviation of running returns")
    num_envs: int = static(8)
    num_steps: int = static(32)
    network: Network = component(MLP(hidden=(64, 64)), "torso of the actor and of the baseline")

    def validate_for(self, env: Environment) -> None:
        require_network(self, self.network, env)

    def init(self, env: Environment, key: Array) -> State:
        (actor, critic), scales, episodes, memory = self.agent(env).start(key, self.num_envs)
        params = (actor, critic if self.baseline else ())
        zeros = jax.tree.map(jnp.zeros_like, params)
        return State(
            params=params,
            optimiser=optax.scale_by_adam().init(params),
            scales=scales,
            episodes=episodes,
            critic_memory=memory,
            trace=repeated(zeros, self.num_envs),
            earned=repeated(zeros, self.num_envs),
            finished=zeros,
            count=jnp.int32(0),
        )

    def step(
        self, env: Environment, state: State, key: Array, t: Array, total: Array
    ) -> tuple[State, Metrics]:
        agent = self.agent(env)
        episodes, transitions, (action, _) = agent.collect(state, key, self.num_steps)
        scales, reward, x, next_x = agent.seen(state.scales, transitions)
        done = transitions.done
        if self.baseline:
            following, _ = agent.networks.value(state.params, (), next_x)
            reward = reward + self.discount * jnp.where(transitions.truncated, following, 0.0)
        gradients = jax.vmap(self.gradients, (None, None, 1, 0, 0))
        steps = (x, action, reward, done)
        trace, earned, ended, of_steps = gradients(env, state.params, steps, state.trace, state.earned)
        value, known, whole, entropy = of_steps
        finished = jax.tree.map(lambda total, each: total + jnp.sum(each, axis=0), state.finished, ended)
        state = state.replace(scales=scales, episodes=episodes, trace=trace, earned=earned)
        state, metrics = self.updated(state, finished, state.count + jnp.sum(done, dtype=jnp.int32))
        if self.baseline:
            explained = explained_variance(value, known, where=whole)
            metrics |= {"explained_variance": metric_if(jnp.any(whole), explained)}
        return state, episode_metrics(transitions) | mean_metrics(entropy=entropy) | metrics

    def act(
        self, env: Environment, state: State, memory: Memory, obs: Array, key: Array, explore: bool
    ) -> tuple[Array, Memory]:
        return self.agent(env).act(state, memory, obs, key, explore)

    def gradients(
        self, env: Environment, params: Pair, steps: Steps, trace: Pair, earned: Pair
    ) -> tuple[Pair, Pair, Pair, tuple[Array, Array, Array, Array]]:
        """What the steps of one environment add.

        Returns its trace and the gradient of its episode in progress after the steps, the sum of the
        gradients of the episodes that ended, and of each step the value, the return as far as it is known,
        whether it is known, and the entropy.
        """
        x, action, reward, done = steps
        networks = self.agent(env).networks

        def outputs(params: Pair) -> tuple[Array, Array, Array]:
            policy, _ = networks.policy(params, (), x)
            value = networks.value(params, (), x)[0] if self.baseline else jnp.zeros_like(reward)
            return policy.log_prob(action), value, policy.entropy()

        (_, value, entropy), pulled_back = jax.vjp(outputs, params)
        known = generalised_advantage(reward, done, self.discount, 1.0)
        in_progress = of_last_episode(done)

        def summed(chosen: Array) -> Pair:
            weight = jnp.where(chosen, known - value, 0.0)
            return pulled_back((weight, weight, jnp.where(chosen, self.entropy_coefficient, 0.0)))[0]

        decay = trace_weights(in_progress, self.discount)
        (fresh,) = pulled_back((decay, decay, jnp.zeros_like(decay)))
        kept = in_progress[0].astype(jnp.float32)  # 1 if the first episode did not end
        first = optax.tree.add_scale(earned, self.discount * known[0], trace)
        return (
            optax.tree.add_scale(fresh, kept * self.discount**done.size, trace),
            optax.tree.add_scale(summed(in_progress), kept, first),
            optax.tree.add_scale(summed(~in_progress), 1 - kept, first),
            (value, known, ~in_progress, entropy),
        )

    def updated(self, state: State, finished: Pair, count: Array) -> tuple[State, Metrics]:
        """The state after an update if `count` episodes are enough, and metrics."""
        ready = count >= self.episodes
        gradient = optax.tree.scale(1 / jnp.maximum(count, 1), finished)
        updates, opt_state = optax.scale_by_adam().update(gradient, state.optimiser)
        rates = (self.learning_rate, self.baseline_learning_rate)
        params = tuple(map(optax.tree.add_scale, state.params, rates, updates))
        after = (params, opt_state, optax.tree.zeros_like(finished), jnp.int32(0))
        before = (state.params, state.optimiser, finished, count)
        params, opt_state, finished, count = optax.tree.where(ready, after, before)
        state = state.replace(params=params, optimiser=opt_state, finished=finished, count=count)
        return state, {"grad_norm": metric_if(ready, optax.tree.norm(gradient))}

    def agent(self, env: Environment) -> Agent:
        networks = actor_critic(self.network, env)
        return Agent(env, networks, self.discount, self.normalise_observations, self.normalise_rewards)


def of_last_episode(done: Array) -> Array:
    """Which steps belong to the episode that goes on after the last step: [num_steps] bool."""
    return lax.cumsum(done.astype(jnp.int32), reverse=True) == 0


def trace_weights(in_progress: Array, discount: Scalar) -> Array:
    """γ^age of the steps of the episode in progress, 0 of the others: [num_steps] float32.

    The eligibility trace of the last step is the sum of the gradients of log π with these weights (Sutton &
    Barto, eq. 12.5, with λ = 1). A reward times the trace is what it adds to Σ G_t ∇log π_t.
    """
    age = jnp.arange(in_progress.size, dtype=jnp.float32)[::-1]
    return jnp.where(in_progress, discount**age, 0.0)
