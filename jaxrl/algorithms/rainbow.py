"""Rainbow: DQN with all of its extensions (Hessel et al. 2018)."""

from jaxrl.algorithms.dqn import DQN
from jaxrl.learning.sampling import Prioritised
from jaxrl.learning.value_heads import CategoricalReturn


class Rainbow(DQN):
    """DQN with every extension of the paper. The return must lie between head.v_min and head.v_max.

    n_step, the noise and prioritised replay have the values of the paper's table 1. Its other values are made
    for Atari; here they are DQN's own. Only the last layers are noisy, and the streams of the dueling network
    have no hidden layers. Without `noisy` epsilon must be set, since it is 0.
    """

    epsilon_start = 0.0
    epsilon_end = 0.0
    n_step = 3
    double = True
    dueling = True
    noisy = True
    head = CategoricalReturn()
    sampling = Prioritised(alpha=0.5)
