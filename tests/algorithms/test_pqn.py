"""PQN's λ-returns against a double loop."""

import numpy as np
import pytest
from jax import random

from jaxrl.algorithms import PQN
from jaxrl.learning.networks import MLP
from jaxrl.mdp.episode import Transition
from tests.probes import RewardTwoStepsLater

ENV = RewardTwoStepsLater()  # three observations, two actions
VALUES = np.float32([[1.0, 2.0], [5.0, 3.0], [-4.0, 7.0]])


@pytest.mark.parametrize("decay", [0.0, 0.65, 1.0])
def test_targets_by_hand(decay):
    """A step terminates and one is cut by the time limit, where the true successor's value counts."""
    algorithm = PQN(discount=0.9, trace_decay=decay, network=MLP(hidden=()))
    params = {"params": {"Dense_0": {"kernel": VALUES, "bias": np.zeros(2, np.float32)}}}
    rng = np.random.default_rng(0)
    obs, next_obs = rng.integers(3, size=(2, 6, 2))
    reward = rng.normal(size=(6, 2)).astype(np.float32)
    terminated, truncated = np.zeros((2, 6, 2), bool)
    terminated[1, 0] = truncated[3, 0] = truncated[2, 1] = True
    going_on = ~(terminated | truncated)[:-1]
    obs[1:] = np.where(going_on, next_obs[:-1], obs[1:])
    steps = Transition(obs, obs % 2, reward, next_obs, terminated, truncated, reward, obs)
    state = algorithm.init(ENV, random.key(0)).replace(params=params)
    _, samples = algorithm.samples(ENV, state, steps)
    expected = np.zeros((6, 2))
    for env in range(2):
        for t in reversed(range(6)):
            best = VALUES[next_obs[t, env]].max()
            if t < 5 and not truncated[t, env]:
                best = decay * expected[t + 1, env] + (1 - decay) * best
            expected[t, env] = reward[t, env] + 0.9 * best * (not terminated[t, env])
    np.testing.assert_allclose(samples.target.reshape(6, 2), expected, rtol=1e-5)
