"""Wrappers: environments that hold another one and change it in part."""

from envs.control.cartpole import CartPole
from envs.wrappers.masked import Masked
from envs.wrappers.randomised import Randomised
from envs.wrappers.scheduled import Scheduled
from jaxrl.environment import Environment

__all__ = ["WRAPPERS", "Masked", "Randomised", "Scheduled"]

WRAPPERS: dict[str, Environment] = {
    "masked": Masked(env=CartPole()),
    "randomised": Randomised(env=CartPole(), high=CartPole()),
    "scheduled": Scheduled(env=CartPole(), end=CartPole()),
}
