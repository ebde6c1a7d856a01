"""Concrete worlds, one file each, and their registry by Gymnasium's ids where one exists."""

from envs.cartpole import CartPole
from envs.frozen_lake import MAP_8X8, FrozenLake, random_map
from envs.grid_world import GridWorld
from jaxrl.environment import Environment

__all__ = ["ENVIRONMENTS", "CartPole", "FrozenLake", "GridWorld", "random_map"]

ENVIRONMENTS: dict[str, Environment] = {
    "CartPole-v1": CartPole(),
    "FrozenLake-v1": FrozenLake(),
    "FrozenLake8x8-v1": FrozenLake(rows=MAP_8X8, max_steps=200),
    "GridWorld-v0": GridWorld(),
}
