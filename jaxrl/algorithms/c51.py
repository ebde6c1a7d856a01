"""C51: DQN that learns the distribution of the return over fixed atoms (Bellemare et al. 2017)."""

from jaxrl.algorithms.dqn import DQN
from jaxrl.learning.value_heads import CategoricalReturn


class C51(DQN):
    """DQN whose head makes probabilities of returns. Returns must lie between head.v_min and head.v_max."""

    head = CategoricalReturn()
