"""Intrinsic bonuses: what is added to the rewards that a learner sees, so that it seeks what is new to it.

Counts of hashed observations (Tang et al. 2017), random network distillation (Burda et al. 2019) and the
intrinsic curiosity module (Pathak et al. 2017). All of them judge the observation that a step leads to. The
returns that are reported never contain a bonus.
"""

import math
from typing import Any, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import Array, lax, random

from jaxrl.config import Config, Scalar, component, static, traced
from jaxrl.errors import InputError
from jaxrl.learning.inputs import features, input_shape
from jaxrl.learning.layers import Linear
from jaxrl.learning.metrics import Metrics, mean_metrics
from jaxrl.learning.networks import MLP
from jaxrl.learning.normalise import Scales
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Experience
from jaxrl.mdp.spaces import Discrete

E = TypeVar("E", bound=Experience)
INPUT_LIMIT = 5.0  # normalised observations are clipped to ± this as in Burda et al. (2019)


class Bonus(Config):
    """No bonus. It keeps nothing and adds nothing."""

    def create(self, env: Environment, key: Array, num_envs: int) -> Any:
        """What is kept between iterations, such as counts or networks."""
        return ()

    def observe(self, kept: Any, env: Environment, rollout: E, discount: Scalar) -> tuple[Any, E, Metrics]:
        """Learns from a rollout [num_steps, num_envs], whose rewards the learner discounts.

        Returns what is kept afterwards, the rollout with the bonus in its rewards, and metrics.
        """
        return kept, rollout, {}

    def rewarded(self, kept: Any, env: Environment, experience: E) -> E:
        """Experience of any leading axes with the bonus, as it is now, in its rewards."""
        return experience


class Visits(struct.PyTreeNode):
    projection: Array  # [inputs, bits] float32, standard normal
    count: Array  # [2^bits] int32, visits of each hash


class Counts(Bonus):
    """β / √n for an observation whose hash was visited n times (Tang et al. 2017, algorithm 1).

    The hash is a number of few bits, so the counts are a table. The paper's table is itself hashed.
    """

    scale: float = traced(0.1, "β, bonus of the first visit", low=0)
    bits: int = static(16, "bits of a hash; more bits tell more observations apart", low=1, high=24)

    def create(self, env: Environment, key: Array, num_envs: int) -> Visits:
        inputs = math.prod(input_shape(env.observation_space))
        return Visits(random.normal(key, (inputs, self.bits)), jnp.zeros(2**self.bits, jnp.int32))

    def observe(
        self, kept: Visits, env: Environment, rollout: E, discount: Scalar
    ) -> tuple[Visits, E, Metrics]:
        kept = kept.replace(count=kept.count.at[self.hashes(kept, env, rollout)].add(1))
        rewarded = self.rewarded(kept, env, rollout)
        return kept, rewarded, mean_metrics(bonus=rewarded.reward - rollout.reward)

    def rewarded(self, kept: Visits, env: Environment, experience: E) -> E:
        count = kept.count[self.hashes(kept, env, experience)]
        return experience.replace(reward=experience.reward + count_bonus(count, self.scale))

    def hashes(self, kept: Visits, env: Environment, experience: Experience) -> Array:
        """The hashes of the observations that were reached: [...] int32."""
        x = features(env.observation_space, experience.next_obs)
        return simhash(x.reshape(*experience.done.shape, -1), kept.projection)


class Models(struct.PyTreeNode):
    params: Any  # of the networks that learn
    fixed: Any  # parameters of RND's target network; () of ICM
    optimiser: Any  # optax state over params
    scales: Scales  # of observations, and of the returns of prediction errors


class PredictionError(Bonus):
    """The error of networks that learn from the same rollouts, divided by the deviation of its returns.

    Observations are normalised too. Each step of Adam sees the whole rollout.
    """

    scale: float = traced(0.1, "weight of the normalised bonus", low=0)
    learning_rate: float = traced(1e-3, "Adam's step size of the bonus's networks", low=0)
    updates: int = static(4, "steps of Adam on each rollout", low=1)
    network: MLP = component(MLP(hidden=(64, 64), activation="relu"), "torso of the bonus's networks")

    def create(self, env: Environment, key: Array, num_envs: int) -> Models:
        params, fixed = self.networks(env, key)
        scales = Scales.create(input_shape(env.observation_space), num_envs)
        return Models(params, fixed, optax.adam(self.learning_rate).init(params), scales)

    def observe(
        self, kept: Models, env: Environment, rollout: E, discount: Scalar
    ) -> tuple[Models, E, Metrics]:
        kept = kept.replace(scales=kept.scales.with_inputs(features(env.observation_space, rollout.next_obs)))

        def mean_loss(params: Any) -> tuple[Array, Array]:
            error, loss = self.errors(kept.replace(params=params), env, rollout)
            return jnp.mean(loss), error

        def update(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], tuple[Array, Array]]:
            params, optimiser = carry
            found, grads = jax.value_and_grad(mean_loss, has_aux=True)(params)
            updates, optimiser = optax.adam(self.learning_rate).update(grads, optimiser)
            return (optax.apply_updates(params, updates), optimiser), found

        learned = (kept.params, kept.optimiser)
        (params, optimiser), (loss, errors) = lax.scan(update, learned, length=self.updates)
        error = errors[0]  # before the networks have learned from this rollout
        scales = kept.scales.with_rewards(error, rollout.done, discount)
        bonus = self.scale * scales.returns.scaled(error)
        kept = kept.replace(params=params, optimiser=optimiser, scales=scales)
        rollout = rollout.replace(reward=rollout.reward + bonus)
        return kept, rollout, mean_metrics(bonus=bonus, bonus_loss=loss)

    def rewarded(self, kept: Models, env: Environment, experience: E) -> E:
        error, _ = self.errors(kept, env, experience)
        return experience.replace(reward=experience.reward + self.scale * kept.scales.returns.scaled(error))

    def networks(self, env: Environment, key: Array) -> tuple[Any, Any]:
        """Initial parameters: those that learn, and those that do not."""
        raise InputError(f"{type(self).__name__} must define networks")

    def errors(self, kept: Models, env: Environment, experience: Experience) -> tuple[Array, Array]:
        """The prediction error of each step and the loss of the networks that learn: [...] float32 each."""
        raise InputError(f"{type(self).__name__} must define errors")


