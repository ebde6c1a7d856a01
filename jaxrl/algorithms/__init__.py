"""The algorithms, one file each, and their registry."""

from jaxrl.algorithms.discrete_sac import DiscreteSAC
from jaxrl.algorithms.dqn import DQN
from jaxrl.algorithms.ppo import PPO
from jaxrl.algorithms.q_learning import QLearning
from jaxrl.algorithms.sac import SAC
from jaxrl.learning.algorithm import Algorithm

__all__ = ["ALGORITHMS", "DQN", "PPO", "SAC", "DiscreteSAC", "QLearning"]

ALGORITHMS: dict[str, Algorithm] = {
    "discrete_sac": DiscreteSAC(),
    "dqn": DQN(),
    "ppo": PPO(),
    "q_learning": QLearning(),
    "sac": SAC(),
}
