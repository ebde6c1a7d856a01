"""Learners of bandits: ε-greedy, UCB1, the gradient bandit and Thompson sampling.

What a learner knows of the arms is its policy's memory, which is reset with the arms where an episode
starts. An evaluation is therefore a bandit that is learned from its first pull, and exploring is part of
the policy, with `explore` or without. Nothing else is kept: a learner's state is its episode.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array, random

from jaxrl.config import Scalar, static, traced
from jaxrl.errors import InputError
from jaxrl.learning.algorithm import Algorithm
from jaxrl.learning.exploration import epsilon_greedy
from jaxrl.learning.metrics import Metrics, episode_metrics, mean_metrics
from jaxrl.mdp.bandit import Bandit
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Episode, Memory


class State(struct.PyTreeNode):
    episode: Episode


class Estimates(struct.PyTreeNode):
    count: Array  # [num_arms] float32, pulls
    value: Array  # [num_arms] float32, estimated mean rewards


class BanditLearner(Algorithm):
    """A learner of a bandit's arms. An iteration is one pull. A subclass defines `choose`.

    The metric `regret` is the best arm's mean minus that of the pulled arm, `best_arm` the share of pulls of
    the best arm.
    """

    @property
    def steps_per_iteration(self) -> int:
        return 1

    def validate_for(self, env: Environment) -> None:
        if not isinstance(env, Bandit):
            raise InputError(
                f"{type(self).__name__} needs a bandit, such as GaussianBandit-v0; {env.title} has states: "
                "use q_learning, dqn, ppo or sac"
            )

    def init(self, env: Any, key: Array) -> State:
        return State(Episode.start(env, key, self.memory(env)))

    def step(self, env: Any, state: State, key: Array, t: Array, total: Array) -> tuple[State, Metrics]:
        key_act, key_env = random.split(key)
        episode, means = state.episode, state.episode.state.means
        action, memory = self.act(env, state, episode.memory, episode.obs, key_act, explore=True)
        regret = jnp.max(means) - means[action]
        episode, transition = episode.step(env, key_env, action, memory, self.memory(env))
        metrics = mean_metrics(regret=regret, best_arm=jnp.float32(regret == 0))
        return State(episode), episode_metrics(transition) | metrics

    def memory(self, env: Any) -> Memory:
        return Estimates(jnp.zeros(env.num_arms), jnp.zeros(env.num_arms))

    def act(
        self, env: Environment, state: State, memory: Memory, obs: Array, key: Array, explore: bool
    ) -> tuple[Array, Memory]:
        memory = self.learn(memory, obs[:-1], obs[-1])
        return self.choose(memory, key), memory

    def learn(self, memory: Any, pulled: Array, reward: Array) -> Memory:
        """The memory after a pull, [num_arms] one-hot, and its reward, []. All 0 before the first pull."""
        return sample_average(memory, pulled, reward)

    def choose(self, memory: Any, key: Array) -> Array:
        """The arm to pull: [] int32."""
        raise self._missing("choose")


class EpsilonGreedy(BanditLearner):
    """ε-greedy selection of a bandit's arms by their estimated means (Sutton & Barto 2018, 2.4 to 2.6)."""

    epsilon: float = traced(0.1, "probability of a uniform arm", low=0, high=1)
    step_size: float = traced(0.0, "α of the estimates, for means that drift; 0 averages", low=0, high=1)
    initial_value: float = traced(0.0, "initial estimate; optimistic if above the true means")

    def memory(self, env: Any) -> Estimates:
        return Estimates(jnp.zeros(env.num_arms), jnp.full(env.num_arms, self.initial_value, jnp.float32))

    def learn(self, memory: Estimates, pulled: Array, reward: Array) -> Estimates:
        return sample_average(memory, pulled, reward, self.step_size)

    def choose(self, memory: Estimates, key: Array) -> Array:
        return epsilon_greedy(key, memory.value, self.epsilon)


class UCB1(BanditLearner):
    """UCB1 for bandits: the arm with the greatest upper confidence bound (Auer et al. 2002)."""

    confidence: float = traced(2**0.5, "c, width of the bounds; √2 is the paper's, for [0, 1]", low=0)

    def choose(self, memory: Estimates, key: Array) -> Array:
        return jnp.argmax(upper_confidence_bound(memory, self.confidence))


class Preferences(struct.PyTreeNode):
    count: Array  # [] float32, pulls
    mean: Array  # [] float32, average reward
    preference: Array  # [num_arms] float32


