"""Every number that the learners of tables and of bandits take changes what they learn."""

import numpy as np
import pytest

from envs import GaussianBandit, GridWorld
from jaxrl.algorithms import UCB1, CountQ, DynaQ, EpsilonGreedy, GradientBandit, MonteCarlo, Sarsa, Thompson
from jaxrl.config import names_of
from jaxrl.learning.tables import epsilon_greedy_value
from tests.lanes import batch_of, bits, trained

LEARNERS = [
    (Sarsa(trace_decay=0.5), GridWorld(size=3, max_steps=20)),
    (MonteCarlo(learning_rate=0.5), GridWorld(size=3, max_steps=20)),
    (DynaQ(prioritised=True), GridWorld(size=3, max_steps=20)),
    (CountQ(), GridWorld(size=3, max_steps=20)),
    (EpsilonGreedy(), GaussianBandit()),
    (UCB1(), GaussianBandit()),
    (GradientBandit(), GaussianBandit()),
    (Thompson(), GaussianBandit()),
]


@pytest.mark.parametrize(("algorithm", "env"), LEARNERS, ids=[type(each).__name__ for each, _ in LEARNERS])
def test_every_traced_field_counts(algorithm, env):
    names = names_of(type(algorithm), "traced")
    changed = [algorithm.replace(**{name: 0.3}) for name in names]
    state = trained(batch_of([algorithm, *changed], env, [5] * (1 + len(changed))), 80)
    usual, *others = [b"".join(leaf[i].tobytes() for leaf in bits(state)) for i in range(1 + len(changed))]
    assert [name for name, other in zip(names, others, strict=True) if other == usual] == []


def test_the_value_of_an_epsilon_greedy_action():
    """With ε = 0.3 and two actions, the better one has probability 0.85."""
    assert epsilon_greedy_value(np.float32([1, 3]), 0.3) == pytest.approx(0.85 * 3 + 0.15 * 1)
