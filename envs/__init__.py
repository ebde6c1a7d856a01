"""Concrete worlds, one file each, and their registry by Gymnasium's ids where one exists."""

from envs.acrobot import Acrobot
from envs.cartpole import CartPole
from envs.cliff_walking import CliffWalking
from envs.frozen_lake import MAP_8X8, FrozenLake, random_map
from envs.grid_world import GridWorld
from envs.mountain_car import MountainCar, MountainCarContinuous
from envs.pendulum import Pendulum
from envs.taxi import Taxi
from jaxrl.environment import Environment

__all__ = [
    "ENVIRONMENTS",
    "Acrobot",
    "CartPole",
    "CliffWalking",
    "FrozenLake",
    "GridWorld",
    "MountainCar",
    "MountainCarContinuous",
    "Pendulum",
    "Taxi",
    "random_map",
]

ENVIRONMENTS: dict[str, Environment] = {
    "Acrobot-v1": Acrobot(),
    "CartPole-v1": CartPole(),
    "CliffWalking-v1": CliffWalking(),
    "FrozenLake-v1": FrozenLake(),
    "FrozenLake8x8-v1": FrozenLake(rows=MAP_8X8, max_steps=200),
    "GridWorld-v0": GridWorld(),
    "MountainCar-v0": MountainCar(),
    "MountainCarContinuous-v0": MountainCarContinuous(),
    "Pendulum-v1": Pendulum(),
    "Taxi-v3": Taxi(),
}
