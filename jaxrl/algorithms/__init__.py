"""The algorithms, one file each, and their registry."""

from jaxrl.algorithms.bandits import UCB1, EpsilonGreedy, GradientBandit, Thompson
from jaxrl.algorithms.count_q import CountQ
from jaxrl.algorithms.discrete_sac import DiscreteSAC
from jaxrl.algorithms.dqn import DQN
from jaxrl.algorithms.dyna_q import DynaQ
from jaxrl.algorithms.monte_carlo import MonteCarlo
from jaxrl.algorithms.ppo import PPO
from jaxrl.algorithms.q_learning import QLearning
from jaxrl.algorithms.sac import SAC
from jaxrl.algorithms.sarsa import Sarsa
from jaxrl.learning.algorithm import Algorithm

__all__ = [
    "ALGORITHMS",
    "DQN",
    "PPO",
    "SAC",
    "UCB1",
    "CountQ",
    "DiscreteSAC",
    "DynaQ",
    "EpsilonGreedy",
    "GradientBandit",
    "MonteCarlo",
    "QLearning",
    "Sarsa",
    "Thompson",
]

ALGORITHMS: dict[str, Algorithm] = {
    "count_q": CountQ(),
    "discrete_sac": DiscreteSAC(),
    "dqn": DQN(),
    "dyna_q": DynaQ(),
    "epsilon_greedy": EpsilonGreedy(),
    "gradient_bandit": GradientBandit(),
    "monte_carlo": MonteCarlo(),
    "ppo": PPO(),
    "q_learning": QLearning(),
    "sac": SAC(),
    "sarsa": Sarsa(),
    "thompson": Thompson(),
    "ucb1": UCB1(),
}
