"""How often the runs of a study are evaluated if nobody says it."""

import dataclasses
from collections.abc import Sequence

from jaxrl.learning.algorithm import Algorithm
from jaxrl.learning.networks import Network

MOST = 50  # evaluations of a run after the one at its start
# The most steps that these evaluations take for each step of training, if every episode lasts max_steps. A
# step of an evaluation took 1 to 2 times as long as a step of Q-learning's training, 1/11 to 1/16 of a step
# of PPO's and less than 1/100 of one of DQN's and SAC's.
OF_TABLES, OF_NETWORKS = 0.5, 2.0


def default_evaluations(algorithms: Sequence[Algorithm], steps: int, longest: int) -> int:
    """The number of evaluations after the start, at least 1, of runs of `steps` environment steps.

    longest: the most steps that one evaluation takes.
    """
    return max(min(MOST, int(steps_limit(algorithms) * steps / longest)), 1)


def steps_limit(algorithms: Sequence[Algorithm]) -> float:
    """The most steps of evaluations for each step of training, of all algorithms."""
    return OF_NETWORKS if all(map(_has_network, algorithms)) else OF_TABLES


def _has_network(algorithm: Algorithm) -> bool:
    values = (getattr(algorithm, field.name) for field in dataclasses.fields(algorithm))
    return any(isinstance(value, Network) for value in values)