class GradientBandit(BanditLearner):
    """The gradient bandit: a softmax of preferences, ascended by its gradient (Sutton & Barto 2018, 2.8)."""

    step_size: float = traced(0.1, "α of the preferences", low=0)
    baseline: bool = static(True, "whether the average reward is subtracted from each reward")

    def memory(self, env: Any) -> Preferences:
        return Preferences(jnp.float32(0), jnp.float32(0), jnp.zeros(env.num_arms))

    def learn(self, memory: Preferences, pulled: Array, reward: Array) -> Preferences:
        now = jnp.sum(pulled)
        count = memory.count + now
        mean = memory.mean + now * (reward - memory.mean) / jnp.maximum(count, 1.0)
        change = preference_change(memory.preference, pulled, reward - (mean if self.baseline else 0.0))
        return Preferences(count, mean, memory.preference + self.step_size * now * change)

    def choose(self, memory: Preferences, key: Array) -> Array:
        return random.categorical(key, memory.preference).astype(jnp.int32)


class Thompson(BanditLearner):
    """Thompson sampling for bandits: the best arm of a draw from the posterior (Russo et al. 2018)."""

    posterior: str = static(
        "normal",
        "of an arm's mean: normal, or beta for rewards of 0 and 1 with a uniform prior",
        choices=("normal", "beta"),
    )
    prior_mean: float = traced(0.0, "normal: prior mean of an arm's mean")
    prior_scale: float = traced(1.0, "normal: prior standard deviation of an arm's mean", low=1e-6)
    noise: float = traced(1.0, "normal: standard deviation of a reward", low=1e-6)

    def validate_for(self, env: Environment) -> None:
        super().validate_for(env)
        if self.posterior == "beta" and not env.is_binary:  # type: ignore[attr-defined]
            raise InputError(
                f"Thompson's beta posterior needs rewards of 0 and 1; those of {env.title} are real: use "
                "posterior=normal"
            )

    def choose(self, memory: Estimates, key: Array) -> Array:
        if self.posterior == "beta":
            ones = memory.count * memory.value
            return jnp.argmax(random.beta(key, 1.0 + ones, 1.0 + memory.count - ones))
        mean, scale = normal_posterior(memory, self.prior_mean, self.prior_scale, self.noise)
        return jnp.argmax(mean + scale * random.normal(key, mean.shape))


def sample_average(memory: Estimates, pulled: Array, reward: Array, step_size: Scalar = 0.0) -> Estimates:
    """The estimates after a pull (Sutton & Barto 2018, eq. 2.3 or, with a step size above 0, 2.5).

    pulled [num_arms] is one-hot, or all 0 before the first pull, which changes nothing.
    """
    count = memory.count + pulled
    rate = jnp.where(step_size > 0, step_size, 1.0 / jnp.maximum(count, 1.0))
    return Estimates(count, memory.value + pulled * rate * (reward - memory.value))


def upper_confidence_bound(memory: Estimates, confidence: Scalar) -> Array:
    """Q(a) + c √(ln t / N(a)) after t pulls, infinite for an arm without one: [num_arms].

    Auer et al. 2002, figure 1, with c = √2; Sutton & Barto 2018, eq. 2.10.
    """
    log_pulls = jnp.log(jnp.maximum(jnp.sum(memory.count), 1.0))
    width = confidence * jnp.sqrt(log_pulls / jnp.maximum(memory.count, 1.0))
    return jnp.where(memory.count > 0, memory.value + width, jnp.inf)


def preference_change(preference: Array, pulled: Array, advantage: Array) -> Array:
    """(R - R̄) (1{a pulled} - π(a)): [num_arms] (Sutton & Barto 2018, eq. 2.12; R̄ includes R)."""
    return advantage * (pulled - jax.nn.softmax(preference))


def normal_posterior(
    memory: Estimates, prior_mean: Scalar, prior_scale: Scalar, noise: Scalar
) -> tuple[Array, Array]:
    """Mean and standard deviation of the arms' posteriors, normal with known noise: [num_arms] each.

    The conjugate update of Murphy (2007), "Conjugate Bayesian analysis of the Gaussian distribution".
    """
    precision = 1.0 / prior_scale**2 + memory.count / noise**2
    mean = (prior_mean / prior_scale**2 + memory.count * memory.value / noise**2) / precision
    return mean, 1.0 / jnp.sqrt(precision)
