"""The algorithms, one file each, and their registry."""

from jaxrl.algorithms.a2c import A2C
from jaxrl.algorithms.bandits import UCB1, EpsilonGreedy, GradientBandit, Thompson
from jaxrl.algorithms.baselines import Heuristic, Random
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
from jaxrl.algorithms.reinforce import REINFORCE
from jaxrl.algorithms.sac import SAC
from jaxrl.algorithms.sarsa import Sarsa
from jaxrl.algorithms.td3 import DDPG, TD3
from jaxrl.algorithms.trpo import TRPO
from jaxrl.learning.algorithm import Algorithm

__all__ = [
    "A2C",
    "ALGORITHMS",
    "C51",
    "DDPG",
    "DQN",
    "PPO",
    "PQN",
    "QRDQN",
    "REINFORCE",
    "SAC",
    "TD3",
    "TRPO",
    "UCB1",
    "CountQ",
    "DiscreteSAC",
    "DynaQ",
    "EpsilonGreedy",
    "GradientBandit",
    "Heuristic",
    "MonteCarlo",
    "QLearning",
    "Rainbow",
    "Random",
    "Sarsa",
    "Thompson",
]

ALGORITHMS: dict[str, Algorithm] = {
    "a2c": A2C(),
    "c51": C51(),
    "count_q": CountQ(),
    "ddpg": DDPG(),
    "discrete_sac": DiscreteSAC(),
    "dqn": DQN(),
    "dyna_q": DynaQ(),
    "epsilon_greedy": EpsilonGreedy(),
    "gradient_bandit": GradientBandit(),
    "heuristic": Heuristic(),
    "monte_carlo": MonteCarlo(),
    "ppo": PPO(),
    "pqn": PQN(),
    "q_learning": QLearning(),
    "qr_dqn": QRDQN(),
    "rainbow": Rainbow(),
    "random": Random(),
    "reinforce": REINFORCE(),
    "sac": SAC(),
    "sarsa": Sarsa(),
    "td3": TD3(),
    "thompson": Thompson(),
    "trpo": TRPO(),
    "ucb1": UCB1(),
}
