"""Environments, and their registry. The names are Gymnasium's ids where Gymnasium has the environment."""

from envs.bandits import BernoulliBandit, GaussianBandit
from envs.chains.deep_sea import DeepSea
from envs.chains.memory_chain import MemoryChain
from envs.chains.t_maze import TMaze
from envs.control.acrobot import Acrobot
from envs.control.cartpole import CartPole
from envs.control.mountain_car import MountainCar, MountainCarContinuous
from envs.control.pendulum import Pendulum
from envs.games.blackjack import Blackjack
from envs.games.catch import Catch
from envs.garnet import Garnet
from envs.grids.cliff_walking import CliffWalking
from envs.grids.frozen_lake import MAP_8X8, FrozenLake, random_map
from envs.grids.grid_world import GridWorld
from envs.grids.key_door import KeyDoor
from envs.grids.noisy_tv import NoisyTV
from envs.grids.taxi import Taxi
from envs.grids.vacuum import Vacuum
from jaxrl.environment import Environment

__all__ = [
    "ENVIRONMENTS",
    "Acrobot",
    "BernoulliBandit",
    "Blackjack",
    "CartPole",
    "Catch",
    "CliffWalking",
    "DeepSea",
    "FrozenLake",
    "Garnet",
    "GaussianBandit",
    "GridWorld",
    "KeyDoor",
    "MemoryChain",
    "MountainCar",
    "MountainCarContinuous",
    "NoisyTV",
    "Pendulum",
    "TMaze",
    "Taxi",
    "Vacuum",
    "random_map",
]

ENVIRONMENTS: dict[str, Environment] = {
    "Acrobot-v1": Acrobot(),
    "BernoulliBandit-v0": BernoulliBandit(),
    "Blackjack-v1": Blackjack(sab=True),
    "CartPole-v1": CartPole(),
    "Catch-v0": Catch(),
    "CliffWalking-v1": CliffWalking(),
    "DeepSea-v0": DeepSea(),
    "FrozenLake-v1": FrozenLake(),
    "FrozenLake8x8-v1": FrozenLake(rows=MAP_8X8, max_steps=200),
    "Garnet-v0": Garnet(),
    "GaussianBandit-v0": GaussianBandit(),
    "GridWorld-v0": GridWorld(),
    "KeyDoor-v0": KeyDoor(),
    "MemoryChain-v0": MemoryChain(),
    "MountainCar-v0": MountainCar(),
    "MountainCarContinuous-v0": MountainCarContinuous(),
    "NoisyTV-v0": NoisyTV(),
    "Pendulum-v1": Pendulum(),
    "TMaze-v0": TMaze(),
    "Taxi-v3": Taxi(),
    "Vacuum-v0": Vacuum(),
}
