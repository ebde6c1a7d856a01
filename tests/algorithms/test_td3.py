"""TD3's loss and the actor's by hand, with linear networks."""

import numpy as np
import optax
import pytest

from envs import Pendulum
from jaxrl.algorithms import TD3
from jaxrl.algorithms.td3 import Learned
from jaxrl.learning.networks import MLP
from jaxrl.mdp.episode import Experience

ENV = Pendulum()
TWIN = TD3(discount=0.5, target_noise=2.0, noise_clip=0.5, network=MLP(hidden=()))


def linear(*weights):
    """Parameters of a network with one output and without hidden layers."""
    return {"params": {"Dense_0": {"kernel": np.float32(weights)[:, None], "bias": np.zeros(1, np.float32)}}}


ACTOR = linear(1, 0, 0)
CRITICS = (linear(0, 0, 0, 2), linear(0, 1, 0, 4))  # 2 a and obs[1] + 4 a
LEARNED = Learned(ACTOR, CRITICS)


def batch():
    """Three steps alike, of which the second terminates and the third is cut by a time limit."""
    obs, next_obs = np.float32([[0, 1, 0]] * 3), np.float32([[0.5, 3, 0]] * 3)
    action, reward = np.full((3, 1), 0.5, np.float32), np.ones(3, np.float32)
    return Experience(obs, action, reward, next_obs, np.arange(3) == 1, np.arange(3) == 2)


@pytest.mark.parametrize(("twin", "smaller"), [(True, min), (False, lambda first, _: first)])
def test_critic_loss_by_hand(twin, smaller):
    """The noise is clipped to 0.5, and the action with noise to 1."""
    critics = CRITICS if twin else CRITICS[:1]
    learned = Learned(ACTOR, critics)
    noise = np.float32([[-1], [0.1], [1]])
    loss, value = TWIN.replace(twin=twin).critic_loss(critics, learned, ENV, batch(), noise)
    actions = np.tanh(0.5) + np.array([-0.5, 0.2, 0.5])
    actions[2] = min(actions[2], 1.0)
    following = np.array([smaller(2 * a, 3 + 4 * a) for a in actions])
    target = 1 + 0.5 * following * [1, 0, 1]
    values = [1.0, 3.0][: len(critics)]
    assert loss == pytest.approx(sum(np.mean((each - target) ** 2) for each in values), rel=1e-5)
    assert value == pytest.approx(np.mean(values))


def test_the_actor_descends_its_loss_and_the_targets_follow():
    algorithm = TWIN.replace(learning_rate=0.1, target_rate=0.25)
    adam = optax.adam(0.1)
    optimiser = Learned(adam.init(ACTOR), adam.init(CRITICS))
    obs = np.float32([[1, 0, 0], [2, 0, 0]])
    carry = (LEARNED, LEARNED, optimiser)
    (learned, targets, _), loss = algorithm.improved(carry, ENV, obs)
    assert loss == pytest.approx(-np.mean(2 * np.tanh([1, 2])), rel=1e-5)  # of the first critic alone
    weight = learned.actor["params"]["Dense_0"]["kernel"][0, 0]
    assert weight == pytest.approx(1.1, rel=1e-4)  # Adam's first step is the learning rate
    assert targets.actor["params"]["Dense_0"]["kernel"][0, 0] == pytest.approx(1.025, rel=1e-4)
    assert learned.critics is LEARNED.critics
