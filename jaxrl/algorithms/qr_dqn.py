"""QR-DQN: DQN that learns quantiles of the return (Dabney et al. 2018)."""

from jaxrl.algorithms.dqn import DQN
from jaxrl.learning.value_heads import QuantileReturn


class QRDQN(DQN):
    """DQN whose head makes quantiles of each action's return. The mean of the quantiles is its value."""

    head = QuantileReturn()
