"""The algorithms, one file each, and their registry."""

from jaxrl.algorithms.a2c import A2C
from jaxrl.algorithms.discrete_sac import DiscreteSAC
from jaxrl.algorithms.dqn import DQN
from jaxrl.algorithms.ppo import PPO
from jaxrl.algorithms.q_learning import QLearning
from jaxrl.algorithms.reinforce import REINFORCE
from jaxrl.algorithms.sac import SAC
from jaxrl.algorithms.trpo import TRPO
from jaxrl.learning.algorithm import Algorithm

__all__ = ["A2C", "ALGORITHMS", "DQN", "PPO", "REINFORCE", "SAC", "TRPO", "DiscreteSAC", "QLearning"]

ALGORITHMS: dict[str, Algorithm] = {
    "a2c": A2C(),
    "discrete_sac": DiscreteSAC(),
    "dqn": DQN(),
    "ppo": PPO(),
    "q_learning": QLearning(),
    "reinforce": REINFORCE(),
    "sac": SAC(),
    "trpo": TRPO(),
}
