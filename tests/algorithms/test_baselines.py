"""The floors of every table: their returns against known ones."""

import jax
import numpy as np
import pytest
from jax import random

from envs import Acrobot, CartPole, GridWorld, MountainCar, MountainCarContinuous, Pendulum
from envs.wrappers import DiscretisedActions, Masked, Randomised
from jaxrl.algorithms import Heuristic, Random
from jaxrl.compiled.evaluate import evaluate_run
from jaxrl.config import static
from jaxrl.errors import InputError
from jaxrl.learning.check import trace_algorithm
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.spaces import Box, Composite, Discrete

EPISODES = 1_000


@jax.jit
def returns(algorithm, env):
    state = algorithm.init(env, random.key(0))
    return evaluate_run(algorithm, env, state, random.key(1), EPISODES)[0]


@pytest.mark.parametrize(
    ("env", "low", "high"),
    [
        (CartPole(), 500, 500),
        (MountainCar(), -120, -118.5),
        (MountainCarContinuous(), 89, 89.5),
        (Acrobot(), -87, -81),
        (Pendulum(), -160, -138),
    ],
    ids=lambda each: getattr(each, "title", None),
)
def test_heuristics(env, low, high):
    assert low <= np.asarray(returns(Heuristic(), env)).mean(dtype=float) <= high


def plain_cartpole(rng):
    """The length of an episode of uniform actions, by Gymnasium's equations."""
    x, x_dot, theta, theta_dot = rng.uniform(-0.05, 0.05, 4)
    for step in range(1, 501):
        force = 10.0 if rng.integers(2) else -10.0
        push = (force + 0.05 * theta_dot**2 * np.sin(theta)) / 1.1
        acc = (9.8 * np.sin(theta) - np.cos(theta) * push) / (0.5 * (4 / 3 - 0.1 * np.cos(theta) ** 2 / 1.1))
        x_acc = push - 0.05 * acc * np.cos(theta) / 1.1
        x, x_dot, theta, theta_dot = (
            x + 0.02 * x_dot,
            x_dot + 0.02 * x_acc,
            theta + 0.02 * theta_dot,
            theta_dot + 0.02 * acc,
        )
        if abs(x) > 2.4 or abs(theta) > 12 * np.pi / 180:
            return step
    return 500


def test_uniform_actions():
    rng = np.random.default_rng(0)
    plain = [plain_cartpole(rng) for _ in range(EPISODES)]
    found = np.asarray(returns(Random(), CartPole()))
    error = np.hypot(np.std(plain), np.std(found)) / EPISODES**0.5
    assert abs(np.mean(found) - np.mean(plain)) < 4 * error
    assert 20 < np.mean(found) < 25


class Mixed(Environment):
    """Its actions are a mixture of kinds; the state is the last action."""

    bounded: bool = static(True)

    @property
    def observation_space(self):
        return Discrete(1)

    @property
    def action_space(self):
        return Composite({"move": Discrete(3), "push": Box(-1.0, 1.0 if self.bounded else np.inf, (2,))})

    def reset(self, key):
        return self.action_space.sample(key)

    def step(self, key, state, action):
        return action, 0.0, False

    def observe(self, state):
        return jax.numpy.int32(0)


def test_any_bounded_actions_are_drawn():
    Random().validate_for(Mixed())
    trace_algorithm(Random(), Mixed())
    with pytest.raises(InputError, match=r"^Random needs bounded actions; Mixed has some in \[-1.0, inf\]$"):
        Random().validate_for(Mixed(bounded=False))


def test_a_wrapper_passes_the_heuristic_on_unless_it_hides_something():
    Heuristic().validate_for(Randomised(env=CartPole(pole_length=0.25), high=CartPole()))
    Heuristic().validate_for(Masked(env=CartPole(), seen=(0, 1, 2, 3)))
    swapped = Masked(env=CartPole(), seen=(1, 0, 2, 3))
    for changed in (Masked(env=CartPole()), swapped, DiscretisedActions(env=Pendulum())):
        with pytest.raises(
            InputError, match=r"that has a heuristic; (Masked|DiscretisedActions)\(.+\) has none"
        ):
            Heuristic().validate_for(changed)


def test_an_environment_without_heuristic_is_refused_in_one_sentence():
    sentence = r"^Heuristic needs an environment that has a heuristic; GridWorld has none: choose [^\n]*$"
    with pytest.raises(InputError, match=sentence):
        Heuristic().validate_for(GridWorld())
