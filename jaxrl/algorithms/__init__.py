"""The algorithms, one file each, and their registry."""

from jaxrl.algorithm import Algorithm
from jaxrl.algorithms.dqn import DQN
from jaxrl.algorithms.ppo import PPO
from jaxrl.algorithms.q_learning import QLearning

__all__ = ["ALGORITHMS", "DQN", "PPO", "QLearning"]

ALGORITHMS: dict[str, Algorithm] = {
    "dqn": DQN(),
    "ppo": PPO(),
    "q_learning": QLearning(),
}
