"""What the author of an algorithm imports."""

from jaxrl.fields import component, shared, static, traced
from jaxrl.learning.algorithm import Algorithm, Collector, State, num_actions, num_observations
from jaxrl.learning.check import check_algorithm
from jaxrl.learning.metrics import Metrics, episode_metrics, mean_metrics
from jaxrl.learning.rollout import rollout, start_episodes
from jaxrl.mdp.episode import Episode, Experience, Memory, Transition

__all__ = [
    "Algorithm",
    "Collector",
    "Episode",
    "Experience",
    "Memory",
    "Metrics",
    "State",
    "Transition",
    "check_algorithm",
    "component",
    "episode_metrics",
    "mean_metrics",
    "num_actions",
    "num_observations",
    "rollout",
    "shared",
    "start_episodes",
    "static",
    "traced",
]
