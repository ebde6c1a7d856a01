"""The algorithms, one file each, and their registry."""

from jaxrl.algorithms.bandits import UCB1, EpsilonGreedy, GradientBandit, Thompson
from jaxrl.algorithms.c51 import C51
from jaxrl.algorithms.count_q import CountQ
from jaxrl.algorithms.discrete_sac import DiscreteSAC
from jaxrl.algorithms.dqn import DQN
from jaxrl.algorithms.dyna_q import DynaQ
from jaxrl.algorithms.monte_carlo import MonteCarlo
from jaxrl.algorithms.ppo import PPO
from jaxrl.algorithms.pqn import PQN
from jaxrl.algorithms.q_learning import QLearning
from jaxrl.algorithms.qr_dqn import QRDQN
from jaxrl.algorithms.rainbow import Rainbow
from jaxrl.algorithms.sac import SAC
from jaxrl.algorithms.sarsa import Sarsa
from jaxrl.algorithms.td3 import DDPG, TD3
from jaxrl.learning.algorithm import Algorithm

__all__ = [
    "ALGORITHMS",
    "C51",
    "DDPG",
    "DQN",
    "PPO",
    "PQN",
    "QRDQN",
    "SAC",
    "TD3",
    "UCB1",
    "CountQ",
    "DiscreteSAC",
    "DynaQ",
    "EpsilonGreedy",
    "GradientBandit",
    "MonteCarlo",
    "QLearning",
    "Rainbow",
    "Sarsa",
    "Thompson",
]

ALGORITHMS: dict[str, Algorithm] = {
    "c51": C51(),
    "count_q": CountQ(),
    "ddpg": DDPG(),
    "discrete_sac": DiscreteSAC(),
    "dqn": DQN(),
    "dyna_q": DynaQ(),
    "epsilon_greedy": EpsilonGreedy(),
    "gradient_bandit": GradientBandit(),
    "monte_carlo": MonteCarlo(),
    "ppo": PPO(),
    "pqn": PQN(),
    "q_learning": QLearning(),
    "qr_dqn": QRDQN(),
    "rainbow": Rainbow(),
    "sac": SAC(),
    "sarsa": Sarsa(),
    "td3": TD3(),
    "thompson": Thompson(),
    "ucb1": UCB1(),
}