class RND(PredictionError):
    """Random network distillation: the error of predicting what a fixed random network says.

    There is one value of rewards and bonuses together, and an episode's end ends the returns of both. The
    paper has two values, and the returns of its bonus go on. Both networks are of one size, while the paper's
    predictor has two layers more. The paper's normalisation begins with the steps of a random policy. Here it
    begins with the first rollout.
    """

    outputs: int = static(64, "numbers that are predicted", low=1)

    def networks(self, env: Environment, key: Array) -> tuple[Any, Any]:
        key_predictor, key_target = random.split(key)
        x = jnp.zeros(input_shape(env.observation_space))
        return self.module(env).init(key_predictor, x), self.module(env).init(key_target, x)

    def errors(self, kept: Models, env: Environment, experience: Experience) -> tuple[Array, Array]:
        x = normalised(kept.scales, env, experience.next_obs)
        predicted, target = (self.module(env).apply(params, x) for params in (kept.params, kept.fixed))
        error = jnp.mean(jnp.square(predicted - target), axis=-1)
        return error, error

    def module(self, env: Environment) -> nn.Module:
        return Linear(self.network.module(env.observation_space), self.outputs)


class ICM(PredictionError):
    """Intrinsic curiosity: the error of predicting the features of the observation that a step leads to.

    The features are learned by telling the action from the features before and after it. Continuous actions,
    which the paper does not have, are told by a squared error. As in the authors' code, the forward model's
    loss also trains the features. Observations and bonuses are normalised as in RND. The paper normalises
    neither.
    """

    forward_weight: float = traced(0.2, "β, weight of the forward model's loss", low=0, high=1)

    def networks(self, env: Environment, key: Array) -> tuple[Any, Any]:
        x = jnp.zeros(input_shape(env.observation_space))
        return self.module(env).init(key, x, jnp.zeros(input_shape(env.action_space)), x), ()

    def errors(self, kept: Models, env: Environment, experience: Experience) -> tuple[Array, Array]:
        x, next_x = (normalised(kept.scales, env, obs) for obs in (experience.obs, experience.next_obs))
        action = features(env.action_space, experience.action)
        told, predicted, following = self.module(env).apply(kept.params, x, action, next_x)
        error = half_square(predicted - following)
        discrete = isinstance(env.action_space, Discrete)
        inverse = optax.softmax_cross_entropy(told, action) if discrete else half_square(told - action)
        return error, (1 - self.forward_weight) * inverse + self.forward_weight * error

    def module(self, env: Environment) -> nn.Module:
        return Curiosity(self.network.module(env.observation_space))


class Curiosity(nn.Module):
    """The inverse and the forward model of ICM, each with a hidden layer as wide as the features."""

    torso: nn.Module

    @nn.compact
    def __call__(self, x: Array, action: Array, next_x: Array) -> tuple[Array, Array, Array]:
        """x and next_x [..., *inputs], action [..., n].

        Returns logits or values of the action, [..., n], and the features of next_x, first as predicted and
        then as they are: [..., m] each.
        """
        before, after = self.torso(x), self.torso(next_x)
        units, actions = before.shape[-1], action.shape[-1]
        told = nn.relu(nn.Dense(units)(jnp.concatenate([before, after], axis=-1)))
        predicted = nn.relu(nn.Dense(units)(jnp.concatenate([before, action], axis=-1)))
        return nn.Dense(actions)(told), nn.Dense(units)(predicted), after


def normalised(scales: Scales, env: Environment, obs: Array) -> Array:
    """Observations [..., *obs] as the input of a bonus's networks: [..., *inputs] within ± INPUT_LIMIT."""
    x = scales.inputs.standardised(features(env.observation_space, obs))
    return jnp.clip(x, -INPUT_LIMIT, INPUT_LIMIT)


def count_bonus(count: Array, scale: Scalar) -> Array:
    """β / √n (Strehl & Littman 2008), of any shape. A count of 0 is treated as 1."""
    return scale / jnp.sqrt(jnp.maximum(count, 1).astype(jnp.float32))


def simhash(x: Array, projection: Array) -> Array:
    """The signs of x A as the bits of a number (Charikar 2002; Tang et al. 2017).

    x [..., n] float32, projection A [n, bits]; returns [...] int32 in [0, 2^bits).
    """
    signs = (jnp.matmul(x, projection, precision="highest") >= 0).astype(jnp.int32)
    return signs @ (2 ** jnp.arange(projection.shape[1], dtype=jnp.int32))


def half_square(difference: Array) -> Array:
    """½ ‖difference‖²: [..., n] to [...]."""
    return 0.5 * jnp.sum(jnp.square(difference), axis=-1)


BONUSES: dict[str, Bonus] = {"counts": Counts(), "icm": ICM(), "none": Bonus(), "rnd": RND()}
